"""Columns: bars that compute each indicator once, hand it out read-only, and stay within their memory."""

import gc
import os
import pickle
import subprocess
import sys
import weakref
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mastertrade.quant import indicators
from mastertrade.quant.bars import Bars, FloatArray
from mastertrade.quant.columns import Columns, columns_of, together
from mastertrade.quant.compiled import Kernel
from mastertrade.quant.indicators import averages, ranges, strength, volume, windows
from mastertrade.quant.masks import packed, unpacked
from mastertrade.quant.targets import held_above, held_between
from tests.pure.sample_bars import random_walk

BARS = random_walk(300, seed=1)


def test_columns_are_bars() -> None:
    columns = Columns(BARS)
    assert isinstance(columns, Bars)
    assert len(columns) == 300
    assert columns.interval_s == BARS.interval_s
    for name in ("time", "open", "high", "low", "close", "volume"):
        assert getattr(columns, name) is getattr(BARS, name)


def test_each_column_is_what_the_indicator_gives() -> None:
    columns = Columns(BARS)
    expected: dict[str, tuple[FloatArray, FloatArray]] = {
        "sma": (columns.sma(20), indicators.sma(BARS.close, 20)),
        "sma of highs": (columns.sma(20, "high"), indicators.sma(BARS.high, 20)),
        "ema": (columns.ema(20), indicators.ema(BARS.close, 20)),
        "rsi": (columns.rsi(14), indicators.rsi(BARS.close, 14)),
        "atr": (columns.atr(14), indicators.atr(BARS.high, BARS.low, BARS.close, 14)),
    }
    for name, (column, values) in expected.items():
        assert column.tobytes() == values.tobytes(), name


def test_a_column_is_computed_once_for_each_parameter_and_price() -> None:
    columns, calls = Columns(BARS), []

    def make() -> FloatArray:
        calls.append(1)
        return np.zeros(300)

    assert columns.once(("mine", 1), make) is columns.once(("mine", 1), make)
    assert len(calls) == 1
    columns.once(("mine", 2), make)
    assert len(calls) == 2
    assert columns.sma(20) is columns.sma(20)
    assert columns.sma(20) is not columns.sma(20, "open")


def test_what_is_shared_cannot_be_written_to() -> None:
    columns = Columns(BARS)
    with pytest.raises(ValueError, match="read-only"):
        columns.sma(20)[0] = 1.0
    upper, lower = columns.once("bands", lambda: (np.ones(300), np.zeros(300)))
    for part in (upper, lower):
        with pytest.raises(ValueError, match="read-only"):
            part[0] = 1.0


def test_a_slice_computes_from_its_own_bars() -> None:
    columns = Columns(BARS)
    columns.sma(20)
    later = columns[100:]
    assert isinstance(later, Columns)
    assert later.kept_bytes == 0
    assert later.sma(20).tobytes() == indicators.sma(BARS.close[100:], 20).tobytes()


def test_the_column_not_asked_for_the_longest_makes_room() -> None:
    columns = Columns(BARS, max_bytes=3 * 300 * 8)
    kept = [columns.sma(period) for period in (2, 3, 4)]
    columns.sma(2)
    columns.sma(5)
    assert columns.kept_bytes == 3 * 300 * 8
    assert columns.sma(2) is kept[0]
    assert columns.sma(4) is kept[2]
    assert columns.sma(3) is not kept[1]
    assert columns.sma(3).tobytes() == kept[1].tobytes()


def test_a_column_larger_than_the_room_is_handed_out_and_kept_alone() -> None:
    columns = Columns(BARS, max_bytes=10)
    assert columns.sma(2) is columns.sma(2)
    columns.sma(3)
    assert columns.kept_bytes == 300 * 8


def test_bars_are_wrapped_and_columns_left_as_they_are() -> None:
    columns = columns_of(BARS)
    assert columns_of(columns) is columns


def test_a_price_that_bars_do_not_have_is_named() -> None:
    with pytest.raises(ValueError, match="no column 'clsoe'; they have open, high, low, close, volume"):
        Columns(BARS).sma(20, "clsoe")


@pytest.mark.parametrize("module", [averages, ranges, strength, volume, windows])
def test_compiled_loops_give_the_bits_of_the_same_lines_in_plain_python(module: object) -> None:
    values = random_walk(400, seed=2)
    with_holes = values.close.copy()
    with_holes[[3, 77, 200, 201]] = np.nan, np.inf, np.nan, -np.inf
    arguments = {
        "v": [with_holes, values.high, values.low, values.close],
        "t": [values.time],
        "i": [14, 14],
        "f": [1.5],
    }
    for kernel in [found for found in vars(module).values() if isinstance(found, Kernel)]:
        inputs = kernel.kinds.rstrip("o")
        given = [arguments[kind][inputs[:place].count(kind)] for place, kind in enumerate(inputs)]
        compiled, plain = (np.empty((kernel.kinds.count("o"), 400)) for _ in range(2))
        kernel(*given, *compiled)
        with np.errstate(invalid="ignore", divide="ignore"):
            kernel.loop(*given, *plain)
        assert np.array_equal(compiled, plain, equal_nan=True), kernel.loop.__name__


def test_nothing_is_compiled_or_imported_before_an_indicator_is_asked_for() -> None:
    code = (
        "import sys, mastertrade.cli.commands, mastertrade.strategies; from mastertrade.quant import columns, targets\n"
        "assert 'numba' not in sys.modules"
    )
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60, env=environment)


def test_targets_above_begin_with_a_crossing() -> None:
    nan = np.nan
    fast = np.array([nan, 5.0, 5.0, 3.0, 5.0, 6.0, 4.0, 5.0])
    slow = np.array([nan, nan, 4.0, 4.0, 4.0, 4.0, 4.0, nan])
    assert held_above(fast, slow).tolist() == [0, 0, 0, 0, 1, 1, 0, 0]


def test_a_bar_that_enters_and_leaves_is_left() -> None:
    enters, leaves = np.array([0, 1, 0, 1, 0, 1], dtype=bool), np.array([1, 0, 0, 0, 1, 1], dtype=bool)
    assert held_between(enters, leaves).tolist() == [0, 1, 1, 1, 0, 0]


@given(truths=st.lists(st.booleans(), max_size=200))
def test_a_mask_holds_bar_i_in_bit_i_of_its_words(truths: list[bool]) -> None:
    words = packed(np.array(truths, dtype=bool))
    assert words.dtype == np.uint64
    assert len(words) == (len(truths) + 63) // 64
    assert sum(int(word) << (64 * place) for place, word in enumerate(words)) == sum(
        truth << i for i, truth in enumerate(truths)
    )
    assert unpacked(words, len(truths)).tolist() == truths


def test_a_mask_is_packed_once() -> None:
    columns = Columns(BARS)
    mask = columns.mask("up", lambda: BARS.close > BARS.open)
    assert columns.mask("up", lambda: BARS.close < BARS.open) is mask
    assert unpacked(mask, 300).tolist() == (BARS.close > BARS.open).tolist()


WITH_A_HOLE: dict[str, tuple[Callable[[FloatArray], FloatArray], int]] = {
    "sma": (lambda values: indicators.sma(values, 5), 5),
    "ema": (lambda values: indicators.ema(values, 5), 5),
    "rsi": (lambda values: indicators.rsi(values, 5), 6),
}


@pytest.mark.parametrize("absurd", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("name", WITH_A_HOLE)
def test_an_unknown_value_is_forgotten_after_the_warm_up(name: str, absurd: float) -> None:
    indicator, warm_up = WITH_A_HOLE[name]
    close = BARS.close.copy()
    close[50] = absurd
    values = indicator(close)
    assert np.isnan(values[50 : 50 + warm_up]).all() if name != "rsi" else np.isnan(values[50:56]).all()
    assert np.isfinite(values[50 + warm_up :]).all()
    assert values[:50].tobytes() == indicator(BARS.close)[:50].tobytes()
    assert values[51:] == pytest.approx(indicator(close[51:]), rel=1e-13, nan_ok=True)


def test_markets_know_each_other_and_a_slice_takes_no_later_bar_of_any_of_them_along() -> None:
    own, other = random_walk(100, seed=1), random_walk(140, seed=2)
    markets = together({"A": own, "B": other})
    assert markets["A"].markets is markets
    assert together(markets) is markets
    assert Columns(own).markets.keys() == {""}
    early = markets["A"][:50]
    assert early.symbol == "A"
    assert early.markets["A"] is early
    assert early.markets["B"].time.tolist() == [time for time in other.time.tolist() if time <= own.time[49]]
    late = markets["A"][20:50].markets["B"].time
    assert late.tolist() == [time for time in other.time.tolist() if own.time[20] <= time <= own.time[49]]
    assert len(markets["A"][:0].markets["B"]) == 0
    assert markets.once("both", lambda: np.zeros(3)) is markets.once("both", lambda: np.ones(3))


def test_what_was_computed_of_a_market_alone_is_found_again_beside_others() -> None:
    alone = Columns(random_walk(30, seed=1))
    average = alone.sma(3)
    for _ in range(2):
        assert together({"A": alone, "B": random_walk(30, seed=2)})["A"].sma(3) is average


def travelled(sent: Any) -> Any:
    return pickle.loads(pickle.dumps(sent))  # noqa: S301 - the bytes are our own


def test_columns_travel_to_another_process_as_bars() -> None:
    markets = together({"A": random_walk(30, seed=1), "B": random_walk(40, seed=2)})
    markets["A"].sma(3)
    for there in (travelled(markets)["A"], travelled(markets["A"])):
        assert there.kept_bytes == 0
        assert there.sma(3).tobytes() == markets["A"].sma(3).tobytes()
        assert there.markets["B"].close.tobytes() == markets["B"].close.tobytes()
    assert travelled(Columns(BARS)).sma(3).tobytes() == Columns(BARS).sma(3).tobytes()


def test_what_was_computed_is_let_go_with_the_markets_and_its_memory_used_again() -> None:
    """No circle holds them until the collector comes round; the next large column stands where the last one did."""
    bars = random_walk(60_000, seed=1)
    gc.collect()
    gc.disable()
    try:
        markets = together({"A": bars})
        column = markets["A"].sma(5)
        view, gone = column[10:20], weakref.ref(column)
        place = column.ctypes.data
        del markets, column
        assert gone() is not None, "a view still stands on it"
        again = averages.sma(bars.close, 7)
        assert again.ctypes.data != place
        del view
        assert gone() is None
        assert averages.sma(bars.close, 9).ctypes.data == place
    finally:
        gc.enable()
