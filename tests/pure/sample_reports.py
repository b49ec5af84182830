"""Reports for tests: real runs of a real template on seeded walks."""

import itertools
from typing import Any

import numpy as np

from mastertrade.backtest import run
from mastertrade.backtest.report import Luck, Provenance, RunReport, SweepReport, Trial, WalkForwardReport, Window
from mastertrade.backtest.report.summary import summarise
from mastertrade.quant.bars import Bars
from mastertrade.strategies import build
from tests.pure.sample_bars import START_MS, random_walk

HOUR_S = 3_600
DAY_MS = 86_400_000
LUCK = Luck(trials=120, deflated_sharpe=0.31, overfitting=0.55, sharpe_interval=(-1.2, 2.4))


def run_report(
    bars: dict[str, Bars] | None = None, *, title: str = "ma_cross", fast: int = 5, slow: int = 20, **parts: Any
) -> RunReport:
    by_symbol = bars or {"BTC/USDT": random_walk(3_000, seed=3, interval_s=HOUR_S)}
    built = build("ma_cross", {"fast": fast, "slow": slow})
    provenance = Provenance(
        strategy="ma_cross", parameters={"fast": fast, "slow": slow}, run_id="run-1", snapshot_hash="ab" * 32, seed=3
    )
    result = run(by_symbol, built.template, built.params, position_fraction=0.9)
    return RunReport(title=title, result=result, bars=by_symbol, **{"provenance": provenance, "luck": LUCK, **parts})


def trial(number: int, parameters: dict[str, Any], sharpe: float | None) -> Trial:
    metrics = {"sharpe_ratio": sharpe, "total_return": None if sharpe is None else sharpe / 10, "total_trades": 12}
    return Trial(number=number, parameters=parameters, metrics=metrics)


def sweep_report(**parts: Any) -> SweepReport:
    """A plateau around fast 10, slow 60, and one trial that failed."""
    pairs = itertools.product(range(4, 20, 2), range(30, 100, 10))
    trials = [
        trial(number, {"fast": fast, "slow": slow}, 1.5 - ((fast - 10) / 6) ** 2 - ((slow - 60) / 40) ** 2)
        for number, (fast, slow) in enumerate(pairs, 1)
    ]
    trials.append(Trial(number=len(trials) + 1, parameters={"fast": 20, "slow": 100}, failure="division by zero"))
    settings = {"title": "ma_cross", "objective": "sharpe_ratio", "trials": tuple(trials), "planned": 60, "luck": LUCK}
    return SweepReport(**{**settings, **parts})


def walk_forward_report(**parts: Any) -> WalkForwardReport:
    numbers = np.random.default_rng(1)
    windows = tuple(
        Window(
            train_start=START_MS + step * 30 * DAY_MS,
            train_end=START_MS + (step * 30 + 90) * DAY_MS,
            test_start=START_MS + (step * 30 + 91) * DAY_MS,
            test_end=START_MS + (step * 30 + 121) * DAY_MS,
            parameters={"fast": 5 + step, "slow": 50},
            in_sample={"sharpe_ratio": 2.0 - step / 10, "total_return": 0.2},
            out_of_sample={"sharpe_ratio": 0.5 - step / 4, "total_return": 0.02 - step / 100},
            trials=40,
        )
        for step in range(4)
    )
    time = START_MS + 91 * DAY_MS + np.arange(120 * 24, dtype=np.int64) * HOUR_S * 1000
    equity = 10_000.0 * np.cumprod(1.0 + numbers.normal(0.0, 0.004, len(time)))
    settings = {
        "title": "ma_cross", "objective": "sharpe_ratio", "windows": windows, "interval_s": HOUR_S, "time": time,
        "equity": equity, "luck": LUCK,
    }  # fmt: skip
    return WalkForwardReport(**{**settings, **parts})


def total_return(report: RunReport) -> float:
    made: float = summarise(report.result)["total_return"]
    return made
