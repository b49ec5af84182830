"""A paper account for swaps whose market moves a bar at a time."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal

from mastertrade.domain.market import Candle, Instrument, InstrumentKind
from mastertrade.domain.orders import OrderType, Side, Terms
from mastertrade.exchanges.exchange import OrderTicket, VenueOrder
from mastertrade.exchanges.paper_margin import Tier
from mastertrade.exchanges.paper_swaps import FundingRate, PaperSwapVenue
from mastertrade.quant.costs import FREE, Costs
from mastertrade.shared.clock import ReplayClock
from mastertrade.shared.postgres_manager import PostgresManager

START = datetime(2026, 1, 5, 12, 0, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
BTC, ETH = "BTC/USDT:USDT", "ETH/USDT:USDT"


def swap(id: int, symbol: str) -> Instrument:
    return Instrument(
        id=id, venue="simulated", symbol=symbol, base=symbol.partition("/")[0], quote="USDT", settle="USDT",
        kind=InstrumentKind.SWAP, tick_size=Decimal("0.01"), lot_size=Decimal("0.001"), min_notional=Decimal(5),
        maker_fee=Decimal("0.0002"), taker_fee=Decimal("0.0005"),
    )  # fmt: skip


INSTRUMENTS = {symbol: swap(id, symbol) for id, symbol in enumerate((BTC, ETH), start=1)}


@dataclass
class KnownRules:
    """``SwapRules`` in memory, by instrument."""

    rates: dict[int, list[FundingRate]] = field(default_factory=dict)
    tiers_of: dict[int, Sequence[Tier]] = field(default_factory=dict)

    async def funding_rates(self, instrument_id: int, *, after: datetime, until: datetime) -> Sequence[FundingRate]:
        return [one for one in self.rates.get(instrument_id, ()) if after < one.time <= until]

    async def tiers(self, instrument_id: int, *, at: datetime) -> Sequence[Tier]:
        return self.tiers_of.get(instrument_id, ())


@dataclass
class SwapDesk:
    manager: PostgresManager
    clock: ReplayClock
    rules: KnownRules
    venue: PaperSwapVenue
    leverage: Decimal
    costs: Costs
    account: str = "swaps"
    sent: int = 0

    async def order(
        self,
        side: Side,
        quantity: str,
        symbol: str = BTC,
        *,
        limit: str | None = None,
        reduce_only: bool = False,
        post_only: bool = False,
    ) -> str:
        """Its id, once the venue has it."""
        self.sent += 1
        now = self.clock.now()
        ticket = OrderTicket(
            client_order_id=f"order-{self.sent}", symbol=symbol, side=side,
            type=OrderType.MARKET if limit is None else OrderType.LIMIT, quantity=Decimal(quantity),
            limit_price=None if limit is None else Decimal(limit), signed_at=now, send_by=now + MINUTE,
            terms=Terms(reduce_only=reduce_only, post_only=post_only),
        )  # fmt: skip
        await self.venue.place(ticket)
        return ticket.client_order_id

    async def found(self, id: str) -> VenueOrder:
        order = await self.venue.find(id, BTC)
        assert order is not None
        return order

    def candle(self, prices: float | tuple[float, float, float, float], symbol: str = BTC) -> Candle:
        """The bar that opens now: open, low, high, close, or one price for all of them."""
        open_, low, high, close = prices if isinstance(prices, tuple) else (prices,) * 4
        return Candle(
            instrument_id=INSTRUMENTS[symbol].id, venue="simulated", symbol=symbol, interval_s=60,
            open_time=self.clock.now(), open=open_, high=high, low=low, close=close, volume=1.0,
        )  # fmt: skip

    async def bar(
        self,
        btc: float | tuple[float, float, float, float] | None,
        eth: float | tuple[float, float, float, float] | None = None,
    ) -> int:
        """Both markets' prices of a minute, which is over then; how many orders and payments were dealt with."""
        given = ((btc, BTC), (eth, ETH))
        dealt = await self.venue.on_prices([self.candle(prices, of) for prices, of in given if prices is not None])
        self.clock.advance(self.clock.now() + MINUTE)
        return dealt

    async def bought(self, quantity: str, price: float = 100.0) -> str:
        id = await self.order(Side.BUY, quantity)
        await self.bar(price)
        return id

    async def sold(self, quantity: str, price: float = 100.0) -> str:
        id = await self.order(Side.SELL, quantity)
        await self.bar(price)
        return id

    async def wallet(self) -> Decimal:
        return (await self.venue.balances()).get("USDT", Decimal(0))

    async def held(self) -> dict[str, Decimal]:
        return await self.venue.positions([])

    def restarted(self) -> "SwapDesk":
        """After its process died: nothing is remembered in memory."""
        return SwapDesk(
            manager=self.manager, clock=self.clock, rules=self.rules, leverage=self.leverage, costs=self.costs,
            sent=self.sent, account=self.account,
            venue=swap_venue(self.manager, self.clock, self.rules, self.leverage, self.costs, self.account),
        )  # fmt: skip


def swap_venue(
    manager: PostgresManager, clock: ReplayClock, rules: KnownRules, leverage: Decimal, costs: Costs, account: str
) -> PaperSwapVenue:
    return PaperSwapVenue(
        name="simulated", account=account, asset="USDT", leverage=leverage, manager=manager, instruments=INSTRUMENTS,
        rules=rules, costs=costs, clock=clock,
    )  # fmt: skip


async def open_swaps(
    manager: PostgresManager,
    *,
    cash: str = "1000",
    leverage: int = 10,
    costs: Costs = FREE,
    start: datetime = START,
    account: str = "swaps",
) -> SwapDesk:
    clock, rules = ReplayClock(start), KnownRules()
    venue = swap_venue(manager, clock, rules, Decimal(leverage), costs, account)
    await venue.deposit(key="test", asset="USDT", amount=Decimal(cash))
    return SwapDesk(
        manager=manager, clock=clock, rules=rules, venue=venue, leverage=Decimal(leverage), costs=costs, account=account
    )  # fmt: skip
