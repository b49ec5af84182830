-- name: catalogue
-- Why: what there is at a glance, out of the catalogue and the gap rows, without a look at candles.
SELECT instrument_id, venue, symbol, interval_s, first, last, rows, missing FROM v_series
 WHERE (:venues::text[] IS NULL OR venue = ANY(:venues)) AND (:symbols::text[] IS NULL OR symbol = ANY(:symbols))
   AND (:intervals_s::int[] IS NULL OR interval_s = ANY(:intervals_s))
 ORDER BY venue COLLATE "C", symbol COLLATE "C", interval_s LIMIT :limit;

-- name: catalogue_as_json
-- Why: the same for machines, written by the server, since making thousands of objects first takes longer than the question.
SELECT json_agg(s)::text FROM (
       SELECT venue, symbol, timeframe, first, last, rows, missing FROM v_series
        WHERE (:venues::text[] IS NULL OR venue = ANY(:venues)) AND (:symbols::text[] IS NULL OR symbol = ANY(:symbols))
          AND (:intervals_s::int[] IS NULL OR interval_s = ANY(:intervals_s))
        ORDER BY venue COLLATE "C", symbol COLLATE "C", interval_s LIMIT :limit) s;

-- name: gaps
-- Why: every hole with its reason, the oldest of each series first; a failed request beyond its ends is one too.
SELECT venue, symbol, interval_s, starts, ends, missing, reason, is_confirmed FROM v_gaps
 WHERE (:venues::text[] IS NULL OR venue = ANY(:venues)) AND (:symbols::text[] IS NULL OR symbol = ANY(:symbols))
   AND (:intervals_s::int[] IS NULL OR interval_s = ANY(:intervals_s))
 ORDER BY venue COLLATE "C", symbol COLLATE "C", interval_s, starts LIMIT :limit;

-- name: gaps_as_json
-- Why: the same for machines, written by the server.
SELECT json_agg(g)::text FROM (
       SELECT venue, symbol, timeframe, starts AS "from", ends AS "to", missing, reason, is_confirmed FROM v_gaps
        WHERE (:venues::text[] IS NULL OR venue = ANY(:venues)) AND (:symbols::text[] IS NULL OR symbol = ANY(:symbols))
          AND (:intervals_s::int[] IS NULL OR interval_s = ANY(:intervals_s))
        ORDER BY venue COLLATE "C", symbol COLLATE "C", interval_s, starts LIMIT :limit) g;

-- name: has_series
-- Why: a name that was mistyped must be told from a series without holes.
SELECT EXISTS (SELECT FROM series s JOIN instruments i ON i.id = s.instrument_id
                WHERE (:venues::text[] IS NULL OR i.venue = ANY(:venues))
                  AND (:symbols::text[] IS NULL OR i.symbol = ANY(:symbols))
                  AND (:intervals_s::int[] IS NULL OR s.interval_s = ANY(:intervals_s)));
