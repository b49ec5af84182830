-- Risk: who may trade, what was judged and why, what was approved, and the risk manager's book.
-- Owner of every table here: risk_manager. Others call the functions. Decisions are never changed or deleted.

-- Whether trading is allowed, per scope. The tightest mode of all scopes around an order counts.
CREATE TABLE IF NOT EXISTS trading_state (
    scope       text PRIMARY KEY,
    mode        text NOT NULL,
    reason      text NOT NULL,
    actor       text NOT NULL,
    version     bigint NOT NULL,
    created_at  timestamptz NOT NULL DEFAULT now(),
    changed_at  timestamptz NOT NULL,
    CONSTRAINT trading_state_mode_is_known CHECK (mode IN ('running', 'reduce_only', 'halted'))
);
-- squawk-ignore ban-drop-constraint -- what follows allows more
ALTER TABLE trading_state DROP CONSTRAINT IF EXISTS trading_state_scope_is_known;
ALTER TABLE trading_state ADD CONSTRAINT trading_state_scope_is_known CHECK (scope ~
    '^(global|(account|strategy):[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}|instrument:[1-9][0-9]{0,9}|(venue|asset):\S+)$');
COMMENT ON TABLE trading_state IS 'risk_manager: running, reduce_only or halted, for everything or one account, strategy, instrument, venue or asset';

CREATE TABLE IF NOT EXISTS trading_state_history (
    scope       text NOT NULL,
    version     bigint NOT NULL,
    mode        text NOT NULL,
    reason      text NOT NULL,
    actor       text NOT NULL,
    changed_at  timestamptz NOT NULL,
    PRIMARY KEY (scope, version)
);
COMMENT ON TABLE trading_state_history IS 'risk_manager: every version of every trading state, kept for good';
DROP TRIGGER IF EXISTS trading_state_history_is_final ON trading_state_history;
CREATE TRIGGER trading_state_history_is_final BEFORE UPDATE OR DELETE OR TRUNCATE ON trading_state_history
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

CREATE TABLE IF NOT EXISTS risk_admin_actions (
    id          uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    action      text NOT NULL,
    details     jsonb NOT NULL DEFAULT '{}',
    created_at  timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX IF NOT EXISTS risk_admin_actions_newest ON risk_admin_actions (created_at DESC);
COMMENT ON TABLE risk_admin_actions IS 'risk_manager: what people did to trading and its limits, with actor and reason';
DROP TRIGGER IF EXISTS risk_admin_actions_are_final ON risk_admin_actions;
CREATE TRIGGER risk_admin_actions_are_final BEFORE UPDATE OR DELETE OR TRUNCATE ON risk_admin_actions
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

-- Whoever changes a trading state waits until every transaction that read one has ended, and holds off new readers until
-- its own commit. One lock guards all scopes, so that a scope halted for the first time is covered as well; the lock
-- manager serves in order of arrival, so that a stream of readers cannot starve a halt, as locks on the row could.
CREATE OR REPLACE FUNCTION fence_trading_state() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_advisory_xact_lock(hashtextextended('trading_state', 0));
    RETURN NULL;
END $$;
DROP TRIGGER IF EXISTS trading_state_changes_are_fenced ON trading_state;
CREATE TRIGGER trading_state_changes_are_fenced BEFORE INSERT OR UPDATE ON trading_state
    FOR EACH STATEMENT EXECUTE FUNCTION fence_trading_state();
DROP TRIGGER IF EXISTS trading_state_stays ON trading_state;
CREATE TRIGGER trading_state_stays BEFORE DELETE OR TRUNCATE ON trading_state
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

-- Numbers each change and keeps it.
CREATE OR REPLACE FUNCTION keep_trading_state() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW.version := CASE TG_OP WHEN 'UPDATE' THEN OLD.version + 1 ELSE 1 END;
    INSERT INTO trading_state_history (scope, version, mode, reason, actor, changed_at)
    VALUES (NEW.scope, NEW.version, NEW.mode, NEW.reason, NEW.actor, NEW.changed_at);
    RETURN NEW;
END $$;
DROP TRIGGER IF EXISTS trading_state_is_kept ON trading_state;
CREATE TRIGGER trading_state_is_kept BEFORE INSERT OR UPDATE ON trading_state
    FOR EACH ROW EXECUTE FUNCTION keep_trading_state();

INSERT INTO trading_state (scope, mode, reason, actor, version, changed_at)
SELECT 'global', 'running', 'as installed', 'schema', 1, now()
 WHERE NOT EXISTS (SELECT 1 FROM trading_state WHERE scope = 'global');

CREATE OR REPLACE FUNCTION change_trading_mode(p_scope text, p_mode text, p_reason text, p_actor text, p_at timestamptz)
RETURNS trading_state LANGUAGE plpgsql AS $$
DECLARE
    v_row trading_state;
BEGIN
    -- Before the statement below, so that it begins with the snapshot of after the wait.
    PERFORM pg_advisory_xact_lock(hashtextextended('trading_state', 0));
    UPDATE trading_state SET mode = p_mode, reason = p_reason, actor = p_actor, changed_at = p_at
     WHERE scope = p_scope RETURNING * INTO v_row;
    IF NOT FOUND THEN
        INSERT INTO trading_state (scope, mode, reason, actor, version, created_at, changed_at)
        VALUES (p_scope, p_mode, p_reason, p_actor, 1, p_at, p_at) RETURNING * INTO v_row;
    END IF;
    INSERT INTO risk_admin_actions (action, details, created_at)
    VALUES ('trading_' || p_mode,
            jsonb_build_object('scope', p_scope, 'mode', p_mode, 'reason', p_reason, 'actor', p_actor, 'version', v_row.version),
            p_at);
    RETURN v_row;
END $$;

-- Stops everything that opens or enlarges a position in this scope; exits and cancels go on. It waits for transactions
-- that have read the state already, none of which may idle for longer than the session settings allow.
CREATE OR REPLACE FUNCTION halt_trading(p_scope text, p_reason text, p_actor text, p_at timestamptz)
RETURNS trading_state LANGUAGE sql SET lock_timeout = '60s' AS $$
    SELECT change_trading_mode(p_scope, 'halted', p_reason, p_actor, p_at);
$$;

CREATE OR REPLACE FUNCTION resume_trading(p_scope text, p_reason text, p_actor text, p_at timestamptz)
RETURNS trading_state LANGUAGE sql SET lock_timeout = '60s' AS $$
    SELECT change_trading_mode(p_scope, 'running', p_reason, p_actor, p_at);
$$;

-- Lets exits go on and nothing else: what a scope is put into while its positions are given up.
CREATE OR REPLACE FUNCTION reduce_trading(p_scope text, p_reason text, p_actor text, p_at timestamptz)
RETURNS trading_state LANGUAGE sql SET lock_timeout = '60s' AS $$
    SELECT change_trading_mode(p_scope, 'reduce_only', p_reason, p_actor, p_at);
$$;

-- Every scope that encloses an order of this account, strategy and instrument.
CREATE OR REPLACE FUNCTION scopes_around(p_account uuid, p_strategy uuid, p_instrument int) RETURNS text[] LANGUAGE sql STABLE AS $$
    SELECT ARRAY['global', 'account:' || p_account, 'strategy:' || p_strategy, 'instrument:' || p_instrument,
                 (SELECT 'venue:' || venue FROM accounts WHERE id = p_account),
                 (SELECT 'asset:' || base FROM instruments WHERE id = p_instrument)];
$$;

-- The tightest mode of all scopes around an order, held still until the caller's transaction ends: a halt either is seen
-- here or commits after the caller. Ask before locking anything a transaction that also asks might want.
CREATE OR REPLACE FUNCTION trading_mode(p_account uuid, p_strategy uuid, p_instrument int) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    v_modes text[];
BEGIN
    PERFORM pg_advisory_xact_lock_shared(hashtextextended('trading_state', 0));
    SELECT array_agg(mode) INTO v_modes FROM trading_state
     WHERE scope = ANY (scopes_around(p_account, p_strategy, p_instrument));
    RETURN CASE WHEN v_modes IS NULL OR 'halted' = ANY (v_modes) THEN 'halted'
                WHEN 'reduce_only' = ANY (v_modes) THEN 'reduce_only' ELSE 'running' END;
END $$;

-- The older system's switch is the global halt.
CREATE OR REPLACE VIEW trading_config AS
SELECT 'trading_enabled'::text AS config_type, mode = 'running' AS enabled, created_at, changed_at AS updated_at
  FROM trading_state WHERE scope = 'global';
COMMENT ON VIEW trading_config IS 'risk_manager: the older system''s trading switch, which is the global trading state';

CREATE OR REPLACE FUNCTION change_trading_config() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'DELETE' THEN
        RAISE EXCEPTION 'trading_config cannot be deleted; set enabled instead' USING ERRCODE = 'restrict_violation';
    END IF;
    IF NEW.config_type IS DISTINCT FROM 'trading_enabled' OR NEW.enabled IS NULL THEN
        RAISE EXCEPTION 'trading_config holds config_type trading_enabled with enabled true or false, not % with %',
            NEW.config_type, NEW.enabled USING ERRCODE = 'check_violation';
    END IF;
    -- An UPDATE that does not name updated_at shows the old one here.
    IF NEW.updated_at IS NULL OR (TG_OP = 'UPDATE' AND NEW.updated_at = OLD.updated_at) THEN
        NEW.updated_at := now();
    END IF;
    IF NEW.enabled THEN
        PERFORM resume_trading('global', 'switched on', 'trading_config', NEW.updated_at);
    ELSE
        PERFORM halt_trading('global', 'switched off', 'trading_config', NEW.updated_at);
    END IF;
    RETURN NEW;
END $$;
DROP TRIGGER IF EXISTS trading_config_is_the_global_state ON trading_config;
CREATE TRIGGER trading_config_is_the_global_state INSTEAD OF INSERT OR UPDATE OR DELETE ON trading_config
    FOR EACH ROW EXECUTE FUNCTION change_trading_config();

CREATE TABLE IF NOT EXISTS verdicts (
    id                  uuid PRIMARY KEY,
    signal_id           uuid NOT NULL REFERENCES signals (id) ON DELETE RESTRICT,
    disposition         text NOT NULL,
    requested_quantity  quantity NOT NULL,
    approved_quantity   quantity NOT NULL,
    reason              text NOT NULL,
    equity              amount,
    limits_version      bigint,
    decided_at          timestamptz NOT NULL,
    CONSTRAINT verdicts_one_per_signal UNIQUE (signal_id),
    CONSTRAINT verdicts_disposition_is_known CHECK (disposition IN (
        'approved', 'reduced', 'refused', 'expired', 'superseded', 'held', 'failed')),
    CONSTRAINT verdicts_approve_what_was_asked CHECK (approved_quantity <= requested_quantity),
    CONSTRAINT verdicts_only_approvals_have_quantity
        CHECK ((disposition IN ('approved', 'reduced')) = (approved_quantity > 0)),
    CONSTRAINT verdicts_approved_means_all_of_it
        CHECK (disposition <> 'approved' OR approved_quantity = requested_quantity)
);
CREATE INDEX IF NOT EXISTS verdicts_newest ON verdicts (decided_at DESC);
COMMENT ON TABLE verdicts IS 'risk_manager: how each signal ended, once; limits_version is NULL where nothing was held against limits';

CREATE TABLE IF NOT EXISTS verdict_checks (
    verdict_id  uuid NOT NULL REFERENCES verdicts (id) ON DELETE RESTRICT,
    position    int NOT NULL,
    name        text NOT NULL,
    value       finite,
    "limit"     finite,
    unit        text NOT NULL,
    passed      boolean NOT NULL,
    detail      text NOT NULL,
    reduced_to  quantity,
    PRIMARY KEY (verdict_id, position)
);
COMMENT ON TABLE verdict_checks IS 'risk_manager: every check of a verdict with the number it saw and its limit, passed ones too';

CREATE TABLE IF NOT EXISTS approvals (
    id              uuid PRIMARY KEY,
    verdict_id      uuid NOT NULL REFERENCES verdicts (id) ON DELETE RESTRICT,
    signal_id       uuid NOT NULL REFERENCES signals (id) ON DELETE RESTRICT,
    strategy_id     uuid NOT NULL REFERENCES strategies (id) ON DELETE RESTRICT,
    account_id      uuid NOT NULL REFERENCES accounts (id) ON DELETE RESTRICT,
    instrument_id   int NOT NULL REFERENCES instruments (id) ON DELETE RESTRICT,
    side            text NOT NULL,
    order_type      text NOT NULL,
    quantity        quantity NOT NULL,
    limit_price     price,
    stop_price      price,
    reduces         boolean NOT NULL,
    reservation_id  uuid NOT NULL REFERENCES reservations (id) ON DELETE RESTRICT,
    approved_at     timestamptz NOT NULL,
    valid_until     timestamptz NOT NULL,
    CONSTRAINT approvals_one_per_verdict UNIQUE (verdict_id),
    CONSTRAINT approvals_one_reservation_each UNIQUE (reservation_id),
    CONSTRAINT approvals_side_is_known CHECK (side IN ('BUY', 'SELL')),
    CONSTRAINT approvals_type_is_known CHECK (order_type IN ('MARKET', 'LIMIT', 'STOP_LOSS', 'TAKE_PROFIT')),
    CONSTRAINT approvals_want_something CHECK (quantity > 0),
    CONSTRAINT approvals_limit_has_a_price CHECK (order_type <> 'LIMIT' OR limit_price > 0),
    CONSTRAINT approvals_are_valid_for_a_while CHECK (valid_until >= approved_at)
);
ALTER TABLE approvals ADD COLUMN IF NOT EXISTS terms jsonb NOT NULL DEFAULT '{}';
CREATE INDEX IF NOT EXISTS approvals_in_flight ON approvals (strategy_id, instrument_id, valid_until);
CREATE INDEX IF NOT EXISTS approvals_by_signal ON approvals (signal_id);
CREATE INDEX IF NOT EXISTS approvals_newest ON approvals (approved_at DESC);
COMMENT ON TABLE approvals IS 'risk_manager: the only passes to a venue; each holds a reservation';

DO $$
DECLARE
    v_table text;
BEGIN
    FOREACH v_table IN ARRAY ARRAY['verdicts', 'verdict_checks', 'approvals'] LOOP
        EXECUTE format('DROP TRIGGER IF EXISTS %I ON %I', v_table || '_are_final', v_table);
        EXECUTE format('CREATE TRIGGER %I BEFORE UPDATE OR DELETE OR TRUNCATE ON %I '
                       'FOR EACH STATEMENT EXECUTE FUNCTION refuse_change()', v_table || '_are_final', v_table);
    END LOOP;
END $$;

-- What of this strategy and instrument may still trade: '' for nothing, else words for people. An approval without its
-- order counts until it expires; an order counts until it is final, UNKNOWN included.
CREATE OR REPLACE FUNCTION in_flight(p_account uuid, p_strategy uuid, p_instrument int, p_at timestamptz)
RETURNS text LANGUAGE plpgsql STABLE AS $$
BEGIN
    RETURN coalesce(
        (SELECT 'order ' || o.id || ' is ' || o.status FROM orders o
          WHERE o.account_id = p_account AND o.strategy_id = p_strategy AND o.instrument_id = p_instrument
            AND o.status NOT IN ('FILLED', 'CANCELED', 'EXPIRED', 'REJECTED', 'NOT_FOUND') LIMIT 1),
        (SELECT 'approval ' || a.id || ' waits for its order' FROM approvals a
          WHERE a.strategy_id = p_strategy AND a.instrument_id = p_instrument AND a.account_id = p_account
            AND a.valid_until >= p_at AND NOT EXISTS (SELECT 1 FROM orders o WHERE o.approval_id = a.id) LIMIT 1),
        '');
END $$;

-- First call of every judgement: holds trading states still and lets one judgement per account through at a time, so that
-- what is read afterwards stays true until it is decided on. Returns the trading mode.
CREATE OR REPLACE FUNCTION begin_judging(p_account uuid, p_strategy uuid, p_instrument int) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    v_mode text := trading_mode(p_account, p_strategy, p_instrument);
BEGIN
    PERFORM pg_advisory_xact_lock(hashtextextended('judging:' || p_account, 0));
    RETURN v_mode;
END $$;

-- Writes a verdict with its checks and, for an approval, the reservation and the pass; all of it or nothing. p_approval is
-- NULL for every other verdict. Strategy, account and instrument are those of the signal. Returns 'committed', or what
-- stands against it: 'unknown_signal', 'already_judged', 'halted' (exits pass), 'limits_changed', 'in_flight',
-- 'insufficient'.
CREATE OR REPLACE FUNCTION commit_verdict(
    p_verdict_id uuid, p_signal_id uuid, p_disposition text, p_requested numeric, p_approved numeric, p_reason text,
    p_equity numeric, p_decided_at timestamptz, p_checks jsonb, p_approval jsonb, p_limits_version bigint DEFAULT NULL,
    p_inputs jsonb DEFAULT NULL
) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    v_signal signals;
    v_reservation uuid := (p_approval ->> 'reservation_id')::uuid;
    v_reduces boolean := (p_approval ->> 'reduces')::boolean;
    v_mode text;
BEGIN
    SELECT * INTO v_signal FROM signals WHERE id = p_signal_id;
    IF NOT FOUND THEN
        RETURN 'unknown_signal';
    END IF;
    IF (p_disposition IN ('approved', 'reduced')) <> (p_approval IS NOT NULL) THEN
        RAISE EXCEPTION 'signal %: a verdict % and % approval do not go together', p_signal_id, p_disposition,
            CASE WHEN p_approval IS NULL THEN 'no' ELSE 'an' END USING ERRCODE = 'check_violation';
    END IF;
    v_mode := begin_judging(v_signal.account_id, v_signal.strategy_id, v_signal.instrument_id);
    IF EXISTS (SELECT 1 FROM verdicts WHERE signal_id = p_signal_id) THEN
        RETURN 'already_judged';
    END IF;
    IF p_approval IS NOT NULL THEN
        IF v_mode <> 'running' AND NOT v_reduces THEN
            RETURN 'halted';
        END IF;
        IF p_limits_version <> limits_version() THEN
            RETURN 'limits_changed';
        END IF;
        IF in_flight(v_signal.account_id, v_signal.strategy_id, v_signal.instrument_id, p_decided_at) <> '' THEN
            RETURN 'in_flight';
        END IF;
        IF NOT reserve_balance(v_reservation, v_signal.account_id, p_approval ->> 'reserve_asset',
                               (p_approval ->> 'reserve_amount')::numeric, p_decided_at) THEN
            RETURN 'insufficient';
        END IF;
    END IF;
    INSERT INTO verdicts (id, signal_id, disposition, requested_quantity, approved_quantity, reason, equity, limits_version,
                          decided_at)
    VALUES (p_verdict_id, p_signal_id, p_disposition, p_requested, p_approved, p_reason, p_equity, p_limits_version,
            p_decided_at);
    INSERT INTO verdict_checks (verdict_id, position, name, value, "limit", unit, passed, detail, reduced_to)
    SELECT p_verdict_id, c.position, c.name, c.value, c."limit", c.unit, c.passed, c.detail, c.reduced_to
      FROM ROWS FROM (jsonb_to_recordset(p_checks) AS (
               name text, value float8, "limit" float8, unit text, passed boolean, detail text, reduced_to numeric))
           WITH ORDINALITY AS c (name, value, "limit", unit, passed, detail, reduced_to, position);
    IF p_inputs IS NOT NULL THEN
        INSERT INTO verdict_inputs (verdict_id, inputs) VALUES (p_verdict_id, p_inputs);
    END IF;
    IF p_approval IS NOT NULL THEN
        INSERT INTO approvals (id, verdict_id, signal_id, strategy_id, account_id, instrument_id, side, order_type, quantity,
                               limit_price, stop_price, reduces, reservation_id, approved_at, valid_until, terms)
        VALUES ((p_approval ->> 'id')::uuid, p_verdict_id, p_signal_id, v_signal.strategy_id, v_signal.account_id,
                v_signal.instrument_id, p_approval ->> 'side', p_approval ->> 'order_type', p_approved,
                (p_approval ->> 'limit_price')::numeric, (p_approval ->> 'stop_price')::numeric, v_reduces, v_reservation, p_decided_at,
                (p_approval ->> 'valid_until')::timestamptz, coalesce(p_approval -> 'terms', '{}'));
        IF NOT v_reduces THEN
            PERFORM count_approval(v_signal.account_id, p_decided_at);
        END IF;
    END IF;
    RETURN 'committed';
END $$;

-- The book: what the risk manager believes is held, and what follows from it.
CREATE TABLE IF NOT EXISTS risk_positions (
    id                  text PRIMARY KEY,
    strategy_id         uuid REFERENCES strategies (id) ON DELETE RESTRICT,
    account_id          uuid REFERENCES accounts (id) ON DELETE RESTRICT,
    instrument_id       int REFERENCES instruments (id) ON DELETE RESTRICT,
    symbol              text NOT NULL,
    side                text NOT NULL,
    quantity            quantity NOT NULL,
    entry_price         price NOT NULL,
    current_price       price,
    unrealized_pnl      amount NOT NULL DEFAULT 0,
    realized_pnl        amount NOT NULL DEFAULT 0,
    stop_loss_price     price,
    take_profit_price   price,
    status              text NOT NULL DEFAULT 'open',
    position_value_usd  amount NOT NULL DEFAULT 0,
    risk_score          finite NOT NULL DEFAULT 0,
    metadata            jsonb NOT NULL DEFAULT '{}',
    created_at          timestamptz NOT NULL DEFAULT now(),
    updated_at          timestamptz NOT NULL DEFAULT now(),
    closed_at           timestamptz,
    CONSTRAINT risk_positions_side_is_known CHECK (side IN ('long', 'short')),
    CONSTRAINT risk_positions_status_is_known CHECK (status IN ('open', 'closed')),
    CONSTRAINT risk_positions_of_fills_name_account_and_instrument CHECK (num_nulls(account_id, instrument_id) IN (0, 2))
) WITH (fillfactor = 70);
CREATE UNIQUE INDEX IF NOT EXISTS risk_positions_one_open ON risk_positions (instrument_id, account_id, strategy_id)
    NULLS NOT DISTINCT WHERE status = 'open' AND instrument_id IS NOT NULL;
CREATE INDEX IF NOT EXISTS risk_positions_by_strategy ON risk_positions (strategy_id, status);
CREATE INDEX IF NOT EXISTS risk_positions_open ON risk_positions (symbol) WHERE status = 'open';
CREATE INDEX IF NOT EXISTS risk_positions_newest ON risk_positions (created_at DESC);
COMMENT ON TABLE risk_positions IS 'risk_manager: positions as risk sees them, moved by fills and by the older system''s callers';

CREATE TABLE IF NOT EXISTS stop_losses (
    id                  text PRIMARY KEY,
    position_id         text REFERENCES risk_positions (id) ON DELETE RESTRICT,
    strategy_id         uuid REFERENCES strategies (id) ON DELETE RESTRICT,
    symbol              text NOT NULL,
    side                text NOT NULL DEFAULT 'long',
    stop_type           text NOT NULL,
    status              text NOT NULL DEFAULT 'active',
    entry_price         price NOT NULL,
    current_price       price NOT NULL,
    stop_price          price NOT NULL,
    initial_stop_price  price NOT NULL,
    quantity            quantity NOT NULL,
    highest_price       price,
    lowest_price        price,
    trigger_count       int NOT NULL DEFAULT 0,
    config              jsonb NOT NULL DEFAULT '{}',
    profit_loss         amount NOT NULL DEFAULT 0,
    metadata            jsonb NOT NULL DEFAULT '{}',
    created_at          timestamptz NOT NULL DEFAULT now(),
    updated_at          timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT stop_losses_side_is_known CHECK (side IN ('long', 'short')),
    CONSTRAINT stop_losses_type_is_known CHECK (stop_type IN (
        'fixed', 'trailing', 'volatility_based', 'atr_based', 'support_resistance')),
    CONSTRAINT stop_losses_status_is_known CHECK (status IN ('active', 'triggered', 'cancelled', 'modified', 'expired')),
    CONSTRAINT stop_losses_triggers_are_counted CHECK (trigger_count >= 0)
);
CREATE INDEX IF NOT EXISTS stop_losses_by_symbol ON stop_losses (symbol, status);
CREATE INDEX IF NOT EXISTS stop_losses_active ON stop_losses (position_id) WHERE status = 'active';
COMMENT ON TABLE stop_losses IS 'risk_manager: the stop of each position; position_id is NULL for imported orphans';

CREATE TABLE IF NOT EXISTS risk_metrics (
    id         uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    account_id uuid REFERENCES accounts (id) ON DELETE RESTRICT,
    date       date NOT NULL,
    timestamp  timestamptz NOT NULL DEFAULT now(),
    metrics    jsonb NOT NULL DEFAULT '{}',
    CONSTRAINT risk_metrics_once_a_day UNIQUE NULLS NOT DISTINCT (date, account_id)
);
CREATE INDEX IF NOT EXISTS risk_metrics_newest ON risk_metrics (timestamp DESC);
COMMENT ON TABLE risk_metrics IS 'risk_manager: the last portfolio metrics of each UTC day, of an account or (NULL) as the older system counts';

CREATE TABLE IF NOT EXISTS risk_alerts (
    id               text PRIMARY KEY,
    timestamp        timestamptz NOT NULL DEFAULT now(),
    alert_type       text NOT NULL,
    severity         text NOT NULL,
    title            text,
    message          text NOT NULL,
    strategy_id      uuid REFERENCES strategies (id) ON DELETE RESTRICT,
    symbol           text,
    current_value    finite,
    threshold_value  finite,
    recommendation   text,
    metadata         jsonb NOT NULL DEFAULT '{}',
    status           text NOT NULL DEFAULT 'open',
    resolved_at      timestamptz,
    updated_at       timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT risk_alerts_severity_is_known CHECK (severity IN ('low', 'medium', 'high', 'critical')),
    CONSTRAINT risk_alerts_status_is_known CHECK (status IN ('open', 'acknowledged', 'resolved')),
    CONSTRAINT risk_alerts_resolved_say_when CHECK ((status = 'resolved') = (resolved_at IS NOT NULL))
);
CREATE INDEX IF NOT EXISTS risk_alerts_by_status ON risk_alerts (status, severity);
CREATE INDEX IF NOT EXISTS risk_alerts_newest ON risk_alerts (timestamp DESC);
COMMENT ON TABLE risk_alerts IS 'risk_manager: breached limits until they are resolved; timestamp is when the alert was raised';

CREATE TABLE IF NOT EXISTS portfolio_snapshots (
    id         text PRIMARY KEY,
    timestamp  timestamptz NOT NULL DEFAULT now(),
    snapshot   jsonb NOT NULL DEFAULT '{}'
);
CREATE INDEX IF NOT EXISTS portfolio_snapshots_newest ON portfolio_snapshots (timestamp DESC);
COMMENT ON TABLE portfolio_snapshots IS 'risk_manager: values, positions and exposures at one moment';

CREATE TABLE IF NOT EXISTS correlation_matrices (
    id            uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    account_id    uuid REFERENCES accounts (id) ON DELETE RESTRICT,
    date          date NOT NULL,
    timestamp     timestamptz NOT NULL DEFAULT now(),
    correlations  jsonb NOT NULL DEFAULT '{}',
    CONSTRAINT correlation_matrices_once_a_day UNIQUE NULLS NOT DISTINCT (date, account_id)
);
COMMENT ON TABLE correlation_matrices IS 'risk_manager: correlation of each pair of symbols an account holds, one matrix per UTC day';

CREATE TABLE IF NOT EXISTS var_calculations (
    id         uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    account_id uuid REFERENCES accounts (id) ON DELETE RESTRICT,
    date       date NOT NULL,
    timestamp  timestamptz NOT NULL DEFAULT now(),
    "values"   jsonb NOT NULL DEFAULT '{}',
    method     text NOT NULL DEFAULT 'historical_simulation',
    CONSTRAINT var_calculations_once_a_day_and_method UNIQUE NULLS NOT DISTINCT (date, account_id, method)
);
CREATE INDEX IF NOT EXISTS var_calculations_newest ON var_calculations (timestamp DESC);
COMMENT ON TABLE var_calculations IS 'risk_manager: value at risk and expected shortfall per account, UTC day and method';

CREATE TABLE IF NOT EXISTS drawdown_tracking (
    date                    date PRIMARY KEY,
    peak_value              amount NOT NULL,
    current_value           amount NOT NULL,
    current_drawdown        finite NOT NULL DEFAULT 0,
    max_drawdown            finite NOT NULL DEFAULT 0,
    drawdown_duration_days  int NOT NULL DEFAULT 0,
    created_at              timestamptz NOT NULL DEFAULT now(),
    updated_at              timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT drawdown_tracking_drawdown_is_a_fraction CHECK (current_drawdown >= 0 AND max_drawdown <= 1),
    CONSTRAINT drawdown_tracking_worst_is_at_least_current CHECK (max_drawdown >= current_drawdown)
) WITH (fillfactor = 50);
COMMENT ON TABLE drawdown_tracking IS 'risk_manager: high-water mark and drawdown of all accounts together, per UTC day; fractions';

CREATE TABLE IF NOT EXISTS risk_adjustment_history (
    id           uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    timestamp    timestamptz NOT NULL DEFAULT now(),
    adjustments  jsonb NOT NULL DEFAULT '{}'
);
CREATE INDEX IF NOT EXISTS risk_adjustment_history_newest ON risk_adjustment_history (timestamp DESC);
COMMENT ON TABLE risk_adjustment_history IS 'risk_manager: stops tightened, positions reduced or closed, warnings issued';

CREATE TABLE IF NOT EXISTS risk_configuration_changes (
    id          uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    changes     jsonb NOT NULL DEFAULT '{}',
    created_at  timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX IF NOT EXISTS risk_configuration_changes_newest ON risk_configuration_changes (created_at DESC);
COMMENT ON TABLE risk_configuration_changes IS 'risk_manager: every change of limits and settings';

CREATE TABLE IF NOT EXISTS symbol_volatility_cache (
    symbol        text NOT NULL,
    period_days   int NOT NULL DEFAULT 20,
    volatility    finite NOT NULL,
    refreshed_at  timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (symbol, period_days),
    CONSTRAINT symbol_volatility_cache_is_not_negative CHECK (volatility >= 0 AND period_days > 0)
);
COMMENT ON TABLE symbol_volatility_cache IS 'risk_manager: daily volatility per symbol as a fraction; stale after 24 hours';

CREATE TABLE IF NOT EXISTS symbol_liquidity_cache (
    symbol           text PRIMARY KEY,
    liquidity_score  quantity NOT NULL,
    refreshed_at     timestamptz NOT NULL DEFAULT now()
);
COMMENT ON TABLE symbol_liquidity_cache IS 'risk_manager: what was traded in 24 hours, USD; the name score is the older system''s';

CREATE TABLE IF NOT EXISTS account_marks (
    account_id         uuid PRIMARY KEY REFERENCES accounts (id) ON DELETE RESTRICT,
    equity             amount NOT NULL,
    high_water_mark    amount NOT NULL,
    high_water_at      timestamptz NOT NULL,
    day                date NOT NULL,
    day_start_equity   amount NOT NULL,
    week_start_equity  amount NOT NULL,
    marked_at          timestamptz NOT NULL,
    CONSTRAINT account_marks_high_water_is_highest CHECK (high_water_mark >= equity)
) WITH (fillfactor = 50);
ALTER TABLE account_marks ADD COLUMN IF NOT EXISTS max_drawdown finite NOT NULL DEFAULT 0;
COMMENT ON COLUMN account_marks.max_drawdown IS 'the deepest ever, as a fraction of the high-water mark of then';
COMMENT ON TABLE account_marks IS 'risk_manager: equity of each account at the last closed candles, its highest ever, and that at the start of the UTC day and week';

-- What an account holds, reserved amounts included, in its quote asset at the last closes known at p_at: the value that moves
-- with the market, and what of it the account owns (equity), which of contracts is what they have gained or lost. The value is
-- NULL for an asset without a market or a recent price. Contracts go by their base asset, shorts below 0; without a recent
-- price they stand at their cost.
-- squawk-ignore ban-drop-function -- what follows stands in its place
DROP FUNCTION IF EXISTS account_holdings(uuid, timestamptz);
CREATE OR REPLACE FUNCTION holdings_at(p_account uuid, p_at timestamptz)
RETURNS TABLE (asset text, instrument_id int, quantity numeric, value numeric, equity numeric) LANGUAGE plpgsql STABLE AS $$
#variable_conflict use_column
BEGIN
    RETURN QUERY
    SELECT h.asset, h.instrument_id, h.quantity, v.value, v.value - h.cost
      FROM accounts a
     CROSS JOIN LATERAL (
           SELECT b.asset, i.id AS instrument_id, b.free_balance + b.locked_balance AS quantity, 0 AS cost, NULL::numeric AS stands_at
             FROM portfolio_balances b
             LEFT JOIN instruments i ON i.venue = a.venue AND i.symbol = b.asset || '/' || a.quote_asset
            WHERE b.account_id = a.id AND b.free_balance + b.locked_balance <> 0
            UNION ALL
           SELECT i.base, c.instrument_id, c.quantity, c.cost, c.cost
             FROM contract_positions c JOIN instruments i ON i.id = c.instrument_id
            WHERE c.account_id = a.id AND c.quantity <> 0) h
      -- What last_candle says of the present, without a call for each asset; only the past is asked of it.
      LEFT JOIN LATERAL (SELECT s.last_close, s.last_close_time FROM series s
                          WHERE s.instrument_id = h.instrument_id ORDER BY s.last_close_time DESC, s.interval_s LIMIT 1) n ON true
     CROSS JOIN LATERAL (
           SELECT coalesce(h.quantity *
                  CASE WHEN h.asset = a.quote_asset THEN 1
                       WHEN n.last_close_time > p_at THEN (SELECT c.close::numeric FROM last_candle(h.instrument_id, p_at) c)
                       WHEN n.last_close_time >= p_at - interval '7 days' THEN n.last_close::numeric END, h.stands_at) AS value) v
     WHERE a.id = p_account;
END $$;

-- What an account is worth. An asset whose value nobody knows counts as nothing: too little is the safe side.
CREATE OR REPLACE FUNCTION account_equity(p_account uuid, p_at timestamptz) RETURNS numeric LANGUAGE plpgsql STABLE AS $$
BEGIN
    RETURN (SELECT round(coalesce(sum(h.equity), 0), 10) FROM holdings_at(p_account, p_at) h);
END $$;

-- Values the deposits and adjustments of an account that no mark has seen yet, and returns their sum.
CREATE OR REPLACE FUNCTION mark_flows(p_account uuid, p_at timestamptz) RETURNS numeric LANGUAGE plpgsql AS $$
DECLARE
    v_sum numeric;
BEGIN
    WITH fresh AS (
        INSERT INTO account_flows (entry_id, account_id, value, marked_at)
        SELECT e.id, p_account, round(coalesce(sum(l.amount * CASE WHEN l.asset = a.quote_asset THEN 1
                                                                   ELSE c.close::numeric END), 0), 10), p_at
          FROM ledger_entries e
          JOIN accounts a ON a.id = e.account_id
          JOIN ledger_lines l ON l.entry_id = e.id AND l.account IN ('asset:spot', 'asset:margin')
          LEFT JOIN instruments i ON i.venue = a.venue AND i.symbol = l.asset || '/' || a.quote_asset
          LEFT JOIN LATERAL last_candle(i.id, p_at) c ON true
         WHERE e.account_id = p_account AND e.kind <> 'fill' AND e.kind <> 'funding'
           AND NOT EXISTS (SELECT 1 FROM account_flows f WHERE f.entry_id = e.id)
         GROUP BY e.id
        RETURNING value)
    SELECT coalesce(sum(value), 0) INTO v_sum FROM fresh;
    RETURN v_sum;
END $$;

-- Moves the high-water mark and drawdown of p_at's UTC day to a value. The mark is carried over from earlier days.
CREATE OR REPLACE FUNCTION track_drawdown(p_value numeric, p_at timestamptz) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    v_day date := (p_at AT TIME ZONE 'UTC')::date;
    v_last drawdown_tracking;
    v_peak numeric;
    v_drawdown float8;
BEGIN
    SELECT * INTO v_last FROM drawdown_tracking WHERE date <= v_day ORDER BY date DESC LIMIT 1;
    v_peak := greatest(v_last.peak_value, p_value);
    v_drawdown := CASE WHEN v_peak > 0 THEN least(1, (v_peak - p_value) / v_peak) ELSE 0 END;
    INSERT INTO drawdown_tracking AS d (
        date, peak_value, current_value, current_drawdown, max_drawdown, drawdown_duration_days, created_at, updated_at)
    VALUES (v_day, v_peak, p_value, v_drawdown, v_drawdown,
            CASE WHEN v_last.date IS NULL OR p_value >= v_peak THEN 0
                 ELSE v_last.drawdown_duration_days + (v_day - v_last.date) END, p_at, p_at)
    ON CONFLICT (date) DO UPDATE SET
        peak_value = greatest(d.peak_value, EXCLUDED.peak_value), current_value = EXCLUDED.current_value,
        current_drawdown = EXCLUDED.current_drawdown, max_drawdown = greatest(d.max_drawdown, EXCLUDED.current_drawdown),
        drawdown_duration_days = EXCLUDED.drawdown_duration_days, updated_at = EXCLUDED.updated_at;
END $$;

-- Marks the book of one venue at the candles closed at p_at: positions, equity and high-water mark of its accounts, and the
-- drawdown of all. Called once a minute. An account is marked from the day it first owns something. A moment older than
-- the last mark changes no account.
CREATE OR REPLACE FUNCTION mark_book(p_venues text[], p_at timestamptz) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    v_day date := (p_at AT TIME ZONE 'UTC')::date;
    v_account record;
    v_unit numeric;
    v_found boolean;
BEGIN
    PERFORM pg_advisory_xact_lock(hashtextextended('mark_book', 0));  -- who comes second finds it done
    UPDATE risk_positions p
       SET current_price = l.price, position_value_usd = round(p.quantity * l.price, 18), updated_at = p_at,
           unrealized_pnl = round((l.price - p.entry_price) * p.quantity, 18) * CASE p.side WHEN 'long' THEN 1 ELSE -1 END
      FROM (SELECT q.id, round(c.close::numeric, 18) AS price
              FROM risk_positions q
              JOIN instruments i ON i.id = q.instrument_id AND i.venue = ANY(p_venues)
             CROSS JOIN LATERAL last_candle(i.id, p_at) c
             WHERE q.status = 'open' AND q.instrument_id IS NOT NULL AND q.updated_at <= p_at) l
     WHERE p.id = l.id AND p.status = 'open';
    -- Money that came or went since the last mark moves what gains and losses are measured from by the same factor as the
    -- account (the unit price stays): a deposit is no profit and a withdrawal no loss.
    INSERT INTO account_marks AS m (
        account_id, equity, high_water_mark, high_water_at, day, day_start_equity, week_start_equity, marked_at)
    SELECT a.id, e.equity, e.equity, p_at, v_day, e.equity, e.equity, p_at
      FROM accounts a CROSS JOIN LATERAL account_equity(a.id, p_at) AS e (equity)
     WHERE a.venue = ANY(p_venues) AND e.equity > 0 AND NOT EXISTS (SELECT 1 FROM account_marks k WHERE k.account_id = a.id);
    v_found := FOUND;
    FOR v_account IN
        SELECT m.account_id, account_equity(m.account_id, p_at) AS equity, mark_flows(m.account_id, p_at) AS flow
          FROM account_marks m JOIN accounts a ON a.id = m.account_id AND a.venue = ANY(p_venues)
         WHERE m.marked_at <= p_at ORDER BY m.account_id
    LOOP
        v_unit := CASE WHEN v_account.flow = 0 THEN 1
                       WHEN v_account.equity - v_account.flow > 0 AND v_account.equity > 0
                       THEN v_account.equity / (v_account.equity - v_account.flow) END;
        UPDATE account_marks m SET
            equity = v_account.equity,
            high_water_mark = greatest(round(m.high_water_mark * v_unit, 10), v_account.equity),
            max_drawdown = greatest(m.max_drawdown, 1 - v_account.equity / nullif(round(m.high_water_mark * v_unit, 10), 0)),
            high_water_at = CASE WHEN v_account.equity > round(m.high_water_mark * v_unit, 10) OR v_unit IS NULL THEN p_at
                                 ELSE m.high_water_at END,
            day = v_day,
            -- A new day starts from the last value of the one before. Without a unit the account was or is empty: anew.
            day_start_equity = coalesce(round(
                CASE WHEN m.day = v_day THEN m.day_start_equity ELSE m.equity END * v_unit, 10), v_account.equity),
            week_start_equity = coalesce(round(
                CASE WHEN date_trunc('week', m.day) = date_trunc('week', v_day) THEN m.week_start_equity ELSE m.equity END
                * v_unit, 10), v_account.equity),
            marked_at = p_at
         WHERE m.account_id = v_account.account_id AND m.marked_at <= p_at;
        v_found := true;
    END LOOP;
    IF v_found THEN
        PERFORM track_drawdown((SELECT sum(equity) FROM account_marks), p_at);
    END IF;
END $$;
