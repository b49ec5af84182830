"""Prices between two closes of a live market: what they hit counts at once, and nothing else of them counts."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest

from mastertrade.domain.events import SignalRaised, StopTriggered
from mastertrade.domain.strategy import SignalType
from mastertrade.exchanges.market_feed import FeedDown, TickerRow
from mastertrade.exchanges.price_watch import PriceWatch, moment
from mastertrade.shared.postgres_manager import PostgresManager
from tests.postgres.risk_seed import START, VENUE, Office, open_office
from tests.postgres.test_risk_stops_stored import bought, minute, the_stop

pytestmark = pytest.mark.asyncio
SYMBOL = "BTC/USDT"


def ticker(last: str | None, *, bid: str | None = None, ask: str | None = None, symbol: str = SYMBOL) -> TickerRow:
    return TickerRow(symbol=symbol, time_ms=None, bid=bid, ask=ask, last=last, base_volume=None)


@dataclass
class Feed:
    """A venue whose last price is what a test says."""

    last: str = "50000"
    is_down: bool = False
    asked: list[Sequence[str]] = field(default_factory=list)
    name: str = VENUE

    async def tickers(self, symbols: Sequence[str]) -> Sequence[TickerRow]:
        self.asked.append(symbols)
        if self.is_down:
            raise FeedDown("no answer")
        return [ticker(self.last)]


def watch_of(office: Office, feed: Feed) -> PriceWatch:
    return PriceWatch(clock=office.clock, feed=feed, ids={SYMBOL: office.btc}, watchers=[office.risk])  # type: ignore[arg-type]


async def look(office: Office, watch: PriceWatch, *, seconds: int = 1) -> list[Any]:
    """What was published by it."""
    office.clock.advance(office.clock.now() + timedelta(seconds=seconds))
    before = len(office.bus.events)
    await watch.look()
    return office.bus.events[before:]


async def test_nobody_is_asked_while_nobody_waits(database: PostgresManager) -> None:
    office, feed = await open_office(database), Feed()
    watch = watch_of(office, feed)
    assert await look(office, watch) == []
    assert feed.asked == []
    await bought(office)
    await look(office, watch)
    assert feed.asked == [[SYMBOL]]


async def test_a_stop_that_is_hit_between_two_closes_asks_for_its_exit_at_once_and_once(
    database: PostgresManager,
) -> None:
    office, feed = await open_office(database), Feed()
    await bought(office)
    watch, stop = watch_of(office, feed), (await the_stop(office))["stop_price"]
    feed.last = str(stop + 1)
    assert await look(office, watch) == []
    feed.last = str(stop - 1)
    told = await look(office, watch)
    (raised,) = [one for one in told if isinstance(one, SignalRaised)]
    assert raised.signal.type is SignalType.SELL
    assert len([one for one in told if isinstance(one, StopTriggered)]) == 1
    assert (await the_stop(office))["status"] == "triggered"
    assert await look(office, watch) == [], "there is no live stop any more"
    again = await minute(office, 1, low=float(stop) - 1, close=float(stop))
    assert [one.signal.evidence.get("exit") for one in again] == ["stop"], (
        "the exit is asked for until it is carried out"
    )
    assert await database.fetchval("SELECT count(*) FROM risk_exits") == 1


async def test_a_price_between_two_closes_moves_no_stop(database: PostgresManager) -> None:
    """Else the low of its bar, from before, would hit a stop that has just followed the price up."""
    office, feed = await open_office(database), Feed()
    await bought(office, stop_type="trailing", trailing_distance_percent=1.0, min_profit_before_trail=0.5)
    watch, before = watch_of(office, feed), await the_stop(office)
    feed.last = "60000"
    assert await look(office, watch) == []
    after = await the_stop(office)
    assert (after["stop_price"], after["highest_price"]) == (before["stop_price"], before["highest_price"])
    await minute(office, 2, low=51_000, close=60_000, high=60_000)
    moved = await the_stop(office)
    assert moved["status"] == "active"
    assert moved["stop_price"] > Decimal(59_000)


async def test_without_prices_stops_wait_for_the_close(database: PostgresManager) -> None:
    office, feed = await open_office(database), Feed(is_down=True)
    await bought(office)
    watch = watch_of(office, feed)
    assert await look(office, watch) == []
    stop = (await the_stop(office))["stop_price"]
    assert len(await minute(office, 1, low=float(stop) - 1, close=float(stop))) == 1


async def test_a_moment_is_the_last_price_or_the_middle_or_none() -> None:
    def close(row: TickerRow) -> float | None:
        found = moment(7, VENUE, row, START)
        return None if found is None else found.close

    assert close(ticker("100.5", bid="90", ask="91")) == 100.5
    assert close(ticker(None, bid="90", ask="92")) == 91.0
    assert close(ticker(None, bid="90")) is None
    assert close(ticker("0")) is None
    assert close(ticker("NaN")) is None
