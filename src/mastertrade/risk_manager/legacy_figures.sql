-- name: newest_market
-- Why: a symbol may trade on several venues; the one whose candles are the newest and the most speaks for it.
SELECT i.id, s.last_close_time FROM instruments i JOIN series s ON s.instrument_id = i.id
 WHERE i.symbol = :symbol ORDER BY s.last_close_time DESC, s.rows DESC, i.id LIMIT 1;

-- name: daily_closes
-- Why: what a market was worth at the end of each of its last whole days, oldest first.
SELECT d AS day, l.close
  FROM generate_series(date_trunc('day', :last::timestamptz, 'UTC') - make_interval(days => :days),
                       date_trunc('day', :last, 'UTC'), interval '1 day') d
 CROSS JOIN LATERAL last_candle(:instrument_id, d, interval '1 day') l
 ORDER BY d;

-- name: traded_volume
-- Why: what was traded in quote in the last 24 hours, by the finest candles there are.
SELECT sum(c.volume * c.close)::float8 FROM candles c
 WHERE c.instrument_id = :instrument_id AND c.open_time >= :last::timestamptz - interval '24 hours' AND c.open_time < :last
   AND c.interval_s = (SELECT min(s.interval_s) FROM series s
                        WHERE s.instrument_id = :instrument_id AND s.last_close_time > :last - interval '24 hours');

-- name: cached_volatility
-- Why: a day's volatility is not measured again within 24 hours.
SELECT volatility FROM symbol_volatility_cache
 WHERE symbol = :symbol AND period_days = :days AND refreshed_at > :now::timestamptz - interval '24 hours';

-- name: cache_volatility
-- Why: the next one who asks has it at once.
INSERT INTO symbol_volatility_cache (symbol, period_days, volatility, refreshed_at) VALUES (:symbol, :days, :volatility, :now)
ON CONFLICT (symbol, period_days) DO UPDATE SET volatility = EXCLUDED.volatility, refreshed_at = EXCLUDED.refreshed_at;

-- name: cached_liquidity
-- Why: what was traded is not summed again within 24 hours.
SELECT liquidity_score::float8 FROM symbol_liquidity_cache
 WHERE symbol = :symbol AND refreshed_at > :now::timestamptz - interval '24 hours';

-- name: cache_liquidity
-- Why: the next one who asks has it at once.
INSERT INTO symbol_liquidity_cache (symbol, liquidity_score, refreshed_at) VALUES (:symbol, :volume, :now)
ON CONFLICT (symbol) DO UPDATE SET liquidity_score = EXCLUDED.liquidity_score, refreshed_at = EXCLUDED.refreshed_at;

-- name: open_exposure
-- Why: what is held of each market, whoever holds it.
SELECT symbol, sum(quantity * coalesce(current_price, entry_price))::float8 AS value
  FROM risk_positions WHERE status = 'open' GROUP BY symbol ORDER BY symbol LIMIT 10000;

-- name: balances_and_profits
-- Why: all accounts together: money in their own currencies, what is reserved, what positions are worth and made.
SELECT (SELECT coalesce(sum(b.free_balance), 0) FROM portfolio_balances b JOIN accounts a
            ON a.id = b.account_id AND a.quote_asset = b.asset)::float8 AS free,
       (SELECT coalesce(sum(b.locked_balance), 0) FROM portfolio_balances b JOIN accounts a
            ON a.id = b.account_id AND a.quote_asset = b.asset)::float8 AS reserved,
       coalesce(sum(p.quantity * coalesce(p.current_price, p.entry_price)) FILTER (WHERE p.status = 'open'), 0)::float8 AS held,
       coalesce(sum(p.unrealized_pnl) FILTER (WHERE p.status = 'open'), 0)::float8 AS unrealized,
       coalesce(sum(p.realized_pnl), 0)::float8 AS realized
  FROM risk_positions p;

-- name: store_correlations
-- Why: one matrix a UTC day, the last one written wins.
INSERT INTO correlation_matrices (date, timestamp, correlations)
VALUES ((:at::timestamptz AT TIME ZONE 'UTC')::date, :at, :correlations)
ON CONFLICT (date, account_id) DO UPDATE SET timestamp = EXCLUDED.timestamp, correlations = EXCLUDED.correlations;

-- name: latest_correlations
-- Why: how markets moved together when somebody looked last.
SELECT correlations FROM correlation_matrices WHERE account_id IS NULL ORDER BY date DESC LIMIT 1;

-- name: store_var
-- Why: one row a UTC day and method, the last one written wins.
INSERT INTO var_calculations (date, timestamp, method, "values")
VALUES (coalesce(:date::date, (:at::timestamptz AT TIME ZONE 'UTC')::date), :at, :method, :values)
ON CONFLICT (date, account_id, method) DO UPDATE SET timestamp = EXCLUDED.timestamp, "values" = EXCLUDED."values";

-- name: store_snapshot
-- Why: a snapshot is what it was; an id that exists is left as it is.
INSERT INTO portfolio_snapshots (id, timestamp, snapshot) VALUES (:id, :at, :snapshot) ON CONFLICT (id) DO NOTHING;
