-- The paper venue: a world of its own, with its own truth. No table here refers to ours and none of ours refers here,
-- so that it can disagree with us as a real exchange does. Only exchanges/paper.py and paper_swaps.py read and write it.

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
    ADD COLUMN IF NOT EXISTS has_rested boolean NOT NULL DEFAULT false,
    ADD COLUMN IF NOT EXISTS reduce_only boolean NOT NULL DEFAULT false;
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
ALTER TABLE paper_venue.fills
    ADD COLUMN IF NOT EXISTS realized_pnl numeric CONSTRAINT fills_profit_is_finite CHECK (abs(realized_pnl) < 1e24);
COMMENT ON COLUMN paper_venue.fills.realized_pnl IS 'of a swap: what the wallet got or lost by the part that closed, fee aside';
COMMENT ON TABLE paper_venue.fills IS 'exchanges: executions, in the order they happened';
CREATE INDEX IF NOT EXISTS paper_fills_by_account ON paper_venue.fills (account, id);

CREATE TABLE IF NOT EXISTS paper_venue.positions (
    account     text NOT NULL,
    symbol      text NOT NULL,
    quantity    numeric NOT NULL,
    cost        numeric NOT NULL CHECK (cost >= 0),
    mark        numeric NOT NULL CHECK (mark > 0),
    changed_at  timestamptz NOT NULL,
    settled_to  timestamptz NOT NULL,
    PRIMARY KEY (account, symbol),
    CHECK ((quantity = 0) = (cost = 0))
);
COMMENT ON TABLE paper_venue.positions IS
    'exchanges: swaps each paper account holds, shorts below 0; cost is at average prices without fees, settled_to the last settlement dealt with';

CREATE TABLE IF NOT EXISTS paper_venue.funding (
    id          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    account     text NOT NULL,
    symbol      text NOT NULL,
    asset       text NOT NULL,
    quantity    numeric NOT NULL,
    price       numeric NOT NULL,
    rate        numeric NOT NULL,
    amount      numeric NOT NULL,
    settled_at  timestamptz NOT NULL,
    UNIQUE (account, symbol, settled_at)
);
COMMENT ON TABLE paper_venue.funding IS 'exchanges: what positions of swaps paid (below 0) and received at settlements';
CREATE INDEX IF NOT EXISTS paper_funding_by_account ON paper_venue.funding (account, id);

-- A number that is none is above every number in PostgreSQL: it would pass for any amount of money.
DO $$
DECLARE
    v_rule record;
BEGIN
    FOR v_rule IN SELECT * FROM (VALUES
        ('balances', 'abs(amount) < 1e24'),
        ('deposits', 'amount < 1e24'),
        ('positions', 'abs(quantity) < 1e24 AND cost < 1e24 AND mark < 1e24'),
        ('funding', 'abs(quantity) < 1e24 AND abs(price) < 1e24 AND abs(rate) < 1 AND abs(amount) < 1e24'),
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

-- Before anything is compared with them: what is no number is above every number, and NULL is none that was given.
CREATE OR REPLACE FUNCTION paper_venue.require_numbers(VARIADIC p_numbers numeric[]) RETURNS void LANGUAGE plpgsql IMMUTABLE AS $$
DECLARE
    v_number numeric;
BEGIN
    FOREACH v_number IN ARRAY p_numbers LOOP
        IF NOT abs(v_number) < 1e24 THEN
            RAISE EXCEPTION '% is no number the paper venue can use: it must be finite and below 1e24', v_number
                USING ERRCODE = 'check_violation';
        END IF;
    END LOOP;
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
    PERFORM paper_venue.require_numbers(p_price, p_commission, p_spend, p_receive);
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

-- The wallet of a swap account, locked: whoever moves its positions goes one after the other.
CREATE OR REPLACE FUNCTION paper_venue.lock_wallet(p_account text, p_asset text) RETURNS numeric LANGUAGE plpgsql AS $$
DECLARE
    v_amount numeric;
BEGIN
    INSERT INTO paper_venue.balances (account, asset) VALUES (p_account, p_asset) ON CONFLICT DO NOTHING;
    SELECT amount INTO STRICT v_amount FROM paper_venue.balances WHERE account = p_account AND asset = p_asset FOR UPDATE;
    RETURN v_amount;
END $$;

-- Fills a resting order of a swap whole, or what of it reduces where it may do nothing else, and moves the position; what opens
-- needs its margin, at the prices in p_marks where there are some of this moment. A wallet that is overdrawn when nothing is
-- held any more is made good by the venue, as by its insurance: the profit told for the fill is by that much better. Returns
-- what became of the order; NULL when it no longer rests.
CREATE OR REPLACE FUNCTION paper_venue.fill_swap(
    p_order_id bigint, p_price numeric, p_fee_rate numeric, p_is_maker boolean, p_at timestamptz, p_asset text, p_leverage numeric,
    p_most_notional numeric, p_symbols text[], p_marks numeric[]
) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    v_order paper_venue.orders;
    v_held paper_venue.positions;
    v_wallet numeric;
    v_side int;
    v_before numeric;
    v_closing numeric;
    v_quantity numeric;
    v_after numeric;
    v_commission numeric;
    v_closed_cost numeric;
    v_realized numeric;
    v_free numeric;
    v_needed numeric;
    v_refusal text;
BEGIN
    PERFORM paper_venue.require_numbers(VARIADIC ARRAY[p_price, p_fee_rate, p_leverage, p_most_notional] || p_marks);
    SELECT * INTO v_order FROM paper_venue.orders WHERE id = p_order_id AND status = 'OPEN' FOR UPDATE;
    IF NOT FOUND THEN
        RETURN NULL;
    END IF;
    v_wallet := paper_venue.lock_wallet(v_order.account, p_asset);
    SELECT * INTO v_held FROM paper_venue.positions WHERE account = v_order.account AND symbol = v_order.symbol;
    v_side := CASE v_order.side WHEN 'BUY' THEN 1 ELSE -1 END;
    v_before := coalesce(v_held.quantity, 0);
    v_closing := CASE WHEN sign(v_before) = -v_side THEN least(abs(v_before), v_order.quantity) ELSE 0 END;
    v_quantity := CASE WHEN v_order.reduce_only THEN v_closing ELSE v_order.quantity END;
    v_after := v_before + v_side * v_quantity;
    v_commission := ceil(v_quantity * p_price * p_fee_rate * 1e8) / 1e8;
    v_closed_cost := CASE WHEN v_closing = abs(v_before) THEN coalesce(v_held.cost, 0)
                          ELSE round(v_held.cost * v_closing / abs(v_before), 8) END;
    v_realized := sign(v_before) * (v_closing * p_price - v_closed_cost);
    IF v_quantity = 0 THEN
        v_refusal := 'reduce-only: no position that it would reduce is held';
    ELSIF v_quantity > v_closing THEN
        SELECT v_wallet + coalesce(sum(p.quantity * m.price - sign(p.quantity) * p.cost - abs(p.quantity) * m.price / p_leverage), 0)
               + v_before * p_price - sign(v_before) * coalesce(v_held.cost, 0) INTO v_free
          FROM paper_venue.positions p
          LEFT JOIN unnest(p_symbols, p_marks) AS u (symbol, price) ON u.symbol = p.symbol
          CROSS JOIN LATERAL (SELECT coalesce(u.price, p.mark) AS price) m
         WHERE p.account = v_order.account AND p.symbol <> v_order.symbol;
        v_needed := abs(v_after) * p_price / p_leverage + v_commission;
        IF v_needed > v_free THEN
            v_refusal := format('insufficient margin: needs %s %s at leverage %s, and %s are free', trim_scale(round(v_needed, 8)),
                                p_asset, trim_scale(p_leverage), trim_scale(round(v_free, 8)));
        ELSIF abs(v_after) * p_price > p_most_notional THEN
            v_refusal := format('position too large: %s %s, and at leverage %s the venue allows %s',
                                trim_scale(abs(v_after) * p_price), p_asset, trim_scale(p_leverage), trim_scale(p_most_notional));
        END IF;
    END IF;
    IF v_refusal IS NOT NULL THEN
        UPDATE paper_venue.orders SET status = 'REJECTED', reason = v_refusal WHERE id = p_order_id;
        RETURN 'REJECTED';
    END IF;

    UPDATE paper_venue.positions
       SET quantity = v_after, cost = cost - v_closed_cost + (v_quantity - v_closing) * p_price, mark = p_price, changed_at = p_at
     WHERE account = v_order.account AND symbol = v_order.symbol;
    IF NOT FOUND THEN
        INSERT INTO paper_venue.positions (account, symbol, quantity, cost, mark, changed_at, settled_to)
        VALUES (v_order.account, v_order.symbol, v_after, v_quantity * p_price, p_price, p_at, p_at);
    END IF;
    IF v_after = 0 AND v_wallet + v_realized - v_commission < 0
       AND NOT EXISTS (SELECT FROM paper_venue.positions WHERE account = v_order.account AND quantity <> 0) THEN
        v_realized := v_commission - v_wallet;
    END IF;
    UPDATE paper_venue.balances SET amount = amount + v_realized - v_commission WHERE account = v_order.account AND asset = p_asset;
    INSERT INTO paper_venue.fills (account, order_id, client_order_id, quantity, price, commission, commission_asset, is_maker,
                                   traded_at, realized_pnl)
    VALUES (v_order.account, v_order.id, v_order.client_order_id, v_quantity, p_price, v_commission, p_asset, p_is_maker, p_at,
            v_realized);
    UPDATE paper_venue.orders
       SET status = CASE WHEN v_quantity = quantity THEN 'FILLED' ELSE 'EXPIRED' END, filled_quantity = v_quantity,
           reason = CASE WHEN v_quantity = quantity THEN reason
                         ELSE format('reduce-only: %s were held, the rest of it ended', trim_scale(v_quantity)) END
     WHERE id = p_order_id;
    RETURN 'FILLED';
END $$;

-- The venue closes a position whole, by an order of its own that nobody sent; what rests of the account ends before that.
CREATE OR REPLACE FUNCTION paper_venue.liquidate(
    p_account text, p_symbol text, p_price numeric, p_fee_rate numeric, p_at timestamptz, p_asset text
) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    v_quantity numeric;
    v_order bigint;
BEGIN
    PERFORM paper_venue.require_numbers(p_price, p_fee_rate);
    PERFORM paper_venue.lock_wallet(p_account, p_asset);
    SELECT quantity INTO v_quantity FROM paper_venue.positions WHERE account = p_account AND symbol = p_symbol AND quantity <> 0;
    IF NOT FOUND THEN
        RETURN NULL;
    END IF;
    UPDATE paper_venue.orders SET status = 'EXPIRED', reason = 'the venue liquidates the account'
     WHERE account = p_account AND status = 'OPEN';
    INSERT INTO paper_venue.orders (account, client_order_id, symbol, side, type, quantity, accepted_at, reduce_only)
    VALUES (p_account, 'liquidation', p_symbol, CASE WHEN v_quantity > 0 THEN 'SELL' ELSE 'BUY' END, 'MARKET', abs(v_quantity),
            p_at, true)
    RETURNING id INTO v_order;
    UPDATE paper_venue.orders SET client_order_id = 'liquidation-' || id WHERE id = v_order;
    RETURN paper_venue.fill_swap(v_order, p_price, p_fee_rate, false, p_at, p_asset, 1, NULL, '{}', '{}');
END $$;

-- What a position pays and receives at settlements that it has not passed yet: by what was held just before each of them, at
-- the price of now. Returns how many moved money.
CREATE OR REPLACE FUNCTION paper_venue.settle(
    p_account text, p_symbol text, p_asset text, p_price numeric, p_times timestamptz[], p_rates numeric[]
) RETURNS int LANGUAGE plpgsql AS $$
DECLARE
    v_position paper_venue.positions;
    v_next record;
    v_quantity numeric;
    v_amount numeric;
    v_count int := 0;
BEGIN
    PERFORM paper_venue.require_numbers(VARIADIC p_price || p_rates);
    PERFORM paper_venue.lock_wallet(p_account, p_asset);
    SELECT * INTO STRICT v_position FROM paper_venue.positions WHERE account = p_account AND symbol = p_symbol;
    FOR v_next IN SELECT u.at, u.rate FROM unnest(p_times, p_rates) AS u (at, rate)
                   WHERE u.at > v_position.settled_to ORDER BY u.at LOOP
        SELECT coalesce(sum(CASE o.side WHEN 'BUY' THEN f.quantity ELSE -f.quantity END), 0) INTO v_quantity
          FROM paper_venue.fills f JOIN paper_venue.orders o ON o.id = f.order_id
         WHERE f.account = p_account AND o.symbol = p_symbol AND f.traded_at < v_next.at;
        v_amount := round(-v_quantity * p_price * v_next.rate, 8);
        IF v_amount <> 0 THEN
            INSERT INTO paper_venue.funding (account, symbol, asset, quantity, price, rate, amount, settled_at)
            VALUES (p_account, p_symbol, p_asset, v_quantity, p_price, v_next.rate, v_amount, v_next.at);
            UPDATE paper_venue.balances SET amount = amount + v_amount WHERE account = p_account AND asset = p_asset;
            v_count := v_count + 1;
        END IF;
        UPDATE paper_venue.positions SET settled_to = v_next.at WHERE account = p_account AND symbol = p_symbol;
    END LOOP;
    RETURN v_count;
END $$;
