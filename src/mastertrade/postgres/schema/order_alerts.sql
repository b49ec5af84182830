-- What is wrong with an account's orders and books, as alerts beside those of the watch over its risk. Owner: order_executor.

-- Whether an algo order would give up a position of this side.
CREATE OR REPLACE FUNCTION guards(p_kind text, p_side text, p_held text) RETURNS boolean LANGUAGE sql IMMUTABLE AS $$
    SELECT CASE p_kind WHEN 'bracket' THEN (p_side = 'BUY') = (p_held = 'long')
                       WHEN 'trigger' THEN (p_side = 'SELL') = (p_held = 'long')
                       ELSE false END;
$$;

-- Positions whose guard was called off or ran out since then: a bracket whose entry filled, or a trigger that would have given up, while
-- no other one guards what is held. stop_price is that of the risk manager's own stop, where the position has one.
CREATE OR REPLACE FUNCTION unguarded_positions(p_since timestamptz)
RETURNS TABLE (algo_order_id uuid, account_id uuid, symbol text, side text, quantity numeric, kind text, status text, stop_price numeric)
LANGUAGE plpgsql STABLE AS $$
#variable_conflict use_column
BEGIN
    RETURN QUERY
    SELECT a.id, a.account_id, i.symbol, p.side, p.quantity::numeric, a.kind, a.status, k.stop_price::numeric
      FROM algo_orders a
      JOIN instruments i ON i.id = a.instrument_id
      JOIN strategy_positions p ON p.account_id = a.account_id AND p.strategy_id = a.strategy_id
           AND p.instrument_id = a.instrument_id AND p.status = 'open' AND p.opened_at <= a.updated_at
      LEFT JOIN LATERAL (
           SELECT s.stop_price FROM stop_losses s JOIN risk_positions r ON r.id = s.position_id
            WHERE s.status = 'active' AND s.strategy_id = a.strategy_id AND s.instrument_id = a.instrument_id
              AND r.account_id = a.account_id LIMIT 1) k ON true
     WHERE a.updated_at > p_since AND a.status IN ('ending', 'canceled', 'expired') AND guards(a.kind, a.side, p.side)
       AND (a.kind = 'trigger' OR EXISTS (
            SELECT FROM algo_order_steps t JOIN orders o ON o.signal_id = t.signal_id
             WHERE t.algo_order_id = a.id AND t.leg = 'entry' AND o.filled_quantity > 0))
       AND NOT EXISTS (
            SELECT FROM algo_orders g
             WHERE g.account_id = a.account_id AND g.strategy_id = a.strategy_id AND g.instrument_id = a.instrument_id
               AND g.status = 'working' AND guards(g.kind, g.side, p.side));
END $$;

-- What stands now, in the words of settle_alerts: orders whose fate is unknown for over half a minute, fills that could not be
-- booked and orders that traded after their end within a day, fills that were inferred, positions that the venue closed within
-- a day, books that differ from the venue's, a venue or a stream that does not tell, and algo orders that gave up within a day.
CREATE OR REPLACE FUNCTION order_conditions(p_account uuid, p_at timestamptz) RETURNS jsonb LANGUAGE plpgsql STABLE AS $$
DECLARE
    v_patience constant interval := interval '30 seconds';
    v_remembered constant interval := interval '1 day';
BEGIN
    RETURN (
    WITH conditions (alert_type, severity, title, message, symbol, current_value, threshold_value, recommendation) AS (
        SELECT 'order_unknown', 'high', 'an order without an answer',
               format('%s of %s: the venue has not said since %s whether it took it', min(o.client_order_id), o.symbol,
                      to_char(min(o.unknown_since) AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS')),
               o.symbol, count(*)::float8, 0::float8, 'look at the venue, its capital stays reserved; if you know: mastertrade order resolve'
          FROM orders o
         WHERE o.account_id = p_account AND o.status = 'UNKNOWN' AND o.unknown_since <= p_at - v_patience
         GROUP BY o.symbol
        UNION ALL
        SELECT 'fill_quarantined', 'critical', 'a fill that could not be booked',
               format('fill %s of %s: %s', min(q.payload ->> 'exchange_trade_id'), q.payload ->> 'symbol', min(q.reason)),
               q.payload ->> 'symbol', count(*)::float8, 0, 'compare with the venue: mastertrade order reconcile'
          FROM quarantined_fills q
         WHERE q.account_id = p_account AND q.occurred_at > p_at - v_remembered GROUP BY q.payload ->> 'symbol'
        UNION ALL
        SELECT 'fill_inferred', 'medium', 'a fill the venue counted and never told',
               format('%s of %s: booked from what the venue says of the order; its fee is unknown', min(o.client_order_id), t.symbol),
               t.symbol, count(*)::float8, 0, 'the real fill takes its place; until then books may differ by the fee'
          FROM trades t JOIN orders o ON o.id = t.order_id
         WHERE t.account_id = p_account AND t.is_inferred GROUP BY t.symbol
        UNION ALL
        SELECT 'late_fill', 'medium', 'an order that traded after its end',
               format('%s of %s was %s and traded all the same', min(o.client_order_id), o.symbol, min(e.from_status)),
               o.symbol, count(*)::float8, 0, 'it is booked; the position is what the venue says'
          FROM orders o JOIN order_events e ON e.order_id = o.id
         WHERE o.account_id = p_account AND o.update_time > p_at - v_remembered AND e.event_type = 'fill'
           AND e.from_status IN ('CANCELED', 'EXPIRED', 'REJECTED', 'NOT_FOUND') AND e.occurred_at > p_at - v_remembered
         GROUP BY o.symbol
        UNION ALL
        SELECT 'position_closed_by_venue', 'critical', 'a position that an order of ours did not close',
               format('%s of %s %s by %s: a liquidation, or somebody else on the account', sum(t.quantity), o.symbol,
                      CASE o.side WHEN 'BUY' THEN 'bought' ELSE 'sold' END, min(o.client_order_id)),
               o.symbol, sum(t.quantity)::float8, 0, 'look at the margin of the account: mastertrade risk status'
          FROM orders o JOIN trades t ON t.order_id = o.id
         WHERE o.account_id = p_account AND o.strategy_id IS NOT NULL AND o.metadata ->> 'origin' = 'external'
           AND o.update_time > p_at - v_remembered
         GROUP BY o.symbol, o.side
        UNION ALL
        SELECT CASE s.state WHEN 'broken' THEN 'books_differ' ELSE 'venue_silent' END,
               CASE s.state WHEN 'broken' THEN 'critical' ELSE 'high' END,
               CASE s.state WHEN 'broken' THEN 'our books differ from the venue''s' ELSE 'the venue does not tell' END,
               s.reason, NULL, extract(epoch FROM p_at - s.since)::float8, extract(epoch FROM v_patience)::float8,
               'mastertrade order reconcile'
          FROM account_states s
         WHERE s.account_id = p_account AND (s.state = 'broken' OR (s.state = 'recovering' AND s.since <= p_at - v_patience))
        UNION ALL
        SELECT 'stream_down', 'medium', 'the account''s own stream does not tell',
               format('it is %s: %s', t.state, t.reason), NULL, extract(epoch FROM p_at - t.since)::float8,
               extract(epoch FROM v_patience)::float8, 'fills are found by asking, some seconds later; the stream is tried again'
          FROM account_streams t JOIN account_states s USING (account_id, epoch)
         WHERE t.account_id = p_account AND t.state <> 'open' AND t.since <= p_at - v_patience
        UNION ALL
        SELECT 'position_unguarded', CASE WHEN bool_and(u.stop_price IS NOT NULL) THEN 'medium' ELSE 'high' END,
               'a position whose guard has ended',
               format('%s %s of %s: its %s was called off or ran out%s', max(u.side), sum(u.quantity), u.symbol, min(u.kind),
                      coalesce('; the stop at ' || trim_scale(max(u.stop_price)) || ' of the risk manager is left', ', and it has no stop')),
               u.symbol, sum(u.quantity)::float8, 0, 'guard it again (order place --stop …), or give it up: mastertrade risk flatten'
          FROM unguarded_positions(p_at - v_remembered) u WHERE u.account_id = p_account GROUP BY u.symbol
        UNION ALL
        SELECT 'algo_order_failed', 'high', 'an order that gave up',
               format('%s %s of %s: %s', min(a.kind), left(min(a.id::text), 8), i.symbol, min(a.outcome)), i.symbol, count(*)::float8, 0,
               'place it again, or give the position up: mastertrade risk flatten'
          FROM algo_orders a JOIN instruments i ON i.id = a.instrument_id
         WHERE a.account_id = p_account AND a.status = 'failed' AND a.ended_at > p_at - v_remembered GROUP BY i.symbol)
    SELECT coalesce(jsonb_agg(to_jsonb(c) || jsonb_build_object('id', gen_random_uuid(), 'is_beyond', true)), '[]') FROM conditions c);
END $$;

-- Of the markets that an account's strategies trade or hold: no bar for three minutes (counted from when its books were last found right,
-- since what came before nobody waits for), signals refused for their price within five, and bars of the last ten that could not be used.
CREATE OR REPLACE FUNCTION market_conditions(p_account uuid, p_at timestamptz) RETURNS jsonb LANGUAGE plpgsql STABLE AS $$
DECLARE
    v_patience constant interval := interval '3 minutes';
BEGIN
    RETURN (
    WITH wanted AS (
        SELECT i.id, i.symbol
          FROM accounts a
          JOIN strategy_environment_configs c ON c.account_id = a.id AND c.enabled
          JOIN strategies s ON s.id = c.strategy_id AND s.is_active AND s.enabled
          JOIN strategy_symbols y ON y.strategy_id = s.id
          JOIN instruments i ON i.venue = a.venue AND i.symbol = y.symbol
         WHERE a.id = p_account
        UNION
        SELECT p.instrument_id, p.symbol FROM strategy_positions p WHERE p.account_id = p_account AND p.status = 'open'),
    conditions (alert_type, severity, title, message, symbol, current_value, threshold_value, recommendation) AS (
        SELECT 'market_silent', 'high', 'a market without news',
               format('no bar of %s since %s', w.symbol, to_char(max(k.last_close_time) AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS')),
               w.symbol, extract(epoch FROM p_at - max(k.last_close_time))::float8, extract(epoch FROM v_patience)::float8,
               'nothing is opened there until bars come again; exits go on'
          FROM wanted w JOIN series k ON k.instrument_id = w.id JOIN account_states s ON s.account_id = p_account
         GROUP BY w.id, w.symbol, s.since HAVING greatest(max(k.last_close_time), s.since) <= p_at - v_patience
        UNION ALL
        SELECT 'market_doubtful', 'medium', 'signals refused for their price',
               format('%s: %s', g.symbol, (array_agg(c.detail ORDER BY v.decided_at DESC))[1]), g.symbol, count(*)::float8, 0,
               'compare with another source; trading goes on by itself once the market is right'
          FROM verdicts v JOIN signals g ON g.id = v.signal_id JOIN verdict_checks c ON c.verdict_id = v.id
         WHERE v.decided_at > p_at - interval '5 minutes' AND g.account_id = p_account
           AND NOT c.passed AND (c.name IN ('price_sanity', 'price_age') OR
                                 (c.name = 'locks' AND c.detail ~ '\((stale_data|spread|clock_skew)\)'))
         GROUP BY g.symbol
        UNION ALL
        SELECT 'bars_unusable', 'medium', 'bars that cannot be used',
               format('%s: %s', w.symbol, (array_agg(k.last_error ORDER BY k.updated_at DESC))[1]), w.symbol, count(*)::float8, 0,
               'nothing is decided on them; compare with the venue'
          FROM wanted w JOIN coverage_of_requests k ON k.instrument_id = w.id
         WHERE k.failed && tstzmultirange(tstzrange(p_at - interval '10 minutes', p_at)) GROUP BY w.id, w.symbol)
    SELECT coalesce(jsonb_agg(to_jsonb(c) || jsonb_build_object('id', gen_random_uuid(), 'is_beyond', true)), '[]') FROM conditions c);
END $$;

-- Raises, updates and resolves them; what changed, for whoever publishes it.
CREATE OR REPLACE FUNCTION settle_order_alerts(p_account uuid, p_role text, p_epoch bigint, p_at timestamptz)
RETURNS TABLE (change text, alert jsonb) LANGUAGE plpgsql AS $$
BEGIN
    PERFORM require_lease(p_role, p_epoch);
    RETURN QUERY SELECT s.change, s.alert FROM settle_alerts(p_account, p_at, order_conditions(p_account, p_at) || market_conditions(p_account, p_at), ARRAY[
        'order_unknown', 'fill_quarantined', 'fill_inferred', 'late_fill', 'position_closed_by_venue', 'books_differ', 'venue_silent',
        'stream_down', 'algo_order_failed', 'position_unguarded', 'market_silent', 'market_doubtful', 'bars_unusable']) s;
END $$;
