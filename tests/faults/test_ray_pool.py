"""Trials on a Ray cluster of this machine: what one trial does wrong is its own outcome, as in child processes."""

import os
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from mastertrade.backtest.ray_pool import RayPool
from mastertrade.backtest.sweep import run_all
from mastertrade.backtest.trials import Evaluate, Outcome, Trial
from mastertrade.backtest.workers import Limits

LISTENS = "0A"


def misbehaving() -> Evaluate:
    """The third trial takes its process down, the fourth never ends, the fifth raises. A function's own function travels
    to the cluster as its text; the module of a test could not be imported there."""

    def evaluate(trials: Sequence[Trial]) -> Iterator[Outcome]:
        for trial in trials:
            if trial.number == 2:
                os._exit(3)
            while trial.number == 3:
                pass
            if trial.number == 4:
                raise ValueError("no such luck")
            yield Outcome(figures={"sharpe_ratio": float(trial.number)})

    return evaluate


def listening() -> set[str]:
    """Addresses in hexadecimal, as the kernel tells them, of everything that listens on this machine."""
    lines = [line.split() for name in ("tcp", "tcp6") for line in Path("/proc/net", name).read_text().splitlines()[1:]]
    return {line[1] for line in lines if line[3] == LISTENS}


@pytest.mark.skipif(not Path("/proc/net/tcp").exists(), reason="it reads from /proc who listens; CI runs Linux")
def test_a_trial_that_crashes_hangs_or_raises_fails_alone_and_nobody_outside_can_reach_the_cluster(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(sys.path))  # the workers shall find the program that is tested
    before = listening()
    with RayPool(misbehaving(), limits=Limits(seconds=1.0)) as pool:
        found = {trial.number: outcome for trial, outcome in run_all(pool, [one(number) for number in range(8)])}
        opened = listening() - before
    assert {
        number: outcome.figures.get("sharpe_ratio") for number, outcome in found.items() if not outcome.failure
    } == {number: float(number) for number in (0, 1, 5, 6, 7)}
    assert "crashed, or ran longer than the 1 s a trial may take" in (found[2].failure or "")
    assert "crashed, or ran longer than the 1 s a trial may take" in (found[3].failure or "")
    assert found[4].failure == "ValueError: no such luck"
    assert opened, "a cluster listens somewhere"
    assert all(address.partition(":")[0].endswith("0100007F") for address in opened), opened


def one(number: int) -> Trial:
    return Trial(number=number, parameters={})
