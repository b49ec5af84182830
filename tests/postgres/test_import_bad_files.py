"""Damaged files: what becomes of each fault, that the rest of the file is stored, and that somebody is told.

Every fault sits in a file of 300 good candles. Beside them stand the damaged files of the recorded data and single
messages of exchanges, which are whatever they are.
"""

import csv
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd
import pytest

from mastertrade.market_data_service.importing.importer import FileImporter, find_files, understand
from mastertrade.market_data_service.importing.report import FileReport
from mastertrade.shared.clock import SystemClock
from mastertrade.shared.errors import MasterTradeError
from mastertrade.shared.postgres_manager import PostgresManager
from tests.pure.test_import_formats import MINUTE_MS, ROWS, START_MS, sample

READ = "rows_read"


async def imported(database: PostgresManager, path: Path, home: Path) -> FileReport:
    importer = FileImporter(manager=database, clock=SystemClock(), home=home)
    return await importer.run(path, understand(path, venue="binance"))


def lines_of(frame: pd.DataFrame) -> list[str]:
    """The header and a line for each row."""
    return frame.to_csv(index=False).splitlines()


def text(lines: list[str]) -> bytes:
    return ("\n".join(lines) + "\n").encode()


def with_cell(row: int, column: str, value: object) -> Callable[[], bytes]:
    def made() -> bytes:
        frame = sample().astype(object)
        frame.loc[row, column] = value
        return text(lines_of(frame))

    return made


def without(rows: range) -> bytes:
    return text(lines_of(sample().drop(index=list(rows))))


def with_line(at: int, line: str) -> Callable[[], bytes]:
    def made() -> bytes:
        lines = lines_of(sample())
        lines.insert(at, line)
        return text(lines)

    return made


def repeated(column: str | None) -> bytes:
    frame = sample()
    again = frame.iloc[[50]].copy()
    if column:
        again[column] = again[column] + 0.001
    return text(lines_of(pd.concat([frame.iloc[:51], again, frame.iloc[51:]])))


def shuffled() -> bytes:
    return text(lines_of(sample().sample(frac=1.0, random_state=3)))


def in_unit(factor: float) -> bytes:
    frame = sample()
    frame["timestamp_ms"] = (frame["timestamp_ms"] * factor).astype("int64")
    return text(lines_of(frame.rename(columns={"timestamp_ms": "time"})))


def in_local_time(offset: str) -> bytes:
    frame = sample()
    moved = pd.to_datetime(frame["timestamp_ms"], unit="ms") + pd.Timedelta(hours=2)
    frame["timestamp_ms"] = moved.dt.strftime("%Y-%m-%d %H:%M:%S") + offset
    return text(lines_of(frame.rename(columns={"timestamp_ms": "date"})))


def one_time_in_seconds() -> bytes:
    frame = sample()
    frame.loc[20, "timestamp_ms"] //= 1000
    return text(lines_of(frame))


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """``stored`` of the 300 good rows; the others are what is said about the rest."""

    made: Callable[[], bytes]
    name: str = "BTC_USDT-1m.csv"
    stored: int = ROWS
    rejected: dict[str, int] = field(default_factory=dict)
    findings: tuple[str, ...] = ()
    error: str = ""
    duplicates: int = 0


FINITE = "not a finite number"
PRICE = "a price must be above zero"
RANGE = "low and high must contain open and close"
CELLS = "the line has another number of cells than the others ({} instead of 6)"
FAULTS = {
    "a gap": Fault(made=lambda: without(range(100, 110)), stored=ROWS - 10, findings=("gap",)),
    "the same row twice": Fault(made=lambda: repeated(None), duplicates=1, findings=("duplicate",)),
    "two rows of one time": Fault(
        made=lambda: repeated("close"), rejected={"a row of this time came before with other numbers": 1}
    ),
    "nothing traded": Fault(made=with_cell(20, "volume", 0), findings=("zero volume",)),
    "out of order": Fault(made=shuffled, findings=("order",)),
    "high below low": Fault(made=with_cell(20, "high", 1.0), stored=ROWS - 1, rejected={RANGE: 1}, findings=("gap",)),
    "NaN": Fault(made=with_cell(20, "close", "NaN"), stored=ROWS - 1, rejected={FINITE: 1}, findings=("gap",)),
    "an infinity": Fault(made=with_cell(20, "volume", "inf"), stored=ROWS - 1, rejected={FINITE: 1}, findings=("gap",)),
    "an empty cell": Fault(made=with_cell(20, "close", ""), stored=ROWS - 1, rejected={FINITE: 1}, findings=("gap",)),
    "a word": Fault(made=with_cell(20, "close", "n/a"), stored=ROWS - 1, rejected={FINITE: 1}, findings=("gap",)),
    "a negative price": Fault(made=with_cell(20, "low", -5.0), stored=ROWS - 1, rejected={PRICE: 1}, findings=("gap",)),
    "a price of zero": Fault(made=with_cell(20, "low", 0), stored=ROWS - 1, rejected={PRICE: 1}, findings=("gap",)),
    "a negative volume": Fault(
        made=with_cell(20, "volume", -1.0),
        stored=ROWS - 1,
        rejected={"a volume must not be below zero": 1},
        findings=("gap",),
    ),
    "an absurd exponent": Fault(
        made=with_cell(20, "high", "1E+300000"), stored=ROWS - 1, rejected={FINITE: 1}, findings=("gap",)
    ),
    "an enormous price": Fault(
        made=with_cell(20, "high", "1e200"),
        stored=ROWS - 1,
        rejected={"a number beyond 1e18, or a price below 1e-18": 1},
        findings=("gap",),
    ),
    "more digits than fit": Fault(made=with_cell(20, "volume", "26.00000000000000001"), findings=("digits",)),
    "a line cut short": Fault(made=with_line(21, "1631917800000,100.1"), rejected={CELLS.format(2): 1}),
    "a line too long": Fault(made=with_line(21, "1,2,3,4,5,6,7,8,9"), rejected={CELLS.format(9): 1}),
    "a blank line": Fault(made=with_line(21, "")),
    "a second header": Fault(
        made=with_line(21, "timestamp_ms,open,high,low,close,volume"), rejected={"the time cannot be read": 1}
    ),
    "one time in another unit": Fault(made=one_time_in_seconds, findings=("time unit",)),
    "a time before there were markets": Fault(
        made=with_cell(20, "timestamp_ms", 1),
        stored=ROWS - 1,
        rejected={"the time lies before 2009": 1},
        findings=("gap",),
    ),
    "a time off the grid": Fault(
        made=with_cell(20, "timestamp_ms", START_MS + 20 * MINUTE_MS + 7),
        stored=ROWS - 1,
        rejected={"the time is not a multiple of the interval": 1},
        findings=("gap",),
    ),
    "a time to come": Fault(
        made=with_cell(299, "timestamp_ms", 4_102_444_800_000),
        stored=ROWS - 1,
        rejected={"the candle has not closed yet": 1},
    ),
    "seconds": Fault(made=lambda: in_unit(0.001)),
    "microseconds": Fault(made=lambda: in_unit(1000)),
    "nanoseconds": Fault(made=lambda: in_unit(1_000_000)),
    "local time that says so": Fault(made=lambda: in_local_time("+02:00")),
    "local time that does not": Fault(made=lambda: in_local_time(""), findings=("time zone",)),
    "a wrong column": Fault(
        made=lambda: text(lines_of(sample().rename(columns={"close": "weather"}))), stored=0, error="close"
    ),
    "binary rubbish": Fault(made=lambda: bytes(range(256)) * 40, stored=0, error="BTC_USDT-1m.csv"),
    "nothing at all": Fault(made=lambda: b"", stored=0, error="empty"),
    "only a header": Fault(made=lambda: text(lines_of(sample())[:1]), stored=0, error="not one row"),
    "gzip that is none": Fault(made=lambda: text(lines_of(sample())), name="BTC_USDT-1m.csv.gz"),
    "rubbish named gzip": Fault(
        made=lambda: bytes(range(256)) * 40, name="BTC_USDT-1m.csv.gz", stored=0, error="BTC_USDT-1m.csv.gz"
    ),
    "rubbish named parquet": Fault(
        made=lambda: b"PAR1" + bytes(range(256)), name="BTC_USDT-1m.parquet", stored=0, error="BTC_USDT-1m.parquet"
    ),
    "rubbish named feather": Fault(
        made=lambda: b"ARROW1" + bytes(range(256)), name="BTC_USDT-1m.feather", stored=0, error="BTC_USDT-1m.feather"
    ),
    "rubbish named zip": Fault(
        made=lambda: b"PK\x03\x04" + bytes(range(256)), name="BTCUSDT-1m-2021-09.zip", stored=0, error="BTCUSDT-1m"
    ),
    "JSON cut off": Fault(
        made=lambda: sample().head(100).to_json(orient="values").encode()[:-20],
        name="BTC_USDT-1m.json",
        stored=99,
        error="value 100 is no JSON",
    ),
}


@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS)
async def test_a_fault_costs_its_rows_and_is_told(fault: Fault, database: PostgresManager, tmp_path: Path) -> None:
    path = tmp_path / fault.name
    path.write_bytes(fault.made())
    report = await imported(database, path, tmp_path)
    assert report.rows_stored == fault.stored
    assert report.reasons == fault.rejected
    assert {one.rule for one in report.findings} == set(fault.findings)
    assert report.duplicates == fault.duplicates
    assert report.quarantined == 0
    assert fault.error in (report.error or "")
    assert (report.error is None) == (fault.error == "")
    assert report.is_clean == (not fault.error and not fault.rejected)
    if report.error is None:
        assert report.rows_read == report.rows_stored + report.rejected + report.duplicates
    rejects_are_written(report)
    again = await imported(database, path, tmp_path)
    assert (again.rows_stored, again.revisions, again.unchanged) == (0, 0, fault.stored)
    assert (again.rejected, again.error) == (report.rejected, report.error)


def rejects_are_written(report: FileReport) -> None:
    """A line for each row that was left out: its number in the file, why, and what stood there."""
    if report.rejected == 0:
        assert report.rejects_file is None
        return
    assert report.rejects_file is not None
    with Path(report.rejects_file).open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == report.rejected
    assert Counter(row["reason"] for row in rows) == report.reasons
    assert all(int(row["row"]) > 0 and row["text"] for row in rows)


async def test_local_time_is_what_it_says(database: PostgresManager, tmp_path: Path) -> None:
    path = tmp_path / "BTC_USDT-1m.csv"
    for offset, first_ms in (("+02:00", START_MS), ("", START_MS + 2 * 60 * MINUTE_MS)):
        path.write_bytes(in_local_time(offset))
        await imported(database, path, tmp_path)
        stored = await database.fetchval("SELECT max(open_time) FROM candles")
        assert round(stored.timestamp() * 1000) == first_ms + (ROWS - 1) * MINUTE_MS


REASONS = {
    "a price must be a finite number above zero",
    "a price or amount must be a finite number and not below zero",
    "the time lies before 2009",
    "the time cannot be read",
    "a trade of this number came before",
}


async def test_damaged_streams_are_stored_as_far_as_they_are_sound(
    database: PostgresManager, real_data: Path, tmp_path: Path
) -> None:
    folder = real_data / "dirty" / "binance_streams_corrupted_2025"
    found = {path.name: await imported(database, path, tmp_path) for path in sorted(folder.iterdir())}
    for name, report in found.items():
        assert report.error is None, name
        assert 0 < report.rejected < 10, name
        rejects_are_written(report)
    reasons = Counter(reason for report in found.values() for reason in report.reasons)
    assert set(reasons) == REASONS
    # The sound files of the same time then add only what was damaged.
    name = "trade_stream_spot_trxusdt_04-03-2025.csv.gz"
    after = await imported(database, real_data / "orderbook" / "binance_trx_streams_2025" / name, tmp_path)
    assert (after.rows_stored, after.rejected) == (found[name].rejected, 0)
    assert after.rows_stored + after.unchanged == after.rows_read


async def test_messages_of_exchanges_are_used_or_refused_with_a_reason(
    database: PostgresManager, real_data: Path, tmp_path: Path
) -> None:
    """304 single messages, many of which are no market data at all."""
    outcomes: Counter[str] = Counter()
    refused = []
    for path, folder in find_files([real_data / "payloads"]):
        try:
            understood = understand(path, venue="binance", folder=folder)
        except MasterTradeError as error:
            refused.append((path.name, str(error)))
            continue
        report = await FileImporter(manager=database, clock=SystemClock(), home=tmp_path).run(path, understood)
        assert report.error or report.findings or any(count for name, count in report.counts.items() if name != READ)
        assert report.error is None or path.name in report.error, report.error
        outcomes["refused" if report.error else "stored" if report.rows_stored else "rejected"] += 1
    assert all(name in error for name, error in refused)
    assert outcomes["stored"] > 0
