-- Limits, locks and what was counted: everything a judgement is held against beside the trading state.
-- Owner of every table here: risk_manager. Others call the functions.

-- Every change of every limit, numbered; the last row of a scope and name counts. NULL takes a scope's own number back.
CREATE TABLE IF NOT EXISTS risk_limits (
    version     bigint PRIMARY KEY,
    scope       text NOT NULL,
    name        text NOT NULL,
    value       quantity,
    reason      text NOT NULL,
    actor       text NOT NULL,
    changed_at  timestamptz NOT NULL,
    CONSTRAINT risk_limits_scope_is_known CHECK (scope ~
        '^(global|(account|strategy):[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}|instrument:[1-9][0-9]{0,9}|(venue|asset|class):\S+)$')
);
CREATE INDEX IF NOT EXISTS risk_limits_newest ON risk_limits (scope, name, version DESC);
COMMENT ON TABLE risk_limits IS 'risk_manager: every version of every limit, by scope; verdicts name the version they ran under';
DROP TRIGGER IF EXISTS risk_limits_are_final ON risk_limits;
CREATE TRIGGER risk_limits_are_final BEFORE UPDATE OR DELETE OR TRUNCATE ON risk_limits
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

CREATE OR REPLACE FUNCTION limits_version() RETURNS bigint LANGUAGE sql STABLE AS $$
    SELECT coalesce(max(version), 0) FROM risk_limits;
$$;

CREATE OR REPLACE VIEW current_risk_limits AS
SELECT * FROM (SELECT DISTINCT ON (scope, name) * FROM risk_limits ORDER BY scope, name, version DESC) l WHERE value IS NOT NULL;
COMMENT ON VIEW current_risk_limits IS 'risk_manager: the limits that scopes have of their own now; the rest comes from the settings';

-- Changes one limit unless somebody changed another since p_seen; then it returns NULL and nothing has happened. It waits
-- for the judgements under way, and none begins before it has committed: the trading state's lock fences limits as well.
CREATE OR REPLACE FUNCTION change_limit(
    p_scope text, p_name text, p_value numeric, p_seen bigint, p_before numeric, p_reason text, p_actor text, p_at timestamptz
) RETURNS bigint LANGUAGE plpgsql SET lock_timeout = '60s' AS $$
DECLARE
    v_details jsonb;
    v_before quantity := p_before;
BEGIN
    PERFORM pg_advisory_xact_lock(hashtextextended('trading_state', 0));
    IF limits_version() <> p_seen THEN
        RETURN NULL;
    END IF;
    INSERT INTO risk_limits (version, scope, name, value, reason, actor, changed_at)
    VALUES (p_seen + 1, p_scope, p_name, p_value, p_reason, p_actor, p_at);
    v_details := jsonb_build_object('scope', p_scope, 'name', p_name, 'before', v_before::text, 'after', p_value::text,
                                    'reason', p_reason, 'actor', p_actor, 'version', p_seen + 1);
    INSERT INTO risk_admin_actions (action, details, created_at) VALUES ('limit_changed', v_details, p_at);
    INSERT INTO risk_configuration_changes (changes, created_at) VALUES (v_details, p_at);
    RETURN p_seen + 1;
END $$;

-- What protections hold back, where and how long. A lock ends by itself or is lifted, and its row stays.
CREATE TABLE IF NOT EXISTS risk_locks (
    id           uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    scope        text NOT NULL,
    kind         text NOT NULL,
    reason       text NOT NULL,
    details      jsonb NOT NULL DEFAULT '{}',
    starts_at    timestamptz NOT NULL,
    ends_at      timestamptz NOT NULL,
    lifted_at    timestamptz,
    lifted_by    text,
    lift_reason  text,
    CONSTRAINT risk_locks_end_after_they_begin CHECK (ends_at > starts_at),
    CONSTRAINT risk_locks_lifted_say_by_whom CHECK (num_nulls(lifted_at, lifted_by, lift_reason) IN (0, 3))
);
-- squawk-ignore ban-drop-constraint -- what follows allows more
ALTER TABLE risk_locks DROP CONSTRAINT IF EXISTS risk_locks_scope_is_known;
ALTER TABLE risk_locks ADD CONSTRAINT risk_locks_scope_is_known CHECK (scope ~
    '^(global|(account|strategy):[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}|instrument:[1-9][0-9]{0,9}|(venue|asset):\S+)$');
CREATE INDEX IF NOT EXISTS risk_locks_live ON risk_locks (scope, ends_at) WHERE lifted_at IS NULL;
COMMENT ON TABLE risk_locks IS 'risk_manager: protections that keep entries of a scope back, with an end and a reason';

-- Locks a scope, or moves the end of the lock of this kind that it has. Returns the lock, or NULL where the one there
-- already lasts as long.
CREATE OR REPLACE FUNCTION lock_scope(
    p_scope text, p_kind text, p_reason text, p_details jsonb, p_at timestamptz, p_until timestamptz
) RETURNS uuid LANGUAGE plpgsql AS $$
DECLARE
    v_id uuid;
BEGIN
    PERFORM pg_advisory_xact_lock(hashtextextended('lock:' || p_scope || ':' || p_kind, 0));
    IF EXISTS (SELECT 1 FROM risk_locks WHERE scope = p_scope AND kind = p_kind AND lifted_at IS NULL
                  AND starts_at <= p_at AND ends_at >= p_until) THEN
        RETURN NULL;
    END IF;
    UPDATE risk_locks SET ends_at = p_until, reason = p_reason, details = p_details
     WHERE scope = p_scope AND kind = p_kind AND lifted_at IS NULL AND starts_at <= p_at AND ends_at > p_at
    RETURNING id INTO v_id;
    IF v_id IS NULL THEN
        INSERT INTO risk_locks (scope, kind, reason, details, starts_at, ends_at)
        VALUES (p_scope, p_kind, p_reason, p_details, p_at, p_until) RETURNING id INTO v_id;
    END IF;
    RETURN v_id;
END $$;

CREATE OR REPLACE FUNCTION lift_lock(p_id uuid, p_reason text, p_actor text, p_at timestamptz)
RETURNS risk_locks LANGUAGE plpgsql AS $$
DECLARE
    v_lock risk_locks;
BEGIN
    UPDATE risk_locks SET lifted_at = p_at, lifted_by = p_actor, lift_reason = p_reason
     WHERE id = p_id AND lifted_at IS NULL RETURNING * INTO v_lock;
    IF FOUND THEN
        INSERT INTO risk_admin_actions (action, details, created_at)
        VALUES ('lock_lifted', jsonb_build_object('lock', p_id, 'scope', v_lock.scope, 'kind', v_lock.kind,
                                                  'reason', p_reason, 'actor', p_actor), p_at);
    END IF;
    RETURN v_lock;
END $$;

-- Approved entries of an account in the present second, minute and UTC day of the market; moved with each approval.
CREATE TABLE IF NOT EXISTS approval_counts (
    account_id   uuid PRIMARY KEY REFERENCES accounts (id) ON DELETE RESTRICT,
    at           timestamptz NOT NULL,
    this_second  int NOT NULL,
    this_minute  int NOT NULL,
    this_day     int NOT NULL
) WITH (fillfactor = 50);
COMMENT ON TABLE approval_counts IS 'risk_manager: how many entries an account was approved in the second, minute and day of at';

CREATE OR REPLACE FUNCTION count_approval(p_account uuid, p_at timestamptz) RETURNS void LANGUAGE sql AS $$
    INSERT INTO approval_counts AS c (account_id, at, this_second, this_minute, this_day) VALUES (p_account, p_at, 1, 1, 1)
    ON CONFLICT (account_id) DO UPDATE SET
        this_second = 1 + CASE WHEN date_trunc('second', c.at) = date_trunc('second', p_at) THEN c.this_second ELSE 0 END,
        this_minute = 1 + CASE WHEN date_trunc('minute', c.at) = date_trunc('minute', p_at) THEN c.this_minute ELSE 0 END,
        this_day = 1 + CASE WHEN date_trunc('day', c.at, 'UTC') = date_trunc('day', p_at, 'UTC') THEN c.this_day ELSE 0 END,
        at = p_at;
$$;

-- Everything a judgement looked at: judging it again gives the same verdict.
CREATE TABLE IF NOT EXISTS verdict_inputs (
    verdict_id  uuid PRIMARY KEY REFERENCES verdicts (id) ON DELETE RESTRICT,
    inputs      jsonb NOT NULL
);
COMMENT ON TABLE verdict_inputs IS 'risk_manager: the case and the limits of a verdict, from which it can be judged again';
DROP TRIGGER IF EXISTS verdict_inputs_are_final ON verdict_inputs;
CREATE TRIGGER verdict_inputs_are_final BEFORE UPDATE OR DELETE OR TRUNCATE ON verdict_inputs
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

-- Money that came or went beside trading, with its worth when it was first marked: gains and losses are measured without it.
CREATE TABLE IF NOT EXISTS account_flows (
    entry_id    bigint PRIMARY KEY REFERENCES ledger_entries (id) ON DELETE RESTRICT,
    account_id  uuid NOT NULL REFERENCES accounts (id) ON DELETE RESTRICT,
    value       amount NOT NULL,
    marked_at   timestamptz NOT NULL
);
CREATE INDEX IF NOT EXISTS account_flows_by_account ON account_flows (account_id, marked_at);
COMMENT ON TABLE account_flows IS 'risk_manager: deposits and adjustments in the account''s quote asset, neutral for high-water marks';
