-- name: trades_after
-- Why: page by page in the order of the key, so that any number of trades needs the memory of one page.
SELECT time, trade_id, price, amount, is_buy FROM market_trades
 WHERE instrument_id = :instrument_id AND time >= :time AND time < :last AND (time, trade_id) > (:time, :trade_id)
 ORDER BY time, trade_id LIMIT :limit;

-- name: funding_after
-- Why: the same for funding rates.
SELECT time, rate FROM funding_rates
 WHERE instrument_id = :instrument_id AND time > :time AND time < :last
 ORDER BY time LIMIT :limit;

-- name: books_after
-- Why: the same for book snapshots and changes.
SELECT time, sequence, is_snapshot, first_sequence, bid_prices, bid_amounts, ask_prices, ask_amounts FROM book_updates
 WHERE instrument_id = :instrument_id AND time >= :time AND time < :last
   AND (time, sequence, is_snapshot) > (:time, :sequence, :is_snapshot)
 ORDER BY time, sequence, is_snapshot LIMIT :limit;

-- name: tickers_after
-- Why: the same for the tickers of one market of a venue.
SELECT symbol, time, sequence, bid, bid_amount, ask, ask_amount, last, volume FROM market_tickers
 WHERE venue = :venue AND symbol = :symbol AND time >= :time AND time < :last AND (time, sequence) > (:time, :sequence)
 ORDER BY time, sequence LIMIT :limit;

-- name: instrument_lines
-- Why: every version of every market of a venue, in the order in which they became known.
SELECT i.venue, i.symbol, i.base, i.quote, i.kind, i.settle, v.contract_size::text, v.tick_size::text, v.lot_size::text,
       v.min_notional::text, v.maker_fee::text, v.taker_fee::text, v.status, v.rules_source, v.valid_from, v.valid_to
  FROM instruments i JOIN instrument_versions v ON v.instrument_id = i.id
 WHERE i.venue = :venue AND (v.valid_from, i.symbol) > (:valid_from, :symbol)
   AND (:symbols::text[] IS NULL OR i.symbol = ANY(:symbols))
 ORDER BY v.valid_from, i.symbol LIMIT :limit;

-- name: exportable_kinds
-- Why: which trades, funding rates, books and tickers there are, with the instrument they belong to.
SELECT k.kind, k.venue, k.symbol, k.rows, k.first_time, k.last_time, i.id AS instrument_id
  FROM kind_series k LEFT JOIN instruments i ON i.venue = k.venue AND i.symbol = k.symbol
 WHERE k.rows > 0 AND k.kind = ANY(:kinds::text[])
   AND (:venues::text[] IS NULL OR k.venue = ANY(:venues)) AND (:symbols::text[] IS NULL OR k.symbol = ANY(:symbols))
 ORDER BY k.kind, k.venue COLLATE "C", k.symbol COLLATE "C" LIMIT :limit;

-- name: venues_with_instruments
-- Why: each gets a file of its markets.
SELECT i.venue, count(*) AS markets FROM instruments i
 WHERE (:venues::text[] IS NULL OR i.venue = ANY(:venues)) AND (:symbols::text[] IS NULL OR i.symbol = ANY(:symbols))
 GROUP BY i.venue ORDER BY i.venue COLLATE "C" LIMIT :limit;
