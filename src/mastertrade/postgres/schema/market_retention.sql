-- How long market data is kept, and what was taken out of the database: into files, or for good.
-- Owner of every table here: market_data_service.

CREATE TABLE IF NOT EXISTS retention_policies (
    id          uuid PRIMARY KEY,
    kind        text NOT NULL,
    venue       text NOT NULL DEFAULT '*',
    symbol      text NOT NULL DEFAULT '*',
    timeframe   text NOT NULL DEFAULT '*',
    keep_days   int,
    action      text NOT NULL,
    reason      text NOT NULL,
    valid_from  timestamptz NOT NULL,
    valid_to    timestamptz,
    CONSTRAINT retention_policies_kind_is_known CHECK (kind IN ('candles', 'trades', 'funding', 'book', 'tickers')),
    CONSTRAINT retention_policies_action_is_known CHECK (action IN ('archive', 'drop')),
    CONSTRAINT retention_policies_keep_some_time CHECK (keep_days > 0),
    CONSTRAINT retention_policies_have_a_reason CHECK (reason <> ''),
    CONSTRAINT retention_policies_end_after_they_begin CHECK (valid_to >= valid_from)
);
CREATE UNIQUE INDEX IF NOT EXISTS retention_policies_one_a_pattern
    ON retention_policies (kind, venue, symbol, timeframe) WHERE valid_to IS NULL;
COMMENT ON TABLE retention_policies IS
    'market_data_service: how long what is kept, by patterns; a change closes the old version; keep_days NULL: for ever';

-- A unit is a month of a series of candles or funding rates, a day of trades, books and tickers. The file of a unit is whole
-- and proven before its row is here, and its row is here before anything is deleted.
CREATE TABLE IF NOT EXISTS retirements (
    id             uuid PRIMARY KEY,
    kind           text NOT NULL,
    venue          text NOT NULL,
    symbol         text NOT NULL,
    interval_s     int NOT NULL DEFAULT 0,
    starts         timestamptz NOT NULL,
    ends           timestamptz NOT NULL,
    rows           bigint NOT NULL,
    content_hash   text,
    file           text,
    bytes          bigint,
    version        text,
    state          text NOT NULL,
    reason         text NOT NULL,
    written_at     timestamptz NOT NULL,
    retired_at     timestamptz,
    restored_at    timestamptz,
    CONSTRAINT retirements_kind_is_known CHECK (kind IN ('candles', 'trades', 'funding', 'book', 'tickers')),
    CONSTRAINT retirements_state_is_known CHECK (state IN ('written', 'archived', 'dropped', 'restored')),
    CONSTRAINT retirements_end_after_they_start CHECK (starts < ends),
    CONSTRAINT retirements_are_proven_by_a_file
        CHECK (num_nulls(content_hash, file, bytes) IN (0, 3)
               AND (state <> 'dropped' OR file IS NULL) AND (state NOT IN ('written', 'archived') OR file IS NOT NULL)),
    CONSTRAINT retirements_hash_is_sha256 CHECK (content_hash ~ '^[0-9a-f]{64}$'),
    CONSTRAINT retirements_hold_rows CHECK (rows > 0)
);
CREATE INDEX IF NOT EXISTS retirements_by_unit ON retirements (kind, venue, symbol, interval_s, starts);
COMMENT ON TABLE retirements IS
    'market_data_service: what left the database and when: into which file with which content, or dropped for good';

CREATE OR REPLACE FUNCTION is_rolled_up(p_instrument_id int, p_interval_s int, p_month date) RETURNS boolean
LANGUAGE sql STABLE AS $$
    -- Of a month that left before, bars stand that were made of more candles than came late: they are not counted.
    SELECT count(*) > 0 AND bool_and(m.changed_from IS NULL AND r.candles IS NOT NULL AND (r.candles >= m.rows
               OR gone_candles(p_instrument_id, p_interval_s)
                  && tstzrange(p_month::timestamp AT TIME ZONE 'UTC', (p_month + interval '1 month') AT TIME ZONE 'UTC')))
      FROM rollup_targets t
      JOIN candle_months m ON m.instrument_id = t.instrument_id AND m.interval_s = t.base_interval_s AND m.month = p_month
      LEFT JOIN rollup_months r
        ON r.instrument_id = t.instrument_id AND r.base_interval_s = t.base_interval_s AND r.interval_s = t.interval_s
       AND r.month = p_month
     WHERE t.instrument_id = p_instrument_id AND t.base_interval_s = p_interval_s
$$;
COMMENT ON FUNCTION is_rolled_up IS
    'market_data_service: whether all longer bars asked for of a month are stored and made of the candles it has now';

CREATE OR REPLACE FUNCTION why_candles_stay(
    p_instrument_id int, p_interval_s int, p_month date, p_version text
) RETURNS text
LANGUAGE sql STABLE AS $$
    SELECT CASE WHEN m.rows IS NULL THEN 'gone'
                WHEN is_pinned(p_instrument_id, p_interval_s, p_month::timestamp AT TIME ZONE 'UTC',
                               (p_month + interval '1 month') AT TIME ZONE 'UTC' - interval '1 microsecond') THEN 'pinned'
                WHEN m.xmin::text <> p_version THEN 'changed'
                WHEN NOT is_rolled_up(p_instrument_id, p_interval_s, p_month) AND (p_interval_s < 86400 OR p_version IS NULL)
                    THEN 'not rolled up' END
      FROM (SELECT) one
      LEFT JOIN candle_months m ON m.instrument_id = p_instrument_id AND m.interval_s = p_interval_s AND m.month = p_month
$$;
COMMENT ON FUNCTION why_candles_stay IS
    'market_data_service: what keeps a month of a series from leaving; NULL: nothing';

-- The moment of no return, all or nothing. A version is the transaction that wrote a month's row last, taken before its
-- candles were read into a file; NULL: there is no file. Series of one month leave together, so that a month of which
-- nothing stays is emptied at once instead of row by row.
CREATE OR REPLACE FUNCTION retire_candles(
    p_month date, p_instrument_ids int[], p_intervals int[], p_versions text[], p_at timestamptz,
    OUT outcomes text[], OUT rows bigint[]
)
LANGUAGE plpgsql SET mastertrade.candle_door = 'open' AS $$
DECLARE
    v_from       timestamptz := p_month::timestamp AT TIME ZONE 'UTC';
    v_to         timestamptz := (p_month + interval '1 month') AT TIME ZONE 'UTC';
    v_partition  text := 'candles_' || to_char(p_month, 'YYYY_MM');
    v_spans      tstzrange[] := '{}';
    v_span       tstzrange;
    v_all        boolean;
BEGIN
    PERFORM FROM series s JOIN unnest(p_instrument_ids, p_intervals) AS u(id, interval_s)
       ON s.instrument_id = u.id AND s.interval_s = u.interval_s
      ORDER BY s.instrument_id, s.interval_s FOR NO KEY UPDATE OF s;
    SELECT array_agg(coalesce(why_candles_stay(u.id, u.interval_s, p_month, u.version), 'retired') ORDER BY u.place),
           array_agg(coalesce(m.rows, 0)::bigint ORDER BY u.place)
      INTO outcomes, rows
      FROM unnest(p_instrument_ids, p_intervals, p_versions) WITH ORDINALITY AS u(id, interval_s, version, place)
      LEFT JOIN candle_months m ON m.instrument_id = u.id AND m.interval_s = u.interval_s AND m.month = p_month;
    FOR n IN 1..cardinality(outcomes) LOOP
        SELECT tstzrange(min(c.open_time), max(c.open_time) + make_interval(secs => p_intervals[n])) INTO v_span
          FROM candles c
         WHERE outcomes[n] = 'retired' AND c.instrument_id = p_instrument_ids[n] AND c.interval_s = p_intervals[n]
           AND c.open_time >= v_from AND c.open_time < v_to;
        v_spans := v_spans || v_span;
    END LOOP;
    v_all := to_regclass(v_partition) IS NOT NULL AND 'retired' = ALL(outcomes);
    IF v_all THEN  -- under the partition's own lock, which keeps out a series that would begin in this month just now
        EXECUTE format('LOCK TABLE %I IN ACCESS EXCLUSIVE MODE', v_partition);
        v_all := (SELECT sum(m.rows) FROM candle_months m WHERE m.month = p_month) = (SELECT sum(r) FROM unnest(rows) AS r);
    END IF;
    IF v_all THEN
        EXECUTE format('TRUNCATE %I', v_partition);
    END IF;
    FOR n IN 1..cardinality(outcomes) LOOP
        CONTINUE WHEN outcomes[n] <> 'retired';
        IF NOT v_all THEN
            DELETE FROM candles c
             WHERE c.instrument_id = p_instrument_ids[n] AND c.interval_s = p_intervals[n]
               AND c.open_time >= v_from AND c.open_time < v_to;
        END IF;
        PERFORM forget_month(p_instrument_ids[n], p_intervals[n], p_month, rows[n], v_spans[n], p_versions[n] IS NOT NULL,
                             p_at);
    END LOOP;
END $$;
COMMENT ON FUNCTION retire_candles IS
    'market_data_service: take a month of series out; of each: retired, or what keeps it (gone, pinned, changed, not rolled up)';

CREATE OR REPLACE FUNCTION forget_month(
    p_instrument_id int, p_interval_s int, p_month date, p_rows bigint, p_span tstzrange, p_is_archived boolean,
    p_at timestamptz
) RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
    v_none  tstzmultirange := '{}';
BEGIN
    DELETE FROM candle_months m
     WHERE m.instrument_id = p_instrument_id AND m.interval_s = p_interval_s AND m.month = p_month;
    PERFORM shrink_series(p_instrument_id, p_interval_s, p_rows, p_at);
    INSERT INTO coverage_of_requests AS k (instrument_id, interval_s, archived, dropped, updated_at)
    VALUES (p_instrument_id, p_interval_s, CASE WHEN p_is_archived THEN tstzmultirange(p_span) ELSE v_none END,
            CASE WHEN p_is_archived THEN v_none ELSE tstzmultirange(p_span) END, p_at)
    ON CONFLICT (instrument_id, interval_s) DO UPDATE
       SET archived = k.archived + excluded.archived, dropped = k.dropped + excluded.dropped, updated_at = p_at;
    DELETE FROM gaps g USING series s
     WHERE g.instrument_id = p_instrument_id AND g.interval_s = p_interval_s
       AND s.instrument_id = p_instrument_id AND s.interval_s = p_interval_s
       AND g.reason NOT IN ('failed', 'archived', 'dropped')
       AND (s.rows = 0 OR g.ends <= s.first_open_time OR g.starts >= s.last_close_time);
    PERFORM change_gaps(p_instrument_id, p_interval_s, p_span, tstzmultirange(p_span), v_none);
END $$;
COMMENT ON FUNCTION forget_month IS
    'market_data_service: catalogue, months and gaps after all candles of a month were taken out';

-- Candles that were dropped for good come back only from a venue, so that what it answered is forgotten.
CREATE OR REPLACE FUNCTION return_candles(
    p_instrument_id int, p_interval_s int, p_from timestamptz, p_to timestamptz, p_is_forgotten boolean, p_at timestamptz
) RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
    v_span  tstzmultirange := tstzmultirange(tstzrange(p_from, p_to));
BEGIN
    UPDATE coverage_of_requests k
       SET archived = k.archived - v_span, dropped = k.dropped - v_span, updated_at = p_at,
           answered = CASE WHEN p_is_forgotten THEN k.answered - v_span ELSE k.answered END,
           confirmed = CASE WHEN p_is_forgotten THEN k.confirmed - v_span ELSE k.confirmed END
     WHERE k.instrument_id = p_instrument_id AND k.interval_s = p_interval_s;
    PERFORM change_gaps(p_instrument_id, p_interval_s, tstzrange(p_from, p_to), '{}', '{}');
END $$;
COMMENT ON FUNCTION return_candles IS
    'market_data_service: a span is neither archived nor dropped any more; what is missing there gets its other reason';

CREATE OR REPLACE FUNCTION retire_kind(
    p_kind text, p_venue text, p_symbol text, p_instrument_id int, p_from timestamptz, p_to timestamptz, p_rows bigint,
    p_at timestamptz
) RETURNS boolean
LANGUAGE plpgsql AS $$
DECLARE
    v_rows   bigint;
    v_gone   bigint;
    v_first  timestamptz;
    v_last   timestamptz;
BEGIN
    PERFORM pg_advisory_xact_lock(hashtextextended(
        p_kind || ' ' || CASE p_kind WHEN 'tickers' THEN p_venue ELSE p_instrument_id::text END, 0));
    -- Rows of these kinds are only ever added, and books deepened: the same number are the same rows.
    CASE p_kind
    WHEN 'trades' THEN
        SELECT count(*) INTO v_rows FROM market_trades t
         WHERE t.instrument_id = p_instrument_id AND t.time >= p_from AND t.time < p_to;
        IF v_rows <> p_rows THEN RETURN false; END IF;
        DELETE FROM market_trades t WHERE t.instrument_id = p_instrument_id AND t.time >= p_from AND t.time < p_to;
        GET DIAGNOSTICS v_gone = ROW_COUNT;
        SELECT min(t.time), max(t.time) INTO v_first, v_last FROM market_trades t WHERE t.instrument_id = p_instrument_id;
    WHEN 'funding' THEN
        SELECT count(*) INTO v_rows FROM funding_rates t
         WHERE t.instrument_id = p_instrument_id AND t.time >= p_from AND t.time < p_to;
        IF v_rows <> p_rows THEN RETURN false; END IF;
        DELETE FROM funding_rates t WHERE t.instrument_id = p_instrument_id AND t.time >= p_from AND t.time < p_to;
        GET DIAGNOSTICS v_gone = ROW_COUNT;
        SELECT min(t.time), max(t.time) INTO v_first, v_last FROM funding_rates t WHERE t.instrument_id = p_instrument_id;
    WHEN 'book' THEN
        SELECT coalesce(sum(greatest(1, cardinality(t.bid_prices) + cardinality(t.ask_prices))), 0) INTO v_rows
          FROM book_updates t WHERE t.instrument_id = p_instrument_id AND t.time >= p_from AND t.time < p_to;
        IF v_rows <> p_rows THEN RETURN false; END IF;
        DELETE FROM book_updates t WHERE t.instrument_id = p_instrument_id AND t.time >= p_from AND t.time < p_to;
        GET DIAGNOSTICS v_gone = ROW_COUNT;
        SELECT min(t.time), max(t.time) INTO v_first, v_last FROM book_updates t WHERE t.instrument_id = p_instrument_id;
    WHEN 'tickers' THEN
        SELECT count(*) INTO v_rows FROM market_tickers t
         WHERE t.venue = p_venue AND t.symbol = p_symbol AND t.time >= p_from AND t.time < p_to;
        IF v_rows <> p_rows THEN RETURN false; END IF;
        DELETE FROM market_tickers t
         WHERE t.venue = p_venue AND t.symbol = p_symbol AND t.time >= p_from AND t.time < p_to;
        GET DIAGNOSTICS v_gone = ROW_COUNT;
        SELECT min(t.time), max(t.time) INTO v_first, v_last FROM market_tickers t
         WHERE t.venue = p_venue AND t.symbol = p_symbol;
    END CASE;
    UPDATE kind_series s SET rows = s.rows - v_gone, first_time = v_first, last_time = v_last, updated_at = p_at
     WHERE s.kind = p_kind AND s.venue = p_venue AND s.symbol = p_symbol;
    RETURN true;
END $$;
COMMENT ON FUNCTION retire_kind IS
    'market_data_service: take a stretch of trades, funding, books or tickers out, if it has p_rows rows (of a book: levels)';

-- Housekeeping after the rows have left. A writer that is about to store into the month finds or makes the partition.
CREATE OR REPLACE FUNCTION drop_empty_month(p_table text, p_month date) RETURNS boolean
LANGUAGE plpgsql AS $$
DECLARE
    v_name   text := p_table || to_char(p_month, '_YYYY_MM');
    v_empty  boolean;
BEGIN
    IF p_table NOT IN ('candles', 'market_trades', 'book_updates', 'market_tickers') THEN
        RAISE EXCEPTION 'table % has no months', p_table USING ERRCODE = 'invalid_parameter_value';
    END IF;
    IF to_regclass(v_name) IS NULL THEN
        RETURN false;
    END IF;
    EXECUTE format('LOCK TABLE %I IN ACCESS EXCLUSIVE MODE', p_table);
    EXECUTE format('SELECT NOT EXISTS (SELECT FROM %I)', v_name) INTO v_empty;
    IF v_empty THEN
        EXECUTE format('DROP TABLE %I', v_name);
    END IF;
    RETURN v_empty;
END $$;
COMMENT ON FUNCTION drop_empty_month IS 'market_data_service: drop the partition of a month that holds nothing any more';
