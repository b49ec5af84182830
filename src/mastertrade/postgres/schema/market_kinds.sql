-- Market data that comes in files: what was imported, what is held back until somebody confirms it.
-- Owner of every table here: market_data_service.

CREATE TABLE IF NOT EXISTS imports (
    id            uuid PRIMARY KEY,
    file          text NOT NULL,
    bytes         bigint NOT NULL,
    sha256        text NOT NULL,
    kind          text NOT NULL,
    venue         text NOT NULL,
    symbol        text,
    interval_s    int,
    rows_read     bigint NOT NULL DEFAULT 0,
    rows_stored   bigint NOT NULL DEFAULT 0,
    unchanged     bigint NOT NULL DEFAULT 0,
    revisions     bigint NOT NULL DEFAULT 0,
    rejected      bigint NOT NULL DEFAULT 0,
    quarantined   bigint NOT NULL DEFAULT 0,
    findings      jsonb NOT NULL DEFAULT '[]',
    rejects_file  text,
    error         text,
    began_at      timestamptz NOT NULL,
    ended_at      timestamptz,
    CONSTRAINT imports_hash_is_sha256 CHECK (sha256 ~ '^[0-9a-f]{64}$'),
    CONSTRAINT imports_end_after_they_begin CHECK (ended_at >= began_at)
);
CREATE INDEX IF NOT EXISTS imports_by_content ON imports (sha256, began_at DESC);
CREATE INDEX IF NOT EXISTS imports_by_time ON imports (began_at DESC);
COMMENT ON TABLE imports IS
    'market_data_service: each file that was imported, its hash and what became of its rows; without an end it was cut short';

CREATE TABLE IF NOT EXISTS quarantined_candles (
    instrument_id  int NOT NULL REFERENCES instruments (id) ON DELETE RESTRICT,
    interval_s     int NOT NULL,
    open_time      timestamptz NOT NULL,
    open           float8 NOT NULL,
    high           float8 NOT NULL,
    low            float8 NOT NULL,
    close          float8 NOT NULL,
    volume         float8 NOT NULL,
    reason         text NOT NULL,
    status         text NOT NULL DEFAULT 'waiting',
    import_id      uuid REFERENCES imports (id) ON DELETE RESTRICT,
    held_at        timestamptz NOT NULL,
    decided_at     timestamptz,
    PRIMARY KEY (instrument_id, interval_s, open_time),
    CONSTRAINT quarantined_candles_status_is_known CHECK (status IN ('waiting', 'accepted', 'dropped')),
    CONSTRAINT quarantined_candles_are_decided_once CHECK ((status = 'waiting') = (decided_at IS NULL))
);
CREATE INDEX IF NOT EXISTS quarantined_candles_waiting ON quarantined_candles (held_at) WHERE status = 'waiting';
COMMENT ON TABLE quarantined_candles IS
    'market_data_service: candles that look like a bad print, kept out of candles until a second source or a person confirms';
