"""An account for perpetual swaps at the simulated venue: cross margin, one position a market, funding and liquidation.

As ``matching``, the same calls at the same times give the same account. Rules, codes and words are those of Binance's
USD-margined futures; of them it knows the kinds MARKET and LIMIT, one bracket of leverage, and margin in the quote
asset alone. Order and trade ids count by market, so that two markets use the same ones."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Final, cast

from mastertrade.exchanges.simulated.markets import FUNDING_MS, LocalMarket
from mastertrade.exchanges.simulated.matching import (
    BAD_LIFE,
    BAD_SIDE,
    BAD_TYPE,
    MANDATORY,
    UNIT,
    Execution,
    Holding,
    Resting,
    TradingAccount,
    TradingRefused,
)
from mastertrade.exchanges.simulated.messages import decimal

MAKER_FEE, TAKER_FEE, MAINTENANCE = Decimal("0.0002"), Decimal("0.0005"), Decimal("0.004")
PRECISION, NO_MARGIN, NOT_REDUCED, SMALL, NO_QUANTITY, NO_PRICE = -1111, -2019, -2022, -4164, -4003, -4001
DUPLICATE, BAD_POSITION_SIDE, BAD_LEVERAGE, NOT_AT_ONCE, NOT_MAKER = -4116, -4061, -4028, -5021, -5022
LIVES: Final = ("GTC", "IOC", "FOK", "GTX")
USUAL_LEVERAGE, HIGHEST_LEVERAGE = 20, 125
LIQUIDATED: Final = "autoclose-"
NOTHING: Final = Decimal(0)


@dataclass(slots=True, kw_only=True)
class SwapOrder(Resting):
    reduce_only: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class SwapExecution(Execution):
    realized: Decimal


@dataclass(slots=True)
class Position:
    """``amount`` below 0 is short; ``entry`` the average price at which it was opened."""

    amount: Decimal = NOTHING
    entry: Decimal = NOTHING


@dataclass(frozen=True, slots=True, kw_only=True)
class Income:
    """What changed the wallet. ``kind``: REALIZED_PNL, COMMISSION, FUNDING_FEE or INSURANCE_CLEAR."""

    id: int
    kind: str
    symbol: str
    asset: str
    amount: Decimal
    time_ms: int
    trade_id: int | None = None


@dataclass(slots=True, kw_only=True)
class SwapAccount(TradingAccount):
    """``holdings`` are wallets: what is held without what positions have gained or lost; nothing in them is locked.

    ``is_hedged`` and ``isolated`` are settings that its owner can change; margin is cross whatever they say."""

    positions: dict[str, Position] = field(default_factory=dict)
    leverages: dict[str, int] = field(default_factory=dict)
    incomes: list[Income] = field(default_factory=list)
    is_hedged: bool = False
    isolated: set[str] = field(default_factory=set)
    numbers: Counter[str] = field(default_factory=Counter)
    marks: dict[str, Decimal] = field(default_factory=dict)
    """Prices at the moment that is being matched."""

    def place_swap(
        self,
        *,
        symbol: str,
        side: str,
        type: str,
        quantity: Decimal,
        client_id: str,
        now_ms: int,
        price: Decimal | None = None,
        life: str = "GTC",
        reduce_only: bool = False,
        position_side: str = "BOTH",
    ) -> SwapOrder:
        self.match(now_ms)
        self.asked[client_id] += 1
        market = self._market(symbol)
        if position_side != "BOTH" or self.is_hedged:
            raise TradingRefused(BAD_POSITION_SIDE, "Order's position side does not match user's setting.")
        self._require_fit(market, side, type, quantity, price, life, now_ms, reduce_only=reduce_only)
        if any(one.is_open and one.client_id == client_id for one in self.orders):
            raise TradingRefused(DUPLICATE, "ClientOrderId is duplicated.")
        order = SwapOrder(
            id=self.numbers[f"{symbol} orders"] + 1,
            client_id=client_id,
            symbol=symbol,
            side=side,
            type=type,
            life=life,
            quantity=quantity,
            price=price or NOTHING,
            time_ms=now_ms,
            update_ms=now_ms,
            reduce_only=reduce_only,
        )
        if reduce_only and self._reducible(order) <= 0:
            raise TradingRefused(NOT_REDUCED, "ReduceOnly Order is rejected.")
        offers = list(self._offers(market, order, now_ms))
        if life == "GTX" and offers:
            words = "Due to the order could not be executed as maker, the Post Only order will be rejected."
            raise TradingRefused(NOT_MAKER, words)
        if life == "FOK" and sum((amount for _, amount in offers), NOTHING) < quantity:
            words = "Due to the order could not be filled immediately, the FOK order has been rejected."
            raise TradingRefused(NOT_AT_ONCE, words)
        self._require_margin(order, offers, now_ms)
        self.numbers[f"{symbol} orders"] += 1
        self.orders.append(order)
        for offered, amount in offers:
            if order.is_open:
                self._trade(order, offered, amount, now_ms, is_maker=False)
        if order.is_open and (type == "MARKET" or life in ("IOC", "FOK")):
            self._end(order, "EXPIRED", now_ms)
        return order

    def match(self, now_ms: int) -> None:
        """Everything since the last look in its order: trades that fill what rests or leave too little margin, and
        settlements of funding."""
        since_ms, self.matched_ms = self.matched_ms, now_ms
        if since_ms is None or since_ms >= now_ms:
            return
        symbols = {one.symbol for one in self.orders if one.is_open} | set(self.positions)
        if not symbols:
            return
        happened: list[tuple[int, str, float, float]] = [
            (trade.time_ms, symbol, trade.price, trade.quantity)
            for symbol in sorted(symbols)
            for trade in self.markets[symbol].trades(since_ms + 1, now_ms + 1)
        ]
        first_ms = since_ms // FUNDING_MS * FUNDING_MS + FUNDING_MS
        happened += [(time_ms, "", 0.0, 0.0) for time_ms in range(first_ms, now_ms + 1, FUNDING_MS)]
        for time_ms, symbol, price, quantity in sorted(happened):
            if symbol:
                self.marks[symbol] = self._on_tick(self.markets[symbol], price)
                self._fill_resting(symbol, quantity, time_ms)
            else:
                self._settle(time_ms)
            self._liquidate(time_ms)
        self.marks.clear()

    def wallet(self, asset: str) -> Decimal:
        return self.holdings.setdefault(asset, Holding()).free

    def price_of(self, symbol: str, now_ms: int) -> Decimal:
        """The mark price, which here is the last one traded."""
        known = self.marks.get(symbol)
        return self._on_tick(self.markets[symbol], self.markets[symbol].price(now_ms)) if known is None else known

    def leverage(self, symbol: str) -> int:
        return self.leverages.get(symbol, USUAL_LEVERAGE)

    def set_leverage(self, symbol: str, leverage: int) -> int:
        self._market(symbol)
        if not 1 <= leverage <= HIGHEST_LEVERAGE:
            raise TradingRefused(BAD_LEVERAGE, f"Leverage {leverage} is not valid")
        self.leverages[symbol] = leverage
        return leverage

    def unrealized(self, symbol: str, now_ms: int) -> Decimal:
        position = self.positions.get(symbol)
        if position is None:
            return NOTHING
        return ((self.price_of(symbol, now_ms) - position.entry) * position.amount).quantize(UNIT)

    def available(self, asset: str, now_ms: int) -> Decimal:
        """What of an asset can still become margin."""
        symbols = [symbol for symbol in self.markets if self.markets[symbol].quote == asset]
        gained = sum((self.unrealized(symbol, now_ms) for symbol in symbols), NOTHING)
        return self.wallet(asset) + gained - sum((self.margin(symbol, now_ms) for symbol in symbols), NOTHING)

    def margin(self, symbol: str, now_ms: int) -> Decimal:
        """Set aside for its position and for orders that would make it larger."""
        held = self.positions.get(symbol, Position()).amount
        at_risk = abs(held) * self.price_of(symbol, now_ms) if held else NOTHING
        against = {"BUY": max(-held, NOTHING), "SELL": max(held, NOTHING)}
        for one in self.orders:
            if one.is_open and one.symbol == symbol and not cast(SwapOrder, one).reduce_only:
                closing = min(against[one.side], one.remaining)
                against[one.side] -= closing
                at_risk += (one.remaining - closing) * one.price
        return at_risk / self.leverage(symbol)

    def maintenance(self, symbol: str, now_ms: int) -> Decimal:
        held = self.positions.get(symbol)
        return NOTHING if held is None else abs(held.amount) * self.price_of(symbol, now_ms) * MAINTENANCE

    def _require_fit(
        self,
        market: LocalMarket,
        side: str,
        type_: str,
        quantity: Decimal,
        price: Decimal | None,
        life: str,
        now_ms: int,
        *,
        reduce_only: bool,
    ) -> None:
        if side not in ("BUY", "SELL"):
            raise TradingRefused(BAD_SIDE, "Invalid side.")
        if type_ not in ("MARKET", "LIMIT"):
            raise TradingRefused(BAD_TYPE, "Invalid orderType.")
        if life not in LIVES:
            raise TradingRefused(BAD_LIFE, "Invalid timeInForce.")
        if type_ == "LIMIT" and price is None:
            raise TradingRefused(MANDATORY, "Mandatory parameter 'price' was not sent, was empty/null, or malformed.")
        if quantity <= 0:
            raise TradingRefused(NO_QUANTITY, "Quantity less than or equal to zero.")
        if price is not None and price <= 0:
            raise TradingRefused(NO_PRICE, "Price less than or equal to zero.")
        is_on_tick = price is None or self._on_tick(market, price) == price
        if self._on_lot(market, quantity) != quantity or not is_on_tick:
            raise TradingRefused(PRECISION, "Precision is over the maximum defined for this asset.")
        if not reduce_only and quantity * (price or self.price_of(market.id, now_ms)) < market.min_notional:
            words = f"Order's notional must be no smaller than {market.min_notional} (unless you choose reduce only)."
            raise TradingRefused(SMALL, words)

    def _require_margin(self, order: SwapOrder, offers: list[tuple[Decimal, Decimal]], now_ms: int) -> None:
        if order.reduce_only:
            return
        held = self.positions.get(order.symbol, Position()).amount
        against = max(-held if order.side == "BUY" else held, NOTHING)
        closing = min(against, order.quantity)
        taken = sum((price * amount for price, amount in offers), NOTHING)
        price = order.price or (taken / sum(amount for _, amount in offers) if offers else NOTHING)
        leverage = self.leverage(order.symbol)
        freed = closing * self.price_of(order.symbol, now_ms) / leverage
        needed = (order.quantity - closing) * price / leverage + taken * TAKER_FEE
        if self.available(self.markets[order.symbol].quote, now_ms) + freed < needed:
            raise TradingRefused(NO_MARGIN, "Margin is insufficient.")

    def _reducible(self, order: SwapOrder) -> Decimal:
        held = self.positions.get(order.symbol, Position()).amount
        return max(-held if order.side == "BUY" else held, NOTHING)

    def _fill_resting(self, symbol: str, quantity: float, time_ms: int) -> None:
        market, traded = self.markets[symbol], self.marks[symbol]
        for order in [one for one in self.orders if one.is_open and one.symbol == symbol and one.time_ms < time_ms]:
            crosses = traded <= order.price if order.side == "BUY" else traded >= order.price
            amount = min(order.remaining, self._on_lot(market, quantity))
            if crosses and order.is_open and amount > 0:
                self._trade(cast(SwapOrder, order), order.price, amount, time_ms, is_maker=True)

    def _trade(self, order: SwapOrder, price: Decimal, amount: Decimal, time_ms: int, *, is_maker: bool) -> None:
        """One that only reduces ends with what it can reduce."""
        if order.reduce_only:
            amount = min(amount, self._reducible(order))
        realized = self._move(order.symbol, amount if order.side == "BUY" else -amount, price)
        fee = (amount * price * (MAKER_FEE if is_maker else TAKER_FEE)).quantize(UNIT)
        asset = self.markets[order.symbol].quote
        order.executed, order.spent, order.update_ms = order.executed + amount, order.spent + amount * price, time_ms
        order.status = "FILLED" if order.remaining == 0 else "PARTIALLY_FILLED"
        self.numbers[f"{order.symbol} trades"] += 1
        number = self.numbers[f"{order.symbol} trades"]
        self.executions.append(
            SwapExecution(
                id=number,
                order_id=order.id,
                symbol=order.symbol,
                side=order.side,
                price=price,
                quantity=amount,
                commission=fee,
                commission_asset=asset,
                time_ms=time_ms,
                is_maker=is_maker,
                realized=realized,
            )
        )
        if realized:
            self._earn("REALIZED_PNL", order.symbol, realized, time_ms, number)
        self._earn("COMMISSION", order.symbol, -fee, time_ms, number)
        for one in self.orders:
            if one.is_open and cast(SwapOrder, one).reduce_only and self._reducible(cast(SwapOrder, one)) <= 0:
                self._end(one, "EXPIRED", time_ms)

    def _move(self, symbol: str, signed: Decimal, price: Decimal) -> Decimal:
        """What was realized by it."""
        position = self.positions.setdefault(symbol, Position())
        held, is_opposite = position.amount, position.amount * signed < 0
        closed = min(abs(held), abs(signed)) if is_opposite else NOTHING
        realized = ((price - position.entry) * (closed if held > 0 else -closed)).quantize(UNIT)
        position.amount = held + signed
        if not is_opposite:
            position.entry = (held * position.entry + signed * price) / position.amount
        elif abs(signed) > abs(held):
            position.entry = price
        if position.amount == 0:
            del self.positions[symbol]
        return realized

    def _earn(self, kind: str, symbol: str, amount: Decimal, time_ms: int, trade_id: int | None = None) -> None:
        asset = self.markets[symbol].quote
        self.holdings.setdefault(asset, Holding()).free += amount
        self.incomes.append(
            Income(
                id=len(self.incomes) + 1,
                kind=kind,
                symbol=symbol,
                asset=asset,
                amount=amount,
                time_ms=time_ms,
                trade_id=trade_id,
            )
        )

    def _settle(self, time_ms: int) -> None:
        for symbol, position in self.positions.items():
            market = self.markets[symbol]
            rate, price = Decimal(decimal(market.funding(time_ms))), Decimal(decimal(market.price(time_ms)))
            if amount := -(position.amount * price * rate).quantize(UNIT):
                self._earn("FUNDING_FEE", symbol, amount, time_ms)

    def _liquidate(self, time_ms: int) -> None:
        """Close the largest position while there is less than the maintenance margin; what a wallet then lacks the
        venue's insurance pays."""
        for asset in {self.markets[symbol].quote for symbol in self.positions}:
            while held := self._too_large(asset, time_ms):
                symbol = max(held, key=lambda one: (self.maintenance(one, time_ms), one))
                for one in self.orders:
                    if one.is_open and self.markets[one.symbol].quote == asset:
                        self._end(one, "CANCELED", time_ms)
                self._close_out(symbol, time_ms)
                if (lacking := -self.wallet(asset)) > 0 and asset not in self._held_assets():
                    self._earn("INSURANCE_CLEAR", symbol, lacking, time_ms)

    def _too_large(self, asset: str, time_ms: int) -> list[str]:
        held = [symbol for symbol in self.positions if self.markets[symbol].quote == asset]
        equity = self.wallet(asset) + sum((self.unrealized(symbol, time_ms) for symbol in held), NOTHING)
        needed = sum((self.maintenance(symbol, time_ms) for symbol in held), NOTHING)
        return held if equity < needed else []

    def _held_assets(self) -> set[str]:
        return {self.markets[symbol].quote for symbol in self.positions}

    def _close_out(self, symbol: str, time_ms: int) -> None:
        amount = self.positions[symbol].amount
        self.numbers[f"{symbol} orders"] += 1
        order = SwapOrder(
            id=self.numbers[f"{symbol} orders"],
            client_id=f"{LIQUIDATED}{time_ms}{len(self.orders)}",
            symbol=symbol,
            side="SELL" if amount > 0 else "BUY",
            type="LIMIT",
            life="IOC",
            quantity=abs(amount),
            price=self.price_of(symbol, time_ms),
            time_ms=time_ms,
            update_ms=time_ms,
        )
        self.orders.append(order)
        self._trade(order, order.price, order.quantity, time_ms, is_maker=False)

    def _end(self, order: Resting, status: str, now_ms: int) -> Resting:
        order.status, order.update_ms = status, now_ms
        return order

    def incomes_of(
        self, *, now_ms: int, kind: str | None, symbol: str | None, start_ms: int, end_ms: int, limit: int
    ) -> list[Income]:
        """The oldest ones of that time."""
        self.match(now_ms)
        found = [
            one
            for one in self.incomes
            if kind in (None, one.kind) and symbol in (None, one.symbol) and start_ms <= one.time_ms <= end_ms
        ]
        return found[:limit]


def swap_account(markets: Mapping[str, LocalMarket], money: Mapping[str, Decimal]) -> SwapAccount:
    quotes = {market.quote for market in markets.values()}
    return SwapAccount(
        markets=markets, holdings={asset: Holding(free=amount) for asset, amount in money.items() if asset in quotes}
    )
