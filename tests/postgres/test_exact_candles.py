"""A venue's own digits come back from the database; where a float cannot hold them, that is recorded."""

from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

from mastertrade.market_data_service.bar_source import DatabaseBars
from mastertrade.market_data_service.blocks import seal_month
from mastertrade.market_data_service.exact_candles import exact_candles
from mastertrade.shared.postgres_manager import PostgresManager
from tests.postgres.test_import import imported
from tests.pure.test_import_formats import MINUTE_MS, START_MS

SHORT = (
    ("0.1", "0.3", "0.1", "0.2", "0.7"),
    ("64190.01", "64190.10", "64189.99", "64190.1", "123456789.012345"),
    ("0.00000000123456789012345", "0.00000000123456789012346", "0.00000000123456789012344", "1.23456789012345e-9", "0"),
    ("999999999999999", "999999999999999", "1", "2.5", "1e-15"),
    ("0.000123400000000000000000", "0.0001234", "0.0001233", "0.00012339", "90071992547409.1"),
)
LONG = ("0.12345678901234567", "0.2", "0.1", "0.1234567890123456", "12345678901234567")


async def test_up_to_fifteen_digits_come_back_and_longer_numbers_are_a_recorded_finding(
    database: PostgresManager, tmp_path: Path
) -> None:
    rows = [*SHORT, LONG]
    lines = [",".join([str(START_MS + n * MINUTE_MS), *row]) for n, row in enumerate(rows)]
    path = tmp_path / "BTC_USDT-1m.csv"
    path.write_text("\n".join(["timestamp,open,high,low,close,volume", *lines, ""]))
    report = await imported(database, path, tmp_path)
    assert (report.rows_stored, report.rejected) == (len(rows), 0)
    (said,) = [one for one in report.findings if one.rule == "digits"]
    assert (said.count, said.detail) == (3, "a number of more than the 15 digits that are kept exactly")
    recorded = await database.fetchval("SELECT findings FROM imports")
    assert [(one["count"], one["detail"]) for one in recorded if one["rule"] == "digits"] == [(3, said.detail)]
    first = datetime.fromtimestamp(START_MS / 1000, UTC)
    for sealed in (False, True):
        if sealed:
            await seal_month(database, 1, 60, first.date().replace(day=1))
        bars = await DatabaseBars(database).read(
            1, 60, datetime(2020, 1, 1, tzinfo=UTC), datetime(2026, 1, 1, tzinfo=UTC)
        )
        found = list(exact_candles(bars))
        assert found[0].open_time == first
        for candle, told in zip(found, SHORT, strict=False):
            assert (candle.open, candle.high, candle.low, candle.close, candle.volume) == tuple(map(Decimal, told))
        assert found[-1].open == Decimal(repr(float(LONG[0]))) != Decimal(LONG[0])
        assert found[-1].volume == Decimal(repr(float(LONG[4])))
