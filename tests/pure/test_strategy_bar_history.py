"""Bar history: everything up to a close, nothing after it, and as little reading as that takes."""

from datetime import datetime, timedelta

import numpy as np

from mastertrade.quant.bars import Bars
from mastertrade.strategy_service.bar_history import HISTORY_START, BarHistory
from tests.pure.sample_bars import START_MS, written_bars

START = datetime.fromtimestamp(START_MS / 1000).astimezone()
KEY = (1, 60)


class Source:
    """Bars at some places of the minute grid."""

    def __init__(self, *places: int) -> None:
        self.places = list(places)
        self.reads: list[datetime] = []

    async def read(
        self, instrument_id: int, interval_s: int, start: datetime, end: datetime, *, as_of: datetime
    ) -> Bars:
        self.reads.append(start)
        low, high = (start - START) // timedelta(minutes=1), (min(end, as_of) - START) // timedelta(minutes=1)
        places = [place for place in self.places if low <= place < high]
        return written_bars([100.0 + place for place in places], [100.0 + place for place in places], places=places)


def close_of(place: int) -> datetime:
    return START + timedelta(minutes=place + 1)


async def places_through(history: BarHistory, place: int) -> list[int] | None:
    bars = await history.through(*KEY, close_of(place))
    return None if bars is None else ((bars.time - START_MS) // 60_000).tolist()


async def test_the_first_look_reads_everything_and_later_ones_only_the_new_bar() -> None:
    source = Source(0, 1, 2, 3, 4)
    history = BarHistory(source)

    seen = [await places_through(history, place) for place in (2, 3, 4)]

    assert seen == [[0, 1, 2], [0, 1, 2, 3], [0, 1, 2, 3, 4]]
    assert source.reads == [HISTORY_START, close_of(2), close_of(3)]


async def test_after_a_hole_everything_is_read_again() -> None:
    source = Source(0, 1, 3)
    history = BarHistory(source)
    await places_through(history, 1)
    source.places = [0, 1, 2, 3]  # the missing bar came late

    assert await places_through(history, 3) == [0, 1, 2, 3]
    assert source.reads == [HISTORY_START, HISTORY_START]


async def test_a_bar_that_is_not_complete_is_no_bar() -> None:
    history = BarHistory(Source(0, 1, 3))
    assert await places_through(history, 1) == [0, 1]
    assert await places_through(history, 2) is None
    assert await places_through(history, 3) == [0, 1, 3]


async def test_an_event_that_comes_again_sees_no_later_bar() -> None:
    source = Source(0, 1, 2, 3)
    history = BarHistory(source)
    await places_through(history, 3)

    assert await places_through(history, 1) == [0, 1]
    assert len(source.reads) == 1


async def test_an_instrument_without_bars_has_no_history() -> None:
    assert await places_through(BarHistory(Source()), 5) is None


async def test_what_was_forgotten_is_read_again() -> None:
    source = Source(0, 1)
    history = BarHistory(source)
    await places_through(history, 1)
    history.forget()
    await places_through(history, 1)
    assert source.reads == [HISTORY_START, HISTORY_START]


async def test_joined_bars_are_the_bars_read_at_once() -> None:
    history, fresh = BarHistory(Source(*range(50))), BarHistory(Source(*range(50)))
    for place in range(50):
        grown = await history.through(*KEY, close_of(place))
    whole = await fresh.through(*KEY, close_of(49))
    assert grown is not None
    assert whole is not None
    for name in ("time", "open", "high", "low", "close", "volume"):
        np.testing.assert_array_equal(getattr(grown, name), getattr(whole, name))
