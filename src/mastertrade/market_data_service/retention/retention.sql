-- name: policies
-- Why: what is kept for how long, and with the closed versions since when.
SELECT id, kind, venue, symbol, timeframe, keep_days, action, reason, valid_from, valid_to FROM retention_policies
 WHERE :with_history::boolean OR valid_to IS NULL
 ORDER BY kind, venue, symbol, timeframe, valid_from LIMIT 10000;

-- name: close_policy
-- Why: what was valid before stays known.
UPDATE retention_policies SET valid_to = greatest(:at, valid_from)
 WHERE kind = :kind AND venue = :venue AND symbol = :symbol AND timeframe = :timeframe AND valid_to IS NULL
RETURNING id;

-- name: add_policy
-- Why: one policy a pattern at a time; the one before it was closed in the same transaction.
INSERT INTO retention_policies (id, kind, venue, symbol, timeframe, keep_days, action, reason, valid_from)
VALUES (:id, :kind, :venue, :symbol, :timeframe, :keep_days, :action, :reason, :at);

-- name: candle_units
-- Why: months of candles that may leave, by the catalogue alone, with what keeps each; the oldest first.
SELECT m.instrument_id, i.venue, i.symbol, m.interval_s, m.month, m.rows::bigint AS rows, m.xmin::text AS version,
       why_candles_stay(m.instrument_id, m.interval_s, m.month, m.xmin::text) AS obstacle,
       (SELECT min(p.snapshot_id::text) FROM snapshot_series p
         WHERE p.instrument_id = m.instrument_id AND p.interval_s = m.interval_s
           AND p.starts < (m.month + interval '1 month') AT TIME ZONE 'UTC' AND p.ends > m.month::timestamp AT TIME ZONE 'UTC')
           AS snapshot
  FROM candle_months m JOIN instruments i ON i.id = m.instrument_id
 WHERE m.rows > 0 AND (m.month + interval '1 month') AT TIME ZONE 'UTC' <= :before
   AND (:venues::text[] IS NULL OR i.venue = ANY(:venues)) AND (:symbols::text[] IS NULL OR i.symbol = ANY(:symbols))
   AND (:intervals_s::int[] IS NULL OR m.interval_s = ANY(:intervals_s))
 ORDER BY m.month, i.venue COLLATE "C", i.symbol COLLATE "C", m.interval_s LIMIT 1000000;

-- name: candle_version
-- Why: taken before a month is read, so that whatever changes it afterwards is noticed.
SELECT m.xmin::text FROM candle_months m
 WHERE m.instrument_id = :instrument_id AND m.interval_s = :interval_s AND m.month = :month;

-- name: series_of_month
-- Why: a month is emptied at once when all of its series leave.
SELECT count(*) FROM candle_months WHERE month = :month;

-- name: series_without_rollups
-- Why: longer bars must stand before candles leave, and of these nobody has asked for any.
SELECT s.instrument_id, s.interval_s FROM series s
 WHERE s.instrument_id = ANY(:instrument_ids::int[]) AND s.interval_s < 86400
   AND NOT EXISTS (SELECT FROM rollup_targets t
                    WHERE t.instrument_id = s.instrument_id AND t.base_interval_s = s.interval_s) LIMIT 100000;

-- name: kind_series_of
-- Why: trades, funding, books and tickers there are.
SELECT k.kind, k.venue, k.symbol, k.first_time, i.id AS instrument_id
  FROM kind_series k LEFT JOIN instruments i ON i.venue = k.venue AND i.symbol = k.symbol
 WHERE k.rows > 0 AND k.kind = ANY(:kinds::text[]) AND k.first_time < :before
   AND (:venues::text[] IS NULL OR k.venue = ANY(:venues)) AND (:symbols::text[] IS NULL OR k.symbol = ANY(:symbols))
 ORDER BY k.kind, k.venue COLLATE "C", k.symbol COLLATE "C" LIMIT 100000;

-- name: trade_units
-- Why: days of trades that may leave.
SELECT date_trunc('day', time) AS starts, count(*) AS rows FROM market_trades
 WHERE instrument_id = :instrument_id AND time >= :first AND time < :before GROUP BY 1 ORDER BY 1 LIMIT 100000;

-- name: funding_units
-- Why: months of funding rates that may leave.
SELECT date_trunc('month', time) AS starts, count(*) AS rows FROM funding_rates
 WHERE instrument_id = :instrument_id AND time >= :first AND time < :before GROUP BY 1 ORDER BY 1 LIMIT 100000;

-- name: book_units
-- Why: days of an order book that may leave, counted as they stand in a file: a row a level.
SELECT date_trunc('day', time) AS starts,
       sum(greatest(1, cardinality(bid_prices) + cardinality(ask_prices)))::bigint AS rows FROM book_updates
 WHERE instrument_id = :instrument_id AND time >= :first AND time < :before GROUP BY 1 ORDER BY 1 LIMIT 100000;

-- name: ticker_units
-- Why: days of tickers of one market that may leave.
SELECT date_trunc('day', time) AS starts, count(*) AS rows FROM market_tickers
 WHERE venue = :venue AND symbol = :symbol AND time >= :first AND time < :before GROUP BY 1 ORDER BY 1 LIMIT 100000;

-- name: retirements_of
-- Why: what became of a unit before: a file that is there already is not written again.
SELECT id, kind, venue, symbol, interval_s, starts, ends, rows, content_hash, file, bytes, version, state, reason, written_at,
       retired_at, restored_at
  FROM retirements
 WHERE kind = :kind AND venue = :venue AND symbol = :symbol AND interval_s = :interval_s AND starts = :starts
 ORDER BY written_at, id LIMIT 1000;

-- name: retired_units
-- Why: what is in files or gone, and can be asked for again; the oldest unit first, the newest file of a unit first.
SELECT id, kind, venue, symbol, interval_s, starts, ends, rows, content_hash, file, bytes, version, state, reason, written_at,
       retired_at, restored_at
  FROM retirements
 WHERE state = ANY(:states::text[]) AND (:kinds::text[] IS NULL OR kind = ANY(:kinds))
   AND (:venues::text[] IS NULL OR venue = ANY(:venues)) AND (:symbols::text[] IS NULL OR symbol = ANY(:symbols))
   AND (:intervals_s::int[] IS NULL OR interval_s = ANY(:intervals_s)) AND ends > :first AND starts < :last
 ORDER BY kind, venue COLLATE "C", symbol COLLATE "C", interval_s, starts, written_at DESC, id DESC LIMIT 1000000;

-- name: retired_totals
-- Why: for people: how much of each series is where.
SELECT kind, venue, symbol, interval_s, state, min(starts) AS starts, max(ends) AS ends, count(*) AS units,
       sum(rows)::bigint AS rows, coalesce(sum(bytes), 0)::bigint AS bytes
  FROM retirements WHERE state IN ('archived', 'dropped')
 GROUP BY kind, venue, symbol, interval_s, state
 ORDER BY kind, venue COLLATE "C", symbol COLLATE "C", interval_s, state LIMIT 100000;

-- name: record_file
-- Why: the file is whole, on the disk and proven; only now may its rows leave.
INSERT INTO retirements (id, kind, venue, symbol, interval_s, starts, ends, rows, content_hash, file, bytes, version, state,
                         reason, written_at)
VALUES (:id, :kind, :venue, :symbol, :interval_s, :starts, :ends, :rows, :content_hash, :file, :bytes, :version, 'written',
        :reason, :at);

-- name: renew_file
-- Why: a file that holds what the unit is now serves again, whatever happened in between.
-- idempotent: the same again is the same.
UPDATE retirements SET state = 'written', version = :version, reason = :reason, restored_at = NULL WHERE id = :id;

-- name: record_drop
-- Why: what left for good stays known as having been there.
INSERT INTO retirements (id, kind, venue, symbol, interval_s, starts, ends, rows, state, reason, written_at, retired_at)
VALUES (:id, :kind, :venue, :symbol, :interval_s, :starts, :ends, :rows, 'dropped', :reason, :at, :at);

-- name: finish_archive
-- Why: in the transaction that deletes the rows.
UPDATE retirements SET state = 'archived', retired_at = :at WHERE id = :id;

-- name: finish_return
-- Why: in the transaction that brings the rows back.
UPDATE retirements SET state = 'restored', restored_at = :at WHERE id = :id;

-- name: retire_candles
-- Why: months of series leave in one call, or stay and say why.
SELECT outcomes, rows FROM retire_candles(:month, :instrument_ids, :intervals_s, :versions, :at);

-- name: retire_kind
-- Why: a stretch leaves only if it is what was counted.
SELECT retire_kind(:kind, :venue, :symbol, :instrument_id, :first, :last, :rows, :at);

-- name: return_candles
-- Why: candles are back, or free to be asked for.
SELECT return_candles(:instrument_id, :interval_s, :first, :last, :is_forgotten, :at);

-- name: drop_empty_month
-- Why: a partition of which nothing is left costs planning time.
SELECT drop_empty_month(:table, :month);

-- name: record_replaced
-- Why: candles that were stored while others of their time lay in a file are newer; what was believed before stays known.
INSERT INTO candle_revisions (instrument_id, interval_s, open_time, known_at, old_open, old_high, old_low, old_close,
                              old_volume, new_open, new_high, new_low, new_close, new_volume)
SELECT c.instrument_id, c.interval_s, c.open_time, :known_at, i.open, i.high, i.low, i.close, i.volume,
       c.open, c.high, c.low, c.close, c.volume
  FROM unnest(:open_times::timestamptz[], :open::float8[], :high::float8[], :low::float8[], :close::float8[],
              :volume::float8[]) AS i(open_time, open, high, low, close, volume)
  JOIN candles c ON c.instrument_id = :instrument_id AND c.interval_s = :interval_s AND c.open_time = i.open_time
 WHERE c.open_time >= :first AND c.open_time < :last ORDER BY c.open_time;

-- name: instrument_of
-- Why: a file names a market, rows have its number.
SELECT id FROM instruments WHERE venue = :venue AND symbol = :symbol;

-- name: forget_file
-- Why: a file whose rows changed before they left was written anew.
-- idempotent: one that is gone stays gone.
DELETE FROM retirements WHERE id = :id AND state = 'written';
