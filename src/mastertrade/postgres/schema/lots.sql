-- Lots: positions taken apart into what was bought when, first in, first out. Owner: order_executor. Nothing is stored here:
-- lots are what fills make of one another, so that they cannot differ from them.

-- The lots of one strategy's swap: a row for each close that took from one, and one for what of it is still held. Of a short lot
-- quantity and cost are below 0, and its proceeds are what buying it back cost.
CREATE OR REPLACE FUNCTION contract_lots(p_account uuid, p_strategy uuid, p_instrument int)
RETURNS TABLE (purchase uuid, bought_at timestamptz, sale uuid, sold_at timestamptz, quantity numeric, cost numeric,
               proceeds numeric, realized numeric)
LANGUAGE plpgsql STABLE AS $$
DECLARE
    v_fill record;
    v_opened uuid[] := '{}';
    v_times timestamptz[] := '{}';
    v_held numeric[] := '{}';
    v_costs numeric[] := '{}';
    v_first int := 1;
    v_left numeric;
    v_fee numeric;
    v_part numeric;
BEGIN
    FOR v_fill IN SELECT t.id, t.price, t.trade_time, CASE t.side WHEN 'BUY' THEN t.quantity ELSE -t.quantity END AS change,
                         CASE WHEN t.commission_asset = i.quote THEN t.commission ELSE 0 END
                             + round(t.commission * coalesce(t.commission_rate, 0), 18) AS fee
                    FROM trades t JOIN orders o ON o.id = t.order_id JOIN instruments i ON i.id = t.instrument_id
                   WHERE o.strategy_id = p_strategy AND t.account_id = p_account AND t.instrument_id = p_instrument
                   ORDER BY coalesce(t.place, t.ledger_entry_id), t.ledger_entry_id LOOP
        v_left := v_fill.change; v_fee := v_fill.fee;
        WHILE v_left <> 0 AND v_first <= cardinality(v_held) AND sign(v_held[v_first]) = -sign(v_left) LOOP
            purchase := v_opened[v_first]; bought_at := v_times[v_first]; sale := v_fill.id; sold_at := v_fill.trade_time;
            quantity := sign(v_held[v_first]) * least(abs(v_left), abs(v_held[v_first]));
            cost := CASE WHEN quantity = v_held[v_first] THEN v_costs[v_first]
                         ELSE round(v_costs[v_first] * quantity / v_held[v_first], 18) END;
            v_part := CASE WHEN v_left + quantity = 0 THEN v_fee ELSE round(v_fill.fee * abs(quantity / v_fill.change), 18) END;
            proceeds := round(quantity * v_fill.price, 18) - v_part;
            realized := proceeds - cost;
            RETURN NEXT;
            v_held[v_first] := v_held[v_first] - quantity; v_costs[v_first] := v_costs[v_first] - cost;
            v_left := v_left + quantity; v_fee := v_fee - v_part;
            IF v_held[v_first] = 0 THEN
                v_first := v_first + 1;
            END IF;
        END LOOP;
        IF v_left <> 0 THEN
            v_opened := v_opened || v_fill.id; v_times := v_times || v_fill.trade_time; v_held := v_held || v_left;
            v_costs := v_costs || round(v_left * v_fill.price, 18) + v_fee;
        END IF;
    END LOOP;
    sale := NULL; sold_at := NULL; proceeds := NULL; realized := NULL;
    FOR v_lot IN v_first..cardinality(v_held) LOOP
        purchase := v_opened[v_lot]; bought_at := v_times[v_lot]; quantity := v_held[v_lot]; cost := v_costs[v_lot];
        RETURN NEXT;
    END LOOP;
END $$;

-- Every lot of these positions (NULL: of all), with what became of it: a row for each sale that took from it, and one for what
-- of it is still held, whose sale is NULL. Costs hold the fees of the purchase, proceeds are without those of the sale, as
-- positions count them. What was sold beyond what was held is in no lot.
CREATE OR REPLACE FUNCTION fifo_lots(p_account uuid DEFAULT NULL, p_strategy uuid DEFAULT NULL, p_instrument int DEFAULT NULL)
RETURNS TABLE (account_id uuid, strategy_id uuid, instrument_id int, symbol text, purchase uuid, bought_at timestamptz,
               sale uuid, sold_at timestamptz, quantity numeric, cost numeric, proceeds numeric, realized numeric)
LANGUAGE plpgsql STABLE AS $$
#variable_conflict use_column
DECLARE
    v_group record;
    v_fill record;
    v_purchases uuid[];
    v_times timestamptz[];
    v_held numeric[];
    v_costs numeric[];
    v_first int;
    v_sold numeric;
    v_left numeric;
    v_covered numeric;
BEGIN
    FOR v_group IN SELECT DISTINCT o.strategy_id, t.account_id, t.instrument_id, t.symbol, i.kind
                     FROM trades t JOIN orders o ON o.id = t.order_id JOIN instruments i ON i.id = t.instrument_id
                    WHERE o.strategy_id IS NOT NULL AND (p_account IS NULL OR t.account_id = p_account)
                      AND (p_strategy IS NULL OR o.strategy_id = p_strategy)
                      AND (p_instrument IS NULL OR t.instrument_id = p_instrument)
                    ORDER BY t.symbol, t.account_id, o.strategy_id LOOP
        account_id := v_group.account_id; strategy_id := v_group.strategy_id; instrument_id := v_group.instrument_id;
        symbol := v_group.symbol;
        IF v_group.kind = 'swap' THEN
            RETURN QUERY SELECT v_group.account_id, v_group.strategy_id, v_group.instrument_id, v_group.symbol, c.*
                           FROM contract_lots(v_group.account_id, v_group.strategy_id, v_group.instrument_id) c;
            CONTINUE;
        END IF;
        v_purchases := '{}'; v_times := '{}'; v_held := '{}'; v_costs := '{}'; v_first := 1;
        FOR v_fill IN SELECT t.id, t.side, t.quantity, t.price, t.trade_time,
                             CASE WHEN t.commission_asset = i.base THEN t.commission ELSE 0 END AS base_fee,
                             CASE WHEN t.commission_asset = i.quote THEN t.commission ELSE 0 END
                                 + round(t.commission * coalesce(t.commission_rate, 0), 18) AS quote_fee
                        FROM trades t JOIN orders o ON o.id = t.order_id JOIN instruments i ON i.id = t.instrument_id
                       WHERE o.strategy_id = v_group.strategy_id AND t.account_id = v_group.account_id
                         AND t.instrument_id = v_group.instrument_id
                       ORDER BY coalesce(t.place, t.ledger_entry_id), t.ledger_entry_id LOOP
            IF v_fill.side = 'BUY' THEN
                v_purchases := v_purchases || v_fill.id; v_times := v_times || v_fill.trade_time;
                v_held := v_held || v_fill.quantity - v_fill.base_fee;
                v_costs := v_costs || round(v_fill.quantity * v_fill.price, 18) + v_fill.quote_fee;
                CONTINUE;
            END IF;
            v_sold := v_fill.quantity + v_fill.base_fee; v_left := v_sold;
            SELECT least(v_sold, sum(h)) INTO v_covered FROM unnest(v_held[v_first:]) AS h;
            WHILE v_left > 0 AND v_first <= cardinality(v_purchases) LOOP
                quantity := least(v_left, v_held[v_first]);
                IF quantity > 0 THEN
                    cost := CASE WHEN quantity = v_held[v_first] THEN v_costs[v_first]
                                 ELSE round(v_costs[v_first] * quantity / v_held[v_first], 18) END;
                    proceeds := round(v_fill.price * v_fill.quantity * quantity / v_sold - v_fill.quote_fee * quantity / v_covered, 18);
                    purchase := v_purchases[v_first]; bought_at := v_times[v_first];
                    sale := v_fill.id; sold_at := v_fill.trade_time; realized := proceeds - cost;
                    RETURN NEXT;
                    v_held[v_first] := v_held[v_first] - quantity; v_costs[v_first] := v_costs[v_first] - cost;
                    v_left := v_left - quantity;
                END IF;
                IF v_held[v_first] <= 0 THEN
                    v_first := v_first + 1;
                END IF;
            END LOOP;
        END LOOP;
        sale := NULL; sold_at := NULL; proceeds := NULL; realized := NULL;
        WHILE v_first <= cardinality(v_purchases) LOOP
            IF v_held[v_first] > 0 THEN
                purchase := v_purchases[v_first]; bought_at := v_times[v_first]; quantity := v_held[v_first];
                cost := v_costs[v_first];
                RETURN NEXT;
            END IF;
            v_first := v_first + 1;
        END LOOP;
    END LOOP;
END $$;
