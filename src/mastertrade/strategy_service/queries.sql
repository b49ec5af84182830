-- name: due_assignments
-- Why: when candles closed, the strategies of that venue whose bar closes with it, once per instrument they trade.
SELECT s.id AS strategy_id, s.type, s.template, s.parameters, s.timeframe_s, c.account_id, i.id AS instrument_id, i.symbol
  FROM strategies s
  JOIN strategy_environment_configs c ON c.strategy_id = s.id
  JOIN accounts a ON a.id = c.account_id
  JOIN strategy_symbols y ON y.strategy_id = s.id
  JOIN instruments i ON i.venue = a.venue AND i.symbol = y.symbol
 WHERE s.is_active AND s.enabled AND a.venue = ANY(:venues::text[]) AND :close_s::bigint % s.timeframe_s = 0
   AND s.timeframe_s >= :interval_s::int
   AND (:account_ids::uuid[] IS NULL OR a.id = ANY(:account_ids))
 ORDER BY s.id, i.id
 LIMIT 10000;

-- name: insert_signal
-- Why: one strategy, instrument, timeframe, bar and type is one signal, however often the bar is evaluated.
INSERT INTO signals (id, strategy_id, account_id, instrument_id, symbol, signal_type, timeframe_s, bar_close, confidence,
                     price, evidence, timestamp, valid_until, terms, turns)
VALUES (:id, :strategy_id, :account_id, :instrument_id, :symbol, :signal_type, :timeframe_s, :bar_close, :confidence,
        :price, :evidence, :raised_at, :valid_until, :terms, :turns)
ON CONFLICT (strategy_id, instrument_id, timeframe_s, bar_close, signal_type) DO NOTHING
RETURNING id;

-- name: record_evaluations
-- Why: every evaluation leaves its duration, signals and error; one statement for all of a bar.
INSERT INTO strategy_performance (id, strategy_id, symbol, signals_count, execution_time, error, signals_summary, timestamp)
SELECT e.id, e.strategy_id, e.symbol, jsonb_array_length(e.signals), e.seconds, e.error, e.signals, :at::timestamptz
  FROM jsonb_to_recordset(:evaluations::jsonb)
       AS e (id uuid, strategy_id uuid, symbol text, seconds float8, error text, signals jsonb);

-- name: strategies
-- Why: strategies with what they trade and where; every filter may be left open.
SELECT s.*, c.account_id,
       (SELECT coalesce(jsonb_agg(jsonb_build_object('symbol', y.symbol, 'weight', y.weight, 'metadata', y.metadata)
                                  ORDER BY y.symbol), '[]')
          FROM strategy_symbols y WHERE y.strategy_id = s.id) AS symbols,
       (SELECT coalesce(array_agg(i.id ORDER BY i.id), '{}')
          FROM strategy_symbols y JOIN accounts a ON a.id = c.account_id
          JOIN instruments i ON i.venue = a.venue AND i.symbol = y.symbol
         WHERE y.strategy_id = s.id) AS instrument_ids
  FROM strategies s
  LEFT JOIN strategy_environment_configs c ON c.strategy_id = s.id
 WHERE (:id::uuid IS NULL OR s.id = :id)
   AND (:account_id::uuid IS NULL OR c.account_id = :account_id)
   AND (:name::text IS NULL OR s.name = :name)
   AND (NOT :running::boolean OR (s.is_active AND s.enabled))
   AND (:archived::boolean OR s.status <> 'archived')
 ORDER BY s.created_at DESC, s.id DESC
 LIMIT 10000;

-- name: find_strategy
-- Why: a strategy by its id or by the id it had in the older system, which wins.
SELECT id FROM strategies WHERE id = :id OR legacy_id = :reference
 ORDER BY legacy_id IS NOT DISTINCT FROM :reference DESC LIMIT 1;

-- name: lock_strategy_name
-- Why: two callers that create the same name on the same account at once make one strategy.
SELECT pg_advisory_xact_lock(hashtextextended('strategy:' || :account_id::uuid || ':' || :name::text, 0));

-- name: insert_strategy
-- Why: a strategy begins; the same id a second time changes nothing.
INSERT INTO strategies (id, legacy_id, name, type, template, timeframe_s, parameters, configuration, metadata, is_active,
                        status, enabled, allocation, activation_state, created_at, updated_at, activated_at)
VALUES (:id, :legacy_id, :name, :type, :template, :timeframe_s, :parameters, :configuration, :metadata,
        :status::text = 'active', :status, :enabled, :allocation, :activation_state, :at::timestamptz, :at,
        CASE WHEN :status = 'active' THEN :at END)
ON CONFLICT DO NOTHING
RETURNING id;

-- name: lock_strategy
-- Why: a partial update is merged over the row as it stands, which must not change meanwhile.
SELECT * FROM strategies WHERE id = :id FOR UPDATE;

-- name: save_strategy
-- Why: the merged row of a partial update, written back whole.
UPDATE strategies
   SET name = :name, type = :type, template = :template, timeframe_s = :timeframe_s, parameters = :parameters,
       configuration = :configuration, metadata = :metadata, is_active = :status::text = 'active', status = :status,
       enabled = :enabled, allocation = :allocation, updated_at = :at::timestamptz,
       activated_at = CASE WHEN :status = 'active' AND NOT is_active THEN :at ELSE activated_at END,
       deactivated_at = CASE WHEN :status <> 'active' AND is_active THEN :at ELSE deactivated_at END
 WHERE id = :id;

-- name: clear_symbols
-- Why: a new set of symbols replaces the old one.
DELETE FROM strategy_symbols WHERE strategy_id = :strategy_id;

-- name: insert_symbols
-- Why: what a strategy trades, in one statement.
INSERT INTO strategy_symbols (strategy_id, symbol, weight, metadata)
SELECT :strategy_id::uuid, y.symbol, y.weight, y.metadata
  FROM jsonb_to_recordset(:symbols::jsonb) AS y (symbol text, weight float8, metadata jsonb)
ON CONFLICT (strategy_id, symbol) DO NOTHING;

-- name: account_environment
-- Why: a strategy trades in the environment of its account.
SELECT environment FROM accounts WHERE id = :id;

-- name: configure_strategy
-- Why: binds a strategy to its account; without one, to the only account of the environment.
SELECT * FROM configure_strategy(:strategy_id, :environment, :account_id, NULL, NULL, 1, true, '{}', :at);

-- name: set_status
-- Why: the flag follows the status, so that a paused strategy cannot go on trading.
UPDATE strategies
   SET status = :status, is_active = :status::text = 'active', updated_at = :at::timestamptz,
       activated_at = CASE WHEN :status = 'active' AND NOT is_active THEN :at ELSE activated_at END,
       deactivated_at = CASE WHEN :status <> 'active' AND is_active THEN :at ELSE deactivated_at END
 WHERE id = :id AND (:status <> 'archived' OR status <> 'archived')
RETURNING id;

-- name: toggle_status
-- Why: flips between active and inactive in one statement; an archived strategy stays archived.
UPDATE strategies
   SET status = CASE WHEN is_active THEN 'inactive' ELSE 'active' END, is_active = NOT is_active,
       updated_at = :at::timestamptz,
       activated_at = CASE WHEN is_active THEN activated_at ELSE :at END,
       deactivated_at = CASE WHEN is_active THEN :at ELSE deactivated_at END
 WHERE id = :id AND status <> 'archived'
RETURNING id;

-- name: record_signal
-- Why: a signal noted by an older caller; it has no bar, so it is kept for readers and never judged.
INSERT INTO signals (id, strategy_id, account_id, instrument_id, symbol, signal_type, confidence, price, quantity, metadata,
                     timestamp)
SELECT :id::uuid, s.id, c.account_id, i.id, :symbol::text, :signal_type::text, :confidence::float8, :price::numeric,
       :quantity::numeric, :metadata::jsonb, :at::timestamptz
  FROM strategies s
  LEFT JOIN strategy_environment_configs c ON c.strategy_id = s.id
  LEFT JOIN accounts a ON a.id = c.account_id
  LEFT JOIN instruments i ON i.venue = a.venue AND i.symbol = :symbol::text
 WHERE s.id = :strategy_id
RETURNING id;

-- name: signals
-- Why: the newest signals, of one strategy or of all.
SELECT id, strategy_id, symbol, signal_type, confidence, price, quantity, evidence, metadata, timestamp, created_at
  FROM signals WHERE (:strategy_id::uuid IS NULL OR strategy_id = :strategy_id)
 ORDER BY timestamp DESC, id DESC LIMIT :limit;

-- name: record_performance
-- Why: one evaluation as an older caller reports it; no strategy, no row.
INSERT INTO strategy_performance (id, strategy_id, symbol, signals_count, execution_time, error, signals_summary, timestamp)
SELECT :id::uuid, s.id, :symbol::text, jsonb_array_length(:signals::jsonb), :seconds::float8, :error::text, :signals,
       :at::timestamptz
  FROM strategies s WHERE s.id = :strategy_id
RETURNING id;

-- name: performance_summary
-- Why: how often and how fast a strategy ran since a moment.
SELECT count(*)::int AS execution_count, coalesce(avg(execution_time), 0)::float8 AS avg_execution_time,
       coalesce(sum(signals_count), 0)::int AS total_signals
  FROM strategy_performance WHERE strategy_id = :strategy_id AND timestamp >= :since;

-- name: insert_backtest_result
-- Why: every trial is a row; the same run stored again stays one trial.
-- idempotent: the row has its id before it is sent.
INSERT INTO backtest_results (id, strategy_id, backtest_id, metrics, parameters, passed_criteria, period_start, period_end,
                              created_at)
VALUES (:id, :strategy_id, :backtest_id, :metrics, :parameters, :passed_criteria, :period_start, :period_end, :at)
ON CONFLICT DO NOTHING;

-- name: backtest_results
-- Why: the newest trials, of one strategy or of all.
SELECT * FROM backtest_results WHERE (:strategy_id::uuid IS NULL OR strategy_id = :strategy_id)
 ORDER BY created_at DESC, id DESC LIMIT :limit;

-- name: setting
-- Why: one operator setting with its description.
SELECT key, value, type, description, metadata, updated_at FROM settings WHERE key = :key;

-- name: put_setting
-- Why: sets an operator setting; what is not given keeps what was there.
-- idempotent: it writes the same row again.
SELECT put_setting(:key, :value, :value_type, :description, :metadata, :at);
