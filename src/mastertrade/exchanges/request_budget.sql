-- name: take_request
-- Why: the one place where the requests of all processes to a venue are counted.
-- idempotent: a request that is counted twice makes the next ones wait a little longer, and nothing else.
SELECT wait_s, is_blocked FROM take_request(:venue, :cost, :per_s, :room, :window_s);

-- name: block_requests
-- Why: what a venue tells one process, all of them must hear; of two pauses the longer one counts.
-- idempotent: said twice, the pause ends at most as much later as lies between.
INSERT INTO request_budgets AS b (venue, busy_until, blocked_until, blocked_by)
VALUES (:venue, clock_timestamp(), clock_timestamp() + make_interval(secs => :for_s), :said)
ON CONFLICT (venue) DO UPDATE SET blocked_until = EXCLUDED.blocked_until, blocked_by = EXCLUDED.blocked_by
 WHERE b.blocked_until IS NULL OR b.blocked_until < EXCLUDED.blocked_until;

-- name: blocked_venues
-- Why: a person who wonders why nothing is downloaded or traded is told which venue wants to be left alone.
SELECT venue, blocked_until, blocked_by FROM request_budgets WHERE blocked_until > clock_timestamp() ORDER BY venue;
