-- Market: the candles that are the one truth about prices, and what is known of each series.
-- Owner of every table here: market_data_service.

-- No foreign key to instruments: checked a row at a time it would cost more than half of the loading speed. Whoever stores
-- candles writes their series in the same transaction, and a series does refer to its instrument.
CREATE TABLE IF NOT EXISTS candles (
    instrument_id  int NOT NULL,
    interval_s     int NOT NULL,
    open_time      timestamptz NOT NULL,
    open           float8 NOT NULL,
    high           float8 NOT NULL,
    low            float8 NOT NULL,
    close          float8 NOT NULL,
    volume         float8 NOT NULL,
    PRIMARY KEY (instrument_id, interval_s, open_time),
    CONSTRAINT candles_interval_divides_a_day CHECK (interval_s BETWEEN 1 AND 86400 AND 86400 % interval_s = 0),
    CONSTRAINT candles_open_time_is_on_the_grid
        CHECK (date_bin(make_interval(secs => interval_s), open_time, '1970-01-01 00:00:00+00') = open_time),
    -- NaN sorts above infinity, so the upper bounds refuse both.
    CONSTRAINT candles_prices_are_positive_and_finite CHECK (low > 0 AND high < 'Infinity'),
    CONSTRAINT candles_low_and_high_contain_open_and_close
        CHECK (low <= open AND low <= close AND open <= high AND close <= high),
    CONSTRAINT candles_volume_is_finite_and_not_negative CHECK (volume >= 0 AND volume < 'Infinity')
) PARTITION BY RANGE (open_time);
COMMENT ON TABLE candles IS
    'market_data_service: closed candles, the one truth about past prices; a partition a month (ensure_candle_partitions)';

-- Nobody writes to candles past the functions that keep catalogue, gaps, revisions and sealed blocks true with them: they
-- open this door for themselves or for their transaction. A statement's trigger costs nothing per row.
CREATE OR REPLACE FUNCTION refuse_direct_candle_write() RETURNS trigger
LANGUAGE plpgsql AS $$
BEGIN
    IF current_setting('mastertrade.candle_door', true) IS DISTINCT FROM 'open' THEN
        RAISE EXCEPTION '% on % past the door: catalogue, gaps and sealed blocks would not know', TG_OP, TG_TABLE_NAME
            USING ERRCODE = 'object_not_in_prerequisite_state',
                  HINT = 'Write with store_candles, or open_candles, COPY and book_candles; delete with remove_candles.';
    END IF;
    RETURN NULL;
END $$;
COMMENT ON FUNCTION refuse_direct_candle_write IS 'market_data_service: trigger of candles and of each of its partitions';

CREATE OR REPLACE FUNCTION guard_candles(p_table regclass) RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE format('CREATE OR REPLACE TRIGGER candles_are_written_through_the_door '
                   'BEFORE INSERT OR UPDATE OR DELETE OR TRUNCATE ON %s '
                   'FOR EACH STATEMENT EXECUTE FUNCTION refuse_direct_candle_write()', p_table);
END $$;
COMMENT ON FUNCTION guard_candles IS 'market_data_service: let a table of candles refuse writers that pass the door';

DO $$ BEGIN
    PERFORM guard_candles('candles');
    PERFORM guard_candles(inhrelid::regclass) FROM pg_inherits WHERE inhparent = 'candles'::regclass;
END $$;

-- Partitions are built beside the table and attached, which lets readers and writers of other months go on.
CREATE OR REPLACE FUNCTION ensure_candle_partitions(p_from timestamptz, p_to timestamptz) RETURNS int
LANGUAGE plpgsql AS $$
DECLARE
    v_month timestamp := date_trunc('month', p_from AT TIME ZONE 'UTC');
    v_last  timestamp := date_trunc('month', p_to AT TIME ZONE 'UTC');
    v_made  int := 0;
    v_name  text;
BEGIN
    IF p_from > p_to OR v_last > v_month + interval '600 months' THEN
        RAISE EXCEPTION 'candle partitions from % to %: the end must follow the start by at most 600 months', p_from, p_to
            USING ERRCODE = 'invalid_parameter_value';
    END IF;
    WHILE v_month <= v_last LOOP
        v_name := 'candles_' || to_char(v_month, 'YYYY_MM');
        IF to_regclass(v_name) IS NULL THEN
            LOCK TABLE candles IN SHARE UPDATE EXCLUSIVE MODE;
        END IF;
        IF to_regclass(v_name) IS NULL THEN
            EXECUTE format('CREATE TABLE %I (LIKE candles INCLUDING DEFAULTS INCLUDING CONSTRAINTS)', v_name);
            EXECUTE format('ALTER TABLE candles ATTACH PARTITION %I FOR VALUES FROM (%L) TO (%L)', v_name,
                           to_char(v_month, 'YYYY-MM-DD') || ' 00:00:00+00',
                           to_char(v_month + interval '1 month', 'YYYY-MM-DD') || ' 00:00:00+00');
            PERFORM guard_candles(v_name::regclass);
            v_made := v_made + 1;
        END IF;
        v_month := v_month + interval '1 month';
    END LOOP;
    RETURN v_made;
END $$;
COMMENT ON FUNCTION ensure_candle_partitions IS
    'market_data_service: make the monthly partitions that hold candles from p_from to p_to; the number made';

-- Kept by the statements that store candles, in their transactions: nobody has to look for a minimum or a maximum.
CREATE TABLE IF NOT EXISTS series (
    instrument_id    int NOT NULL REFERENCES instruments (id) ON DELETE RESTRICT,
    interval_s       int NOT NULL,
    rows             bigint NOT NULL DEFAULT 0,
    first_open_time  timestamptz,
    last_close_time  timestamptz,
    last_close       float8,
    revised_rows     bigint NOT NULL DEFAULT 0,
    updated_at       timestamptz NOT NULL,
    PRIMARY KEY (instrument_id, interval_s),
    CONSTRAINT series_interval_divides_a_day CHECK (interval_s BETWEEN 1 AND 86400 AND 86400 % interval_s = 0),
    CONSTRAINT series_with_rows_knows_its_ends
        CHECK (rows >= 0 AND num_nulls(first_open_time, last_close_time, last_close) = CASE rows WHEN 0 THEN 3 ELSE 0 END),
    CONSTRAINT series_revised_rows_are_not_negative CHECK (revised_rows >= 0)
) WITH (fillfactor = 50);
COMMENT ON TABLE series IS
    'market_data_service: catalogue of candle series: rows, ends, last close, and how many rows were replaced by others';

CREATE TABLE IF NOT EXISTS feeds (
    name        text PRIMARY KEY,
    source      text NOT NULL,
    interval_s  int NOT NULL,
    position    timestamptz NOT NULL,
    batches     bigint NOT NULL DEFAULT 0,
    updated_at  timestamptz NOT NULL
) WITH (fillfactor = 50);
COMMENT ON TABLE feeds IS
    'market_data_service: open time of the last batch each feed has played, committed with its candles and its event';

-- What MarketData documents of the older system hold beside a candle; written only through the legacy wrapper.
CREATE TABLE IF NOT EXISTS candle_documents (
    instrument_id  int NOT NULL REFERENCES instruments (id) ON DELETE RESTRICT,
    interval_s     int NOT NULL,
    open_time      timestamptz NOT NULL,
    quote_volume   finite,
    trades_count   int,
    data           jsonb NOT NULL DEFAULT '{}',
    created_at     timestamptz NOT NULL DEFAULT now(),
    updated_at     timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (instrument_id, interval_s, open_time),
    CONSTRAINT candle_documents_counts_are_not_negative CHECK (quote_volume >= 0 AND trades_count >= 0)
);
COMMENT ON TABLE candle_documents IS 'market_data_service: quote volume, trade count and document of legacy candles';

-- The casts keep it inlinable: a number joined to a text without one is only STABLE, and then each row is a call.
CREATE OR REPLACE FUNCTION interval_name(p_interval_s int) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE RETURN
    CASE WHEN p_interval_s % 86400 = 0 THEN (p_interval_s / 86400)::text || 'd'
         WHEN p_interval_s % 3600 = 0 THEN (p_interval_s / 3600)::text || 'h'
         WHEN p_interval_s % 60 = 0 THEN (p_interval_s / 60)::text || 'm'
         ELSE p_interval_s::text || 's' END;
COMMENT ON FUNCTION interval_name IS 'market_data_service: 60 is 1m, 3600 is 1h, 86400 is 1d';

CREATE OR REPLACE VIEW market_data AS
SELECT replace(i.symbol, '/', '') || '_' || interval_name(c.interval_s) || '_' || extract(epoch FROM c.open_time)::bigint AS id,
       replace(i.symbol, '/', '') AS symbol,
       interval_name(c.interval_s) AS interval,
       'crypto'::text AS asset_type,
       c.open_time AS ts,
       c.open AS open_price,
       c.high AS high_price,
       c.low AS low_price,
       c.close AS close_price,
       c.volume,
       d.quote_volume::float8 AS quote_volume,
       d.trades_count,
       coalesce(d.data, '{}') AS data,
       coalesce(d.created_at, c.open_time + make_interval(secs => c.interval_s)) AS created_at,
       coalesce(d.updated_at, c.open_time + make_interval(secs => c.interval_s)) AS updated_at,
       NULL::timestamptz AS expires_at,
       i.venue,
       c.instrument_id,
       c.interval_s
  FROM candles c
  JOIN instruments i ON i.id = c.instrument_id
  LEFT JOIN candle_documents d
    ON d.instrument_id = c.instrument_id AND d.interval_s = c.interval_s AND d.open_time = c.open_time;
COMMENT ON VIEW market_data IS 'market_data_service: the candles in the shape of the older system; bound ts in every query';

-- The last candle that had closed at p_as_of and is not older than p_max_age. The present is answered by the catalogue
-- alone; only a question about the past looks into the candles, a few partitions of them.
CREATE OR REPLACE FUNCTION last_candle(p_instrument_id int, p_as_of timestamptz, p_max_age interval DEFAULT '7 days')
RETURNS TABLE (close float8, close_time timestamptz, interval_s int)
LANGUAGE plpgsql STABLE PARALLEL SAFE ROWS 1 AS $$
BEGIN
    IF NOT EXISTS (SELECT FROM series s WHERE s.instrument_id = p_instrument_id AND s.last_close_time > p_as_of) THEN
        RETURN QUERY
        SELECT s.last_close, s.last_close_time, s.interval_s FROM series s
         WHERE s.instrument_id = p_instrument_id AND s.last_close_time >= p_as_of - p_max_age
         ORDER BY s.last_close_time DESC, s.interval_s LIMIT 1;
        RETURN;
    END IF;
    RETURN QUERY
    SELECT c.close, c.open_time + make_interval(secs => s.interval_s), s.interval_s
      FROM series s
     CROSS JOIN LATERAL (
           SELECT k.close, k.open_time FROM candles k
            WHERE k.instrument_id = s.instrument_id AND k.interval_s = s.interval_s
              AND k.open_time >= p_as_of - p_max_age - make_interval(secs => s.interval_s)
              AND k.open_time <= p_as_of - make_interval(secs => s.interval_s)
            ORDER BY k.open_time DESC LIMIT 1) c
     WHERE s.instrument_id = p_instrument_id
     ORDER BY 2 DESC, 3 LIMIT 1;
END $$;
COMMENT ON FUNCTION last_candle IS 'market_data_service: close, close time and interval of the last candle closed at p_as_of';

CREATE OR REPLACE FUNCTION last_close(p_instrument_id int, p_as_of timestamptz, p_max_age interval DEFAULT '7 days')
RETURNS float8
LANGUAGE sql STABLE PARALLEL SAFE AS $$
    SELECT l.close FROM last_candle(p_instrument_id, p_as_of, p_max_age) l
$$;
COMMENT ON FUNCTION last_close IS 'market_data_service: the last close known at p_as_of; NULL when there is none within p_max_age';

-- Documents of the older system. Each carries its own expiry; the service deletes what has expired.

CREATE TABLE IF NOT EXISTS trades_stream (
    id             text PRIMARY KEY,
    partition_key  text,
    ts             timestamptz NOT NULL,
    data           jsonb NOT NULL DEFAULT '{}',
    created_at     timestamptz NOT NULL DEFAULT now(),
    updated_at     timestamptz NOT NULL DEFAULT now(),
    expires_at     timestamptz
);
CREATE INDEX IF NOT EXISTS trades_stream_by_symbol ON trades_stream (partition_key, ts DESC);
CREATE INDEX IF NOT EXISTS trades_stream_by_expiry ON trades_stream (expires_at);
COMMENT ON TABLE trades_stream IS 'market_data_service: single trades as documents, kept for days';

CREATE TABLE IF NOT EXISTS order_book (
    id             text PRIMARY KEY,
    partition_key  text,
    ts             timestamptz NOT NULL,
    data           jsonb NOT NULL DEFAULT '{}',
    created_at     timestamptz NOT NULL DEFAULT now(),
    updated_at     timestamptz NOT NULL DEFAULT now(),
    expires_at     timestamptz
);
CREATE INDEX IF NOT EXISTS order_book_by_symbol ON order_book (partition_key, ts DESC);
CREATE INDEX IF NOT EXISTS order_book_by_expiry ON order_book (expires_at);
COMMENT ON TABLE order_book IS 'market_data_service: order book snapshots as documents, kept for an hour';

CREATE TABLE IF NOT EXISTS sentiment_data (
    id             text PRIMARY KEY,
    partition_key  text,
    ts             timestamptz NOT NULL,
    data           jsonb NOT NULL DEFAULT '{}',
    created_at     timestamptz NOT NULL DEFAULT now(),
    updated_at     timestamptz NOT NULL DEFAULT now(),
    expires_at     timestamptz
);
CREATE INDEX IF NOT EXISTS sentiment_data_by_source ON sentiment_data (partition_key, ts DESC);
CREATE INDEX IF NOT EXISTS sentiment_data_by_symbol ON sentiment_data ((data ->> 'symbol'), ts DESC);
CREATE INDEX IF NOT EXISTS sentiment_data_by_type ON sentiment_data ((data ->> 'type'), ts DESC);
CREATE INDEX IF NOT EXISTS sentiment_data_by_expiry ON sentiment_data (expires_at);
COMMENT ON TABLE sentiment_data IS 'market_data_service: sentiment documents; partition_key is their source';

CREATE TABLE IF NOT EXISTS symbols (
    id             text NOT NULL,
    partition_key  text NOT NULL,
    data           jsonb NOT NULL DEFAULT '{}',
    created_at     timestamptz NOT NULL DEFAULT now(),
    updated_at     timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (partition_key, id)
);
CREATE INDEX IF NOT EXISTS symbols_by_id ON symbols (id);
COMMENT ON TABLE symbols IS 'market_data_service: exchange filters of legacy symbols; partition_key is the base asset';

CREATE TABLE IF NOT EXISTS symbol_tracking (
    id             text NOT NULL,
    partition_key  text NOT NULL,
    data           jsonb NOT NULL DEFAULT '{}',
    created_at     timestamptz NOT NULL DEFAULT now(),
    updated_at     timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (partition_key, id)
);
CREATE INDEX IF NOT EXISTS symbol_tracking_by_exchange
    ON symbol_tracking ((data ->> 'asset_type'), (data ->> 'exchange'));
COMMENT ON TABLE symbol_tracking IS 'market_data_service: which legacy symbols are followed; partition_key is the symbol';

CREATE TABLE IF NOT EXISTS indicator_configurations (
    id             text NOT NULL,
    partition_key  text NOT NULL,
    data           jsonb NOT NULL DEFAULT '{}',
    created_at     timestamptz NOT NULL DEFAULT now(),
    updated_at     timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (partition_key, id)
);
CREATE INDEX IF NOT EXISTS indicator_configurations_by_symbol
    ON indicator_configurations ((data ->> 'symbol'), (data ->> 'interval'));
CREATE INDEX IF NOT EXISTS indicator_configurations_by_active ON indicator_configurations ((data ->> 'active'));
COMMENT ON TABLE indicator_configurations IS
    'market_data_service: indicators strategies ask for; partition_key is the strategy id';

CREATE TABLE IF NOT EXISTS indicator_results (
    id                text PRIMARY KEY,
    configuration_id  text NOT NULL,
    symbol            text NOT NULL,
    ts                timestamptz NOT NULL,
    data              jsonb NOT NULL DEFAULT '{}',
    created_at        timestamptz NOT NULL DEFAULT now(),
    expires_at        timestamptz
);
CREATE INDEX IF NOT EXISTS indicator_results_by_configuration
    ON indicator_results (configuration_id, symbol, ts DESC);
CREATE INDEX IF NOT EXISTS indicator_results_by_expiry ON indicator_results (expires_at);
COMMENT ON TABLE indicator_results IS 'market_data_service: calculated indicator values as documents, kept for days';
