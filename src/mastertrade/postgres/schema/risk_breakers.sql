-- The circuit breaker of each account, as it was last seen, and who holds it open. Owner: risk_manager.

CREATE TABLE IF NOT EXISTS risk_breakers (
    account_id       uuid PRIMARY KEY REFERENCES accounts (id) ON DELETE RESTRICT,
    level            text NOT NULL DEFAULT 'none',
    drawdown         finite NOT NULL DEFAULT 0,
    day_loss         finite NOT NULL DEFAULT 0,
    changed_at       timestamptz NOT NULL,
    override_until   timestamptz,
    override_by      text,
    override_reason  text,
    CONSTRAINT risk_breakers_level_is_known CHECK (level IN ('none', 'warning', 'level_1', 'level_2', 'level_3')),
    CONSTRAINT risk_breakers_held_open_say_by_whom CHECK (num_nulls(override_until, override_by, override_reason) IN (0, 3))
);
COMMENT ON TABLE risk_breakers IS 'risk_manager: the circuit breaker''s level of each account, losses in percent; changes are in risk_adjustment_history';

-- Returns the level before, or NULL where it is the same as before. A change is kept.
CREATE OR REPLACE FUNCTION set_breaker(
    p_account uuid, p_level text, p_drawdown float8, p_day_loss float8, p_at timestamptz
) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    v_before text;
BEGIN
    SELECT level INTO v_before FROM risk_breakers WHERE account_id = p_account FOR UPDATE;
    v_before := coalesce(v_before, 'none');
    IF v_before = p_level THEN
        RETURN NULL;
    END IF;
    INSERT INTO risk_breakers AS b (account_id, level, drawdown, day_loss, changed_at)
    VALUES (p_account, p_level, p_drawdown, p_day_loss, p_at)
    ON CONFLICT (account_id) DO UPDATE SET level = p_level, drawdown = p_drawdown, day_loss = p_day_loss, changed_at = p_at;
    INSERT INTO risk_adjustment_history (timestamp, adjustments)
    VALUES (p_at, jsonb_build_object('kind', 'circuit_breaker', 'account_id', p_account, 'before', v_before, 'after', p_level,
                                     'drawdown_percent', p_drawdown, 'day_loss_percent', p_day_loss));
    RETURN v_before;
END $$;

-- Holds the breaker open until the next UTC day of the account's market; returns until when.
CREATE OR REPLACE FUNCTION override_breaker(p_account uuid, p_reason text, p_actor text, p_at timestamptz)
RETURNS timestamptz LANGUAGE plpgsql AS $$
DECLARE
    v_until timestamptz := date_trunc('day', p_at, 'UTC') + interval '1 day';
BEGIN
    INSERT INTO risk_breakers AS b (account_id, changed_at, override_until, override_by, override_reason)
    VALUES (p_account, p_at, v_until, p_actor, p_reason)
    ON CONFLICT (account_id) DO UPDATE SET override_until = v_until, override_by = p_actor, override_reason = p_reason;
    INSERT INTO risk_admin_actions (action, details, created_at)
    VALUES ('circuit_breaker_overridden',
            jsonb_build_object('account_id', p_account, 'until', v_until, 'reason', p_reason, 'actor', p_actor), p_at);
    RETURN v_until;
END $$;
