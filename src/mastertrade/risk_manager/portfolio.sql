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
 ORDER BY b.asset;

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
