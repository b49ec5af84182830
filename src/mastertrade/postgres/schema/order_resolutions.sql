-- Orders whose fate is unknown: what stands against taking them for absent, and what people say became of them.
-- Owner of every table here: order_executor.

CREATE TABLE IF NOT EXISTS order_resolutions (
    id            uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    order_id      uuid NOT NULL REFERENCES orders (id) ON DELETE RESTRICT,
    verdict       text NOT NULL,
    price         price,
    reason        text NOT NULL,
    actor         text NOT NULL,
    requested_at  timestamptz NOT NULL,
    outcome       text,
    explanation   text,
    decided_at    timestamptz,
    CONSTRAINT order_resolutions_verdict_is_known CHECK (verdict IN ('FILLED', 'CANCELED', 'NOT_FOUND')),
    CONSTRAINT order_resolutions_outcome_is_known CHECK (outcome IN ('applied', 'confirmed', 'refused')),
    CONSTRAINT order_resolutions_say_why CHECK (reason ~ '\S'),
    CONSTRAINT order_resolutions_filled_has_a_price CHECK (verdict <> 'FILLED' OR price IS NOT NULL),
    CONSTRAINT order_resolutions_decided_says_what
        CHECK ((decided_at IS NULL) = (outcome IS NULL) AND (decided_at IS NULL) = (explanation IS NULL))
);
CREATE UNIQUE INDEX IF NOT EXISTS order_resolutions_one_open ON order_resolutions (order_id) WHERE decided_at IS NULL;
COMMENT ON TABLE order_resolutions IS
    'order_executor: what people say became of orders whose fate is unknown, and what the executor made of it';

-- Keeps a person's word about an order, for the executor's next look. Returns its id and NULL, or NULL and why it is not taken.
CREATE OR REPLACE FUNCTION want_resolved(
    p_order uuid, p_verdict text, p_price numeric, p_reason text, p_actor text, p_at timestamptz, OUT id uuid, OUT refusal text
) LANGUAGE plpgsql AS $$
DECLARE
    v_status text;
BEGIN
    SELECT o.status INTO v_status FROM orders o WHERE o.id = p_order FOR SHARE;
    IF v_status IS DISTINCT FROM 'UNKNOWN' THEN
        refusal := coalesce(format('it is %s, and only what is UNKNOWN is settled by hand', v_status), 'there is no such order');
        RETURN;
    END IF;
    INSERT INTO order_resolutions AS r (order_id, verdict, price, reason, actor, requested_at)
    VALUES (p_order, p_verdict, p_price, p_reason, p_actor, p_at)
    ON CONFLICT (order_id) WHERE decided_at IS NULL DO NOTHING RETURNING r.id INTO id;
    IF id IS NULL THEN
        refusal := 'somebody has said already what became of it, and the executor has not looked yet';
    END IF;
END $$;

-- Says what became of a person's word, in its own row and among the steps of the order. False when that was said before.
CREATE OR REPLACE FUNCTION settle_resolution(
    p_resolution uuid, p_role text, p_epoch bigint, p_outcome text, p_explanation text, p_at timestamptz
) RETURNS boolean LANGUAGE plpgsql AS $$
DECLARE
    v_said order_resolutions;
BEGIN
    PERFORM require_lease(p_role, p_epoch);
    UPDATE order_resolutions r SET outcome = p_outcome, explanation = p_explanation, decided_at = p_at
     WHERE r.id = p_resolution AND r.decided_at IS NULL RETURNING r.* INTO v_said;
    IF NOT FOUND THEN
        RETURN false;
    END IF;
    INSERT INTO order_events (order_id, event_type, source, payload, occurred_at)
    VALUES (v_said.order_id, 'note', 'person',
            jsonb_build_object('reason', format('%s said %s, %s: %s', v_said.actor, v_said.verdict, v_said.reason, p_explanation),
                               'actor', v_said.actor, 'verdict', v_said.verdict, 'price', v_said.price::text, 'outcome', p_outcome),
            p_at);
    RETURN true;
END $$;

-- What stands against believing that an order was never at its venue, although the venue knows none of it: trades of its market
-- since it was signed that nobody's order explains, and balances or positions that differ.
CREATE OR REPLACE FUNCTION absence_doubts(p_order uuid) RETURNS text[] LANGUAGE plpgsql STABLE AS $$
DECLARE
    v_skew constant interval := interval '5 seconds';
    v_doubts text[];
BEGIN
    SELECT array_agg(d.doubt ORDER BY d.doubt) INTO v_doubts
      FROM orders o JOIN instruments i ON i.id = o.instrument_id, LATERAL (
        SELECT format('fill %s could not be booked: %s', q.payload ->> 'exchange_trade_id', q.reason) AS doubt
          FROM quarantined_fills q
         WHERE q.account_id = o.account_id AND q.payload ->> 'symbol' = o.symbol AND q.occurred_at >= o.signed_at - v_skew
        UNION ALL
        SELECT format('trade %s is of the venue''s order %s, which has no id of its client''s', t.exchange_trade_id,
                      t.exchange_order_id)
          FROM trades t JOIN orders other ON other.id = t.order_id
         WHERE t.account_id = o.account_id AND t.instrument_id = o.instrument_id AND t.side = o.side
           AND t.trade_time >= o.signed_at - v_skew AND other.client_order_id LIKE '@%'
        UNION ALL
        SELECT b.detail FROM reconciliation_breaks b
         WHERE b.account_id = o.account_id AND b.closed_at IS NULL AND b.waived_at IS NULL AND b.blocks
           AND ((b.kind = 'balance' AND b.subject IN (i.base, i.quote)) OR (b.kind = 'position' AND b.subject = o.symbol))) d
     WHERE o.id = p_order;
    RETURN coalesce(v_doubts, '{}');
END $$;
