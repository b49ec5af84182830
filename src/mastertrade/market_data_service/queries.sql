-- name: add_venues
-- Why: a candle belongs to an instrument, an instrument to a venue.
-- idempotent: what is there already is left alone.
INSERT INTO venues (id, created_at) SELECT DISTINCT v, :at::timestamptz FROM unnest(:ids::text[]) AS v
ON CONFLICT (id) DO NOTHING;

-- name: add_instrument
-- Why: a source brings its instruments; rules that are known already are never replaced by assumed ones.
-- idempotent: an instrument that is there already is left alone.
INSERT INTO instruments (venue, symbol, base, quote, kind, settle, tick_size, lot_size, min_notional, maker_fee, taker_fee,
                         rules_source, created_at, updated_at)
SELECT :venue, :symbol, :base, :quote, :kind, :settle, :tick_size, :lot_size, :min_notional, :maker_fee, :taker_fee,
       :rules_source, :at, :at
 WHERE NOT EXISTS (SELECT FROM instruments i WHERE i.venue = :venue AND i.symbol = :symbol)
ON CONFLICT (venue, symbol) DO NOTHING;

-- name: instruments
-- Why: everybody who trades or shows a market needs its id and rules.
SELECT id, venue, symbol, base, quote, tick_size, lot_size, min_notional, maker_fee, taker_fee, status,
       kind, settle, contract_size
  FROM instruments
 WHERE (:venues::text[] IS NULL OR venue = ANY(:venues::text[]))
 ORDER BY id LIMIT 10000;

-- name: instrument_by_legacy_symbol
-- Why: the older API names a market BTCUSDT and knows no venues; the preferred venue wins, then the oldest instrument.
SELECT id, venue, symbol, base, quote, tick_size, lot_size, min_notional, maker_fee, taker_fee, status,
       kind, settle, contract_size
  FROM instruments
 WHERE replace(symbol, '/', '') = :symbol
 ORDER BY (venue = :venue) DESC, id LIMIT 1;

-- name: ensure_partitions
-- Why: a candle needs the partition of its month before it can be stored.
-- idempotent: what is there already is left alone.
SELECT ensure_candle_partitions(:first, :last);

-- name: begin_feed
-- Why: a feed that has begun goes on where it was, with the source it began with.
-- idempotent: a feed that is there already is left alone.
INSERT INTO feeds (name, source, interval_s, position, updated_at) VALUES (:name, :source, :interval_s, :position, :at)
ON CONFLICT (name) DO NOTHING;

-- name: feed
-- Why: how far a feed has come, and with what.
SELECT name, source, interval_s, position, batches FROM feeds WHERE name = :name;

-- name: advance_feed
-- Why: the position moves with the candles of its batch; no row means that somebody else plays this feed too.
UPDATE feeds SET position = :open_time, batches = batches + 1, updated_at = :at
 WHERE name = :name AND position = :before
RETURNING batches;

-- name: series
-- Why: what there is, at a glance and without looking at candles.
SELECT s.instrument_id, i.venue, i.symbol, s.interval_s, s.rows, s.first_open_time, s.last_close_time, s.revised_rows
  FROM series s JOIN instruments i ON i.id = s.instrument_id
 WHERE (:instrument_id::int IS NULL OR s.instrument_id = :instrument_id::int) AND s.rows > 0
 ORDER BY i.venue, i.symbol, s.interval_s LIMIT 10000;

-- name: finest_series
-- Why: bars of every length are built from the finest candles of the instrument, so that all lengths tell one story. Its
-- ends are those it ever had: who looks back sees candles that were removed since.
SELECT s.interval_s, least(s.first_open_time, r.first) AS first_open_time,
       greatest(s.last_close_time, r.last + make_interval(secs => s.interval_s)) AS last_close_time
  FROM series s
 CROSS JOIN LATERAL (SELECT min(v.open_time) AS first, max(v.open_time) AS last FROM candle_revisions v
                      WHERE v.instrument_id = s.instrument_id AND v.interval_s = s.interval_s AND v.new_open IS NULL) r
 WHERE s.instrument_id = :instrument_id AND s.rows > 0 AND :interval_s % s.interval_s = 0
 ORDER BY s.interval_s LIMIT 1;

-- name: gaps
-- Why: what is missing between two times, by set arithmetic on the coverage.
SELECT gap_start, gap_end, missing FROM candle_gaps(:instrument_id, :interval_s, :first, :last) LIMIT :limit;

-- name: gap_totals
-- Why: how many holes a series has between its first and its last candle, and how many candles they swallow.
SELECT count(*)::int AS gaps, coalesce(sum(g.missing), 0)::bigint AS missing
  FROM series s CROSS JOIN LATERAL candle_gaps(s.instrument_id, s.interval_s, s.first_open_time, s.last_close_time) g
 WHERE s.instrument_id = :instrument_id AND s.interval_s = :interval_s;

-- name: candle_columns
-- Why: many candles as one value of fixed-width binary rows, which arrive five times as fast as rows do (docs/benchmarks.md).
SELECT string_agg(timestamptz_send(open_time) || float8send(open) || float8send(high) || float8send(low) || float8send(close)
                  || float8send(volume), ''::bytea ORDER BY open_time)
  FROM candles
 WHERE instrument_id = :instrument_id AND interval_s = :interval_s AND open_time >= :first AND open_time < :last;

-- name: last_candle
-- Why: the price everybody knew at a time, and how old it was.
SELECT close, close_time, interval_s FROM last_candle(:instrument_id, :as_of, :max_age);

-- name: store_candle_document
-- Why: quote volume, trade count and document of a legacy candle are kept beside it.
-- idempotent: the same document again changes nothing.
INSERT INTO candle_documents AS d (instrument_id, interval_s, open_time, quote_volume, trades_count, data, created_at, updated_at)
VALUES (:instrument_id, :interval_s, :open_time, :quote_volume, :trades_count, :data, :at, :at)
ON CONFLICT (instrument_id, interval_s, open_time) DO UPDATE
   SET quote_volume = excluded.quote_volume, trades_count = excluded.trades_count, data = excluded.data,
       updated_at = excluded.updated_at
 WHERE (d.quote_volume, d.trades_count, d.data) IS DISTINCT FROM (excluded.quote_volume, excluded.trades_count, excluded.data);

-- name: legacy_candles
-- Why: candles in the shape of the older system, newest first; the bound on time keeps it to a few partitions.
SELECT id, symbol, interval, asset_type, ts, open_price, high_price, low_price, close_price, volume, quote_volume,
       trades_count, data, created_at, updated_at
  FROM market_data
 WHERE instrument_id = :instrument_id AND interval_s = :interval_s AND ts >= :first AND ts < :last
 ORDER BY ts DESC LIMIT :limit;

-- name: store_trade_document
-- Why: a single trade of the older feeds, until it expires.
-- idempotent: the same trade again is the same row.
INSERT INTO trades_stream AS t (id, partition_key, ts, data, created_at, updated_at, expires_at)
VALUES (:id, :symbol, :ts, :data, :at, :at, :expires_at)
ON CONFLICT (id) DO UPDATE SET data = excluded.data, updated_at = excluded.updated_at, expires_at = excluded.expires_at;

-- name: store_order_book_document
-- Why: an order book snapshot of the older feeds, until it expires.
-- idempotent: the same snapshot again is the same row.
INSERT INTO order_book AS b (id, partition_key, ts, data, created_at, updated_at, expires_at)
VALUES (:id, :symbol, :ts, :data, :at, :at, :expires_at)
ON CONFLICT (id) DO UPDATE SET data = excluded.data, updated_at = excluded.updated_at, expires_at = excluded.expires_at;

-- name: delete_expired_trades
-- Why: documents are kept as long as they say; a batch at a time keeps the locks short.
DELETE FROM trades_stream
 WHERE id IN (SELECT id FROM trades_stream WHERE expires_at < :at ORDER BY expires_at LIMIT :limit);

-- name: delete_expired_order_books
-- Why: documents are kept as long as they say; a batch at a time keeps the locks short.
DELETE FROM order_book
 WHERE id IN (SELECT id FROM order_book WHERE expires_at < :at ORDER BY expires_at LIMIT :limit);

-- name: delete_expired_sentiment
-- Why: documents are kept as long as they say; a batch at a time keeps the locks short.
DELETE FROM sentiment_data
 WHERE id IN (SELECT id FROM sentiment_data WHERE expires_at < :at ORDER BY expires_at LIMIT :limit);

-- name: delete_expired_indicator_results
-- Why: documents are kept as long as they say; a batch at a time keeps the locks short.
DELETE FROM indicator_results
 WHERE id IN (SELECT id FROM indicator_results WHERE expires_at < :at ORDER BY expires_at LIMIT :limit);

-- name: symbol_document
-- Why: the exchange filters an import of the older system has left for a symbol.
SELECT data FROM symbols WHERE id = :symbol LIMIT 1;

-- name: add_tracking
-- Why: a symbol is followed once; adding it again must not undo what was changed since.
INSERT INTO symbol_tracking (id, partition_key, data, created_at, updated_at) VALUES (:symbol, :symbol, :data, :at, :at)
ON CONFLICT (partition_key, id) DO NOTHING RETURNING id;

-- name: update_tracking
-- Why: some fields change, the others stay; symbol and id never change.
UPDATE symbol_tracking SET data = data || :updates::jsonb, updated_at = :at
 WHERE partition_key = :symbol AND id = :symbol RETURNING id;

-- name: remove_tracking
-- Why: a symbol is no longer followed at all.
DELETE FROM symbol_tracking WHERE partition_key = :symbol AND id = :symbol RETURNING id;

-- name: tracking
-- Why: followed symbols, the most important first; the filters are optional.
SELECT data FROM symbol_tracking
 WHERE (:symbol::text IS NULL OR (partition_key = :symbol::text AND id = :symbol::text))
   AND (:asset_type::text IS NULL OR data ->> 'asset_type' = :asset_type::text)
   AND (:exchange::text IS NULL OR data ->> 'exchange' = :exchange::text)
   AND (:include_inactive::boolean OR (data ->> 'tracking')::boolean IS NOT FALSE)
 ORDER BY (data ->> 'priority')::numeric NULLS LAST, id LIMIT 10000;
