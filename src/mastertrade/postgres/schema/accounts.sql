-- Accounts: who trades where, what is owned, what is promised, and the ledger that proves it.
-- Owner of every table here: order_executor. Others call the functions.

CREATE TABLE IF NOT EXISTS accounts (
    id           uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    name         text NOT NULL,
    venue        text NOT NULL,
    environment  text NOT NULL DEFAULT 'paper',
    quote_asset  text NOT NULL DEFAULT 'USDT',
    created_at   timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT accounts_name_is_unique UNIQUE (name),
    CONSTRAINT accounts_environment_is_known CHECK (environment IN ('paper', 'testnet', 'production'))
);
ALTER TABLE accounts
    ADD COLUMN IF NOT EXISTS kind text NOT NULL DEFAULT 'spot'
        CONSTRAINT accounts_kind_is_known CHECK (kind IN ('spot', 'swap')),
    ADD COLUMN IF NOT EXISTS leverage numeric NOT NULL DEFAULT 1
        CONSTRAINT accounts_leverage_is_sane CHECK (leverage >= 1 AND leverage <= 125 AND min_scale(leverage) <= 2)
        CONSTRAINT accounts_spot_is_paid_in_full CHECK (kind = 'swap' OR leverage = 1);
COMMENT ON COLUMN accounts.leverage IS 'notional a unit of margin may carry: what an entry sets aside is its notional over this';
COMMENT ON TABLE accounts IS
    'order_executor: one account on one venue, for its spot markets or its swaps; balances, orders and limits belong to it';

CREATE TABLE IF NOT EXISTS portfolio_balances (
    account_id      uuid NOT NULL REFERENCES accounts (id) ON DELETE RESTRICT,
    asset           text NOT NULL,
    environment     text NOT NULL DEFAULT 'paper',
    free_balance    amount NOT NULL DEFAULT 0,
    locked_balance  quantity NOT NULL DEFAULT 0,
    updated_at      timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (account_id, asset),
    CONSTRAINT portfolio_balances_environment_is_known CHECK (environment IN ('paper', 'testnet', 'production'))
) WITH (fillfactor = 50);
COMMENT ON TABLE portfolio_balances IS 'order_executor: free and reserved amount per asset; always the sum of the ledger';

CREATE TABLE IF NOT EXISTS reservations (
    id           uuid PRIMARY KEY,
    account_id   uuid NOT NULL REFERENCES accounts (id) ON DELETE RESTRICT,
    asset        text NOT NULL,
    amount       quantity NOT NULL,
    remaining    quantity NOT NULL,
    reserved_at  timestamptz NOT NULL,
    released_at  timestamptz,
    CONSTRAINT reservations_remaining_within_amount CHECK (remaining <= amount),
    CONSTRAINT reservations_released_hold_nothing CHECK (released_at IS NULL OR remaining = 0)
);
CREATE INDEX IF NOT EXISTS reservations_open ON reservations (account_id, asset) WHERE released_at IS NULL;
COMMENT ON TABLE reservations IS 'order_executor: capital set aside by an approval until its order is final';

CREATE TABLE IF NOT EXISTS ledger_entries (
    id           bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    account_id   uuid NOT NULL REFERENCES accounts (id) ON DELETE RESTRICT,
    kind         text NOT NULL,
    source_key   text NOT NULL,
    occurred_at  timestamptz NOT NULL,
    created_at   timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT ledger_entries_once_per_source UNIQUE (kind, source_key)
);
CREATE INDEX IF NOT EXISTS ledger_entries_by_account ON ledger_entries (account_id, id);
CREATE INDEX IF NOT EXISTS ledger_entries_flows ON ledger_entries (account_id) WHERE kind <> 'fill';
COMMENT ON TABLE ledger_entries IS 'order_executor: one balanced booking; written once, never changed';

CREATE TABLE IF NOT EXISTS ledger_lines (
    entry_id  bigint NOT NULL REFERENCES ledger_entries (id) ON DELETE RESTRICT,
    line      int NOT NULL,
    account   text NOT NULL,
    asset     text NOT NULL,
    amount    amount NOT NULL,
    PRIMARY KEY (entry_id, line),
    CONSTRAINT ledger_lines_move_something CHECK (amount <> 0)
);
-- Once: on a ledger that has grown the check of every line takes its time.
DO $$
BEGIN
    IF NOT EXISTS (SELECT FROM pg_constraint WHERE conname = 'ledger_lines_account_is_known'
                      AND pg_get_constraintdef(oid) LIKE '%income:funding%') THEN
        ALTER TABLE ledger_entries DROP CONSTRAINT IF EXISTS ledger_entries_kind_is_known;
        ALTER TABLE ledger_entries ADD CONSTRAINT ledger_entries_kind_is_known
            CHECK (kind IN ('deposit', 'fill', 'adjustment', 'funding'));
        ALTER TABLE ledger_lines DROP CONSTRAINT IF EXISTS ledger_lines_account_is_known;
        ALTER TABLE ledger_lines ADD CONSTRAINT ledger_lines_account_is_known CHECK (account IN (
            'asset:spot', 'asset:margin', 'asset:contract', 'exchange:trade', 'expense:fee', 'income:realized', 'income:funding',
            'equity:deposit', 'equity:adjustment'));
    END IF;
END $$;
COMMENT ON TABLE ledger_lines IS 'order_executor: signed amounts of an entry; they sum to zero per asset';

CREATE TABLE IF NOT EXISTS leases (
    role      text PRIMARY KEY,
    holder    text NOT NULL,
    epoch     bigint NOT NULL,
    taken_at  timestamptz NOT NULL
);
COMMENT ON TABLE leases IS 'order_executor: who holds a role, and the epoch that fences off its predecessors';

-- A booking that does not balance cannot commit.
CREATE OR REPLACE FUNCTION ledger_entry_balances() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    v_asset text;
    v_sum numeric;
BEGIN
    SELECT asset, sum(amount) INTO v_asset, v_sum
      FROM ledger_lines WHERE entry_id = NEW.entry_id
     GROUP BY asset HAVING sum(amount) <> 0 LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION 'ledger entry % does not balance: % is off by %', NEW.entry_id, v_asset, v_sum
            USING ERRCODE = 'check_violation';
    END IF;
    RETURN NULL;
END $$;

DROP TRIGGER IF EXISTS ledger_lines_balance ON ledger_lines;
CREATE CONSTRAINT TRIGGER ledger_lines_balance AFTER INSERT ON ledger_lines
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION ledger_entry_balances();

CREATE OR REPLACE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '% is append-only: % is refused; write a new row instead', TG_TABLE_NAME, TG_OP
        USING ERRCODE = 'restrict_violation';
END $$;

DROP TRIGGER IF EXISTS ledger_entries_are_final ON ledger_entries;
CREATE TRIGGER ledger_entries_are_final BEFORE UPDATE OR DELETE OR TRUNCATE ON ledger_entries
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
DROP TRIGGER IF EXISTS ledger_lines_are_final ON ledger_lines;
CREATE TRIGGER ledger_lines_are_final BEFORE UPDATE OR DELETE OR TRUNCATE ON ledger_lines
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

-- Books one entry; the same (kind, source_key) a second time changes nothing and returns NULL. Zero amounts are left out.
CREATE OR REPLACE FUNCTION post_entry(
    p_account_id uuid, p_kind text, p_source_key text, p_at timestamptz,
    p_accounts text[], p_assets text[], p_amounts numeric[]
) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
    v_entry bigint;
BEGIN
    INSERT INTO ledger_entries (account_id, kind, source_key, occurred_at)
    VALUES (p_account_id, p_kind, p_source_key, p_at)
    ON CONFLICT (kind, source_key) DO NOTHING
    RETURNING id INTO v_entry;
    IF v_entry IS NULL THEN
        RETURN NULL;
    END IF;
    INSERT INTO ledger_lines (entry_id, line, account, asset, amount)
    SELECT v_entry, row_number() OVER (ORDER BY u.position), u.account, u.asset, u.amount
      FROM unnest(p_accounts, p_assets, p_amounts) WITH ORDINALITY AS u (account, asset, amount, position)
     WHERE u.amount <> 0;
    RETURN v_entry;
END $$;

-- Adds to the free balance, or takes from it. Only called together with the ledger entry that says why.
CREATE OR REPLACE FUNCTION move_free_balance(p_account_id uuid, p_asset text, p_amount numeric, p_at timestamptz)
RETURNS void LANGUAGE sql AS $$
    INSERT INTO portfolio_balances AS b (account_id, asset, environment, free_balance, updated_at)
    SELECT a.id, p_asset, a.environment, p_amount, p_at FROM accounts a WHERE a.id = p_account_id
    ON CONFLICT (account_id, asset)
    DO UPDATE SET free_balance = b.free_balance + EXCLUDED.free_balance, updated_at = EXCLUDED.updated_at;
$$;

-- The ledger's name for the money of an account.
CREATE OR REPLACE FUNCTION wallet_of(p_account_id uuid) RETURNS text LANGUAGE sql STABLE AS $$
    SELECT CASE kind WHEN 'swap' THEN 'asset:margin' ELSE 'asset:spot' END FROM accounts WHERE id = p_account_id;
$$;

-- Books money brought in. The same source key twice is one deposit; returns whether this call was the one that booked.
CREATE OR REPLACE FUNCTION deposit(
    p_account_id uuid, p_asset text, p_amount numeric, p_source_key text, p_at timestamptz
) RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
    IF NOT p_amount > 0 OR p_amount = 'NaN' THEN
        RAISE EXCEPTION 'a deposit of % % is refused: the amount must be above 0', p_amount, p_asset
            USING ERRCODE = 'check_violation';
    END IF;
    IF post_entry(p_account_id, 'deposit', p_source_key, p_at,
                  ARRAY[wallet_of(p_account_id), 'equity:deposit'], ARRAY[p_asset, p_asset], ARRAY[p_amount, -p_amount]) IS NULL THEN
        RETURN false;
    END IF;
    PERFORM move_free_balance(p_account_id, p_asset, p_amount, p_at);
    RETURN true;
END $$;

-- Sets capital aside under the lock of its balance row; what needs none (the exit of a swap) is set aside as nothing. False: not
-- that much is free, and nothing changed.
CREATE OR REPLACE FUNCTION reserve_balance(
    p_reservation_id uuid, p_account_id uuid, p_asset text, p_amount numeric, p_at timestamptz
) RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
    IF p_amount <> 0 OR p_amount IS NULL OR wallet_of(p_account_id) = 'asset:spot' THEN
        UPDATE portfolio_balances
           SET free_balance = free_balance - p_amount, locked_balance = locked_balance + p_amount, updated_at = p_at
         WHERE account_id = p_account_id AND asset = p_asset AND free_balance >= p_amount AND p_amount > 0;
        IF NOT FOUND THEN
            RETURN false;
        END IF;
    END IF;
    INSERT INTO reservations (id, account_id, asset, amount, remaining, reserved_at)
    VALUES (p_reservation_id, p_account_id, p_asset, p_amount, p_amount, p_at);
    RETURN true;
END $$;

-- Takes up to p_amount out of a reservation and of the locked balance; returns what the reservation covered.
CREATE OR REPLACE FUNCTION consume_reservation(p_reservation_id uuid, p_amount numeric, p_at timestamptz)
RETURNS numeric LANGUAGE plpgsql AS $$
DECLARE
    v_row reservations;
    v_taken numeric;
    v_wanted amount := p_amount;  -- what is no number is above every number, and would take all
BEGIN
    SELECT * INTO v_row FROM reservations WHERE id = p_reservation_id FOR UPDATE;
    IF NOT FOUND THEN
        RETURN 0;
    END IF;
    v_taken := greatest(0, least(v_row.remaining, v_wanted));
    IF v_taken > 0 THEN
        UPDATE reservations SET remaining = remaining - v_taken WHERE id = p_reservation_id;
        UPDATE portfolio_balances SET locked_balance = locked_balance - v_taken, updated_at = p_at
         WHERE account_id = v_row.account_id AND asset = v_row.asset;
    END IF;
    RETURN v_taken;
END $$;

-- Gives back what is left of a reservation. A second call changes nothing.
CREATE OR REPLACE FUNCTION release_reservation(p_reservation_id uuid, p_at timestamptz)
RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    v_row reservations;
BEGIN
    SELECT * INTO v_row FROM reservations WHERE id = p_reservation_id AND released_at IS NULL FOR UPDATE;
    IF NOT FOUND THEN
        RETURN;
    END IF;
    UPDATE reservations SET remaining = 0, released_at = p_at WHERE id = p_reservation_id;
    UPDATE portfolio_balances
       SET locked_balance = locked_balance - v_row.remaining, free_balance = free_balance + v_row.remaining, updated_at = p_at
     WHERE account_id = v_row.account_id AND asset = v_row.asset;
END $$;

-- Makes the caller the holder of a role and fences off the one before. Waits for writes of the old epoch to end.
CREATE OR REPLACE FUNCTION take_lease(p_role text, p_holder text, p_at timestamptz) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
    v_epoch bigint;
BEGIN
    PERFORM pg_advisory_xact_lock(hashtextextended('lease:' || p_role, 0));
    INSERT INTO leases AS l (role, holder, epoch, taken_at) VALUES (p_role, p_holder, 1, p_at)
    ON CONFLICT (role) DO UPDATE SET holder = EXCLUDED.holder, epoch = l.epoch + 1, taken_at = EXCLUDED.taken_at
    RETURNING epoch INTO v_epoch;
    RETURN v_epoch;
END $$;

-- True while p_epoch is the newest of its role; holds off a takeover until the caller's transaction ends.
CREATE OR REPLACE FUNCTION lease_is_held(p_role text, p_epoch bigint) RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_advisory_xact_lock_shared(hashtextextended('lease:' || p_role, 0));
    RETURN EXISTS (SELECT 1 FROM leases WHERE role = p_role AND epoch = p_epoch);
END $$;

-- For the FROM of a statement that writes: nothing is written under an epoch that has passed. Without a role the writer claims
-- none. Taken before any row is locked, so that a takeover waits for writers and never the other way round.
CREATE OR REPLACE FUNCTION require_lease(p_role text, p_epoch bigint) RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
    IF p_role IS NULL OR lease_is_held(p_role, p_epoch) THEN
        RETURN true;
    END IF;
    RAISE EXCEPTION 'the lease % has passed on: epoch % may write no more', p_role, p_epoch USING ERRCODE = 'MTL01';
END $$;
