-- name: ensure_month_partitions
-- Why: a row needs the partition of its month before it can be stored.
-- idempotent: what is there already is left alone.
SELECT ensure_month_partitions(:table, :first, :last);

-- name: store_trades
-- Why: trades with their catalogue in one call; the same ones again change nothing.
SELECT new_places, other_places FROM store_trades(:instrument_id, :times, :ids, :prices, :amounts, :is_buy, :at);

-- name: store_funding
-- Why: funding rates with their catalogue in one call; the same ones again change nothing.
SELECT new_places, other_places FROM store_funding(:instrument_id, :times, :rates, :at);

-- name: store_books
-- Why: book snapshots and changes with their catalogue in one call; the same ones again change nothing.
SELECT new_places, other_places
  FROM store_books(:instrument_id, :times, :sequences, :is_snapshot, :first_sequences, :bid_counts, :ask_counts,
                   :bid_prices, :bid_amounts, :ask_prices, :ask_amounts, :at);

-- name: store_tickers
-- Why: tickers with their catalogue in one call; the same ones again change nothing.
SELECT new_places, other_places
  FROM store_tickers(:venue, :symbols, :times, :sequences, :bids, :bid_amounts, :asks, :ask_amounts, :lasts, :volumes, :at);

-- name: unanswered_kind
-- Why: a resumed download asks only for what no venue has answered yet.
SELECT lower(r) AS starts, upper(r) AS ends
  FROM unnest(tstzmultirange(tstzrange(:first, :last)) - coalesce(
       (SELECT answered FROM kind_coverage WHERE instrument_id = :instrument_id AND kind = :kind), '{}')) AS r
 ORDER BY 1 LIMIT 100000;

-- name: answer_kind
-- Why: what a venue has told completely is not asked for again.
-- idempotent: the same time again adds nothing.
INSERT INTO kind_coverage AS c (instrument_id, kind, answered, updated_at)
VALUES (:instrument_id, :kind, tstzmultirange(tstzrange(:first, :last)), :at)
ON CONFLICT (instrument_id, kind) DO UPDATE SET answered = c.answered + excluded.answered, updated_at = excluded.updated_at;

-- name: kind_series
-- Why: what there is beside candles, at a glance.
SELECT kind, venue, symbol, rows, first_time, last_time FROM kind_series
 WHERE (:kind::text IS NULL OR kind = :kind) AND (:venue::text IS NULL OR venue = :venue)
 ORDER BY kind, venue, symbol LIMIT :limit;

-- name: funding_rates
-- Why: a backtest of a swap books what it paid or got at each settlement.
SELECT time, rate FROM funding_rates
 WHERE instrument_id = :instrument_id AND time >= :first AND time < :last ORDER BY time LIMIT :limit;

-- name: market_trades
-- Why: single trades of a span, in the order of time.
SELECT time, trade_id, price, amount, is_buy FROM market_trades
 WHERE instrument_id = :instrument_id AND time >= :first AND time < :last ORDER BY time, trade_id LIMIT :limit;
