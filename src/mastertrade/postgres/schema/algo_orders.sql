-- Orders that are kept here and become others when their time comes. Owner of every table here: strategy_service.

CREATE TABLE IF NOT EXISTS algo_orders (
    id             uuid PRIMARY KEY,
    kind           text NOT NULL,
    account_id     uuid NOT NULL REFERENCES accounts (id) ON DELETE RESTRICT,
    strategy_id    uuid NOT NULL REFERENCES strategies (id) ON DELETE RESTRICT,
    instrument_id  int NOT NULL REFERENCES instruments (id) ON DELETE RESTRICT,
    side           text NOT NULL,
    quantity       quantity,
    limit_price    price,
    terms          jsonb NOT NULL DEFAULT '{}',
    rules          jsonb NOT NULL DEFAULT '{}',
    progress       jsonb NOT NULL DEFAULT '{}',
    status         text NOT NULL DEFAULT 'working',
    outcome        text NOT NULL DEFAULT '',
    actor          text NOT NULL,
    reason         text NOT NULL DEFAULT '',
    began_at       timestamptz NOT NULL,
    ends_at        timestamptz,
    updated_at     timestamptz NOT NULL,
    ended_at       timestamptz,
    CONSTRAINT algo_orders_kind_is_known
        CHECK (kind IN ('trigger', 'bracket', 'twap', 'participation', 'iceberg', 'replace')),
    CONSTRAINT algo_orders_side_is_known CHECK (side IN ('BUY', 'SELL')),
    CONSTRAINT algo_orders_want_something CHECK (quantity > 0),
    CONSTRAINT algo_orders_slices_come_of_a_quantity CHECK (quantity IS NOT NULL OR kind IN ('trigger', 'bracket')),
    CONSTRAINT algo_orders_status_is_known
        CHECK (status IN ('working', 'ending', 'done', 'canceled', 'expired', 'failed')),
    CONSTRAINT algo_orders_end_once CHECK ((ended_at IS NULL) = (status IN ('working', 'ending')))
);
CREATE INDEX IF NOT EXISTS algo_orders_at_work ON algo_orders (instrument_id) WHERE ended_at IS NULL;
CREATE INDEX IF NOT EXISTS algo_orders_newest ON algo_orders (began_at DESC);
COMMENT ON TABLE algo_orders IS
    'strategy_service: triggers, brackets, slices, icebergs and replacements; each raises one order at a time';

CREATE TABLE IF NOT EXISTS algo_order_steps (
    algo_order_id  uuid NOT NULL REFERENCES algo_orders (id) ON DELETE RESTRICT,
    step           int NOT NULL,
    leg            text NOT NULL,
    signal_id      uuid REFERENCES signals (id) ON DELETE RESTRICT,
    order_id       uuid REFERENCES orders (id) ON DELETE RESTRICT,
    quantity       quantity,
    raised_at      timestamptz NOT NULL,
    PRIMARY KEY (algo_order_id, step),
    CONSTRAINT algo_order_steps_a_signal_is_of_one UNIQUE (signal_id),
    CONSTRAINT algo_order_steps_leg_is_known CHECK (leg IN ('entry', 'exit', 'slice', 'replaced')),
    CONSTRAINT algo_order_steps_point_at_one_thing CHECK (num_nonnulls(signal_id, order_id) = 1)
);
CREATE INDEX IF NOT EXISTS algo_order_steps_by_order ON algo_order_steps (order_id) WHERE order_id IS NOT NULL;
COMMENT ON TABLE algo_order_steps IS
    'strategy_service: the orders an algo order raised, each by its signal, and the order that one takes the place of';
