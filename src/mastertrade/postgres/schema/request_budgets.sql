-- Requests to exchanges, counted across all processes that share this database: one row for each address of a venue.
-- Owner: exchanges (request_budget.py). Time is the server's own and real, because exchanges count real time.

-- The generic cell rate algorithm: busy_until is when everything that was let through would have been paid for at the
-- even rate. It is a state and not a queue: who has to wait holds nothing, so who dies while waiting leaves nothing.
-- A ban outlives a crash of the server, since asking during one makes it longer.
CREATE TABLE IF NOT EXISTS request_budgets (
    venue          text PRIMARY KEY,
    busy_until     timestamptz NOT NULL,
    blocked_until  timestamptz,
    blocked_by     text NOT NULL DEFAULT '',
    CONSTRAINT request_budgets_times_are_finite CHECK (isfinite(busy_until) AND isfinite(blocked_until))
) WITH (fillfactor = 50);
COMMENT ON TABLE request_budgets IS 'exchanges: how much of what a venue allows is used, and until when it wants to be left alone';

-- Lets a request of p_cost units through, or says after how long to ask again (wait_s, 0 when it may go now).
-- p_per_s: units a second that are paid for. p_room: units that may be unpaid before this request; those who may use
-- more of it go first. A venue forgets within p_window_s, so no debt is longer than that, and a longer one is a clock
-- that was set back.
CREATE OR REPLACE FUNCTION take_request(
    p_venue text, p_cost float8, p_per_s float8, p_room float8, p_window_s float8,
    OUT wait_s float8, OUT is_blocked boolean
) LANGUAGE plpgsql AS $$
DECLARE
    v_cost    interval := make_interval(secs => p_cost / p_per_s);
    v_room    interval := make_interval(secs => p_room / p_per_s);
    v_window  interval := make_interval(secs => p_window_s);
    v_now     timestamptz;
    v_row     request_budgets;
BEGIN
    IF NOT (p_cost >= 0 AND p_per_s > 0 AND p_per_s < 1e9) THEN
        RAISE EXCEPTION 'requests to % at % a second that cost % each: the first must be above 0 and below 1e9, the second not below 0',
            p_venue, p_per_s, p_cost USING ERRCODE = 'check_violation';
    END IF;
    INSERT INTO request_budgets (venue, busy_until) SELECT p_venue, clock_timestamp()
     WHERE NOT EXISTS (SELECT FROM request_budgets WHERE venue = p_venue)
    ON CONFLICT DO NOTHING;
    -- clock_timestamp() where it is used: the wait for another's lock on the row must not count as time before it.
    UPDATE request_budgets
       SET busy_until = CASE WHEN busy_until > clock_timestamp() + v_window THEN clock_timestamp() + v_cost
                             ELSE least(greatest(busy_until, clock_timestamp()) + v_cost, clock_timestamp() + v_window) END
     WHERE venue = p_venue
       AND (blocked_until IS NULL OR blocked_until <= clock_timestamp())
       AND (p_cost = 0 OR busy_until <= clock_timestamp() + v_room OR busy_until > clock_timestamp() + v_window);
    IF FOUND THEN
        wait_s := 0;
        is_blocked := false;
        RETURN;
    END IF;
    SELECT * INTO v_row FROM request_budgets WHERE venue = p_venue;
    v_now := clock_timestamp();
    is_blocked := coalesce(v_row.blocked_until > v_now, false);
    wait_s := greatest(0.001, extract(epoch FROM CASE WHEN is_blocked THEN v_row.blocked_until - v_now
                                                      ELSE v_row.busy_until - v_room - v_now END));
END $$;
