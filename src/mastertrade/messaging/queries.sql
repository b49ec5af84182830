-- name: declare_subscription
-- Why: the event types a consumer handles are exactly these; the others no longer wait for it.
-- idempotent: a second run finds the same rows.
WITH gone AS (
    DELETE FROM subscriptions WHERE consumer = :consumer AND event_type <> ALL (:event_types::text[])
)
INSERT INTO subscriptions (event_type, consumer)
SELECT event_type, :consumer FROM unnest(:event_types::text[]) AS event_type
ON CONFLICT (event_type, consumer) DO NOTHING;

-- name: publish_events
-- Why: the facts and their events are one transaction, in one round trip.
SELECT publish_event(x.event_id, x.event_type, x.key, x.payload, x.occurred_at, x.correlation_id, x.causation_id) AS consumers
  FROM unnest(:event_ids::uuid[], :event_types::text[], :keys::text[], :payloads::jsonb[], :occurred_ats::timestamptz[],
              :correlation_ids::uuid[], :causation_ids::uuid[])
       WITH ORDINALITY AS x (event_id, event_type, key, payload, occurred_at, correlation_id, causation_id, place)
 ORDER BY x.place;

-- name: claim_delivery
-- Why: take the next event in hand; the lock ends with the transaction, so a crash gives it back. The payload stays text:
-- reading it may fail, and then its event is known and counted already.
SELECT outbox_id, event_id, event_type, key, payload::text AS payload, is_seen, started, excused, last_error, has_others
  FROM claim_delivery(:consumer, :busy_keys);

-- name: count_attempt
-- Why: committed before the handler runs, so that an event that kills the process is known by its tries.
SELECT count_attempt(:outbox_id, :consumer);

-- name: finish_delivery
-- Why: effect, inbox row and the end of the delivery commit together.
SELECT finish_delivery(:outbox_id, :consumer, :event_id, :is_seen);

-- name: fail_delivery
-- Why: leave a failed event alone for a while; when another process has it in hand already, only the error is noted.
WITH put_off AS (
    UPDATE deliveries d SET available_at = clock_timestamp() + make_interval(secs => :delay_s)
      FROM (SELECT outbox_id, consumer FROM deliveries
             WHERE outbox_id = :outbox_id AND consumer = :consumer FOR UPDATE SKIP LOCKED) AS mine
     WHERE d.outbox_id = mine.outbox_id AND d.consumer = mine.consumer
)
UPDATE delivery_attempts
   SET excused = least(started, excused + :excused::int), last_error = coalesce(:error, last_error)
 WHERE outbox_id = :outbox_id AND consumer = :consumer;

-- name: bury_delivery
-- Why: the event leaves the queue and stays visible; its key goes on.
WITH dead AS (
    DELETE FROM deliveries WHERE outbox_id = :outbox_id AND consumer = :consumer RETURNING outbox_id, consumer
), counted AS (
    DELETE FROM delivery_attempts WHERE outbox_id = :outbox_id AND consumer = :consumer
)
INSERT INTO dead_letters (consumer, event_id, event_type, key, payload, attempts, error, died_at)
SELECT d.consumer, o.event_id, o.event_type, o.key, o.payload, :attempts, :error, :died_at
  FROM dead d JOIN outbox o ON o.id = d.outbox_id
ON CONFLICT (consumer, event_id) DO UPDATE
   SET attempts = EXCLUDED.attempts, error = EXCLUDED.error, died_at = EXCLUDED.died_at;

-- name: waiting_deliveries
-- Why: the truth behind every wake-up.
SELECT * FROM waiting_deliveries(:consumers);

-- name: notify
-- Why: wakes consumers in other processes; sent on its own, because inside a business transaction it would queue every
-- commit of the server behind one lock.
SELECT pg_notify(:channel, :payload);

-- name: dead_letters
-- Why: what people have to look at, newest first; as text, since some died because nobody can read them.
SELECT event_id, event_type, consumer, attempts, error, died_at, payload::text AS payload
  FROM dead_letters ORDER BY died_at DESC, id DESC LIMIT :limit;

-- name: prune_outbox
-- Why: events everybody has handled are kept for a while only; oldest first, bounded, never one that still waits.
DELETE FROM outbox
 WHERE id IN (
       SELECT o.id FROM outbox o
        WHERE o.created_at < now() - :older_than::interval
          AND NOT EXISTS (SELECT FROM deliveries d WHERE d.outbox_id = o.id)
        ORDER BY o.created_at LIMIT :limit);

-- name: prune_inbox
-- Why: an event that old is not published again, so nobody asks whether it was handled.
DELETE FROM inbox
 WHERE (consumer, event_id) IN (
       SELECT consumer, event_id FROM inbox
        WHERE handled_at < now() - :older_than::interval ORDER BY handled_at LIMIT :limit);
