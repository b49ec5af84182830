-- name: insert_study
-- Why: a study is stored before its first trial, so that whatever happens next it can go on.
-- idempotent: the row has its id before it is sent.
INSERT INTO backtest_studies (id, kind, strategy, settings, objective, planned, seed, data_hash, code_hash, created_at)
VALUES (:id, :kind, :strategy, :settings, :objective, :planned, :seed, :data_hash, :code_hash, :at)
ON CONFLICT DO NOTHING;

-- name: study
-- Why: one study by its id or the beginning of it.
SELECT * FROM backtest_studies WHERE id::text LIKE :prefix::text || '%' ORDER BY created_at DESC LIMIT 2;

-- name: unfinished_study
-- Why: the command that was interrupted, given again, goes on with what it began.
SELECT * FROM backtest_studies
 WHERE status = 'running' AND kind = :kind AND strategy = :strategy AND settings = :settings::jsonb AND objective = :objective
   AND seed = :seed AND data_hash = :data_hash AND code_hash = :code_hash
 ORDER BY created_at DESC LIMIT 1;

-- name: plan_trials
-- Why: a round of the sampler; two processes that ask it for the same round plan the same rows.
-- idempotent: a number that is there already stays as it is.
INSERT INTO backtest_trials (study_id, number, parameters, seed)
SELECT :study_id::uuid, y.number, y.parameters, y.seed
  FROM jsonb_to_recordset(:trials::jsonb) AS y (number int, parameters jsonb, seed bigint)
ON CONFLICT (study_id, number) DO NOTHING;

-- name: claim_trials
-- Why: whoever asks gets trials that nobody else has; those of a process that is gone are free again.
UPDATE backtest_trials t SET status = 'running', claimed_by = :claimer::text
  FROM (SELECT study_id, number FROM backtest_trials c
         WHERE c.study_id = :study_id
           AND (c.status = 'pending'
                OR c.status = 'running' AND NOT EXISTS (SELECT 1 FROM pg_stat_activity a
                                                         WHERE a.datname = current_database()
                                                           AND a.application_name = c.claimed_by))
         ORDER BY c.number LIMIT :count FOR UPDATE SKIP LOCKED) free
 WHERE t.study_id = free.study_id AND t.number = free.number
RETURNING t.number, t.parameters, t.seed;

-- name: finish_trials
-- Why: outcomes are stored together; a trial that two processes tried has one outcome, the first.
-- idempotent: what is finished stays as it is.
UPDATE backtest_trials t
   SET status = CASE WHEN y.reason IS NULL THEN 'done' ELSE 'failed' END, reason = y.reason, figures = y.figures,
       final_capital = (y.figures ->> 'final_capital')::float8, total_return = (y.figures ->> 'total_return')::float8,
       sharpe_ratio = (y.figures ->> 'sharpe_ratio')::float8, max_drawdown = (y.figures ->> 'max_drawdown')::float8,
       total_trades = (y.figures ->> 'total_trades')::float8::int, daily_returns = y.daily_returns, seconds = y.seconds,
       finished_at = :at
  FROM jsonb_to_recordset(:outcomes::jsonb)
       AS y (number int, reason text, figures jsonb, daily_returns float8[], seconds float8)
 WHERE t.study_id = :study_id AND t.number = y.number AND t.status IN ('pending', 'running');

-- name: trials
-- Why: every trial of a study, by number, from one number on.
SELECT number, parameters, seed, status, reason, figures, daily_returns, seconds
  FROM backtest_trials WHERE study_id = :study_id AND number >= :first ORDER BY number LIMIT :page;

-- name: study_progress
-- Why: how far a study is, whoever works on it.
SELECT count(*)::int AS proposed, (count(*) FILTER (WHERE status IN ('done', 'failed')))::int AS finished,
       (count(*) FILTER (WHERE status = 'failed'))::int AS failed
  FROM backtest_trials WHERE study_id = :study_id;

-- name: finish_study
-- Why: all trials are over; the verdict on the best of them is kept with the study.
-- idempotent: the first end stays.
UPDATE backtest_studies SET status = 'done', finished_at = :at, verdict = :verdict WHERE id = :id AND status = 'running';

-- name: studies
-- Why: the newest studies with how far they are and the best Sharpe they found; windows belong to their walk-forward.
SELECT s.*, t.finished, t.failed, t.best_sharpe
  FROM (SELECT id, kind, strategy, objective, planned, status, verdict, created_at, settings
          FROM backtest_studies WHERE NOT settings ? 'window' ORDER BY created_at DESC LIMIT :page) s
  CROSS JOIN LATERAL (SELECT (count(*) FILTER (WHERE status IN ('done', 'failed')))::int AS finished,
                             (count(*) FILTER (WHERE status = 'failed'))::int AS failed, max(sharpe_ratio) AS best_sharpe
                        FROM backtest_trials WHERE study_id = s.id) t
 ORDER BY s.created_at DESC;

-- name: insert_run
-- Why: a run with all it takes to run it again.
-- idempotent: the row has its id before it is sent.
INSERT INTO backtest_runs (id, study_id, strategy, parameters, symbols, interval_s, period_start, period_end, bars, cash,
                           costs, settings, data_source, data_hash, code_hash, metrics, verdict, created_at)
VALUES (:id, :study_id, :strategy, :parameters, :symbols, :interval_s, :period_start, :period_end, :bars, :cash, :costs,
        :settings, :data_source, :data_hash, :code_hash, :metrics, :verdict, :at)
ON CONFLICT DO NOTHING;

-- name: insert_equity
-- Why: the account of a run day by day, as columns.
-- idempotent: a day is stored once.
INSERT INTO backtest_equity (run_id, day, equity, drawdown, bars, invested_bars)
SELECT :run_id::uuid, y.* FROM unnest(:days::date[], :equity::float8[], :drawdown::float8[], :bars::int[], :invested_bars::int[]) AS y
ON CONFLICT DO NOTHING;

-- name: insert_trades
-- Why: the trades of a run, as columns.
-- idempotent: a trade is stored once.
INSERT INTO backtest_trades (run_id, number, symbol, side, quantity, entry_time, entry_price, exit_time, exit_price,
                             bars_held, gross, fees, spread, slippage, impact, funding, net, exit_reason)
SELECT :run_id::uuid, y.* FROM unnest(:number::int[], :symbol::text[], :side::text[], :quantity::float8[],
       :entry_time::timestamptz[], :entry_price::float8[], :exit_time::timestamptz[], :exit_price::float8[], :bars_held::int[],
       :gross::float8[], :fees::float8[], :spread::float8[], :slippage::float8[], :impact::float8[],
       :funding::float8[], :net::float8[], :exit_reason::text[]) AS y
ON CONFLICT DO NOTHING;

-- name: insert_legacy_result
-- Why: readers of the older table see the run too, under a strategy row that holds its template and parameters.
WITH strategy AS (
    INSERT INTO strategies (id, name, type, template, timeframe_s, parameters, is_active, status, created_at, updated_at)
    VALUES (:strategy_id, :name, :legacy_type, :strategy, :timeframe_s, :parameters, false, 'pending_backtest', :at, :at)
    ON CONFLICT (id) DO UPDATE SET updated_at = EXCLUDED.updated_at
    RETURNING id)
INSERT INTO backtest_results (id, strategy_id, backtest_id, metrics, parameters, period_start, period_end, created_at)
SELECT :id::uuid, id, :run_id::text, :metrics, :parameters, :period_start, :period_end, :at FROM strategy
ON CONFLICT DO NOTHING;

-- name: run
-- Why: one run by its id or the beginning of it.
SELECT * FROM backtest_runs WHERE id::text LIKE :prefix::text || '%' ORDER BY created_at DESC LIMIT 2;

-- name: runs
-- Why: the newest runs, for choosing one.
SELECT id, study_id, strategy, parameters, symbols, interval_s, period_start, period_end, metrics, verdict, created_at,
       settings ? 'walk' AS is_walk_forward
  FROM backtest_runs ORDER BY created_at DESC, id DESC LIMIT :page;

-- name: figures
-- Why: the figures of a run out of its stored rows.
SELECT * FROM backtest_figures(:run_id);
