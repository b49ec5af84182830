-- The paper venue: a world of its own, with its own truth. No table here refers to ours and none of ours refers here,
-- so that it can disagree with us as a real exchange does. Only exchanges/paper.py reads and writes it.

CREATE SCHEMA IF NOT EXISTS paper_venue;

CREATE TABLE IF NOT EXISTS paper_venue.balances (
    account  text NOT NULL,
    asset    text NOT NULL,
    amount   numeric NOT NULL DEFAULT 0,
    PRIMARY KEY (account, asset)
);
COMMENT ON TABLE paper_venue.balances IS 'exchanges: what each paper account owns, by the venue''s own books';

CREATE TABLE IF NOT EXISTS paper_venue.deposits (
    account  text NOT NULL,
    key      text NOT NULL,
    asset    text NOT NULL,
    amount   numeric NOT NULL CHECK (amount > 0),
    PRIMARY KEY (account, key)
);
COMMENT ON TABLE paper_venue.deposits IS 'exchanges: paper money brought in, once per key';

-- Client ids are not unique here: like real venues, this one would accept the same id twice. That nobody sends it twice is
-- our duty, and counting rows per id is how it is tested.
CREATE TABLE IF NOT EXISTS paper_venue.orders (
    id               bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    account          text NOT NULL,
    client_order_id  text NOT NULL,
    symbol           text NOT NULL,
    side             text NOT NULL CHECK (side IN ('BUY', 'SELL')),
    type             text NOT NULL CHECK (type IN ('MARKET', 'LIMIT')),
    quantity         numeric NOT NULL CHECK (quantity > 0),
    limit_price      numeric,
    filled_quantity  numeric NOT NULL DEFAULT 0,
    status           text NOT NULL DEFAULT 'OPEN',
    reason           text NOT NULL DEFAULT '',
    accepted_at      timestamptz NOT NULL
);
ALTER TABLE paper_venue.orders
    ADD COLUMN IF NOT EXISTS time_in_force text NOT NULL DEFAULT 'GTC',
    ADD COLUMN IF NOT EXISTS expires_at timestamptz,
    ADD COLUMN IF NOT EXISTS post_only boolean NOT NULL DEFAULT false,
    ADD COLUMN IF NOT EXISTS has_rested boolean NOT NULL DEFAULT false;
COMMENT ON TABLE paper_venue.orders IS 'exchanges: orders the venue accepted';
CREATE INDEX IF NOT EXISTS paper_orders_by_client_id ON paper_venue.orders (account, client_order_id);
CREATE INDEX IF NOT EXISTS paper_orders_resting ON paper_venue.orders (account, id) WHERE status = 'OPEN';

CREATE TABLE IF NOT EXISTS paper_venue.fills (
    id                bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    account           text NOT NULL,
    order_id          bigint NOT NULL REFERENCES paper_venue.orders (id),
    client_order_id   text NOT NULL,
    quantity          numeric NOT NULL CHECK (quantity > 0),
    price             numeric NOT NULL CHECK (price > 0),
    commission        numeric NOT NULL,
    commission_asset  text NOT NULL,
    is_maker          boolean NOT NULL,
    traded_at         timestamptz NOT NULL
);
COMMENT ON TABLE paper_venue.fills IS 'exchanges: executions, in the order they happened';
CREATE INDEX IF NOT EXISTS paper_fills_by_account ON paper_venue.fills (account, id);

-- A number that is none is above every number in PostgreSQL: it would pass for any amount of money.
DO $$
DECLARE
    v_rule record;
BEGIN
    FOR v_rule IN SELECT * FROM (VALUES
        ('balances', 'abs(amount) < 1e24'),
        ('deposits', 'amount < 1e24'),
        ('orders', 'quantity < 1e24 AND abs(limit_price) < 1e24 AND abs(filled_quantity) < 1e24'),
        ('fills', 'quantity < 1e24 AND price < 1e24 AND abs(commission) < 1e24')) AS r (name, rule) LOOP
        IF NOT EXISTS (SELECT FROM pg_constraint WHERE conrelid = ('paper_venue.' || v_rule.name)::regclass
                          AND conname = v_rule.name || '_numbers_are_finite') THEN
            EXECUTE format('ALTER TABLE paper_venue.%I ADD CONSTRAINT %I CHECK (%s)', v_rule.name,
                           v_rule.name || '_numbers_are_finite', v_rule.rule);
        END IF;
    END LOOP;
END $$;

-- Brings money into a paper account; the same key twice is one deposit.
CREATE OR REPLACE FUNCTION paper_venue.deposit(p_account text, p_key text, p_asset text, p_amount numeric)
RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO paper_venue.deposits (account, key, asset, amount) VALUES (p_account, p_key, p_asset, p_amount)
    ON CONFLICT DO NOTHING;
    IF NOT FOUND THEN
        RETURN false;
    END IF;
    INSERT INTO paper_venue.balances AS b (account, asset, amount) VALUES (p_account, p_asset, p_amount)
    ON CONFLICT (account, asset) DO UPDATE SET amount = b.amount + EXCLUDED.amount;
    RETURN true;
END $$;

-- Fills a resting order whole, or rejects it when the account cannot pay. Returns what became of it; NULL when it no
-- longer rests. p_spend is what leaves the account in the asset it pays with, p_receive what arrives, fee deducted.
CREATE OR REPLACE FUNCTION paper_venue.fill(
    p_order_id bigint, p_price numeric, p_commission numeric, p_is_maker boolean, p_at timestamptz,
    p_pay_asset text, p_spend numeric, p_get_asset text, p_receive numeric, p_commission_asset text
) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    v_order paper_venue.orders;
BEGIN
    SELECT * INTO v_order FROM paper_venue.orders WHERE id = p_order_id AND status = 'OPEN' FOR UPDATE;
    IF NOT FOUND THEN
        RETURN NULL;
    END IF;
    UPDATE paper_venue.balances SET amount = amount - p_spend
     WHERE account = v_order.account AND asset = p_pay_asset AND amount >= p_spend;
    IF NOT FOUND THEN
        UPDATE paper_venue.orders SET status = 'REJECTED', reason = 'insufficient balance: needs ' || p_spend || ' ' || p_pay_asset
         WHERE id = p_order_id;
        RETURN 'REJECTED';
    END IF;
    INSERT INTO paper_venue.balances AS b (account, asset, amount) VALUES (v_order.account, p_get_asset, p_receive)
    ON CONFLICT (account, asset) DO UPDATE SET amount = b.amount + EXCLUDED.amount;
    INSERT INTO paper_venue.fills (account, order_id, client_order_id, quantity, price, commission, commission_asset, is_maker, traded_at)
    VALUES (v_order.account, v_order.id, v_order.client_order_id, v_order.quantity, p_price, p_commission, p_commission_asset,
            p_is_maker, p_at);
    UPDATE paper_venue.orders SET status = 'FILLED', filled_quantity = quantity WHERE id = p_order_id;
    RETURN 'FILLED';
END $$;
