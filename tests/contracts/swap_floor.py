"""Our client of swaps at the simulated venue, whose time the tests move."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from mastertrade.domain.orders import Fill, FundingPayment, OrderType, Side, id_of_number
from mastertrade.exchanges.ccxt_rules import Credentials
from mastertrade.exchanges.ccxt_swaps import CcxtSwapVenue
from mastertrade.exchanges.exchange import OrderTicket, VenueOrder
from mastertrade.exchanges.simulated import Fault, FaultScript, SimulatedVenue, VenueTime, simulated_market
from mastertrade.exchanges.simulated.private import Keys
from mastertrade.shared.clock import ReplayClock

START = datetime(2026, 1, 5, 12, tzinfo=UTC)
START_MS = int(START.timestamp() * 1000)
KEYS = Keys(api_key="a key", secret="a secret")
BTC, ETH = "BTC/USDT:USDT", "ETH/USDT:USDT"
BEGAN = json.dumps({"": START_MS})
MONEY = Decimal(100_000)


@dataclass(slots=True)
class Floor:
    venue: SimulatedVenue
    client: CcxtSwapVenue
    clock: ReplayClock
    sent: int = 0

    def ticket(self, side: Side, quantity: str, price: str | None = None, **changes: Any) -> OrderTicket:
        self.sent += 1
        now = self.clock.now()
        given: dict[str, Any] = {
            "client_order_id": id_of_number(self.sent), "symbol": BTC, "side": side,
            "type": OrderType.MARKET if price is None else OrderType.LIMIT, "quantity": Decimal(quantity),
            "limit_price": None if price is None else Decimal(price), "signed_at": now,
            "send_by": now + timedelta(seconds=5),
        }  # fmt: skip
        return OrderTicket(**(given | changes))

    async def trade(self, side: Side, quantity: str, price: str | None = None, **changes: Any) -> VenueOrder:
        return await self.client.place(self.ticket(side, quantity, price, **changes))

    async def fills(self) -> list[Fill]:
        """All since it began."""
        cursor, told = BEGAN, list[Fill]()
        while (page := await self.client.fills(cursor, [BTC, ETH])).cursor != cursor:
            cursor, told = page.cursor, [*told, *page.fills]
        return told

    async def payments(self) -> list[FundingPayment]:
        cursor, told = BEGAN, list[FundingPayment]()
        while (page := await self.client.funding(cursor, [BTC, ETH])).cursor != cursor:
            cursor, told = page.cursor, [*told, *page.payments]
        return told

    async def later(self, seconds: float) -> None:
        await self.venue.advance(seconds)
        self.clock.advance(datetime.fromtimestamp(self.venue.time.now_ms() / 1000, UTC))


@asynccontextmanager
async def floor(
    *faults: Fault, money: Decimal = MONEY, leverage: str = "2", ahead_s: float = 0
) -> AsyncIterator[Floor]:
    """``ahead_s``: the venue's clock before ours."""
    markets = [simulated_market(symbol, seed=1, from_ms=START_MS - 86_400_000) for symbol in ("BTC/USDT", "ETH/USDT")]
    time = VenueTime(START_MS + int(ahead_s * 1000), speed=0)
    cash = {"USDT": money}
    async with SimulatedVenue(markets, time=time, faults=FaultScript(faults), money=cash, keys=KEYS) as venue:
        clock = ReplayClock(START)
        client = CcxtSwapVenue(
            "binance",
            Credentials(api_key=KEYS.api_key, secret=KEYS.secret),
            settle="USDT",
            leverage=Decimal(leverage),
            clock=clock,
            url=venue.url,
        )
        try:
            yield Floor(venue, client, clock)
        finally:
            await client.close()
