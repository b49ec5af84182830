"""The figures of a report beyond the stored ones: dates of the deepest fall, holding instead, months as a grid."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from mastertrade.backtest.report.trades import COST_KINDS, cost_parts
from mastertrade.backtest.result import BacktestResult
from mastertrade.quant import metrics
from mastertrade.quant.bars import Bars, FloatArray
from mastertrade.quant.costs import BUY_SIGN, SELL_SIGN


@dataclass(frozen=True, slots=True, kw_only=True)
class DrawdownDates:
    """The deepest fall: from the peak to the trough, and when the peak was seen again, None when it never was."""

    depth: float
    peak_ms: int
    trough_ms: int
    recovered_ms: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class CostLine:
    """One kind of cost: in quote, as a part of the starting capital, and of the gross profit where there was one."""

    kind: str
    amount: float
    of_capital: float
    of_gross: float | None


def drawdown_dates(result: BacktestResult) -> DrawdownDates | None:
    """None for a run that never fell."""
    curve = np.concatenate(([result.cash], result.equity))
    drawdown = metrics.max_drawdown(curve)
    if drawdown is None or drawdown.depth <= 0.0:
        return None
    after = curve[drawdown.trough :] >= curve[drawdown.peak]
    recovered = drawdown.trough + int(np.argmax(after)) if after.any() else None
    times = equity_times(result)
    return DrawdownDates(
        depth=drawdown.depth,
        peak_ms=int(times[drawdown.peak]),
        trough_ms=int(times[drawdown.trough]),
        recovered_ms=None if recovered is None else int(times[recovered]),
    )


def equity_times(result: BacktestResult) -> FloatArray:
    """When the capital was there, and when each bar closed: one more than there are bars."""
    if not len(result.time):
        return np.zeros(1)
    return np.concatenate(([result.time[0]], result.time + result.interval_s * 1000)).astype(np.float64)


def drawdowns(curve: FloatArray) -> FloatArray:
    """How far below its peak the account stood, as a fraction, 0 or negative."""
    peaks = np.maximum.accumulate(curve)
    return np.divide(curve, peaks, out=np.ones_like(curve), where=peaks > 0.0) - 1.0


def holding_curve(result: BacktestResult, bars: Mapping[str, Bars]) -> FloatArray | None:
    """The capital put in equal parts into every symbol at its first open, sold at its last close, at the run's own
    costs; one value before the first bar and one a bar, as equity. None without bars or without trading time."""
    held = [one for one in bars.values() if len(one)]
    if not held or not len(result.time):
        return None
    part, costs = result.cash / len(held), result.costs
    curve = np.full(len(result.time) + 1, result.cash - part * len(held))
    for one in held:
        paid = costs.market_price(float(one.open[0]), BUY_SIGN) * (1.0 + costs.taker_fee)
        places = np.searchsorted(one.time, result.time, side="right")
        worth = np.where(places > 0, part / paid * one.close[np.maximum(places - 1, 0)], part)
        if places[-1] > 0:
            worth[-1] = part / paid * costs.market_price(float(one.close[-1]), SELL_SIGN) * (1.0 - costs.taker_fee)
        curve += np.concatenate(([part], worth))
    return curve


def cost_lines(result: BacktestResult) -> list[CostLine]:
    gross = float(result.trades.rows["gross"].sum())
    parts = cost_parts(result)
    return [
        CostLine(
            kind=kind,
            amount=parts[kind],
            of_capital=parts[kind] / result.cash,
            of_gross=parts[kind] / gross if gross > 0.0 else None,
        )
        for kind in COST_KINDS
        if kind in parts
    ]


def month_grid(monthly: Mapping[str, float]) -> list[tuple[int, list[float | None], float]]:
    """A row a year: the twelve months, None where there was no bar, and what they make together."""
    years: dict[int, list[float | None]] = {}
    for month, value in monthly.items():
        years.setdefault(int(month[:4]), [None] * 12)[int(month[5:7]) - 1] = value
    return [
        (year, months, float(np.prod([1.0 + value for value in months if value is not None])) - 1.0)
        for year, months in sorted(years.items())
    ]


@dataclass(frozen=True, slots=True, kw_only=True)
class Histogram:
    """``counts[i]`` values lie in [edges[i], edges[i + 1]), the last bin with its upper edge; ``below`` and ``above``
    lie outside, so that one freak trade does not squeeze all others into one bin."""

    edges: FloatArray
    counts: list[int]
    below: int
    above: int


def histogram(values: FloatArray, bins: int = 40) -> Histogram | None:
    """Bins of a round width that meet at 0, so that a bin holds winners or losers, never both."""
    if not len(values):
        return None
    low, high = (float(value) for value in np.quantile(values, (0.005, 0.995)))
    low, high = min(low, 0.0), max(high, 0.0)
    raw = (high - low) / bins or 0.001
    magnitude = 10.0 ** np.floor(np.log10(raw))
    width = float(next(step * magnitude for step in (1, 2, 2.5, 5, 10) if step * magnitude >= raw * (1 - 1e-9)))
    places = np.arange(int(np.floor(low / width)), int(np.floor(high / width)) + 2)
    edges: FloatArray = places.astype(np.float64) * width
    counts = np.histogram(values, edges)[0]
    return Histogram(
        edges=edges,
        counts=counts.tolist(),
        below=int((values < edges[0]).sum()),
        above=int((values > edges[-1]).sum()),
    )
