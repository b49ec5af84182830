-- The regime of each venue's market, as it changed. Owner: risk_manager.

CREATE TABLE IF NOT EXISTS risk_regimes (
    venue       text NOT NULL REFERENCES venues (id) ON DELETE RESTRICT,
    since       timestamptz NOT NULL,
    regime      text NOT NULL,
    factor      finite NOT NULL,
    volatility  finite,
    mean        finite,
    fear_greed  finite,
    PRIMARY KEY (venue, since),
    CONSTRAINT risk_regimes_factor_is_a_part CHECK (factor > 0 AND factor <= 1)
);
COMMENT ON TABLE risk_regimes IS 'risk_manager: how wild a venue''s market is and where it goes; a row for each change';

-- Returns the regime before, or NULL where it is the same. A change is kept here and among the adjustments.
CREATE OR REPLACE FUNCTION set_regime(
    p_venue text, p_regime text, p_factor float8, p_volatility float8, p_mean float8, p_fear_greed float8, p_at timestamptz
) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    v_before text;
BEGIN
    PERFORM pg_advisory_xact_lock(hashtextextended('regime:' || p_venue, 0));
    SELECT regime INTO v_before FROM risk_regimes WHERE venue = p_venue ORDER BY since DESC LIMIT 1;
    v_before := coalesce(v_before, 'unknown');
    IF v_before = p_regime OR EXISTS (SELECT 1 FROM risk_regimes WHERE venue = p_venue AND since >= p_at) THEN
        RETURN NULL;
    END IF;
    INSERT INTO risk_regimes (venue, since, regime, factor, volatility, mean, fear_greed)
    VALUES (p_venue, p_at, p_regime, p_factor, p_volatility, p_mean, p_fear_greed);
    INSERT INTO risk_adjustment_history (timestamp, adjustments)
    VALUES (p_at, jsonb_build_object('kind', 'regime', 'venue', p_venue, 'before', v_before, 'after', p_regime,
                                     'factor', p_factor, 'volatility', p_volatility, 'mean', p_mean, 'fear_greed', p_fear_greed));
    RETURN v_before;
END $$;
