"""Instruments: the venue's list becomes rows, and every change leaves what was valid before."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from mastertrade.domain.market import InstrumentKind, InstrumentStatus, ListedInstrument
from mastertrade.market_data_service.instrument_sync import InstrumentSync
from mastertrade.market_data_service.postgres_database import MarketDataPostgresDatabase
from mastertrade.market_data_service.postgres_instruments import InstrumentsPostgresDatabase, LeverageTier
from mastertrade.market_data_service.rules import listing
from mastertrade.shared.clock import ReplayClock
from mastertrade.shared.errors import ConstraintViolated
from mastertrade.shared.postgres_manager import PostgresManager
from tests.postgres.local_venue import market_of, venue_with
from tests.postgres.market_seed import minutes

MONDAY = datetime(2024, 5, 6, tzinfo=UTC)
DAY = timedelta(days=1)
BTC = ListedInstrument(
    symbol="BTC/USDT",
    base="BTC",
    quote="USDT",
    kind=InstrumentKind.SPOT,
    settle=None,
    contract_size=Decimal(1),
    tick_size=Decimal("0.01"),
    lot_size=Decimal("0.00001"),
    min_notional=Decimal(5),
    maker_fee=Decimal("0.001"),
    taker_fee=Decimal("0.001"),
    status=InstrumentStatus.TRADABLE,
)
SWAP = replace(BTC, symbol="BTC/USDT:USDT", kind=InstrumentKind.SWAP, settle="USDT", lot_size=Decimal("0.001"))


async def sync(
    manager: PostgresManager, listed: Sequence[ListedInstrument], at: datetime, venue: str = "binance"
) -> tuple[int, int]:
    await MarketDataPostgresDatabase().add_instruments(manager, [listing(venue, "AAA/USDT")], at=at)
    return await InstrumentsPostgresDatabase().sync_instruments(manager, venue, listed, at=at)


async def id_of(manager: PostgresManager, symbol: str) -> int:
    found: int = await manager.fetchval("SELECT id FROM instruments WHERE symbol = $1", symbol)
    return found


async def test_a_change_closes_the_old_version_and_the_same_list_again_changes_nothing(
    database: PostgresManager,
) -> None:
    store = InstrumentsPostgresDatabase()
    assert await sync(database, [BTC, SWAP], MONDAY) == (2, 0)
    assert await sync(database, [BTC, SWAP], MONDAY + DAY) == (0, 0)
    assert await sync(database, [replace(BTC, tick_size=Decimal("0.1")), SWAP], MONDAY + 2 * DAY) == (0, 1)

    btc = await id_of(database, "BTC/USDT")
    before, now = await store.instrument_versions(database, btc)
    assert (before.valid_from, before.valid_to, before.tick_size) == (MONDAY, MONDAY + 2 * DAY, Decimal("0.01"))
    assert (now.valid_from, now.valid_to, now.tick_size) == (MONDAY + 2 * DAY, None, Decimal("0.1"))
    assert len(await store.instrument_versions(database, await id_of(database, "BTC/USDT:USDT"))) == 1


async def test_rules_are_read_as_of_a_time_and_before_the_first_version_by_the_first(database: PostgresManager) -> None:
    store = InstrumentsPostgresDatabase()
    await sync(database, [BTC], MONDAY)
    await sync(database, [replace(BTC, tick_size=Decimal("0.1"))], MONDAY + DAY)
    await sync(database, [replace(BTC, tick_size=Decimal("1"))], MONDAY + 2 * DAY)
    btc = await id_of(database, "BTC/USDT")
    times = [MONDAY - DAY, MONDAY, MONDAY + DAY - timedelta(seconds=1), MONDAY + DAY, MONDAY + 9 * DAY]
    found = [await store.instrument_at(database, btc, as_of=time) for time in times]
    assert [one.tick_size for one in found if one] == [Decimal(text) for text in ("0.01", "0.01", "0.01", "0.1", "1")]


async def test_a_market_the_venue_no_longer_lists_is_delisted_and_may_come_back(database: PostgresManager) -> None:
    store = InstrumentsPostgresDatabase()
    await sync(database, [BTC, SWAP], MONDAY)
    kinds = [InstrumentKind.SPOT]
    missing = await store.delist_missing_instruments(
        database, "binance", symbols=["ETH/USDT"], kinds=kinds, at=MONDAY + DAY
    )
    assert missing == ["BTC/USDT"], (
        "neither the swap, which was not asked for, nor AAA/USDT, which no venue ever listed"
    )
    assert await sync(database, [BTC], MONDAY + 2 * DAY) == (0, 1)
    versions = await store.instrument_versions(database, await id_of(database, "BTC/USDT"))
    assert [version.status.value for version in versions] == ["tradable", "delisted", "tradable"]


async def test_a_list_asked_for_again_closes_what_changed_and_delists_what_is_gone(
    database: PostgresManager,
) -> None:
    """Over the real client, from a venue on this machine that lists other rules on Tuesday."""
    store = InstrumentsPostgresDatabase()
    clock = ReplayClock(MONDAY)
    btc, eth = market_of(minutes(5), "BTC"), market_of(minutes(5), "ETH")
    coarser = replace(btc, price_decimals=1)
    found = []
    for markets, at in (([btc, eth], MONDAY), ([btc, eth], MONDAY + DAY / 2), ([coarser], MONDAY + DAY)):
        clock.advance(at)
        async with venue_with(*markets, now=at) as (_, feed):
            changes = await InstrumentSync(feed=feed, manager=database, clock=clock).sync()
            found.append((changes.listed, changes.added, changes.changed, changes.delisted))
    assert found == [(4, 4, 0, ()), (4, 0, 0, ()), (2, 0, 2, ("ETH/USDT", "ETH/USDT:USDT"))]

    known = {one.instrument.symbol: one for one in await store.known_instruments(database, venue="binance")}
    assert known["BTC/USDT"].instrument.tick_size == Decimal("0.1")
    assert known["BTC/USDT"].valid_from == known["ETH/USDT"].valid_from == MONDAY + DAY
    assert known["ETH/USDT"].instrument.status is InstrumentStatus.DELISTED
    assert not known["BTC/USDT"].is_assumed
    before, now = await store.instrument_versions(database, known["BTC/USDT:USDT"].instrument.id)
    assert (before.tick_size, before.valid_to, now.valid_from) == (Decimal("0.01"), MONDAY + DAY, MONDAY + DAY)


async def test_versions_cannot_overlap_even_when_the_writers_clock_goes_back(database: PostgresManager) -> None:
    """record_instrument_version puts a change after the version it ends; the constraint refuses everything else."""
    await sync(database, [BTC], MONDAY)
    await sync(database, [replace(BTC, min_notional=Decimal(10))], MONDAY - DAY)
    btc = await id_of(database, "BTC/USDT")
    first, second = await InstrumentsPostgresDatabase().instrument_versions(database, btc)
    assert first.valid_to == second.valid_from > first.valid_from
    with pytest.raises(ConstraintViolated) as refused:
        await database.execute(
            "INSERT INTO instrument_versions SELECT instrument_id, valid_from - interval '1 day', valid_from"
            " + interval '1 hour', contract_size, tick_size, lot_size, min_notional, maker_fee, taker_fee, status,"
            " rules_source FROM instrument_versions WHERE instrument_id = $1 AND valid_to IS NULL",
            btc,
        )
    assert refused.value.constraint == "instrument_versions_never_overlap"


async def test_a_swap_is_told_from_spot_by_its_settle_asset(database: PostgresManager) -> None:
    await MarketDataPostgresDatabase().add_instruments(database, [listing("okx", "ETH/USD:ETH")], at=MONDAY)
    (swap,) = await MarketDataPostgresDatabase().instruments(database, venues=["okx"])
    assert (swap.kind, swap.base, swap.quote, swap.settle) == (InstrumentKind.SWAP, "ETH", "USD", "ETH")
    with pytest.raises(ConstraintViolated):
        await database.execute("UPDATE instruments SET kind = 'spot'")


async def test_lists_learned_in_any_order_of_time_leave_the_same_history(database: PostgresManager) -> None:
    """learn_instruments"""
    store, market = InstrumentsPostgresDatabase(), MarketDataPostgresDatabase()
    ticks = {day: replace(BTC, tick_size=Decimal(f"0.0{day + 1}")) for day in range(4)}
    for venue, order in (("forward", (0, 1, 2, 3)), ("backward", (3, 2, 1, 0)), ("mixed", (2, 0, 3, 1))):
        # Candles of this market came first, so that rules were assumed.
        await market.add_instruments(database, [listing(venue, "BTC/USDT")], at=MONDAY + 90 * DAY)
        for _ in range(2):
            for day in order:
                at = MONDAY + day * DAY
                await store.learn_instruments(
                    database, venue, [ticks[day]], assumed=[()], known_at=at, at=at + 99 * DAY
                )
        (found,) = await market.instruments(database, venues=[venue])
        versions = await store.instrument_versions(database, found.id)
        assert [(one.tick_size, one.valid_from, one.valid_to, one.rules_source) for one in versions] == [
            (ticks[day].tick_size, MONDAY + day * DAY, MONDAY + (day + 1) * DAY if day < 3 else None, "venue")
            for day in range(4)
        ]
        assert found.tick_size == ticks[3].tick_size


async def test_what_a_list_does_not_tell_stays_as_it_is_known(database: PostgresManager) -> None:
    store = InstrumentsPostgresDatabase()
    await sync(database, [replace(BTC, maker_fee=Decimal("-0.0001"))], MONDAY)
    names = ("minimum notional", "maker fee", "taker fee")
    other = replace(BTC, tick_size=Decimal("0.5"), min_notional=Decimal(77))
    known = {"known_at": MONDAY + DAY, "at": MONDAY + DAY}
    assert await store.learn_instruments(database, "binance", [other], assumed=[names], **known) == (0, 1)
    assert await store.learn_instruments(database, "binance", [SWAP], assumed=[("tick", "lot")], **known) == (1, 0)
    now = (await store.instrument_versions(database, await id_of(database, "BTC/USDT")))[-1]
    assert (now.tick_size, now.min_notional, now.maker_fee) == (Decimal("0.5"), BTC.min_notional, Decimal("-0.0001"))
    assert (await store.instrument_versions(database, await id_of(database, SWAP.symbol)))[0].rules_source == "assumed"


def tiers(rate: str) -> list[LeverageTier]:
    leverage, step, half = Decimal(20), Decimal(5000), Decimal(rate) / 2
    return [
        LeverageTier(notional_from=Decimal(0), notional_to=step, maintenance_rate=half, max_leverage=leverage),
        LeverageTier(notional_from=step, notional_to=None, maintenance_rate=Decimal(rate), max_leverage=leverage / 2),
    ]


async def test_leverage_tiers_are_those_of_their_time(database: PostgresManager) -> None:
    """learn_leverage_tiers"""
    store = InstrumentsPostgresDatabase()
    await sync(database, [SWAP], MONDAY)
    swap = await id_of(database, SWAP.symbol)
    known = [
        await store.learn_leverage_tiers(database, swap, tiers(rate), known_at=MONDAY + day * DAY)
        for rate, day in (("0.02", 2), ("0.02", 2), ("0.02", 3), ("0.04", 4), ("0.01", 1))
    ]
    assert known == [True, False, False, True, True]
    for day, rate in ((0, "0.01"), (1, "0.01"), (2, "0.02"), (3, "0.02"), (9, "0.04")):
        assert await store.leverage_tiers(database, swap, as_of=MONDAY + day * DAY) == tiers(rate)
