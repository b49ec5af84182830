-- name: begin_snapshot
-- Why: the data is pinned before it is read, so that what changes meanwhile is undone when it is read.
INSERT INTO snapshots (id, note, starts, ends, created_at) VALUES (:id, :note, :starts, :ends, :at);

-- name: pin_series
-- Why: under the lock of the series: every change of it after this one has a higher number.
INSERT INTO snapshot_series (snapshot_id, instrument_id, interval_s, starts, ends, last_revision)
SELECT :id, :instrument_id, :interval_s, :starts, :ends,
       coalesce((SELECT max(r.id) FROM candle_revisions r
                  WHERE r.instrument_id = :instrument_id AND r.interval_s = :interval_s), 0);

-- name: finish_series
-- Why: what one pinned series held.
-- idempotent: the pinned past never changes.
UPDATE snapshot_series SET rows = :rows, content_hash = :content_hash
 WHERE snapshot_id = :id AND instrument_id = :instrument_id AND interval_s = :interval_s;

-- name: finish_snapshot
-- Why: a snapshot counts when all of it was read.
-- idempotent: the pinned past never changes.
UPDATE snapshots SET rows = :rows, content_hash = :content_hash WHERE id = :id;

-- name: same_snapshot
-- Why: the same content again is the snapshot that is there already.
SELECT id FROM snapshots WHERE content_hash = :content_hash AND id <> :id ORDER BY created_at, id LIMIT 1;

-- name: remove_snapshot
-- Why: nobody needs its data any more; the pins go with it.
-- idempotent: one that is gone stays gone.
DELETE FROM snapshots WHERE id = :id;

-- name: remove_unfinished
-- Why: a snapshot whose maker died pins data that nobody can name.
-- idempotent: one that is gone stays gone.
DELETE FROM snapshots WHERE content_hash IS NULL AND created_at < :before;

-- name: snapshots
-- Why: all of them, the newest first, or those whose id or hash begins with a text.
SELECT p.id, p.note, p.starts, p.ends, p.content_hash, p.rows, p.created_at,
       (SELECT count(*) FROM snapshot_series s WHERE s.snapshot_id = p.id) AS series
  FROM snapshots p
 WHERE :prefix::text IS NULL OR starts_with(p.id::text, :prefix) OR starts_with(p.content_hash, :prefix)
 ORDER BY p.created_at DESC, p.id DESC LIMIT 1000;

-- name: snapshot_series
-- Why: what exactly is pinned, in the order in which it is hashed.
SELECT s.instrument_id, i.venue, i.symbol, s.interval_s, s.starts, s.ends, s.rows, s.content_hash, s.last_revision
  FROM snapshot_series s JOIN instruments i ON i.id = s.instrument_id
 WHERE s.snapshot_id = :id
 ORDER BY i.venue COLLATE "C", i.symbol COLLATE "C", s.interval_s LIMIT 100000;
