-- Backtests: runs with their account day by day and their trades, and studies with every trial that was made.
-- Owner of every table here: strategy_service. Rows are never changed once a run or trial is over.

CREATE TABLE IF NOT EXISTS backtest_studies (
    id           uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    kind         text NOT NULL,
    strategy     text NOT NULL,
    settings     jsonb NOT NULL,
    objective    text NOT NULL,
    planned      int NOT NULL,
    seed         bigint NOT NULL DEFAULT 0,
    data_hash    text NOT NULL,
    code_hash    text NOT NULL,
    status       text NOT NULL DEFAULT 'running',
    verdict      text,
    created_at   timestamptz NOT NULL DEFAULT now(),
    finished_at  timestamptz,
    CONSTRAINT backtest_studies_kind_is_known CHECK (kind IN ('grid', 'random', 'tpe', 'generated')),
    CONSTRAINT backtest_studies_status_is_known CHECK (status IN ('running', 'done')),
    CONSTRAINT backtest_studies_are_done_when_finished CHECK ((status = 'done') = (finished_at IS NOT NULL)),
    CONSTRAINT backtest_studies_plan_something CHECK (planned > 0)
);
CREATE INDEX IF NOT EXISTS backtest_studies_newest ON backtest_studies (created_at DESC);
COMMENT ON TABLE backtest_studies IS 'strategy_service: a sweep: which parameters of what were tried on which data, and why';
COMMENT ON COLUMN backtest_studies.settings IS 'everything it takes to go on: space, markets, period, costs, sizes, limits';
COMMENT ON COLUMN backtest_studies.data_hash IS 'of the bars; a study goes on only on the same bars';

CREATE TABLE IF NOT EXISTS backtest_trials (
    study_id       uuid NOT NULL REFERENCES backtest_studies (id) ON DELETE CASCADE,
    number         int NOT NULL,
    parameters     jsonb NOT NULL,
    seed           bigint NOT NULL,
    status         text NOT NULL DEFAULT 'pending',
    reason         text,
    claimed_by     text,
    final_capital  finite,
    total_return   finite,
    sharpe_ratio   finite,
    max_drawdown   finite,
    total_trades   int,
    figures        jsonb NOT NULL DEFAULT '{}',
    daily_returns  float8[],
    seconds        finite,
    finished_at    timestamptz,
    PRIMARY KEY (study_id, number),
    CONSTRAINT backtest_trials_status_is_known CHECK (status IN ('pending', 'running', 'done', 'failed')),
    CONSTRAINT backtest_trials_fail_for_a_reason CHECK ((status = 'failed') = (reason IS NOT NULL)),
    CONSTRAINT backtest_trials_run_somewhere CHECK (status <> 'running' OR claimed_by IS NOT NULL)
);
CREATE INDEX IF NOT EXISTS backtest_trials_open ON backtest_trials (study_id, number) WHERE status IN ('pending', 'running');
COMMENT ON TABLE backtest_trials IS 'strategy_service: every set of parameters that was tried, the failed ones too: the deflated Sharpe counts them';
COMMENT ON COLUMN backtest_trials.claimed_by IS 'application name of the connection that tries it; a name that is gone has lost its claim';

CREATE TABLE IF NOT EXISTS backtest_runs (
    id            uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    study_id      uuid REFERENCES backtest_studies (id) ON DELETE CASCADE,
    strategy      text NOT NULL,
    parameters    jsonb NOT NULL,
    symbols       text[] NOT NULL,
    interval_s    int NOT NULL,
    period_start  timestamptz NOT NULL,
    period_end    timestamptz NOT NULL,
    bars          int NOT NULL,
    cash          finite NOT NULL,
    costs         jsonb NOT NULL,
    settings      jsonb NOT NULL DEFAULT '{}',
    data_source   text NOT NULL,
    data_hash     text NOT NULL,
    code_hash     text NOT NULL,
    metrics       jsonb NOT NULL,
    verdict       text NOT NULL,
    created_at    timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT backtest_runs_period_runs_forward CHECK (period_end > period_start),
    CONSTRAINT backtest_runs_cash_is_positive CHECK (cash > 0)
);
CREATE INDEX IF NOT EXISTS backtest_runs_newest ON backtest_runs (created_at DESC);
CREATE INDEX IF NOT EXISTS backtest_runs_by_study ON backtest_runs (study_id) WHERE study_id IS NOT NULL;
COMMENT ON TABLE backtest_runs IS 'strategy_service: one strategy on one period, with all it takes to run it again';

CREATE TABLE IF NOT EXISTS backtest_equity (
    run_id         uuid NOT NULL REFERENCES backtest_runs (id) ON DELETE CASCADE,
    day            date NOT NULL,
    equity         finite NOT NULL,
    drawdown       finite NOT NULL,
    bars           int NOT NULL,
    invested_bars  int NOT NULL,
    PRIMARY KEY (run_id, day),
    CONSTRAINT backtest_equity_is_not_negative CHECK (equity >= 0),
    CONSTRAINT backtest_equity_drawdown_is_a_fraction CHECK (drawdown BETWEEN 0 AND 1),
    CONSTRAINT backtest_equity_invests_in_bars CHECK (invested_bars BETWEEN 0 AND bars)
);
COMMENT ON TABLE backtest_equity IS 'strategy_service: the account of a run at the end of each UTC day; a day without bars repeats the day before';
COMMENT ON COLUMN backtest_equity.drawdown IS 'the deepest fall from the highest close so far, over all bars of the day';

CREATE TABLE IF NOT EXISTS backtest_trades (
    run_id       uuid NOT NULL REFERENCES backtest_runs (id) ON DELETE CASCADE,
    number       int NOT NULL,
    symbol       text NOT NULL,
    side         text NOT NULL,
    quantity     finite NOT NULL,
    entry_time   timestamptz NOT NULL,
    entry_price  finite NOT NULL,
    exit_time    timestamptz NOT NULL,
    exit_price   finite NOT NULL,
    bars_held    int NOT NULL,
    gross        finite NOT NULL,
    fees         finite NOT NULL,
    spread       finite NOT NULL,
    slippage     finite NOT NULL,
    impact       finite NOT NULL,
    funding      finite NOT NULL,
    net          finite NOT NULL,
    exit_reason  text NOT NULL,
    PRIMARY KEY (run_id, number),
    CONSTRAINT backtest_trades_side_is_known CHECK (side IN ('long', 'short')),
    CONSTRAINT backtest_trades_end_after_they_begin CHECK (exit_time >= entry_time)
);
COMMENT ON TABLE backtest_trades IS 'strategy_service: every position of a run from entry to exit; net is what the account felt';

-- The normal distribution; erf() came with PostgreSQL 16. After Hart (1968) as given by West, Better Approximations to
-- Cumulative Normal Functions (2005): double precision.
CREATE OR REPLACE FUNCTION normal_cdf(p_z float8) RETURNS float8 LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE AS $$
DECLARE
    v_z float8 := abs(p_z);
    v_tail float8;
BEGIN
    IF v_z > 37 THEN
        v_tail := 0;
    ELSIF v_z < 7.07106781186547 THEN
        v_tail := exp(-v_z * v_z / 2)
            * ((((((3.52624965998911e-02 * v_z + 0.700383064443688) * v_z + 6.37396220353165) * v_z + 33.912866078383) * v_z
                + 112.079291497871) * v_z + 221.213596169931) * v_z + 220.206867912376)
            / (((((((8.83883476483184e-02 * v_z + 1.75566716318264) * v_z + 16.064177579207) * v_z + 86.7807322029461) * v_z
                + 296.564248779674) * v_z + 637.333633378831) * v_z + 793.826512519948) * v_z + 440.413735824752);
    ELSE
        v_tail := exp(-v_z * v_z / 2) / (v_z + 1 / (v_z + 2 / (v_z + 3 / (v_z + 4 / (v_z + 0.65))))) / 2.506628274631;
    END IF;
    RETURN CASE WHEN p_z > 0 THEN 1 - v_tail ELSE v_tail END;
END $$;

-- The figures of a run out of its stored rows, by the formulas and names of the Python side (quant/metrics.py). NULL is
-- a figure that the run cannot give.
CREATE OR REPLACE FUNCTION backtest_figures(p_run_id uuid) RETURNS TABLE (
    total_return float8, cagr float8, sharpe_ratio float8, sortino_ratio float8, calmar_ratio float8, max_drawdown float8,
    omega_ratio float8, ulcer_index float8, martin_ratio float8, skewness float8, kurtosis float8,
    probabilistic_sharpe float8, exposure float8, total_trades bigint, win_rate float8, profit_factor float8,
    expectancy float8, fees float8, spread float8, slippage float8, impact float8, funding float8, net_profit float8
) LANGUAGE sql STABLE AS $$
WITH run AS (
    SELECT id, cash, extract(epoch FROM period_end - period_start)::float8 / (365 * 86400.0) AS years
      FROM backtest_runs WHERE id = p_run_id
), days AS (
    SELECT e.*, r.cash, e.equity / lag(e.equity, 1, r.cash) OVER (ORDER BY e.day) - 1 AS day_return,
           1 - e.equity / greatest(r.cash, max(e.equity) OVER (ORDER BY e.day)) AS fall
      FROM backtest_equity e JOIN run r ON r.id = e.run_id
), counted AS (
    SELECT count(*) AS n, avg(day_return) AS mean, coalesce(stddev_samp(day_return), 0) AS deviation,
           coalesce(stddev_pop(day_return), 0) AS spread, max(abs(day_return)) AS largest,
           sqrt(avg(power(least(day_return, 0), 2))) AS downside, sqrt(avg(fall * fall)) AS ulcer,
           sum(greatest(day_return, 0)) AS above, sum(greatest(-day_return, 0)) AS below,
           max(drawdown) AS deepest, sum(invested_bars)::float8 / nullif(sum(bars), 0) AS exposure,
           (array_agg(equity ORDER BY day DESC))[1] AS final
      FROM days
), shaped AS (
    SELECT c.*, r.cash, r.years,
           CASE WHEN c.n > 1 AND c.deviation > 1e-12 * c.largest THEN c.mean / c.deviation END AS sharpe,
           CASE WHEN r.years > 0 THEN power(c.final / r.cash, 1 / r.years) - 1 END AS growth,
           (SELECT avg(power((d.day_return - c.mean) / nullif(c.spread, 0), 3)) FROM days d) AS skew,
           (SELECT avg(power((d.day_return - c.mean) / nullif(c.spread, 0), 4)) FROM days d) AS kurt
      FROM counted c CROSS JOIN run r
), trades AS (
    SELECT count(*) AS n, avg((net > 0)::int)::float8 AS won, sum(net) AS net, sum(t.fees) AS fees,
           sum(t.spread) AS spread, sum(t.slippage) AS slippage, sum(t.impact) AS impact, sum(t.funding) AS funding,
           sum(greatest(net, 0)) AS gain, sum(greatest(-net, 0)) AS loss
      FROM backtest_trades t WHERE run_id = p_run_id
)
SELECT s.final / s.cash - 1, s.growth, s.sharpe * sqrt(365.0),
       CASE WHEN s.n > 1 AND s.downside > 1e-12 * s.largest THEN s.mean / s.downside * sqrt(365.0) END,
       s.growth / nullif(s.deepest, 0), s.deepest, s.above / nullif(s.below, 0), s.ulcer, s.growth / nullif(s.ulcer, 0),
       CASE WHEN s.sharpe IS NOT NULL THEN s.skew END, CASE WHEN s.sharpe IS NOT NULL THEN s.kurt END,
       CASE WHEN 1 - s.skew * s.sharpe + (s.kurt - 1) / 4 * s.sharpe * s.sharpe > 0
            THEN normal_cdf(s.sharpe * sqrt(s.n - 1.0) / sqrt(1 - s.skew * s.sharpe + (s.kurt - 1) / 4 * s.sharpe * s.sharpe)) END,
       s.exposure, t.n, t.won, t.gain / nullif(t.loss, 0), t.net / nullif(t.n, 0), coalesce(t.fees, 0),
       coalesce(t.spread, 0), coalesce(t.slippage, 0), coalesce(t.impact, 0), coalesce(t.funding, 0),
       coalesce(t.net, 0)
  FROM shaped s CROSS JOIN trades t
$$;
