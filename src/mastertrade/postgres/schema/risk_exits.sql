-- Exits that are wanted: a position somebody or some rule gives up, whatever its strategy thinks. Owner: risk_manager.

CREATE TABLE IF NOT EXISTS risk_exits (
    id             uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    account_id     uuid NOT NULL REFERENCES accounts (id) ON DELETE RESTRICT,
    strategy_id    uuid NOT NULL REFERENCES strategies (id) ON DELETE RESTRICT,
    instrument_id  int NOT NULL REFERENCES instruments (id) ON DELETE RESTRICT,
    kind           text NOT NULL,
    reason         text NOT NULL,
    actor          text NOT NULL,
    wanted_at      timestamptz NOT NULL,
    attempts       int NOT NULL DEFAULT 0,
    signal_id      uuid REFERENCES signals (id) ON DELETE RESTRICT,
    ended_at       timestamptz,
    outcome        text,
    CONSTRAINT risk_exits_kind_is_known CHECK (kind IN ('flatten', 'stop', 'circuit_breaker')),
    CONSTRAINT risk_exits_outcome_is_known CHECK (outcome IN ('closed', 'nothing_held', 'withdrawn')),
    CONSTRAINT risk_exits_ended_say_how CHECK ((ended_at IS NULL) = (outcome IS NULL))
);
CREATE UNIQUE INDEX IF NOT EXISTS risk_exits_one_open ON risk_exits (account_id, strategy_id, instrument_id) WHERE ended_at IS NULL;
CREATE INDEX IF NOT EXISTS risk_exits_newest ON risk_exits (wanted_at DESC);
COMMENT ON TABLE risk_exits IS 'risk_manager: positions being given up; asked for at every close until nothing is held';
COMMENT ON COLUMN risk_exits.signal_id IS 'the last signal raised for it, from which mastertrade why goes on';

-- Returns the exit, or NULL where one of this position is wanted already: the first reason stands.
CREATE OR REPLACE FUNCTION want_exit(
    p_account uuid, p_strategy uuid, p_instrument int, p_kind text, p_reason text, p_actor text, p_at timestamptz
) RETURNS uuid LANGUAGE sql AS $$
    INSERT INTO risk_exits (account_id, strategy_id, instrument_id, kind, reason, actor, wanted_at)
    VALUES (p_account, p_strategy, p_instrument, p_kind, p_reason, p_actor, p_at)
    ON CONFLICT (account_id, strategy_id, instrument_id) WHERE ended_at IS NULL DO NOTHING
    RETURNING id;
$$;

-- Wants every open position of a scope given up; returns how many of them were not wanted before.
CREATE OR REPLACE FUNCTION want_exits(p_scope text, p_kind text, p_reason text, p_actor text, p_at timestamptz)
RETURNS int LANGUAGE plpgsql AS $$
BEGIN
    RETURN (SELECT count(want_exit(p.account_id, p.strategy_id, p.instrument_id, p_kind, p_reason, p_actor, p_at))
              FROM strategy_positions p
             WHERE p.status = 'open' AND p_scope = ANY (scopes_around(p.account_id, p.strategy_id, p.instrument_id)));
END $$;
