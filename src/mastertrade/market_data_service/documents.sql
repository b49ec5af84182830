-- name: store_sentiment
-- Why: what people felt at a time, as the source said it; the same id again replaces it.
INSERT INTO sentiment_data (id, partition_key, ts, data, created_at, updated_at, expires_at)
VALUES (:id, :source, :ts, :data, :at, :at, :expires_at)
ON CONFLICT (id) DO UPDATE SET partition_key = excluded.partition_key, ts = excluded.ts, data = excluded.data,
       updated_at = excluded.updated_at, expires_at = excluded.expires_at;

-- name: sentiment
-- Why: the newest documents of a span; each filter is optional.
SELECT data FROM sentiment_data
 WHERE ts >= :first AND (:source::text IS NULL OR partition_key = :source::text)
   AND (:type::text IS NULL OR data ->> 'type' = :type::text)
   AND (:symbol::text IS NULL OR data ->> 'symbol' = :symbol::text)
 ORDER BY ts DESC, id DESC LIMIT :limit;

-- name: sentiment_summary
-- Why: each source and type at a glance; a document without a number counts, but moves no mean.
SELECT partition_key AS source, data ->> 'type' AS type, count(*)::int AS count,
       avg((data ->> 'polarity')::float8) FILTER (WHERE jsonb_typeof(data -> 'polarity') = 'number') AS avg_polarity,
       max(ts) AS latest_timestamp
  FROM sentiment_data WHERE ts >= :first
 GROUP BY 1, 2 ORDER BY 1, 2 LIMIT 10000;

-- name: add_indicator
-- Why: a configuration is made once; making it again must not undo what was changed since.
INSERT INTO indicator_configurations (id, partition_key, data, created_at, updated_at)
VALUES (:id, :strategy_id, :data, :at, :at)
ON CONFLICT (partition_key, id) DO NOTHING RETURNING id;

-- name: update_indicator
-- Why: some fields change, the others stay; the key never changes.
UPDATE indicator_configurations SET data = data || :updates::jsonb, updated_at = :at
 WHERE partition_key = :strategy_id AND id = :id RETURNING id;

-- name: remove_indicator
-- Why: a strategy asks for an indicator no more.
DELETE FROM indicator_configurations WHERE partition_key = :strategy_id AND id = :id RETURNING id;

-- name: indicators
-- Why: configurations, the most important first; each filter is optional.
SELECT data FROM indicator_configurations
 WHERE (:id::text IS NULL OR id = :id::text) AND (:strategy_id::text IS NULL OR partition_key = :strategy_id::text)
   AND (:symbol::text IS NULL OR data ->> 'symbol' = :symbol::text)
   AND (:interval::text IS NULL OR data ->> 'interval' = :interval::text)
   AND (NOT :only_active::boolean OR data ->> 'active' = 'true')
 ORDER BY (data ->> 'priority')::numeric NULLS LAST, partition_key, id LIMIT 10000;

-- name: indicators_due
-- Why: what is to be calculated again, what never was first.
SELECT data FROM indicator_configurations
 WHERE data ->> 'active' = 'true' AND data ->> 'continuous_calculation' = 'true'
   AND (data ->> 'last_calculated' IS NULL OR (data ->> 'last_calculated')::timestamptz < :before)
 ORDER BY (data ->> 'last_calculated')::timestamptz NULLS FIRST, (data ->> 'priority')::numeric NULLS LAST,
          partition_key, id LIMIT 10000;

-- name: count_calculation
-- Why: one statement, so that two calculators at once lose no count and no share of the mean.
UPDATE indicator_configurations
   SET updated_at = :at,
       data = data || CASE WHEN :success::boolean THEN jsonb_build_object(
                  'calculation_count', coalesce((data ->> 'calculation_count')::bigint, 0) + 1,
                  'avg_calculation_time_ms',
                      (coalesce((data ->> 'avg_calculation_time_ms')::float8, 0)
                       * coalesce((data ->> 'calculation_count')::bigint, 0) + :took_ms::float8)
                      / (coalesce((data ->> 'calculation_count')::bigint, 0) + 1),
                  'last_calculated', :at_text::text, 'last_error', '', 'updated_at', :at_text::text)
              ELSE jsonb_build_object(
                  'error_count', coalesce((data ->> 'error_count')::bigint, 0) + 1, 'last_error', :error::text,
                  'updated_at', :at_text::text) END
 WHERE partition_key = :strategy_id AND id = :id RETURNING id;

-- name: store_indicator_result
-- Why: the same id again replaces the values.
INSERT INTO indicator_results (id, configuration_id, symbol, ts, data, created_at, expires_at)
VALUES (:id, :configuration_id, :symbol, :ts, :data, :at, :expires_at)
ON CONFLICT (id) DO UPDATE SET configuration_id = excluded.configuration_id, symbol = excluded.symbol, ts = excluded.ts,
       data = excluded.data, expires_at = excluded.expires_at;

-- name: indicator_results
-- Why: calculated values of one configuration, the newest first.
SELECT data FROM indicator_results
 WHERE configuration_id = :configuration_id AND symbol = :symbol AND ts >= :first
 ORDER BY ts DESC, id DESC LIMIT :limit;

-- name: remove_indicator_results
-- Why: values that nobody looks at any more; a batch at a time keeps the locks short.
DELETE FROM indicator_results
 WHERE id IN (SELECT id FROM indicator_results WHERE ts < :before ORDER BY ts LIMIT :limit);
