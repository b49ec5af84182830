"""What is exported and imported again is the same: hashes of snapshots, rows, versions, byte for byte."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pa_parquet
import pytest

from mastertrade.market_data_service.candle_store import CandleStore
from mastertrade.market_data_service.catalogue import Selection
from mastertrade.market_data_service.exporting.exporter import FIELDS, Exported, FileExporter
from mastertrade.market_data_service.exporting.rows import CANDLES, schema_of
from mastertrade.market_data_service.exporting.sinks import FileFormat, opened
from mastertrade.market_data_service.importing.importer import FileImporter, understand
from mastertrade.market_data_service.importing.naming import CANDLE_KINDS, Kind, Understood
from mastertrade.market_data_service.kind_rows import Book, Funding, Ticker, Trade
from mastertrade.market_data_service.kind_store import KindStore
from mastertrade.market_data_service.postgres_database import MarketDataPostgresDatabase
from mastertrade.market_data_service.postgres_instruments import InstrumentsPostgresDatabase
from mastertrade.market_data_service.rules import listing
from mastertrade.market_data_service.snapshots import Snapshots
from mastertrade.shared.clock import SystemClock
from mastertrade.shared.errors import NotFound
from mastertrade.shared.postgres_manager import PostgresManager
from tests.postgres.test_instruments import BTC, SWAP
from tests.postgres.test_quality import sample_bars

CLOCK = SystemClock()
ALL = (*sorted(CANDLE_KINDS), *FIELDS)
SERIES = (("kraken", "BTC/USDT"), ("binance.mark", "BTC/USDT:USDT"), ("hit.btc", "AVERYLONGNAME1/X"))
START_US = 1_700_000_000_123_456
QUERIES = (
    """SELECT i.venue, i.symbol, v.valid_from, v.valid_to, v.tick_size, v.lot_size, v.min_notional, v.maker_fee,
              v.status, v.rules_source FROM instrument_versions v JOIN instruments i ON i.id = v.instrument_id
        WHERE v.rules_source = 'venue' ORDER BY 1, 2, 3""",
    """SELECT i.venue, i.symbol, t.time, t.trade_id, t.price, t.amount, t.is_buy
         FROM market_trades t JOIN instruments i ON i.id = t.instrument_id ORDER BY 1, 2, 3, 4""",
    "SELECT i.venue, f.time, f.rate FROM funding_rates f JOIN instruments i ON i.id = f.instrument_id ORDER BY 1, 2",
    """SELECT time, sequence, is_snapshot, first_sequence, bid_prices, bid_amounts, ask_prices, ask_amounts
         FROM book_updates ORDER BY 1, 2, 3""",
    "SELECT * FROM market_tickers ORDER BY venue, symbol, time, sequence",
    "SELECT kind, venue, symbol, rows, first_time, last_time FROM kind_series ORDER BY 1, 2, 3",
)


async def filled(database: PostgresManager) -> None:
    """Something of every kind, with what is easily lost: 17 digits, holes, fills, empty books, odd names, rebates."""
    market, rules, store = (
        MarketDataPostgresDatabase(),
        InstrumentsPostgresDatabase(),
        KindStore(manager=database, clock=CLOCK),
    )
    candles = CandleStore(manager=database, clock=CLOCK)
    await market.add_instruments(database, [listing(*one) for one in SERIES], at=CLOCK.now())
    ids = {one.venue: one.id for one in await market.instruments(database)}
    bars = sample_bars()
    long_digits = replace(bars, volume=bars.volume / 3)
    await candles.load(ids["kraken"], [long_digits[:100], long_digits[120:]])
    await candles.load(ids["kraken"], long_digits[105:110], is_synthetic=True)
    await candles.load(ids["binance.mark"], replace(bars, volume=np.zeros(len(bars))))
    await candles.load(ids["hit.btc"], bars[:7])
    at = datetime(2024, 5, 6, 1, 2, 3, 456789, tzinfo=UTC)
    for day, tick in enumerate(("0.01", "0.5")):
        listed = [replace(BTC, tick_size=Decimal(tick), maker_fee=Decimal("-0.0001")), SWAP]
        known_at = at + timedelta(days=day)
        await rules.learn_instruments(database, "kraken", listed, assumed=[(), ()], known_at=known_at, at=known_at)
    trades = [
        Trade(START_US + place, f"x{place}", 1 / (place + 3), 0.1, (True, False, None)[place % 3]) for place in range(7)
    ]
    await store.store_trades(ids["kraken"], trades)
    await store.store_funding(ids["binance.mark"], [Funding(START_US + place, -1e-7 * place) for place in range(4)])
    levels = [(100 / 3 - place, 0.5) for place in range(3)]
    await store.store_books(ids["kraken"], [
        Book(START_US, 1, True, levels, [(40.0, 1.0)]), Book(START_US, 2, False, [(33.0, 0.0)], [], first_sequence=2),
        Book(START_US + 1, 3, False, [], [], first_sequence=3),
        Book(START_US + 2, 4, False, [], levels[:1], first_sequence=4),
    ])  # fmt: skip
    await store.store_tickers("kraken", [
        Ticker("A/B", START_US, bid=0.1, ask=0.2, volume=3.0), Ticker("A/B", START_US, sequence=1, last=7.0),
        Ticker(".BVOL,7", START_US + 5, last=-1 / 3),
    ])  # fmt: skip


async def exported(database: PostgresManager, folder: Path, form: FileFormat, **wanted: Any) -> list[Exported]:
    exporter = FileExporter(manager=database, clock=CLOCK)
    return [await exporter.write(one) for one in await exporter.plan(folder, form=form, **{"kinds": ALL, **wanted})]


@pytest.mark.parametrize("form", list(FileFormat))
async def test_every_kind_exported_and_imported_again_is_the_same(
    form: FileFormat, database: PostgresManager, other_database: PostgresManager, tmp_path: Path
) -> None:
    await filled(database)
    files = await exported(database, tmp_path / "out", form)
    importer = FileImporter(manager=other_database, clock=CLOCK, home=tmp_path)
    rows = {}
    for one in files:
        report = await importer.run(one.path, understand(one.path, venue=None))
        assert report.is_clean, report
        assert one.rows == report.rows_read == report.rows_stored + report.revisions + report.unchanged
        rows[one.path.name.removesuffix(f".{form}")] = one.rows
    assert rows == {
        "kraken_BTC-USDT-1m": 280, "binance_BTC-USDT_USDT-1m-mark": 300, "hit.btc_AVERYLONGNAME1-X-1m": 7,
        "kraken_BTC-USDT-trades": 7, "binance.mark_BTC-USDT_USDT-funding": 4, "kraken_BTC-USDT-book": 7,
        "kraken-tickers": 3, "kraken-instruments": 3, "binance.mark-instruments": 1, "hit.btc-instruments": 1,
    }  # fmt: skip
    for query in QUERIES:
        assert [dict(row) for row in await other_database.fetch(query)] == [
            dict(row) for row in await database.fetch(query)
        ]
    # The fill is no data: it is left where somebody asked for it.
    await CandleStore(manager=database, clock=CLOCK).remove(
        await database.fetchval("SELECT id FROM instruments WHERE venue = 'kraken' AND kind = 'spot'"), 60,
        *(await database.fetch("SELECT lower(synthetic), upper(synthetic) FROM coverage_of_requests"))[0].values(),
    )  # fmt: skip
    made = [await Snapshots(manager=manager, clock=CLOCK).create(Selection()) for manager in (database, other_database)]
    assert made[0].content_hash == made[1].content_hash
    again = await exported(other_database, tmp_path / "again", form, kinds=tuple(CANDLE_KINDS))
    for one in again:
        assert one.path.read_bytes() == (tmp_path / "out" / one.path.name).read_bytes()


async def test_a_span_and_a_series_can_be_chosen_and_nothing_is_an_error(
    database: PostgresManager, tmp_path: Path
) -> None:
    await filled(database)
    start = datetime.fromtimestamp(int(sample_bars().time[0]) / 1000, UTC)
    chosen = Selection(venues=("kraken",))
    span = {"start": start + timedelta(minutes=10), "end": start + timedelta(minutes=30)}
    (one,) = await exported(database, tmp_path, FileFormat.PARQUET, selection=chosen, kinds=(Kind.CANDLES,), **span)
    times = pa_parquet.read_table(one.path)["timestamp"].to_pylist()
    assert (one.rows, times[0], times[-1]) == (20, span["start"], span["end"] - timedelta(minutes=1))
    with pytest.raises(NotFound, match="no book of binance"):
        await exported(database, tmp_path, FileFormat.CSV, selection=Selection(venues=("binance",)), kinds=(Kind.BOOK,))


def test_an_export_that_breaks_leaves_what_stood_there(tmp_path: Path) -> None:
    path = tmp_path / "kraken_BTC-USD-1m.csv"
    path.write_text("what stood there")
    content = Understood(kind=Kind.CANDLES, venue="kraken", symbol="BTC/USD", interval_s=60)
    schema = schema_of(CANDLES, is_text=True)
    good = pa.RecordBatch.from_arrays([pa.array([1], field.type) for field in schema], schema=schema)

    def write() -> None:
        with opened(path, schema, content) as sink:
            sink.add(good)
            raise OSError("the disk is full")

    with pytest.raises(OSError, match="the disk is full"):
        write()
    assert path.read_text() == "what stood there"
    assert list(tmp_path.iterdir()) == [path]
