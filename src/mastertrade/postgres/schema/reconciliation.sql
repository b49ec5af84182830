-- Reconciliation: what our books and a venue disagree about, and whether an account may trade.
-- Owner of every table here: order_executor.

CREATE TABLE IF NOT EXISTS account_states (
    account_id   uuid PRIMARY KEY REFERENCES accounts (id) ON DELETE RESTRICT,
    state        text NOT NULL,
    epoch        bigint NOT NULL,
    reason       text NOT NULL,
    since        timestamptz NOT NULL,
    compared_at  timestamptz,
    CONSTRAINT account_states_state_is_known CHECK (state IN ('recovering', 'broken', 'live'))
);
COMMENT ON TABLE account_states IS
    'order_executor: live trades; broken only reduces, until its breaks are gone, waived or booked; recovering sends nothing';

CREATE TABLE IF NOT EXISTS reconciliation_breaks (
    id            uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    account_id    uuid NOT NULL REFERENCES accounts (id) ON DELETE RESTRICT,
    kind          text NOT NULL,
    subject       text NOT NULL,
    ours          amount,
    theirs        amount,
    detail        text NOT NULL,
    blocks        boolean NOT NULL,
    times_seen    int NOT NULL DEFAULT 1,
    first_seen    timestamptz NOT NULL,
    last_seen     timestamptz NOT NULL,
    waived_at     timestamptz,
    waived_by     text,
    waive_reason  text,
    closed_at     timestamptz,
    closed_by     text,
    CONSTRAINT reconciliation_breaks_closed_says_by_whom CHECK ((closed_at IS NULL) = (closed_by IS NULL)),
    CONSTRAINT reconciliation_breaks_waived_says_by_whom
        CHECK ((waived_at IS NULL) = (waived_by IS NULL) AND (waived_at IS NULL) = (waive_reason IS NULL))
);
-- squawk-ignore ban-drop-constraint -- what follows allows more
ALTER TABLE reconciliation_breaks DROP CONSTRAINT IF EXISTS reconciliation_breaks_kind_is_known;
ALTER TABLE reconciliation_breaks ADD CONSTRAINT reconciliation_breaks_kind_is_known
    CHECK (kind IN ('balance', 'order_gone', 'order_differs', 'missing_fills', 'foreign_order', 'position', 'claims'));
CREATE UNIQUE INDEX IF NOT EXISTS reconciliation_breaks_one_open
    ON reconciliation_breaks (account_id, kind, subject) WHERE closed_at IS NULL;
CREATE INDEX IF NOT EXISTS reconciliation_breaks_by_account ON reconciliation_breaks (account_id, first_seen DESC);
COMMENT ON TABLE reconciliation_breaks IS
    'order_executor: each difference between our books and the venue, from when it was first seen until it was gone';

-- What an account may do under this epoch: a comparison made under another one counts for nothing.
CREATE OR REPLACE FUNCTION account_state(p_account uuid, p_epoch bigint) RETURNS text LANGUAGE sql STABLE AS $$
    SELECT coalesce((SELECT state FROM account_states WHERE account_id = p_account AND epoch = p_epoch), 'recovering');
$$;

-- Nothing is sent for this account until it has been compared again. True when it was allowed to trade before.
CREATE OR REPLACE FUNCTION begin_recovery(
    p_account uuid, p_role text, p_epoch bigint, p_reason text, p_at timestamptz
) RETURNS boolean LANGUAGE plpgsql AS $$
DECLARE
    v_before text;
BEGIN
    PERFORM require_lease(p_role, p_epoch);
    v_before := account_state(p_account, p_epoch);
    INSERT INTO account_states AS s (account_id, state, epoch, reason, since)
    VALUES (p_account, 'recovering', p_epoch, p_reason, p_at)
    ON CONFLICT (account_id) DO UPDATE
        SET state = EXCLUDED.state, epoch = EXCLUDED.epoch, reason = EXCLUDED.reason, since = EXCLUDED.since
      WHERE (s.state, s.epoch, s.reason) IS DISTINCT FROM (EXCLUDED.state, EXCLUDED.epoch, EXCLUDED.reason);
    RETURN v_before <> 'recovering';
END $$;

-- Keeps what a comparison found: new differences open, those that are gone close, and a waiver holds only for the difference it
-- was given for. One that is seen for the first time may be the shadow of something under way: it blocks when it is seen again,
-- and until then an account that recovers goes on recovering. Returns the account's state.
CREATE OR REPLACE FUNCTION record_comparison(
    p_account uuid, p_role text, p_epoch bigint, p_at timestamptz, p_breaks jsonb
) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    v_blocking int;
    v_confirmed int;
    v_state text;
    v_reason text;
BEGIN
    PERFORM require_lease(p_role, p_epoch);
    UPDATE reconciliation_breaks b SET closed_at = p_at, closed_by = 'comparison: the difference is gone'
     WHERE b.account_id = p_account AND b.closed_at IS NULL
       AND NOT EXISTS (SELECT 1 FROM jsonb_to_recordset(p_breaks) AS f (kind text, subject text)
                        WHERE f.kind = b.kind AND f.subject = b.subject);
    INSERT INTO reconciliation_breaks AS b (account_id, kind, subject, ours, theirs, detail, blocks, first_seen, last_seen)
    SELECT p_account, f.kind, f.subject, f.ours, f.theirs, f.detail, f.blocks, p_at, p_at
      FROM jsonb_to_recordset(p_breaks) AS f (kind text, subject text, ours numeric, theirs numeric, detail text, blocks boolean)
    ON CONFLICT (account_id, kind, subject) WHERE closed_at IS NULL DO UPDATE
        SET ours = EXCLUDED.ours, theirs = EXCLUDED.theirs, detail = EXCLUDED.detail, blocks = EXCLUDED.blocks,
            last_seen = EXCLUDED.last_seen, times_seen = b.times_seen + 1,
            waived_at = CASE WHEN EXCLUDED.theirs - EXCLUDED.ours IS NOT DISTINCT FROM b.theirs - b.ours THEN b.waived_at END,
            waived_by = CASE WHEN EXCLUDED.theirs - EXCLUDED.ours IS NOT DISTINCT FROM b.theirs - b.ours THEN b.waived_by END,
            waive_reason = CASE WHEN EXCLUDED.theirs - EXCLUDED.ours IS NOT DISTINCT FROM b.theirs - b.ours THEN b.waive_reason END;

    SELECT count(*), count(*) FILTER (WHERE times_seen > 1) INTO v_blocking, v_confirmed
      FROM reconciliation_breaks WHERE account_id = p_account AND closed_at IS NULL AND blocks AND waived_at IS NULL;
    v_state := CASE WHEN v_confirmed > 0 THEN 'broken' WHEN v_blocking > 0 THEN account_state(p_account, p_epoch) ELSE 'live' END;
    v_reason := CASE WHEN v_state = 'live' AND v_blocking = 0 THEN 'our books and the venue agree'
                     ELSE v_blocking || ' difference(s) between our books and the venue' END;
    INSERT INTO account_states AS s (account_id, state, epoch, reason, since, compared_at)
    VALUES (p_account, v_state, p_epoch, v_reason, p_at, p_at)
    ON CONFLICT (account_id) DO UPDATE
        SET state = EXCLUDED.state, epoch = EXCLUDED.epoch, reason = EXCLUDED.reason, compared_at = EXCLUDED.compared_at,
            since = CASE WHEN (s.state, s.epoch) = (EXCLUDED.state, EXCLUDED.epoch) THEN s.since ELSE EXCLUDED.since END;
    RETURN v_state;
END $$;

-- Lets an account trade although these differences stand: one by its id, or all of them. Returns how many were not waived before.
CREATE OR REPLACE FUNCTION waive_breaks(
    p_account uuid, p_break uuid, p_actor text, p_reason text, p_at timestamptz
) RETURNS int LANGUAGE plpgsql AS $$
DECLARE
    v_count int;
BEGIN
    UPDATE reconciliation_breaks SET waived_at = p_at, waived_by = p_actor, waive_reason = p_reason
     WHERE account_id = p_account AND closed_at IS NULL AND waived_at IS NULL AND blocks AND (p_break IS NULL OR id = p_break);
    GET DIAGNOSTICS v_count = ROW_COUNT;
    RETURN v_count;
END $$;

-- Takes the venue's balances for true: books each difference as an adjustment, once. Returns how many were booked.
CREATE OR REPLACE FUNCTION book_balance_breaks(
    p_account uuid, p_break uuid, p_actor text, p_reason text, p_at timestamptz
) RETURNS int LANGUAGE plpgsql AS $$
DECLARE
    v_break reconciliation_breaks;
    v_difference numeric;
    v_count int := 0;
BEGIN
    FOR v_break IN SELECT * FROM reconciliation_breaks
                    WHERE account_id = p_account AND closed_at IS NULL AND kind = 'balance' AND (p_break IS NULL OR id = p_break)
                    ORDER BY subject FOR UPDATE LOOP
        v_difference := v_break.theirs - v_break.ours;
        IF post_entry(p_account, 'adjustment', v_break.id::text, p_at, ARRAY[wallet_of(p_account), 'equity:adjustment'],
                      ARRAY[v_break.subject, v_break.subject], ARRAY[v_difference, -v_difference]) IS NOT NULL THEN
            PERFORM move_free_balance(p_account, v_break.subject, v_difference, p_at);
            v_count := v_count + 1;
        END IF;
        UPDATE reconciliation_breaks SET closed_at = p_at, closed_by = 'booked by ' || p_actor || ': ' || p_reason
         WHERE id = v_break.id;
    END LOOP;
    RETURN v_count;
END $$;

CREATE TABLE IF NOT EXISTS account_streams (
    account_id  uuid PRIMARY KEY REFERENCES accounts (id) ON DELETE RESTRICT,
    state       text NOT NULL,
    epoch       bigint NOT NULL,
    reason      text NOT NULL,
    since       timestamptz NOT NULL,
    changes     bigint NOT NULL DEFAULT 1,
    CONSTRAINT account_streams_state_is_known CHECK (state IN ('down', 'silent', 'open'))
);
COMMENT ON TABLE account_streams IS
    'order_executor: whether the venue tells by itself what happens on the account; without it fills are found by asking';

-- ``since`` is when this state began under this lease.
CREATE OR REPLACE FUNCTION note_stream(
    p_account uuid, p_role text, p_epoch bigint, p_state text, p_reason text, p_at timestamptz
) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    PERFORM require_lease(p_role, p_epoch);
    INSERT INTO account_streams AS s (account_id, state, epoch, reason, since) VALUES (p_account, p_state, p_epoch, p_reason, p_at)
    ON CONFLICT (account_id) DO UPDATE
        SET state = EXCLUDED.state, epoch = EXCLUDED.epoch, reason = EXCLUDED.reason, changes = s.changes + 1,
            since = CASE WHEN (s.state, s.epoch) = (EXCLUDED.state, EXCLUDED.epoch) THEN s.since ELSE EXCLUDED.since END;
END $$;
