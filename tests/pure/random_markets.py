"""Small wild markets and terms out of a seed: everything that the fill rules speak of, far more often than in life."""

import math
from dataclasses import replace
from typing import Any

import numpy as np

from mastertrade.backtest.market import NOTHING, Detail, Market
from mastertrade.backtest.options import Exits, Margin, Sizing, SizingMethod, Terms
from mastertrade.backtest.result import Rules
from mastertrade.quant.bars import FloatArray
from mastertrade.quant.costs import FREE, Costs

MINUTE_MS = 60_000
MOST_BARS = 30
COLUMNS = (
    "time", "open", "high", "low", "close", "volume", "targets", "long_unit", "short_unit", "atr", "impact", "funding",
)  # fmt: skip
FINE = 3
"""Finer bars of a bar."""
LEVELS = np.array([0.0, 0.0, 0.0, 1.0, 1.0, 0.5, -1.0, -0.3])
LONG_LEVELS = 6


def random_cases(seed: int, count: int) -> list[tuple[list[Market], Terms]]:
    """The same markets under several terms: making them takes longer than trading them."""
    numbers = np.random.default_rng(seed)
    shorts = bool(numbers.random() < 0.5)
    markets = [random_market(numbers, f"M{place}", shorts=shorts) for place in range(int(numbers.integers(1, 4)))]
    if numbers.random() < 0.3:
        markets = _in_step(markets)
    cases = []
    for _ in range(count):
        terms = random_terms(numbers.random(40).tolist(), shorts=shorts)
        lacking = {
            **({} if terms.exits.needs_atr else {"atr": NOTHING}),
            **({} if terms.costs.impact else {"impact": NOTHING}),
        }
        cases.append(([replace(market, **lacking) for market in markets] if lacking else markets, terms))
    return cases


def _in_step(markets: list[Market]) -> list[Market]:
    """All with bars at the same times: columns as long as the shortest."""
    count = min(map(len, markets))
    cut: list[dict[str, Any]] = [
        {name: value[:count] for name in COLUMNS if isinstance(value := getattr(market, name), np.ndarray)}
        for market in markets
    ]
    return [
        replace(market, **{**columns, "time": markets[0].time[:count]}, detail=None)
        for market, columns in zip(markets, cut, strict=True)
    ]


def random_terms(draws: list[float], *, shorts: bool) -> Terms:
    """Each of the draws decides one thing."""

    def sometimes(most: float, often: float = 0.5) -> float:
        value, chance = draws.pop() * most, draws.pop()
        return value if chance < often else 0.0

    costs = Costs(
        taker_fee=draws.pop() * 0.01, maker_fee=draws.pop() * 0.005, half_spread=draws.pop() * 0.005,
        slippage=draws.pop() * 0.005, impact=sometimes(2.0), participation=sometimes(1.0),
    )  # fmt: skip
    exits = Exits(
        stop_loss=sometimes(0.05), take_profit=sometimes(0.05), trailing=sometimes(0.05, 0.3),
        break_even=sometimes(0.03, 0.3), stop_atr=sometimes(3.0, 0.3), target_atr=sometimes(3.0, 0.3),
        trailing_atr=sometimes(3.0, 0.2), time_bars=int(sometimes(8.0, 0.3)),
    )  # fmt: skip
    exits = Exits() if draws.pop() < 0.2 else exits
    leverage = (1.0, 1.0, 2.0, 40.0)[int(draws.pop() * 4)]
    method = SizingMethod(int(draws.pop() * 5))
    if method is SizingMethod.RISK and not exits.has_stop:
        method = SizingMethod.FRACTION
    size = draws.pop()
    value = {SizingMethod.FRACTION: leverage * (0.02 + 0.98 * size), SizingMethod.QUANTITY: 200.0 * size}
    return Terms(
        costs=FREE if draws.pop() < 0.1 else costs,
        exits=exits,
        sizing=Sizing(method=method, value=value.get(method, 0.001 + size), limit=sometimes(leverage)),
        margin=Margin(leverage=leverage, maintenance=draws.pop() * 0.5 / leverage),
        max_positions=int(sometimes(3.0, 0.3)),
        shorts=shorts,
    )


def random_market(numbers: Any, symbol: str, *, shorts: bool) -> Market:
    count, deviation = int(numbers.integers(0, MOST_BARS)), (0.002, 0.01, 0.05)[int(numbers.integers(0, 3))]
    draws = numbers.random((12, count))
    steps = numbers.normal(0.0, deviation, (count, FINE + 1)) * (draws[0] > 0.1).reshape(-1, 1)
    path = 100.0 * np.exp(np.cumsum(steps.ravel())).reshape(count, FINE + 1)
    atr = draws[1] * 3.0
    atr[:2] = math.nan
    low, high = path.min(axis=1) * (1.0 - draws[2] * deviation), path.max(axis=1) * (1.0 + draws[3] * deviation)
    has_funding, has_detail, *rules = numbers.random(11).tolist()
    unit = path[:, -1] * (0.5 + draws[4])
    unit[draws[5] < 0.05] = math.nan
    versions = 1 + int(rules.pop() * 3)
    return Market(
        symbol=symbol,
        interval_ms=MINUTE_MS,
        time=(np.cumsum(1 + (draws[6] < 0.1) * 3) * MINUTE_MS).astype(np.int64),
        open=path[:, 0].copy(),
        high=high,
        low=low,
        close=path[:, -1].copy(),
        volume=np.floor(draws[7] * 400.0) * (draws[7] > 0.1),
        targets=_targets(draws[8], draws[9], shorts=shorts),
        long_unit=unit,
        short_unit=unit * 1.1,
        atr=atr,
        impact=draws[10] * 0.003,
        funding=np.where(draws[11] < 0.2, (draws[11] - 0.1) * 0.05, 0.0) if has_funding < 0.4 else NOTHING,
        rules=tuple(_rules(rules.pop(), rules.pop()) for _ in range(versions)),
        rules_from=(0, *sorted(int(rules.pop() * (count + 1)) for _ in range(versions - 1))),
        detail=_detail(numbers, path, high, low) if has_detail < 0.4 else None,
    )


def _targets(drawn: FloatArray, changes: FloatArray, *, shorts: bool) -> FloatArray:
    levels = LEVELS[(drawn * (len(LEVELS) if shorts else LONG_LEVELS)).astype(np.int64)]
    places = np.maximum.accumulate(np.where(changes < 0.3, np.arange(len(drawn)), 0)) if len(drawn) else drawn
    targets: FloatArray = levels[places.astype(np.int64)]
    return targets


def _rules(first: float, second: float) -> Rules:
    return Rules(
        lot=(0.0, 0.001, 0.3, 2.0)[int(first * 4)],
        tick=(0.0, 0.01, 0.5)[int(second * 3)],
        min_notional=(0.0, 10.0, 500.0)[int(first * 12) % 3],
    )


def _detail(numbers: Any, path: FloatArray, high: FloatArray, low: FloatArray) -> Detail:
    """The path inside each bar; some bars have lost their finer bars, and some of these do not reach as far."""
    opens, ends = path[:, :-1], path[:, 1:]
    highs, lows = np.maximum(opens, ends), np.minimum(opens, ends)
    rows = np.flatnonzero(numbers.random(len(path)) < 0.8)
    highs[rows, rows % FINE] = high[rows]
    lows[rows, (rows // FINE) % FINE] = low[rows]
    start = np.arange(len(path), dtype=np.int64) * FINE
    return Detail(
        open=opens.ravel().copy(), high=highs.ravel(), low=lows.ravel(),
        start=start, end=start + FINE * (numbers.random(len(path)) < 0.9),
    )  # fmt: skip
