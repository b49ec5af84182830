-- name: begin_import
-- Why: an import that was cut short is seen, and what it held back knows where it came from.
INSERT INTO imports (id, file, bytes, sha256, kind, venue, symbol, interval_s, began_at)
VALUES (:id, :file, :bytes, :sha256, :kind, :venue, :symbol, :interval_s, :at);

-- name: end_import
-- Why: which file brought what, for whoever asks where a candle comes from.
UPDATE imports
   SET symbol = :symbol, interval_s = :interval_s, rows_read = :rows_read, rows_stored = :rows_stored,
       unchanged = :unchanged, revisions = :revisions, rejected = :rejected, quarantined = :quarantined,
       findings = :findings, rejects_file = :rejects_file, error = :error, ended_at = :at
 WHERE id = :id;

-- name: imports
-- Why: what was imported lately.
SELECT id, file, bytes, sha256, kind, venue, symbol, interval_s, rows_read, rows_stored, unchanged, revisions, rejected,
       quarantined, findings, rejects_file, error, began_at, ended_at
  FROM imports ORDER BY began_at DESC LIMIT :limit;

-- name: hold_candles
-- Why: a candle that looks like a bad print waits; one that was decided on before keeps its decision.
INSERT INTO quarantined_candles (instrument_id, interval_s, open_time, open, high, low, close, volume, reason, import_id, held_at)
SELECT :instrument_id, :interval_s, i.open_time, i.open, i.high, i.low, i.close, i.volume, :reason, :import_id, :at
  FROM unnest(:open_times::timestamptz[], :open::float8[], :high::float8[], :low::float8[], :close::float8[],
              :volume::float8[]) AS i(open_time, open, high, low, close, volume)
ON CONFLICT (instrument_id, interval_s, open_time) DO NOTHING;

-- name: accepted_candles
-- Why: what somebody confirmed once is stored without asking again.
SELECT open_time, open, high, low, close, volume FROM quarantined_candles
 WHERE instrument_id = :instrument_id AND interval_s = :interval_s AND status = 'accepted'
   AND open_time >= :first AND open_time <= :last;

-- name: instrument_id
-- Why: what is imported belongs to one market of one venue.
SELECT id FROM instruments WHERE venue = :venue AND symbol = :symbol;
