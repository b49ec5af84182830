-- name: counts_of_series
-- Why: what the catalogue knows of a series in a span without a look at candles.
SELECT (SELECT coalesce(sum((extract(epoch FROM least(g.ends, :last) - greatest(g.starts, :first)) / g.interval_s)::bigint), 0)
          FROM gaps g WHERE g.instrument_id = :instrument_id AND g.interval_s = :interval_s
           AND g.starts < :last AND g.ends > :first AND g.reason NOT IN ('archived', 'dropped'))::bigint AS missing,
       (SELECT count(*) FROM gaps g WHERE g.instrument_id = :instrument_id AND g.interval_s = :interval_s
           AND g.starts < :last AND g.ends > :first AND g.reason NOT IN ('archived', 'dropped')) AS holes,
       (SELECT min(g.starts) FROM gaps g WHERE g.instrument_id = :instrument_id AND g.interval_s = :interval_s
           AND g.starts < :last AND g.ends > :first AND g.reason NOT IN ('archived', 'dropped')) AS first_hole,
       (SELECT max(g.ends) FROM gaps g WHERE g.instrument_id = :instrument_id AND g.interval_s = :interval_s
           AND g.starts < :last AND g.ends > :first AND g.reason NOT IN ('archived', 'dropped')) AS last_hole,
       r.revised, r.first_revised, r.last_revised, r.late, r.first_late, r.last_late, q.held, q.first_held, q.last_held
  FROM (SELECT count(*) FILTER (WHERE v.old_open IS NOT NULL AND v.new_open IS NOT NULL) AS revised,
               min(v.open_time) FILTER (WHERE v.old_open IS NOT NULL AND v.new_open IS NOT NULL) AS first_revised,
               max(v.open_time) FILTER (WHERE v.old_open IS NOT NULL AND v.new_open IS NOT NULL) AS last_revised,
               count(*) FILTER (WHERE v.old_open IS NULL) AS late,
               min(v.open_time) FILTER (WHERE v.old_open IS NULL) AS first_late,
               max(v.open_time) FILTER (WHERE v.old_open IS NULL) AS last_late
          FROM candle_revisions v
         WHERE v.instrument_id = :instrument_id AND v.interval_s = :interval_s
           AND v.open_time >= :first AND v.open_time < :last) r
 CROSS JOIN (SELECT count(*) AS held, min(c.open_time) AS first_held, max(c.open_time) AS last_held
               FROM quarantined_candles c
              WHERE c.instrument_id = :instrument_id AND c.interval_s = :interval_s AND c.status = 'waiting'
                AND c.open_time >= :first AND c.open_time < :last) q;

-- name: second_sources
-- Why: the same pair at other venues tells a bad print from a moving market; swaps are compared with swaps.
SELECT s.instrument_id, i.venue, s.first_open_time AS first, s.last_close_time AS last
  FROM instruments o
  JOIN instruments i ON i.base = o.base AND i.quote = o.quote AND i.kind = o.kind AND i.id <> o.id
  JOIN series s ON s.instrument_id = i.id AND s.interval_s = :interval_s AND s.rows > 0
 WHERE o.id = :instrument_id AND s.first_open_time < :last AND s.last_close_time > :first
   AND split_part(i.venue, '.', 2) = split_part(o.venue, '.', 2)
 ORDER BY s.rows DESC LIMIT :limit;

-- name: span_of_trades
-- Why: candles can be compared with trades only where trades are.
SELECT k.first_time AS first, k.last_time AS last, i.tick_size::float8 AS tick
  FROM instruments i JOIN kind_series k ON k.kind = 'trades' AND k.venue = i.venue AND k.symbol = i.symbol
 WHERE i.id = :instrument_id AND k.rows > 0;

-- name: bars_of_trades
-- Why: what candles should be, where all trades of them are there; ids of one time are ordered as the numbers they mostly are.
SELECT (extract(epoch FROM bar) * 1000)::bigint AS time_ms, low, high, first AS open, last AS close, volume
  FROM (SELECT to_timestamp(floor(extract(epoch FROM t.time) / :interval_s) * :interval_s) AS bar,
               min(t.price) AS low, max(t.price) AS high, sum(t.amount) AS volume,
               (array_agg(t.price ORDER BY t.time, length(t.trade_id), t.trade_id))[1] AS first,
               (array_agg(t.price ORDER BY t.time DESC, length(t.trade_id) DESC, t.trade_id DESC))[1] AS last
          FROM market_trades t
         WHERE t.instrument_id = :instrument_id AND t.time >= :first AND t.time < :last
         GROUP BY 1) b
 ORDER BY 1 LIMIT 100000;

-- name: save_report
-- Why: a check replaces the one before it.
-- idempotent: the same report again changes nothing but its time.
INSERT INTO quality_reports AS r (instrument_id, interval_s, starts, ends, rows, score, checked_at)
VALUES (:instrument_id, :interval_s, :starts, :ends, :rows, :score, :at)
ON CONFLICT (instrument_id, interval_s) DO UPDATE
   SET starts = excluded.starts, ends = excluded.ends, rows = excluded.rows, score = excluded.score,
       checked_at = excluded.checked_at;

-- name: forget_findings
-- Why: what an earlier check found may no longer be so.
-- idempotent: gone stays gone.
DELETE FROM quality_findings WHERE instrument_id = :instrument_id AND interval_s = :interval_s;

-- name: save_findings
-- Why: what a check found is kept, so that it can be asked for without checking again.
INSERT INTO quality_findings (instrument_id, interval_s, rule, severity, rows, places, first_time, last_time, detail)
SELECT :instrument_id, :interval_s, f.rule, f.severity, f.rows, f.places, f.first_time, f.last_time, f.detail
  FROM unnest(:rules::text[], :severities::text[], :rows::bigint[], :places::bigint[], :firsts::timestamptz[],
              :lasts::timestamptz[], :details::text[]) AS f(rule, severity, rows, places, first_time, last_time, detail);

-- name: quality_reports
-- Why: the last check of each series, the worst first.
SELECT r.instrument_id, i.venue, i.symbol, r.interval_s, r.starts, r.ends, r.rows, r.score, r.checked_at
  FROM quality_reports r JOIN instruments i ON i.id = r.instrument_id
 WHERE (:venues::text[] IS NULL OR i.venue = ANY(:venues)) AND (:symbols::text[] IS NULL OR i.symbol = ANY(:symbols))
   AND (:intervals_s::int[] IS NULL OR r.interval_s = ANY(:intervals_s))
 ORDER BY r.score, i.venue COLLATE "C", i.symbol COLLATE "C", r.interval_s LIMIT :limit;

-- name: quality_findings
-- Why: what the last check of a series found.
SELECT rule, severity, rows, places, first_time, last_time, detail FROM quality_findings
 WHERE instrument_id = :instrument_id AND interval_s = :interval_s ORDER BY rule LIMIT 100;

-- name: held_candles
-- Why: what waits for a decision, with the candle before it and what other venues say of that time.
SELECT q.instrument_id, i.venue, i.symbol, q.interval_s, q.open_time, q.open, q.high, q.low, q.close, q.volume, q.reason,
       q.status, q.held_at, q.decided_at, m.file, b.close AS close_before, o.venues AS other_venues, o.closes AS other_closes
  FROM quarantined_candles q
  JOIN instruments i ON i.id = q.instrument_id
  LEFT JOIN imports m ON m.id = q.import_id
  LEFT JOIN LATERAL (
       SELECT c.close FROM candles c
        WHERE c.instrument_id = q.instrument_id AND c.interval_s = q.interval_s AND c.open_time < q.open_time
          AND c.open_time >= q.open_time - make_interval(secs => 100.0 * q.interval_s)
        ORDER BY c.open_time DESC LIMIT 1) b ON true
 CROSS JOIN LATERAL (
       SELECT coalesce(array_agg(t.venue ORDER BY t.venue), '{}') AS venues, coalesce(array_agg(c.close ORDER BY t.venue), '{}') AS closes
         FROM instruments t
         JOIN candles c ON c.instrument_id = t.id AND c.interval_s = q.interval_s AND c.open_time = q.open_time
        WHERE t.base = i.base AND t.quote = i.quote AND t.kind = i.kind AND t.id <> i.id
          AND split_part(t.venue, '.', 2) = split_part(i.venue, '.', 2)) o
 WHERE (:statuses::text[] IS NULL OR q.status = ANY(:statuses))
   AND (:venues::text[] IS NULL OR i.venue = ANY(:venues)) AND (:symbols::text[] IS NULL OR i.symbol = ANY(:symbols))
   AND (:intervals_s::int[] IS NULL OR q.interval_s = ANY(:intervals_s))
   AND (:times::timestamptz[] IS NULL OR q.open_time = ANY(:times))
 ORDER BY i.venue COLLATE "C", i.symbol COLLATE "C", q.interval_s, q.open_time LIMIT :limit;

-- name: decide_candles
-- Why: a decision is made once, and stays.
-- idempotent: candles that are decided keep their decision.
UPDATE quarantined_candles SET status = :status, decided_at = :at
 WHERE instrument_id = :instrument_id AND interval_s = :interval_s AND open_time = ANY(:times::timestamptz[])
   AND status = 'waiting'
RETURNING open_time;
