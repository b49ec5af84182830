-- Bus: what was published, who has yet to hear it, who has heard it, and what could not be heard.
-- Owner of every table here: messaging. Others publish through the function, inside their own transaction.

CREATE TABLE IF NOT EXISTS subscriptions (
    event_type   text NOT NULL,
    consumer     text NOT NULL,
    declared_at  timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (event_type, consumer)
);
COMMENT ON TABLE subscriptions IS 'messaging: which consumer waits for which type of event, whether it runs or not';

-- Rows are kept for a while after everybody has heard them: they make a second publication of the same event harmless.
CREATE TABLE IF NOT EXISTS outbox (
    id              bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    event_id        uuid NOT NULL,
    event_type      text NOT NULL,
    key             text NOT NULL,
    payload         jsonb NOT NULL,
    occurred_at     timestamptz NOT NULL,
    correlation_id  uuid,
    causation_id    uuid,
    created_at      timestamptz NOT NULL DEFAULT now(),
    sent_at         timestamptz,
    CONSTRAINT outbox_event_is_published_once UNIQUE (event_id)
);
CREATE INDEX IF NOT EXISTS outbox_by_age ON outbox (created_at);
COMMENT ON TABLE outbox IS 'messaging: every event as it was published; its id is the order in which a key is heard';
COMMENT ON COLUMN outbox.sent_at IS 'when a broker confirmed it; stays empty while the database itself is the bus';

-- A queue: rows live for milliseconds, so dead ones must go early, and every index leads straight to a consumer's first
-- row. The hash index serves the foreign key alone: a second tree over outbox_id would tempt the planner to read the
-- queues of all consumers in order.
CREATE TABLE IF NOT EXISTS deliveries (
    consumer      text COLLATE "C" NOT NULL,
    outbox_id     bigint NOT NULL REFERENCES outbox (id) ON DELETE RESTRICT,
    key           text COLLATE "C" NOT NULL,
    available_at  timestamptz NOT NULL DEFAULT '-infinity',
    PRIMARY KEY (consumer, outbox_id)
) WITH (fillfactor = 70, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 1000,
        autovacuum_vacuum_cost_delay = 0);
CREATE INDEX IF NOT EXISTS deliveries_heads ON deliveries (consumer, key, outbox_id);
CREATE INDEX IF NOT EXISTS deliveries_by_event ON deliveries USING hash (outbox_id);
COMMENT ON TABLE deliveries IS 'messaging: one row for each event and consumer that has not handled it yet';
COMMENT ON COLUMN deliveries.available_at IS 'a failed event is left alone until then';

-- No foreign key: a row is committed while another connection holds the lock on its delivery.
CREATE TABLE IF NOT EXISTS delivery_attempts (
    consumer    text COLLATE "C" NOT NULL,
    outbox_id   bigint NOT NULL,
    started     int NOT NULL,
    excused     int NOT NULL DEFAULT 0,
    last_error  text,
    PRIMARY KEY (consumer, outbox_id),
    CONSTRAINT delivery_attempts_excuses_only_what_was_started CHECK (excused BETWEEN 0 AND started)
) WITH (fillfactor = 70, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 1000,
        autovacuum_vacuum_cost_delay = 0);
COMMENT ON TABLE delivery_attempts IS 'messaging: tries of an unhandled event, committed before each try begins';

CREATE TABLE IF NOT EXISTS inbox (
    consumer    text COLLATE "C" NOT NULL,
    event_id    uuid NOT NULL,
    handled_at  timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT inbox_event_is_handled_once PRIMARY KEY (consumer, event_id)
);
CREATE INDEX IF NOT EXISTS inbox_by_age ON inbox (handled_at);
COMMENT ON TABLE inbox IS 'messaging: what each consumer has handled, committed with the effect';

CREATE TABLE IF NOT EXISTS dead_letters (
    id          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    consumer    text NOT NULL,
    event_id    uuid NOT NULL,
    event_type  text NOT NULL,
    key         text NOT NULL,
    payload     jsonb NOT NULL,
    attempts    int NOT NULL,
    error       text NOT NULL,
    died_at     timestamptz NOT NULL,
    CONSTRAINT dead_letters_event_dies_once_per_consumer UNIQUE (consumer, event_id)
);
COMMENT ON TABLE dead_letters IS 'messaging: events a consumer could not handle, with the last error; kept for people to look at';

-- Publish: one call, one round trip. Returns the consumers that wait for it; none when the event was there already.
-- Ids are drawn before commit, so events of one key are ordered only between transactions that do not overlap: whoever
-- cares locks the row the key stands for before publishing, as the services do.
CREATE OR REPLACE FUNCTION publish_event(
    p_event_id uuid, p_event_type text, p_key text, p_payload jsonb, p_occurred_at timestamptz,
    p_correlation_id uuid, p_causation_id uuid
) RETURNS text[] LANGUAGE plpgsql AS $$
DECLARE
    v_id         bigint;
    v_consumers  text[];
BEGIN
    INSERT INTO outbox (event_id, event_type, key, payload, occurred_at, correlation_id, causation_id)
    VALUES (p_event_id, p_event_type, p_key, p_payload, p_occurred_at, p_correlation_id, p_causation_id)
    ON CONFLICT (event_id) DO NOTHING
    RETURNING id INTO v_id;
    IF v_id IS NULL THEN
        RETURN '{}';
    END IF;
    WITH waiting AS (
        INSERT INTO deliveries (consumer, outbox_id, key)
        SELECT s.consumer, v_id, p_key FROM subscriptions s WHERE s.event_type = p_event_type
        RETURNING consumer
    )
    SELECT array_agg(consumer) INTO v_consumers FROM waiting;
    RETURN coalesce(v_consumers, '{}');
END $$;

-- Lock: true when the delivery is due and nobody else has it or its key in hand. Both locks end with the transaction.
-- The key's is needed because an event whose transaction commits late appears in front of one that is being handled.
CREATE OR REPLACE FUNCTION lock_delivery(p_outbox_id bigint, p_consumer text, p_key text)
RETURNS boolean LANGUAGE plpgsql SET enable_seqscan = off AS $$
BEGIN
    PERFORM FROM deliveries d
      WHERE d.outbox_id = p_outbox_id AND d.consumer = p_consumer AND d.available_at <= clock_timestamp()
        FOR UPDATE SKIP LOCKED;
    RETURN FOUND AND pg_try_advisory_xact_lock(hashtext(p_consumer), hashtext(p_key));
END $$;

-- The functions that read the queue forbid the plans that are right for an empty table: theirs are made once, while it
-- is nearly empty, and kept when thousands wait.

-- Claim: an event that is the first of its key, is due, and that nobody has in hand: the oldest of all, and only when its
-- key waits or is in hand already, another. Those are found by a walk from key to key, one index probe each, so that a
-- long queue behind a key that waits costs nothing; every claim tries the oldest first, so that no key starves.
-- ``has_others``: an event of another key waits, or is in hand.
DO $$
BEGIN
    IF to_regprocedure('claim_delivery(text, text[])') IS NOT NULL
       AND NOT 'has_others' = ANY ((SELECT proargnames FROM pg_proc
                                     WHERE oid = to_regprocedure('claim_delivery(text, text[])'))::text[]) THEN
        DROP FUNCTION claim_delivery(text, text[]);
    END IF;
END $$;
CREATE OR REPLACE FUNCTION claim_delivery(p_consumer text, p_busy_keys text[])
RETURNS TABLE (
    outbox_id bigint, event_id uuid, event_type text, key text, payload jsonb,
    is_seen boolean, started int, excused int, last_error text, has_others boolean
) LANGUAGE plpgsql SET enable_seqscan = off SET enable_bitmapscan = off SET enable_sort = off AS $$
#variable_conflict use_column
DECLARE
    v_id   bigint;
    v_key  text;
BEGIN
    SELECT d.outbox_id, d.key INTO v_id, v_key
      FROM deliveries d WHERE d.consumer = p_consumer ORDER BY d.outbox_id LIMIT 1;
    IF NOT FOUND THEN
        RETURN;
    END IF;
    IF v_key = ANY (p_busy_keys) OR NOT lock_delivery(v_id, p_consumer, v_key) THEN
        v_id := NULL;
        FOR v_id, v_key IN
            WITH RECURSIVE heads AS (
                (SELECT d.key, d.outbox_id, d.available_at FROM deliveries d
                  WHERE d.consumer = p_consumer ORDER BY d.key, d.outbox_id LIMIT 1)
                UNION ALL
                SELECT n.key, n.outbox_id, n.available_at
                  FROM heads h CROSS JOIN LATERAL (
                       SELECT d.key, d.outbox_id, d.available_at FROM deliveries d
                        WHERE d.consumer = p_consumer AND d.key > h.key ORDER BY d.key, d.outbox_id LIMIT 1) n
            )
            SELECT h.outbox_id, h.key FROM heads h
             WHERE h.available_at <= clock_timestamp() AND h.key <> ALL (p_busy_keys)
        LOOP
            EXIT WHEN lock_delivery(v_id, p_consumer, v_key);
            v_id := NULL;
        END LOOP;
    END IF;
    RETURN QUERY
    SELECT o.id, o.event_id, o.event_type, o.key, o.payload,
           EXISTS (SELECT FROM inbox i WHERE i.consumer = p_consumer AND i.event_id = o.event_id),
           coalesce(a.started, 0), coalesce(a.excused, 0), a.last_error,
           EXISTS (SELECT FROM deliveries d WHERE d.consumer = p_consumer AND d.key > v_key)
               OR EXISTS (SELECT FROM deliveries d WHERE d.consumer = p_consumer AND d.key < v_key)
      FROM outbox o LEFT JOIN delivery_attempts a ON a.outbox_id = o.id AND a.consumer = p_consumer
     WHERE o.id = v_id;
END $$;

-- Count a try before it begins, on another connection than the one that holds the event: what kills the process must not
-- take the count with it. It need not survive the server, so it does not wait for the disk.
CREATE OR REPLACE FUNCTION count_attempt(p_outbox_id bigint, p_consumer text) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    PERFORM set_config('synchronous_commit', 'off', true);
    INSERT INTO delivery_attempts AS a (consumer, outbox_id, started) VALUES (p_consumer, p_outbox_id, 1)
    ON CONFLICT (consumer, outbox_id) DO UPDATE SET started = a.started + 1;
END $$;

-- Finish: the inbox row commits with the effect. Returns whether more events wait for this consumer.
CREATE OR REPLACE FUNCTION finish_delivery(p_outbox_id bigint, p_consumer text, p_event_id uuid, p_is_seen boolean)
RETURNS boolean LANGUAGE plpgsql SET enable_seqscan = off AS $$
BEGIN
    IF NOT p_is_seen THEN
        INSERT INTO inbox (consumer, event_id) VALUES (p_consumer, p_event_id);
    END IF;
    DELETE FROM delivery_attempts a WHERE a.outbox_id = p_outbox_id AND a.consumer = p_consumer;
    DELETE FROM deliveries d WHERE d.outbox_id = p_outbox_id AND d.consumer = p_consumer;
    RETURN EXISTS (SELECT FROM deliveries d WHERE d.consumer = p_consumer);
END $$;

-- Waiting: how much waits for each of these consumers, counted up to 1000, and in how many seconds the first is due.
-- What is in hand waits too.
CREATE OR REPLACE FUNCTION waiting_deliveries(p_consumers text[])
RETURNS TABLE (consumer text, waiting bigint, due_in_s float8)
LANGUAGE plpgsql STABLE SET enable_seqscan = off SET enable_bitmapscan = off SET enable_sort = off AS $$
#variable_conflict use_column
BEGIN
    RETURN QUERY
    SELECT c.consumer, w.waiting, greatest(0, extract(epoch FROM w.first_due_at - clock_timestamp()))::float8
      FROM unnest(p_consumers) AS c (consumer)
     CROSS JOIN LATERAL (
           SELECT count(*) AS waiting, greatest(min(d.available_at), 'epoch') AS first_due_at
             FROM (SELECT q.available_at FROM deliveries q
                    WHERE q.consumer = c.consumer ORDER BY q.outbox_id LIMIT 1000) AS d
           ) AS w
     WHERE w.waiting > 0;
END $$;
