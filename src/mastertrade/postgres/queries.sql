-- name: try_role_lock
-- Why: the lock lives as long as this session, so a killed holder frees it.
SELECT pg_try_advisory_lock(hashtextextended('role:' || :role::text, 0));

-- name: release_role_lock
-- Why: a clean stop lets the successor start at once.
SELECT pg_advisory_unlock(hashtextextended('role:' || :role::text, 0));

-- name: take_lease
-- Why: raises the epoch, which fences off every earlier holder.
SELECT take_lease(:role, :holder, :at);

-- name: lease_holder
-- Why: a refusal names who is in the way.
SELECT format('%s, since %s', holder, to_char(taken_at AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS "UTC"')) FROM leases WHERE role = :role;
