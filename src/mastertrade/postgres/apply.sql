-- name: server_and_schema
-- Why: says in one round trip whether the server is new enough and whether a schema is there to ask about.
SELECT to_regclass('schema_version') IS NOT NULL AS is_there,
       current_setting('server_version') AS server_version,
       current_setting('server_version_num')::int / 10000 AS major;

-- name: stored_version
-- Why: decides between nothing to do, apply and refuse.
SELECT version, text_hash FROM schema_version;

-- name: try_schema_lock
-- Why: of many processes that start at once, one applies; the lock ends with its transaction.
SELECT pg_try_advisory_xact_lock(:key::bigint);

-- name: relax_limits
-- Why: applying again replaces triggers of tables in use: wait for a pause, but not for ever, and without notices.
SELECT set_config('lock_timeout', '10s', true), set_config('client_min_messages', 'warning', true);

-- name: remember_text
-- Why: the same text a second time is then known without executing it.
UPDATE schema_version SET text_hash = :text_hash, applied_at = now() WHERE version = :version;

-- name: tables_in_the_way
-- Why: another program's "orders" would pass CREATE TABLE IF NOT EXISTS and fail us later, in the middle of work.
SELECT relname FROM pg_class
 WHERE relnamespace = current_schema()::regnamespace AND relkind IN ('r', 'p', 'v') AND relname = ANY(:names::text[])
 ORDER BY relname;

-- name: statements_can_be_counted
-- Why: statement statistics are created where the server keeps them and we may ask; nothing depends on them.
SELECT EXISTS (SELECT FROM pg_available_extensions WHERE name = 'pg_stat_statements')
   AND (SELECT setting FROM pg_settings WHERE name = 'shared_preload_libraries') LIKE '%pg_stat_statements%'
   AND (SELECT rolsuper FROM pg_roles WHERE rolname = current_user);

-- name: count_statements
-- Why: shows which named statement costs how much.
CREATE EXTENSION IF NOT EXISTS pg_stat_statements;
