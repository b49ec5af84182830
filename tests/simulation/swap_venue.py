"""The same venue for a perpetual swap: prices that move, a wallet that realises at average cost, and settlements."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from decimal import Decimal

from mastertrade.domain.orders import Fill, FundingPayment, OrderStatus, Side
from mastertrade.exchanges.exchange import FundingPage, VenueOrder
from tests.simulation.venue import FEE, SimulatedVenue, Truth

SETTLES_EVERY = timedelta(seconds=20)
PAGE = 2


def signed(fill: Fill) -> Decimal:
    return fill.quantity if fill.side is Side.BUY else -fill.quantity


@dataclass
class SimulatedSwapVenue(SimulatedVenue):
    """It tells what it realised of every second fill only. Each payment is for what it shows as held."""

    payments: list[FundingPayment] = field(default_factory=list)
    settled_at: datetime | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        self.holds = {"USDT": self.cash}

    def _fill(self, one: Truth, quantity: Decimal) -> None:
        order = one.order
        filled = order.filled_quantity + quantity
        is_done = filled >= order.quantity
        status = OrderStatus.FILLED if is_done else OrderStatus.PARTIALLY_FILLED
        one.order = replace(order, filled_quantity=filled, status=status)
        price = Decimal(self.rng.randint(8_000, 12_000)) / 100
        self.shown_at.append(self.clock.now() + timedelta(seconds=self.rng.uniform(0, self.faults.fills_lag_s)))
        fill = Fill(
            client_order_id=order.client_order_id, exchange_order_id=order.exchange_order_id,
            exchange_trade_id=str(len(self.filled) + 1), symbol=order.symbol, side=order.side, quantity=quantity,
            price=price, commission=FEE, commission_asset="USDT", is_maker=False, trade_time=self.clock.now(),
        )  # fmt: skip
        realized = self._wallet([*self.filled, fill]) - self._wallet(self.filled) + FEE
        tells = len(self.filled) % 2 == 0
        self.filled.append(replace(fill, realized_pnl=realized if tells else None))
        self.holds = {"USDT": self._wallet(self.filled) + self.paid()}
        self._log("filled", one.order)
        self._tell(one.order, str(len(self.filled)))

    def _wallet(self, fills: Sequence[Fill]) -> Decimal:
        """Cash, what closing realised at average cost, less fees; to the digits that a ledger has."""
        held = cost = Decimal(0)
        wallet = self.cash
        for fill in fills:
            change = signed(fill)
            closed = min(abs(held), abs(change)) if held * change < 0 else Decimal(0)
            part = cost if closed == abs(held) else round(cost * closed / abs(held), 18)
            if closed:
                wallet += (1 if held > 0 else -1) * round(closed * fill.price, 18) - part
            opened = abs(change) - closed
            cost = cost - (part if closed else 0) + (1 if change > 0 else -1) * round(opened * fill.price, 18)
            held += change
            wallet -= fill.commission
        return wallet

    def paid(self) -> Decimal:
        return sum((one.amount for one in self.payments), Decimal(0))

    def net(self) -> Decimal:
        """What it holds, below 0 for a short."""
        return sum((signed(fill) for fill in self.filled), Decimal(0))

    def settle(self) -> None:
        """A payment for what is shown by now, when it is time for one."""
        now, shown = self.clock.now(), self._shown()
        if self.settled_at is not None and now - self.settled_at < SETTLES_EVERY:
            return
        self.settled_at = now
        held = sum((signed(fill) for fill in shown), Decimal(0))
        if held:
            amount = -held * Decimal(self.rng.randint(-5, 5)) / 100
            payment = FundingPayment(
                payment_id=f"p{len(self.payments) + 1}", symbol=self.symbol, asset="USDT", amount=amount, paid_at=now
            )
            self.payments.append(payment)
            self.holds = {"USDT": self._wallet(self.filled) + self.paid()}
            self.note(f"settled {amount} for {held}")

    def trade(self) -> None:
        self.settle()
        super().trade()

    def _seen(self, one: Truth) -> VenueOrder:
        seen = super()._seen(one)
        mine = [fill for fill in self._shown() if fill.client_order_id == one.order.client_order_id]
        spent = sum((fill.quantity * fill.price for fill in mine), Decimal(0))
        return replace(seen, average_price=round(spent / seen.filled_quantity, 10) if mine else None)

    def _held(self) -> dict[str, Decimal]:
        return {"USDT": round(self._wallet(self._shown()) + self.paid(), 18)}

    async def positions(self, symbols: Sequence[str]) -> dict[str, Decimal]:
        await self._wire()
        held = sum((signed(fill) for fill in self._shown()), Decimal(0))
        await self._back()
        return {self.symbol: held} if held else {}

    async def funding(self, after: str, symbols: Sequence[str]) -> FundingPage:
        await self._wire()
        start = int(after or 0)
        page = self.payments[start : start + PAGE]
        if page and self._hits(self.faults.repeated_fills):
            page = [*self.payments[max(0, start - 1) : start], *page, *page]
        await self._back()
        end = min(start + PAGE, len(self.payments))
        return FundingPage(payments=tuple(page), cursor=str(end) if end else after)
