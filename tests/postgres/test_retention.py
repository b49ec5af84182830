"""Retention: what leaves is in a proven file or in longer bars, nothing pinned leaves, and all of it comes back."""

import shutil
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mastertrade.market_data_service.bar_source import DatabaseBars
from mastertrade.market_data_service.blocks import read_candles, seal_months
from mastertrade.market_data_service.candle_store import CandleStore, Outcome
from mastertrade.market_data_service.catalogue import EVERYTHING, catalogue, gaps_of, parse_selection
from mastertrade.market_data_service.kind_rows import Book, Funding, Ticker, Trade
from mastertrade.market_data_service.kind_store import KindStore
from mastertrade.market_data_service.retention import proving, retirement
from mastertrade.market_data_service.retention.due import Rule, rules_of
from mastertrade.market_data_service.retention.policies import (
    USUAL,
    Action,
    DataKind,
    Pattern,
    Policies,
    governing,
    parse_keep,
)
from mastertrade.market_data_service.retention.restoring import Restored, Restoring
from mastertrade.market_data_service.retention.retirement import Retirement
from mastertrade.market_data_service.rollups import Rollups
from mastertrade.market_data_service.snapshots import Snapshots
from mastertrade.quant.bars import Bars
from mastertrade.quant.resample import resample
from mastertrade.shared.clock import ReplayClock
from mastertrade.shared.errors import AlreadyRunning, BadData, UsageError
from mastertrade.shared.postgres_manager import PostgresManager
from tests.postgres.market_seed import MINUTE, NOON, NOW
from tests.postgres.test_candle_blocks import assert_same
from tests.postgres.test_candle_store import END, START, catalogue_is_true, opened

HOUR = 3_600
APRIL, MAY, JUNE, JULY = (datetime(2024, month, 1, tzinfo=UTC) for month in (4, 5, 6, 7))


def uneven(start: datetime, end: datetime, *, without: Sequence[int] = ()) -> Bars:
    """Bars of fifteen minutes whose volumes' sum depends on the order of adding."""
    count = (end - start) // (15 * MINUTE)
    kept = np.array([n for n in range(count) if n not in set(without)], dtype=np.int64)
    close = 100.0 + np.random.default_rng(7).normal(0, 1, count)[kept].cumsum() / 9
    return Bars(
        interval_s=900, time=int(start.timestamp()) * 1000 + kept * 900_000, open=close - 0.3, high=close + 0.7,
        low=close - 0.9, close=close, volume=np.random.default_rng(3).exponential(10, count)[kept],
    )  # fmt: skip


async def retire(
    database: PostgresManager,
    folder: Path,
    before: datetime,
    words: Sequence[str] = (),
    action: Action = Action.ARCHIVE,
) -> list[retirement.Outcome]:
    rule = Rule(cutoff=before, action=action, reason="test")
    engine = Retirement(manager=database, clock=ReplayClock(NOW), folder=folder)
    return [one async for one in engine.run(parse_selection(words), lambda *_: rule, latest=before)]


async def restore(
    database: PostgresManager, folder: Path, words: Sequence[str] = (), *, moved_to: Path | None = None
) -> list[Restored]:
    restoring = Restoring(manager=database, clock=ReplayClock(NOW), home=folder, folder=moved_to)
    return [await restoring.restore(one) for one in await restoring.plan(parse_selection(words))]


async def everything(database: PostgresManager) -> list[Any]:
    """What is stored and known, except for when it was written."""
    tables = {
        "candles": "*", "series": "instrument_id, interval_s, rows, first_open_time, last_close_time, last_close",
        "candle_months": "instrument_id, interval_s, month, rows", "gaps": "*", "candle_revisions": "*",
        "rollups": "*", "coverage_of_requests": "instrument_id, answered, confirmed, synthetic, archived, dropped",
    }  # fmt: skip
    await database.execute("DELETE FROM coverage_of_requests WHERE isempty(answered + synthetic + archived + dropped)")
    return [
        await database.fetch(f"SELECT {columns} FROM {name} ORDER BY 1, 2, 3, 4") for name, columns in tables.items()
    ]


async def test_months_leave_into_proven_files_and_come_back_as_they_were(
    database: PostgresManager, tmp_path: Path
) -> None:
    """By retire_candles, why_candles_stay, is_rolled_up, forget_month and drop_empty_month; return_candles."""
    store, (btc, eth) = await opened(database, "BTC/USDT", "ETH/USDT")
    bars = uneven(APRIL + timedelta(days=10), JULY + timedelta(days=2), without=[7, 8, 1_700])
    await store.load(btc, bars)
    await store.load(eth, uneven(MAY, JULY))
    await store.load(btc, uneven(APRIL + timedelta(days=10), APRIL + timedelta(days=11)), is_synthetic=True)
    await store.record_request(btc, 900, APRIL, JUNE, Outcome.FETCHED)
    changed = bars[100:105]
    changed.close[2] += 0.1
    await CandleStore(manager=database, clock=ReplayClock(NOW)).load(btc, changed)
    await Rollups(manager=database, clock=ReplayClock(NOW)).ask(EVERYTHING, (HOUR,))
    await Rollups(manager=database, clock=ReplayClock(NOW)).follow()
    await seal_months(database)
    before = await everything(database)
    hours = await DatabaseBars(database).read(btc, HOUR, START, END)
    as_it_was = await DatabaseBars(database).read(btc, 900, START, END, as_of=NOON + timedelta(days=90))

    outcomes = await retire(database, tmp_path, JULY, ["BTC/USDT"])
    assert [(one.state, one.unit.starts) for one in outcomes] == [("archived", m) for m in (APRIL, MAY, JUNE)]
    assert await database.fetchval("SELECT to_regclass('candles_2024_04')::text") is None
    assert await database.fetchval("SELECT to_regclass('candles_2024_05')::text") == "candles_2024_05"  # ETH stays
    await catalogue_is_true_but_for_archives(database)
    (entry,) = await catalogue(database, parse_selection(["BTC/USDT"]))
    assert (entry.first, entry.missing) == (JULY, 0)
    (gap,) = await gaps_of(database, parse_selection(["BTC/USDT"]))
    assert (gap.starts, gap.ends, gap.reason) == (APRIL + timedelta(days=10), JULY, "archived")
    assert await store.unanswered(btc, 900, APRIL + timedelta(days=10), JULY) == []
    assert_same(await DatabaseBars(database).read(btc, HOUR, START, END), hours)
    assert len(await DatabaseBars(database).read(btc, 900, START, JULY)) == 0
    assert len(await DatabaseBars(database).read(btc, 900, START, JULY, as_of=NOON + timedelta(days=90))) == 0
    assert await Rollups(manager=database, clock=ReplayClock(NOW)).follow() == 0

    await retire(database, tmp_path, JULY)
    assert await database.fetchval("SELECT count(*) FROM pg_inherits WHERE inhparent = 'candles'::regclass") == 1
    assert_same(await DatabaseBars(database).read(btc, HOUR, START, END), hours)

    moved = tmp_path / "elsewhere"
    shutil.move(tmp_path / "candles", moved / "candles")
    with pytest.raises(BadData, match="name the folder it is in now with --from"):
        await restore(database, tmp_path)
    back = await restore(database, tmp_path, moved_to=moved)
    assert sum(one.stored for one in back) == await database.fetchval("SELECT sum(rows)::int FROM retirements")
    await Rollups(manager=database, clock=ReplayClock(NOW)).follow()
    assert await everything(database) == before
    await catalogue_is_true(database)
    assert_same(await DatabaseBars(database).read(btc, 900, START, END, as_of=NOON + timedelta(days=90)), as_it_was)
    assert await restore(database, tmp_path) == []


async def catalogue_is_true_but_for_archives(database: PostgresManager) -> None:
    async with database.transaction() as tx:
        taken = await tx.fetch("DELETE FROM gaps WHERE reason IN ('archived', 'dropped') RETURNING *")
        await catalogue_is_true(tx)  # type: ignore[arg-type]
        await tx.executemany("INSERT INTO gaps VALUES ($1, $2, $3, $4, $5, $6)", [tuple(row.values()) for row in taken])


async def test_a_snapshot_keeps_its_months_and_its_removal_frees_them(
    database: PostgresManager, tmp_path: Path
) -> None:
    store, (btc,) = await opened(database)
    await store.load(btc, uneven(APRIL, JULY))
    snapshots = Snapshots(manager=database, clock=ReplayClock(NOW))
    made = await snapshots.create(parse_selection(["BTC/USDT"]), start=MAY, end=MAY + timedelta(hours=1))
    outcomes = await retire(database, tmp_path, JULY)
    assert [one.state for one in outcomes] == ["archived", "kept", "archived"]
    assert str(outcomes[1].why).startswith(f"snapshot {str(made.id)[:13]} pins it")
    assert [one.is_same async for one in snapshots.verify(made.id)] == [True]
    # What was archived comes back without being seen by a snapshot of the time between.
    between = await snapshots.create(parse_selection(["BTC/USDT"]))
    await restore(database, tmp_path)
    assert [one.is_same async for one in snapshots.verify(between.id)] == [True]
    assert len(await DatabaseBars(database).read(btc, 900, START, END, as_of=JULY)) == len(uneven(APRIL, JULY))
    await snapshots.remove(made.id)
    await snapshots.remove(between.id)
    assert [one.state for one in await retire(database, tmp_path, JULY)] == ["archived"] * 3
    assert await DatabaseBars(database).read(btc, 900, START, END) is not None


async def test_candles_are_dropped_for_good_only_where_longer_bars_stand(
    database: PostgresManager, tmp_path: Path
) -> None:
    store, (btc, eth) = await opened(database, "BTC/USDT", "ETH/USDT")
    bars = uneven(APRIL, JUNE)
    await store.load(btc, bars)
    await store.load(eth, resample(bars, 86_400))
    await store.record_request(btc, 900, APRIL, JUNE, Outcome.FETCHED)
    outcomes = await retire(database, tmp_path, JUNE, action=Action.DROP)
    assert {(one.unit.symbol, one.state) for one in outcomes} == {("BTC/USDT", "dropped"), ("ETH/USDT", "kept")}
    assert {one.why for one in outcomes if one.state == "kept"} == {
        "no longer bars can be made of 1d candles: they can be archived, not dropped"
    }
    assert_same(await DatabaseBars(database).read(btc, 86_400, START, END), resample(bars, 86_400))
    (gap,) = await gaps_of(database)
    assert (gap.reason, gap.missing) == ("dropped", len(bars))
    (one, other) = await restore(database, tmp_path)
    assert (one.stored, one.is_from_file, other.stored) == (0, False, 0)
    assert await store.unanswered(btc, 900, APRIL, JUNE) == [(APRIL, JUNE)]  # a download brings them again
    assert {one.state for one in await retire(database, tmp_path, JUNE)} == {"archived"}


async def test_what_comes_late_into_an_archived_month_is_newer_than_the_file(
    database: PostgresManager, tmp_path: Path
) -> None:
    """store_rollup leaves the bars alone whose candles retention took (gone_candles)."""
    store, (btc,) = await opened(database)
    bars = uneven(MAY, JULY)
    await store.load(btc, bars)
    await retire(database, tmp_path, JUNE)
    hours = await DatabaseBars(database).read(btc, HOUR, START, END)
    late = uneven(MAY, JULY)[10:14]
    late.close[1] += 0.5
    await store.load(btc, late)
    await Rollups(manager=database, clock=ReplayClock(NOW)).follow()
    assert_same(await DatabaseBars(database).read(btc, HOUR, START, END), hours)
    assert [(gap.reason, gap.missing) for gap in await gaps_of(database)] == [("archived", 10), ("archived", 2_962)]
    again = await retire(database, tmp_path, JUNE)
    assert [Path(str(one.file)).name for one in again] == ["2024-05.2.parquet"]
    back = await restore(database, tmp_path)
    assert [(one.stored, one.kept) for one in back] == [(4, 0), (2_972, 4)]
    read = await read_candles(database, btc, 900, START, END)
    bars.close[11] += 0.5
    assert_same(read, bars)
    bars.close[11] -= 0.5
    assert_same(await read_candles(database, btc, 900, START, END, known_at=NOW - MINUTE), bars)
    await catalogue_is_true(database)


async def test_a_file_that_was_tampered_with_brings_nothing_back(database: PostgresManager, tmp_path: Path) -> None:
    store, (btc,) = await opened(database)
    await store.load(btc, uneven(APRIL, JUNE))
    april, may = await retire(database, tmp_path, JUNE)
    shutil.copy(str(may.file), str(april.file))
    with pytest.raises(BadData, match=r"holds 2976 rows of hash .*archived were 2880 .*nothing was restored"):
        await restore(database, tmp_path)
    with open(str(april.file), "wb") as file:  # noqa: ASYNC230
        file.write(b"PAR1 rubbish")
    with pytest.raises(BadData, match="cannot be read"):
        await restore(database, tmp_path)
    assert await database.fetchval("SELECT count(*) FROM candles") == 0


async def test_a_month_that_changes_while_it_is_written_is_written_again(
    database: PostgresManager, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, (btc,) = await opened(database)
    bars = uneven(APRIL, MAY)
    await store.load(btc, bars)
    write, times = proving.write_file, 0

    async def disturbed(*arguments: Any) -> Any:
        nonlocal times
        times += 1
        written = await write(*arguments)
        if times == 1:
            bars.close[5] += 0.1
            await store.load(btc, bars)
            await Rollups(manager=database, clock=ReplayClock(NOW)).follow()
        return written

    monkeypatch.setattr(proving, "write_file", disturbed)
    (outcome,) = await retire(database, tmp_path, MAY)
    assert (outcome.state, times) == ("archived", 2)
    (back,) = await restore(database, tmp_path)
    assert back.stored == len(bars)
    assert_same(await read_candles(database, btc, 900, START, END), bars)
    assert await database.fetchval("SELECT count(*) FROM retirements") == 1


def us(moment: datetime) -> int:
    return int(moment.timestamp()) * 1_000_000


async def test_other_kinds_leave_and_come_back_too(database: PostgresManager, tmp_path: Path) -> None:
    """By retire_kind; a day of trades, books and tickers, a month of funding rates."""
    _, (btc,) = await opened(database, "BTC/USDT:USDT")
    kinds = KindStore(manager=database, clock=ReplayClock(NOW))
    await kinds.store_trades(
        btc, [Trade(us(NOON + n * timedelta(hours=5)), f"t{n}", 100 + n / 3, 0.1, n % 2 == 0) for n in range(30)]
    )
    await kinds.store_funding(btc, [Funding(us(NOON + n * timedelta(hours=8)), n * 1e-5) for n in range(120)])
    await kinds.store_books(
        btc,
        [
            Book(us(NOON + n * timedelta(hours=9)), n, n == 0, [(99.5, 1.0)], [(100.5, n / 7)] * (n % 3))
            for n in range(9)
        ],
    )
    await kinds.store_tickers(
        "binance", [Ticker("WEIRD NAME%", us(NOON + n * timedelta(hours=7)), last=n + 1.0) for n in range(9)]
    )
    tables = ("market_trades", "funding_rates", "book_updates", "market_tickers")
    series = "SELECT kind, venue, symbol, rows, first_time, last_time FROM kind_series ORDER BY 1"
    before = [await database.fetch(f"SELECT * FROM {table} ORDER BY 1, 2, 3") for table in tables]
    before.append(await database.fetch(series))
    outcomes = await retire(database, tmp_path, datetime(2024, 6, 1, tzinfo=UTC))
    assert {one.state for one in outcomes} == {"archived"}
    assert [await database.fetchval(f"SELECT count(*) FROM {table}") for table in tables] == [0, 28, 0, 0]
    left = {row["kind"]: (row["rows"], row["first_time"]) for row in await database.fetch(series)}
    assert left == {
        "trades": (0, None), "book": (0, None), "tickers": (0, None),
        "funding": (28, datetime(2024, 6, 1, 4, tzinfo=UTC)),
    }  # fmt: skip
    assert await database.fetchval("SELECT to_regclass('market_trades_2024_05')::text") is None
    # A late trade of an archived day leaves into a second file.
    await kinds.store_trades(btc, [Trade(us(NOON + MINUTE), "late", 5.0, 0.5, None)])
    (late,) = await retire(database, tmp_path, JUNE)
    assert Path(str(late.file)).name == "2024-05-01.2.parquet"
    back = await restore(database, tmp_path)
    assert all(one.kept == 0 for one in back)
    after = [await database.fetch(f"SELECT * FROM {table} ORDER BY 1, 2, 3") for table in tables]
    assert [row["trade_id"] for row in after[0] if row not in before[0]] == ["late"]
    assert [len(rows) for rows in after] == [31, 120, 9, 9]
    assert after[1:] == before[1:4]
    assert {row["kind"]: row["rows"] for row in await database.fetch(series)} == {
        "trades": 31, "funding": 120, "book": 9, "tickers": 9
    }  # fmt: skip
    assert {one.state for one in await retire(database, tmp_path, JUNE, action=Action.DROP)} == {"dropped"}
    assert {one.retired.kind for one in await restore(database, tmp_path)} == set()


async def test_the_most_exact_policy_governs_and_a_change_closes_the_one_before(database: PostgresManager) -> None:
    policies = Policies(manager=database, clock=ReplayClock(NOW))
    await policies.set(USUAL, reason="as the older system did")
    pattern = Pattern(kind=DataKind.CANDLES, symbol="BTC/*", timeframe="1m")
    await policies.set([(pattern, None, Action.ARCHIVE)], reason="we trade it")
    later = Policies(manager=database, clock=ReplayClock(NOW + MINUTE))
    (changed,) = await later.set([(Pattern(kind=DataKind.BOOK), 30, Action.ARCHIVE)], reason="a study")
    now = await policies.all()
    assert (changed.keep_days, changed.valid_to, len(now)) == (30, None, len(USUAL) + 1)
    closed = [one for one in await policies.all(with_history=True) if one.valid_to is not None]
    assert [(one.pattern.kind, one.keep_days, one.valid_to) for one in closed] == [(DataKind.BOOK, 7, NOW + MINUTE)]

    def kept(kind: DataKind, symbol: str, timeframe: str = "*") -> str | None:
        found = governing(now, kind, "binance", symbol, timeframe)
        return found and found.keep

    assert kept(DataKind.CANDLES, "BTC/USDT", "1m") == "forever"
    assert kept(DataKind.CANDLES, "ETH/USDT", "1m") == "730d"
    assert kept(DataKind.CANDLES, "ETH/USDT", "1d") is None
    assert kept(DataKind.FUNDING, "BTC/USDT:USDT") is None
    rule = rules_of(now, NOW)(DataKind.TRADES, "kraken", "BTC/USD", "*")
    assert rule == Rule(
        cutoff=NOW - timedelta(days=90), action=Action.ARCHIVE, reason="kept for 90d: as the older system did"
    )
    assert rules_of(now, NOW)(DataKind.CANDLES, "kraken", "BTC/USD", "1m") is None
    with pytest.raises(UsageError, match="--reason: say why"):
        await policies.set([(pattern, 1, Action.DROP)], reason=" ")
    with pytest.raises(UsageError, match="only candles have a timeframe"):
        await policies.set([(Pattern(kind=DataKind.BOOK, timeframe="1m"), 1, Action.DROP)], reason="x")
    with pytest.raises(UsageError, match="--tf 7m"):
        await policies.set([(Pattern(kind=DataKind.CANDLES, timeframe="7m"), 1, Action.DROP)], reason="x")


def test_a_length_of_time_is_read_as_people_write_it() -> None:
    assert [parse_keep(text) for text in ("90d", "6w", "18mo", "2y", "forever")] == [90, 42, 540, 730, None]
    for text in ("", "0d", "2", "-1d", "1.5y", "99999y"):
        with pytest.raises(UsageError, match="a number of d, w, mo or y such as 90d"):
            parse_keep(text)


async def test_a_read_that_retention_overtakes_begins_again(
    database: PostgresManager, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, (btc,) = await opened(database)
    bars = uneven(APRIL, JULY)
    await store.load(btc, bars)
    source, layers, looks = DatabaseBars(database), DatabaseBars._layers, 0

    async def overtaken(self: DatabaseBars, instrument_id: int, interval_s: int) -> list[Any]:
        nonlocal looks
        looks += 1
        found = await layers(self, instrument_id, interval_s)
        if looks in (1, 3):
            await retire(database, tmp_path, MAY if looks == 1 else JUNE)
        return found

    monkeypatch.setattr(DatabaseBars, "_layers", overtaken)
    assert_same(await source.read(btc, HOUR, START, END), resample(bars, HOUR))
    assert_same(await source.read(btc, HOUR, START, END, as_of=NOW), resample(bars, HOUR))
    assert looks == 4


async def test_two_processes_never_write_into_one_folder(database: PostgresManager, tmp_path: Path) -> None:
    with (
        retirement.only_one(tmp_path),
        pytest.raises(AlreadyRunning, match="another process archives into this folder"),
    ):
        await retire(database, tmp_path, MAY)
