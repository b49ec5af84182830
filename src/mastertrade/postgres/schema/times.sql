-- Times: what may be one, in every table that orders, money and risk live in. Owner: postgres (apply.py).

-- PostgreSQL takes 'infinity', years before ours and the year 294276: an approval that never ends, a mark in a future
-- that no clock reaches, or a row that no Python program can read. Every column says so by its own name. NOT VALID: rows
-- of an older version are left alone, every later write is not. deliveries.available_at begins at '-infinity'.
DO $$
DECLARE
    v_column record;
BEGIN
    FOR v_column IN
        SELECT t.oid::regclass AS table_name, a.attname AS name, left(t.relname || '_' || a.attname, 50) || '_is_a_time' AS rule
          FROM pg_class t
          JOIN pg_attribute a ON a.attrelid = t.oid AND a.attnum > 0 AND NOT a.attisdropped
         WHERE t.relkind = 'r' AND a.atttypid IN ('timestamptz'::regtype, 'date'::regtype)
           AND split_part(obj_description(t.oid, 'pg_class'), ':', 1)
               IN ('order_executor', 'risk_manager', 'strategy_service', 'exchanges', 'messaging')
           AND (t.relname, a.attname) <> ('deliveries', 'available_at')
         ORDER BY t.oid::regclass::text, a.attnum
    LOOP
        IF NOT EXISTS (SELECT FROM pg_constraint WHERE conrelid = v_column.table_name AND conname = v_column.rule) THEN
            EXECUTE format('ALTER TABLE %s ADD CONSTRAINT %I CHECK (%I >= ''1900-01-01 00:00:00+00'' AND %I < ''2200-01-01 00:00:00+00'') '
                           'NOT VALID', v_column.table_name, v_column.rule, v_column.name, v_column.name);
        END IF;
    END LOOP;
END $$;
