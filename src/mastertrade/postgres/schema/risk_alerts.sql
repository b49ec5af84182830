-- Alerts that the watch over the accounts raises, and how forecasts of losses did. Owner: risk_manager.

-- NULL for the older system's callers, who know no accounts.
ALTER TABLE risk_alerts ADD COLUMN IF NOT EXISTS account_id uuid REFERENCES accounts (id) ON DELETE RESTRICT;
CREATE UNIQUE INDEX IF NOT EXISTS risk_alerts_one_open ON risk_alerts (account_id, alert_type, symbol)
    NULLS NOT DISTINCT WHERE status <> 'resolved' AND account_id IS NOT NULL;

-- squawk-ignore ban-drop-function
DROP FUNCTION IF EXISTS settle_alerts(uuid, timestamptz, jsonb);
-- Brings an account's alerts of these types to what is wrong now: conditions beyond their limit raise one, standing ones update theirs,
-- those that are not even near it any more resolve it. A condition that got worse opens an acknowledged alert again. Returns what changed and how; nothing
-- for a moment that is older than what is known already.
CREATE OR REPLACE FUNCTION settle_alerts(p_account uuid, p_at timestamptz, p_found jsonb, p_types text[])
RETURNS TABLE (change text, alert jsonb) LANGUAGE plpgsql AS $$
DECLARE
    v_levels constant text[] := ARRAY['low', 'medium', 'high', 'critical'];
BEGIN
    PERFORM pg_advisory_xact_lock(hashtextextended('alerts:' || p_account, 0));
    IF EXISTS (SELECT 1 FROM risk_alerts a WHERE a.account_id = p_account AND a.alert_type = ANY (p_types) AND a.updated_at > p_at) THEN
        RETURN;
    END IF;
    RETURN QUERY
    WITH found AS (
        SELECT f.* FROM jsonb_to_recordset(p_found) AS f (
            id text, alert_type text, severity text, title text, message text, symbol text, is_beyond boolean,
            current_value float8, threshold_value float8, recommendation text)),
    cleared AS (
        UPDATE risk_alerts a SET status = 'resolved', resolved_at = p_at, updated_at = p_at
         WHERE a.account_id = p_account AND a.status <> 'resolved' AND a.alert_type = ANY (p_types)
           AND NOT EXISTS (SELECT 1 FROM found f WHERE f.alert_type = a.alert_type AND f.symbol IS NOT DISTINCT FROM a.symbol)
        RETURNING a.*),
    worse AS (
        SELECT a.id FROM risk_alerts a
          JOIN found f ON f.alert_type = a.alert_type AND f.symbol IS NOT DISTINCT FROM a.symbol
         WHERE a.account_id = p_account AND a.status <> 'resolved'
           AND array_position(v_levels, f.severity) > array_position(v_levels, a.severity)),
    standing AS (
        UPDATE risk_alerts a
           SET severity = f.severity, title = f.title, message = f.message, current_value = f.current_value,
               threshold_value = f.threshold_value, recommendation = f.recommendation, updated_at = p_at,
               status = CASE WHEN EXISTS (SELECT 1 FROM worse w WHERE w.id = a.id) THEN 'open' ELSE a.status END
          FROM found f
         WHERE a.account_id = p_account AND a.status <> 'resolved'
           AND f.alert_type = a.alert_type AND f.symbol IS NOT DISTINCT FROM a.symbol
        RETURNING a.*),
    raised AS (
        INSERT INTO risk_alerts (id, account_id, timestamp, alert_type, severity, title, message, symbol, current_value,
                                 threshold_value, recommendation, updated_at)
        SELECT f.id, p_account, p_at, f.alert_type, f.severity, f.title, f.message, f.symbol, f.current_value,
               f.threshold_value, f.recommendation, p_at
          FROM found f
         WHERE f.is_beyond AND NOT EXISTS (SELECT 1 FROM risk_alerts a
                            WHERE a.account_id = p_account AND a.status <> 'resolved'
                              AND a.alert_type = f.alert_type AND a.symbol IS NOT DISTINCT FROM f.symbol)
        RETURNING risk_alerts.*)
    SELECT 'resolved', to_jsonb(c) FROM cleared c
    UNION ALL SELECT 'raised', to_jsonb(r) FROM raised r
    UNION ALL SELECT 'escalated', to_jsonb(s) FROM standing s WHERE EXISTS (SELECT 1 FROM worse w WHERE w.id = s.id);
END $$;

-- Somebody has seen it; it stays until its condition clears. False where it is not open.
CREATE OR REPLACE FUNCTION acknowledge_alert(p_id text, p_actor text, p_note text, p_at timestamptz)
RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
    UPDATE risk_alerts SET status = 'acknowledged',
           metadata = metadata || jsonb_build_object('acknowledged_by', p_actor, 'note', p_note, 'acknowledged_at', p_at)
     WHERE id = p_id AND status = 'open';
    IF FOUND THEN
        INSERT INTO risk_admin_actions (action, details, created_at)
        VALUES ('alert_acknowledged', jsonb_build_object('alert', p_id, 'actor', p_actor, 'reason', p_note), p_at);
    END IF;
    RETURN FOUND;
END $$;

CREATE TABLE IF NOT EXISTS var_backtests (
    account_id    uuid NOT NULL REFERENCES accounts (id) ON DELETE RESTRICT,
    date          date NOT NULL,
    method        text NOT NULL,
    confidence    finite NOT NULL,
    timestamp     timestamptz NOT NULL,
    days          int NOT NULL,
    hits          int NOT NULL,
    light         text NOT NULL,
    "values"      jsonb NOT NULL DEFAULT '{}',
    PRIMARY KEY (account_id, date, method, confidence),
    CONSTRAINT var_backtests_light_is_known CHECK (light IN ('green', 'yellow', 'red')),
    CONSTRAINT var_backtests_hits_are_days CHECK (hits >= 0 AND hits <= days)
);
COMMENT ON TABLE var_backtests IS 'risk_manager: how often losses went beyond each forecast, per account, UTC day and method';
