"""Laws of the edge: what is accepted is a candle by every rule of the database, and nothing good is refused."""

import math

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from mastertrade.market_data_service.source import RefusedRows
from mastertrade.market_data_service.validation import COLUMNS, EARLIEST_MS, LARGEST, RawRows, accept_rows
from mastertrade.quant.bars import Bars

NOW_MS = 1_714_564_800_000
STEP_MS = 60_000
PRICE = st.sampled_from([1.0, 2.0, 3.0, 0.0, -1.0, math.nan, math.inf, -math.inf, 1e-300, 1e-17, 1e18])
VOLUME = st.sampled_from([0.0, 1.0, 5e8, -1.0, math.nan, math.inf, 1e18])
TIME = st.integers(-8, 4).map(lambda n: NOW_MS + n * STEP_MS) | st.sampled_from(
    [0, -1, EARLIEST_MS - STEP_MS, NOW_MS - 1, 2**60]
)
ROWS = st.lists(st.tuples(TIME, PRICE, PRICE, PRICE, PRICE, VOLUME), max_size=12)
Row = tuple[int, float, float, float, float, float]


def accept(rows: list[Row], after_ms: int | None = None) -> tuple[Bars, RefusedRows]:
    columns = list(zip(*rows, strict=True)) or [()] * 6
    raw = RawRows(
        row=lambda index: index + 1,
        time=np.array(columns[0], dtype=np.int64),
        has_time=np.ones(len(rows), dtype=np.bool_),
        columns={name: np.array(values, dtype=np.float64) for name, values in zip(COLUMNS, columns[1:], strict=True)},
        text=lambda column, index: str(rows[index][("time", *COLUMNS).index(column)]),
    )
    refused = RefusedRows()
    bars = accept_rows(raw, where="here", interval_s=60, after_ms=after_ms, now_ms=NOW_MS, refused=refused)
    return bars, refused


def is_candle(row: Row) -> bool:
    time, open_, high, low, close, volume = row
    on_time = EARLIEST_MS <= time <= NOW_MS - STEP_MS and time % STEP_MS == 0
    has_prices = 1 / LARGEST < low <= min(open_, close) <= max(open_, close) <= high < LARGEST
    return on_time and has_prices and 0 <= volume < LARGEST


@given(ROWS, st.none() | TIME)
def test_what_is_accepted_is_exactly_the_rising_part_of_what_is_a_candle(rows: list[Row], after_ms: int | None) -> None:
    expected: list[Row] = []
    latest = after_ms
    for row in rows:
        if is_candle(row) and (latest is None or row[0] > latest):
            expected.append(row)
            latest = row[0]
    bars, refused = accept(rows, after_ms)
    found = zip(bars.time, bars.open, bars.high, bars.low, bars.close, bars.volume, strict=True)
    assert [tuple(row) for row in found] == expected
    assert refused.total == len(rows) - len(expected)


@given(ROWS)
def test_the_example_names_the_first_row_that_was_refused(rows: list[Row]) -> None:
    _, refused = accept(rows)
    if refused.first is not None:
        earlier, _ = accept(rows[: refused.first.row - 1])
        assert len(earlier) == refused.first.row - 1


@given(ROWS, st.integers(0, 12))
def test_reading_in_two_parts_accepts_the_same(rows: list[Row], cut: int) -> None:
    whole, _ = accept(rows)
    first, _ = accept(rows[:cut])
    second, _ = accept(rows[cut:], int(first.time[-1]) if len(first) else None)
    assert [*first.time, *second.time] == [*whole.time]
