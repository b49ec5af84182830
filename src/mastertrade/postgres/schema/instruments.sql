-- Instruments: where prices come from, what can be traded there, and by which rules, now and at any time before.
-- Owner of every table here: market_data_service.

CREATE TABLE IF NOT EXISTS venues (
    id          text PRIMARY KEY,
    created_at  timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT venues_id_is_a_lower_case_name CHECK (id ~ '^[a-z][a-z0-9_.-]{0,39}$')
);
COMMENT ON TABLE venues IS 'market_data_service: where prices come from; files and simulators are venues too';

CREATE TABLE IF NOT EXISTS instruments (
    id             int GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    venue          text NOT NULL REFERENCES venues (id) ON DELETE RESTRICT,
    symbol         text NOT NULL,
    base           text NOT NULL,
    quote          text NOT NULL,
    kind           text NOT NULL DEFAULT 'spot',
    settle         text,
    contract_size  quantity NOT NULL DEFAULT 1,
    tick_size      price NOT NULL,
    lot_size       quantity NOT NULL,
    min_notional   quantity NOT NULL,
    maker_fee      amount NOT NULL,
    taker_fee      amount NOT NULL,
    status         text NOT NULL DEFAULT 'tradable',
    rules_source   text NOT NULL DEFAULT 'assumed',
    created_at     timestamptz NOT NULL DEFAULT now(),
    updated_at     timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT instruments_once_per_venue UNIQUE (venue, symbol),
    CONSTRAINT instruments_symbol_is_made_of_its_parts
        CHECK (symbol = base || '/' || quote || coalesce(':' || settle, '')),
    CONSTRAINT instruments_symbol_is_upper_case CHECK (symbol = upper(symbol)),
    CONSTRAINT instruments_kind_is_known CHECK (kind IN ('spot', 'swap')),
    CONSTRAINT instruments_swaps_settle_and_spot_does_not CHECK ((kind = 'swap') = (settle IS NOT NULL)),
    CONSTRAINT instruments_steps_are_positive CHECK (tick_size > 0 AND lot_size > 0 AND contract_size > 0),
    CONSTRAINT instruments_fees_are_fractions CHECK (abs(maker_fee) < 0.1 AND taker_fee >= 0 AND taker_fee < 0.1),
    CONSTRAINT instruments_status_is_known CHECK (status IN ('tradable', 'halted', 'delisted')),
    CONSTRAINT instruments_rules_source_is_known CHECK (rules_source IN ('assumed', 'simulated', 'venue'))
);
COMMENT ON TABLE instruments IS
    'market_data_service: one market of one venue with its present trading rules; assumed where only files are known';

-- Ranges of both columns instead of equality: a GiST index over an int would need an extension.
CREATE TABLE IF NOT EXISTS instrument_versions (
    instrument_id  int NOT NULL REFERENCES instruments (id) ON DELETE RESTRICT,
    valid_from     timestamptz NOT NULL,
    valid_to       timestamptz,
    contract_size  quantity NOT NULL,
    tick_size      price NOT NULL,
    lot_size       quantity NOT NULL,
    min_notional   quantity NOT NULL,
    maker_fee      amount NOT NULL,
    taker_fee      amount NOT NULL,
    status         text NOT NULL,
    rules_source   text NOT NULL,
    PRIMARY KEY (instrument_id, valid_from),
    CONSTRAINT instrument_versions_end_after_they_begin CHECK (valid_to > valid_from),
    CONSTRAINT instrument_versions_never_overlap
        EXCLUDE USING gist (int4range(instrument_id, instrument_id, '[]') WITH &&, tstzrange(valid_from, valid_to) WITH &&)
);
CREATE UNIQUE INDEX IF NOT EXISTS instrument_versions_one_is_open
    ON instrument_versions (instrument_id) WHERE valid_to IS NULL;
COMMENT ON TABLE instrument_versions IS
    'market_data_service: the trading rules of each instrument over time; the open version equals the instrument''s row';

-- Whoever writes an instrument writes its history: a change closes the open version and begins another.
CREATE OR REPLACE FUNCTION record_instrument_version() RETURNS trigger
LANGUAGE plpgsql AS $$
DECLARE
    v_from timestamptz;
BEGIN
    IF TG_OP = 'UPDATE' THEN
        IF (NEW.contract_size, NEW.tick_size, NEW.lot_size, NEW.min_notional, NEW.maker_fee, NEW.taker_fee, NEW.status,
            NEW.rules_source)
           IS NOT DISTINCT FROM (OLD.contract_size, OLD.tick_size, OLD.lot_size, OLD.min_notional, OLD.maker_fee,
            OLD.taker_fee, OLD.status, OLD.rules_source) THEN
            RETURN NULL;
        END IF;
        -- A writer whose clock is behind (a replay) still comes after the version it ends.
        SELECT greatest(NEW.updated_at, v.valid_from + interval '1 microsecond') INTO STRICT v_from
          FROM instrument_versions v WHERE v.instrument_id = NEW.id AND v.valid_to IS NULL;
        UPDATE instrument_versions SET valid_to = v_from WHERE instrument_id = NEW.id AND valid_to IS NULL;
    END IF;
    INSERT INTO instrument_versions (instrument_id, valid_from, contract_size, tick_size, lot_size, min_notional, maker_fee,
                                     taker_fee, status, rules_source)
    VALUES (NEW.id, coalesce(v_from, NEW.updated_at), NEW.contract_size, NEW.tick_size, NEW.lot_size, NEW.min_notional,
            NEW.maker_fee, NEW.taker_fee, NEW.status, NEW.rules_source);
    RETURN NULL;
END $$;
COMMENT ON FUNCTION record_instrument_version IS
    'market_data_service: keeps instrument_versions beside instruments; a change never overwrites what was valid before';

CREATE OR REPLACE TRIGGER instruments_keep_their_versions AFTER INSERT OR UPDATE ON instruments
    FOR EACH ROW EXECUTE FUNCTION record_instrument_version();

-- A list that names no rules brings markets, but never replaces what is known about them ('assumed' in p_sources); nor does
-- what a list does not tell (p_tell_notional, p_tell_fees), which is filled in for new markets only.
CREATE OR REPLACE FUNCTION learn_instruments(
    p_venue text, p_symbols text[], p_bases text[], p_quotes text[], p_kinds text[], p_settles text[],
    p_contract_sizes numeric[], p_tick_sizes numeric[], p_lot_sizes numeric[], p_min_notionals numeric[],
    p_maker_fees numeric[], p_taker_fees numeric[], p_statuses text[], p_sources text[], p_tell_notional boolean[],
    p_tell_fees boolean[], p_known_at timestamptz, p_at timestamptz, OUT added int, OUT changed int
)
LANGUAGE plpgsql AS $$
DECLARE
    v_new    record;
    v_id     int;
    v_held   instrument_versions;
    v_first  instrument_versions;
    v_from   timestamptz;
BEGIN
    added := 0;
    changed := 0;
    FOR v_new IN
        SELECT * FROM unnest(p_symbols, p_bases, p_quotes, p_kinds, p_settles, p_contract_sizes, p_tick_sizes, p_lot_sizes,
                             p_min_notionals, p_maker_fees, p_taker_fees, p_statuses, p_sources, p_tell_notional,
                             p_tell_fees)
               AS l(symbol, base, quote, kind, settle, contract_size, tick_size, lot_size, min_notional, maker_fee,
                    taker_fee, status, rules_source, tells_notional, tells_fees)
         ORDER BY l.symbol
    LOOP
        INSERT INTO instruments (venue, symbol, base, quote, kind, settle, contract_size, tick_size, lot_size, min_notional,
                                 maker_fee, taker_fee, status, rules_source, created_at, updated_at)
        VALUES (p_venue, v_new.symbol, v_new.base, v_new.quote, v_new.kind, v_new.settle, v_new.contract_size,
                v_new.tick_size, v_new.lot_size, v_new.min_notional, v_new.maker_fee, v_new.taker_fee, v_new.status,
                v_new.rules_source, p_at, p_known_at)
        ON CONFLICT (venue, symbol) DO NOTHING;
        IF FOUND THEN
            added := added + 1;
            CONTINUE;
        END IF;
        CONTINUE WHEN v_new.rules_source = 'assumed';
        SELECT id INTO STRICT v_id FROM instruments WHERE venue = p_venue AND symbol = v_new.symbol FOR UPDATE;
        SELECT v.* INTO STRICT v_first FROM instrument_versions v WHERE v.instrument_id = v_id ORDER BY v.valid_from LIMIT 1;
        SELECT v.* INTO v_held FROM instrument_versions v
         WHERE v.instrument_id = v_id AND v.valid_from <= p_known_at AND (v.valid_to IS NULL OR v.valid_to > p_known_at);
        IF NOT v_new.tells_notional THEN
            v_new.min_notional := coalesce(v_held.min_notional, v_first.min_notional);
        END IF;
        IF NOT v_new.tells_fees THEN
            v_new.maker_fee := coalesce(v_held.maker_fee, v_first.maker_fee);
            v_new.taker_fee := coalesce(v_held.taker_fee, v_first.taker_fee);
        END IF;
        CONTINUE WHEN v_held.valid_from IS NOT NULL
             AND (v_held.contract_size, v_held.tick_size, v_held.lot_size, v_held.min_notional, v_held.maker_fee,
                  v_held.taker_fee, v_held.status, v_held.rules_source)
                 = (v_new.contract_size, v_new.tick_size, v_new.lot_size, v_new.min_notional, v_new.maker_fee,
                    v_new.taker_fee, v_new.status, v_new.rules_source);
        changed := changed + 1;
        IF v_held.valid_to IS NULL AND (v_held.valid_from IS NOT NULL OR v_first.valid_to IS NULL) THEN
            -- The present rules change at the time of the list; or, where only a guess is newer than the list, it gives way.
            UPDATE instruments
               SET contract_size = v_new.contract_size, tick_size = v_new.tick_size, lot_size = v_new.lot_size,
                   min_notional = v_new.min_notional, maker_fee = v_new.maker_fee, taker_fee = v_new.taker_fee,
                   status = v_new.status, rules_source = v_new.rules_source, updated_at = p_known_at
             WHERE id = v_id AND (v_held.valid_from IS NOT NULL OR v_first.rules_source = 'assumed');
            IF FOUND AND v_held.valid_from IS NULL THEN
                DELETE FROM instrument_versions WHERE instrument_id = v_id AND valid_from = v_first.valid_from;
                UPDATE instrument_versions SET valid_from = p_known_at WHERE instrument_id = v_id AND valid_to IS NULL;
            END IF;
            CONTINUE WHEN FOUND;
        END IF;
        -- An older list than the present rules: it holds from its own time to the next version that is known.
        v_from := greatest(p_known_at, v_held.valid_from + interval '1 microsecond');
        IF v_held.valid_from IS NULL AND v_first.rules_source = 'assumed' THEN
            DELETE FROM instrument_versions WHERE instrument_id = v_id AND valid_from = v_first.valid_from;
        ELSIF v_held.valid_from IS NOT NULL THEN
            UPDATE instrument_versions SET valid_to = v_from WHERE instrument_id = v_id AND valid_from = v_held.valid_from;
        END IF;
        INSERT INTO instrument_versions (instrument_id, valid_from, valid_to, contract_size, tick_size, lot_size,
                                         min_notional, maker_fee, taker_fee, status, rules_source)
        VALUES (v_id, v_from,
                coalesce(v_held.valid_to, CASE v_first.rules_source WHEN 'assumed' THEN v_first.valid_to
                                                                    ELSE v_first.valid_from END),
                v_new.contract_size, v_new.tick_size, v_new.lot_size, v_new.min_notional, v_new.maker_fee, v_new.taker_fee,
                v_new.status, v_new.rules_source);
    END LOOP;
END $$;
COMMENT ON FUNCTION learn_instruments IS
    'market_data_service: rules as a venue listed them at p_known_at, now or long ago; versions keep the order of their times';

CREATE TABLE IF NOT EXISTS leverage_tiers (
    instrument_id     int NOT NULL REFERENCES instruments (id) ON DELETE RESTRICT,
    valid_from        timestamptz NOT NULL,
    notional_from     quantity NOT NULL,
    notional_to       quantity,
    maintenance_rate  amount NOT NULL,
    max_leverage      amount NOT NULL,
    PRIMARY KEY (instrument_id, valid_from, notional_from),
    CONSTRAINT leverage_tiers_end_after_they_begin CHECK (notional_to > notional_from),
    CONSTRAINT leverage_tiers_rates_are_fractions CHECK (maintenance_rate >= 0 AND maintenance_rate < 1),
    CONSTRAINT leverage_tiers_leverage_is_positive CHECK (max_leverage > 0)
);
COMMENT ON TABLE leverage_tiers IS
    'market_data_service: the margin a swap of some notional must keep and its highest leverage, by the time it was listed';

-- Tiers are equal to what is known when they are those of the newest list before them.
CREATE OR REPLACE FUNCTION learn_leverage_tiers(
    p_instrument_id int, p_from numeric[], p_to numeric[], p_rates numeric[], p_leverages numeric[], p_known_at timestamptz
) RETURNS boolean
LANGUAGE plpgsql AS $$
DECLARE
    v_held  timestamptz;
BEGIN
    PERFORM FROM instruments i WHERE i.id = p_instrument_id FOR UPDATE;
    SELECT max(t.valid_from) INTO v_held FROM leverage_tiers t
     WHERE t.instrument_id = p_instrument_id AND t.valid_from <= p_known_at;
    IF NOT EXISTS (
        SELECT FROM (SELECT t.notional_from, t.notional_to, t.maintenance_rate, t.max_leverage FROM leverage_tiers t
                      WHERE t.instrument_id = p_instrument_id AND t.valid_from = v_held) held
          FULL JOIN unnest(p_from, p_to, p_rates, p_leverages) AS n(notional_from, notional_to, maintenance_rate, max_leverage)
            ON (held.notional_from, held.maintenance_rate, held.max_leverage, coalesce(held.notional_to, -1))
             = (n.notional_from, n.maintenance_rate, n.max_leverage, coalesce(n.notional_to, -1))
         WHERE held.notional_from IS NULL OR n.notional_from IS NULL) THEN
        RETURN false;
    END IF;
    DELETE FROM leverage_tiers t WHERE t.instrument_id = p_instrument_id AND t.valid_from = p_known_at;
    INSERT INTO leverage_tiers (instrument_id, valid_from, notional_from, notional_to, maintenance_rate, max_leverage)
    SELECT p_instrument_id, p_known_at, n.a, n.b, n.c, n.d FROM unnest(p_from, p_to, p_rates, p_leverages) AS n(a, b, c, d);
    RETURN true;
END $$;
COMMENT ON FUNCTION learn_leverage_tiers IS
    'market_data_service: tiers of a swap as they were listed at p_known_at; false when they are known to be so';
