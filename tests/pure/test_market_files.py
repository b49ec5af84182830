"""Candle files: what their names mean, which rows are candles, and what a broken file is told."""

import gzip
import itertools
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.feather as feather
import pyarrow.parquet as parquet
import pytest

from mastertrade.market_data_service.files import CandleFiles, describe_file
from mastertrade.market_data_service.source import CandleBatch, SeriesHistory, to_milliseconds
from mastertrade.shared.errors import BadData

NOON = datetime(2024, 5, 1, 12, 0, tzinfo=UTC)
NOW = datetime(2026, 1, 1, tzinfo=UTC)
START_MS = to_milliseconds(NOON)
HEADER = "timestamp_ms,open,high,low,close,volume"


def row(minute: int, prices: str = "10,12,9,11", volume: str = "5") -> str:
    return f"{START_MS + minute * 60_000},{prices},{volume}"


def write(folder: Path, rows: list[str], *, name: str = "BTC_USDT-1m.csv", header: str = HEADER) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    text = "\n".join([header, *rows, ""]).encode()
    (folder / name).write_bytes(gzip.compress(text) if name.endswith(".gz") else text)
    return folder / name


def read(path: Path, *, now: datetime = NOW) -> tuple[list[int], SeriesHistory]:
    """Minutes after noon that are candles, and the history that was read for it."""
    (history,) = CandleFiles(path, now=now).history(now)
    times = [time for bars in history.chunks for time in bars.time.tolist()]
    return [(time - START_MS) // 60_000 for time in times], history


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("BTC_USDT-1m.csv.gz", ("binance", "BTC/USDT", 60)),
        ("binanceus_BTC-USDT-1m.parquet", ("binanceus", "BTC/USDT", 60)),
        ("kraken_USDC-USD-1h.feather", ("kraken", "USDC/USD", 3_600)),
        ("1INCH_USDT-5m.csv", ("binance", "1INCH/USDT", 300)),
        ("BTC_USDT-1h_2017-08_2021-03.parquet", ("binance", "BTC/USDT", 3_600)),
        ("BTC_USDT-1d.csv", ("binance", "BTC/USDT", 86_400)),
        ("BTC_USDT_USDT-5m-futures.feather", ("binance", "BTC/USDT:USDT", 300)),
        ("okx_BTC-USDT-USDT-1h_2021-03.csv", ("okx", "BTC/USDT:USDT", 3_600)),
        ("BTC_USDT_USDT-8h-mark.feather", None),
        ("BTC_USDT_USDT-8h-funding_rate.feather", None),
        ("BTC_USDT-5m-futures.feather", None),
        ("BTC_USDT-7m.csv", None),
        ("BTC_USDT-0m.csv", None),
        ("BTC_USDT-1w.csv", None),
        ("BTC_USDT.csv", None),
        ("README.md", None),
        ("BTC_USDT-1m.csv.zip", None),
    ],
)
def test_a_name_tells_venue_symbol_and_interval(name: str, expected: tuple[str, str, int] | None) -> None:
    file = describe_file(Path("data/binance_spot_1m_2021-09") / name)
    assert (None if file is None else (file.venue, file.symbol, file.interval_s)) == expected


def test_a_folder_without_a_word_is_the_venue_file() -> None:
    file = describe_file(Path("/data/2021-09/BTC_USDT-1m.csv"))
    assert file is not None
    assert file.venue == "file"


def test_names_that_mean_nothing_are_left_out_and_told(tmp_path: Path) -> None:
    write(tmp_path / "kraken", [row(0)])
    write(tmp_path / "kraken", [], name="notes.csv")
    files = CandleFiles(tmp_path / "kraken", now=NOW)
    assert files.skipped == ("notes.csv",)
    assert [(one.venue, one.symbol) for one in files.instruments] == [("kraken", "BTC/USDT")]


@pytest.mark.parametrize(
    ("bad", "rule", "shown"),
    [
        (row(3, "10,12,9,nan"), "not a finite number", "close nan"),
        (row(3, "10,inf,9,11"), "not a finite number", "high inf"),
        (row(3, "10,12,9,"), "not a finite number", "close "),
        (row(3, "ten,12,9,11"), "not a finite number", "open ten"),
        (row(3, "10,12,0,11"), "a price must be above zero", "low 0"),
        (row(3, "-10,12,9,11"), "a price must be above zero", "open -10"),
        (row(3, volume="-0.1"), "a volume must not be below zero", "volume -0.1"),
        (row(3, "10,9,12,11"), "low and high must contain open and close", "open 10 high 9 low 12 close 11"),
        (row(3, "10,10.5,9,11"), "low and high must contain open and close", "open 10 high 10.5 low 9 close 11"),
        (
            f"{START_MS + 180_001},10,12,9,11,5",
            "the time is not a multiple of the interval",
            f"time {START_MS + 180_001}",
        ),
        (f"{START_MS // 1000},10,12,9,11,5", "the time lies before 2009", f"time {START_MS // 1000}"),
        ("soon,10,12,9,11,5", "the time cannot be read", "time soon"),
        ("99999999999999999999,10,12,9,11,5", "the time cannot be read", "time 99999999999999999999"),
        (row(2), "a row of this time came before", f"time {START_MS + 120_000}"),
        (row(-1), "the time runs backward", f"time {START_MS - 60_000}"),
        (row(10**9), "the candle has not closed yet", f"time {START_MS + 60_000 * 10**9}"),
        ("1,2,3", "a row must have 6 cells", "1,2,3"),
    ],
)
def test_a_bad_row_is_refused_counted_and_shown_and_the_others_are_kept(
    tmp_path: Path, bad: str, rule: str, shown: str
) -> None:
    path = write(tmp_path, [row(0), row(1), row(2), bad, row(4), row(5)])
    kept, history = read(path)
    assert kept == [0, 1, 2, 4, 5]
    assert history.refused.counts == {rule: 1}
    assert str(history.refused.first) == f"BTC_USDT-1m.csv: row 4: {shown}: {rule}"


def test_row_numbers_count_the_lines_that_were_left_out(tmp_path: Path) -> None:
    path = write(tmp_path, [row(0), "x", row(1), "", "y,z", row(2), row(3, "0,1,1,1"), row(4), row(5), row(6)])
    kept, history = read(path)
    assert kept == [0, 1, 2, 4, 5, 6]
    assert history.refused.total == 3
    path = write(tmp_path, [row(0), row(1), row(2), row(3, "0,1,1,1"), "x", row(4)])
    assert "row 4: open 0" in str(read(path)[1].refused.first)


def test_one_wild_time_does_not_refuse_what_follows(tmp_path: Path) -> None:
    path = write(tmp_path, [row(0), row(10**7), row(1), row(2)])
    assert read(path, now=NOON + timedelta(hours=1))[0] == [0, 1, 2]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", r"the file is empty \(0 bytes\)"),
        (HEADER.encode(), "a header but no rows"),
        (HEADER.encode() + b"\n", "a header but no rows"),
        (b"time,open,high,low,close,volume\n1,2,3,4,5,6\n", "has the columns time, open, .* needs timestamp_ms, open"),
        (b"timestamp_ms,open,high,low,close\n1,2,3,4,5\n", "needs timestamp_ms, open, high, low, close, volume"),
        (HEADER.encode() + b",open\n1,2,3,4,5,6,7\n", "has the column open 2 times"),
        (b"\x00\x01\x02\xff" * 100, "has the columns"),
        (
            (HEADER + "\n" + "\n".join([row(0), *["1,1,1,1,1,1"] * 5])).encode(),
            r"5 of 6 rows are refused, first .*row 2",
        ),
        (
            (HEADER + "\n" + "\n".join(row(5 * n) for n in range(20))).encode(),
            "60 s from row to row, .* at least 300 s",
        ),
    ],
)
def test_a_broken_file_is_named_with_what_is_wrong(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "BTC_USDT-1m.csv"
    path.write_bytes(content)
    with pytest.raises(BadData, match=message) as refused:
        read(path)
    assert str(path) in str(refused.value)


@pytest.mark.parametrize("damage", ["cut", "flipped", "not gzip"])
def test_a_damaged_archive_is_never_taken_for_a_short_one(tmp_path: Path, damage: str) -> None:
    dice = np.random.default_rng(0)
    rows = [row(n, volume=str(volume)) for n, volume in enumerate(dice.random(5_000).tolist())]
    path = write(tmp_path, rows, name="BTC_USDT-1m.csv.gz")
    data = bytearray(path.read_bytes())
    if damage == "cut":
        data = data[: len(data) // 2]
    elif damage == "flipped":
        data[len(data) // 2] ^= 0xFF
    else:
        data = bytearray(gzip.decompress(data))
    path.write_bytes(data)
    with pytest.raises(BadData, match=r"BTC_USDT-1m\.csv\.gz: "):
        read(path)


def test_a_missing_folder_and_a_folder_without_candles_are_told_apart(tmp_path: Path) -> None:
    with pytest.raises(BadData, match="there is no such folder or file"):
        CandleFiles(tmp_path / "nowhere", now=NOW)
    (tmp_path / "notes.txt").write_text("nothing")
    with pytest.raises(
        BadData, match=r"no candle files among 1 files; their names must look like BTC_USDT-1m\.csv\.gz"
    ):
        CandleFiles(tmp_path, now=NOW)


def table(times: pa.Array, name: str = "date", **columns: list[object]) -> pa.Table:
    count = len(times)
    values: dict[str, object] = {
        name: times, "open": [10.0] * count, "high": [12.0] * count, "low": [9.0] * count, "close": [11.0] * count,
        "volume": [5.0] * count,
    }  # fmt: skip
    return pa.table({**values, **columns})


@pytest.mark.parametrize("suffix", ["parquet", "feather"])
@pytest.mark.parametrize("unit", ["s", "ms", "us", "ns"])
@pytest.mark.parametrize("name", ["date", "timestamp"])
def test_columnar_files_are_read_in_every_unit_of_time(tmp_path: Path, suffix: str, unit: str, name: str) -> None:
    times = pa.array([NOON + timedelta(minutes=n) for n in range(3)], type=pa.timestamp(unit, tz="UTC"))
    path = tmp_path / f"BTC_USDT-1m.{suffix}"
    if suffix == "parquet":
        parquet.write_table(table(times, name, trades=[1, 2, 3]), path)
    else:
        feather.write_feather(table(times, name, trades=[1, 2, 3]), str(path))
    assert read(path)[0] == [0, 1, 2]


def test_cells_without_a_value_are_refused(tmp_path: Path) -> None:
    times = pa.array(
        [NOON, None, NOON + timedelta(minutes=2), NOON + timedelta(minutes=3)], type=pa.timestamp("ns", tz="UTC")
    )
    path = tmp_path / "BTC_USDT-1m.parquet"
    parquet.write_table(table(times, close=[11.0, 11.0, None, 11.0]), path)
    kept, history = read(path)
    assert kept == [0, 3]
    assert history.refused.counts == {"the time cannot be read": 1, "not a finite number": 1}


def test_a_time_between_two_milliseconds_is_off_the_grid(tmp_path: Path) -> None:
    ticks = [START_MS * 1_000_000 + n * 60_000_000_000 + (1 if n == 1 else 0) for n in range(3)]
    path = tmp_path / "BTC_USDT-1m.parquet"
    parquet.write_table(table(pa.array(ticks, type=pa.timestamp("ns", tz="UTC"))), path)
    kept, history = read(path)
    assert kept == [0, 2]
    assert "12:01:00.000000001" in str(history.refused.first)


def test_times_out_of_the_calendar_are_refused(tmp_path: Path) -> None:
    times = [START_MS // 1000, 2**60, -(2**60), START_MS // 1000 + 180, START_MS // 1000 + 240]
    path = tmp_path / "BTC_USDT-1m.parquet"
    parquet.write_table(table(pa.array(times, type=pa.timestamp("ms", tz="UTC"))), path)
    with pytest.raises(BadData, match="5 of 5 rows are refused"):
        read(path)
    times = [START_MS, 2**60, -(2**60), START_MS + 180_000, START_MS + 240_000]
    parquet.write_table(table(pa.array(times, type=pa.timestamp("ms", tz="UTC"))), path)
    assert read(path)[0] == [0, 3, 4]


def test_a_column_of_numbers_is_no_time_unless_its_name_says_which(tmp_path: Path) -> None:
    path = tmp_path / "BTC_USDT-1m.parquet"
    parquet.write_table(table(pa.array([START_MS, START_MS + 60_000])), path)
    with pytest.raises(BadData, match="the column date holds int64; it must hold UTC times"):
        read(path)
    parquet.write_table(table(pa.array([START_MS, START_MS + 60_000]), "timestamp_ms"), path)
    assert read(path)[0] == [0, 1]


def test_a_truncated_columnar_file_is_broken(tmp_path: Path) -> None:
    times = pa.array([NOON + timedelta(minutes=n) for n in range(100)], type=pa.timestamp("ns", tz="UTC"))
    for name in ("BTC_USDT-1m.parquet", "ETH_USDT-1m.feather"):
        path = tmp_path / name
        parquet.write_table(table(times), path) if name.endswith("parquet") else feather.write_feather(
            table(times), str(path)
        )
        path.write_bytes(path.read_bytes()[:-100])
        with pytest.raises(BadData, match=f"{name}: cannot be read after row 0"):
            read(path)


async def collect(files: CandleFiles, after: datetime | None = None) -> list[CandleBatch]:
    ids = {listing.key: number for number, listing in enumerate(files.instruments, 1)}
    return [batch async for batch in files.batches(ids, after)]


async def test_files_are_replayed_side_by_side(tmp_path: Path) -> None:
    folder = tmp_path / "kraken"
    write(folder, [row(0), row(1), row(3)])
    write(folder, [row(1), row(2), row(3)], name="ADA_USDT-1m.csv.gz")
    write(folder, [row(0)], name="ADA_USDT-5m.csv")
    batches = await collect(CandleFiles(folder, now=NOW))
    told = [((one.open_time - NOON) // timedelta(minutes=1), [c.symbol for c in one.candles]) for one in batches]
    assert told == [(0, ["BTC/USDT"]), (1, ["ADA/USDT", "BTC/USDT"]), (2, ["ADA/USDT"]), (3, ["ADA/USDT", "BTC/USDT"])]
    assert {candle.venue for one in batches for candle in one.candles} == {"kraken"}
    later = await collect(CandleFiles(folder, now=NOW), after=NOON + timedelta(minutes=1))
    assert later == batches[2:]


async def test_a_broken_end_is_found_before_the_first_batch(tmp_path: Path) -> None:
    folder = tmp_path / "kraken"
    path = write(folder, [row(n) for n in range(5_000)], name="BTC_USDT-1m.csv.gz")
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(BadData, match="cannot be read"):
        await anext(CandleFiles(folder, now=NOW).batches({("kraken", "BTC/USDT"): 1}, None))


async def test_rows_refused_in_a_replay_are_counted(tmp_path: Path) -> None:
    folder = tmp_path / "kraken"
    write(folder, [row(0), row(1, "0,1,1,1"), row(2), row(3)])
    files = CandleFiles(folder, now=NOW)
    assert len(await collect(files)) == 3
    assert files.refused().counts == {"a price must be above zero": 1}


async def test_real_pairs_are_replayed_minute_by_minute(real_candles: Path) -> None:
    files = CandleFiles(real_candles, now=NOW)
    batches = await collect(files, after=datetime(2021, 10, 16, tzinfo=UTC))
    common = [batch for batch in batches if len(batch.candles) == 15]
    assert (common[0].open_time, common[-1].open_time) == (
        datetime(2021, 10, 16, 0, 1, tzinfo=UTC),
        datetime(2021, 10, 17, 22, 20, tzinfo=UTC),
    )
    assert all(later.open_time > earlier.open_time for earlier, later in itertools.pairwise(batches))
