-- name: book_account
-- Why: the account somebody names, else the one that was marked last; its market's time is that of its last mark.
SELECT a.id, a.name, a.venue, a.quote_asset, m.marked_at, m.equity, m.high_water_mark, m.high_water_at,
       m.max_drawdown::numeric AS max_drawdown
  FROM accounts a JOIN account_marks m ON m.account_id = a.id
 WHERE :account::text IS NULL OR :account IN (a.name, a.id::text)
 ORDER BY m.marked_at DESC, a.created_at DESC LIMIT 1;

-- name: account_names
-- Why: an error says which accounts there are.
SELECT a.name FROM accounts a ORDER BY a.created_at DESC LIMIT 10;

-- name: holdings
-- Why: every asset of an account with its market and what it was worth at the last close known then.
SELECT b.asset, i.id AS instrument_id, coalesce(i.symbol, b.asset || '/' || a.quote_asset) AS symbol,
       b.free_balance + b.locked_balance AS quantity,
       CASE WHEN b.asset = a.quote_asset THEN b.free_balance + b.locked_balance
            ELSE round((b.free_balance + b.locked_balance) * c.close::numeric, 10) END AS value
  FROM portfolio_balances b
  JOIN accounts a ON a.id = b.account_id
  LEFT JOIN instruments i ON i.venue = a.venue AND i.symbol = b.asset || '/' || a.quote_asset
  LEFT JOIN LATERAL last_candle(i.id, :as_of) c ON true
 WHERE b.account_id = :account_id AND b.free_balance + b.locked_balance <> 0
 UNION ALL
SELECT i.base, i.id, i.symbol, p.quantity, round(coalesce(p.quantity * c.close::numeric, p.cost), 10)
  FROM contract_positions p
  JOIN instruments i ON i.id = p.instrument_id
  LEFT JOIN LATERAL last_candle(i.id, :as_of) c ON true
 WHERE p.account_id = :account_id AND p.quantity <> 0
 ORDER BY asset;

-- name: store_risk
-- Why: each day keeps its last figures, by account and method; an older measurement changes nothing.
WITH metrics AS (
    INSERT INTO risk_metrics (account_id, date, timestamp, metrics)
    VALUES (:account_id, (:as_of::timestamptz AT TIME ZONE 'UTC')::date, :as_of, :metrics)
    ON CONFLICT (date, account_id) DO UPDATE SET timestamp = EXCLUDED.timestamp, metrics = EXCLUDED.metrics
     WHERE risk_metrics.timestamp <= EXCLUDED.timestamp),
correlations AS (
    INSERT INTO correlation_matrices (account_id, date, timestamp, correlations)
    VALUES (:account_id, (:as_of::timestamptz AT TIME ZONE 'UTC')::date, :as_of, :correlations)
    ON CONFLICT (date, account_id) DO UPDATE SET timestamp = EXCLUDED.timestamp, correlations = EXCLUDED.correlations
     WHERE correlation_matrices.timestamp <= EXCLUDED.timestamp)
INSERT INTO var_calculations (account_id, date, timestamp, method, "values")
SELECT :account_id, (:as_of::timestamptz AT TIME ZONE 'UTC')::date, :as_of, f.method, f.values
  FROM jsonb_to_recordset(:figures::jsonb) AS f (method text, values jsonb)
ON CONFLICT (date, account_id, method) DO UPDATE SET timestamp = EXCLUDED.timestamp, "values" = EXCLUDED."values"
 WHERE var_calculations.timestamp <= EXCLUDED.timestamp;

-- name: kept_forecasts
-- Why: what was forecast each day and what the account lost until the next day's last look, as parts of its value then;
-- money that came or went meanwhile is no gain and no loss.
SELECT d.forecast, d.loss
  FROM (SELECT m.date, (m.metrics ->> 'var_1d')::float8 / v.value AS forecast,
               (v.value + coalesce(f.flow, 0) - n.value) / v.value AS loss
          FROM risk_metrics m
         CROSS JOIN LATERAL (SELECT (m.metrics ->> 'total_portfolio_value')::float8 AS value) v
         CROSS JOIN LATERAL (
               SELECT (o.metrics ->> 'total_portfolio_value')::float8 AS value, o.timestamp FROM risk_metrics o
                WHERE o.account_id = m.account_id AND o.date = m.date + 1) n
          LEFT JOIN LATERAL (
               SELECT sum(a.value)::float8 AS flow FROM account_flows a
                WHERE a.account_id = m.account_id AND a.marked_at > m.timestamp AND a.marked_at <= n.timestamp) f ON true
         WHERE m.account_id = :account_id AND m.date < (:as_of::timestamptz AT TIME ZONE 'UTC')::date - 1 AND v.value > 0
         ORDER BY m.date DESC LIMIT :days) d
 ORDER BY d.date;

-- name: store_var_backtest
-- Why: each day keeps how the forecasts did until then.
INSERT INTO var_backtests AS v (account_id, date, method, confidence, timestamp, days, hits, light, "values")
SELECT :account_id, (:as_of::timestamptz AT TIME ZONE 'UTC')::date, f.method, f.confidence, :as_of, f.days, f.hits, f.light,
       f.values
  FROM jsonb_to_recordset(:found::jsonb) AS f (method text, confidence float8, days int, hits int, light text, "values" jsonb)
ON CONFLICT (account_id, date, method, confidence) DO UPDATE SET
    timestamp = EXCLUDED.timestamp, days = EXCLUDED.days, hits = EXCLUDED.hits, light = EXCLUDED.light, "values" = EXCLUDED."values"
 WHERE v.timestamp <= EXCLUDED.timestamp;
