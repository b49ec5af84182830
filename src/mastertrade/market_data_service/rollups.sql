-- name: ask_rollup
-- Why: bars that were asked for once are kept up to date from then on.
-- idempotent: what is asked for already stays.
INSERT INTO rollup_targets (instrument_id, base_interval_s, interval_s, asked_at)
VALUES (:instrument_id, :base_interval_s, :interval_s, :at)
ON CONFLICT (instrument_id, base_interval_s, interval_s) DO NOTHING;

-- name: rollup_targets
-- Why: what is kept, so that a job can follow the candles.
SELECT t.instrument_id, t.base_interval_s, array_agg(t.interval_s ORDER BY t.interval_s) AS intervals_s
  FROM rollup_targets t
 WHERE :instrument_ids::int[] IS NULL OR t.instrument_id = ANY(:instrument_ids)
 GROUP BY t.instrument_id, t.base_interval_s ORDER BY t.instrument_id, t.base_interval_s LIMIT 100000;

-- name: rollup_work
-- Why: months whose candles changed since they were rolled up, and those that never were, oldest first.
SELECT m.month, m.changed_from, array_agg(t.interval_s ORDER BY t.interval_s) FILTER (WHERE r.month IS NULL) AS unbuilt
  FROM candle_months m
  JOIN rollup_targets t ON t.instrument_id = m.instrument_id AND t.base_interval_s = m.interval_s
  LEFT JOIN rollup_months r
    ON r.instrument_id = t.instrument_id AND r.base_interval_s = t.base_interval_s AND r.interval_s = t.interval_s
   AND r.month = m.month
 WHERE m.instrument_id = :instrument_id AND m.interval_s = :interval_s
   AND (m.changed_from IS NOT NULL OR r.month IS NULL)
 GROUP BY m.month, m.changed_from ORDER BY m.month LIMIT 1000;

-- name: store_rollup
-- Why: the bars of a month from one time on are replaced in one call.
SELECT store_rollup(:instrument_id, :base_interval_s, :interval_s, :month, :first, :open_times, :open, :high, :low, :close,
                    :volume, :candles, :at);

-- name: settle_month
-- Why: all longer bars of the month are what its candles are.
UPDATE candle_months SET changed_from = NULL
 WHERE instrument_id = :instrument_id AND interval_s = :interval_s AND month = :month;

-- name: rollup_layers
-- Why: stored bars of which a wanted bar can be made, the longest of the finest base first.
SELECT base_interval_s, interval_s, min(month)::timestamp AT TIME ZONE 'UTC' AS first,
       (max(month) + interval '1 month') AT TIME ZONE 'UTC' AS last
  FROM rollup_months
 WHERE instrument_id = :instrument_id AND :interval_s % interval_s = 0 AND bars > 0
 GROUP BY base_interval_s, interval_s ORDER BY base_interval_s, interval_s DESC LIMIT 100;

-- name: rollup_columns
-- Why: whole bars as one value of fixed-width binary rows; of bars with a change that became known later nobody can say
-- what they were, since their candles may be gone.
SELECT string_agg(timestamptz_send(open_time) || float8send(open) || float8send(high) || float8send(low) || float8send(close)
                  || float8send(volume), ''::bytea ORDER BY open_time)
  FROM rollups r
 WHERE instrument_id = :instrument_id AND base_interval_s = :base_interval_s AND interval_s = :interval_s
   AND open_time >= :first AND open_time < :last AND NOT is_partial
   AND (:as_of::timestamptz IS NULL OR NOT EXISTS (
       SELECT FROM candle_revisions v
        WHERE v.instrument_id = r.instrument_id AND v.interval_s = r.base_interval_s AND v.known_at > :as_of
          AND v.open_time >= r.open_time AND v.open_time < r.open_time + make_interval(secs => r.interval_s)));

-- name: rollup_totals
-- Why: what is kept of each series, for people.
SELECT i.venue, i.symbol, r.base_interval_s, r.interval_s, sum(r.bars)::bigint AS bars, sum(r.partial_bars)::bigint AS partial,
       min(r.month) AS first_month, max(r.month) AS last_month
  FROM rollup_months r JOIN instruments i ON i.id = r.instrument_id
 WHERE (:venues::text[] IS NULL OR i.venue = ANY(:venues)) AND (:symbols::text[] IS NULL OR i.symbol = ANY(:symbols))
 GROUP BY i.venue, i.symbol, r.base_interval_s, r.interval_s
 ORDER BY i.venue COLLATE "C", i.symbol COLLATE "C", r.base_interval_s, r.interval_s LIMIT 100000;

-- name: all_series
-- Why: every length of candles a market has, the finest first, with the ends it ever had (who looks back sees candles that
-- were removed since), cut where retention took candles: longer bars stand there.
SELECT s.interval_s, lower(part) AS first_open_time, upper(part) AS last_close_time
  FROM series s
 CROSS JOIN LATERAL (SELECT min(v.open_time) AS first, max(v.open_time) AS last FROM candle_revisions v
                      WHERE v.instrument_id = s.instrument_id AND v.interval_s = s.interval_s AND v.new_open IS NULL) r
 CROSS JOIN LATERAL unnest(
       tstzmultirange(tstzrange(least(s.first_open_time, r.first),
                                greatest(s.last_close_time, r.last + make_interval(secs => s.interval_s))))
       - gone_candles(s.instrument_id, s.interval_s)) AS part
 WHERE s.instrument_id = :instrument_id AND (s.rows > 0 OR r.first IS NOT NULL) AND :interval_s % s.interval_s = 0
 ORDER BY s.interval_s, 2 LIMIT 10000;
