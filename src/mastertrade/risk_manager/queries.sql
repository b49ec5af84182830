-- name: begin_judging
-- Why: what is read after it stays true until the verdict commits, and a halt either is seen here or comes later. Events are told
-- by whoever can write one: only a signal that is stored like this is judged.
SELECT begin_judging(:account_id, :strategy_id, :instrument_id) AS mode,
       (SELECT coalesce((s.account_id, s.strategy_id, s.instrument_id, s.symbol, s.signal_type, s.timeframe_s)
             = (:account_id, :strategy_id, :instrument_id, :symbol, :signal_type, :timeframe_s)
           AND (s.bar_close, s.timestamp, s.valid_until) = (:bar_close, :raised_at, :valid_until)
           AND (s.quantity, s.limit_price, s.turns) IS NOT DISTINCT FROM (:quantity, :limit_price, :turns)
           AND CASE s.terms WHEN '{}' THEN :ordinary::jsonb ELSE s.terms END = :terms::jsonb
           AND round(s.price, 10) = round(:price::numeric, 10), false)
          FROM signals s WHERE s.id = :signal_id) AS is_as_stored;

-- name: load_case
-- Why: everything a judgement looks at, in one snapshot. Prices come from the stored candles, not from the marks, so that
-- the order in which consumers see a minute does not change a decision.
WITH held AS MATERIALIZED (SELECT * FROM holdings_at(:account_id, :now))
SELECT i.*, a.venue AS account_venue, a.quote_asset, a.kind AS account_kind, a.leverage,
       s.enabled AND coalesce(c.enabled, true) AS strategy_is_enabled,
       coalesce(c.risk_multiplier, 1)::float8 AS risk_multiplier, c.max_position_size,
       l.close AS last_close, l.close_time AS last_close_time, u.usual_close, limits_version() AS limits_version,
       (SELECT round(coalesce(sum(h.equity), 0), 10) FROM held h) AS equity,
       h.assets, h.instruments, h.values,
       m.equity AS marked_equity, m.high_water_mark, m.day AS marked_day, m.day_start_equity, m.week_start_equity,
       v.venue_equity, v.total_equity,
       n.at AS counted_at, n.this_second, n.this_minute, n.this_day,
       -- With cross margin what positions have lost is no longer free.
       (coalesce(q.free_balance, 0) + CASE a.kind WHEN 'swap' THEN least(0, (
           SELECT coalesce(sum(h.equity), 0) FROM held h WHERE h.asset <> a.quote_asset)) ELSE 0 END)::numeric AS quote_free,
       CASE a.kind WHEN 'swap' THEN a.leverage * (
                SELECT coalesce(sum(r.remaining), 0) FROM reservations r
                 WHERE r.account_id = a.id AND r.asset = i.quote AND r.released_at IS NULL)
            ELSE coalesce(q.locked_balance, 0) END::numeric AS quote_reserved,
       coalesce(b.free_balance, 0)::numeric AS base_free,
       CASE a.kind WHEN 'swap' THEN (SELECT coalesce(sum(abs(h.quantity)), 0) FROM held h WHERE h.asset = i.base)
            ELSE coalesce(b.free_balance + b.locked_balance, 0) END::numeric AS base_held,
       a.leverage * (SELECT coalesce(sum(r.remaining), 0) FROM reservations r JOIN approvals p ON p.reservation_id = r.id
         WHERE r.account_id = a.id AND r.asset = i.quote AND r.released_at IS NULL
           AND p.instrument_id = i.id AND (p.side = 'BUY' OR a.kind = 'swap')) AS pending_buys,
       p.own AS position_quantity, p.others AS others_quantity,
       CASE a.kind WHEN 'swap' THEN (
                SELECT t.maintenance_rate FROM leverage_tiers t
                 WHERE t.instrument_id = i.id AND t.notional_from <= a.leverage * (SELECT sum(h.equity) FROM held h)
                   AND t.valid_from = (SELECT max(v.valid_from) FROM leverage_tiers v
                                        WHERE v.instrument_id = i.id AND v.valid_from <= :now)
                 ORDER BY t.notional_from DESC LIMIT 1) END::float8 AS maintenance_rate,
       in_flight(a.id, s.id, i.id, :now) AS in_flight,
       (SELECT r.regime FROM risk_regimes r WHERE r.venue = a.venue AND r.since <= :now ORDER BY r.since DESC LIMIT 1) AS regime,
       s.configuration ->> 'sizing' AS sizing_method, t.trades, t.win_rate, t.payoff,
       (SELECT count(DISTINCT o.strategy_id)::int FROM strategy_positions o
         WHERE o.account_id = a.id AND o.status = 'open' AND o.strategy_id <> s.id) AS holding,
       (SELECT format('held open until %s by %s: %s', to_char(k.override_until AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI'),
                      k.override_by, k.override_reason)
          FROM risk_breakers k WHERE k.account_id = a.id AND k.override_until > :now) AS breaker_override,
       (SELECT string_agg(format('%s is %s by %s: %s', t.scope, t.mode, t.actor, t.reason), ', ' ORDER BY t.scope)
          FROM trading_state t WHERE t.mode <> 'running'
           AND t.scope = ANY (w.scopes)) AS halts,
       (SELECT string_agg(format('%s until %s (%s): %s', k.scope, to_char(k.ends_at AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI'),
                                 k.kind, k.reason), ', ' ORDER BY k.scope, k.kind)
          FROM risk_locks k WHERE k.lifted_at IS NULL AND k.starts_at <= :now AND k.ends_at > :now
           AND k.scope = ANY (w.scopes)) AS locks
  FROM accounts a
  JOIN strategies s ON s.id = :strategy_id
  JOIN instruments i ON i.id = :instrument_id
  LEFT JOIN strategy_environment_configs c ON c.strategy_id = s.id
  LEFT JOIN account_marks m ON m.account_id = a.id
  LEFT JOIN approval_counts n ON n.account_id = a.id
  LEFT JOIN portfolio_balances q ON q.account_id = a.id AND q.asset = i.quote
  LEFT JOIN portfolio_balances b ON b.account_id = a.id AND b.asset = i.base
  LEFT JOIN LATERAL last_candle(i.id, :now) l ON true
  LEFT JOIN LATERAL (
       SELECT CASE WHEN count(*) = 5 THEN percentile_disc(0.5) WITHIN GROUP (ORDER BY k.close) END AS usual_close
         FROM (SELECT x.close FROM candles x
                WHERE x.instrument_id = i.id AND x.interval_s = l.interval_s AND x.open_time < l.close_time
                  AND x.open_time >= l.close_time - make_interval(secs => 30 * l.interval_s)
                ORDER BY x.open_time DESC LIMIT 5) k) u ON true
 CROSS JOIN LATERAL (
       SELECT count(*)::int AS trades, (count(*) FILTER (WHERE p.realized_pnl > 0))::float8 / nullif(count(*), 0) AS win_rate,
              (avg(p.realized_pnl) FILTER (WHERE p.realized_pnl > 0)
               / nullif(-avg(p.realized_pnl) FILTER (WHERE p.realized_pnl <= 0), 0))::float8 AS payoff
         FROM (SELECT o.realized_pnl FROM strategy_positions o
                WHERE o.strategy_id = s.id AND o.account_id = a.id AND o.status = 'closed'
                ORDER BY o.closed_at DESC LIMIT 500) p) t
 CROSS JOIN LATERAL (
       SELECT coalesce(sum(signed_quantity(o.side, o.quantity)) FILTER (WHERE o.strategy_id = s.id), 0) AS own,
              coalesce(sum(signed_quantity(o.side, o.quantity)) FILTER (WHERE o.strategy_id <> s.id), 0) AS others
         FROM strategy_positions o WHERE o.instrument_id = i.id AND o.account_id = a.id AND o.status = 'open') p
 CROSS JOIN LATERAL scopes_around(a.id, s.id, i.id) AS w (scopes)
 CROSS JOIN LATERAL (
       SELECT coalesce(array_agg(e.asset ORDER BY e.asset), '{}') AS assets,
              coalesce(array_agg(e.instrument_id ORDER BY e.asset), '{}') AS instruments,
              coalesce(array_agg(e.value ORDER BY e.asset), '{}') AS values
         FROM held e WHERE e.asset NOT IN (a.quote_asset, i.base) AND e.value <> 0) h
 CROSS JOIN LATERAL (
       SELECT coalesce(sum(k.equity) FILTER (WHERE o.venue = a.venue), 0)::numeric AS venue_equity,
              coalesce(sum(k.equity), 0)::numeric AS total_equity
         FROM account_marks k JOIN accounts o ON o.id = k.account_id AND o.environment = a.environment) v
 WHERE a.id = :account_id;

-- name: limits_version
-- Why: a change is made only where nobody changed anything since it was looked at.
SELECT limits_version();

-- name: limit_rows
-- Why: the limits scopes have of their own; read again only when their version has changed.
SELECT scope, name, value::numeric AS value, version, reason, actor, changed_at FROM current_risk_limits LIMIT 100000;

-- name: commit_verdict
-- Why: verdict, checks, reservation and approval are one call: all of them or none.
SELECT commit_verdict(:verdict_id, :signal_id, :disposition, :requested, :approved, :reason, :equity, :decided_at, :checks,
                      :approval, :limits_version, :inputs);

-- name: mark_book
-- Why: once a minute every position and account is worth something else.
SELECT mark_book(:venues, :at);

-- name: move_position
-- Why: a fill opened or changed a position; the fill carries what is held after it.
INSERT INTO risk_positions AS p (id, strategy_id, account_id, instrument_id, symbol, side, quantity, entry_price, current_price,
                                 unrealized_pnl, realized_pnl, position_value_usd, created_at, updated_at)
SELECT :id, :strategy_id, :account_id, :instrument_id, :symbol, CASE WHEN f.quantity < 0 THEN 'short' ELSE 'long' END,
       abs(f.quantity), f.entry_price, f.price, round((f.price - f.entry_price) * f.quantity, 18), :realized_pnl,
       round(f.price * abs(f.quantity), 18), :at, :at
  FROM (SELECT :quantity::numeric AS quantity, :entry_price::numeric AS entry_price, :price::numeric AS price) f
ON CONFLICT (instrument_id, account_id, strategy_id) WHERE status = 'open' AND instrument_id IS NOT NULL DO UPDATE SET
    quantity = EXCLUDED.quantity, entry_price = EXCLUDED.entry_price, current_price = EXCLUDED.current_price,
    unrealized_pnl = EXCLUDED.unrealized_pnl, realized_pnl = p.realized_pnl + EXCLUDED.realized_pnl,
    position_value_usd = EXCLUDED.position_value_usd, updated_at = greatest(p.updated_at, EXCLUDED.updated_at);

-- name: end_position
-- Why: a fill closed the position, or turned it into another side's; its stops have nothing left to protect.
WITH closed AS (
    UPDATE risk_positions
       SET status = 'closed', quantity = 0, current_price = :price, unrealized_pnl = 0, position_value_usd = 0,
           realized_pnl = realized_pnl + :realized_pnl::numeric, updated_at = greatest(updated_at, :at), closed_at = :at
     WHERE instrument_id = :instrument_id AND account_id = :account_id AND strategy_id = :strategy_id AND status = 'open'
       AND side IS DISTINCT FROM :kept_side::text
 RETURNING id)
UPDATE stop_losses s SET status = 'cancelled', updated_at = :at FROM closed c WHERE s.position_id = c.id AND s.status = 'active';

-- name: scope_ids
-- Why: people write names and symbols where the database keeps ids, and what does not exist would only look like safety.
SELECT id::text AS id FROM accounts WHERE :kind::text = 'account' AND lower(:name::text) IN (lower(name), id::text)
UNION ALL
SELECT id::text FROM strategies WHERE :kind = 'strategy' AND lower(:name) IN (lower(name), id::text)
UNION ALL
SELECT id::text FROM instruments WHERE :kind = 'instrument' AND upper(:name) IN (symbol, id::text)
UNION ALL
SELECT id FROM venues WHERE :kind = 'venue' AND id = lower(:name)
UNION ALL
SELECT upper(:name) WHERE :kind = 'asset' AND EXISTS (SELECT 1 FROM instruments WHERE base = upper(:name)) LIMIT 20;

-- name: halt_trading
-- Why: stops every opening order of a scope; once it has committed none leaves any more.
SELECT * FROM halt_trading(:scope, :reason, :actor, :at);

-- name: resume_trading
-- Why: the only way out of a halt, with who and why.
SELECT * FROM resume_trading(:scope, :reason, :actor, :at);

-- name: reduce_trading
-- Why: exits go on, nothing is opened or enlarged.
SELECT * FROM reduce_trading(:scope, :reason, :actor, :at);

-- name: trading_states
-- Why: people see what runs and what does not, the tightest first.
SELECT scope, mode, reason, actor, version, changed_at FROM trading_state
 ORDER BY array_position(ARRAY['halted', 'reduce_only', 'running'], mode), scope LIMIT 1000;
