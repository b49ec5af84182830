-- Perpetual swaps that settle in their quote asset: contracts held, their margin, and funding. Owner: order_executor.
-- Contracts are counted in units of the base asset, shorts below 0; costs have the sign of their contracts.

CREATE TABLE IF NOT EXISTS contract_positions (
    account_id     uuid NOT NULL REFERENCES accounts (id) ON DELETE RESTRICT,
    instrument_id  int NOT NULL REFERENCES instruments (id) ON DELETE RESTRICT,
    quantity       amount NOT NULL DEFAULT 0,
    cost           amount NOT NULL DEFAULT 0,
    realized       amount NOT NULL DEFAULT 0,
    margin         quantity NOT NULL DEFAULT 0,
    updated_at     timestamptz NOT NULL,
    PRIMARY KEY (account_id, instrument_id),
    CONSTRAINT contract_positions_cost_goes_with_them CHECK (sign(cost) = sign(quantity))
) WITH (fillfactor = 50);
COMMENT ON TABLE contract_positions IS
    'order_executor: what an account holds of each swap at average cost without fees, as its venue counts; strategies hold parts of it';
COMMENT ON COLUMN contract_positions.margin IS 'locked for it in the wallet: its cost over the leverage of the account';

CREATE TABLE IF NOT EXISTS funding_payments (
    id               uuid PRIMARY KEY,
    account_id       uuid NOT NULL REFERENCES accounts (id) ON DELETE RESTRICT,
    instrument_id    int NOT NULL REFERENCES instruments (id) ON DELETE RESTRICT,
    payment_id       text NOT NULL,
    asset            text NOT NULL,
    amount           amount NOT NULL,
    paid_at          timestamptz NOT NULL,
    ledger_entry_id  bigint NOT NULL REFERENCES ledger_entries (id) ON DELETE RESTRICT,
    CONSTRAINT funding_payments_once UNIQUE (account_id, payment_id)
);
CREATE INDEX IF NOT EXISTS funding_payments_newest ON funding_payments (account_id, paid_at DESC);
COMMENT ON TABLE funding_payments IS 'order_executor: what positions of swaps paid (below 0) and received at settlements, as the venue told it';

CREATE TABLE IF NOT EXISTS strategy_funding (
    funding_id   uuid NOT NULL REFERENCES funding_payments (id) ON DELETE RESTRICT,
    position_id  uuid NOT NULL REFERENCES strategy_positions (id) ON DELETE RESTRICT,
    amount       amount NOT NULL,
    PRIMARY KEY (funding_id, position_id)
);
CREATE INDEX IF NOT EXISTS strategy_funding_by_position ON strategy_funding (position_id);
COMMENT ON TABLE strategy_funding IS 'order_executor: the part of a funding payment that was for the position of a strategy';

-- What a change of contracts does to a position at average cost: the part that goes against it closes it first, and realises
-- its profit less its part of the fee; the rest opens or enlarges at the price, its part of the fee in its cost.
CREATE OR REPLACE FUNCTION contracts_after_fill(
    p_held numeric, p_cost numeric, p_change numeric, p_price numeric, p_fee numeric,
    OUT held numeric, OUT cost numeric, OUT realized numeric, OUT closed_cost numeric
) LANGUAGE plpgsql IMMUTABLE AS $$
DECLARE
    v_closed numeric := CASE WHEN sign(p_held) = -sign(p_change) THEN least(abs(p_held), abs(p_change)) ELSE 0 END;
    v_fee numeric := CASE WHEN v_closed = abs(p_change) THEN p_fee ELSE round(p_fee * v_closed / abs(p_change), 18) END;
BEGIN
    closed_cost := CASE WHEN v_closed = abs(p_held) THEN p_cost ELSE round(p_cost * v_closed / abs(p_held), 18) END;
    held := p_held + p_change;
    cost := p_cost - closed_cost + sign(p_change) * round((abs(p_change) - v_closed) * p_price, 18) + p_fee - v_fee;
    realized := sign(p_held) * round(v_closed * p_price, 18) - closed_cost - v_fee;
END $$;

-- What an account must lock for contracts of this cost, in the units venues tell money in.
CREATE OR REPLACE FUNCTION margin_for(p_account_id uuid, p_cost numeric) RETURNS numeric LANGUAGE plpgsql STABLE AS $$
BEGIN
    RETURN round(abs(p_cost) / (SELECT a.leverage FROM accounts a WHERE a.id = p_account_id), 8);
END $$;

-- Moves money of a wallet between free and locked, and what came to it or left it.
CREATE OR REPLACE FUNCTION move_margin(p_account_id uuid, p_asset text, p_free numeric, p_locked numeric, p_at timestamptz)
RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    PERFORM move_free_balance(p_account_id, p_asset, p_free, p_at);
    UPDATE portfolio_balances SET locked_balance = locked_balance + p_locked
     WHERE account_id = p_account_id AND asset = p_asset AND p_locked <> 0;
END $$;

-- Books a fill of a swap into the ledger and the account's contracts; says what the wallet realised and what more it must lock.
-- One that takes the place of inferred fills, or is older than what is booked (is_late), realises nothing here: what a venue
-- realises follows from the order of its fills, and settle_contracts finds it from all of them.
CREATE OR REPLACE FUNCTION book_contracts(
    p_account_id uuid, p_instrument_id int, p_symbol text, p_quote text, p_fill_id uuid, p_change numeric, p_price numeric,
    p_commission numeric, p_commission_asset text, p_venue_pnl numeric, p_takes_a_place boolean, p_trade_time timestamptz,
    OUT entry bigint, OUT realized numeric, OUT margin numeric, OUT is_late boolean
) LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
    v_before contract_positions;
    v_after record;
    v_margin numeric;
BEGIN
    realized := 0; margin := 0;
    INSERT INTO contract_positions (account_id, instrument_id, updated_at) VALUES (p_account_id, p_instrument_id, p_trade_time)
    ON CONFLICT DO NOTHING;
    SELECT c.* INTO v_before FROM contract_positions c
     WHERE c.account_id = p_account_id AND c.instrument_id = p_instrument_id FOR UPDATE;
    is_late := p_takes_a_place OR v_before.updated_at > p_trade_time;
    IF NOT is_late THEN
        SELECT a.* INTO v_after FROM contracts_after_fill(v_before.quantity, v_before.cost, p_change, p_price, 0) a;
        realized := coalesce(p_venue_pnl, v_after.realized);
        v_margin := margin_for(p_account_id, v_after.cost);
        margin := v_margin - v_before.margin;
        UPDATE contract_positions AS c
           SET quantity = v_after.held, cost = v_after.cost, realized = c.realized + book_contracts.realized, margin = v_margin,
               updated_at = p_trade_time
         WHERE c.account_id = p_account_id AND c.instrument_id = p_instrument_id;
    END IF;
    entry := post_entry(p_account_id, 'fill', p_fill_id::text, p_trade_time,
        ARRAY['asset:contract', 'exchange:trade', 'asset:margin', 'income:realized', 'asset:margin', 'expense:fee'],
        ARRAY[p_symbol, p_symbol, p_quote, p_quote, p_commission_asset, p_commission_asset],
        ARRAY[p_change, -p_change, realized, -realized, -p_commission, p_commission]);
END $$;

-- What each fill made of an account's contracts, in the order they happened; what the venue said it realised stands before ours.
CREATE OR REPLACE FUNCTION replay_contracts(p_account_id uuid, p_instrument_id int)
RETURNS TABLE (trade_id uuid, held numeric, cost numeric, realized numeric) LANGUAGE plpgsql STABLE AS $$
DECLARE
    v_fill record;
BEGIN
    held := 0; cost := 0;
    FOR v_fill IN SELECT t.* FROM trades t WHERE t.account_id = p_account_id AND t.instrument_id = p_instrument_id
                   ORDER BY t.trade_time, coalesce(t.place, t.ledger_entry_id), t.ledger_entry_id LOOP
        trade_id := v_fill.id;
        SELECT a.held, a.cost, coalesce(v_fill.venue_pnl, a.realized) INTO held, cost, realized
          FROM contracts_after_fill(held, cost, CASE v_fill.side WHEN 'BUY' THEN v_fill.quantity ELSE -v_fill.quantity END,
                                    v_fill.price, 0) a;
        RETURN NEXT;
    END LOOP;
END $$;

-- Makes an account's contracts anew from all fills, after one in the midst of them has changed, and books what that makes of
-- its realised profit.
CREATE OR REPLACE FUNCTION settle_contracts(p_account_id uuid, p_instrument_id int, p_quote text, p_fill_id uuid, p_at timestamptz)
RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    v_before contract_positions;
    v_after record;
    v_held numeric := 0;
    v_cost numeric := 0;
    v_realized numeric := 0;
    v_margin numeric;
BEGIN
    SELECT * INTO STRICT v_before FROM contract_positions
     WHERE account_id = p_account_id AND instrument_id = p_instrument_id FOR UPDATE;
    FOR v_after IN SELECT * FROM replay_contracts(p_account_id, p_instrument_id) LOOP
        v_held := v_after.held; v_cost := v_after.cost; v_realized := v_realized + v_after.realized;
    END LOOP;
    v_margin := margin_for(p_account_id, v_cost);
    UPDATE contract_positions SET quantity = v_held, cost = v_cost, realized = v_realized, margin = v_margin,
           updated_at = (SELECT max(t.trade_time) FROM trades t
                          WHERE t.account_id = p_account_id AND t.instrument_id = p_instrument_id)
     WHERE account_id = p_account_id AND instrument_id = p_instrument_id;
    PERFORM post_entry(p_account_id, 'fill', p_fill_id::text || ':settled', p_at, ARRAY['asset:margin', 'income:realized'],
                       ARRAY[p_quote, p_quote], ARRAY[v_realized - v_before.realized, v_before.realized - v_realized]);
    PERFORM move_margin(p_account_id, p_quote, v_realized - v_before.realized - v_margin + v_before.margin,
                        v_margin - v_before.margin, p_at);
END $$;

-- Books what a venue paid or took at a settlement: once, into ledger, wallet and the positions that were held then (by fills told
-- so late that nobody is known to have held any, those of now), each its part. Says 'applied', 'duplicate', 'conflict' (the same payment with other numbers: nothing is booked) or 'unknown_market'.
CREATE OR REPLACE FUNCTION apply_funding(
    p_id uuid, p_account_id uuid, p_symbol text, p_payment_id text, p_asset text, p_amount numeric, p_paid_at timestamptz,
    p_at timestamptz
) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    v_instrument int;
    v_old funding_payments;
    v_entry bigint;
    v_share record;
    v_left numeric := p_amount;
BEGIN
    PERFORM 1 FROM accounts a WHERE a.id = p_account_id FOR NO KEY UPDATE;
    SELECT i.id INTO v_instrument FROM instruments i JOIN accounts a ON a.id = p_account_id AND a.venue = i.venue
     WHERE i.symbol = p_symbol AND i.kind = 'swap';
    IF v_instrument IS NULL THEN
        RETURN 'unknown_market';
    END IF;
    SELECT * INTO v_old FROM funding_payments WHERE account_id = p_account_id AND payment_id = p_payment_id;
    IF FOUND THEN
        RETURN CASE WHEN (v_old.instrument_id, v_old.asset, v_old.amount, v_old.paid_at) = (v_instrument, p_asset, p_amount, p_paid_at)
                    THEN 'duplicate' ELSE 'conflict' END;
    END IF;
    v_entry := post_entry(p_account_id, 'funding', p_account_id || ':' || p_payment_id, p_paid_at,
                          ARRAY['asset:margin', 'income:funding'], ARRAY[p_asset, p_asset], ARRAY[p_amount, -p_amount]);
    INSERT INTO funding_payments (id, account_id, instrument_id, payment_id, asset, amount, paid_at, ledger_entry_id)
    VALUES (p_id, p_account_id, v_instrument, p_payment_id, p_asset, p_amount, p_paid_at, v_entry);
    FOR v_share IN
        WITH held AS (
            SELECT o.strategy_id, abs(sum(CASE t.side WHEN 'BUY' THEN t.quantity ELSE -t.quantity END)) AS quantity
              FROM trades t JOIN orders o ON o.id = t.order_id
             WHERE t.account_id = p_account_id AND t.instrument_id = v_instrument AND t.trade_time < p_paid_at
               AND o.strategy_id IS NOT NULL
             GROUP BY o.strategy_id),
        positions AS (
            SELECT s.quantity, s.id FROM strategy_positions s
             WHERE s.account_id = p_account_id AND s.instrument_id = v_instrument AND s.status = 'open'
               AND NOT EXISTS (SELECT FROM held h WHERE h.quantity > 0)
             UNION ALL
            SELECT h.quantity, (SELECT s.id FROM strategy_positions s
                                 WHERE s.strategy_id = h.strategy_id AND s.account_id = p_account_id
                                   AND s.instrument_id = v_instrument AND s.opened_at < p_paid_at
                                 ORDER BY s.opened_at DESC, s.id LIMIT 1) AS id
              FROM held h WHERE h.quantity > 0)
        SELECT p.id, round(p_amount * p.quantity / sum(p.quantity) OVER (), 18) AS amount,
               row_number() OVER (ORDER BY p.quantity, p.id) = count(*) OVER () AS is_last
          FROM positions p WHERE p.id IS NOT NULL ORDER BY p.quantity, p.id
    LOOP
        v_share.amount := CASE WHEN v_share.is_last THEN v_left ELSE v_share.amount END;
        v_left := v_left - v_share.amount;
        INSERT INTO strategy_funding (funding_id, position_id, amount) VALUES (p_id, v_share.id, v_share.amount);
        UPDATE strategy_positions SET funding = funding + v_share.amount WHERE id = v_share.id;
    END LOOP;
    PERFORM move_free_balance(p_account_id, p_asset, p_amount, p_at);
    RETURN 'applied';
END $$;

-- Contracts computed anew from fills and from the ledger, beside what is stored; a row with a difference is a defect.
CREATE OR REPLACE FUNCTION rebuild_contracts()
RETURNS TABLE (account_id uuid, instrument_id int, stored numeric, rebuilt numeric, is_equal boolean) LANGUAGE plpgsql STABLE AS $$
#variable_conflict use_column
DECLARE
    v_row record;
    v_after record;
    v_held numeric;
    v_cost numeric;
    v_realized numeric;
    v_ledger numeric;
BEGIN
    FOR v_row IN SELECT c.*, i.symbol FROM contract_positions c JOIN instruments i ON i.id = c.instrument_id LOOP
        v_held := 0; v_cost := 0; v_realized := 0;
        FOR v_after IN SELECT r.* FROM replay_contracts(v_row.account_id, v_row.instrument_id) r LOOP
            v_held := v_after.held; v_cost := v_after.cost; v_realized := v_realized + v_after.realized;
        END LOOP;
        SELECT coalesce(sum(x.amount), 0) INTO v_ledger FROM ledger_lines x JOIN ledger_entries e ON e.id = x.entry_id
         WHERE e.account_id = v_row.account_id AND x.account = 'asset:contract' AND x.asset = v_row.symbol;
        account_id := v_row.account_id; instrument_id := v_row.instrument_id; stored := v_row.quantity; rebuilt := v_held;
        is_equal := (v_row.quantity, v_row.cost, v_row.realized, v_row.quantity) = (v_held, v_cost, v_realized, v_ledger);
        RETURN NEXT;
    END LOOP;
END $$;
