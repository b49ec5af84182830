-- name: lock_series
-- Why: whoever stores past candles of a series does so alone, and learns what is there, pinned and filled.
INSERT INTO series AS s (instrument_id, interval_s, updated_at) VALUES (:instrument_id, :interval_s, :at)
ON CONFLICT (instrument_id, interval_s) DO UPDATE SET updated_at = excluded.updated_at
RETURNING s.first_open_time, s.last_close_time,
          (SELECT min(p.starts) FROM snapshot_series p
            WHERE p.instrument_id = s.instrument_id AND p.interval_s = s.interval_s) AS pinned_from,
          (SELECT max(p.ends) FROM snapshot_series p
            WHERE p.instrument_id = s.instrument_id AND p.interval_s = s.interval_s) AS pinned_to,
          EXISTS (SELECT FROM coverage_of_requests k
            WHERE k.instrument_id = s.instrument_id AND k.interval_s = s.interval_s AND NOT isempty(k.synthetic))
            AS has_synthetic;

-- name: open_candles
-- Why: rows are copied in between this call and book_candles, both in one transaction.
SELECT open_candles(:instrument_id, :interval_s, :first, :last);

-- name: revise_candles
-- Why: a candle with other numbers replaces the stored one, which stays known as what was believed before.
SELECT revise_candles(:instrument_id, :interval_s, :open_times, :open, :high, :low, :close, :volume, :at);

-- name: book_candles
-- Why: catalogue, months and gaps move with the candles, in their transaction.
SELECT book_candles(:instrument_id, :interval_s, :starts, :ends, :months, :month_rows, :month_changed, :new_rows,
                    :revised_rows, :last_close, :at);

-- name: record_arrivals
-- Why: who looks back to before a candle was known must not see it.
INSERT INTO candle_revisions (instrument_id, interval_s, open_time, known_at, new_open, new_high, new_low, new_close, new_volume)
SELECT :instrument_id, :interval_s, i.open_time, :at, i.open, i.high, i.low, i.close, i.volume
  FROM unnest(:open_times::timestamptz[], :open::float8[], :high::float8[], :low::float8[], :close::float8[],
              :volume::float8[]) AS i(open_time, open, high, low, close, volume);

-- name: mark_synthetic
-- Why: a candle that was filled in on request must be told from one that a venue reported.
INSERT INTO coverage_of_requests AS k (instrument_id, interval_s, synthetic, updated_at)
SELECT :instrument_id, :interval_s, range_agg(tstzrange(r.s, r.e)), :at
  FROM unnest(:starts::timestamptz[], :ends::timestamptz[]) AS r(s, e)
ON CONFLICT (instrument_id, interval_s) DO UPDATE
   SET synthetic = k.synthetic + excluded.synthetic, updated_at = excluded.updated_at;

-- name: unmark_synthetic
-- Why: what a venue reported took the place of what had been filled in.
UPDATE coverage_of_requests
   SET updated_at = :at,
       synthetic = synthetic - (SELECT range_agg(tstzrange(r.s, r.e))
                                  FROM unnest(:starts::timestamptz[], :ends::timestamptz[]) AS r(s, e))
 WHERE instrument_id = :instrument_id AND interval_s = :interval_s;

-- name: synthetic_stretches
-- Why: the times of a series whose candles were filled in on request.
SELECT lower(r) AS starts, upper(r) AS ends
  FROM coverage_of_requests k CROSS JOIN LATERAL unnest(k.synthetic) AS r
 WHERE k.instrument_id = :instrument_id AND k.interval_s = :interval_s ORDER BY 1 LIMIT :limit;

-- name: store_batch
-- Why: the candles of one moment with all that is kept of them, in one call.
SELECT new, revised FROM store_candles(:interval_s, :open_time, :instrument_ids, :open, :high, :low, :close, :volume, :at);

-- name: remove_candles
-- Why: candles that are known to be wrong go, and what they were stays known.
SELECT remove_candles(:instrument_id, :interval_s, :first, :last, :is_recorded, :at);

-- name: record_request
-- Why: a hole has a reason only if somebody says what the venue answered.
SELECT record_request(:instrument_id, :interval_s, :first, :last, :outcome, :error, :at);

-- name: claim_download
-- Why: two workers never fetch the same time of the same series.
-- idempotent: the same claim again renews it.
SELECT claim_download(:id, :instrument_id, :interval_s, :kind, :first, :last, :at, :until);

-- name: release_download
-- Why: a span is free as soon as its worker is done.
-- idempotent: a claim that is gone stays gone.
DELETE FROM download_claims WHERE id = :id;

-- name: recorded_gaps
-- Why: every hole with its reason, of one series or of all, without a look at candles.
SELECT i.venue, i.symbol, g.interval_s, g.starts, g.ends,
       (extract(epoch FROM g.ends - g.starts) / g.interval_s)::bigint AS missing, g.reason, g.is_confirmed
  FROM gaps g JOIN instruments i ON i.id = g.instrument_id
 WHERE (:instrument_id::int IS NULL OR g.instrument_id = :instrument_id::int)
   AND (:interval_s::int IS NULL OR g.interval_s = :interval_s::int)
 ORDER BY i.venue, i.symbol, g.interval_s, g.starts LIMIT :limit;

-- name: coverage_of_requests
-- Why: what was asked of a series and how it ended.
SELECT answered, confirmed, failed, halted, delisted, synthetic, last_error FROM coverage_of_requests
 WHERE instrument_id = :instrument_id AND interval_s = :interval_s;

-- name: missing_of_requests
-- Why: a download goes on with what was never answered, so the same command resumes it. What retention took is not fetched
-- again night after night.
SELECT lower(r) AS starts, upper(r) AS ends
  FROM unnest(tstzmultirange(tstzrange(:first, :last)) - coalesce(
       (SELECT k.answered + k.halted + k.delisted + k.archived + k.dropped FROM coverage_of_requests k
         WHERE k.instrument_id = :instrument_id AND k.interval_s = :interval_s), '{}')) AS r
 ORDER BY 1 LIMIT :limit;
