-- Strategies: what runs, the signals it raised with their evidence, and how it was tested, reviewed and chosen.
-- Owner of every table here: strategy_service. A strategy is never deleted: deleting it archives it.

CREATE TABLE IF NOT EXISTS strategies (
    id                uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    legacy_id         text,
    name              text NOT NULL,
    type              text NOT NULL,
    template          text,
    timeframe_s       int NOT NULL DEFAULT 900,
    parameters        jsonb NOT NULL DEFAULT '{}',
    configuration     jsonb NOT NULL DEFAULT '{}',
    metadata          jsonb NOT NULL DEFAULT '{}',
    is_active         boolean NOT NULL DEFAULT true,
    status            text NOT NULL DEFAULT 'active',
    enabled           boolean NOT NULL DEFAULT true,
    allocation        finite NOT NULL DEFAULT 1,
    activation_state  text NOT NULL DEFAULT 'paper',
    created_at        timestamptz NOT NULL DEFAULT now(),
    updated_at        timestamptz NOT NULL DEFAULT now(),
    activated_at      timestamptz,
    deactivated_at    timestamptz,
    replaced_at       timestamptz,
    replaced_by       uuid REFERENCES strategies (id) ON DELETE SET NULL,
    replaces          uuid REFERENCES strategies (id) ON DELETE SET NULL,
    CONSTRAINT strategies_legacy_id_is_unique UNIQUE (legacy_id),
    CONSTRAINT strategies_active_follows_status CHECK (is_active = (status = 'active')),
    CONSTRAINT strategies_allocation_is_not_negative CHECK (allocation >= 0),
    CONSTRAINT strategies_timeframe_divides_a_day
        CHECK (timeframe_s BETWEEN 60 AND 86400 AND timeframe_s % 60 = 0 AND 86400 % timeframe_s = 0),
    CONSTRAINT strategies_activation_state_is_known CHECK (activation_state IN ('paper', 'testnet', 'live')),
    CONSTRAINT strategies_status_is_known CHECK (status IN (
        'pending_backtest', 'testing', 'paper_trading', 'active', 'inactive', 'paused', 'replaced', 'archived', 'failed'))
);
CREATE INDEX IF NOT EXISTS strategies_by_type ON strategies (type, status);
CREATE INDEX IF NOT EXISTS strategies_newest ON strategies (created_at DESC);
CREATE INDEX IF NOT EXISTS strategies_active ON strategies (id) WHERE is_active;
COMMENT ON TABLE strategies IS 'strategy_service: a template with parameters; status is its life cycle, enabled the operator''s kill switch';
COMMENT ON COLUMN strategies.template IS 'name of the template that computes the positions; NULL: the legacy type has none, so it never signals';

CREATE TABLE IF NOT EXISTS strategy_symbols (
    id           uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    strategy_id  uuid NOT NULL REFERENCES strategies (id) ON DELETE CASCADE,
    symbol       text NOT NULL,
    weight       finite NOT NULL DEFAULT 1,
    metadata     jsonb NOT NULL DEFAULT '{}',
    CONSTRAINT strategy_symbols_once_per_strategy UNIQUE (strategy_id, symbol),
    CONSTRAINT strategy_symbols_are_upper_case CHECK (symbol = upper(symbol))
);
CREATE INDEX IF NOT EXISTS strategy_symbols_by_symbol ON strategy_symbols (symbol);
COMMENT ON TABLE strategy_symbols IS 'strategy_service: what a strategy trades; the instrument is that symbol on its account''s venue';

CREATE TABLE IF NOT EXISTS strategy_environment_configs (
    strategy_id        uuid PRIMARY KEY REFERENCES strategies (id) ON DELETE CASCADE,
    account_id         uuid REFERENCES accounts (id) ON DELETE RESTRICT,
    environment        text NOT NULL,
    max_position_size  quantity,
    max_daily_trades   int,
    risk_multiplier    finite NOT NULL DEFAULT 1,
    enabled            boolean NOT NULL DEFAULT true,
    metadata           jsonb NOT NULL DEFAULT '{}',
    created_at         timestamptz NOT NULL DEFAULT now(),
    updated_at         timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT strategy_environment_configs_environment_is_known
        CHECK (environment IN ('paper', 'testnet', 'production')),
    CONSTRAINT strategy_environment_configs_trades_are_not_negative CHECK (max_daily_trades >= 0),
    CONSTRAINT strategy_environment_configs_multiplier_is_not_negative CHECK (risk_multiplier >= 0)
);
CREATE INDEX IF NOT EXISTS strategy_environment_configs_by_account ON strategy_environment_configs (account_id);
COMMENT ON TABLE strategy_environment_configs IS 'strategy_service: the account a strategy trades on and its limits there; written by configure_strategy';

CREATE TABLE IF NOT EXISTS signals (
    id             uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    strategy_id    uuid NOT NULL REFERENCES strategies (id) ON DELETE RESTRICT,
    account_id     uuid REFERENCES accounts (id) ON DELETE RESTRICT,
    instrument_id  int REFERENCES instruments (id) ON DELETE RESTRICT,
    symbol         text NOT NULL,
    signal_type    text NOT NULL,
    timeframe_s    int,
    bar_close      timestamptz,
    confidence     finite NOT NULL,
    price          price NOT NULL,
    quantity       quantity,
    evidence       jsonb NOT NULL DEFAULT '{}',
    metadata       jsonb NOT NULL DEFAULT '{}',
    timestamp      timestamptz NOT NULL,
    valid_until    timestamptz,
    created_at     timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT signals_once_per_bar UNIQUE (strategy_id, instrument_id, timeframe_s, bar_close, signal_type),
    CONSTRAINT signals_type_is_known CHECK (signal_type IN ('BUY', 'SELL', 'HOLD')),
    CONSTRAINT signals_confidence_is_a_percentage CHECK (confidence BETWEEN 0 AND 100),
    CONSTRAINT signals_raised_on_a_bar_are_complete
        CHECK (bar_close IS NULL OR num_nulls(account_id, instrument_id, timeframe_s, valid_until) = 0)
);
ALTER TABLE signals ADD COLUMN IF NOT EXISTS limit_price price, ADD COLUMN IF NOT EXISTS terms jsonb NOT NULL DEFAULT '{}';
ALTER TABLE signals ADD COLUMN IF NOT EXISTS turns boolean NOT NULL DEFAULT false;
COMMENT ON COLUMN signals.turns IS 'of a swap: a position of the other side is to be given up and one of this side opened, in one order';
CREATE INDEX IF NOT EXISTS signals_by_strategy ON signals (strategy_id, timestamp DESC);
CREATE INDEX IF NOT EXISTS signals_by_symbol ON signals (symbol, timestamp DESC);
CREATE INDEX IF NOT EXISTS signals_newest ON signals (timestamp DESC);
COMMENT ON TABLE signals IS 'strategy_service: wishes to trade with the bar and indicator values they were raised on';
COMMENT ON COLUMN signals.timestamp IS 'when the signal was raised';
COMMENT ON COLUMN signals.bar_close IS 'close of the bar it was raised on; NULL: recorded through the legacy door, never sent to the risk manager';

-- A wish to give a position up that is not the strategy's own: the risk manager's, with its reason as evidence. False where
-- the bar has one already.
-- squawk-ignore ban-drop-function -- what follows stands in its place
DROP FUNCTION IF EXISTS raise_exit_signal(uuid, uuid, uuid, int, int, timestamptz, numeric, jsonb, timestamptz, timestamptz);
CREATE OR REPLACE FUNCTION raise_exit_signal(
    p_id uuid, p_strategy uuid, p_account uuid, p_instrument int, p_timeframe_s int, p_bar_close timestamptz, p_price numeric,
    p_evidence jsonb, p_raised_at timestamptz, p_valid_until timestamptz, p_type text, p_terms jsonb
) RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO signals (id, strategy_id, account_id, instrument_id, symbol, signal_type, timeframe_s, bar_close, confidence,
                         price, evidence, timestamp, valid_until, terms)
    SELECT p_id, p_strategy, p_account, i.id, i.symbol, p_type, p_timeframe_s, p_bar_close, 100, p_price, p_evidence,
           p_raised_at, p_valid_until, p_terms
      FROM instruments i WHERE i.id = p_instrument
    ON CONFLICT (strategy_id, instrument_id, timeframe_s, bar_close, signal_type) DO NOTHING;
    RETURN FOUND;
END $$;

-- The strategy of orders that somebody wants by hand: it decides nothing by itself, and its positions are its own.
CREATE OR REPLACE FUNCTION manual_strategy(p_at timestamptz) RETURNS uuid LANGUAGE plpgsql AS $$
DECLARE
    v_id uuid;
BEGIN
    PERFORM pg_advisory_xact_lock(hashtextextended('manual strategy', 0));
    SELECT id INTO v_id FROM strategies WHERE type = 'manual' ORDER BY created_at LIMIT 1;
    IF NOT FOUND THEN
        INSERT INTO strategies (name, type, is_active, status, created_at, updated_at)
        VALUES ('manual', 'manual', false, 'inactive', p_at, p_at) RETURNING id INTO v_id;
    END IF;
    RETURN v_id;
END $$;

-- A wish somebody has by hand. Two in one moment are two: the later one is a microsecond younger.
CREATE OR REPLACE FUNCTION raise_signal_by_hand(
    p_id uuid, p_strategy uuid, p_account uuid, p_instrument int, p_type text, p_quantity numeric, p_price numeric,
    p_limit_price numeric, p_terms jsonb, p_evidence jsonb, p_at timestamptz, p_valid_until timestamptz
) RETURNS timestamptz LANGUAGE plpgsql AS $$
DECLARE
    v_close timestamptz;
BEGIN
    PERFORM pg_advisory_xact_lock(hashtextextended('by hand:' || p_strategy || ':' || p_instrument, 0));
    SELECT greatest(p_at, max(s.bar_close) + interval '1 microsecond') INTO v_close
      FROM signals s
     WHERE s.strategy_id = p_strategy AND s.instrument_id = p_instrument AND s.timeframe_s = 60 AND s.signal_type = p_type
       AND s.bar_close >= p_at AND s.bar_close < p_at + interval '1 second';
    INSERT INTO signals (id, strategy_id, account_id, instrument_id, symbol, signal_type, timeframe_s, bar_close, confidence,
                         price, quantity, limit_price, terms, evidence, timestamp, valid_until)
    SELECT p_id, p_strategy, p_account, i.id, i.symbol, p_type, 60, v_close, 100, p_price, p_quantity, p_limit_price, p_terms,
           p_evidence, p_at, p_valid_until
      FROM instruments i WHERE i.id = p_instrument;
    RETURN v_close;
END $$;

CREATE TABLE IF NOT EXISTS strategy_performance (
    id               uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    strategy_id      uuid NOT NULL REFERENCES strategies (id) ON DELETE CASCADE,
    symbol           text NOT NULL,
    signals_count    int NOT NULL,
    execution_time   finite NOT NULL,
    error            text,
    signals_summary  jsonb NOT NULL DEFAULT '[]',
    timestamp        timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX IF NOT EXISTS strategy_performance_by_strategy ON strategy_performance (strategy_id, timestamp DESC);
COMMENT ON TABLE strategy_performance IS 'strategy_service: one row per evaluation: seconds, signals, error';

CREATE TABLE IF NOT EXISTS backtest_results (
    id               uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    strategy_id      uuid NOT NULL REFERENCES strategies (id) ON DELETE CASCADE,
    backtest_id      text,
    metrics          jsonb NOT NULL DEFAULT '{}',
    parameters       jsonb NOT NULL DEFAULT '{}',
    passed_criteria  boolean,
    period_start     timestamptz,
    period_end       timestamptz,
    created_at       timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT backtest_results_once_per_run UNIQUE (strategy_id, backtest_id),
    CONSTRAINT backtest_results_period_runs_forward CHECK (period_end >= period_start)
);
CREATE INDEX IF NOT EXISTS backtest_results_by_strategy ON backtest_results (strategy_id, created_at DESC);
CREATE INDEX IF NOT EXISTS backtest_results_newest ON backtest_results (created_at DESC);
COMMENT ON TABLE backtest_results IS 'strategy_service: every trial, so that later statistics know how many were tried';

CREATE TABLE IF NOT EXISTS learning_insights (
    id                uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    timestamp         timestamptz NOT NULL DEFAULT now(),
    generation        int,
    insights          jsonb NOT NULL DEFAULT '{}',
    generation_stats  jsonb NOT NULL DEFAULT '{}'
);
CREATE INDEX IF NOT EXISTS learning_insights_newest ON learning_insights (timestamp DESC);
COMMENT ON TABLE learning_insights IS 'strategy_service: what earlier generations taught the next one';

CREATE TABLE IF NOT EXISTS crypto_selections (
    id                   uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    legacy_id            text,
    selection_date       date NOT NULL,
    selection_timestamp  timestamptz NOT NULL DEFAULT now(),
    selected_cryptos     jsonb NOT NULL DEFAULT '[]',
    total_selected       int NOT NULL,
    total_analyzed       int,
    selection_criteria   jsonb NOT NULL DEFAULT '{}',
    market_conditions    jsonb NOT NULL DEFAULT '{}',
    CONSTRAINT crypto_selections_once_a_day UNIQUE (selection_date)
);
CREATE INDEX IF NOT EXISTS crypto_selections_newest ON crypto_selections (selection_timestamp DESC);
COMMENT ON TABLE crypto_selections IS 'strategy_service: the coins chosen each UTC day, with the criteria used';

CREATE TABLE IF NOT EXISTS strategy_reviews (
    id                 uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    legacy_id          text,
    strategy_id        uuid NOT NULL REFERENCES strategies (id) ON DELETE CASCADE,
    reviewer           text DEFAULT 'daily_reviewer',
    performance_grade  text,
    decision           text,
    confidence_score   finite,
    scores             jsonb NOT NULL DEFAULT '{}',
    summary            text,
    recommendations    jsonb NOT NULL DEFAULT '[]',
    review_payload     jsonb NOT NULL DEFAULT '{}',
    review_date        timestamptz NOT NULL DEFAULT now(),
    created_at         timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT strategy_reviews_legacy_id_is_unique UNIQUE (legacy_id)
);
CREATE INDEX IF NOT EXISTS strategy_reviews_newest ON strategy_reviews (review_date DESC);
CREATE INDEX IF NOT EXISTS strategy_reviews_by_strategy ON strategy_reviews (strategy_id, review_date DESC);
COMMENT ON TABLE strategy_reviews IS 'strategy_service: grade and decision of each review, with its whole payload';

CREATE TABLE IF NOT EXISTS daily_review_summaries (
    id                           uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    review_date                  date NOT NULL,
    grade_distribution           jsonb NOT NULL DEFAULT '{}',
    decision_distribution        jsonb NOT NULL DEFAULT '{}',
    total_strategies_reviewed    int NOT NULL DEFAULT 0,
    avg_confidence               finite,
    top_performers               jsonb NOT NULL DEFAULT '[]',
    strategies_needing_attention jsonb NOT NULL DEFAULT '[]',
    market_regime                jsonb NOT NULL DEFAULT '{}',
    created_at                   timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT daily_review_summaries_once_a_day UNIQUE (review_date)
);
COMMENT ON TABLE daily_review_summaries IS 'strategy_service: one summary of all reviews per UTC day';

CREATE TABLE IF NOT EXISTS strategy_activation_log (
    id                      uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    legacy_id               text,
    timestamp               timestamptz NOT NULL DEFAULT now(),
    activated_strategies    jsonb NOT NULL DEFAULT '[]',
    deactivated_strategies  jsonb NOT NULL DEFAULT '[]',
    max_active_strategies   int NOT NULL,
    activation_reason       text,
    metadata                jsonb NOT NULL DEFAULT '{}',
    CONSTRAINT strategy_activation_log_legacy_id_is_unique UNIQUE (legacy_id)
);
CREATE INDEX IF NOT EXISTS strategy_activation_log_newest ON strategy_activation_log (timestamp DESC);
COMMENT ON TABLE strategy_activation_log IS 'strategy_service: which strategies were switched on and off, when and why';

CREATE TABLE IF NOT EXISTS notifications (
    id                 uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    legacy_id          text,
    notification_type  text NOT NULL,
    payload            jsonb NOT NULL DEFAULT '{}',
    created_at         timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT notifications_legacy_id_is_unique UNIQUE (legacy_id)
);
CREATE INDEX IF NOT EXISTS notifications_newest ON notifications (created_at DESC);
CREATE INDEX IF NOT EXISTS notifications_by_type ON notifications (notification_type, created_at DESC);
COMMENT ON TABLE notifications IS 'strategy_service: what people were told, as it was sent';

-- Sets where and within which limits a strategy trades. Without an account the one already bound stays; if none is,
-- the only account of that environment is taken: older callers know no accounts.
CREATE OR REPLACE FUNCTION configure_strategy(
    p_strategy_id uuid, p_environment text, p_account_id uuid, p_max_position_size numeric, p_max_daily_trades int,
    p_risk_multiplier double precision, p_enabled boolean, p_metadata jsonb, p_at timestamptz
) RETURNS strategy_environment_configs LANGUAGE plpgsql AS $$
DECLARE
    v_account uuid := p_account_id;
    v_row strategy_environment_configs;
BEGIN
    IF v_account IS NULL THEN
        SELECT account_id INTO v_account FROM strategy_environment_configs
         WHERE strategy_id = p_strategy_id AND environment = p_environment;
    END IF;
    IF v_account IS NULL THEN
        SELECT CASE WHEN count(*) = 1 THEN (array_agg(id))[1] END INTO v_account
          FROM accounts WHERE environment = p_environment;
    END IF;
    INSERT INTO strategy_environment_configs AS c (
        strategy_id, account_id, environment, max_position_size, max_daily_trades, risk_multiplier, enabled, metadata,
        created_at, updated_at)
    VALUES (p_strategy_id, v_account, p_environment, p_max_position_size, p_max_daily_trades, p_risk_multiplier,
            p_enabled, p_metadata, p_at, p_at)
    ON CONFLICT (strategy_id) DO UPDATE SET
        account_id = EXCLUDED.account_id, environment = EXCLUDED.environment,
        max_position_size = EXCLUDED.max_position_size, max_daily_trades = EXCLUDED.max_daily_trades,
        risk_multiplier = EXCLUDED.risk_multiplier, enabled = EXCLUDED.enabled, metadata = EXCLUDED.metadata,
        updated_at = EXCLUDED.updated_at
    RETURNING c.* INTO v_row;
    RETURN v_row;
END $$;
