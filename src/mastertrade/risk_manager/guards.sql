-- name: lock_scope
-- Why: a protection holds entries back; one that lasts as long already changes nothing.
SELECT lock_scope(:scope, :kind, :reason, '{}', :at, :until);

-- name: round_trips
-- Why: what became of a strategy's last positions, the newest first.
SELECT p.closed_at, p.instrument_id, p.symbol, p.realized_pnl::numeric AS result,
       coalesce(round(100 * p.realized_pnl / nullif(t.spent, 0), 6), 0)::numeric AS percent,
       EXISTS (SELECT 1 FROM risk_exits e
                WHERE e.account_id = p.account_id AND e.strategy_id = p.strategy_id AND e.instrument_id = p.instrument_id
                  AND e.kind = 'stop' AND e.wanted_at >= p.opened_at AND e.wanted_at <= p.closed_at) AS is_stop
  FROM strategy_positions p
  LEFT JOIN LATERAL (
       SELECT sum(f.quantity * f.price) AS spent FROM trades f JOIN orders o ON o.id = f.order_id
        WHERE o.strategy_id = p.strategy_id AND f.account_id = p.account_id AND f.instrument_id = p.instrument_id
          AND f.side = CASE p.side WHEN 'short' THEN 'SELL' ELSE 'BUY' END AND f.trade_time >= p.opened_at AND f.trade_time <= p.closed_at) t ON true
 WHERE p.strategy_id = :strategy_id AND p.account_id = :account_id AND p.status = 'closed' AND p.closed_at <= :at
 ORDER BY p.closed_at DESC, p.id DESC LIMIT :count;

-- name: markets_now
-- Why: every market that strategies of these venues trade: its last candle, and how wide it is quoted where that is recorded.
SELECT DISTINCT i.id AS instrument_id, i.symbol, s.last_close_time AS last_close, s.interval_s,
       (SELECT round((100 * (q.ask - q.bid) / ((q.ask + q.bid) / 2))::numeric, 6) FROM market_tickers q
         WHERE q.venue = i.venue AND q.symbol = i.symbol AND q.bid > 0 AND q.ask > 0
           AND q.time > :at::timestamptz - interval '5 minutes' AND q.time <= :at
         ORDER BY q.time DESC, q.sequence DESC LIMIT 1) AS spread_percent
  FROM strategies g
  JOIN strategy_environment_configs c ON c.strategy_id = g.id
  JOIN accounts a ON a.id = c.account_id AND a.venue = ANY(:venues::text[])
  JOIN strategy_symbols y ON y.strategy_id = g.id
  JOIN instruments i ON i.venue = a.venue AND i.symbol = y.symbol
 CROSS JOIN LATERAL (SELECT n.last_close_time, n.interval_s FROM series n
                      WHERE n.instrument_id = i.id ORDER BY n.last_close_time DESC, n.interval_s LIMIT 1) s
 WHERE g.is_active AND g.enabled AND s.last_close_time <= :at ORDER BY i.id LIMIT 10000;

-- name: rejects
-- Why: a venue that turns down one order after another is not asked for more.
SELECT o.account_id, count(*)::int AS count FROM orders o JOIN accounts a ON a.id = o.account_id AND a.venue = ANY(:venues)
 WHERE o.status = 'REJECTED' AND o.order_time > :at::timestamptz - interval '1 minute' AND o.order_time <= :at
 GROUP BY o.account_id;

-- name: account_loss
-- Why: how far an account is below its highest equity and below the day's start, at its last mark.
SELECT equity, high_water_mark, CASE WHEN day = (:at::timestamptz AT TIME ZONE 'UTC')::date THEN day_start_equity ELSE equity END
       AS day_start_equity, coalesce(b.override_until > :at, false) AS is_held_open
  FROM account_marks m LEFT JOIN risk_breakers b ON b.account_id = m.account_id WHERE m.account_id = :account_id;

-- name: set_breaker
-- Why: a change of level is kept, and known by whoever asks what was before.
SELECT set_breaker(:account_id, :level, :drawdown, :day_loss, :at);

-- name: override_breaker
-- Why: somebody answers for entries in spite of the losses, until the day ends.
SELECT override_breaker(:account_id, :reason, :actor, :at);

-- name: breakers
-- Why: how far each account is from its next level.
SELECT a.id AS account_id, a.name AS account, coalesce(b.level, 'none') AS level, m.marked_at, b.changed_at,
       CASE WHEN b.override_until > m.marked_at THEN b.override_until END AS override_until, b.override_by, b.override_reason,
       round(100 * (1 - m.equity / nullif(m.high_water_mark, 0)), 4)::float8 AS drawdown_percent,
       greatest(round(100 * (1 - m.equity / nullif(m.day_start_equity, 0)), 4), 0)::float8 AS day_loss_percent
  FROM accounts a JOIN account_marks m ON m.account_id = a.id LEFT JOIN risk_breakers b ON b.account_id = a.id
 WHERE :account::text IS NULL OR lower(:account) IN (lower(a.name), a.id::text)
 ORDER BY m.marked_at DESC, a.created_at DESC LIMIT 100;

-- name: locks
-- Why: what holds entries back, where, until when and why; with those of before on request.
SELECT k.id, k.scope, k.kind, k.reason, k.starts_at, k.ends_at, k.lifted_at, k.lifted_by, k.lift_reason,
       coalesce(a.name, s.name, i.symbol || ' on ' || i.venue, k.scope) AS name,
       k.lifted_at IS NULL AND k.ends_at > :at::timestamptz AS is_live
  FROM risk_locks k
  LEFT JOIN accounts a ON k.scope = 'account:' || a.id
  LEFT JOIN strategies s ON k.scope = 'strategy:' || s.id
  LEFT JOIN instruments i ON k.scope = 'instrument:' || i.id
 WHERE :with_past::boolean OR (k.lifted_at IS NULL AND k.ends_at > :at)
 ORDER BY 11 DESC, k.starts_at DESC, k.id LIMIT 1000;

-- name: lift_lock
-- Why: somebody answers for entries in spite of it; who and why are kept.
SELECT (lift_lock(:id, :reason, :actor, :at)).id;

-- name: reference_market
-- Why: bitcoin in the venue's main currency speaks for the market.
SELECT i.id FROM instruments i JOIN series s ON s.instrument_id = i.id
 WHERE i.venue = :venue AND i.base = 'BTC' AND i.quote IN ('USDT', 'USDC', 'USD', 'FDUSD', 'EUR')
 ORDER BY s.rows DESC, i.id LIMIT 1;

-- name: fear_and_greed
-- Why: the last index of fear and greed somebody stored, while it is not older than two days.
SELECT (data ->> 'value')::float8 FROM sentiment_data
 WHERE partition_key = 'fear_greed_index' AND ts <= :at::timestamptz AND ts > :at - interval '48 hours'
   AND jsonb_typeof(data -> 'value') = 'number'
 ORDER BY ts DESC LIMIT 1;

-- name: set_regime
-- Why: a change of the weather is kept, with what it was made of.
SELECT set_regime(:venue, :regime, :factor, :volatility, :mean, :fear_greed, :at);

-- name: regimes
-- Why: what the weather is and was, the newest first.
SELECT venue, since, regime, factor, volatility, mean, fear_greed FROM risk_regimes ORDER BY since DESC, venue LIMIT :count;
