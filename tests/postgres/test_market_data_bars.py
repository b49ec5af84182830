"""Bars are built from stored candles, whole ones only, and never know the future."""

from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from mastertrade.market_data_service.bar_source import DatabaseBars
from mastertrade.market_data_service.postgres_database import QUERIES
from mastertrade.market_data_service.source import to_datetime, to_milliseconds
from mastertrade.quant.bars import Bars
from mastertrade.shared.errors import UsageError
from mastertrade.shared.postgres_manager import PostgresManager
from tests.postgres.market_seed import BTC, MINUTE, NOON, NOW, SmallMarket, minutes, service

START = datetime(2009, 1, 1, tzinfo=UTC)


async def stored(database: PostgresManager, bars: Bars) -> int:
    market, source = service(database), SmallMarket({BTC: bars})
    await market.load_history(source, until=NOW)
    return (await market.register(source))[0].id


async def test_what_was_stored_comes_back_bit_for_bit(database: PostgresManager) -> None:
    dice = np.random.default_rng(1)
    bars = minutes(5_000, without=[7, 8, 3_000])
    bars.volume[:] = dice.random(len(bars)) * 1e6
    id = await stored(database, bars)
    read = await DatabaseBars(database).read(id, 60, START, NOW, as_of=NOW)
    for column in ("time", "open", "high", "low", "close", "volume"):
        assert np.array_equal(getattr(read, column), getattr(bars, column)), column
        assert getattr(read, column).flags.c_contiguous


async def test_bars_are_merged_only_when_none_of_their_candles_is_missing(database: PostgresManager) -> None:
    id = await stored(database, minutes(62, without=[20]))
    bars = await DatabaseBars(database).read(id, 900, START, NOW, as_of=NOW)
    assert [to_datetime(time) - NOON for time in bars.time.tolist()] == [
        timedelta(0),
        timedelta(minutes=30),
        timedelta(minutes=45),
    ]
    assert (bars.open[0], bars.high[0], bars.low[0], bars.close[0], bars.volume[0]) == (99.5, 115.0, 99.0, 114.0, 120.0)


async def test_no_bar_is_shown_before_it_has_closed(database: PostgresManager) -> None:
    id = await stored(database, minutes(120))
    source = DatabaseBars(database)
    whole = await source.read(id, 300, START, NOW, as_of=NOW)
    for minute in range(125):
        as_of = NOON + minute * MINUTE
        known = await source.read(id, 300, START, NOW, as_of=as_of)
        assert len(known) == minute // 5 if minute < 120 else len(known) == 24
        assert np.array_equal(known.close, whole.close[: len(known)])


async def test_a_read_keeps_to_the_times_asked_for(database: PostgresManager) -> None:
    id = await stored(database, minutes(120))
    bars = await DatabaseBars(database).read(
        id, 300, NOON + timedelta(minutes=7), NOON + timedelta(minutes=31), as_of=NOW
    )
    assert [(time - to_milliseconds(NOON)) // 60_000 for time in bars.time.tolist()] == [10, 15, 20, 25, 30]


async def test_an_unknown_instrument_has_no_bars(database: PostgresManager) -> None:
    bars = await DatabaseBars(database).read(4711, 900, START, NOW, as_of=NOW)
    assert (len(bars), bars.interval_s) == (0, 900)


async def test_candles_are_not_cut_into_shorter_bars(database: PostgresManager) -> None:
    id = await stored(database, minutes(10))
    assert len(await DatabaseBars(database).read(id, 30, START, NOW, as_of=NOW)) == 0


async def test_a_length_that_does_not_divide_a_day_is_refused(database: PostgresManager) -> None:
    with pytest.raises(UsageError, match="420 s: the length must divide a day"):
        await DatabaseBars(database).read(1, 420, START, NOW, as_of=NOW)


async def test_long_reads_come_in_parts_that_fit_together(
    database: PostgresManager, monkeypatch: pytest.MonkeyPatch
) -> None:
    id = await stored(database, minutes(1_000, without=[500]))
    whole = await DatabaseBars(database).read(id, 300, START, NOW, as_of=NOW)
    monkeypatch.setattr("mastertrade.market_data_service.bar_source.ROWS_A_READ", 37)
    parts = await DatabaseBars(database).read(id, 300, START, NOW, as_of=NOW)
    assert np.array_equal(parts.time, whole.time)
    assert np.array_equal(parts.volume, whole.volume)


async def test_a_read_opens_only_the_months_it_asks_for(database: PostgresManager) -> None:
    id = await stored(database, minutes(3, start=datetime(2024, 1, 15, tzinfo=UTC)))
    await database.fetchval("SELECT ensure_candle_partitions($1, $2)", datetime(2020, 1, 1, tzinfo=UTC), NOW)
    text, parameters = QUERIES.sql("candle_columns")
    values = {
        "instrument_id": id,
        "interval_s": 60,
        "first": datetime(2024, 1, 10, tzinfo=UTC),
        "last": datetime(2024, 2, 10, tzinfo=UTC),
    }
    plan = await database.fetch(f"EXPLAIN {text}", *(values[name] for name in parameters))
    opened = {line.split(" on ")[1].split()[0] for line in (row["QUERY PLAN"] for row in plan) if " on candles" in line}
    assert opened == {"candles_2024_01", "candles_2024_02"}
