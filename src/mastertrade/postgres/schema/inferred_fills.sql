-- Fills that a venue counted in an order and never told: booked from its word, and given back piece by piece when the real ones come.
-- Owner: order_executor. apply_fill books both kinds.

CREATE TABLE IF NOT EXISTS reversed_fills (
    id               bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    fill_id          uuid NOT NULL,
    order_id         uuid NOT NULL REFERENCES orders (id) ON DELETE RESTRICT,
    quantity         quantity NOT NULL,
    price            price NOT NULL,
    replaced_by      uuid NOT NULL,
    ledger_entry_id  bigint NOT NULL REFERENCES ledger_entries (id) ON DELETE RESTRICT,
    occurred_at      timestamptz NOT NULL,
    CONSTRAINT reversed_fills_once UNIQUE (fill_id, replaced_by)
);
CREATE INDEX IF NOT EXISTS reversed_fills_by_order ON reversed_fills (order_id);
COMMENT ON TABLE reversed_fills IS 'order_executor: what of an inferred fill was given back, and the real fill that came instead';

-- Gives back up to p_quantity of an order's inferred fills: a ledger entry that reverses as much of theirs, the balances, and the rows.
-- The order's filled quantity and the position are for the caller, who books the real fill in their place.
CREATE OR REPLACE FUNCTION take_back_inferred(
    p_order_id uuid, p_fill_id uuid, p_quantity numeric, p_at timestamptz,
    OUT quantity numeric, OUT place bigint, OUT position_id uuid
) LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
    v_fill record;
    v_part numeric;
    v_paid numeric;
    v_sign int;
    v_entry bigint;
BEGIN
    quantity := 0;
    IF p_quantity = 0 THEN
        RETURN;
    END IF;
    FOR v_fill IN SELECT t.*, i.base, i.quote, i.kind, s.position_id
                    FROM trades t JOIN instruments i ON i.id = t.instrument_id LEFT JOIN strategy_trades s ON s.trade_id = t.id
                   WHERE t.order_id = p_order_id AND t.is_inferred ORDER BY t.ledger_entry_id LOOP
        v_part := least(v_fill.quantity, p_quantity - take_back_inferred.quantity);
        EXIT WHEN v_part <= 0;
        -- The parts of a fill add up to what it was booked with, to the last digit.
        v_paid := round(v_fill.quantity * v_fill.price, 18) - round((v_fill.quantity - v_part) * v_fill.price, 18);
        v_sign := CASE v_fill.side WHEN 'BUY' THEN 1 ELSE -1 END;
        IF v_fill.kind = 'swap' THEN  -- what it realised is settled from all fills, when the real one is booked
            v_entry := post_entry(v_fill.account_id, 'fill', v_fill.id::text || ':' || p_fill_id::text, p_at,
                ARRAY['asset:contract', 'exchange:trade'], ARRAY[v_fill.symbol, v_fill.symbol],
                ARRAY[-v_sign * v_part, v_sign * v_part]);
        ELSE
            v_entry := post_entry(v_fill.account_id, 'fill', v_fill.id::text || ':' || p_fill_id::text, p_at,
                ARRAY['asset:spot', 'exchange:trade', 'asset:spot', 'exchange:trade'],
                ARRAY[v_fill.base, v_fill.base, v_fill.quote, v_fill.quote],
                ARRAY[-v_sign * v_part, v_sign * v_part, v_sign * v_paid, -v_sign * v_paid]);
            PERFORM move_free_balance(v_fill.account_id, v_fill.base, -v_sign * v_part, p_at),
                    move_free_balance(v_fill.account_id, v_fill.quote, v_sign * v_paid, p_at);
        END IF;
        INSERT INTO reversed_fills (fill_id, order_id, quantity, price, replaced_by, ledger_entry_id, occurred_at)
        VALUES (v_fill.id, p_order_id, v_part, v_fill.price, p_fill_id, v_entry, p_at);
        IF v_part = v_fill.quantity THEN
            DELETE FROM strategy_trades s WHERE s.trade_id = v_fill.id;
            DELETE FROM trades t WHERE t.id = v_fill.id;
        ELSE
            UPDATE strategy_trades AS s SET quantity = s.quantity - v_part WHERE s.trade_id = v_fill.id;
            UPDATE trades AS t SET quantity = t.quantity - v_part WHERE t.id = v_fill.id;
        END IF;
        quantity := take_back_inferred.quantity + v_part;
        place := coalesce(take_back_inferred.place, v_fill.place, v_fill.ledger_entry_id);
        position_id := coalesce(take_back_inferred.position_id, v_fill.position_id);
    END LOOP;
END $$;

-- What each fill made of a position, from the first one on. A real fill stands where the inferred one stood whose place it took.
CREATE OR REPLACE FUNCTION replay_position(p_strategy uuid, p_account uuid, p_instrument int)
RETURNS TABLE (trade_id uuid, held numeric, cost numeric, realized numeric) LANGUAGE plpgsql STABLE AS $$
DECLARE
    v_fill record;
BEGIN
    held := 0; cost := 0;
    FOR v_fill IN SELECT t.*, i.base, i.quote, i.kind,
                         CASE WHEN t.commission_asset = i.quote THEN t.commission ELSE 0 END
                             + round(t.commission * coalesce(t.commission_rate, 0), 18) AS quote_fee
                    FROM trades t JOIN orders o ON o.id = t.order_id JOIN instruments i ON i.id = t.instrument_id
                   WHERE o.strategy_id = p_strategy AND t.account_id = p_account AND t.instrument_id = p_instrument
                   ORDER BY coalesce(t.place, t.ledger_entry_id), t.ledger_entry_id LOOP
        trade_id := v_fill.id;
        IF v_fill.kind = 'swap' THEN
            SELECT a.held, a.cost, a.realized INTO held, cost, realized
              FROM contracts_after_fill(held, cost, CASE v_fill.side WHEN 'BUY' THEN v_fill.quantity ELSE -v_fill.quantity END,
                                        v_fill.price, v_fill.quote_fee) a;
            RETURN NEXT;
            CONTINUE;
        END IF;
        SELECT a.held, a.cost, a.realized INTO held, cost, realized
          FROM position_after_fill(v_fill.side, held, cost, v_fill.quantity, v_fill.price,
            CASE WHEN v_fill.commission_asset = v_fill.base THEN v_fill.commission ELSE 0 END, v_fill.quote_fee) a;
        RETURN NEXT;
    END LOOP;
END $$;

-- Makes a position, and the profits of the fills it came of, anew from all fills: after one in the midst of them has changed. Says
-- what p_fill_id realised, and what is held now.
CREATE OR REPLACE FUNCTION settle_position(
    p_strategy uuid, p_account uuid, p_instrument int, p_fill_id uuid, p_at timestamptz,
    OUT realized numeric, OUT held numeric, OUT entry_price numeric
) LANGUAGE plpgsql AS $$
DECLARE
    v_after record;
    v_position strategy_positions;
    v_cost numeric := 0;
    v_before numeric := 0;
    v_total numeric := 0;
BEGIN
    held := 0; realized := 0; entry_price := 0;
    FOR v_after IN SELECT * FROM replay_position(p_strategy, p_account, p_instrument) LOOP
        v_before := v_cost;
        held := v_after.held; v_cost := v_after.cost; v_total := v_total + v_after.realized;
        IF v_after.trade_id = p_fill_id THEN
            realized := v_after.realized;
        END IF;
        UPDATE trades t SET realized_pnl = v_after.realized
         WHERE t.id = v_after.trade_id AND t.realized_pnl IS DISTINCT FROM v_after.realized;
        UPDATE strategy_trades s
           SET pnl = v_after.realized,
               return_pct = CASE WHEN abs(v_before) > abs(v_cost) AND v_before * v_cost >= 0
                                 THEN (v_after.realized / abs(v_before - v_cost))::float8 END
         WHERE s.trade_id = v_after.trade_id AND s.pnl <> v_after.realized;
    END LOOP;
    SELECT s.* INTO v_position FROM strategy_positions s
     WHERE s.strategy_id = p_strategy AND s.account_id = p_account AND s.instrument_id = p_instrument
     ORDER BY s.status = 'open' DESC, s.opened_at DESC, s.id LIMIT 1 FOR UPDATE;
    IF NOT FOUND THEN
        RETURN;  -- a sale of what was never held made no position
    END IF;
    entry_price := CASE WHEN held <> 0 THEN round(v_cost / held, 12) ELSE v_position.entry_price END;
    v_total := v_total - (SELECT sum(s.realized_pnl) FROM strategy_positions s
                           WHERE s.strategy_id = p_strategy AND s.account_id = p_account AND s.instrument_id = p_instrument);
    UPDATE strategy_positions s
       SET quantity = abs(settle_position.held), cost = v_cost, entry_price = settle_position.entry_price,
           realized_pnl = s.realized_pnl + v_total, side = CASE WHEN settle_position.held < 0 THEN 'short'
               WHEN settle_position.held > 0 THEN 'long' ELSE s.side END,
           unrealized_pnl = round(settle_position.held * coalesce(s.current_price, 0), 18) - v_cost,
           status = CASE WHEN settle_position.held = 0 THEN 'closed' ELSE 'open' END, updated_at = p_at,
           closed_at = CASE WHEN settle_position.held = 0 THEN coalesce(s.closed_at, p_at) END
     WHERE s.id = v_position.id;
END $$;
