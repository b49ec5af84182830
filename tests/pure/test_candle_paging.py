"""Pages of candles, against venues that cut, skip and count as real ones do."""

from dataclasses import dataclass

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mastertrade.exchanges.candle_paging import Asked, Proven, prove

STEP = 60_000


@dataclass(frozen=True)
class Habits:
    """How a venue answers. ``cap`` is the most it gives at once."""

    cap: int
    is_from_newest: bool = False
    knows_until: bool = True
    newest_only: bool = False

    def answer(self, bars: list[int], since: int, until: int) -> list[int]:
        if self.newest_only:
            return [time for time in bars[-self.cap :] if time >= since]
        inside = [time for time in bars if time >= since and (time < until or not self.knows_until)]
        return inside[-self.cap :] if self.is_from_newest else inside[: self.cap]


def walk(bars: list[int], habits: Habits, *, until: int, limit: int, longest: int = 0) -> tuple[list[int], int, int]:
    """What a caller gathers that asks for the rest until nothing is left; the time that stayed out of reach, and how
    often it asked."""
    open_spans, found, unreachable, questions = [(0, until)], set[int](), 0, 0
    newest = max(bars, default=0)
    while open_spans:
        since, end = open_spans.pop()
        asked_until = min(end, since + (limit - 1) * STEP)
        given_times = habits.answer(bars, since, asked_until)
        longest = max(longest, len(given_times))
        asked = Asked(since_ms=since, until_ms=asked_until, step_ms=STEP, newest_ms=newest)
        proven = prove(asked, given_times, longest=longest)
        questions += 1
        assert questions < 2_000, "it comes to an end"
        if proven.reaches_from_ms is not None:
            unreachable += min(proven.reaches_from_ms, end) - since
            if proven.reaches_from_ms < end:
                open_spans.append((proven.reaches_from_ms, end))
            continue
        assert since <= proven.since_ms < proven.until_ms
        found |= {time for time in given_times if proven.since_ms <= time < min(proven.until_ms, end)}
        if proven.until_ms < end:
            open_spans.append((proven.until_ms, end))
        if since < proven.since_ms:
            open_spans.append((since, proven.since_ms))
    return sorted(found), unreachable, questions


HONEST = [
    Habits(cap=100),
    Habits(cap=100, is_from_newest=True),
    Habits(cap=100, knows_until=False),
    Habits(cap=60),
    Habits(cap=60, is_from_newest=True),
]


@given(
    habits=st.sampled_from(HONEST),
    listed=st.integers(0, 700),
    present=st.lists(st.booleans(), min_size=0, max_size=700),
    longest=st.sampled_from([0, 60]),
)
@settings(max_examples=80, deadline=None)
def test_every_bar_of_a_venue_is_found_whatever_its_habits(
    habits: Habits, listed: int, present: list[bool], longest: int
) -> None:
    bars = [(listed + place) * STEP for place, is_there in enumerate(present) if is_there]
    if not habits.knows_until and len(bars) <= habits.cap:
        longest = habits.cap  # such a venue proves itself with its first full page
    found, unreachable, _ = walk(bars, habits, until=1_400 * STEP, limit=100, longest=longest)
    assert found == bars
    assert unreachable == 0


def test_a_whole_series_takes_one_question_a_page() -> None:
    bars = [place * STEP for place in range(990)]
    _, _, questions = walk(bars, Habits(cap=100), until=990 * STEP, limit=100)
    assert questions == 10


def test_a_venue_that_gives_only_its_newest_bars_is_not_taken_for_an_empty_one() -> None:
    bars = [place * STEP for place in range(2_000)]
    habits = Habits(cap=720, newest_only=True)
    found, unreachable, questions = walk(bars, habits, until=2_000 * STEP, limit=720)
    assert found == bars[-720:]
    assert unreachable == 1_280 * STEP
    assert questions <= 4


@pytest.mark.parametrize(
    ("times", "longest", "proven"),
    [
        ([], 0, Proven(0, 100)),
        ([10, 20], 0, Proven(0, 100)),
        (list(range(100)), 100, Proven(0, 100)),
        (list(range(30, 90)), 60, Proven(30, 90)),
        (list(range(30, 90)), 61, Proven(0, 100)),
        (list(range(200, 260)), 60, Proven(0, 0, reaches_from_ms=200)),
        (list(range(130, 190)), 60, Proven(0, 100)),
    ],
)
def test_a_page_proves_no_more_than_it_shows(times: list[int], longest: int, proven: Proven) -> None:
    asked = Asked(since_ms=0, until_ms=100, step_ms=1, newest_ms=260)
    assert prove(asked, times, longest=longest) == proven
