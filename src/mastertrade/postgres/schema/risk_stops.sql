-- One live stop for each position that comes from fills. Owner: risk_manager.

-- NULL for stops that the older system's callers keep themselves.
ALTER TABLE stop_losses ADD COLUMN IF NOT EXISTS instrument_id int REFERENCES instruments (id) ON DELETE RESTRICT;
CREATE UNIQUE INDEX IF NOT EXISTS stop_losses_one_live ON stop_losses (position_id)
    WHERE status = 'active' AND instrument_id IS NOT NULL;
CREATE INDEX IF NOT EXISTS stop_losses_live ON stop_losses (instrument_id) WHERE status = 'active';

-- Gives the open position of a strategy a stop unless it has one, in which case that one's size follows. Returns its id, NULL
-- where there is no such position.
CREATE OR REPLACE FUNCTION attach_stop(
    p_account uuid, p_strategy uuid, p_instrument int, p_type text, p_stop_price numeric, p_config jsonb, p_metadata jsonb,
    p_at timestamptz
) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    v_position risk_positions;
    v_id text;
BEGIN
    SELECT * INTO v_position FROM risk_positions
     WHERE account_id = p_account AND strategy_id = p_strategy AND instrument_id = p_instrument AND status = 'open' FOR UPDATE;
    IF NOT FOUND THEN
        RETURN NULL;
    END IF;
    UPDATE stop_losses SET quantity = v_position.quantity, entry_price = v_position.entry_price, updated_at = p_at
     WHERE position_id = v_position.id AND status = 'active' AND stop_losses.instrument_id IS NOT NULL RETURNING id INTO v_id;
    IF v_id IS NULL THEN
        INSERT INTO stop_losses (id, position_id, strategy_id, symbol, side, stop_type, entry_price, current_price, stop_price,
                                 initial_stop_price, quantity, highest_price, lowest_price, config, metadata, created_at,
                                 updated_at, instrument_id)
        VALUES (format('sl_%s_%s', v_position.id, extract(epoch FROM p_at)::bigint), v_position.id, p_strategy,
                v_position.symbol, v_position.side, p_type, v_position.entry_price,
                coalesce(v_position.current_price, v_position.entry_price), p_stop_price, p_stop_price, v_position.quantity,
                v_position.entry_price, v_position.entry_price, p_config, p_metadata, p_at, p_at, p_instrument)
        ON CONFLICT (id) DO NOTHING RETURNING id INTO v_id;
    END IF;
    UPDATE risk_positions SET stop_loss_price = (SELECT stop_price FROM stop_losses WHERE id = v_id) WHERE id = v_position.id;
    RETURN v_id;
END $$;

-- Writes what a look at the market made of stops: the extremes, the price where it moved, and triggers. A stop that is no
-- longer active, or would move against its position, stays as it is.
CREATE OR REPLACE FUNCTION move_stops(p_moves jsonb, p_at timestamptz) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    WITH moves AS (
        SELECT * FROM jsonb_to_recordset(p_moves) AS m (
            id text, stop_price price, current_price price, best price, profit_loss amount, is_triggered boolean)),
    moved AS (
        UPDATE stop_losses s
           SET stop_price = CASE s.side WHEN 'long' THEN greatest(s.stop_price, m.stop_price)
                                        ELSE least(s.stop_price, m.stop_price) END,
               current_price = m.current_price, profit_loss = m.profit_loss,
               highest_price = CASE s.side WHEN 'long' THEN greatest(s.highest_price, m.best) ELSE s.highest_price END,
               lowest_price = CASE s.side WHEN 'short' THEN least(s.lowest_price, m.best) ELSE s.lowest_price END,
               status = CASE WHEN m.is_triggered THEN 'triggered' ELSE s.status END,
               trigger_count = s.trigger_count + m.is_triggered::int, updated_at = p_at
          FROM moves m WHERE s.id = m.id AND s.status = 'active'
        RETURNING s.position_id, s.stop_price)
    UPDATE risk_positions p SET stop_loss_price = moved.stop_price FROM moved WHERE p.id = moved.position_id;
END $$;

-- Somebody's change of a stop; NULL leaves a part as it is. False where it is not active, or where it would be loosened
-- without p_is_loosened. What was before is kept in the metadata.
CREATE OR REPLACE FUNCTION change_stop(
    p_id text, p_type text, p_stop_price numeric, p_config jsonb, p_is_loosened boolean, p_reason text, p_actor text,
    p_at timestamptz
) RETURNS boolean LANGUAGE plpgsql AS $$
DECLARE
    v_stop stop_losses;
BEGIN
    SELECT * INTO v_stop FROM stop_losses WHERE id = p_id AND status = 'active' FOR UPDATE;
    IF NOT FOUND OR (NOT p_is_loosened AND p_stop_price IS NOT NULL
                     AND CASE v_stop.side WHEN 'long' THEN p_stop_price < v_stop.stop_price ELSE p_stop_price > v_stop.stop_price END) THEN
        RETURN false;
    END IF;
    UPDATE stop_losses
       SET stop_price = coalesce(p_stop_price, stop_price), stop_type = coalesce(p_type, stop_type),
           config = coalesce(p_config, config), updated_at = p_at,
           metadata = metadata || jsonb_build_object('history', coalesce(metadata -> 'history', '[]') || jsonb_build_object(
               'at', p_at, 'by', p_actor, 'reason', p_reason, 'stop_price', v_stop.stop_price::text, 'type', v_stop.stop_type))
     WHERE id = p_id;
    UPDATE risk_positions SET stop_loss_price = coalesce(p_stop_price, v_stop.stop_price) WHERE id = v_stop.position_id;
    INSERT INTO risk_admin_actions (action, details, created_at)
    VALUES ('stop_changed', jsonb_build_object('stop', p_id, 'before', v_stop.stop_price::text, 'after', p_stop_price::text,
                                               'reason', p_reason, 'actor', p_actor), p_at);
    RETURN true;
END $$;

-- Takes the live stop of a position away. False where there is none.
CREATE OR REPLACE FUNCTION cancel_stop(p_id text, p_reason text, p_actor text, p_at timestamptz) RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
    UPDATE stop_losses SET status = 'cancelled', updated_at = p_at WHERE id = p_id AND status = 'active';
    IF FOUND THEN
        INSERT INTO risk_admin_actions (action, details, created_at)
        VALUES ('stop_cancelled', jsonb_build_object('stop', p_id, 'reason', p_reason, 'actor', p_actor), p_at);
    END IF;
    RETURN FOUND;
END $$;
