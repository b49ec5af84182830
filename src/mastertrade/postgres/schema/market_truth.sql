-- What is known of each candle series beside its rows, and the doors through which candles are written.
-- Owner of every table here: market_data_service.
--
-- Whoever writes candles of a series holds the lock of its row in `series`; so does whoever derives something from them.

CREATE TABLE IF NOT EXISTS candle_months (
    instrument_id  int NOT NULL,
    interval_s     int NOT NULL,
    month          date NOT NULL,
    rows           int NOT NULL,
    changed_from   timestamptz,
    PRIMARY KEY (instrument_id, interval_s, month),
    CONSTRAINT candle_months_belong_to_a_series FOREIGN KEY (instrument_id, interval_s)
        REFERENCES series (instrument_id, interval_s) ON DELETE RESTRICT,
    CONSTRAINT candle_months_begin_on_the_first CHECK (extract(day FROM month) = 1),
    CONSTRAINT candle_months_rows_are_not_negative CHECK (rows >= 0)
) WITH (fillfactor = 50);
COMMENT ON TABLE candle_months IS
    'market_data_service: candles of each series by month; rollups follow the candles from changed_from on';

-- The other side of coverage: a row a hole, so that asking for all of them looks at no candle, and a candle at the end of
-- a series without holes changes nothing here.
CREATE TABLE IF NOT EXISTS gaps (
    instrument_id  int NOT NULL,
    interval_s     int NOT NULL,
    starts         timestamptz NOT NULL,
    ends           timestamptz NOT NULL,
    reason         text NOT NULL,
    is_confirmed   boolean NOT NULL,
    PRIMARY KEY (instrument_id, interval_s, starts),
    CONSTRAINT gaps_belong_to_a_series FOREIGN KEY (instrument_id, interval_s)
        REFERENCES series (instrument_id, interval_s) ON DELETE RESTRICT,
    CONSTRAINT gaps_end_after_they_start CHECK (starts < ends),
    CONSTRAINT gaps_reason_is_known CHECK (
        reason IN ('never requested', 'failed', 'venue empty', 'halted', 'delisted', 'archived', 'dropped'))
);
COMMENT ON TABLE gaps IS
    'market_data_service: holes between the ends of each series; and beyond them failed requests and what retention took';

-- Databases from before candles were archived and dropped.
DO $$ BEGIN
    IF NOT EXISTS (SELECT FROM pg_constraint WHERE conrelid = 'gaps'::regclass AND conname = 'gaps_reason_is_known'
                      AND pg_get_constraintdef(oid) LIKE '%archived%') THEN
        ALTER TABLE gaps DROP CONSTRAINT IF EXISTS gaps_reason_is_known, ADD CONSTRAINT gaps_reason_is_known CHECK (
            reason IN ('never requested', 'failed', 'venue empty', 'halted', 'delisted', 'archived', 'dropped'));
    END IF;
END $$;

CREATE TABLE IF NOT EXISTS coverage_of_requests (
    instrument_id  int NOT NULL,
    interval_s     int NOT NULL,
    answered       tstzmultirange NOT NULL DEFAULT '{}',
    confirmed      tstzmultirange NOT NULL DEFAULT '{}',
    failed         tstzmultirange NOT NULL DEFAULT '{}',
    halted         tstzmultirange NOT NULL DEFAULT '{}',
    delisted       tstzmultirange NOT NULL DEFAULT '{}',
    synthetic      tstzmultirange NOT NULL DEFAULT '{}',
    archived       tstzmultirange NOT NULL DEFAULT '{}',
    dropped        tstzmultirange NOT NULL DEFAULT '{}',
    last_error     text,
    updated_at     timestamptz NOT NULL,
    PRIMARY KEY (instrument_id, interval_s),
    CONSTRAINT coverage_of_requests_belongs_to_a_series FOREIGN KEY (instrument_id, interval_s)
        REFERENCES series (instrument_id, interval_s) ON DELETE RESTRICT
);
ALTER TABLE coverage_of_requests ADD COLUMN IF NOT EXISTS archived tstzmultirange NOT NULL DEFAULT '{}',
    ADD COLUMN IF NOT EXISTS dropped tstzmultirange NOT NULL DEFAULT '{}';
COMMENT ON TABLE coverage_of_requests IS
    'market_data_service: per series the times a venue answered (once, twice), failed, halted or delisted; fills; what retention took';

CREATE TABLE IF NOT EXISTS candle_revisions (
    id             bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    instrument_id  int NOT NULL,
    interval_s     int NOT NULL,
    open_time      timestamptz NOT NULL,
    known_at       timestamptz NOT NULL,
    old_open       float8, old_high float8, old_low float8, old_close float8, old_volume float8,
    new_open       float8, new_high float8, new_low float8, new_close float8, new_volume float8,
    CONSTRAINT candle_revisions_are_whole
        CHECK (num_nulls(old_open, old_high, old_low, old_close, old_volume) IN (0, 5)
               AND num_nulls(new_open, new_high, new_low, new_close, new_volume) IN (0, 5)
               AND num_nulls(old_open, new_open) < 2)
);
CREATE INDEX IF NOT EXISTS candle_revisions_by_candle ON candle_revisions (instrument_id, interval_s, open_time, id);
CREATE INDEX IF NOT EXISTS candle_revisions_that_removed ON candle_revisions (instrument_id, interval_s, open_time)
    WHERE new_open IS NULL;
COMMENT ON TABLE candle_revisions IS
    'market_data_service: each change of a candle and when it became known; no old values: arrived late, no new: removed';

-- Two download workers cannot hold the same time: the ranges of one number stand for the equality that only an extension
-- would give to GiST.
CREATE TABLE IF NOT EXISTS download_claims (
    id             uuid PRIMARY KEY,
    instrument_id  int NOT NULL,
    interval_s     int NOT NULL,
    kind           text NOT NULL DEFAULT 'candles',
    span           tstzrange NOT NULL,
    expires_at     timestamptz NOT NULL,
    CONSTRAINT download_claims_hold_some_time CHECK (NOT isempty(span)),
    CONSTRAINT download_claims_do_not_overlap EXCLUDE USING gist (
        int4range(instrument_id, instrument_id, '[]') WITH &&, int4range(interval_s, interval_s, '[]') WITH &&,
        int4range(hashtext(kind), hashtext(kind), '[]') WITH &&, span WITH &&)
);
COMMENT ON TABLE download_claims IS 'market_data_service: the spans that download workers are busy with; an expired one is free';

CREATE OR REPLACE FUNCTION month_of(p_time timestamptz) RETURNS date
LANGUAGE sql IMMUTABLE PARALLEL SAFE RETURN date_trunc('month', p_time AT TIME ZONE 'UTC')::date;
COMMENT ON FUNCTION month_of IS 'market_data_service: the first day of the UTC month, by which candles are kept';

CREATE OR REPLACE FUNCTION gap_reasons(p_instrument_id int, p_interval_s int, p_open tstzmultirange)
RETURNS TABLE (hole tstzrange, reason text, is_confirmed boolean)
LANGUAGE sql STABLE AS $$
    WITH known AS (
        SELECT coalesce(k.archived, '{}') AS archived, coalesce(k.dropped - k.archived, '{}') AS dropped,
               coalesce(k.delisted, '{}') AS delisted, coalesce(k.halted, '{}') AS halted,
               coalesce(k.confirmed, '{}') AS confirmed, coalesce(k.answered, '{}') AS answered,
               coalesce(k.failed, '{}') AS failed
          FROM (SELECT) one
          LEFT JOIN coverage_of_requests k ON k.instrument_id = p_instrument_id AND k.interval_s = p_interval_s
    )
    SELECT unnest(cut.part), cut.reason, cut.is_confirmed
      FROM known k
     CROSS JOIN LATERAL (SELECT p_open - k.archived - k.dropped AS open) p
     CROSS JOIN LATERAL (VALUES
           (p_open * k.archived, 'archived', true),
           (p_open * k.dropped, 'dropped', true),
           (p.open * k.delisted, 'delisted', true),
           ((p.open - k.delisted) * k.halted, 'halted', true),
           ((p.open - k.delisted - k.halted) * k.confirmed, 'venue empty', true),
           ((p.open - k.delisted - k.halted - k.confirmed) * k.answered, 'venue empty', false),
           ((p.open - k.delisted - k.halted - k.confirmed - k.answered) * k.failed, 'failed', false),
           (p.open - k.delisted - k.halted - k.confirmed - k.answered - k.failed, 'never requested', false)
           ) AS cut(part, reason, is_confirmed)
$$;
COMMENT ON FUNCTION gap_reasons IS 'market_data_service: missing time, cut by why it is missing';

CREATE OR REPLACE FUNCTION change_gaps(
    p_instrument_id int, p_interval_s int, p_window tstzrange, p_add tstzmultirange, p_take tstzmultirange
) RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
    v_open  tstzmultirange;
    v_ends  tstzrange;
BEGIN
    WITH touched AS (
        DELETE FROM gaps g
         WHERE g.instrument_id = p_instrument_id AND g.interval_s = p_interval_s
           AND g.starts <= upper(p_window) AND g.ends >= lower(p_window)
        RETURNING tstzrange(g.starts, g.ends) AS hole
    )
    SELECT coalesce(range_agg(hole), '{}') + p_add - p_take INTO v_open FROM touched;
    -- What is stored again is neither archived nor dropped any more.
    UPDATE coverage_of_requests k SET archived = k.archived - p_take, dropped = k.dropped - p_take
     WHERE k.instrument_id = p_instrument_id AND k.interval_s = p_interval_s
       AND (k.archived && p_take OR k.dropped && p_take);
    SELECT tstzrange(s.first_open_time, s.last_close_time) INTO v_ends FROM series s
     WHERE s.instrument_id = p_instrument_id AND s.interval_s = p_interval_s AND s.rows > 0;
    INSERT INTO gaps (instrument_id, interval_s, starts, ends, reason, is_confirmed)
    SELECT p_instrument_id, p_interval_s, lower(r.hole), upper(r.hole), r.reason, r.is_confirmed
      FROM gap_reasons(p_instrument_id, p_interval_s, v_open) r
     WHERE r.reason IN ('failed', 'archived', 'dropped') OR r.hole <@ v_ends;
END $$;
COMMENT ON FUNCTION change_gaps IS
    'market_data_service: holes that touch p_window are joined, grow by p_add, shrink by p_take and get their reasons anew';

CREATE OR REPLACE FUNCTION cover_candles(
    p_instrument_id int, p_interval_s int, p_covered tstzmultirange, p_before tstzrange
) RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
    v_now    tstzrange;
    v_grown  tstzmultirange;
BEGIN
    SELECT tstzrange(s.first_open_time, s.last_close_time) INTO v_now FROM series s
     WHERE s.instrument_id = p_instrument_id AND s.interval_s = p_interval_s;
    v_grown := tstzmultirange(v_now) - CASE WHEN p_before IS NULL THEN '{}'::tstzmultirange ELSE tstzmultirange(p_before) END;
    PERFORM change_gaps(p_instrument_id, p_interval_s, range_merge(p_covered + v_grown), v_grown, p_covered);
END $$;
COMMENT ON FUNCTION cover_candles IS
    'market_data_service: the gaps after candles were stored; p_before is what the series spanned until then, NULL if nothing';

CREATE OR REPLACE FUNCTION candle_gaps(p_instrument_id int, p_interval_s int, p_from timestamptz, p_to timestamptz)
RETURNS TABLE (gap_start timestamptz, gap_end timestamptz, missing bigint)
LANGUAGE sql STABLE PARALLEL SAFE AS $$
    SELECT lower(g), upper(g), (extract(epoch FROM upper(g) - lower(g)) / p_interval_s)::bigint
      FROM unnest(
           tstzmultirange(tstzrange(p_from, p_to)) - coalesce(
               (SELECT tstzmultirange(tstzrange(s.first_open_time, s.last_close_time)) FROM series s
                 WHERE s.instrument_id = p_instrument_id AND s.interval_s = p_interval_s AND s.rows > 0), '{}')
           + coalesce(
               (SELECT range_agg(tstzrange(greatest(h.starts, p_from), least(h.ends, p_to))) FROM gaps h
                 WHERE h.instrument_id = p_instrument_id AND h.interval_s = p_interval_s
                   AND h.starts < p_to AND h.ends > p_from), '{}')) AS g
     ORDER BY 1
$$;
COMMENT ON FUNCTION candle_gaps IS 'market_data_service: the stretches of a span without candles, whatever the reason';

-- The first half of a bulk write. The caller holds the series' lock (lock_series), writes rows with p_from <= open time <=
-- p_to and no others, and ends with book_candles in the same transaction.
CREATE OR REPLACE FUNCTION open_candles(p_instrument_id int, p_interval_s int, p_from timestamptz, p_to timestamptz)
RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
    PERFORM forget_blocks(p_instrument_id, p_interval_s, p_from, p_to);
    PERFORM set_config('mastertrade.candle_door', 'open', true);
END $$;
COMMENT ON FUNCTION open_candles IS 'market_data_service: let this transaction write candles of one series and span';

CREATE OR REPLACE FUNCTION book_candles(
    p_instrument_id int, p_interval_s int, p_starts timestamptz[], p_ends timestamptz[], p_months date[], p_month_rows int[],
    p_month_changed timestamptz[], p_new_rows bigint, p_revised_rows bigint, p_last_close float8, p_at timestamptz
) RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
    v_before   tstzrange;
    v_covered  tstzmultirange;
BEGIN
    PERFORM set_config('mastertrade.candle_door', '', true);
    SELECT tstzrange(s.first_open_time, s.last_close_time) INTO v_before FROM series s
     WHERE s.instrument_id = p_instrument_id AND s.interval_s = p_interval_s AND s.rows > 0;
    UPDATE series
       SET rows = rows + p_new_rows,
           revised_rows = revised_rows + p_revised_rows,
           last_close = CASE WHEN p_ends[cardinality(p_ends)] < last_close_time THEN last_close ELSE p_last_close END,
           first_open_time = least(first_open_time, p_starts[1]),
           last_close_time = greatest(last_close_time, p_ends[cardinality(p_ends)]),
           updated_at = p_at
     WHERE instrument_id = p_instrument_id AND interval_s = p_interval_s;
    INSERT INTO candle_months AS m (instrument_id, interval_s, month, rows, changed_from)
    SELECT p_instrument_id, p_interval_s, c.month, c.rows, c.changed
      FROM unnest(p_months, p_month_rows, p_month_changed) AS c(month, rows, changed)
    ON CONFLICT (instrument_id, interval_s, month) DO UPDATE
       SET rows = m.rows + excluded.rows, changed_from = least(m.changed_from, excluded.changed_from);
    SELECT range_agg(tstzrange(c.s, c.e)) INTO v_covered FROM unnest(p_starts, p_ends) AS c(s, e);
    -- The candles that follow the last one change no gap, unless a failed request beyond the end is recorded there.
    IF cardinality(p_starts) > 1 OR v_before IS NULL OR upper(v_before) <> p_starts[1] OR EXISTS (
           SELECT FROM gaps g WHERE g.instrument_id = p_instrument_id AND g.interval_s = p_interval_s
              AND g.starts >= p_starts[1]) THEN
        PERFORM cover_candles(p_instrument_id, p_interval_s, v_covered, v_before);
    END IF;
END $$;
COMMENT ON FUNCTION book_candles IS
    'market_data_service: the second half of a bulk write: catalogue, months and gaps follow the rows, and the door closes';

CREATE OR REPLACE FUNCTION revise_candles(
    p_instrument_id int, p_interval_s int, p_open_times timestamptz[], p_open float8[], p_high float8[], p_low float8[],
    p_close float8[], p_volume float8[], p_at timestamptz
) RETURNS int
LANGUAGE plpgsql SET mastertrade.candle_door = 'open' AS $$
DECLARE
    v_revised  int;
BEGIN
    INSERT INTO candle_revisions (instrument_id, interval_s, open_time, known_at, old_open, old_high, old_low, old_close,
                                  old_volume, new_open, new_high, new_low, new_close, new_volume)
    SELECT p_instrument_id, p_interval_s, c.open_time, p_at, c.open, c.high, c.low, c.close, c.volume,
           i.open, i.high, i.low, i.close, i.volume
      FROM unnest(p_open_times, p_open, p_high, p_low, p_close, p_volume) AS i(open_time, open, high, low, close, volume)
      JOIN candles c ON c.instrument_id = p_instrument_id AND c.interval_s = p_interval_s AND c.open_time = i.open_time
     WHERE c.open_time >= p_open_times[1] AND c.open_time <= p_open_times[cardinality(p_open_times)]
     ORDER BY i.open_time;
    UPDATE candles c SET open = i.open, high = i.high, low = i.low, close = i.close, volume = i.volume
      FROM unnest(p_open_times, p_open, p_high, p_low, p_close, p_volume) AS i(open_time, open, high, low, close, volume)
     WHERE c.instrument_id = p_instrument_id AND c.interval_s = p_interval_s AND c.open_time = i.open_time
       AND c.open_time >= p_open_times[1] AND c.open_time <= p_open_times[cardinality(p_open_times)];
    GET DIAGNOSTICS v_revised = ROW_COUNT;
    PERFORM forget_blocks(p_instrument_id, p_interval_s, p_open_times[1], p_open_times[cardinality(p_open_times)]);
    RETURN v_revised;
END $$;
COMMENT ON FUNCTION revise_candles IS
    'market_data_service: stored candles get other numbers, the old ones are kept; times are rising, the series is locked';

-- Live candles of one moment, over many instruments. Those that follow the last candle of their series are the hot path: the
-- catalogue proves that they are new, and they change no gap. The others are new, revised or there already.
CREATE OR REPLACE FUNCTION store_candles(
    p_interval_s int, p_open_time timestamptz, p_instrument_ids int[], p_open float8[], p_high float8[], p_low float8[],
    p_close float8[], p_volume float8[], p_at timestamptz
) RETURNS TABLE (new int, revised int)
LANGUAGE plpgsql SET mastertrade.candle_door = 'open' AS $$
#variable_conflict use_column
DECLARE
    v_close_time  timestamptz := p_open_time + make_interval(secs => p_interval_s);
    v_is_late     boolean := p_at > p_open_time + make_interval(secs => 3.0 * p_interval_s);
    v_next        int[];
    v_odd         int[] := '{}';
    v_late        int[] := '{}';
    v_all         int[];
BEGIN
    revised := 0;
    -- Every writer takes the locks of its series in the order of their ids, so that two never wait for each other: new series
    -- are made first, in that order, then all are locked in it.
    IF (SELECT count(*) FROM series WHERE instrument_id = ANY(p_instrument_ids) AND interval_s = p_interval_s)
       < cardinality(p_instrument_ids) THEN
        INSERT INTO series (instrument_id, interval_s, updated_at)
        SELECT DISTINCT i, p_interval_s, p_at FROM unnest(p_instrument_ids) AS i ORDER BY i
        ON CONFLICT (instrument_id, interval_s) DO NOTHING;
    END IF;
    PERFORM FROM series s WHERE s.instrument_id = ANY(p_instrument_ids) AND s.interval_s = p_interval_s
      ORDER BY s.instrument_id FOR NO KEY UPDATE;
    WITH moved AS (
        UPDATE series s
           SET rows = s.rows + 1, last_close_time = v_close_time, last_close = i.close, updated_at = p_at
          FROM unnest(p_instrument_ids, p_close) AS i(id, close)
         WHERE s.instrument_id = i.id AND s.interval_s = p_interval_s AND s.last_close_time = p_open_time
           AND NOT EXISTS (SELECT FROM gaps g WHERE g.instrument_id = i.id AND g.interval_s = p_interval_s
                              AND g.starts >= p_open_time)
        RETURNING s.instrument_id
    )
    SELECT coalesce(array_agg(instrument_id), '{}') INTO v_next FROM moved;
    INSERT INTO candles (instrument_id, interval_s, open_time, open, high, low, close, volume)
    SELECT i.id, p_interval_s, p_open_time, i.open, i.high, i.low, i.close, i.volume
      FROM unnest(p_instrument_ids, p_open, p_high, p_low, p_close, p_volume) AS i(id, open, high, low, close, volume)
     WHERE i.id = ANY(v_next);
    IF cardinality(v_next) < cardinality(p_instrument_ids) THEN
        SELECT array_agg(i.id), array_agg(i.id) FILTER (WHERE o.what = 'new'), count(*) FILTER (WHERE o.what = 'revised'),
               array_agg(i.id) FILTER (WHERE o.what = 'new' AND is_pinned(i.id, p_interval_s, p_open_time, p_open_time))
          INTO v_all, v_odd, revised, v_late
          FROM unnest(p_instrument_ids, p_open, p_high, p_low, p_close, p_volume) AS i(id, open, high, low, close, volume)
         CROSS JOIN LATERAL store_candle(i.id, p_interval_s, p_open_time, i.open, i.high, i.low, i.close, i.volume, p_at)
               AS o(what)
         WHERE i.id <> ALL(v_next);
        v_odd := coalesce(v_odd, '{}');
    END IF;
    v_all := v_next || v_odd;
    INSERT INTO candle_months AS m (instrument_id, interval_s, month, rows, changed_from)
    SELECT i, p_interval_s, month_of(p_open_time), 1, p_open_time FROM unnest(v_all) AS i
    ON CONFLICT (instrument_id, interval_s, month) DO UPDATE
       SET rows = m.rows + 1, changed_from = least(m.changed_from, excluded.changed_from);
    DELETE FROM candle_blocks
     WHERE instrument_id = ANY(v_all) AND interval_s = p_interval_s AND month = month_of(p_open_time);
    IF v_is_late OR cardinality(v_late) > 0 THEN
        INSERT INTO candle_revisions (instrument_id, interval_s, open_time, known_at,
                                      new_open, new_high, new_low, new_close, new_volume)
        SELECT i.id, p_interval_s, p_open_time, p_at, i.open, i.high, i.low, i.close, i.volume
          FROM unnest(p_instrument_ids, p_open, p_high, p_low, p_close, p_volume) AS i(id, open, high, low, close, volume)
         WHERE i.id = ANY(CASE WHEN v_is_late THEN v_all ELSE v_late END);
    END IF;
    new := cardinality(v_all);
    RETURN NEXT;
END $$;
COMMENT ON FUNCTION store_candles IS
    'market_data_service: the live door: new candles, revisions and late arrivals of one moment, with all that is kept of them';

CREATE OR REPLACE FUNCTION store_candle(
    p_instrument_id int, p_interval_s int, p_open_time timestamptz, p_open float8, p_high float8, p_low float8,
    p_close float8, p_volume float8, p_at timestamptz
) RETURNS text
LANGUAGE plpgsql SET mastertrade.candle_door = 'open' AS $$
DECLARE
    v_close_time  timestamptz := p_open_time + make_interval(secs => p_interval_s);
    v_known       candles;
BEGIN
    INSERT INTO series AS s (instrument_id, interval_s, updated_at) VALUES (p_instrument_id, p_interval_s, p_at)
    ON CONFLICT (instrument_id, interval_s) DO UPDATE SET updated_at = excluded.updated_at;
    SELECT c.* INTO v_known FROM candles c
     WHERE c.instrument_id = p_instrument_id AND c.interval_s = p_interval_s AND c.open_time = p_open_time;
    IF NOT FOUND THEN
        INSERT INTO candles (instrument_id, interval_s, open_time, open, high, low, close, volume)
        VALUES (p_instrument_id, p_interval_s, p_open_time, p_open, p_high, p_low, p_close, p_volume);
        PERFORM book_candles(p_instrument_id, p_interval_s, ARRAY[p_open_time], ARRAY[v_close_time], '{}', '{}', '{}',
                             1, 0, p_close, p_at);
        RETURN 'new';
    END IF;
    UPDATE coverage_of_requests SET synthetic = synthetic - tstzmultirange(tstzrange(p_open_time, v_close_time))
     WHERE instrument_id = p_instrument_id AND interval_s = p_interval_s AND synthetic @> p_open_time;
    IF (v_known.open, v_known.high, v_known.low, v_known.close, v_known.volume)
       IS NOT DISTINCT FROM (p_open, p_high, p_low, p_close, p_volume) THEN
        RETURN 'unchanged';
    END IF;
    PERFORM revise_candles(p_instrument_id, p_interval_s, ARRAY[p_open_time], ARRAY[p_open], ARRAY[p_high], ARRAY[p_low],
                           ARRAY[p_close], ARRAY[p_volume], p_at);
    UPDATE series s
       SET revised_rows = s.revised_rows + 1, updated_at = p_at,
           last_close = CASE WHEN s.last_close_time = v_close_time THEN p_close ELSE s.last_close END
     WHERE s.instrument_id = p_instrument_id AND s.interval_s = p_interval_s;
    UPDATE candle_months SET changed_from = least(changed_from, p_open_time)
     WHERE instrument_id = p_instrument_id AND interval_s = p_interval_s AND month = month_of(p_open_time);
    RETURN 'revised';
END $$;
COMMENT ON FUNCTION store_candle IS
    'market_data_service: one candle of store_candles that may be there already: new, unchanged or revised';

-- Candles that are known to be wrong, or that nobody keeps any more. With p_is_recorded what they were stays known.
CREATE OR REPLACE FUNCTION remove_candles(
    p_instrument_id int, p_interval_s int, p_from timestamptz, p_to timestamptz, p_is_recorded boolean, p_at timestamptz
) RETURNS bigint
LANGUAGE plpgsql SET mastertrade.candle_door = 'open' AS $$
DECLARE
    v_removed  bigint;
    v_taken    tstzmultirange;
BEGIN
    PERFORM FROM series s WHERE s.instrument_id = p_instrument_id AND s.interval_s = p_interval_s FOR NO KEY UPDATE;
    PERFORM forget_blocks(p_instrument_id, p_interval_s, p_from, p_to);
    IF p_is_recorded THEN
        INSERT INTO candle_revisions (instrument_id, interval_s, open_time, known_at, old_open, old_high, old_low,
                                      old_close, old_volume)
        SELECT c.instrument_id, c.interval_s, c.open_time, p_at, c.open, c.high, c.low, c.close, c.volume FROM candles c
         WHERE c.instrument_id = p_instrument_id AND c.interval_s = p_interval_s
           AND c.open_time >= p_from AND c.open_time < p_to
         ORDER BY c.open_time;
    END IF;
    WITH removed AS (
        DELETE FROM candles c
         WHERE c.instrument_id = p_instrument_id AND c.interval_s = p_interval_s
           AND c.open_time >= p_from AND c.open_time < p_to
        RETURNING c.open_time
    ), by_month AS (
        SELECT month_of(r.open_time) AS month, count(*)::int AS rows, min(r.open_time) AS changed FROM removed r GROUP BY 1
    ), emptied AS (
        DELETE FROM candle_months m USING by_month b
         WHERE m.instrument_id = p_instrument_id AND m.interval_s = p_interval_s AND m.month = b.month AND m.rows = b.rows
    ), shrunk AS (
        UPDATE candle_months m SET rows = m.rows - b.rows, changed_from = least(m.changed_from, b.changed) FROM by_month b
         WHERE m.instrument_id = p_instrument_id AND m.interval_s = p_interval_s AND m.month = b.month AND m.rows > b.rows
    )
    SELECT count(*), range_agg(tstzrange(r.open_time, r.open_time + make_interval(secs => p_interval_s)))
      INTO v_removed, v_taken FROM removed r;
    -- Longer bars outlive candles that nobody keeps any more, but not candles that were wrong.
    IF v_removed > 0 AND p_is_recorded THEN
        PERFORM forget_rollups(p_instrument_id, p_interval_s, p_from, p_to);
    END IF;
    IF v_removed > 0 THEN
        PERFORM shrink_series(p_instrument_id, p_interval_s, v_removed, p_at);
        DELETE FROM gaps g USING series s
         WHERE g.instrument_id = p_instrument_id AND g.interval_s = p_interval_s
           AND s.instrument_id = p_instrument_id AND s.interval_s = p_interval_s
           AND g.reason NOT IN ('failed', 'archived', 'dropped')
           AND (s.rows = 0 OR g.ends <= s.first_open_time OR g.starts >= s.last_close_time);
        PERFORM change_gaps(p_instrument_id, p_interval_s, range_merge(v_taken), v_taken, '{}');
    END IF;
    RETURN v_removed;
END $$;
COMMENT ON FUNCTION remove_candles IS
    'market_data_service: delete the candles of one series and span, p_to excluded; the number deleted';

CREATE OR REPLACE FUNCTION shrink_series(p_instrument_id int, p_interval_s int, p_removed bigint, p_at timestamptz)
RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
    v_first  date;
    v_last   date;
BEGIN
    SELECT min(m.month), max(m.month) INTO v_first, v_last FROM candle_months m
     WHERE m.instrument_id = p_instrument_id AND m.interval_s = p_interval_s;
    UPDATE series s
       SET rows = s.rows - p_removed, updated_at = p_at,
           first_open_time = (SELECT min(c.open_time) FROM candles c
               WHERE c.instrument_id = p_instrument_id AND c.interval_s = p_interval_s
                 AND c.open_time >= v_first::timestamp AT TIME ZONE 'UTC'
                 AND c.open_time < (v_first + interval '1 month') AT TIME ZONE 'UTC'),
           (last_close_time, last_close) = (SELECT c.open_time + make_interval(secs => p_interval_s), c.close FROM candles c
               WHERE c.instrument_id = p_instrument_id AND c.interval_s = p_interval_s
                 AND c.open_time >= v_last::timestamp AT TIME ZONE 'UTC'
                 AND c.open_time < (v_last + interval '1 month') AT TIME ZONE 'UTC'
               ORDER BY c.open_time DESC LIMIT 1)
     WHERE s.instrument_id = p_instrument_id AND s.interval_s = p_interval_s;
END $$;
COMMENT ON FUNCTION shrink_series IS 'market_data_service: the catalogue after candles were removed; its months are right already';

CREATE OR REPLACE FUNCTION record_request(
    p_instrument_id int, p_interval_s int, p_from timestamptz, p_to timestamptz, p_outcome text, p_error text,
    p_at timestamptz
) RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
    v_span  tstzmultirange := tstzmultirange(tstzrange(p_from, p_to));
    v_none  tstzmultirange := '{}';
    v_held  tstzmultirange;
BEGIN
    IF p_from >= p_to OR p_outcome NOT IN ('fetched', 'empty', 'failed', 'halted', 'delisted') THEN
        RAISE EXCEPTION 'request % to %, outcome %: the end must follow the start, and the outcome be one of '
            'fetched, empty, failed, halted, delisted', p_from, p_to, p_outcome USING ERRCODE = 'invalid_parameter_value';
    END IF;
    INSERT INTO series AS s (instrument_id, interval_s, updated_at) VALUES (p_instrument_id, p_interval_s, p_at)
    ON CONFLICT (instrument_id, interval_s) DO UPDATE SET updated_at = excluded.updated_at
    RETURNING CASE WHEN s.rows > 0 THEN tstzmultirange(tstzrange(s.first_open_time, s.last_close_time)) ELSE '{}' END
      INTO v_held;
    INSERT INTO coverage_of_requests AS k (instrument_id, interval_s, answered, failed, halted, delisted, last_error, updated_at)
    VALUES (p_instrument_id, p_interval_s, CASE WHEN p_outcome IN ('fetched', 'empty') THEN v_span ELSE v_none END,
            CASE p_outcome WHEN 'failed' THEN v_span ELSE v_none END,
            CASE p_outcome WHEN 'halted' THEN v_span ELSE v_none END,
            CASE p_outcome WHEN 'delisted' THEN v_span ELSE v_none END, p_error, p_at)
    ON CONFLICT (instrument_id, interval_s) DO UPDATE
       SET confirmed = k.confirmed + k.answered * excluded.answered,
           answered = k.answered + excluded.answered,
           failed = k.failed + excluded.failed - excluded.answered,
           halted = k.halted + excluded.halted,
           delisted = k.delisted + excluded.delisted,
           last_error = coalesce(excluded.last_error, k.last_error),
           updated_at = excluded.updated_at;
    PERFORM change_gaps(p_instrument_id, p_interval_s, tstzrange(p_from, p_to),
                        CASE p_outcome WHEN 'failed' THEN v_span - v_held ELSE v_none END, v_none);
END $$;
COMMENT ON FUNCTION record_request IS
    'market_data_service: what a venue said about a span; fetched and empty mean that it answered for all of it';

CREATE OR REPLACE FUNCTION claim_download(
    p_id uuid, p_instrument_id int, p_interval_s int, p_kind text, p_from timestamptz, p_to timestamptz,
    p_at timestamptz, p_until timestamptz
) RETURNS boolean
LANGUAGE plpgsql AS $$
BEGIN
    DELETE FROM download_claims c
     WHERE c.instrument_id = p_instrument_id AND c.interval_s = p_interval_s AND c.kind = p_kind
       AND (c.expires_at <= p_at OR c.id = p_id);
    INSERT INTO download_claims (id, instrument_id, interval_s, kind, span, expires_at)
    VALUES (p_id, p_instrument_id, p_interval_s, p_kind, tstzrange(p_from, p_to), p_until);
    RETURN true;
EXCEPTION WHEN exclusion_violation THEN
    RETURN false;
END $$;
COMMENT ON FUNCTION claim_download IS
    'market_data_service: take a span for one worker until p_until; false while another holds part of it; again to renew';

-- What people ask first, answered without a look at candles. "last" is the open time of the last candle.
CREATE OR REPLACE VIEW v_series AS
SELECT s.instrument_id, i.venue, i.symbol, s.interval_s, interval_name(s.interval_s) AS timeframe, s.first_open_time AS first,
       s.last_close_time - make_interval(secs => s.interval_s) AS last, s.rows, coalesce(h.missing, 0)::bigint AS missing,
       s.revised_rows
  FROM series s
  JOIN instruments i ON i.id = s.instrument_id
  LEFT JOIN (SELECT g.instrument_id, g.interval_s, sum(extract(epoch FROM g.ends - g.starts)::float8 / g.interval_s) AS missing
               FROM gaps g JOIN series k ON k.instrument_id = g.instrument_id AND k.interval_s = g.interval_s
              WHERE g.starts < k.last_close_time AND g.ends > k.first_open_time
              GROUP BY g.instrument_id, g.interval_s) h
    ON h.instrument_id = s.instrument_id AND h.interval_s = s.interval_s
 WHERE s.rows > 0;
COMMENT ON VIEW v_series IS 'market_data_service: every series with its ends, rows and the rows missing between them';

CREATE OR REPLACE VIEW v_gaps AS
SELECT g.instrument_id, i.venue, i.symbol, g.interval_s, interval_name(g.interval_s) AS timeframe, g.starts, g.ends,
       (extract(epoch FROM g.ends - g.starts)::float8 / g.interval_s)::bigint AS missing, g.reason, g.is_confirmed
  FROM gaps g JOIN instruments i ON i.id = g.instrument_id;
COMMENT ON VIEW v_gaps IS 'market_data_service: every hole with the market it is in and why it is there';
