-- name: candle_pieces
-- Why: one statement sees sealed months and the rows of the others at one moment, and what retention took until then; a
-- short part of a month is read as rows. At least one row, if only to say what is gone.
SELECT g.gone, CASE WHEN b.rows IS NOT NULL THEN b.rows END AS rows, b.first_open_time, b.open_times,
       b.open, b.high, b.low, b.close, b.volume, r.packed
  FROM (SELECT gone_candles(:instrument_id, :interval_s) * tstzmultirange(tstzrange(:first, :last)) AS gone) g
  LEFT JOIN candle_months m
    ON m.instrument_id = :instrument_id AND m.interval_s = :interval_s
   AND m.month >= month_of(:first) AND m.month <= month_of(:last)
  LEFT JOIN candle_blocks b
    ON b.instrument_id = m.instrument_id AND b.interval_s = m.interval_s AND b.month = m.month
   AND extract(epoch FROM least(:last, (m.month + interval '1 month') AT TIME ZONE 'UTC')
                          - greatest(:first, m.month::timestamp AT TIME ZONE 'UTC')) >= :fewest_rows::float8 * m.interval_s
   AND EXISTS (SELECT FROM pg_inherits h WHERE h.inhrelid = b.partition AND h.inhparent = 'candles'::regclass)
  LEFT JOIN LATERAL (
       SELECT string_agg(timestamptz_send(c.open_time) || float8send(c.open) || float8send(c.high) || float8send(c.low)
                         || float8send(c.close) || float8send(c.volume), ''::bytea ORDER BY c.open_time) AS packed
         FROM candles c
        WHERE b.rows IS NULL AND c.instrument_id = :instrument_id AND c.interval_s = :interval_s
          AND c.open_time >= :first AND c.open_time < :last
          AND c.open_time >= m.month::timestamp AT TIME ZONE 'UTC'
          AND c.open_time < (m.month + interval '1 month') AT TIME ZONE 'UTC') r ON true
 ORDER BY m.month LIMIT 1000;

-- name: changes_since
-- Why: what was believed at a time is what is stored now without what became known later; the first later change of a
-- candle has the values it had. Where the candles were gone when they were read nothing is shown, so nothing is undone.
SELECT DISTINCT ON (open_time) open_time, old_open, old_high, old_low, old_close, old_volume
  FROM candle_revisions
 WHERE instrument_id = :instrument_id AND interval_s = :interval_s AND open_time >= :first AND open_time < :last
   AND (known_at > :as_of OR id > :last_revision::bigint)
   AND NOT open_time <@ :gone::tstzmultirange
 ORDER BY open_time, id;

-- name: unsealed_months
-- Why: a month is sealed when a later one has begun and no block of it is there; the oldest first.
SELECT m.instrument_id, m.interval_s, m.month
  FROM candle_months m
  JOIN series s ON s.instrument_id = m.instrument_id AND s.interval_s = m.interval_s
 WHERE m.rows >= :fewest_rows AND m.month < month_of(s.last_close_time)
   AND NOT EXISTS (SELECT FROM candle_blocks b
                    WHERE b.instrument_id = m.instrument_id AND b.interval_s = m.interval_s AND b.month = m.month)
 ORDER BY m.month, m.instrument_id, m.interval_s LIMIT :limit;

-- name: seal_month
-- Why: the trigger of candle_blocks fills in what the candles are, under the lock of their series.
-- idempotent: a block that is there already is left alone.
INSERT INTO candle_blocks (instrument_id, interval_s, month, rows, first_open_time, open, high, low, close, volume, partition)
SELECT :instrument_id, :interval_s, :month, 0, now(), '', '', '', '', '', 0
 WHERE EXISTS (SELECT FROM candle_months m
                WHERE m.instrument_id = :instrument_id AND m.interval_s = :interval_s AND m.month = :month)
ON CONFLICT (instrument_id, interval_s, month) DO NOTHING;
