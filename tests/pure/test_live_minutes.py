"""Bars of several markets put together by the minute, in whatever order they come."""

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from mastertrade.exchanges.market_feed import CandleRow
from mastertrade.market_data_service.live_candles import ClosedCandles
from mastertrade.market_data_service.live_market import WAITS_FOR_OTHERS, Minutes

NOW = datetime(2026, 1, 5, 12, 5, tzinfo=UTC)
STEP = 60_000
FIRST = int(NOW.timestamp() * 1000) - STEP
LATER = NOW + WAITS_FOR_OTHERS


def bar(minute: int, close: str = "100") -> CandleRow:
    return CandleRow(time_ms=FIRST + minute * STEP, open="100", high="101", low="99", close=close, volume="1")


def told(symbol: str, *minutes: int, since: int | None = None, until: int | None = None) -> ClosedCandles:
    first, last = (min(minutes), max(minutes) + 1) if minutes else (0, 0)
    return ClosedCandles(
        symbol=symbol,
        rows=tuple(bar(minute) for minute in minutes),
        since_ms=FIRST + (first if since is None else since) * STEP,
        until_ms=FIRST + (last if until is None else until) * STEP,
    )


def played(minutes: Minutes, now: datetime = NOW) -> list[tuple[int, list[str]]]:
    return [
        ((int(open_time.timestamp() * 1000) - FIRST) // STEP, [symbol for symbol, _ in rows])
        for open_time, rows in minutes.complete(now)
    ]


def test_a_minute_waits_until_every_market_has_told_its_bar() -> None:
    minutes = Minutes(["A", "B"], FIRST)
    minutes.take(told("A", 0), NOW)
    assert played(minutes) == []
    minutes.take(told("B", 0, 1), NOW)
    assert played(minutes) == [(0, ["A", "B"])]
    minutes.take(told("A", 1), NOW)
    assert played(minutes) == [(1, ["A", "B"])]


def test_a_market_that_does_not_come_is_not_waited_for_any_longer_than_said() -> None:
    minutes = Minutes(["A", "B"], FIRST)
    minutes.take(told("A", 0), NOW)
    assert played(minutes, LATER - timedelta(milliseconds=1)) == []
    assert played(minutes, LATER) == [(0, ["A"])]
    minutes.take(told("B", 0, 1), LATER)
    minutes.take(told("A", 1), LATER)
    assert played(minutes, LATER) == [(1, ["A", "B"])], "the late one is history, and the next minute is whole"


def test_a_minute_in_which_nobody_traded_is_passed_over() -> None:
    minutes = Minutes(["A"], FIRST)
    minutes.take(told("A", 2, since=0), NOW)
    assert played(minutes) == [(2, ["A"])]


def test_what_closed_before_the_beginning_is_history() -> None:
    minutes = Minutes(["A"], FIRST)
    minutes.take(told("A", -3, -2, -1, 0), NOW)
    assert played(minutes) == [(0, ["A"])]


def test_a_market_that_is_gone_holds_nobody_up() -> None:
    minutes = Minutes(["A", "B"], FIRST)
    minutes.take(told("A", 0), NOW)
    minutes.take(ClosedCandles(symbol="B", rows=(), since_ms=FIRST, until_ms=FIRST, refusal="delisted"), NOW)
    assert played(minutes) == [(0, ["A"])]


def test_a_bar_that_cannot_be_is_left_out() -> None:
    minutes = Minutes(["A", "B"], FIRST)
    wrong = CandleRow(time_ms=FIRST, open="1", high="0.5", low="2", close="nan", volume="1")
    minutes.take(ClosedCandles(symbol="A", rows=(wrong,), since_ms=FIRST, until_ms=FIRST + STEP), NOW)
    minutes.take(told("B", 0), NOW)
    assert played(minutes) == [(0, ["B"])]


@given(st.permutations([(symbol, minute) for symbol in "ABC" for minute in range(4)]), st.data())
def test_whatever_the_order_each_minute_is_played_once_and_in_order(
    order: list[tuple[str, int]], data: st.DataObject
) -> None:
    """Each market tells its own minutes in order; between markets anything goes."""
    minutes, seen, next_of = Minutes("ABC", FIRST), [], dict.fromkeys("ABC", 0)
    for symbol, _ in order:
        minutes.take(told(symbol, next_of[symbol]), NOW)
        next_of[symbol] += 1
        if data.draw(st.booleans()):
            seen += played(minutes)
    seen += played(minutes)
    assert seen == [(minute, ["A", "B", "C"]) for minute in range(4)]
