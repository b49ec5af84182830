-- Arbitrage: price differences found, attempts to take them, and the quotes of decentralised venues and gas.
-- Owner of every table here: arbitrage_service.

CREATE TABLE IF NOT EXISTS arbitrage_opportunities (
    id                    uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    pair                  text NOT NULL,
    buy_venue             text NOT NULL,
    sell_venue            text NOT NULL,
    buy_venue_data        jsonb NOT NULL DEFAULT '{}',
    sell_venue_data       jsonb NOT NULL DEFAULT '{}',
    buy_price             price NOT NULL,
    sell_price            price NOT NULL,
    profit_percent        finite NOT NULL,
    estimated_profit_usd  amount NOT NULL,
    trade_amount          quantity NOT NULL,
    gas_cost              quantity NOT NULL DEFAULT 0,
    fees                  quantity NOT NULL DEFAULT 0,
    arbitrage_type        text NOT NULL,
    executed              boolean NOT NULL DEFAULT false,
    execution_id          uuid,
    metadata              jsonb NOT NULL DEFAULT '{}',
    timestamp             timestamptz NOT NULL DEFAULT now(),
    last_seen_at          timestamptz NOT NULL DEFAULT now(),
    times_seen            int NOT NULL DEFAULT 1,
    CONSTRAINT arbitrage_opportunities_profit_is_not_negative CHECK (profit_percent >= 0),
    CONSTRAINT arbitrage_opportunities_amount_is_positive CHECK (trade_amount > 0),
    CONSTRAINT arbitrage_opportunities_are_seen_forward CHECK (last_seen_at >= timestamp AND times_seen >= 1)
);
CREATE INDEX IF NOT EXISTS arbitrage_opportunities_best ON arbitrage_opportunities (executed, profit_percent DESC);
CREATE INDEX IF NOT EXISTS arbitrage_opportunities_by_pair ON arbitrage_opportunities (pair, timestamp DESC);
CREATE INDEX IF NOT EXISTS arbitrage_opportunities_by_type ON arbitrage_opportunities (arbitrage_type, timestamp DESC);
CREATE INDEX IF NOT EXISTS arbitrage_opportunities_by_venues
    ON arbitrage_opportunities (pair, buy_venue, sell_venue, last_seen_at DESC);
COMMENT ON TABLE arbitrage_opportunities IS 'arbitrage_service: buy here, sell there, with what would be left after every counted cost';
COMMENT ON COLUMN arbitrage_opportunities.profit_percent IS 'gross difference of the prices in percent of the buy price';
COMMENT ON COLUMN arbitrage_opportunities.execution_id IS 'the execution that took it; logical reference only, the two tables name each other';

CREATE TABLE IF NOT EXISTS arbitrage_executions (
    id                 uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    opportunity_id     uuid REFERENCES arbitrage_opportunities (id) ON DELETE RESTRICT,
    execution_type     text NOT NULL,
    start_time         timestamptz NOT NULL DEFAULT now(),
    end_time           timestamptz,
    status             text NOT NULL DEFAULT 'pending',
    transactions       jsonb NOT NULL DEFAULT '[]',
    actual_profit_usd  amount,
    gas_used           quantity,
    error_message      text,
    metadata           jsonb NOT NULL DEFAULT '{}',
    CONSTRAINT arbitrage_executions_status_is_known CHECK (status IN ('pending', 'success', 'failed', 'partial'))
);
CREATE INDEX IF NOT EXISTS arbitrage_executions_by_status ON arbitrage_executions (status, start_time DESC);
CREATE INDEX IF NOT EXISTS arbitrage_executions_by_opportunity ON arbitrage_executions (opportunity_id);
CREATE INDEX IF NOT EXISTS arbitrage_executions_newest ON arbitrage_executions (start_time DESC);
COMMENT ON TABLE arbitrage_executions IS 'arbitrage_service: attempts to take an opportunity and what came of them';

CREATE TABLE IF NOT EXISTS dex_prices (
    id         uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    pair       text NOT NULL,
    dex        text NOT NULL,
    chain      text NOT NULL,
    price      price NOT NULL,
    volume     quantity,
    liquidity  quantity,
    reserve0   quantity,
    reserve1   quantity,
    metadata   jsonb NOT NULL DEFAULT '{}',
    timestamp  timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT dex_prices_price_is_positive CHECK (price > 0)
);
CREATE INDEX IF NOT EXISTS dex_prices_by_pair ON dex_prices (pair, timestamp DESC);
CREATE INDEX IF NOT EXISTS dex_prices_by_dex ON dex_prices (dex, pair, timestamp DESC);
CREATE INDEX IF NOT EXISTS dex_prices_latest ON dex_prices (pair, chain, dex, timestamp DESC);
COMMENT ON TABLE dex_prices IS 'arbitrage_service: prices and reserves of decentralised venues as they were read';

CREATE TABLE IF NOT EXISTS flash_loan_opportunities (
    id                uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    protocol          text NOT NULL,
    token             text NOT NULL,
    amount            quantity,
    fee_percent       finite,
    arbitrage_path    jsonb NOT NULL DEFAULT '[]',
    gas_estimate      quantity,
    estimated_profit  amount NOT NULL,
    capital_required  quantity NOT NULL,
    metadata          jsonb NOT NULL DEFAULT '{}',
    timestamp         timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX IF NOT EXISTS flash_loan_opportunities_by_protocol ON flash_loan_opportunities (protocol, timestamp DESC);
COMMENT ON TABLE flash_loan_opportunities IS 'arbitrage_service: paths that would pay back a borrowed amount with profit';

CREATE TABLE IF NOT EXISTS triangular_arbitrage (
    id                    uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    exchange              text NOT NULL,
    chain                 text,
    route                 jsonb NOT NULL DEFAULT '{}',
    base_amount           quantity,
    profit_percent        finite NOT NULL,
    estimated_profit_usd  amount,
    executed              boolean NOT NULL DEFAULT false,
    metadata              jsonb NOT NULL DEFAULT '{}',
    timestamp             timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX IF NOT EXISTS triangular_arbitrage_by_exchange ON triangular_arbitrage (exchange, timestamp DESC);
COMMENT ON TABLE triangular_arbitrage IS 'arbitrage_service: cycles of three trades on one venue; chain is NULL for centralised ones';

CREATE TABLE IF NOT EXISTS gas_prices (
    id             uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    chain          text NOT NULL,
    safe_gwei      finite,
    standard_gwei  finite NOT NULL,
    fast_gwei      finite,
    instant_gwei   finite,
    metadata       jsonb NOT NULL DEFAULT '{}',
    timestamp      timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT gas_prices_are_not_negative CHECK (
        standard_gwei >= 0 AND coalesce(safe_gwei, 0) >= 0 AND coalesce(fast_gwei, 0) >= 0 AND coalesce(instant_gwei, 0) >= 0)
);
CREATE INDEX IF NOT EXISTS gas_prices_latest ON gas_prices (chain, timestamp DESC);
COMMENT ON TABLE gas_prices IS 'arbitrage_service: what a unit of gas cost on a chain, by urgency';
