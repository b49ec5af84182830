"""``import mastertrade as mt``: bars from anything, a backtest in one line, nothing imported before it is needed."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from pyarrow import csv, feather, parquet

import mastertrade as mt
import mastertrade.backtest  # the room hides nothing: mt.backtest stays callable
from mastertrade.backtest.report import to_text
from mastertrade.quant.bars import Bars
from mastertrade.shared.errors import BadData, UsageError
from tests.pure.sample_bars import random_walk

WALK = random_walk(600, seed=3, gaps=False)
WALK_MINUTES = random_walk(1800, seed=3, interval_s=20, gaps=False)
GAPPED = random_walk(600, seed=4)


def columns_of(bars: Bars) -> dict[str, Any]:
    return {
        "time": bars.time,
        "open": bars.open,
        "high": bars.high,
        "low": bars.low,
        "close": bars.close,
        "volume": bars.volume,
    }


def assert_same(found: Bars, expected: Bars) -> None:
    assert found.interval_s == expected.interval_s
    for name, values in columns_of(expected).items():
        assert np.array_equal(columns_of(found)[name], values), name


@pytest.mark.parametrize("suffix", ["csv", "csv.gz", "parquet", "feather"])
def test_bars_of_a_file_are_the_bars_that_were_written(suffix: str, tmp_path: Path) -> None:
    table = pa.table({**columns_of(GAPPED), "time": pa.array(GAPPED.time).cast(pa.timestamp("ms", tz="UTC"))})
    path = tmp_path / f"anything.{suffix}"
    if suffix == "csv":
        csv.write_csv(table, path)
    elif suffix == "csv.gz":
        with pa.CompressedOutputStream(path, "gzip") as out:
            csv.write_csv(table, out)
    elif suffix == "parquet":
        parquet.write_table(table, path)
    else:
        feather.write_feather(table, path)
    assert_same(mt.bars(path), GAPPED)
    assert_same(mt.bars(str(path)), GAPPED)


def test_bars_of_a_frame_take_its_index_or_its_column_of_times() -> None:
    frame = pd.DataFrame({name.title(): values for name, values in columns_of(GAPPED).items() if name != "time"})
    moments = pd.to_datetime(GAPPED.time, unit="ms", utc=True)
    assert_same(mt.bars(frame.set_index(moments)), GAPPED)
    assert_same(mt.bars(frame.set_index(moments.tz_convert("Asia/Tokyo"))), GAPPED)
    assert_same(mt.bars(frame.assign(timestamp=moments.tz_convert("Asia/Tokyo"))), GAPPED)


@pytest.mark.parametrize("per_ms", [0.001, 1, 1_000, 1_000_000])
def test_epoch_numbers_are_read_in_their_unit(per_ms: float) -> None:
    columns = columns_of(WALK)
    assert_same(mt.bars({**columns, "time": (columns["time"] * per_ms).astype(np.int64)}), WALK)


def test_rows_as_exchanges_send_them_and_iso_text_are_bars_too() -> None:
    assert_same(mt.bars(np.column_stack(list(columns_of(WALK).values())).tolist()), WALK)
    text = [f"{np.datetime64(int(time), 's')}+00:00" for time in WALK.time // 1000]
    assert_same(mt.bars({**columns_of(WALK), "time": text}), WALK)


def test_an_interval_merges_bars_and_leaves_out_what_lacks_a_part() -> None:
    five = mt.bars(columns_of(GAPPED), interval="5m")
    assert five.interval_s == 300
    assert 0 < len(five) < len(GAPPED) // 5


def broken(**changes: Any) -> dict[str, Any]:
    return {**columns_of(WALK), **changes}


def with_value(name: str, row: int, value: float) -> dict[str, Any]:
    values = columns_of(WALK)[name].copy()
    values[row] = value
    return broken(**{name: values})


@pytest.mark.parametrize(
    ("columns", "said"),
    [
        ({name: values for name, values in columns_of(WALK).items() if name != "time"}, "no column of times"),
        ({("hihg" if name == "high" else name): v for name, v in columns_of(WALK).items()}, "is 'hihg' meant"),
        (with_value("close", 7, float("nan")), "row 8: close nan must be finite"),
        (with_value("volume", 7, -1.0), "row 8: volume -1.0 must be finite and not negative"),
        (with_value("high", 7, 1e-9), "row 8: low and high must contain open and close"),
        (broken(time=WALK.time[::-1]), "row 2 is earlier than the row before (599 such rows)"),
        (broken(time=np.repeat(WALK.time[:300], 2)), "repeats the time of the row before"),
        (broken(time=np.arange(600)), "a row number is no time"),
        (broken(time=WALK.time + 1_000), "is not on the grid of 60 s bars"),
        (broken(open=WALK.open[:-1]), "open 599; every column needs one value a bar"),
        (broken(open=["much"] * 600), "column open holds something that is no number"),
    ],
)
def test_what_is_wrong_with_columns_is_said_with_its_row(columns: dict[str, Any], said: str) -> None:
    with pytest.raises(BadData) as caught:
        mt.bars(columns)
    assert said in str(caught.value)


def test_what_is_no_source_of_bars_is_refused_by_name(tmp_path: Path) -> None:
    for source, said in (
        (tmp_path / "none.csv", "no such file"),
        (tmp_path, "is a folder"),
        (tmp_path / "a.xlsx", "are read from"),
        (3, "int"),
    ):
        with pytest.raises(BadData, match=said):
            mt.bars(source)


def test_exits_sizes_and_margin_are_options_by_name_and_the_page_says_what_they_did() -> None:
    result = mt.backtest(
        WALK, "ma_cross", fast=5, slow=20, sizing=mt.Sizing.risk(0.01), stop_loss=0.02, take_profit=0.02, leverage=2,
        impact=0.5, participation=0.2, cash=5_000, maintenance=0.01, rules=mt.Rules(lot=0.01), detail=WALK_MINUTES,
    )  # fmt: skip
    assert {"stop", "target"} <= set(result.metrics["exits"])
    assert result.run.costs == mt.Costs(impact=0.5, participation=0.2)
    assert "stop_loss=0.02" in repr(result)
    assert "  exits " in repr(result)
    assert (result.trades.column("quantity") * 100 % 1).round(6).max() in (0.0, 1.0)
    text = to_text(result.report())
    assert "take profit" in text
    assert "sizing=risk 0.01" in " ".join(text.split())


def test_an_option_may_vary_in_a_sweep_like_a_parameter() -> None:
    table = mt.sweep(WALK, "ma_cross", {"fast": [5], "stop_loss": [0.0, 0.01], "time_exit": [0, 3]}, workers=1)
    single = mt.backtest(WALK, "ma_cross", fast=5, stop_loss=0.01, time_exit=3)
    (row,) = (row for row in table if (row["stop_loss"], row["time_exit"]) == (0.01, 3))
    assert row["final_capital"] == single.metrics["final_capital"]
    assert len({row["final_capital"] for row in table}) == 4


def test_several_markets_share_an_account_and_options_of_a_market_go_by_its_symbol() -> None:
    markets = {"A/B": WALK, "C/B": random_walk(len(WALK), seed=9)}
    result = mt.backtest(markets, "ma_cross", fast=5, slow=20, max_positions=1, rules={"A/B": mt.Rules(lot=1.0)})
    assert {trade.symbol for trade in result.trades} == {"A/B", "C/B"}
    assert all(trade.quantity == round(trade.quantity) for trade in result.trades if trade.symbol == "A/B")
    with pytest.raises(UsageError, match=r"rules of 2 markets must be given by symbol: rules=\{'A/B': …\}"):
        mt.backtest(markets, "ma_cross", rules=mt.Rules())


@pytest.mark.parametrize(
    ("named", "said"),
    [
        ({"stop_los": 0.1}, "'stop_los' is unknown.*is 'stop_loss' meant"),
        ({"fastt": 3}, "'fastt' is unknown; the nearest is 'fast'"),
    ],
)
def test_a_misspelt_parameter_or_option_is_said_with_what_was_meant(named: dict[str, float], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        mt.backtest(WALK, "ma_cross", **named)
    with pytest.raises(UsageError, match="is unknown"):
        mt.sweep(WALK, "ma_cross", {"fast": [5]}, **named)


def test_a_backtest_is_one_line_and_prints_as_a_page(tmp_path: Path) -> None:
    free = mt.Costs(taker_fee=0.001, half_spread=0, slippage=0, impact=0)
    result = mt.backtest(WALK, "ma_cross", fast=5, slow=20, costs=free)
    assert len(result.equity) == len(WALK)
    assert len(result.trades) == result.metrics["total_trades"] > 5
    assert result.metrics["slippage"] == pytest.approx(0.0, abs=1e-9)
    assert "ma_cross(fast=5, slow=20)" in repr(result)
    assert "is an order for the next open" in result.fill_rules
    assert "ma_cross" in result._repr_html_()
    page = result.save_html(tmp_path / "run.html").read_text(encoding="utf-8")
    assert "<svg" in page
    assert "ma_cross" in page
    assert mastertrade.backtest.run is not None


def test_several_markets_share_the_cash_and_a_mapping_of_columns_is_one_market() -> None:
    other = random_walk(600, seed=5, gaps=False)
    both = mt.backtest({"A/B": WALK, "C/D": columns_of(other)}, "ma_cross", fast=5, slow=20)
    assert {trade.symbol for trade in both.trades} == {"A/B", "C/D"}
    one = mt.backtest(columns_of(WALK), "ma_cross", fast=5, slow=20)
    assert one.equity.tolist() == mt.backtest(WALK, "ma_cross", parameters={"fast": 5, "slow": 20}).equity.tolist()


def test_a_misspelt_strategy_or_parameter_is_answered_with_the_nearest() -> None:
    with pytest.raises(UsageError, match="nearest is 'ma_cross'"):
        mt.backtest(WALK, "ma_cros")
    with pytest.raises(UsageError, match="nearest is 'fast'"):
        mt.backtest(WALK, "ma_cross", fats=5)
    with pytest.raises(AttributeError, match="it has"):
        mt.backtests  # noqa: B018 - the access is the point


def test_importing_the_program_imports_nothing_heavy() -> None:
    code = "import sys, mastertrade; print(sorted({n.partition('.')[0] for n in sys.modules}))"
    home = {**os.environ, "PYTHONPATH": str(Path(mt.__file__).parents[1])}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=home)
    loaded = done.stdout
    assert not {"numpy", "pandas", "numba", "pyarrow", "pydantic", "asyncpg"} & set(eval(loaded))  # noqa: S307
