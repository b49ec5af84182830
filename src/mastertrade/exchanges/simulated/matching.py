"""An account at the simulated venue: orders matched against its markets, and the truth of what happened.

No clock, no wire, no chance of its own: the same calls at the same times give the same fills, so that the core serves
a server and a simulation alike. Rules, codes and words are those of Binance's spot market."""

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import Final

from mastertrade.domain.orders import round_down
from mastertrade.exchanges.simulated.markets import LocalMarket

FEE: Final = Decimal("0.001")
UNIT: Final = Decimal("0.00000001")
"""Of every amount the venue keeps."""
FILTERS, REJECTED, CANCEL_REJECTED, NO_ORDER = -1013, -2010, -2011, -2013
BAD_SYMBOL, MANDATORY, NOT_REQUIRED, BAD_TYPE, BAD_SIDE, BAD_LIFE = -1121, -1102, -1106, -1116, -1117, -1115
TYPES: Final = ("MARKET", "LIMIT", "LIMIT_MAKER")
LIVES: Final = ("GTC", "IOC", "FOK")
OPEN: Final = frozenset({"NEW", "PARTIALLY_FILLED"})


class TradingRefused(Exception):
    """The venue definitely refuses, with a code of its own."""

    def __init__(self, code: int, message: str) -> None:
        self.code = code
        super().__init__(message)


@dataclass(slots=True, kw_only=True)
class Resting:
    """An order as the venue keeps it; ``spent`` is quote."""

    id: int
    client_id: str
    symbol: str
    side: str
    type: str
    life: str
    quantity: Decimal
    price: Decimal
    time_ms: int
    update_ms: int
    executed: Decimal = Decimal(0)
    spent: Decimal = Decimal(0)
    status: str = "NEW"

    @property
    def is_open(self) -> bool:
        return self.status in OPEN

    @property
    def remaining(self) -> Decimal:
        return self.quantity - self.executed


@dataclass(frozen=True, slots=True, kw_only=True)
class Execution:
    id: int
    order_id: int
    symbol: str
    side: str
    price: Decimal
    quantity: Decimal
    commission: Decimal
    commission_asset: str
    time_ms: int
    is_maker: bool


@dataclass(frozen=True, slots=True)
class Happened:
    """What became of an order, as it stood then. ``execution``: by a trade."""

    kind: str
    order: Resting
    time_ms: int
    execution: Execution | None = None


@dataclass(slots=True)
class Holding:
    free: Decimal = Decimal(0)
    locked: Decimal = Decimal(0)


@dataclass(slots=True, kw_only=True)
class TradingAccount:
    """``orders``, ``executions`` and ``asked`` (how often each client id was sent) are what tests hold us against.

    A client id may come again once its order is no longer open, as on Binance."""

    markets: Mapping[str, LocalMarket]
    holdings: dict[str, Holding] = field(default_factory=dict)
    fee: Decimal = FEE
    orders: list[Resting] = field(default_factory=list)
    executions: list[Execution] = field(default_factory=list)
    happened: list[Happened] = field(default_factory=list)
    """All of it, in this order: what the account's own stream tells."""
    asked: Counter[str] = field(default_factory=Counter)
    matched_ms: int | None = None

    @classmethod
    def of(cls, markets: Mapping[str, LocalMarket], money: Mapping[str, Decimal]) -> "TradingAccount":
        return cls(markets=markets, holdings={asset: Holding(free=amount) for asset, amount in money.items()})

    def place(
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
    ) -> Resting:
        self.match(now_ms)
        self.asked[client_id] += 1
        market = self._market(symbol)
        self._check(market, side, type, quantity, price, life, now_ms)
        if any(one.is_open and one.client_id == client_id for one in self.orders):
            raise TradingRefused(REJECTED, "Duplicate order sent.")
        order = Resting(
            id=len(self.orders) + 1,
            client_id=client_id,
            symbol=symbol,
            side=side,
            type=type,
            life=life,
            quantity=quantity,
            price=price or Decimal(0),
            time_ms=now_ms,
            update_ms=now_ms,
        )
        offers = list(self._offers(market, order, now_ms))
        at_once = sum((amount for _, amount in offers), Decimal(0))
        if type == "LIMIT_MAKER" and offers:
            raise TradingRefused(REJECTED, "Order would immediately match and take.")
        self._lock(market, order, offers)
        self.orders.append(order)
        self._note("NEW", order, now_ms)
        if life == "FOK" and at_once < quantity:
            return self._end(order, "EXPIRED", now_ms)
        for offered, amount in offers:
            self._execute(market, order, offered, amount, now_ms, is_maker=False)
        if order.is_open and (type == "MARKET" or life in ("IOC", "FOK")):
            self._end(order, "EXPIRED", now_ms)
        return order

    def cancel(self, symbol: str, *, now_ms: int, id: int | None = None, client_id: str | None = None) -> Resting:
        self.match(now_ms)
        order = self._find(symbol, id, client_id)
        if order is None or not order.is_open:
            raise TradingRefused(CANCEL_REJECTED, "Unknown order sent.")
        return self._end(order, "CANCELED", now_ms)

    def order(self, symbol: str, *, now_ms: int, id: int | None = None, client_id: str | None = None) -> Resting:
        self.match(now_ms)
        self._market(symbol)
        order = self._find(symbol, id, client_id)
        if order is None:
            raise TradingRefused(NO_ORDER, "Order does not exist.")
        return order

    def open_orders(self, symbol: str | None, *, now_ms: int) -> list[Resting]:
        self.match(now_ms)
        return [one for one in self.orders if one.is_open and symbol in (None, one.symbol)]

    def trades(self, symbol: str, *, now_ms: int, from_id: int = 0, limit: int = 500) -> list[Execution]:
        """From a number on; the newest ones where none is named."""
        self.match(now_ms)
        found = [one for one in self.executions if one.symbol == symbol and one.id >= from_id]
        return found[:limit] if from_id else found[-limit:]

    def match(self, now_ms: int) -> None:
        """Let what rests trade against what was traded since the last look, each order by itself."""
        since_ms, self.matched_ms = self.matched_ms, now_ms
        if since_ms is None or since_ms >= now_ms:
            return
        for order in [one for one in self.orders if one.is_open]:
            market = self.markets[order.symbol]
            for trade in market.trades(max(since_ms, order.time_ms) + 1, now_ms + 1):
                price = self._on_tick(market, trade.price)
                crosses = price <= order.price if order.side == "BUY" else price >= order.price
                if crosses and order.is_open:
                    amount = min(order.remaining, self._on_lot(market, trade.quantity))
                    if amount > 0:
                        self._execute(market, order, order.price, amount, trade.time_ms, is_maker=True)

    def _market(self, symbol: str) -> LocalMarket:
        if symbol not in self.markets:
            raise TradingRefused(BAD_SYMBOL, "Invalid symbol.")
        return self.markets[symbol]

    def _find(self, symbol: str, id: int | None, client_id: str | None) -> Resting | None:
        """The newest of that name."""
        return next(
            (
                one
                for one in reversed(self.orders)
                if one.symbol == symbol and (one.id == id if id is not None else one.client_id == client_id)
            ),
            None,
        )

    def _check(
        self,
        market: LocalMarket,
        side: str,
        type_: str,
        quantity: Decimal,
        price: Decimal | None,
        life: str,
        now_ms: int,
    ) -> None:
        if side not in ("BUY", "SELL"):
            raise TradingRefused(BAD_SIDE, "Invalid side.")
        if type_ not in TYPES:
            raise TradingRefused(BAD_TYPE, "Invalid orderType.")
        if life not in LIVES:
            raise TradingRefused(BAD_LIFE, "Invalid timeInForce.")
        if type_ == "MARKET" and life != "GTC":
            raise TradingRefused(NOT_REQUIRED, "Parameter 'timeInForce' sent when not required.")
        if type_ != "MARKET" and price is None:
            raise TradingRefused(MANDATORY, "Mandatory parameter 'price' was not sent, was empty/null, or malformed.")
        if quantity <= 0 or self._on_lot(market, quantity) != quantity:
            raise TradingRefused(FILTERS, "Filter failure: LOT_SIZE")
        if price is not None and (price <= 0 or self._on_tick(market, price) != price):
            raise TradingRefused(FILTERS, "Filter failure: PRICE_FILTER")
        if quantity * (price or self._on_tick(market, market.price(now_ms))) < market.min_notional:
            raise TradingRefused(FILTERS, "Filter failure: NOTIONAL")

    @staticmethod
    def _on_lot(market: LocalMarket, quantity: float | Decimal) -> Decimal:
        return round_down(Decimal(str(quantity)), Decimal(1).scaleb(-market.volume_decimals))

    @staticmethod
    def _on_tick(market: LocalMarket, price: float | Decimal) -> Decimal:
        return round_down(Decimal(str(price)), Decimal(1).scaleb(-market.price_decimals))

    def _offers(self, market: LocalMarket, order: Resting, now_ms: int) -> Iterator[tuple[Decimal, Decimal]]:
        """What of the book it takes: price and quantity, the best first."""
        book, left = market.book(now_ms), order.quantity
        for level, offered in book.asks if order.side == "BUY" else book.bids:
            price = self._on_tick(market, level)
            is_worse = price > order.price if order.side == "BUY" else price < order.price
            if left <= 0 or (order.type != "MARKET" and is_worse):
                return
            amount = min(left, self._on_lot(market, offered))
            if amount > 0:
                left -= amount
                yield price, amount

    def _lock(self, market: LocalMarket, order: Resting, offers: list[tuple[Decimal, Decimal]]) -> None:
        if order.side == "SELL":
            asset, amount = market.base, order.quantity
        elif order.type == "MARKET":
            asset, amount = market.quote, sum((price * taken for price, taken in offers), Decimal(0))
        else:
            asset, amount = market.quote, order.quantity * order.price
        holding = self.holdings.setdefault(asset, Holding())
        if holding.free < amount:
            raise TradingRefused(REJECTED, "Account has insufficient balance for requested action.")
        holding.free -= amount
        holding.locked += amount

    def _execute(
        self, market: LocalMarket, order: Resting, price: Decimal, amount: Decimal, time_ms: int, *, is_maker: bool
    ) -> None:
        """The fee is taken from what is received."""
        quote, base = (self.holdings.setdefault(asset, Holding()) for asset in (market.quote, market.base))
        if order.side == "BUY":
            locked = price if order.type == "MARKET" else order.price
            quote.locked -= amount * locked
            quote.free += amount * (locked - price)
            fee, asset = round_down(amount * self.fee, UNIT), market.base
            base.free += amount - fee
        else:
            base.locked -= amount
            fee, asset = round_down(amount * price * self.fee, UNIT), market.quote
            quote.free += amount * price - fee
        order.executed, order.spent, order.update_ms = order.executed + amount, order.spent + amount * price, time_ms
        order.status = "FILLED" if order.remaining == 0 else "PARTIALLY_FILLED"
        execution = Execution(
            id=len(self.executions) + 1,
            order_id=order.id,
            symbol=order.symbol,
            side=order.side,
            price=price,
            quantity=amount,
            commission=fee,
            commission_asset=asset,
            time_ms=time_ms,
            is_maker=is_maker,
        )
        self.executions.append(execution)
        self._note("TRADE", order, time_ms, execution)

    def _end(self, order: Resting, status: str, now_ms: int) -> Resting:
        market = self.markets[order.symbol]
        if order.side == "SELL":
            asset, amount = market.base, order.remaining
        else:
            asset, amount = market.quote, order.remaining * order.price
        holding = self.holdings.setdefault(asset, Holding())
        holding.locked -= amount
        holding.free += amount
        order.status, order.update_ms = status, now_ms
        self._note(status, order, now_ms)
        return order

    def _note(self, kind: str, order: Resting, time_ms: int, execution: Execution | None = None) -> None:
        self.happened.append(Happened(kind, replace(order), time_ms, execution))
