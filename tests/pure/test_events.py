"""Law 8 for the loop that jumps from event to event: it gives what the slow twin gives, to the last bit."""

import math
from collections import Counter
from dataclasses import asdict, fields, replace

import numpy as np
import pytest

from mastertrade.backtest import events, twin
from mastertrade.backtest.market import NOTHING, Market
from mastertrade.backtest.options import Exits, Margin, Sizing, SizingMethod, Terms
from mastertrade.backtest.result import ExitReason, Rules, Simulated
from mastertrade.quant import masks, metrics
from mastertrade.quant.costs import FREE, Costs
from mastertrade.quant.masks import packed, unpacked

BATCHES, SEEDS, TERMS = 2, 100, 4
"""800 cases: of each seed the same market under four terms."""
COUNTS = (1, 2, 5, 20, 64, 65, 200, 500)
MINUTE_MS = 60_000


@pytest.mark.parametrize("batch", range(BATCHES))
def test_the_event_loop_equals_the_twin_on_random_markets(batch: int) -> None:
    met: Counter[str] = Counter()
    for seed in range(batch * SEEDS, (batch + 1) * SEEDS):
        numbers = np.random.default_rng(seed)
        for case in range(TERMS):
            terms = random_terms(numbers)
            market = random_market(numbers, terms)
            assert events.can_run(market, terms)
            ready, mask = events.Events(market, terms), masks.all_or_nothing(market.targets)
            assert mask is not None
            slow, fast = twin.simulate([market], terms), ready.simulate(mask)
            where = f"seed {seed}, case {case}"
            assert (fast is None) == ready.sum_up(mask).was_cut, where
            assert fast is None or not slow.counts.carried, where
            met["cut"] += fast is None
            if fast is None:
                continue
            assert fast.counts == slow.counts, where
            assert fast.trades.rows.tobytes() == slow.trades.rows.tobytes(), where
            assert fast.equity.tobytes() == slow.equity.tobytes(), where
            assert fast.invested.tobytes() == slow.invested.tobytes(), where
            assert not slow.is_ruined, where
            check_summary(ready.sum_up(mask), slow, terms, where)
            assert ready.sum_up(np.zeros_like(mask)).trades == 0
            check_summary(ready.sum_up(mask), slow, terms, where)
            met.update(asdict(slow.counts))
            met.update(ExitReason(reason).name for reason in slow.trades.rows["reason"].tolist())
    expected = {"cut", "unfilled", "ambiguous", "SIGNAL", "STOP", "TARGET", "TIME", "END"}
    assert {name for name, times in met.items() if times > 2} >= expected, "the cases should meet what can happen"


def check_summary(told: events.Summary, slow: Simulated, terms: Terms, where: str) -> None:
    """What a sweep keeps of a strategy is what can be worked out of the twin's equity and trades."""
    nets = slow.trades.net.tolist()
    drawdown = metrics.max_drawdown(np.concatenate(([terms.cash], slow.equity)))
    assert drawdown is not None
    expected = {
        "final_equity": slow.equity[-1],
        "max_drawdown": drawdown.depth,
        "fees": math.fsum(slow.trades.rows["fees"].tolist()),
        "won": math.fsum(net for net in nets if net > 0.0),
        "lost": -math.fsum(net for net in nets if net < 0.0),
        "net": math.fsum(nets),
        "trades": len(nets),
        "wins": sum(net > 0.0 for net in nets),
        "losses": sum(net < 0.0 for net in nets),
        "unfilled": slow.counts.unfilled,
        "ambiguous": slow.counts.ambiguous,
        "invested_bars": int((slow.invested > 0.0).sum()),
    }
    assert {name: getattr(told, name) for name in expected} == expected, where
    daily = metrics.daily_equity(terms.cash, slow.time, slow.equity)
    assert told.daily_equity.tobytes() == daily.tobytes(), where


def random_terms(numbers: np.random.Generator) -> Terms:
    def sometimes(most: float, often: float = 0.5) -> float:
        return float(numbers.random() * most) if numbers.random() < often else 0.0

    costs = Costs(
        taker_fee=sometimes(0.01), maker_fee=sometimes(0.01), half_spread=sometimes(0.004), slippage=sometimes(0.01),
        impact=sometimes(2.0), participation=sometimes(1.0, 0.2),
    )  # fmt: skip
    exits = Exits(
        stop_loss=sometimes(0.05), take_profit=sometimes(0.05), stop_atr=sometimes(3.0, 0.2),
        target_atr=sometimes(3.0, 0.2), time_bars=int(sometimes(9.0, 0.3)),
    )  # fmt: skip
    is_quantity = numbers.random() < 0.3
    sizing = Sizing(
        method=SizingMethod.QUANTITY if is_quantity else SizingMethod.FRACTION,
        value=float(numbers.random() * 99 if is_quantity else 1.0 - numbers.random() * 0.9),
        limit=sometimes(1.0, 0.3),
    )
    return Terms(costs=FREE if numbers.random() < 0.1 else costs, exits=exits, sizing=sizing)


def random_market(numbers: np.random.Generator, terms: Terms) -> Market:
    """Wild bars with gaps, a missing day now and then, and targets that change often or seldom."""
    count = int(numbers.choice(COUNTS))
    deviation = float(numbers.choice([0.002, 0.01, 0.04]))
    path = 100.0 * np.exp(np.cumsum(numbers.normal(0.0, deviation, (count, 3)) * (numbers.random((count, 1)) > 0.1)))
    path = path.reshape(count, 3)
    changes = numbers.random(count) < numbers.choice([0.5, 0.1, 0.02])
    atr = numbers.random(count) * 3.0
    unit = path[:, -1] * (0.5 + numbers.random(count))
    unit[numbers.random(count) < 0.05] = math.nan
    return Market(
        symbol="M",
        interval_ms=MINUTE_MS,
        time=np.cumsum(numbers.choice([1, 1, 1, 1, 30, 2000], count) * MINUTE_MS),
        open=path[:, 0].copy(),
        high=path.max(axis=1) * (1.0 + numbers.random(count) * deviation),
        low=path.min(axis=1) * (1.0 - numbers.random(count) * deviation),
        close=path[:, -1].copy(),
        volume=np.floor(numbers.random(count) * 9000.0) * (numbers.random(count) > 0.02),
        targets=(np.cumsum(changes) % 2).astype(np.float64),
        long_unit=unit,
        short_unit=unit,
        atr=atr if terms.exits.needs_atr else NOTHING,
        impact=numbers.random(count) * 0.003 if terms.costs.impact else NOTHING,
        rules=(
            Rules(
                lot=float(numbers.choice([0.0, 0.001, 2.0])),
                tick=float(numbers.choice([0.0, 0.01, 0.5])),
                min_notional=float(numbers.choice([0.0, 0.0, 500.0])),
            ),
        ),
    )


def test_it_says_what_it_cannot_do() -> None:
    numbers, terms = np.random.default_rng(1), Terms()
    market = replace(random_market(numbers, terms), time=np.arange(500) * MINUTE_MS)
    assert events.can_run(market, terms)
    assert not events.can_run(replace(market, rules=(Rules(), Rules())), terms)
    assert not events.can_run(replace(market, funding=np.zeros(len(market))), terms)
    assert not events.can_run(replace(market, time=np.empty(0, dtype=np.int64)), terms)
    assert not events.can_run(market, replace(terms, margin=Margin(leverage=2.0)))
    fixed = {"stop_loss", "take_profit", "stop_atr", "target_atr", "time_bars"}
    for name in {one.name for one in fields(Exits)} - {"atr_period"}:
        exits = replace(Exits(), **{name: 1 if name == "time_bars" else 0.01})
        assert events.can_run(market, replace(terms, exits=exits)) == (name in fixed), name
    assert masks.all_or_nothing(np.array([0.0, 0.5, 1.0])) is None
    assert masks.all_or_nothing(np.array([0.0, -1.0])) is None


def test_a_mask_that_does_not_fit_the_bars_is_refused() -> None:
    terms = Terms()
    market = replace(random_market(np.random.default_rng(2), terms), time=np.arange(70) * MINUTE_MS)
    short = replace(market, **{name: np.ones(70) for name in ("open", "high", "low", "close", "volume", "long_unit")})
    ready = events.Events(short, terms)
    with pytest.raises(ValueError, match="does not fit 70 bars, which need 2 words"):
        ready.sum_up(packed(np.zeros(64, bool)))
    with pytest.raises(ValueError, match="bits after the last of 70 bars"):
        ready.simulate(packed(np.ones(71, bool)))
    mask = packed(np.arange(70) % 3 == 0)
    again = masks.all_or_nothing(unpacked(mask, 70).astype(np.float64))
    assert again is not None
    assert again.tolist() == mask.tolist()
