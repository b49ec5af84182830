"""Law 8: the compiled loop gives what its slow twin gives, to the last bit, whatever the market and the terms."""

from collections import Counter
from dataclasses import asdict

import pytest

from mastertrade.backtest import twin
from mastertrade.backtest.result import ExitReason
from mastertrade.backtest.simulation import compiled
from tests.pure.random_markets import random_cases

BATCHES, SEEDS, TERMS = 5, 500, 4
"""10,000 cases: of each seed the same markets under four terms."""


@pytest.mark.parametrize("batch", range(BATCHES))
def test_the_compiled_loop_equals_its_twin_on_random_markets(batch: int) -> None:
    met: Counter[str] = Counter()
    for seed in range(batch * SEEDS, (batch + 1) * SEEDS):
        for case, (markets, terms) in enumerate(random_cases(seed, TERMS)):
            slow, fast = twin.simulate(markets, terms), compiled(markets, terms)
            where = f"random_cases({seed}, {TERMS})[{case}]"
            assert fast.counts == slow.counts, where
            assert fast.trades.rows.tobytes() == slow.trades.rows.tobytes(), where
            assert fast.time.tobytes() == slow.time.tobytes(), where
            assert fast.equity.tobytes() == slow.equity.tobytes(), where
            assert fast.invested.tobytes() == slow.invested.tobytes(), where
            assert fast.is_ruined == slow.is_ruined, where
            met.update(asdict(slow.counts))
            met.update(ExitReason(reason).name for reason in slow.trades.rows["reason"].tolist())
            met["ruined"] += slow.is_ruined
    rare = {name: times for name, times in met.items() if times < 3}
    assert not rare, "the cases should meet everything that can happen"
    assert {reason.name for reason in ExitReason} <= set(met)
