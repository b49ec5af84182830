-- name: lineage
-- Why: one order explained, by any of its ids or its signal's.
SELECT * FROM v_lineage
 WHERE :order_text IN (client_order_id, order_id::text, exchange_order_id, signal_id::text)
 ORDER BY order_time DESC, order_id DESC LIMIT 1;

-- name: signal_lineage
-- Why: a signal that never became an order is explained by its verdict.
SELECT s.id AS signal_id, s.symbol, s.signal_type, s.confidence, s.price AS signal_price, s.timeframe_s, s.bar_close,
       s.timestamp AS signal_time, s.evidence, st.name AS strategy, a.name AS account, a.venue, a.environment,
       v.id AS verdict_id, v.disposition, v.requested_quantity, v.approved_quantity, v.reason AS verdict_reason, v.equity,
       v.decided_at,
       (SELECT jsonb_agg(jsonb_build_object('name', c.name, 'value', c.value, 'limit', c."limit", 'unit', c.unit,
                                            'passed', c.passed, 'detail', c.detail) ORDER BY c.position)
          FROM verdict_checks c WHERE c.verdict_id = v.id) AS checks
  FROM signals s
  JOIN strategies st ON st.id = s.strategy_id
  LEFT JOIN accounts a ON a.id = s.account_id
  LEFT JOIN verdicts v ON v.signal_id = s.id
 WHERE s.id::text = :signal_text;

-- name: last_order
-- Why: the order that was written last, which in a replay need not be the one with the latest market time.
SELECT o.id::text AS id, o.client_order_id
  FROM order_events e JOIN orders o ON o.id = e.order_id
 WHERE e.event_type = 'created' AND (:account_id::uuid IS NULL OR o.account_id = :account_id)
 ORDER BY e.id DESC LIMIT 1;

-- name: last_refusal
-- Why: the newest signal that was not approved.
SELECT signal_id::text FROM verdicts WHERE disposition NOT IN ('approved', 'reduced')
 ORDER BY decided_at DESC, id DESC LIMIT 1;

-- name: overview
-- Why: one look at everything that moves.
SELECT (SELECT max(position + make_interval(secs => interval_s)) FROM feeds) AS market_time,
       (SELECT coalesce(sum(rows), 0)::bigint FROM series) AS candles,
       (SELECT count(*) FROM series WHERE rows > 0) AS series,
       (SELECT count(*) FROM signals) AS signals,
       v.approved, v.reduced, v.refused, o.orders, o.open_orders, o.unknown_orders,
       (SELECT count(*) FROM trades) AS fills,
       (SELECT count(*) FROM arbitrage_opportunities) AS opportunities,
       (SELECT count(*) FROM deliveries) AS waiting_events,
       (SELECT count(*) FROM dead_letters) AS dead_letters
  FROM (SELECT count(*) FILTER (WHERE disposition = 'approved') AS approved,
               count(*) FILTER (WHERE disposition = 'reduced') AS reduced,
               count(*) FILTER (WHERE disposition NOT IN ('approved', 'reduced')) AS refused
          FROM verdicts) v
 CROSS JOIN (SELECT count(*) AS orders,
                    count(*) FILTER (WHERE status NOT IN ('FILLED', 'CANCELED', 'EXPIRED', 'REJECTED', 'NOT_FOUND')) AS open_orders,
                    count(*) FILTER (WHERE status = 'UNKNOWN') AS unknown_orders
               FROM orders) o;

-- name: running
-- Why: a role is held as long as its holder's session lock, whatever the lease's row says.
SELECT l.role, l.holder, l.epoch, l.taken_at
  FROM leases l
 WHERE EXISTS (SELECT 1 FROM pg_locks k
                WHERE k.locktype = 'advisory' AND k.granted
                  AND k.database = (SELECT oid FROM pg_database WHERE datname = current_database())
                  AND (k.classid::bigint << 32 | k.objid::bigint) = hashtextextended('role:' || l.role, 0))
 ORDER BY l.role LIMIT 100;

-- name: feeds
-- Why: how far each market has been played, the furthest first.
SELECT name, source, position + make_interval(secs => interval_s) AS stands_at, batches FROM feeds
 WHERE batches > 0 ORDER BY stands_at DESC, name LIMIT :page;

-- name: recent_orders
-- Why: what happened last, for people.
SELECT o.client_order_id, o.symbol, o.side, o.quantity, o.status, o.avg_fill_price, o.order_time, s.name AS strategy
  FROM order_events e JOIN orders o ON o.id = e.order_id LEFT JOIN strategies s ON s.id = o.strategy_id
 WHERE e.event_type = 'created'
 ORDER BY e.id DESC LIMIT :page;

-- name: account_counts
-- Why: a demo reports what its own account did, whatever else the database holds.
SELECT (SELECT count(*) FROM signals WHERE account_id = :account_id) AS signals,
       (SELECT count(*) FROM verdicts v JOIN signals s ON s.id = v.signal_id
         WHERE s.account_id = :account_id AND v.disposition = 'approved') AS approved,
       (SELECT count(*) FROM verdicts v JOIN signals s ON s.id = v.signal_id
         WHERE s.account_id = :account_id AND v.disposition = 'reduced') AS reduced,
       (SELECT count(*) FROM verdicts v JOIN signals s ON s.id = v.signal_id
         WHERE s.account_id = :account_id AND v.disposition NOT IN ('approved', 'reduced')) AS refused,
       (SELECT count(*) FROM orders WHERE account_id = :account_id) AS orders,
       (SELECT count(*) FROM trades WHERE account_id = :account_id) AS fills;

-- name: refusal_reasons
-- Why: the checks that refuse most are what a person wants to see first.
SELECT c.name, count(*) AS times
  FROM verdict_checks c JOIN verdicts v ON v.id = c.verdict_id JOIN signals s ON s.id = v.signal_id
 WHERE s.account_id = :account_id AND NOT c.passed AND v.disposition NOT IN ('approved', 'reduced')
 GROUP BY c.name ORDER BY times DESC, c.name LIMIT :page;

-- name: trading_states
-- Why: every scope whose trading was ever changed, the global one first.
SELECT scope, mode, reason, actor, version, changed_at FROM trading_state ORDER BY (scope = 'global') DESC, scope LIMIT 1000;

-- name: positions
-- Why: what is held now.
SELECT a.name AS account, s.name AS strategy, p.symbol, signed_quantity(p.side, p.quantity) AS quantity, p.entry_price,
       p.current_price, p.realized_pnl + p.funding AS realized_pnl, p.opened_at
  FROM strategy_positions p JOIN strategies s ON s.id = p.strategy_id JOIN accounts a ON a.id = p.account_id
 WHERE p.status = 'open' AND (:account_id::uuid IS NULL OR p.account_id = :account_id)
 ORDER BY a.name, p.symbol, s.name LIMIT 1000;

-- name: balances
-- Why: what each account owns and has promised.
SELECT a.name AS account, b.asset, b.free_balance, b.locked_balance
  FROM portfolio_balances b JOIN accounts a ON a.id = b.account_id
 WHERE (b.free_balance <> 0 OR b.locked_balance <> 0) AND (:account_id::uuid IS NULL OR b.account_id = :account_id)
 ORDER BY a.name, b.asset LIMIT 1000;

-- name: server
-- Why: the doctor names what it looked at.
SELECT current_setting('server_version') AS version, current_setting('data_checksums') AS data_checksums,
       current_setting('fsync') AS fsync, current_setting('full_page_writes') AS full_page_writes,
       current_setting('synchronous_commit') AS synchronous_commit, current_database() AS database,
       pg_database_size(current_database()) AS bytes, clock_timestamp() AS server_time;

-- name: stuck_orders
-- Why: an order nobody has an answer for needs a person.
SELECT client_order_id, symbol, unknown_since FROM orders WHERE status = 'UNKNOWN' ORDER BY unknown_since LIMIT 20;

-- name: needs_a_person
-- Why: what no program will put right by itself, counted.
SELECT (SELECT count(*) FROM deliveries) AS waiting, (SELECT count(*) FROM dead_letters) AS dead,
       (SELECT count(*) FROM quarantined_fills) AS quarantined,
       (SELECT coalesce(string_agg(scope || ' (' || reason || ')', '; ' ORDER BY scope), '')
          FROM trading_state WHERE mode <> 'running') AS halted;

-- name: next_demo
-- Why: each demo has an account of its own, so that none disturbs another.
SELECT count(*) + 1 FROM accounts WHERE name LIKE 'demo-%';

-- name: feed_candles
-- Why: what is stored of the played markets, and the holes in it.
SELECT coalesce(sum(s.rows), 0)::bigint AS rows, coalesce(sum(g.gaps), 0)::bigint AS gaps, coalesce(sum(g.missing), 0)::bigint AS missing
  FROM series s
  JOIN instruments i ON i.id = s.instrument_id
  JOIN feeds f ON f.name = :feed AND f.interval_s = s.interval_s
  CROSS JOIN LATERAL (SELECT count(*) AS gaps, sum(missing) AS missing
                        FROM candle_gaps(s.instrument_id, s.interval_s, s.first_open_time, s.last_close_time)) AS g
 WHERE i.venue || ' ' || i.symbol = ANY(:venue_symbols::text[]);

-- name: account_equity
-- Why: the risk manager's last mark of what the account is worth.
SELECT equity FROM account_marks WHERE account_id = :account_id;

-- name: opportunities_since
-- Why: what the arbitrage service saw in the replayed time.
SELECT count(*) FROM arbitrage_opportunities WHERE timestamp > :since AND timestamp <= :until;

-- name: feed_has_begun
-- Why: a feed that has played a batch has its history already; one that was only begun may have been interrupted before.
SELECT EXISTS (SELECT 1 FROM feeds WHERE name = :feed AND batches > 0);

-- name: run_status
-- Why: what one account and its feed are doing now, in one round trip a second.
WITH account AS (SELECT id, name FROM accounts WHERE name = :account)
SELECT (SELECT name FROM account) AS account,
       (SELECT position + make_interval(secs => interval_s) FROM feeds WHERE name = :feed) AS market_time,
       coalesce((SELECT mode FROM trading_state WHERE scope = 'global'), 'running') AS trading,
       m.equity, m.high_water_mark,
       (SELECT state FROM account_states t, account a WHERE t.account_id = a.id) AS books,
       (SELECT t.reason FROM account_states t, account a WHERE t.account_id = a.id AND t.state <> 'live') AS books_reason,
       (SELECT coalesce(sum(rows), 0)::bigint FROM series) AS candles,
       (SELECT count(*) FROM signals s, account a WHERE s.account_id = a.id) AS signals,
       v.approved, v.reduced, v.refused, o.orders, o.open_orders, o.unknown_orders,
       (SELECT count(*) FROM trades t, account a WHERE t.account_id = a.id) AS fills,
       (SELECT coalesce(jsonb_agg(jsonb_build_object('symbol', p.symbol, 'quantity',
                                                     trim_scale(signed_quantity(p.side, p.quantity))::text)
                                  ORDER BY p.symbol, p.quantity), '[]')
          FROM strategy_positions p, account a WHERE p.account_id = a.id AND p.status = 'open') AS positions,
       (SELECT count(*) FROM arbitrage_opportunities) AS opportunities,
       (SELECT count(*) FROM deliveries) AS waiting_events,
       (SELECT count(*) FROM dead_letters) AS dead_letters
  FROM (SELECT count(*) FILTER (WHERE v.disposition = 'approved') AS approved,
               count(*) FILTER (WHERE v.disposition = 'reduced') AS reduced,
               count(*) FILTER (WHERE v.disposition NOT IN ('approved', 'reduced')) AS refused
          FROM verdicts v JOIN signals s ON s.id = v.signal_id JOIN account a ON a.id = s.account_id) v
 CROSS JOIN (SELECT count(*) AS orders,
                    count(*) FILTER (WHERE status NOT IN ('FILLED', 'CANCELED', 'EXPIRED', 'REJECTED', 'NOT_FOUND')) AS open_orders,
                    count(*) FILTER (WHERE status = 'UNKNOWN') AS unknown_orders
               FROM orders JOIN account a ON a.id = account_id) o
  LEFT JOIN (SELECT k.equity, k.high_water_mark FROM account_marks k JOIN account a ON a.id = k.account_id) m ON true;

-- name: finer_series
-- Why: bars are built from the finest candles stored of an instrument, so strategies would not see coarser ones.
SELECT i.venue, i.symbol, min(s.interval_s) AS interval_s
  FROM series s JOIN instruments i ON i.id = s.instrument_id
 WHERE i.venue || ' ' || i.symbol = ANY(:venue_symbols::text[]) AND s.rows > 0 AND s.interval_s < :interval_s
 GROUP BY i.venue, i.symbol ORDER BY i.venue, i.symbol LIMIT 1;
