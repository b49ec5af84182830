"""The strategy commands as somebody types them, and what a bad strategy does to a sweep."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.platform.command_line import CommandLine, command_line
from tests.postgres.test_studies import write
from tests.pure.sample_bars import random_walk
from tests.pure.strategy_files import write_strategy

PEEKS = "import pandas as pd\n\ndef positions(bars, params):\n    return pd.Series(bars.close).shift(-1) > bars.close\n"
MISCHIEF = """
from dataclasses import dataclass
from typing import Annotated
import os
import numpy as np
from mastertrade.strategies import Parameters, Range

@dataclass(frozen=True, kw_only=True)
class Settings(Parameters):
    what: Annotated[int, Range(low=0, high=6)] = 0

def positions(bars, params):
    average = bars.sma(20)
    if params.what == 1:
        return bars.close / average - 1.0
    if params.what == 2:
        return (bars.close > average)[3:]
    if params.what == 3:
        raise KeyError("no such thing")
    while params.what == 4:
        pass
    if params.what == 5:
        return np.ones(1 << 40)
    if params.what == 6:
        os._exit(7)
    return bars.close > average
"""


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("home")


@pytest.fixture(scope="module")
def mastertrade(home: Path) -> Iterator[CommandLine]:
    with command_line(home) as program:
        yield program


def test_a_new_strategy_is_written_found_shown_and_passes(mastertrade: CommandLine, home: Path) -> None:
    written = mastertrade("strategy", "new", "mine", "--form", "on_bar")
    assert written.out.startswith(f"written: {home}/strategies/mine.py"), written.err
    assert mastertrade("strategy", "new", "mine").code == 4
    checked = mastertrade("strategy", "validate", "mine")
    assert (checked.code, "mine: passes every check" in checked.out) == (0, True), checked.out
    write_strategy(home / "strategies", "broken.py", "def positions(bars params):\n    pass\n")
    listed = mastertrade("strategy", "list", "--json").json()
    found = {one["name"]: one["from"] for one in listed["strategies"]}
    assert (found["ma_cross"], found["mine"]) == ("built in", "your file")
    assert "broken.py line 1: SyntaxError" in listed["broken"][0]["error"]
    shown = mastertrade("strategy", "show", "mine")
    assert "give_back  float     0.03  0.001    0.5" in shown.out
    assert "the nearest is 'mine'" in mastertrade("strategy", "show", "mien").err


def test_a_look_at_the_future_ends_with_the_bar_and_exit_code_1(mastertrade: CommandLine, tmp_path: Path) -> None:
    file = write_strategy(tmp_path, "peeks.py", PEEKS)
    bars = write(random_walk(300, seed=4, interval_s=3600, gaps=False), tmp_path)
    checked = mastertrade("strategy", "validate", file, "--file", bars)
    assert (checked.code, checked.err) == (1, "")
    assert "peeks: fails look-ahead" in checked.out
    assert "it settles only 1 bar later" in " ".join(checked.out.split())


def test_a_sweep_goes_on_whatever_a_strategy_does(mastertrade: CommandLine, tmp_path: Path) -> None:
    file = write_strategy(tmp_path, "mischief.py", MISCHIEF)
    bars = write(random_walk(300, seed=4, interval_s=3600, gaps=False), tmp_path)
    made = mastertrade(
        "backtest", "sweep", file, "-f", bars, "-t", "what=0:7", "--trial-seconds", "0.5", "--workers", "2"
    )
    assert made.code == 0, made.err
    said = " ".join(made.out.split())
    for reason in (
        "the target of bar 0, 2021-01-01 00:00 (and 18 more), is nan",
        "gave 297 targets for 300 bars",
        "StrategyFailed: mischief.py line 19: KeyError: 'no such thing'",
        "ran longer than the 0.5 s a trial may take",
        "needs more memory than a trial may use",
        "it ended its process with exit code 7",
        "what 7 is outside 0..6; the nearest allowed is 6",
    ):
        assert f"1 x {reason}" in said or f": {reason}" in said, said
    assert "1. " in said
