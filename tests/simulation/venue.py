"""A venue in memory that keeps the truth and tells it badly."""

import asyncio
import random
from collections.abc import AsyncGenerator, Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from decimal import Decimal

from mastertrade.domain.orders import Fill, OrderStatus, Side
from mastertrade.exchanges.exchange import AccountNews, FillPage, Listening, OrderTicket, VenueOrder, VenueRefused
from mastertrade.shared.clock import Clock

PRICE, FEE = Decimal(100), Decimal("0.001")
NEVER_S = 3600.0


@dataclass
class Faults:
    """Chances of each question. All zero is a venue that behaves."""

    unheard: float = 0.0
    unanswered: float = 0.0
    late: float = 0.0
    refused: float = 0.0
    silent: bool = False
    stale_lists: float = 0.0
    repeated_fills: float = 0.0
    fills_lag_s: float = 0.0
    untold_fills_s: float = 0.0
    delay_s: float = 0.05
    skew_s: float = 0.0
    news_lost: float = 0.0
    news_twice: float = 0.0
    news_of_nothing: float = 0.0
    stream_breaks: float = 0.0


@dataclass
class Truth:
    order: VenueOrder
    accepted_at: datetime
    times_accepted: int = 1


@dataclass
class SimulatedVenue:
    name: str
    symbol: str
    clock: Clock
    rng: random.Random
    cash: Decimal
    note: Callable[[str], None]
    suffer: Callable[..., None]
    faults: Faults = field(default_factory=Faults)
    truth: dict[str, Truth] = field(default_factory=dict)
    filled: list[Fill] = field(default_factory=list)
    shown_at: list[datetime] = field(default_factory=list)
    holds: dict[str, Decimal] = field(default_factory=dict)
    labels: dict[str, str] = field(default_factory=dict)
    listeners: list["asyncio.Queue[AccountNews]"] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.holds = {"USDT": self.cash, "BTC": Decimal(0)}
        self._list: tuple[VenueOrder, ...] = ()
        self._luck = random.Random(self.rng.random())

    # --- the venue's own world ---

    def _now(self) -> datetime:
        return self.clock.now() + timedelta(seconds=self.faults.skew_s)

    def _accept(self, ticket: OrderTicket) -> VenueOrder:
        """What arrives after its send-by time is refused, by the venue's own clock."""
        if self._now() > ticket.send_by:
            raise VenueRefused("outside of the window")
        if (known := self.truth.get(ticket.client_order_id)) is not None:
            known.times_accepted += 1
            self._fill(known, ticket.quantity)
            return known.order
        order = VenueOrder(
            client_order_id=ticket.client_order_id,
            exchange_order_id=f"v{len(self.truth) + 1}",
            symbol=ticket.symbol,
            side=ticket.side,
            quantity=ticket.quantity,
            filled_quantity=Decimal(0),
            status=OrderStatus.OPEN,
        )
        self.truth[ticket.client_order_id] = Truth(order, self.clock.now())
        self._log("accepted", order)
        self._tell(order)
        return order

    def trade(self) -> None:
        """Some resting order fills, whole or in part."""
        resting = [one for one in self.truth.values() if not one.order.status.is_final]
        if resting:
            one = self.rng.choice(resting)
            open_quantity = one.order.quantity - one.order.filled_quantity
            self._fill(one, open_quantity if self.rng.random() < 0.6 else open_quantity / 2)

    def _fill(self, one: Truth, quantity: Decimal) -> None:
        order, sign = one.order, 1 if one.order.side is Side.BUY else -1
        self.holds["BTC"] += sign * quantity
        self.holds["USDT"] -= sign * quantity * PRICE + FEE
        filled = order.filled_quantity + quantity
        is_done = filled >= order.quantity
        one.order = replace(
            order,
            filled_quantity=filled,
            status=OrderStatus.FILLED if is_done else OrderStatus.PARTIALLY_FILLED,
        )
        self.shown_at.append(self.clock.now() + timedelta(seconds=self.rng.uniform(0, self.faults.fills_lag_s)))
        self.filled.append(
            Fill(
                client_order_id=order.client_order_id,
                exchange_order_id=order.exchange_order_id,
                exchange_trade_id=str(len(self.filled) + 1),
                symbol=order.symbol,
                side=order.side,
                quantity=quantity,
                price=PRICE,
                commission=FEE,
                commission_asset="USDT",
                is_maker=False,
                trade_time=self.clock.now(),
            )
        )
        self._log("filled", one.order)
        self._tell(one.order, str(len(self.filled)))

    def _log(self, what: str, order: VenueOrder) -> None:
        self.note(f"{what} {self.labels.get(order.client_order_id)} {order.filled_quantity}/{order.quantity}")

    # --- what it tells by itself ---

    async def watch_account(self) -> AsyncGenerator[Listening | AccountNews]:
        await self._wire()
        waiting: asyncio.Queue[AccountNews] = asyncio.Queue()
        self.listeners.append(waiting)
        try:
            yield Listening()
            while True:
                news = await waiting.get()
                if self._is_struck(self.faults.stream_breaks):
                    self.suffer("the stream broke")
                    raise ConnectionResetError("the stream broke")
                yield news
        finally:
            self.listeners.remove(waiting)

    def _tell(self, order: VenueOrder, trade: str = "") -> None:
        news = AccountNews(
            symbol=order.symbol,
            exchange_order_id=order.exchange_order_id,
            client_order_id="" if trade else order.client_order_id,
            exchange_trade_id=trade,
            has_traded=bool(trade),
            is_over=order.status.is_final,
        )
        for waiting in self.listeners:
            told = [news]
            if self._is_struck(self.faults.news_lost):
                self.suffer("news were lost")
                told = []
            if self._is_struck(self.faults.news_twice):
                self.suffer("news came twice")
                told *= 2
            if self._is_struck(self.faults.news_of_nothing):
                self.suffer("news of nothing")
                told.append(replace(news, exchange_trade_id="none", has_traded=True, is_over=True))
            for one in told:
                delay_s = self._luck.uniform(0, self.faults.delay_s)
                asyncio.get_running_loop().call_later(delay_s, waiting.put_nowait, one)

    def _is_struck(self, chance: float) -> bool:
        return chance > 0 and self._luck.random() < chance

    # --- what it answers ---

    def _shown(self) -> list[Fill]:
        """The fills it shows by now, in their order; how many of an order's it shows is all it tells of it."""
        now = self.clock.now()
        count = next((place for place, at in enumerate(self.shown_at) if at > now), len(self.filled))
        return self.filled[:count]

    def _told(self) -> list[Fill]:
        """Those that its list of fills has: some come there long after their order and the balances count them."""
        shown, untold_s = self._shown(), self.faults.untold_fills_s
        if untold_s:
            now = self.clock.now()
            for place, fill in enumerate(shown):
                if place % 3 == 0 and now < fill.trade_time + timedelta(seconds=untold_s):
                    self.suffer("fills were counted and not told")
                    return shown[:place]
        return shown

    def _seen(self, one: Truth) -> VenueOrder:
        shown = sum(
            (fill.quantity for fill in self._shown() if fill.client_order_id == one.order.client_order_id), Decimal(0)
        )
        status = one.order.status
        if status is OrderStatus.FILLED and shown < one.order.filled_quantity:
            status = OrderStatus.PARTIALLY_FILLED if shown else OrderStatus.OPEN
        return replace(one.order, filled_quantity=shown, status=status, average_price=PRICE if shown else None)

    async def _wire(self) -> None:
        if self.faults.silent:
            await asyncio.sleep(NEVER_S)
        await asyncio.sleep(self.rng.uniform(0, self.faults.delay_s))
        if self._hits(self.faults.unheard):
            self.suffer("a question was lost")
            raise ConnectionResetError("the request was lost")

    async def _back(self) -> None:
        if self._hits(self.faults.unanswered):
            self.suffer("an answer was lost")
            if self.rng.random() < 0.5:
                await asyncio.sleep(NEVER_S)
            raise ConnectionResetError("the answer was lost")

    def _hits(self, chance: float) -> bool:
        return chance > 0 and self.rng.random() < chance

    async def place(self, ticket: OrderTicket) -> VenueOrder:
        await self._wire()
        if self._hits(self.faults.refused):
            self.suffer("refused order", str(self.labels.get(ticket.client_order_id)))
            raise VenueRefused("no")
        if self._hits(self.faults.late):
            delay = self.rng.uniform(0, 6)
            self.suffer("order travels", f"{delay:.2f} s: {self.labels.get(ticket.client_order_id)}")
            asyncio.get_running_loop().call_later(delay, self._arrive, ticket)
            await asyncio.sleep(self.rng.choice((0.2, 0.2, NEVER_S)))
            raise ConnectionResetError("cut on the way")
        order = self._accept(ticket)
        if self.rng.random() < 0.3:
            self.trade()
        await self._back()
        return order

    def _arrive(self, ticket: OrderTicket) -> None:
        try:
            self._accept(ticket)
        except VenueRefused:
            self.note(f"{self.labels.get(ticket.client_order_id)} came too late")

    async def cancel(self, client_order_id: str, symbol: str) -> VenueOrder:
        await self._wire()
        one = self.truth.get(client_order_id)
        if one is None:
            raise VenueRefused("no such order")
        if not one.order.status.is_final and self.rng.random() < 0.5:
            self._fill(one, (one.order.quantity - one.order.filled_quantity) / self.rng.choice((1, 2, 2, 4)))
        if not one.order.status.is_final:
            one.order = replace(one.order, status=OrderStatus.CANCELED)
            self._log("canceled", one.order)
            self._tell(one.order)
        await self._back()
        return self._seen(one)

    async def find(self, client_order_id: str, symbol: str, *, since: datetime | None = None) -> VenueOrder | None:
        await self._wire()
        one = self.truth.get(client_order_id)
        found = None if one is None else self._seen(one)
        await self._back()
        return found

    async def open_orders(self, symbols: Sequence[str]) -> tuple[VenueOrder, ...]:
        await self._wire()
        if self._hits(self.faults.stale_lists):
            self.suffer("a list was stale")
        else:
            seen = [self._seen(one) for one in self.truth.values()]
            self._list = tuple(one for one in seen if not one.status.is_final)
        found = self._list
        await self._back()
        return found

    async def fills(self, after: str, symbols: Sequence[str]) -> FillPage:
        await self._wire()
        start, shown = int(after or 0), self._told()
        page, end = shown[start : start + 3], max(start, min(start + 3, len(shown)))
        if page and self._hits(self.faults.repeated_fills):
            self.suffer("fills were told twice")
            page = [*shown[max(0, start - 2) : start], *page, *page]
            self.rng.shuffle(page)
        await self._back()
        return FillPage(fills=tuple(page), cursor=str(end) if end else after)

    async def fills_of(self, after: str, symbols: Sequence[str]) -> FillPage:
        return await self.fills(after, symbols)

    async def balances(self) -> dict[str, Decimal]:
        await self._wire()
        found = self._held()
        await self._back()
        return found

    def _held(self) -> dict[str, Decimal]:
        """As it shows fills, so it shows balances."""
        held = {"USDT": self.cash, "BTC": Decimal(0)}
        for fill in self._shown():
            sign = 1 if fill.side is Side.BUY else -1
            held["BTC"] += sign * fill.quantity
            held["USDT"] -= sign * fill.quantity * fill.price + fill.commission
        return held

    async def now(self) -> datetime:
        await self._wire()
        return self._now()
