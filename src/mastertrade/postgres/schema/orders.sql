-- Orders: the life of an order and of its fills. Owner of every table here: order_executor.

CREATE TABLE IF NOT EXISTS order_moves (
    from_status  text NOT NULL,
    to_status    text NOT NULL,
    PRIMARY KEY (from_status, to_status)
);
COMMENT ON TABLE order_moves IS 'order_executor: the legal moves of an order; every other move is refused';

INSERT INTO order_moves (from_status, to_status)
SELECT f, t FROM (VALUES
    ('NEW', ARRAY['SUBMITTING', 'CANCELED', 'EXPIRED']),
    ('SUBMITTING', ARRAY['OPEN', 'PARTIALLY_FILLED', 'FILLED', 'CANCELED', 'EXPIRED', 'REJECTED', 'UNKNOWN']),
    ('UNKNOWN', ARRAY['OPEN', 'PARTIALLY_FILLED', 'FILLED', 'CANCELED', 'EXPIRED', 'REJECTED', 'NOT_FOUND']),
    ('OPEN', ARRAY['PARTIALLY_FILLED', 'FILLED', 'CANCELED', 'EXPIRED', 'REJECTED', 'UNKNOWN',
                   'PENDING_CANCEL', 'PENDING_REPLACE']),
    ('PARTIALLY_FILLED', ARRAY['FILLED', 'CANCELED', 'EXPIRED', 'UNKNOWN', 'PENDING_CANCEL', 'PENDING_REPLACE']),
    ('PENDING_CANCEL', ARRAY['OPEN', 'PARTIALLY_FILLED', 'FILLED', 'CANCELED', 'EXPIRED', 'UNKNOWN']),
    ('PENDING_REPLACE', ARRAY['OPEN', 'PARTIALLY_FILLED', 'FILLED', 'CANCELED', 'EXPIRED', 'UNKNOWN']),
    ('CANCELED', ARRAY['PARTIALLY_FILLED', 'FILLED']),
    ('EXPIRED', ARRAY['PARTIALLY_FILLED', 'FILLED']),
    ('REJECTED', ARRAY['PARTIALLY_FILLED', 'FILLED']),
    ('NOT_FOUND', ARRAY['PARTIALLY_FILLED', 'FILLED'])
) AS moves (f, ts), unnest(ts) AS t
ON CONFLICT DO NOTHING;

CREATE TABLE IF NOT EXISTS orders (
    id                 uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    approval_id        uuid REFERENCES approvals (id) ON DELETE RESTRICT,
    attempt            int NOT NULL DEFAULT 1,
    client_order_id    text NOT NULL,
    exchange_order_id  text,
    account_id         uuid NOT NULL REFERENCES accounts (id) ON DELETE RESTRICT,
    instrument_id      int NOT NULL REFERENCES instruments (id) ON DELETE RESTRICT,
    strategy_id        uuid REFERENCES strategies (id) ON DELETE RESTRICT,
    strategy_ref       text,
    signal_id          uuid REFERENCES signals (id) ON DELETE RESTRICT,
    reservation_id     uuid REFERENCES reservations (id) ON DELETE RESTRICT,
    symbol             text NOT NULL,
    order_type         text NOT NULL,
    side               text NOT NULL,
    quantity           quantity NOT NULL,
    price              price,
    stop_price         price,
    reduces            boolean NOT NULL DEFAULT false,
    status             text NOT NULL DEFAULT 'NEW',
    filled_quantity    quantity NOT NULL DEFAULT 0,
    avg_fill_price     price,
    commission         amount NOT NULL DEFAULT 0,
    commission_asset   text,
    environment        text NOT NULL DEFAULT 'paper',
    order_time         timestamptz NOT NULL DEFAULT now(),
    update_time        timestamptz,
    valid_until        timestamptz,
    signed_at          timestamptz,
    send_by            timestamptz,
    unknown_since      timestamptz,
    version            int NOT NULL DEFAULT 1,
    metadata           jsonb NOT NULL DEFAULT '{}',
    CONSTRAINT orders_client_order_id_is_unique UNIQUE (client_order_id),
    CONSTRAINT orders_one_per_approval_and_attempt UNIQUE (approval_id, attempt),
    CONSTRAINT orders_side_is_known CHECK (side IN ('BUY', 'SELL')),
    CONSTRAINT orders_type_is_known CHECK (order_type IN ('MARKET', 'LIMIT', 'STOP_LOSS', 'TAKE_PROFIT')),
    CONSTRAINT orders_want_something CHECK (quantity > 0),
    CONSTRAINT orders_limit_has_a_price CHECK (order_type <> 'LIMIT' OR price IS NOT NULL),
    CONSTRAINT orders_environment_is_known CHECK (environment IN ('paper', 'testnet', 'production')),
    CONSTRAINT orders_filled_means_all_of_it CHECK (status <> 'FILLED' OR filled_quantity >= quantity),
    CONSTRAINT orders_status_is_known CHECK (status IN (
        'NEW', 'SUBMITTING', 'UNKNOWN', 'OPEN', 'PARTIALLY_FILLED', 'PENDING_CANCEL', 'PENDING_REPLACE',
        'FILLED', 'CANCELED', 'EXPIRED', 'REJECTED', 'NOT_FOUND'))
) WITH (fillfactor = 85);
ALTER TABLE orders
    ADD COLUMN IF NOT EXISTS post_only boolean NOT NULL DEFAULT false,
    ADD COLUMN IF NOT EXISTS reduce_only boolean NOT NULL DEFAULT false,
    ADD COLUMN IF NOT EXISTS expires_at timestamptz,
    ADD COLUMN IF NOT EXISTS time_in_force text NOT NULL DEFAULT 'GTC'
        CONSTRAINT orders_time_in_force_is_known CHECK (time_in_force IN ('GTC', 'IOC', 'FOK', 'GTD'))
        CONSTRAINT orders_gtd_has_its_time CHECK ((time_in_force = 'GTD') = (expires_at IS NOT NULL))
        CONSTRAINT orders_terms_go_together CHECK (
            (NOT post_only OR time_in_force IN ('GTC', 'GTD')) AND
            (order_type = 'LIMIT' OR (time_in_force = 'GTC' AND NOT post_only)));
CREATE INDEX IF NOT EXISTS orders_active ON orders (account_id, order_time)
    WHERE status NOT IN ('FILLED', 'CANCELED', 'EXPIRED', 'REJECTED', 'NOT_FOUND');
CREATE INDEX IF NOT EXISTS orders_moved ON orders (account_id, update_time);
CREATE INDEX IF NOT EXISTS orders_by_symbol ON orders (symbol, order_time DESC);
CREATE INDEX IF NOT EXISTS orders_by_strategy ON orders (strategy_id, order_time DESC);
CREATE INDEX IF NOT EXISTS orders_by_time ON orders (order_time DESC);
CREATE INDEX IF NOT EXISTS orders_by_signal ON orders (signal_id);
CREATE UNIQUE INDEX IF NOT EXISTS orders_exchange_order_id_once_per_account
    ON orders (account_id, instrument_id, exchange_order_id) WHERE exchange_order_id IS NOT NULL;
COMMENT ON TABLE orders IS 'order_executor: written before it is sent; moves only along order_moves';

CREATE TABLE IF NOT EXISTS order_events (
    id           bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    order_id     uuid NOT NULL REFERENCES orders (id) ON DELETE RESTRICT,
    event_type   text NOT NULL,
    from_status  text,
    to_status    text,
    source       text NOT NULL,
    payload      jsonb NOT NULL DEFAULT '{}',
    occurred_at  timestamptz NOT NULL,
    created_at   timestamptz NOT NULL DEFAULT clock_timestamp(),
    CONSTRAINT order_events_type_is_known CHECK (event_type IN ('created', 'status_changed', 'fill', 'absent', 'note'))
);
-- The same for the same payload, whoever wrote it and however often it was told.
CREATE OR REPLACE FUNCTION payload_hash(p_payload jsonb) RETURNS bytea LANGUAGE plpgsql IMMUTABLE AS $$
BEGIN
    RETURN sha256(convert_to(p_payload::text, 'UTF8'));
END $$;
-- squawk-ignore adding-field-with-default
ALTER TABLE order_events ADD COLUMN IF NOT EXISTS payload_hash bytea GENERATED ALWAYS AS (payload_hash(payload)) STORED;
CREATE INDEX IF NOT EXISTS order_events_by_order ON order_events (order_id, id);
COMMENT ON TABLE order_events IS 'order_executor: every step of an order with its source and the payload that caused it';
DROP TRIGGER IF EXISTS order_events_are_final ON order_events;
CREATE TRIGGER order_events_are_final BEFORE UPDATE OR DELETE OR TRUNCATE ON order_events
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

CREATE TABLE IF NOT EXISTS order_cancels (
    order_id      uuid PRIMARY KEY REFERENCES orders (id) ON DELETE RESTRICT,
    reason        text NOT NULL,
    actor         text NOT NULL,
    requested_at  timestamptz NOT NULL
);
COMMENT ON TABLE order_cancels IS
    'order_executor: orders somebody wants cancelled; wanted until the order is final, whoever has to carry it out dies meanwhile';

-- Returns how many orders were not wanted cancelled before. Without an order all that may still trade, of a market or an account
-- where one is named. Waits for who begins to send one of them, and lets nobody begin until it is committed; by their ids, so that
-- two who want everything cancelled do not wait for each other.
CREATE OR REPLACE FUNCTION want_cancelled(
    p_order uuid, p_symbol text, p_account uuid, p_reason text, p_actor text, p_at timestamptz
) RETURNS int LANGUAGE plpgsql AS $$
DECLARE
    v_count int;
BEGIN
    INSERT INTO order_cancels (order_id, reason, actor, requested_at)
    SELECT o.id, p_reason, p_actor, p_at FROM orders o
     WHERE o.status NOT IN ('FILLED', 'CANCELED', 'EXPIRED', 'REJECTED', 'NOT_FOUND')
       AND (p_order IS NULL OR o.id = p_order)
       AND (p_symbol IS NULL OR o.symbol = p_symbol)
       AND (p_account IS NULL OR o.account_id = p_account)
     ORDER BY o.id FOR KEY SHARE
    ON CONFLICT (order_id) DO NOTHING;
    GET DIAGNOSTICS v_count = ROW_COUNT;
    RETURN v_count;
END $$;

CREATE TABLE IF NOT EXISTS trades (
    id                 uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    order_id           uuid NOT NULL REFERENCES orders (id) ON DELETE RESTRICT,
    account_id         uuid NOT NULL REFERENCES accounts (id) ON DELETE RESTRICT,
    instrument_id      int NOT NULL REFERENCES instruments (id) ON DELETE RESTRICT,
    exchange_trade_id  text NOT NULL,
    exchange_order_id  text NOT NULL,
    ledger_entry_id    bigint REFERENCES ledger_entries (id) ON DELETE RESTRICT,
    symbol             text NOT NULL,
    side               text NOT NULL,
    quantity           quantity NOT NULL,
    price              price NOT NULL,
    commission         amount NOT NULL DEFAULT 0,
    commission_asset   text,
    is_maker           boolean NOT NULL DEFAULT false,
    realized_pnl       amount,
    trade_time         timestamptz NOT NULL,
    created_at         timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT trades_fill_is_applied_once UNIQUE (account_id, instrument_id, exchange_trade_id, exchange_order_id),
    CONSTRAINT trades_fill_something CHECK (quantity > 0 AND price > 0),
    CONSTRAINT trades_side_is_known CHECK (side IN ('BUY', 'SELL'))
);
ALTER TABLE trades ADD COLUMN IF NOT EXISTS commission_rate price;
COMMENT ON COLUMN trades.commission_rate IS
    'quote asset per unit of a commission in a third asset, when it was paid; NULL: paid in base or quote, or no price was known';
ALTER TABLE trades ADD COLUMN IF NOT EXISTS is_inferred boolean NOT NULL DEFAULT false;
COMMENT ON COLUMN trades.is_inferred IS
    'booked from the venue''s word about the order, since it told no such fill; the real one takes its place';
CREATE INDEX IF NOT EXISTS trades_inferred ON trades (account_id) WHERE is_inferred;
ALTER TABLE trades ADD COLUMN IF NOT EXISTS place bigint;
COMMENT ON COLUMN trades.place IS 'the ledger entry of the inferred fill whose place it took: positions are made in this order';
ALTER TABLE trades ADD COLUMN IF NOT EXISTS venue_pnl amount;
COMMENT ON COLUMN trades.venue_pnl IS
    'of a swap: what the venue booked into the wallet for the part that closed, fee aside; NULL: it did not say, ours stands';
CREATE INDEX IF NOT EXISTS trades_by_order ON trades (order_id);
CREATE INDEX IF NOT EXISTS trades_by_symbol ON trades (symbol, trade_time DESC);
CREATE INDEX IF NOT EXISTS trades_by_time ON trades (trade_time DESC);
COMMENT ON TABLE trades IS 'order_executor: fills; each is applied once to order, ledger, balances and position';

CREATE TABLE IF NOT EXISTS quarantined_fills (
    id           uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    account_id   uuid NOT NULL REFERENCES accounts (id) ON DELETE RESTRICT,
    reason       text NOT NULL,
    payload      jsonb NOT NULL,
    occurred_at  timestamptz NOT NULL,
    CONSTRAINT quarantined_fills_once UNIQUE (account_id, reason, payload)
);
COMMENT ON TABLE quarantined_fills IS 'order_executor: fills that could not be booked (unknown order, same identity with other numbers)';

CREATE TABLE IF NOT EXISTS venue_cursors (
    account_id  uuid PRIMARY KEY REFERENCES accounts (id) ON DELETE RESTRICT,
    cursor      text NOT NULL,
    updated_at  timestamptz NOT NULL
);
ALTER TABLE venue_cursors ADD COLUMN IF NOT EXISTS funding text NOT NULL DEFAULT '';
COMMENT ON TABLE venue_cursors IS 'order_executor: up to which fill, and which funding payment, the venue''s own lists have been applied';

CREATE TABLE IF NOT EXISTS strategy_positions (
    id              uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    strategy_id     uuid NOT NULL REFERENCES strategies (id) ON DELETE RESTRICT,
    account_id      uuid NOT NULL REFERENCES accounts (id) ON DELETE RESTRICT,
    instrument_id   int NOT NULL REFERENCES instruments (id) ON DELETE RESTRICT,
    symbol          text NOT NULL,
    side            text NOT NULL DEFAULT 'long',
    environment     text NOT NULL DEFAULT 'paper',
    quantity        quantity NOT NULL,
    cost            amount NOT NULL,
    entry_price     price NOT NULL,
    current_price   price,
    unrealized_pnl  amount NOT NULL DEFAULT 0,
    realized_pnl    amount NOT NULL DEFAULT 0,
    status          text NOT NULL DEFAULT 'open',
    metadata        jsonb NOT NULL DEFAULT '{}',
    opened_at       timestamptz NOT NULL,
    updated_at      timestamptz NOT NULL,
    closed_at       timestamptz,
    CONSTRAINT strategy_positions_side_is_known CHECK (side IN ('long', 'short')),
    CONSTRAINT strategy_positions_status_is_known CHECK (status IN ('open', 'closed')),
    CONSTRAINT strategy_positions_closed_hold_nothing CHECK ((status = 'closed') = (quantity = 0))
);
CREATE UNIQUE INDEX IF NOT EXISTS strategy_positions_one_open
    ON strategy_positions (strategy_id, instrument_id, account_id) WHERE status = 'open';
CREATE INDEX IF NOT EXISTS strategy_positions_by_status ON strategy_positions (strategy_id, status);
ALTER TABLE strategy_positions ADD COLUMN IF NOT EXISTS funding amount NOT NULL DEFAULT 0;
COMMENT ON COLUMN strategy_positions.funding IS 'of a swap: what its settlements paid (below 0) and brought; not in realized_pnl';
COMMENT ON TABLE strategy_positions IS
    'order_executor: what each strategy holds, moved by fills alone; entry_price is cost per unit, fees included, and the cost of a short is below 0';

CREATE TABLE IF NOT EXISTS strategy_trades (
    id           uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    strategy_id  uuid NOT NULL REFERENCES strategies (id) ON DELETE RESTRICT,
    position_id  uuid REFERENCES strategy_positions (id) ON DELETE RESTRICT,
    trade_id     uuid UNIQUE REFERENCES trades (id) ON DELETE RESTRICT,
    symbol       text NOT NULL,
    side         text NOT NULL,
    quantity     quantity NOT NULL,
    price        price NOT NULL,
    fees         amount NOT NULL DEFAULT 0,
    pnl          amount NOT NULL DEFAULT 0,
    return_pct   finite,
    metadata     jsonb NOT NULL DEFAULT '{}',
    executed_at  timestamptz NOT NULL
);
CREATE INDEX IF NOT EXISTS strategy_trades_by_strategy ON strategy_trades (strategy_id, executed_at DESC);
COMMENT ON TABLE strategy_trades IS 'order_executor: executions per strategy with realised profit in the quote asset';

CREATE TABLE IF NOT EXISTS settings (
    key          text PRIMARY KEY,
    value        text NOT NULL,
    type         text,
    description  text,
    metadata     jsonb NOT NULL DEFAULT '{}',
    updated_at   timestamptz NOT NULL DEFAULT now()
);
COMMENT ON TABLE settings IS 'order_executor: operator settings, always text';
INSERT INTO settings (key, value, type, description) VALUES
    ('MAX_ACTIVE_STRATEGIES', '2', 'integer', 'strategies that may be active at once'),
    ('DAILY_CRYPTO_COUNT', '10', 'integer', 'coins chosen by the daily selection'),
    ('MIN_MARKET_CAP', '100000000', 'float', 'smallest market capitalisation considered, USD'),
    ('MIN_DAILY_VOLUME', '1000000', 'float', 'smallest daily volume considered, USD'),
    ('EXCLUDE_STABLECOINS', 'true', 'boolean', 'leave stablecoins out of the selection')
ON CONFLICT (key) DO NOTHING;

-- Sets an operator setting for the rooms that do not own the table; what is NULL keeps what was there.
CREATE OR REPLACE FUNCTION put_setting(
    p_key text, p_value text, p_type text, p_description text, p_metadata jsonb, p_at timestamptz
) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO settings AS s (key, value, type, description, metadata, updated_at)
    VALUES (p_key, p_value, p_type, p_description, coalesce(p_metadata, '{}'), p_at)
    ON CONFLICT (key) DO UPDATE SET
        value = EXCLUDED.value, type = coalesce(EXCLUDED.type, s.type),
        description = coalesce(EXCLUDED.description, s.description),
        metadata = coalesce(p_metadata, s.metadata), updated_at = EXCLUDED.updated_at;
END $$;

-- Keeps the life of an order legal, whoever writes: identity never changes, filled quantity never falls, moves are listed.
CREATE OR REPLACE FUNCTION guard_order() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'INSERT' THEN
        IF NEW.status <> 'NEW' OR NEW.filled_quantity <> 0 THEN
            RAISE EXCEPTION 'order % must begin as NEW and unfilled, not as % with % filled',
                NEW.id, NEW.status, NEW.filled_quantity USING ERRCODE = 'check_violation';
        END IF;
        RETURN NEW;
    END IF;
    IF (NEW.id, NEW.client_order_id, NEW.account_id, NEW.instrument_id, NEW.side, NEW.quantity, NEW.attempt)
       IS DISTINCT FROM
       (OLD.id, OLD.client_order_id, OLD.account_id, OLD.instrument_id, OLD.side, OLD.quantity, OLD.attempt)
       OR (NEW.approval_id, NEW.order_type, NEW.time_in_force, NEW.expires_at, NEW.post_only, NEW.reduce_only)
          IS DISTINCT FROM
          (OLD.approval_id, OLD.order_type, OLD.time_in_force, OLD.expires_at, OLD.post_only, OLD.reduce_only)
       -- What the older system's callers write themselves may have another price until it is sent.
       OR (NEW.price IS DISTINCT FROM OLD.price AND NOT (OLD.status = 'NEW' AND OLD.approval_id IS NULL)) THEN
        RAISE EXCEPTION 'order %: identity, side, quantity, price and terms never change', OLD.id USING ERRCODE = 'check_violation';
    END IF;
    IF OLD.signed_at IS NOT NULL AND (NEW.signed_at, NEW.send_by) IS DISTINCT FROM (OLD.signed_at, OLD.send_by) THEN
        RAISE EXCEPTION 'order %: it was signed once, at % for until %', OLD.id, OLD.signed_at, OLD.send_by
            USING ERRCODE = 'check_violation';
    END IF;
    IF NEW.filled_quantity < OLD.filled_quantity THEN
        RAISE EXCEPTION 'order %: filled quantity cannot fall from % to %', OLD.id, OLD.filled_quantity, NEW.filled_quantity
            USING ERRCODE = 'check_violation';
    END IF;
    IF NEW.status <> OLD.status AND NOT EXISTS (
        SELECT 1 FROM order_moves WHERE from_status = OLD.status AND to_status = NEW.status) THEN
        RAISE EXCEPTION 'order %: the move from % to % is not legal', OLD.id, OLD.status, NEW.status
            USING ERRCODE = 'check_violation';
    END IF;
    NEW.version := OLD.version + 1;
    NEW.unknown_since := CASE WHEN NEW.status = 'UNKNOWN' THEN coalesce(OLD.unknown_since, NEW.update_time, now()) END;
    RETURN NEW;
END $$;
DROP TRIGGER IF EXISTS orders_stay_legal ON orders;
CREATE TRIGGER orders_stay_legal BEFORE INSERT OR UPDATE ON orders FOR EACH ROW EXECUTE FUNCTION guard_order();

-- Writes the event of every step and frees the reservation when the order is final.
CREATE OR REPLACE FUNCTION record_order_step() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    v_source text := coalesce(nullif(current_setting('mastertrade.step_source', true), ''), 'database');
    v_payload jsonb := coalesce(nullif(current_setting('mastertrade.step_payload', true), ''), '{}')::jsonb;
BEGIN
    IF TG_OP = 'INSERT' THEN
        INSERT INTO order_events (order_id, event_type, to_status, source, payload, occurred_at)
        VALUES (NEW.id, 'created', NEW.status, 'order_executor', v_payload, NEW.order_time);
        RETURN NULL;
    END IF;
    IF NEW.status <> OLD.status OR NEW.filled_quantity <> OLD.filled_quantity THEN
        INSERT INTO order_events (order_id, event_type, from_status, to_status, source, payload, occurred_at)
        VALUES (NEW.id, CASE WHEN NEW.filled_quantity <> OLD.filled_quantity THEN 'fill' ELSE 'status_changed' END,
                OLD.status, NEW.status, v_source, v_payload, coalesce(NEW.update_time, now()));
    END IF;
    IF NEW.status <> OLD.status AND NEW.reservation_id IS NOT NULL
       AND NEW.status IN ('FILLED', 'CANCELED', 'EXPIRED', 'REJECTED', 'NOT_FOUND') THEN
        PERFORM release_reservation(NEW.reservation_id, coalesce(NEW.update_time, now()));
    END IF;
    RETURN NULL;
END $$;
DROP TRIGGER IF EXISTS orders_record_steps ON orders;
CREATE TRIGGER orders_record_steps AFTER INSERT OR UPDATE ON orders FOR EACH ROW EXECUTE FUNCTION record_order_step();

-- Names the cause of the next steps in this transaction, for their event rows.
CREATE OR REPLACE FUNCTION set_step_cause(p_source text, p_payload jsonb) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    PERFORM set_config('mastertrade.step_source', p_source, true),
            set_config('mastertrade.step_payload', coalesce(p_payload, '{}')::text, true);
END $$;

-- Moves an order that stands at p_from (NULL: wherever it stands). True when it moved: one that has gone elsewhere in the
-- meantime stays there, and an illegal move is refused.
CREATE OR REPLACE FUNCTION move_order(
    p_order_id uuid, p_from text, p_to text, p_at timestamptz, p_source text, p_payload jsonb, p_exchange_order_id text
) RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
    PERFORM set_step_cause(p_source, p_payload);
    UPDATE orders
       SET status = p_to, update_time = p_at, exchange_order_id = coalesce(exchange_order_id, p_exchange_order_id)
     WHERE id = p_order_id AND status <> p_to AND (p_from IS NULL OR status = p_from);
    RETURN FOUND;
END $$;

-- The last gate before a venue: commits SUBMITTING with everything a restart needs, or says why not.
-- Returns 'send', or 'not_new', 'cancelled', 'not_approved', 'expired', 'halted', 'waits' (until the account has been compared
-- with its venue); under a lease that has passed on it fails. Halts are read under lock, so that once a halt has committed no
-- opening order passes; exits pass. No order passes that somebody wanted cancelled before: who wants that locks the order.
CREATE OR REPLACE FUNCTION begin_send(
    p_order_id uuid, p_at timestamptz, p_send_by timestamptz, p_role text, p_epoch bigint
) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    v_order orders;
    v_mode text;
    v_state text;
    v_wish order_cancels;
BEGIN
    PERFORM require_lease(p_role, p_epoch);
    SELECT * INTO v_order FROM orders WHERE id = p_order_id FOR UPDATE;
    IF NOT FOUND OR v_order.status <> 'NEW' THEN
        RETURN 'not_new';
    END IF;
    SELECT * INTO v_wish FROM order_cancels WHERE order_id = p_order_id;
    IF FOUND THEN
        PERFORM move_order(p_order_id, 'NEW', 'CANCELED', p_at, 'order_executor',
            jsonb_build_object('reason', format('cancelled before it was sent, %s: %s', v_wish.actor, v_wish.reason)), NULL);
        RETURN 'cancelled';
    END IF;
    IF v_order.approval_id IS NULL THEN
        RETURN 'not_approved';
    END IF;
    IF p_at > v_order.valid_until THEN
        PERFORM move_order(p_order_id, 'NEW', 'EXPIRED', p_at, 'order_executor',
            jsonb_build_object('reason', 'approval expired before it was sent', 'valid_until', v_order.valid_until,
                               'account', account_state(v_order.account_id, p_epoch)), NULL);
        RETURN 'expired';
    END IF;
    v_state := account_state(v_order.account_id, p_epoch);
    IF v_state = 'recovering' OR (v_state = 'broken' AND NOT v_order.reduces) THEN
        RETURN 'waits';
    END IF;
    v_mode := trading_mode(v_order.account_id, v_order.strategy_id, v_order.instrument_id);
    IF v_mode <> 'running' AND NOT v_order.reduces THEN
        PERFORM move_order(p_order_id, 'NEW', 'CANCELED', p_at, 'order_executor',
            jsonb_build_object('reason', 'trading is ' || v_mode), NULL);
        RETURN 'halted';
    END IF;
    PERFORM set_step_cause('order_executor', jsonb_build_object('send_by', p_send_by, 'epoch', p_epoch));
    UPDATE orders SET status = 'SUBMITTING', signed_at = p_at, send_by = p_send_by, update_time = p_at WHERE id = p_order_id;
    RETURN 'send';
END $$;

-- Takes over an order that stands at the venue and not in our books: one of ours whose row was lost, or somebody else's on the
-- same account. It belongs to no strategy, but for what reduces contracts that one strategy alone holds: a venue that liquidates
-- takes them from it. NULL when its id or its market is not free here.
CREATE OR REPLACE FUNCTION adopt_order(
    p_account_id uuid, p_symbol text, p_client_order_id text, p_exchange_order_id text, p_side text, p_quantity numeric,
    p_price numeric, p_origin text, p_at timestamptz
) RETURNS int LANGUAGE plpgsql AS $$
DECLARE
    v_id uuid := gen_random_uuid();
    v_account accounts;
    v_instrument int;
    v_holders uuid[];
BEGIN
    SELECT * INTO STRICT v_account FROM accounts WHERE id = p_account_id;
    SELECT i.id INTO v_instrument FROM instruments i WHERE i.venue = v_account.venue AND i.symbol = p_symbol;
    IF v_instrument IS NULL THEN
        RETURN NULL;
    END IF;
    SELECT array_agg(s.strategy_id) INTO v_holders FROM strategy_positions s
     WHERE v_account.kind = 'swap' AND s.account_id = p_account_id AND s.instrument_id = v_instrument AND s.status = 'open'
       AND (s.side = 'long') = (p_side = 'SELL');
    PERFORM set_step_cause('venue', jsonb_build_object('origin', p_origin));
    INSERT INTO orders (id, client_order_id, exchange_order_id, account_id, instrument_id, strategy_id, symbol, order_type, side,
                        quantity, price, environment, order_time, metadata)
    VALUES (v_id, p_client_order_id, p_exchange_order_id, p_account_id, v_instrument,
            CASE WHEN cardinality(v_holders) = 1 THEN v_holders[1] END, p_symbol,
            CASE WHEN p_price IS NULL THEN 'MARKET' ELSE 'LIMIT' END, p_side, p_quantity, p_price, v_account.environment, p_at,
            jsonb_build_object('origin', p_origin))
    ON CONFLICT DO NOTHING;
    IF NOT FOUND THEN
        RETURN NULL;
    END IF;
    UPDATE orders SET status = 'SUBMITTING', update_time = p_at WHERE id = v_id;
    UPDATE orders SET status = 'OPEN', update_time = p_at WHERE id = v_id;
    RETURN v_instrument;
END $$;

-- What one unit of a commission's asset was worth in an instrument's quote asset: by the last close before then of a market of the
-- same venue between the two, else of any venue. NULL for base and quote themselves, and where no price is known.
CREATE OR REPLACE FUNCTION commission_rate(p_venue text, p_base text, p_quote text, p_asset text, p_at timestamptz)
RETURNS numeric LANGUAGE plpgsql STABLE AS $$
BEGIN
    IF p_asset IN (p_base, p_quote) THEN
        RETURN NULL;
    END IF;
    RETURN (
        SELECT CASE WHEN i.base = p_asset THEN round(l.close::numeric, 12) ELSE round(1 / l.close::numeric, 12) END
          FROM instruments i CROSS JOIN LATERAL last_candle(i.id, p_at) l
         WHERE i.kind = 'spot' AND (i.base, i.quote) IN ((p_asset, p_quote), (p_quote, p_asset)) AND l.close > 0
         ORDER BY i.venue <> p_venue, i.base <> p_asset, l.close_time DESC, i.id LIMIT 1);
END $$;

-- What a fill does to a position: new quantity and cost, and the profit realised. Cost includes fees, so that entry price
-- times quantity is what was paid. A sale beyond the position realises nothing on the excess.
CREATE OR REPLACE FUNCTION position_after_fill(
    p_side text, p_held numeric, p_cost numeric, p_quantity numeric, p_price numeric, p_base_fee numeric, p_quote_fee numeric,
    OUT held numeric, OUT cost numeric, OUT realized numeric
) LANGUAGE plpgsql IMMUTABLE AS $$
DECLARE
    v_sold numeric;
BEGIN
    IF p_side = 'BUY' THEN
        held := p_held + p_quantity - p_base_fee;
        cost := p_cost + round(p_quantity * p_price, 18) + p_quote_fee;
        realized := 0;
        RETURN;
    END IF;
    v_sold := least(p_held, p_quantity + p_base_fee);
    held := p_held - v_sold;
    IF v_sold = 0 THEN
        cost := p_cost;
        realized := 0;
        RETURN;
    END IF;
    cost := CASE WHEN held = 0 THEN 0 ELSE p_cost - round(p_cost * v_sold / p_held, 18) END;
    realized := round(p_price * p_quantity * v_sold / (p_quantity + p_base_fee), 18) - p_quote_fee - (p_cost - cost);
END $$;

-- The contracts of a strategy, shorts below 0.
CREATE OR REPLACE FUNCTION signed_quantity(p_side text, p_quantity numeric) RETURNS numeric LANGUAGE sql IMMUTABLE AS $$
    SELECT CASE p_side WHEN 'short' THEN -p_quantity ELSE p_quantity END;
$$;

-- Applies one fill to everything at once: fill row, ledger, balances, reservation, position, order. The same fill again is
-- 'duplicate'; the same identity with other numbers is 'conflict' and nothing is booked, as is a fill on the other side than
-- its order, or of another number than the venue gave it; 'unknown_order' likewise. Of a swap
-- position_quantity is below 0 for a short, and one fill may close a position and open its opposite.
-- squawk-ignore ban-drop-function -- what follows stands in its place
DROP FUNCTION IF EXISTS apply_fill(
    uuid, uuid, text, text, text, numeric, numeric, numeric, text, boolean, timestamptz, timestamptz, text);
-- squawk-ignore ban-drop-function -- and of this one
DROP FUNCTION IF EXISTS apply_fill(
    uuid, uuid, text, text, text, numeric, numeric, numeric, text, boolean, timestamptz, timestamptz, text, numeric);
CREATE OR REPLACE FUNCTION apply_fill(
    p_fill_id uuid, p_account_id uuid, p_client_order_id text, p_exchange_order_id text, p_exchange_trade_id text,
    p_quantity numeric, p_price numeric, p_commission numeric, p_commission_asset text, p_is_maker boolean,
    p_trade_time timestamptz, p_at timestamptz, p_source text, p_venue_pnl numeric DEFAULT NULL,
    p_side text DEFAULT NULL,
    OUT outcome text, OUT order_id uuid, OUT strategy_id uuid, OUT signal_id uuid, OUT instrument_id int, OUT symbol text,
    OUT side text, OUT status text, OUT realized_pnl numeric, OUT position_quantity numeric, OUT position_entry_price numeric
) LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
    v_order orders;
    v_instrument instruments;
    v_position strategy_positions;
    v_old trades;
    v_base_fee numeric := 0;
    v_quote_fee numeric := 0;
    v_rate numeric;
    v_other_fee numeric;
    v_notional numeric := round(p_quantity * p_price, 18);
    v_sign int;
    v_entry bigint;
    v_covered numeric;
    v_position_id uuid;
    v_held numeric;
    v_cost numeric;
    v_filled numeric;
    v_fee_of_position numeric;
    v_is_inferred boolean := p_source = 'inferred';
    v_taken record;
    v_is_swap boolean;
    v_before numeric := 0;
    v_closed_cost numeric := 0;
    v_wallet record;
BEGIN
    SELECT o.* INTO v_order FROM orders o
     WHERE o.account_id = p_account_id AND o.client_order_id = p_client_order_id FOR UPDATE;
    IF NOT FOUND THEN
        outcome := 'unknown_order';
        RETURN;
    END IF;
    order_id := v_order.id; strategy_id := v_order.strategy_id; signal_id := v_order.signal_id;
    instrument_id := v_order.instrument_id; symbol := v_order.symbol; side := v_order.side; status := v_order.status;
    -- Fills of one account follow one another: two first fills would both open the position, and the ledger's order is the
    -- one in which positions are rebuilt. The order's row comes first, as in every transaction that asks before it books.
    PERFORM 1 FROM accounts a WHERE a.id = p_account_id FOR NO KEY UPDATE;
    SELECT i.* INTO STRICT v_instrument FROM instruments i WHERE i.id = v_order.instrument_id;
    v_is_swap := v_instrument.kind = 'swap';

    SELECT t.* INTO v_old FROM trades t
     WHERE t.account_id = p_account_id AND t.instrument_id = v_order.instrument_id
       AND t.exchange_trade_id = p_exchange_trade_id AND t.exchange_order_id = p_exchange_order_id;
    IF FOUND THEN
        outcome := CASE WHEN (v_old.order_id, v_old.quantity, v_old.price, v_old.commission, v_old.commission_asset, v_old.is_maker)
                             IS NOT DISTINCT FROM
                             (v_order.id, p_quantity, p_price, p_commission, p_commission_asset, p_is_maker)
                        THEN 'duplicate' ELSE 'conflict' END;
        RETURN;
    END IF;
    IF p_side <> v_order.side OR p_exchange_order_id <> v_order.exchange_order_id THEN
        outcome := 'conflict';
        RETURN;
    END IF;
    IF v_is_inferred AND split_part(p_exchange_trade_id, ':', 2)::numeric <> v_order.filled_quantity THEN
        outcome := 'stale';
        RETURN;
    END IF;
    v_taken := take_back_inferred(v_order.id, p_fill_id, CASE WHEN v_is_inferred THEN 0 ELSE p_quantity END, p_at);

    v_sign := CASE v_order.side WHEN 'BUY' THEN 1 ELSE -1 END;
    v_base_fee := CASE WHEN p_commission_asset = v_instrument.base AND NOT v_is_swap THEN p_commission ELSE 0 END;
    v_quote_fee := CASE WHEN p_commission_asset = v_instrument.quote THEN p_commission ELSE 0 END;
    IF p_commission <> v_base_fee + v_quote_fee THEN
        v_rate := commission_rate(v_instrument.venue, CASE WHEN v_is_swap THEN v_instrument.quote ELSE v_instrument.base END,
                                  v_instrument.quote, p_commission_asset, p_trade_time);
    END IF;
    v_other_fee := round(p_commission * coalesce(v_rate, 0), 18);
    IF v_is_swap THEN
        SELECT b.* INTO v_wallet FROM book_contracts(p_account_id, v_instrument.id, v_instrument.symbol, v_instrument.quote,
            p_fill_id, v_sign * p_quantity, p_price, p_commission, p_commission_asset, p_venue_pnl, v_taken.quantity > 0,
            p_trade_time) b;
        v_entry := v_wallet.entry;
    ELSE
        v_entry := post_entry(p_account_id, 'fill', p_fill_id::text, p_trade_time,
            ARRAY['asset:spot', 'exchange:trade', 'asset:spot', 'exchange:trade', 'asset:spot', 'expense:fee'],
            ARRAY[v_instrument.base, v_instrument.base, v_instrument.quote, v_instrument.quote, p_commission_asset, p_commission_asset],
            ARRAY[v_sign * p_quantity, -v_sign * p_quantity, -v_sign * v_notional, v_sign * v_notional, -p_commission, p_commission]);
    END IF;

    realized_pnl := 0; position_quantity := 0; position_entry_price := 0;
    v_position_id := v_taken.position_id;
    IF v_order.strategy_id IS NOT NULL AND v_taken.quantity = 0 THEN
        SELECT s.* INTO v_position FROM strategy_positions s
         WHERE s.strategy_id = v_order.strategy_id AND s.instrument_id = v_order.instrument_id
           AND s.account_id = p_account_id AND s.status = 'open' FOR UPDATE;
        v_position_id := v_position.id;
        v_before := signed_quantity(v_position.side, coalesce(v_position.quantity, 0));
        IF v_is_swap THEN
            SELECT a.held, a.cost, a.realized, a.closed_cost INTO v_held, v_cost, realized_pnl, v_closed_cost
              FROM contracts_after_fill(v_before, coalesce(v_position.cost, 0), v_sign * p_quantity, p_price,
                                        v_quote_fee + v_other_fee) a;
        ELSE
            SELECT a.held, a.cost, a.realized INTO v_held, v_cost, realized_pnl
              FROM position_after_fill(v_order.side, v_before, coalesce(v_position.cost, 0),
                                       p_quantity, p_price, v_base_fee, v_quote_fee + v_other_fee) a;
            v_closed_cost := greatest(coalesce(v_position.cost, 0) - v_cost, 0);
        END IF;
        position_quantity := v_held;
        position_entry_price := CASE WHEN v_held <> 0 THEN round(v_cost / v_held, 12) ELSE coalesce(v_position.entry_price, 0) END;
        IF v_position_id IS NOT NULL AND v_held * v_before >= 0 THEN
            UPDATE strategy_positions AS s
               SET quantity = abs(v_held), cost = v_cost, entry_price = position_entry_price, current_price = p_price,
                   unrealized_pnl = round(v_held * p_price, 18) - v_cost, realized_pnl = s.realized_pnl + apply_fill.realized_pnl,
                   status = CASE WHEN v_held = 0 THEN 'closed' ELSE 'open' END, updated_at = p_trade_time,
                   closed_at = CASE WHEN v_held = 0 THEN p_trade_time END
             WHERE s.id = v_position_id;
        ELSIF v_held <> 0 THEN
            -- The first fill of a position; one that turned the other way round ends with it.
            UPDATE strategy_positions AS s
               SET quantity = 0, cost = 0, current_price = p_price, unrealized_pnl = 0,
                   realized_pnl = s.realized_pnl + apply_fill.realized_pnl, status = 'closed', updated_at = p_trade_time,
                   closed_at = p_trade_time
             WHERE s.id = v_position_id;
            INSERT INTO strategy_positions (id, strategy_id, account_id, instrument_id, symbol, side, environment, quantity, cost,
                                            entry_price, current_price, opened_at, updated_at)
            VALUES (gen_random_uuid(), v_order.strategy_id, p_account_id, v_order.instrument_id, v_order.symbol,
                    CASE WHEN v_held > 0 THEN 'long' ELSE 'short' END, v_order.environment, abs(v_held), v_cost,
                    position_entry_price, p_price, p_trade_time, p_trade_time)
            RETURNING id INTO v_position_id;
        END IF;
    END IF;
    INSERT INTO trades (id, order_id, account_id, instrument_id, exchange_trade_id, exchange_order_id, symbol, side, quantity, price,
                        commission, commission_asset, commission_rate, is_maker, trade_time, realized_pnl, ledger_entry_id,
                        is_inferred, place, venue_pnl)
    VALUES (p_fill_id, v_order.id, p_account_id, v_order.instrument_id, p_exchange_trade_id, p_exchange_order_id, v_order.symbol,
            v_order.side, p_quantity, p_price, p_commission, p_commission_asset, v_rate, p_is_maker, p_trade_time, realized_pnl,
            v_entry, v_is_inferred, v_taken.place, CASE WHEN v_is_swap THEN p_venue_pnl END);
    IF v_order.strategy_id IS NOT NULL THEN
        v_fee_of_position := v_quote_fee + v_other_fee + round(v_base_fee * p_price, 18);
        INSERT INTO strategy_trades (strategy_id, position_id, trade_id, symbol, side, quantity, price, fees, pnl, return_pct, executed_at)
        VALUES (v_order.strategy_id, v_position_id, p_fill_id, v_order.symbol, v_order.side, p_quantity, p_price, v_fee_of_position,
                apply_fill.realized_pnl,
                CASE WHEN v_closed_cost <> 0 THEN (apply_fill.realized_pnl / abs(v_closed_cost))::float8 END, p_trade_time);
    END IF;
    IF v_taken.quantity > 0 AND v_order.strategy_id IS NOT NULL THEN
        SELECT a.realized, a.held, a.entry_price INTO realized_pnl, position_quantity, position_entry_price
          FROM settle_position(v_order.strategy_id, p_account_id, v_order.instrument_id, p_fill_id, p_at) a;
    END IF;

    -- What leaves the account is taken from the reservation first, and from the free balance beyond it. Near the end, since
    -- every judge of the account waits for its balances.
    IF v_is_swap THEN
        IF v_wallet.is_late THEN
            PERFORM settle_contracts(p_account_id, v_instrument.id, v_instrument.quote, p_fill_id, p_at);
        END IF;
        v_covered := consume_reservation(v_order.reservation_id, coalesce((
            SELECT CASE WHEN v_order.filled_quantity + p_quantity >= v_order.quantity THEN r.remaining
                        ELSE round(r.amount * p_quantity / v_order.quantity, 8) END
              FROM reservations r WHERE r.id = v_order.reservation_id), 0), p_at);
        PERFORM move_margin(p_account_id, v_instrument.quote, v_covered + v_wallet.realized - v_wallet.margin - v_quote_fee,
                            v_wallet.margin, p_at);
    ELSIF v_order.side = 'BUY' THEN
        v_covered := consume_reservation(v_order.reservation_id, v_notional + v_quote_fee, p_at);
        PERFORM move_free_balance(p_account_id, v_instrument.quote, v_covered - v_notional - v_quote_fee, p_at);
        PERFORM move_free_balance(p_account_id, v_instrument.base, p_quantity - v_base_fee, p_at);
    ELSE
        v_covered := consume_reservation(v_order.reservation_id, p_quantity + v_base_fee, p_at);
        PERFORM move_free_balance(p_account_id, v_instrument.base, v_covered - p_quantity - v_base_fee, p_at);
        PERFORM move_free_balance(p_account_id, v_instrument.quote, v_notional - v_quote_fee, p_at);
    END IF;
    IF p_commission <> v_base_fee + v_quote_fee THEN
        PERFORM move_free_balance(p_account_id, p_commission_asset, -p_commission, p_at);
    END IF;

    PERFORM set_step_cause(p_source, jsonb_build_object('exchange_trade_id', p_exchange_trade_id, 'quantity', p_quantity::text,
        'price', p_price::text, 'commission', p_commission::text, 'commission_asset', p_commission_asset));
    IF v_order.status = 'NEW' THEN
        -- A fill of an order we have not sent by our own books: the venue's word stands, the step is shown.
        UPDATE orders AS o SET status = 'SUBMITTING', update_time = p_at WHERE o.id = v_order.id;
        v_order.status := 'SUBMITTING';
    END IF;
    v_filled := v_order.filled_quantity - v_taken.quantity + p_quantity;
    status := CASE WHEN v_filled = v_order.filled_quantity THEN v_order.status
                   WHEN v_filled >= v_order.quantity THEN 'FILLED'
                   WHEN v_order.status IN ('PENDING_CANCEL', 'PENDING_REPLACE') THEN v_order.status
                   ELSE 'PARTIALLY_FILLED' END;
    UPDATE orders AS o
       SET status = apply_fill.status, filled_quantity = v_filled, update_time = p_at,
           -- where nobody knows the venue's number, our own stands for it in the fill
           exchange_order_id = coalesce(o.exchange_order_id, nullif(p_exchange_order_id, p_client_order_id)),
           avg_fill_price = CASE WHEN o.filled_quantity = 0 THEN round(v_notional / p_quantity, 12)
                                 ELSE (SELECT round(sum(t.quantity * t.price) / sum(t.quantity), 12) FROM trades t
                                        WHERE t.order_id = o.id) END,
           commission = o.commission + p_commission, commission_asset = coalesce(o.commission_asset, p_commission_asset)
     WHERE o.id = v_order.id;
    IF v_taken.quantity > 0 THEN  -- the order may stand as before, and still something has happened
        INSERT INTO order_events (order_id, event_type, from_status, to_status, source, payload, occurred_at)
        VALUES (v_order.id, 'fill', v_order.status, status, p_source,
                jsonb_build_object('exchange_trade_id', p_exchange_trade_id, 'takes_the_place_of_inferred', v_taken.quantity::text),
                p_at);
    END IF;
    outcome := 'applied';
END $$;

-- Each balance beside the sum of its ledger lines; a row with a difference is a defect.
CREATE OR REPLACE VIEW v_balance_check AS
SELECT account_id, asset, coalesce(b.total, 0) AS balance, coalesce(l.total, 0) AS ledger,
       coalesce(b.total, 0) - coalesce(l.total, 0) AS difference
  FROM (SELECT account_id, asset, free_balance + locked_balance AS total FROM portfolio_balances) b
  FULL JOIN (SELECT e.account_id, x.asset, sum(x.amount) AS total
               FROM ledger_lines x JOIN ledger_entries e ON e.id = x.entry_id
              WHERE x.account IN ('asset:spot', 'asset:margin') GROUP BY 1, 2) l USING (account_id, asset);
COMMENT ON VIEW v_balance_check IS 'order_executor: balances against the ledger';

-- Every strategy's position computed anew from its fills, beside what is stored; a row with a difference is a defect.
CREATE OR REPLACE FUNCTION rebuild_positions()
RETURNS TABLE (strategy_id uuid, account_id uuid, instrument_id int, stored numeric, rebuilt numeric,
               stored_realized numeric, rebuilt_realized numeric, is_equal boolean) LANGUAGE plpgsql STABLE AS $$
#variable_conflict use_column
DECLARE
    v_group record;
    v_after record;
    v_held numeric;
    v_realized numeric;
BEGIN
    FOR v_group IN SELECT DISTINCT o.strategy_id, t.account_id, t.instrument_id
                     FROM trades t JOIN orders o ON o.id = t.order_id WHERE o.strategy_id IS NOT NULL LOOP
        v_held := 0; v_realized := 0;
        FOR v_after IN SELECT r.held, r.realized
                         FROM replay_position(v_group.strategy_id, v_group.account_id, v_group.instrument_id) r LOOP
            v_held := v_after.held; v_realized := v_realized + v_after.realized;
        END LOOP;
        strategy_id := v_group.strategy_id; account_id := v_group.account_id; instrument_id := v_group.instrument_id;
        rebuilt := v_held; rebuilt_realized := v_realized;
        SELECT coalesce(sum(signed_quantity(s.side, s.quantity)), 0), coalesce(sum(s.realized_pnl), 0) INTO stored, stored_realized
          FROM strategy_positions s WHERE s.strategy_id = v_group.strategy_id AND s.account_id = v_group.account_id
           AND s.instrument_id = v_group.instrument_id;
        is_equal := (stored, stored_realized) = (rebuilt, rebuilt_realized);
        RETURN NEXT;
    END LOOP;
END $$;
