"""The arbitrage service on a real database: differences between venues are stored and published once."""

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pyarrow import parquet

from mastertrade.arbitrage_service.config import ArbitrageSettings
from mastertrade.arbitrage_service.postgres_database import ArbitragePostgresDatabase
from mastertrade.arbitrage_service.service import ArbitrageService
from mastertrade.domain.arbitrage import Opportunity
from mastertrade.domain.events import CandlesClosed, OpportunityFound
from mastertrade.domain.market import Candle
from mastertrade.shared.clock import ReplayClock
from mastertrade.shared.postgres_manager import PostgresManager
from mastertrade.shared.serialization import new_id
from tests.postgres.strategy_seed import START, RecordingBus, add_instrument, count


@dataclass
class Desk:
    manager: PostgresManager
    bus: RecordingBus
    service: ArbitrageService
    markets: dict[tuple[str, str], int] = field(default_factory=dict)

    async def add(self, venue: str, symbol: str = "BTC/USDT", **more: Any) -> None:
        self.markets[venue, symbol] = await add_instrument(self.manager, venue, symbol, **more)

    def event(self, venue: str, closes: dict[str, float], *, minute: int = 0, volume: float = 1.0) -> CandlesClosed:
        open_time = START + timedelta(minutes=minute)
        candles = tuple(
            Candle(
                instrument_id=self.markets[venue, symbol],
                venue=venue,
                symbol=symbol,
                interval_s=60,
                open_time=open_time,
                open=close,
                high=close,
                low=close,
                close=close,
                volume=volume,
            )
            for symbol, close in closes.items()
        )
        close_time = open_time + timedelta(minutes=1)
        return CandlesClosed(
            id=new_id(close_time),
            occurred_at=close_time,
            interval_s=60,
            open_time=open_time,
            candles=candles,
        )

    async def hear(self, event: CandlesClosed) -> None:
        async with self.manager.transaction() as tx:
            await self.service.on_candles_closed(event, tx)

    async def minute(self, minute: int, **closes: float) -> None:
        """One minute of BTC/USDT on each venue."""
        for venue, close in closes.items():
            await self.hear(self.event(venue, {"BTC/USDT": close}, minute=minute))

    @property
    def found(self) -> list[Opportunity]:
        return [event.opportunity for event in self.bus.events if isinstance(event, OpportunityFound)]


@pytest.fixture
async def desk(database: PostgresManager) -> Desk:
    bus = RecordingBus()
    service = ArbitrageService(settings=ArbitrageSettings(), clock=ReplayClock(START), bus=bus, manager=database)
    await service.start()
    desk = Desk(manager=database, bus=bus, service=service)
    for venue in ("kraken", "bybit"):
        await desk.add(venue)
    return desk


async def test_a_difference_net_of_both_fees_is_stored_with_its_source_and_published(desk: Desk) -> None:
    await desk.minute(0, kraken=20000.0, bybit=20200.0)

    (found,) = desk.found
    row = await desk.manager.fetchrow("SELECT * FROM arbitrage_opportunities")
    assert row is not None
    assert (row["id"], row["pair"], row["arbitrage_type"]) == (found.id, "BTC/USDT", "cex_cex")
    assert (row["buy_venue"], row["sell_venue"]) == ("cex:kraken", "cex:bybit")
    assert row["buy_venue_data"] == {"type": "cex", "exchange": "kraken", "price": 20000.0}
    assert (row["buy_price"], row["sell_price"], row["trade_amount"]) == (20000, 20200, Decimal("0.5"))
    assert (row["fees"], row["estimated_profit_usd"]) == (Decimal("20.1"), Decimal("79.9"))
    assert row["profit_percent"] == pytest.approx(1.0)
    assert row["timestamp"] == row["last_seen_at"] == START + timedelta(minutes=1)
    assert (row["executed"], row["times_seen"]) == (False, 1)
    assert row["metadata"] == {
        "detector": "cross_venue",
        "price_source": "candle_close",
        "candle_interval_s": 60,
    }


async def test_one_venue_alone_never_asks_the_database(desk: Desk) -> None:
    class NoDatabase:
        def __getattr__(self, name: str) -> Any:
            raise AssertionError(f"the database was asked to {name}")

    for minute in range(3):
        event = desk.event("kraken", {"BTC/USDT": 20000.0}, minute=minute)
        await desk.service.on_candles_closed(event, NoDatabase())  # type: ignore[arg-type]


async def test_a_minute_later_it_is_a_new_opportunity(desk: Desk) -> None:
    await desk.minute(0, kraken=20000.0, bybit=20200.0)
    await desk.minute(1, kraken=20000.0, bybit=20300.0)
    assert await count(desk.manager, "arbitrage_opportunities") == len(desk.found) == 2


async def test_the_same_difference_within_ten_seconds_updates_the_row_and_is_not_published_again(desk: Desk) -> None:
    await desk.minute(0, kraken=20000.0, bybit=20200.0)
    await desk.minute(0, bybit=20300.0)

    row = await desk.manager.fetchrow("SELECT * FROM arbitrage_opportunities")
    assert row is not None
    assert (row["sell_price"], row["times_seen"], len(desk.found)) == (20300, 2, 1)


@pytest.mark.parametrize(("seconds", "rows"), [(10, 1), (11, 2), (-10, 1), (-11, 2)])
async def test_ten_seconds_decide_whether_it_is_the_same_opportunity(
    database: PostgresManager, seconds: int, rows: int
) -> None:
    for moment in (START, START + timedelta(seconds=seconds)):
        opportunity = Opportunity(
            id=new_id(moment),
            symbol="BTC/USDT",
            buy_venue="kraken",
            sell_venue="bybit",
            buy_price=Decimal(1),
            sell_price=Decimal(2),
            quantity=Decimal(1),
            gross_percent=Decimal(100),
            fees=Decimal(0),
            net_profit=Decimal(1),
            found_at=moment,
        )
        async with database.transaction() as tx:
            await ArbitragePostgresDatabase().record_opportunity(tx, opportunity, {})
    assert await count(database, "arbitrage_opportunities") == rows


async def test_an_executed_opportunity_is_not_updated(desk: Desk) -> None:
    await desk.minute(0, kraken=20000.0, bybit=20200.0)
    await desk.manager.execute("UPDATE arbitrage_opportunities SET executed = true")
    await desk.minute(0, bybit=20300.0)
    assert await count(desk.manager, "arbitrage_opportunities") == 2


async def test_a_transaction_that_fails_leaves_neither_row_nor_event(desk: Desk) -> None:
    await desk.minute(0, kraken=20000.0)
    event = desk.event("bybit", {"BTC/USDT": 20200.0})

    async def dies_before_the_commit() -> None:
        async with desk.manager.transaction() as tx:
            await desk.service.on_candles_closed(event, tx)
            raise RuntimeError("the process dies here")

    with pytest.raises(RuntimeError, match="dies here"):
        await dies_before_the_commit()
    assert (await count(desk.manager, "arbitrage_opportunities"), desk.found) == (0, [])

    await desk.hear(event)
    assert (await count(desk.manager, "arbitrage_opportunities"), len(desk.found)) == (1, 1)


async def test_the_fees_of_the_markets_decide(desk: Desk) -> None:
    await desk.manager.execute("UPDATE instruments SET taker_fee = 0.006 WHERE venue = 'bybit'")
    await desk.minute(0, kraken=20000.0, bybit=20200.0)  # 1 % gross, 0.3 % net: below the half percent asked for
    assert desk.found == []


async def test_a_market_that_cannot_be_traded_is_no_opportunity(desk: Desk) -> None:
    await desk.manager.execute("UPDATE instruments SET status = 'halted' WHERE venue = 'bybit'")
    await desk.minute(0, kraken=20000.0, bybit=20200.0)
    assert desk.found == []


async def test_prices_of_different_minutes_are_not_compared(desk: Desk) -> None:
    await desk.minute(0, kraken=20000.0)
    await desk.minute(1, bybit=20200.0)
    assert desk.found == []


async def test_after_a_restart_old_prices_are_forgotten(desk: Desk) -> None:
    await desk.minute(0, kraken=20000.0)
    await desk.service.stop()
    await desk.service.stop()
    await desk.service.start()
    await desk.minute(0, bybit=20200.0)
    assert desk.found == []


async def test_what_is_found_in_recorded_candles_is_what_counting_by_hand_finds(desk: Desk, real_data: Path) -> None:
    """11 March 2023, when USDC lost its peg: BTC/USDC on four venues, one of them dead with a frozen price."""
    venues = ("binanceus", "bybit", "cryptocom", "kraken")
    begin = datetime(2023, 3, 11, 6, tzinfo=UTC)
    closes: dict[str, dict[int, tuple[float, float]]] = {}
    for venue in venues:
        await desk.add(venue, "BTC/USDC")
        table = parquet.read_table(real_data / "cross_exchange" / "candles_1m_2023-03" / f"{venue}_BTC-USDC-1m.parquet")
        minutes = (table["timestamp"].to_numpy() - np.datetime64(begin.replace(tzinfo=None))) // np.timedelta64(1, "m")
        rows = zip(minutes.tolist(), table["close"].to_numpy(), table["volume"].to_numpy(), strict=True)
        closes[venue] = {minute: (float(close), float(volume)) for minute, close, volume in rows if 0 <= minute < 180}

    offset = round((begin - START).total_seconds() / 60)
    for minute in range(180):
        for venue in venues:
            if minute in closes[venue]:
                close, volume = closes[venue][minute]
                event = desk.event(venue, {"BTC/USDC": close}, minute=offset + minute, volume=volume)
                await desk.hear(event)

    expected = set()
    for minute in range(180):
        traded = {v: closes[v][minute][0] for v in venues if minute in closes[v] and closes[v][minute][1] > 0}
        for buy, low in traded.items():
            for sell, high in traded.items():
                quantity = 10_000 / low
                net = quantity * (high * 0.999 - low * 1.001)
                if net > 10 and net / 10_000 > 0.005:
                    expected.add((minute, buy, sell))
    found = {(round((o.found_at - begin).total_seconds() / 60) - 1, o.buy_venue, o.sell_venue) for o in desk.found}
    assert found == expected
    assert len(found) > 20
    assert not any("cryptocom" in pair for pair in found)
    assert await count(desk.manager, "arbitrage_opportunities") == len(found)
