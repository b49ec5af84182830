-- What is derived from candles and can be made again from them: sealed blocks for reading, and what pins their past.
-- Owner of every table here: market_data_service.

-- A month of one series as columns of big-endian float64, read some ten times as fast as its rows (docs/benchmarks.md). The
-- values come from the trigger below and from nowhere else; every function that writes candles deletes the blocks of the
-- months it touches.
CREATE TABLE IF NOT EXISTS candle_blocks (
    instrument_id    int NOT NULL,
    interval_s       int NOT NULL,
    month            date NOT NULL,
    rows             int NOT NULL,
    first_open_time  timestamptz NOT NULL,
    open_times       bytea,
    open             bytea NOT NULL,
    high             bytea NOT NULL,
    low              bytea NOT NULL,
    close            bytea NOT NULL,
    volume           bytea NOT NULL,
    partition        oid NOT NULL,
    sealed_at        timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (instrument_id, interval_s, month),
    CONSTRAINT candle_blocks_belong_to_a_month FOREIGN KEY (instrument_id, interval_s, month)
        REFERENCES candle_months (instrument_id, interval_s, month) ON DELETE CASCADE
);
ALTER TABLE candle_blocks ALTER COLUMN open_times SET STORAGE EXTERNAL, ALTER COLUMN open SET STORAGE EXTERNAL,
    ALTER COLUMN high SET STORAGE EXTERNAL, ALTER COLUMN low SET STORAGE EXTERNAL, ALTER COLUMN close SET STORAGE EXTERNAL,
    ALTER COLUMN volume SET STORAGE EXTERNAL;
COMMENT ON TABLE candle_blocks IS
    'market_data_service: sealed months of candles as columns; open_times is NULL where no candle is missing';

-- The lock keeps writers out from before the rows are looked at until the block is committed: a writer that comes later
-- sees the block and deletes it. A transaction whose snapshot is older than the last write fails on the lock.
CREATE OR REPLACE FUNCTION fill_candle_block() RETURNS trigger
LANGUAGE plpgsql AS $$
DECLARE
    v_from  timestamptz := NEW.month::timestamp AT TIME ZONE 'UTC';
    v_to    timestamptz := (NEW.month + interval '1 month') AT TIME ZONE 'UTC';
    v_last  timestamptz;
    v_rows  int;
BEGIN
    PERFORM FROM series s WHERE s.instrument_id = NEW.instrument_id AND s.interval_s = NEW.interval_s FOR UPDATE;
    SELECT count(*), min(c.open_time), max(c.open_time),
           string_agg(timestamptz_send(c.open_time), ''::bytea ORDER BY c.open_time),
           string_agg(float8send(c.open), ''::bytea ORDER BY c.open_time),
           string_agg(float8send(c.high), ''::bytea ORDER BY c.open_time),
           string_agg(float8send(c.low), ''::bytea ORDER BY c.open_time),
           string_agg(float8send(c.close), ''::bytea ORDER BY c.open_time),
           string_agg(float8send(c.volume), ''::bytea ORDER BY c.open_time)
      INTO NEW.rows, NEW.first_open_time, v_last, NEW.open_times, NEW.open, NEW.high, NEW.low, NEW.close, NEW.volume
      FROM candles c
     WHERE c.instrument_id = NEW.instrument_id AND c.interval_s = NEW.interval_s
       AND c.open_time >= v_from AND c.open_time < v_to;
    SELECT m.rows INTO v_rows FROM candle_months m
     WHERE m.instrument_id = NEW.instrument_id AND m.interval_s = NEW.interval_s AND m.month = NEW.month;
    IF NEW.rows IS DISTINCT FROM v_rows THEN
        RAISE EXCEPTION 'instrument %, interval % s, month %: % candles are stored and the catalogue counts %',
            NEW.instrument_id, NEW.interval_s, NEW.month, NEW.rows, coalesce(v_rows, 0)
            USING ERRCODE = 'data_corrupted', HINT = 'Report this, then call recount_series to make the catalogue anew.';
    END IF;
    IF v_last - NEW.first_open_time = make_interval(secs => (NEW.rows - 1.0) * NEW.interval_s) THEN
        NEW.open_times := NULL;
    END IF;
    NEW.partition := to_regclass('candles_' || to_char(NEW.month, 'YYYY_MM'));
    NEW.sealed_at := now();
    RETURN NEW;
END $$;
COMMENT ON FUNCTION fill_candle_block IS 'market_data_service: trigger of candle_blocks: whatever is inserted, the candles are stored';
CREATE OR REPLACE TRIGGER candle_blocks_hold_what_the_candles_are
    BEFORE INSERT OR UPDATE ON candle_blocks FOR EACH ROW EXECUTE FUNCTION fill_candle_block();

CREATE OR REPLACE FUNCTION forget_blocks(p_instrument_id int, p_interval_s int, p_from timestamptz, p_to timestamptz)
RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
    DELETE FROM candle_blocks b
     WHERE b.instrument_id = p_instrument_id AND b.interval_s = p_interval_s
       AND b.month BETWEEN month_of(p_from) AND month_of(p_to);
END $$;
COMMENT ON FUNCTION forget_blocks IS 'market_data_service: the sealed months of a span are no longer what the candles are';

-- Longer bars made of shorter candles and kept, so that they outlive them. What is asked for once is kept up to date.
CREATE TABLE IF NOT EXISTS rollup_targets (
    instrument_id    int NOT NULL,
    base_interval_s  int NOT NULL,
    interval_s       int NOT NULL,
    asked_at         timestamptz NOT NULL,
    PRIMARY KEY (instrument_id, base_interval_s, interval_s),
    CONSTRAINT rollup_targets_belong_to_a_series FOREIGN KEY (instrument_id, base_interval_s)
        REFERENCES series (instrument_id, interval_s) ON DELETE RESTRICT,
    CONSTRAINT rollup_targets_are_longer_and_divide_a_day
        CHECK (interval_s > base_interval_s AND interval_s % base_interval_s = 0 AND 86400 % interval_s = 0)
);
COMMENT ON TABLE rollup_targets IS 'market_data_service: which longer bars are kept of which series';

CREATE TABLE IF NOT EXISTS rollups (
    instrument_id    int NOT NULL,
    base_interval_s  int NOT NULL,
    interval_s       int NOT NULL,
    open_time        timestamptz NOT NULL,
    open             float8 NOT NULL,
    high             float8 NOT NULL,
    low              float8 NOT NULL,
    close            float8 NOT NULL,
    volume           float8 NOT NULL,
    candles          int NOT NULL,
    is_partial       boolean NOT NULL GENERATED ALWAYS AS (candles * base_interval_s < interval_s) STORED,
    PRIMARY KEY (instrument_id, base_interval_s, interval_s, open_time),
    CONSTRAINT rollups_belong_to_a_target FOREIGN KEY (instrument_id, base_interval_s, interval_s)
        REFERENCES rollup_targets (instrument_id, base_interval_s, interval_s) ON DELETE RESTRICT,
    CONSTRAINT rollups_hold_some_and_not_too_many_candles CHECK (candles > 0 AND candles <= interval_s / base_interval_s)
);
COMMENT ON TABLE rollups IS
    'market_data_service: bars made of candles and kept; a partial one lacks some, and no strategy ever sees it';

-- What proves that a month is covered: as many candles went into its bars as the catalogue counts.
CREATE TABLE IF NOT EXISTS rollup_months (
    instrument_id    int NOT NULL,
    base_interval_s  int NOT NULL,
    interval_s       int NOT NULL,
    month            date NOT NULL,
    bars             int NOT NULL,
    partial_bars     int NOT NULL,
    candles          int NOT NULL,
    rolled_at        timestamptz NOT NULL,
    PRIMARY KEY (instrument_id, base_interval_s, interval_s, month),
    CONSTRAINT rollup_months_belong_to_a_target FOREIGN KEY (instrument_id, base_interval_s, interval_s)
        REFERENCES rollup_targets (instrument_id, base_interval_s, interval_s) ON DELETE RESTRICT
);
COMMENT ON TABLE rollup_months IS 'market_data_service: rolled-up months, with the number of candles that went into them';

CREATE OR REPLACE FUNCTION gone_candles(p_instrument_id int, p_interval_s int) RETURNS tstzmultirange
LANGUAGE sql STABLE PARALLEL SAFE RETURN coalesce((
    SELECT k.archived + k.dropped FROM coverage_of_requests k
     WHERE k.instrument_id = p_instrument_id AND k.interval_s = p_interval_s), '{}'::tstzmultirange);
COMMENT ON FUNCTION gone_candles IS 'market_data_service: the times of a series that retention took and nobody brought back';

CREATE OR REPLACE FUNCTION store_rollup(
    p_instrument_id int, p_base_interval_s int, p_interval_s int, p_month date, p_from timestamptz, p_open_times timestamptz[],
    p_open float8[], p_high float8[], p_low float8[], p_close float8[], p_volume float8[], p_candles int[], p_at timestamptz
) RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
    v_gone  tstzmultirange := gone_candles(p_instrument_id, p_base_interval_s);
BEGIN
    -- A bar whose candles retention took cannot be made again: what is stored of them now is less than went into it.
    DELETE FROM rollups r
     WHERE r.instrument_id = p_instrument_id AND r.base_interval_s = p_base_interval_s AND r.interval_s = p_interval_s
       AND r.open_time >= p_from AND r.open_time < (p_month + interval '1 month') AT TIME ZONE 'UTC'
       AND NOT v_gone && tstzrange(r.open_time, r.open_time + make_interval(secs => r.interval_s));
    INSERT INTO rollups (instrument_id, base_interval_s, interval_s, open_time, open, high, low, close, volume, candles)
    SELECT p_instrument_id, p_base_interval_s, p_interval_s, b.open_time, b.open, b.high, b.low, b.close, b.volume, b.candles
      FROM unnest(p_open_times, p_open, p_high, p_low, p_close, p_volume, p_candles)
           AS b(open_time, open, high, low, close, volume, candles)
    ON CONFLICT (instrument_id, base_interval_s, interval_s, open_time) DO NOTHING;
    INSERT INTO rollup_months AS m (instrument_id, base_interval_s, interval_s, month, bars, partial_bars, candles, rolled_at)
    SELECT p_instrument_id, p_base_interval_s, p_interval_s, p_month, count(*), count(*) FILTER (WHERE r.is_partial),
           coalesce(sum(r.candles), 0), p_at
      FROM rollups r
     WHERE r.instrument_id = p_instrument_id AND r.base_interval_s = p_base_interval_s AND r.interval_s = p_interval_s
       AND r.open_time >= p_month::timestamp AT TIME ZONE 'UTC'
       AND r.open_time < (p_month + interval '1 month') AT TIME ZONE 'UTC'
    ON CONFLICT (instrument_id, base_interval_s, interval_s, month) DO UPDATE
       SET bars = excluded.bars, partial_bars = excluded.partial_bars, candles = excluded.candles,
           rolled_at = excluded.rolled_at;
END $$;
COMMENT ON FUNCTION store_rollup IS
    'market_data_service: the bars of one month from p_from on are these and no others; the series is locked';

CREATE OR REPLACE FUNCTION forget_rollups(p_instrument_id int, p_interval_s int, p_from timestamptz, p_to timestamptz)
RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
    v_gone  tstzmultirange := gone_candles(p_instrument_id, p_interval_s);
BEGIN
    DELETE FROM rollups r USING rollup_months k
     WHERE k.instrument_id = p_instrument_id AND k.base_interval_s = p_interval_s
       AND k.month BETWEEN month_of(p_from) AND month_of(p_to)
       AND NOT EXISTS (SELECT FROM candle_months m
                        WHERE m.instrument_id = p_instrument_id AND m.interval_s = p_interval_s AND m.month = k.month)
       AND r.instrument_id = k.instrument_id AND r.base_interval_s = k.base_interval_s AND r.interval_s = k.interval_s
       AND r.open_time >= k.month::timestamp AT TIME ZONE 'UTC'
       AND r.open_time < (k.month + interval '1 month') AT TIME ZONE 'UTC'
       AND NOT v_gone && tstzrange(r.open_time, r.open_time + make_interval(secs => r.interval_s));
    DELETE FROM rollup_months k
     WHERE k.instrument_id = p_instrument_id AND k.base_interval_s = p_interval_s
       AND k.month BETWEEN month_of(p_from) AND month_of(p_to)
       AND NOT EXISTS (SELECT FROM candle_months m
                        WHERE m.instrument_id = p_instrument_id AND m.interval_s = p_interval_s AND m.month = k.month)
       AND NOT EXISTS (SELECT FROM rollups r
                        WHERE r.instrument_id = k.instrument_id AND r.base_interval_s = k.base_interval_s
                          AND r.interval_s = k.interval_s AND r.open_time >= k.month::timestamp AT TIME ZONE 'UTC'
                          AND r.open_time < (k.month + interval '1 month') AT TIME ZONE 'UTC');
END $$;
COMMENT ON FUNCTION forget_rollups IS
    'market_data_service: longer bars of months of a span without candles, but not those whose candles retention took';

CREATE TABLE IF NOT EXISTS snapshots (
    id            uuid PRIMARY KEY,
    note          text NOT NULL DEFAULT '',
    starts        timestamptz NOT NULL,
    ends          timestamptz NOT NULL,
    content_hash  text,
    rows          bigint,
    created_at    timestamptz NOT NULL,
    CONSTRAINT snapshots_end_after_they_start CHECK (starts < ends),
    CONSTRAINT snapshots_hash_is_sha256 CHECK (content_hash ~ '^[0-9a-f]{64}$')
);
COMMENT ON TABLE snapshots IS
    'market_data_service: candles that a result was computed from, by a hash that is the same on any machine; NULL: not finished';

CREATE TABLE IF NOT EXISTS snapshot_series (
    snapshot_id    uuid NOT NULL REFERENCES snapshots (id) ON DELETE CASCADE,
    instrument_id  int NOT NULL,
    interval_s     int NOT NULL,
    starts         timestamptz NOT NULL,
    ends           timestamptz NOT NULL,
    rows           bigint,
    content_hash   text,
    last_revision  bigint NOT NULL,
    PRIMARY KEY (snapshot_id, instrument_id, interval_s),
    CONSTRAINT snapshot_series_is_a_series FOREIGN KEY (instrument_id, interval_s)
        REFERENCES series (instrument_id, interval_s) ON DELETE RESTRICT
);
CREATE INDEX IF NOT EXISTS snapshot_series_by_series ON snapshot_series (instrument_id, interval_s);
COMMENT ON TABLE snapshot_series IS
    'market_data_service: the pinned span of each series of a snapshot; revisions after last_revision are undone when it is read';

-- Databases from before a snapshot was pinned first and hashed then.
DO $$ BEGIN
    IF EXISTS (SELECT FROM pg_attribute WHERE attrelid = 'snapshots'::regclass AND attname = 'rows' AND attnotnull) THEN
        ALTER TABLE snapshots ALTER COLUMN content_hash DROP NOT NULL, ALTER COLUMN rows DROP NOT NULL;
        ALTER TABLE snapshot_series ALTER COLUMN content_hash DROP NOT NULL, ALTER COLUMN rows DROP NOT NULL;
    END IF;
END $$;

CREATE OR REPLACE FUNCTION is_pinned(p_instrument_id int, p_interval_s int, p_from timestamptz, p_to timestamptz)
RETURNS boolean
LANGUAGE sql STABLE PARALLEL SAFE RETURN EXISTS (
    SELECT FROM snapshot_series p WHERE p.instrument_id = p_instrument_id AND p.interval_s = p_interval_s
       AND p.starts <= p_to AND p.ends > p_from);
COMMENT ON FUNCTION is_pinned IS 'market_data_service: whether a snapshot holds a part of the span, both ends included';

-- From the rows alone. For a database that was loaded past the doors (a restored dump of rows only), and for those who doubt.
CREATE OR REPLACE FUNCTION recount_series(p_instrument_id int, p_interval_s int, p_at timestamptz) RETURNS bigint
LANGUAGE plpgsql AS $$
DECLARE
    v_rows     bigint;
    v_covered  tstzmultirange;
BEGIN
    INSERT INTO series (instrument_id, interval_s, updated_at) VALUES (p_instrument_id, p_interval_s, p_at)
    ON CONFLICT (instrument_id, interval_s) DO UPDATE SET updated_at = excluded.updated_at;
    DELETE FROM gaps WHERE instrument_id = p_instrument_id AND interval_s = p_interval_s;
    DELETE FROM candle_months WHERE instrument_id = p_instrument_id AND interval_s = p_interval_s;
    INSERT INTO candle_months (instrument_id, interval_s, month, rows, changed_from)
    SELECT p_instrument_id, p_interval_s, month_of(c.open_time), count(*), min(c.open_time)
      FROM candles c WHERE c.instrument_id = p_instrument_id AND c.interval_s = p_interval_s GROUP BY 3;
    SELECT count(*), range_agg(tstzrange(c.open_time, c.open_time + make_interval(secs => p_interval_s)))
      INTO v_rows, v_covered FROM candles c WHERE c.instrument_id = p_instrument_id AND c.interval_s = p_interval_s;
    UPDATE series SET rows = v_rows, first_open_time = NULL, last_close_time = NULL, last_close = NULL
     WHERE instrument_id = p_instrument_id AND interval_s = p_interval_s AND v_rows = 0;
    IF v_rows > 0 THEN
        UPDATE series s SET rows = v_rows, first_open_time = lower(v_covered), last_close_time = upper(v_covered),
               last_close = (SELECT c.close FROM candles c
                   WHERE c.instrument_id = p_instrument_id AND c.interval_s = p_interval_s
                     AND c.open_time = upper(v_covered) - make_interval(secs => p_interval_s))
         WHERE s.instrument_id = p_instrument_id AND s.interval_s = p_interval_s;
        PERFORM cover_candles(p_instrument_id, p_interval_s, v_covered, NULL);
    END IF;
    IF NOT isempty(gone_candles(p_instrument_id, p_interval_s)) THEN
        PERFORM change_gaps(p_instrument_id, p_interval_s, range_merge(g), g, '{}')
           FROM gone_candles(p_instrument_id, p_interval_s) AS g;
    END IF;
    RETURN v_rows;
END $$;
COMMENT ON FUNCTION recount_series IS
    'market_data_service: make catalogue, months and gaps of a series anew from its candles; the number of them';

-- Databases from before gap rows kept coverage in blocks of a day; their catalogue is made anew once.
DO $$ BEGIN
    IF to_regclass('coverage') IS NOT NULL THEN
        PERFORM recount_series(s.instrument_id, s.interval_s, s.updated_at) FROM series s;
        DROP TABLE coverage;
        DROP FUNCTION IF EXISTS coverage_block, coverage_block_length;
    END IF;
END $$;
