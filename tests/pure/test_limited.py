"""Somebody's code gets its time and memory, and no more; whatever it does, we are told what."""

import os
import signal
import time
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from mastertrade.backtest.limited import Show, TookTooMuch, limited
from mastertrade.backtest.workers import Limits
from mastertrade.shared.errors import NotFound

LIMITS = Limits(seconds=0.2, memory_mb=128)


def asked(work: Any, limits: Limits = LIMITS) -> Any:
    return limited(work, limits, name="mine", show=lambda done, expected: None)


def spin(_: Show) -> None:
    while True:
        pass


def eat(_: Show) -> None:
    kept = [np.ones(1 << 20)]
    while True:
        kept.append(kept[-1] + 1)


def miss(_: Show) -> None:
    raise NotFound("there is no mine.py")


def test_what_it_makes_and_how_far_it_is_come_back() -> None:
    seen: list[tuple[int, int]] = []

    def work(show: Show) -> str:
        show(1, 2)
        show(2, 2)
        return "made"

    assert limited(work, LIMITS, name="mine", show=lambda *place: seen.append(place)) == "made"
    assert seen == [(1, 2), (2, 2)]


def test_an_error_of_ours_stays_what_it_is() -> None:
    with pytest.raises(NotFound, match=r"there is no mine\.py"):
        asked(miss)


@pytest.mark.parametrize(
    ("work", "said"),
    [
        (spin, r"mine: ran longer than 0\.2 s"),
        (lambda _: time.sleep(60), r"mine: ran longer than 0\.2 s"),
        (lambda _: os._exit(7), "mine: it ended its process with exit code 7"),
        (lambda _: os.kill(os.getpid(), signal.SIGQUIT), "mine: its process was ended by SIGQUIT"),
    ],
    ids=["spins", "sleeps", "exits", "crashes"],
)
def test_what_takes_too_much_is_ended_and_named(work: Any, said: str) -> None:
    began = time.monotonic()
    with pytest.raises(TookTooMuch, match=said):
        asked(work)
    assert time.monotonic() - began < 5.0


def test_what_eats_memory_is_ended_and_named() -> None:
    with pytest.raises(TookTooMuch, match="mine: needs more than the 128 MB of memory it may use"):
        asked(eat, replace(LIMITS, seconds=20.0))
