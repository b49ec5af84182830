"""The figures of a single run that say how far it can be trusted, beside those of its summary."""

from mastertrade.backtest.report import Luck
from mastertrade.backtest.result import BacktestResult
from mastertrade.backtest.score import daily_returns
from mastertrade.quant import bootstrap, metrics, significance

INTERVAL = 0.95


def statistics(result: BacktestResult) -> dict[str, float | None]:
    daily = metrics.daily_equity(result.cash, result.time, result.equity)
    returns = metrics.period_returns(daily)
    of = significance.moments(returns)
    span_ms = int(result.time[-1] - result.time[0]) + result.interval_s * 1000 if len(result.time) else 0
    years = span_ms / (metrics.DAYS_PER_YEAR * metrics.DAY_MS)
    return {
        "sharpe_with_autocorrelation": metrics.sharpe_with_autocorrelation(returns),
        "omega_ratio": metrics.omega(returns),
        "ulcer_index": metrics.ulcer(daily),
        "martin_ratio": metrics.martin(daily, years),
        "skewness": of.skewness if of else None,
        "kurtosis": of.kurtosis if of else None,
        "probabilistic_sharpe": significance.probabilistic_sharpe(of) if of else None,
        "minimum_track_record_days": significance.minimum_track_record(of) if of else None,
    }


def luck_of_run(result: BacktestResult) -> Luck:
    """What a run proves by itself, were it the only one ever made."""
    returns = daily_returns(result)
    of = significance.moments(returns)
    spread = bootstrap.interval(metrics.sharpe, returns, level=INTERVAL)
    return Luck(
        probabilistic_sharpe=significance.probabilistic_sharpe(of) if of else None,
        sharpe_interval=(spread.low, spread.high) if spread else None,
        sentence=significance.sentence(of=of, trades=len(result.trades)),
    )
