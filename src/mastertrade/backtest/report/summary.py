"""What a backtest has to say: plain numbers by the names of stored results, and a page for people."""

import math
from dataclasses import asdict
from datetime import UTC, datetime
from statistics import fmean, median
from typing import Any

import numpy as np

from mastertrade.backtest.result import COST_PARTS, BacktestResult, ExitReason
from mastertrade.quant import metrics
from mastertrade.quant.bars import FloatArray

YEAR_MS = metrics.DAYS_PER_YEAR * metrics.DAY_MS


def summarise(result: BacktestResult) -> dict[str, Any]:
    """The result as JSON can carry it. Rates and returns are fractions; None is a number the run cannot give."""
    nets, rows = result.trades.net.tolist(), result.trades.rows
    won, lost = [net for net in nets if net > 0.0], [net for net in nets if net < 0.0]
    curve = np.concatenate(([result.cash], result.equity))
    daily = metrics.period_returns(metrics.daily_equity(result.cash, result.time, result.equity))
    drawdown = metrics.max_drawdown(curve)
    end_ms = _end_ms(result)
    years = (end_ms - int(result.time[0])) / YEAR_MS if len(result.time) else 0.0
    monthly = _monthly_returns(result)
    return {
        "status": "completed",
        "symbols": list(result.symbols),
        "interval_s": result.interval_s,
        "bars": result.bars,
        "start": _iso(int(result.time[0])) if len(result.time) else None,
        "end": _iso(end_ms) if len(result.time) else None,
        "initial_capital": result.cash,
        "final_capital": result.final_equity,
        "total_return": metrics.total_return(curve),
        "cagr": metrics.cagr(curve, years),
        "sharpe_ratio": metrics.sharpe(daily),
        "sortino_ratio": metrics.sortino(daily),
        "calmar_ratio": metrics.calmar(curve, years),
        "max_drawdown": drawdown.depth if drawdown else None,
        "max_drawdown_days": _longest_drawdown_days(result, drawdown),
        "exposure": metrics.exposure(result.invested),
        "total_trades": len(nets),
        "winning_trades": len(won),
        "losing_trades": len(lost),
        "win_rate": metrics.win_rate(nets),
        "profit_factor": metrics.profit_factor(nets),
        "expectancy": metrics.expectancy(nets),
        "avg_win": metrics.expectancy(won),
        "avg_loss": metrics.expectancy(lost),
        "avg_trade_duration_bars": fmean(rows["bars_held"].tolist()) if nets else None,
        "closed_at_end": int((rows["reason"] == ExitReason.END).sum()),
        "exits": exits_of(result),
        **asdict(result.counts),
        "is_ruined": result.is_ruined,
        "gross_profit": math.fsum(rows["gross"].tolist()),
        **{kind: math.fsum(rows[kind].tolist()) for kind in COST_PARTS},
        "net_profit": math.fsum(nets),
        "avg_monthly_return": fmean(monthly.values()) if monthly else None,
        "median_monthly_return": median(monthly.values()) if monthly else None,
        "monthly_returns": monthly,
    }


def exits_of(result: BacktestResult) -> dict[str, int]:
    """How many positions ended why, the most frequent first."""
    reasons, times = np.unique(result.trades.rows["reason"], return_counts=True)
    found = {ExitReason(reason).name.lower(): count for reason, count in zip(reasons, times.tolist(), strict=True)}
    return dict(sorted(found.items(), key=lambda one: -one[1]))


def format_summary(summary: dict[str, Any], title: str = "backtest") -> str:
    """A short page with aligned columns, costs shown."""
    capital = summary["initial_capital"]
    won, deepest, exposed = (_percent(summary[key], sign="") for key in ("win_rate", "max_drawdown", "exposure"))
    ratios = (f"{name} {_number(summary[f'{name.lower()}_ratio'])}" for name in ("Sharpe", "Sortino", "Calmar"))
    ends = f"{summary['closed_at_end']} closed at the end, {summary['unfilled']} not filled"
    if summary["is_ruined"]:
        ends += "; the account was worth nothing, which ended the run"
    lines = [
        ("period", f"{_day(summary['start'])} to {_day(summary['end'])}, {summary['bars']:,} bars"),
        ("equity", f"{capital:,.2f} -> {summary['final_capital']:,.2f}"),
        ("net", f"{_percent(summary['total_return'])}, {_percent(summary['cagr'])} a year"),
        ("without costs", _percent(summary["gross_profit"] / capital)),
        *((kind, _percent(-summary[kind] / capital)) for kind in COST_PARTS if kind == "fees" or summary[kind]),
        ("trades", f"{summary['total_trades']:,}, {won} won, {ends}"),
        *([("exits", _exits(summary))] if set(summary["exits"]) - {"signal", "end"} else []),
        ("profit factor", f"{_number(summary['profit_factor'])}, expectancy {_number(summary['expectancy'])} a trade"),
        ("max drawdown", f"{deepest}, longest {_number(summary['max_drawdown_days'], 1)} days"),
        ("risk", ", ".join(ratios)),
        ("exposure", f"{exposed} of the bars"),
    ]
    head = f"{title} on {', '.join(summary['symbols'])}" if any(summary["symbols"]) else title
    return "\n".join([head, *(f"  {name:<14} {text}" for name, text in lines)])


def _exits(summary: dict[str, Any]) -> str:
    told = ", ".join(f"{count:,} {reason.replace('_', ' ')}" for reason, count in summary["exits"].items())
    return told + (f"; {summary['ambiguous']:,} ambiguous" if summary["ambiguous"] else "")


def _monthly_returns(result: BacktestResult) -> dict[str, float]:
    """The return of each calendar month with a bar in it, the first and last as far as they go."""
    if not len(result.time):
        return {}
    months = result.time.astype("datetime64[ms]").astype("datetime64[M]")
    last_bars: FloatArray = result.equity[np.flatnonzero(np.append(months[1:] != months[:-1], True))]
    returns = metrics.period_returns(np.concatenate(([result.cash], last_bars)))
    return {str(month): float(value) for month, value in zip(np.unique(months), returns, strict=True)}


def _longest_drawdown_days(result: BacktestResult, drawdown: metrics.Drawdown | None) -> float | None:
    """Place 0 of the curve is the capital before the first bar; place n is the close of bar n - 1."""
    if drawdown is None or not len(result.time):
        return None
    closes = np.append(result.time[0], result.time + result.interval_s * 1000)
    from_ms, to_ms = closes[drawdown.longest_from], closes[drawdown.longest_from + drawdown.periods]
    return float(to_ms - from_ms) / metrics.DAY_MS


def _end_ms(result: BacktestResult) -> int:
    return int(result.time[-1]) + result.interval_s * 1000 if len(result.time) else 0


def _iso(time_ms: int) -> str:
    return datetime.fromtimestamp(time_ms / 1000, UTC).isoformat().replace("+00:00", "Z")


def _day(iso: str | None) -> str:
    return iso[:10] if iso else "–"


def _percent(fraction: float | None, sign: str = "+") -> str:
    return "–" if fraction is None else f"{fraction * 100:{sign}.2f} %"


def _number(value: float | None, digits: int = 2) -> str:
    return "–" if value is None else f"{value:.{digits}f}"
