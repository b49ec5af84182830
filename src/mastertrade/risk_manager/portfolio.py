"""The risk of what an account holds: figures from its holdings and the daily returns of their markets. Pure: the same
holdings and returns give the same figures."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from decimal import Decimal
from uuid import UUID

import numpy as np

from mastertrade.quant.bars import FloatArray, TimeArray
from mastertrade.quant.risk import covariance as joint
from mastertrade.quant.risk import portfolio
from mastertrade.quant.risk.tails import METHODS, Tail, TailMethod, compounded, tail_of

FEWEST_DAYS = 20
"""Of daily returns. A market with fewer is not measured, and the figures say how much of the holdings that is."""
LOSSES_DAYS = 60
"""From here on the historical losses are taken as they were; with fewer days a normal distribution speaks for them."""
DEGREES_OF_FREEDOM = 5.0
PATHS = 20_000
EVERY_METHOD = tuple(TailMethod)


@dataclass(frozen=True, slots=True, kw_only=True)
class Holding:
    """``value`` in the account's quote asset. None where no price is known: then it counts nowhere, and is named."""

    asset: str
    instrument_id: int | None
    symbol: str
    quantity: Decimal
    value: Decimal | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Book:
    """What an account is worth and holds beside its quote asset, at one moment of the market."""

    account_id: UUID
    account: str
    venue: str
    quote: str
    as_of: datetime
    equity: Decimal
    cash: Decimal
    high_water_mark: Decimal
    high_water_at: datetime
    max_drawdown: Decimal
    """The deepest ever, as a fraction of the high-water mark of then."""
    holdings: tuple[Holding, ...]

    @property
    def drawdown_days(self) -> int:
        """Whole days since the high-water mark; 0 at it."""
        return (self.as_of - self.high_water_at).days if self.equity < self.high_water_mark else 0


@dataclass(frozen=True, slots=True)
class Daily:
    """Simple returns of a market, and the starts of their days in epoch milliseconds."""

    time: TimeArray
    returns: FloatArray


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """One loss that may come, in money and as a part of equity."""

    method: TailMethod
    confidence: float
    horizon_days: int
    value_at_risk: float | None
    expected_shortfall: float | None
    percent: float | None
    standard_error: float | None
    count: int
    note: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """What one holding adds."""

    symbol: str
    value: float
    share_percent: float
    volatility_percent: float | None
    component: float | None
    """Of the normal value at risk at the first confidence; the parts sum to it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PortfolioRisk:
    """``window_days`` were asked for and ``days`` had a return of every measured market. Shares are of equity."""

    book: Book
    window_days: int
    days: int
    exposure: float
    leverage: float | None
    concentration: float
    drawdown_percent: float
    diversification: float | None
    adjusted_exposure: float | None
    shrinkage: float | None
    figures: tuple[Figure, ...]
    parts: tuple[Part, ...]
    correlation: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


def measure(
    book: Book,
    daily: Mapping[int, Daily],
    *,
    window_days: int,
    confidences: Sequence[float] = (0.95, 0.99),
    horizons: Sequence[int] = (1, 5),
    methods: Sequence[TailMethod] = EVERY_METHOD,
    seed: int = 0,
) -> PortfolioRisk:
    """Losses over the horizons: the historical ones drawn day by day, those of the other ``methods`` for one day. An
    empty account has figures of 0."""
    priced = [one for one in book.holdings if one.value is not None and one.value != 0]
    measured = [one for one in priced if one.instrument_id is not None and _is_long(daily.get(one.instrument_id))]
    values = np.array([float(one.value or 0) for one in measured])
    returns = together([daily[one.instrument_id] for one in measured if one.instrument_id is not None])
    sizes = np.array([float(one.value or 0) for one in priced])
    equity = float(book.equity)
    exposure = float(np.sum(np.abs(sizes)))
    shrunk = joint.shrink_to_constant_correlation(returns) if measured and len(returns) > 1 else None
    return PortfolioRisk(
        book=book,
        window_days=window_days,
        days=len(returns),
        exposure=exposure,
        leverage=exposure / equity if equity > 0 else None,
        concentration=portfolio.herfindahl(sizes),
        drawdown_percent=_drawdown_percent(book),
        diversification=portfolio.diversification_ratio(values, shrunk.covariance) if shrunk else None,
        adjusted_exposure=joint.adjusted_exposure(values, shrunk.correlation) if shrunk else None,
        shrinkage=shrunk.intensity if shrunk else None,
        figures=tuple(_figures(values, returns, shrunk, equity, exposure, confidences, horizons, methods, seed)),
        parts=tuple(_parts(priced, measured, values, shrunk, equity, confidences[0])),
        correlation=_pairs(measured, shrunk),
        notes=tuple(_notes(book, priced, measured, len(returns))),
    )


def together(series: Sequence[Daily]) -> FloatArray:
    """One row a day on which every market has a return, one column a market."""
    if not series:
        return np.zeros((0, 0))
    days = series[0].time
    for one in series[1:]:
        days = np.intersect1d(days, one.time, assume_unique=True)
    return np.column_stack([one.returns[np.searchsorted(one.time, days)] for one in series])


def daily_returns(time: TimeArray, close: FloatArray, day_ms: int = 86_400_000) -> Daily:
    """Between neighbouring days; a return over a hole belongs to no day and is left out."""
    follows = np.diff(time) == day_ms
    return Daily(time[1:][follows], (close[1:] / close[:-1] - 1.0)[follows])


def _is_long(daily: Daily | None) -> bool:
    return daily is not None and len(daily.returns) >= FEWEST_DAYS


def _figures(
    values: FloatArray,
    returns: FloatArray,
    shrunk: joint.Shrunk | None,
    equity: float,
    exposure: float,
    confidences: Sequence[float],
    horizons: Sequence[int],
    methods: Sequence[TailMethod],
    seed: int,
) -> list[Figure]:
    if exposure == 0.0:
        nothing = Tail(
            method=TailMethod.HISTORICAL, confidence=confidences[0], count=0, value_at_risk=0.0, expected_shortfall=0.0,
            note="nothing is held",
        )  # fmt: skip
        return [_figure(nothing, 1, 1.0, equity)]
    if shrunk is None or len(returns) < FEWEST_DAYS:
        return []
    gross = float(np.sum(np.abs(values)))
    ours = returns @ values / gross
    found = []
    for confidence in confidences:
        for horizon in horizons:
            found.append(_historical(ours, confidence, horizon, gross, equity, seed))
        found += [
            _figure(tail_of(method, ours, confidence), 1, gross, equity)
            for method in METHODS
            if method is not TailMethod.HISTORICAL and method in methods
        ]
        if TailMethod.MONTE_CARLO not in methods:
            continue
        simulated = portfolio.monte_carlo(
            values, shrunk.covariance, confidence, mean=returns.mean(axis=0), dof=DEGREES_OF_FREEDOM, seed=seed
        )
        found.append(_figure(simulated, 1, 1.0, equity))
    return found


def _historical(returns: FloatArray, confidence: float, horizon: int, gross: float, equity: float, seed: int) -> Figure:
    """As it was where there are enough days, else normal; longer horizons drawn from the days."""
    if len(returns) < LOSSES_DAYS:
        tail = tail_of(TailMethod.NORMAL, returns, confidence)
        figure = _figure(tail, horizon, gross * math.sqrt(horizon), equity)
        note = f"{len(returns)} days are too few for their own losses, {LOSSES_DAYS} are needed"
        return _noted(figure, note)
    if horizon == 1:
        return _figure(tail_of(TailMethod.HISTORICAL, returns, confidence), 1, gross, equity)
    drawn = compounded(returns, horizon, paths=PATHS, seed=seed)
    figure = _figure(tail_of(TailMethod.HISTORICAL, drawn, confidence), horizon, gross, equity)
    return _noted(figure, f"drawn from {len(returns)} days")


def _figure(tail: Tail, horizon: int, scale: float, equity: float) -> Figure:
    value = None if tail.value_at_risk is None else max(tail.value_at_risk, 0.0) * scale
    shortfall = None if tail.expected_shortfall is None else max(tail.expected_shortfall, 0.0) * scale
    return Figure(
        method=tail.method,
        confidence=tail.confidence,
        horizon_days=horizon,
        value_at_risk=value,
        expected_shortfall=shortfall,
        percent=value / equity * 100.0 if value is not None and equity > 0 else None,
        standard_error=None if tail.standard_error is None else tail.standard_error * scale,
        count=tail.count,
        note=tail.note,
    )


def _noted(figure: Figure, note: str) -> Figure:
    return replace(figure, note="; ".join(one for one in (figure.note, note) if one))


def _parts(
    priced: Sequence[Holding],
    measured: Sequence[Holding],
    values: FloatArray,
    shrunk: joint.Shrunk | None,
    equity: float,
    confidence: float,
) -> list[Part]:
    adds = dict[str, tuple[float, float]]()
    if shrunk is not None:
        components = portfolio.component_value_at_risk(values, shrunk.covariance, confidence)
        deviations = np.sqrt(np.diag(shrunk.covariance))
        adds = {
            one.symbol: (float(deviation), float(component))
            for one, deviation, component in zip(measured, deviations, components, strict=True)
        }
    found = []
    for one in priced:
        deviation, component = adds.get(one.symbol, (None, None))
        found.append(
            Part(
                symbol=one.symbol,
                value=float(one.value or 0),
                share_percent=float(one.value or 0) / equity * 100.0 if equity > 0 else 0.0,
                volatility_percent=None if deviation is None else deviation * 100.0,
                component=component,
            )
        )
    return sorted(found, key=lambda part: -abs(part.value))


def _pairs(measured: Sequence[Holding], shrunk: joint.Shrunk | None) -> dict[str, dict[str, float]]:
    if shrunk is None:
        return {}
    rows = shrunk.correlation.tolist()
    return {
        one.symbol: {other.symbol: value for other, value in zip(measured, row, strict=True)}
        for one, row in zip(measured, rows, strict=True)
    }


def _notes(book: Book, priced: Sequence[Holding], measured: Sequence[Holding], days: int) -> list[str]:
    notes = []
    if silent := [one.asset for one in book.holdings if one.value is None]:
        notes.append(f"no recent price: {', '.join(silent)}; counted as nothing")
    if short := [one.symbol for one in priced if one not in measured]:
        notes.append(f"fewer than {FEWEST_DAYS} daily returns: {', '.join(short)}; not in the losses below")
    if len(measured) > 1 and days < FEWEST_DAYS:
        notes.append(f"only {days} days are common to all markets; {FEWEST_DAYS} are needed")
    return notes


def _drawdown_percent(book: Book) -> float:
    if book.high_water_mark <= 0:
        return 0.0
    return float(max(Decimal(0), (book.high_water_mark - book.equity) / book.high_water_mark * 100))
