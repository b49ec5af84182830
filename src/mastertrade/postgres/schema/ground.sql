-- Ground: the amount types every table uses, and which version of the schema this database holds.
-- Owner: postgres (apply.py).

-- A database of another version is left alone. apply.py says so with a next step; this is the same guard for psql.
DO $$
DECLARE
    v_version int;
BEGIN
    IF to_regclass('schema_version') IS NOT NULL THEN
        SELECT version INTO v_version FROM schema_version;
        IF v_version <> 1 THEN
            RAISE EXCEPTION 'this database holds schema version %, this file is version 1: nothing was changed', v_version
                USING HINT = 'use the MasterTrade release this database was made with, or another database';
        END IF;
    END IF;
END $$;

-- NaN sorts above every number and so passes "> 0"; "abs(VALUE) < bound" refuses it together with both infinities.
-- The types are unconstrained numeric on purpose: numeric(38,18) would round surplus digits without a word, a CHECK
-- refuses them. min_scale() does not count trailing zeros, which are no information.
DO $$
BEGIN
    IF to_regtype('amount') IS NULL THEN
        CREATE DOMAIN amount AS numeric
            CONSTRAINT amount_is_finite_with_at_most_18_decimals CHECK (abs(VALUE) < 1e24 AND min_scale(VALUE) <= 18);
        COMMENT ON DOMAIN amount IS 'money or a change of it: finite, below 1e24, at most 18 decimals, never rounded';
    END IF;
    IF to_regtype('quantity') IS NULL THEN
        CREATE DOMAIN quantity AS amount CONSTRAINT quantity_is_not_negative CHECK (VALUE >= 0);
        COMMENT ON DOMAIN quantity IS 'an amount of something held, ordered or filled: never negative';
    END IF;
    IF to_regtype('price') IS NULL THEN
        CREATE DOMAIN price AS amount CONSTRAINT price_is_not_negative CHECK (VALUE >= 0);
        COMMENT ON DOMAIN price IS 'quote per base: never negative; columns that cannot be zero say so themselves';
    END IF;
    IF to_regtype('finite') IS NULL THEN
        CREATE DOMAIN finite AS float8 CONSTRAINT finite_is_a_sane_number CHECK (abs(VALUE) < 1e30);
        COMMENT ON DOMAIN finite IS 'a ratio, score or statistic: no NaN, no infinity, below 1e30';
    END IF;
END $$;

CREATE TABLE IF NOT EXISTS schema_version (
    only_row    boolean PRIMARY KEY DEFAULT true,
    version     int NOT NULL,
    text_hash   text,
    applied_at  timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT schema_version_has_one_row CHECK (only_row)
);
COMMENT ON TABLE schema_version IS 'postgres: the version of the schema and the hash of the text that made it';
