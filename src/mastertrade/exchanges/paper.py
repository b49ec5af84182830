"""The paper venue: real prices, paper money, and books of its own that only it writes.

A market order fills at the first price the venue learns after accepting it: for candles, the next bar's open,
worsened by half the spread and the slippage of the cost model that the backtest uses too. What a limit order becomes
is decided in ``paper_matching``. The venue keeps its truth in its own schema over its own connection and commits, so
that it can disagree with us as a real exchange can.
"""

from collections.abc import AsyncGenerator, Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

from mastertrade.domain.market import Candle, Instrument
from mastertrade.domain.orders import Fill, OrderStatus, OrderType, Side, round_down, round_up
from mastertrade.exchanges.exchange import AccountNews, FillPage, Listening, OrderTicket, VenueOrder, VenueRefused
from mastertrade.exchanges.paper_matching import End, Rest, Trade, meet
from mastertrade.exchanges.paper_news import PaperNews
from mastertrade.quant.costs import BUY_SIGN, SELL_SIGN, Costs, fee, fill_price
from mastertrade.shared.clock import Clock
from mastertrade.shared.failpoints import Failpoints
from mastertrade.shared.postgres_manager import PostgresManager
from mastertrade.shared.queries import load_queries

QUERIES = load_queries(Path(__file__).with_name("paper.sql"))
FILL_PAGE = 500
ORDER_PAGE = 1_000
FEE_STEP = Decimal("0.00000001")
"""Fees are charged in whole hundred-millionths of the quote asset, rounded up as venues do."""


class PaperVenue:
    """One paper account. ``instruments`` are the markets it trades, by symbol, with their rules."""

    _keeps_reduce_only = False
    """On spot markets that is for whoever sends the order to see to."""

    def __init__(
        self,
        *,
        name: str,
        account: str,
        manager: PostgresManager,
        instruments: Mapping[str, Instrument],
        costs: Costs,
        clock: Clock,
        failpoints: Failpoints | None = None,
    ) -> None:
        self._name = name
        self._account = account
        self._manager = manager
        self._instruments = instruments
        self._clock = clock
        self._failpoints = failpoints or Failpoints()
        self._taker_fee = Decimal(str(costs.taker_fee))
        self._maker_fee = Decimal(str(costs.maker_fee))
        self._half_spread = Decimal(str(costs.half_spread))
        self._slippage = Decimal(str(costs.slippage))
        self._may_rest = True
        self._news = PaperNews()

    @property
    def name(self) -> str:
        return self._name

    async def now(self) -> datetime:
        return self._clock.now()

    async def deposit(self, *, key: str, asset: str, amount: Decimal) -> bool:
        """Bring paper money in; the same key twice is one deposit. True when this call was the one that counted."""
        return bool(
            await QUERIES.fetchval(self._manager, "deposit", account=self._account, key=key, asset=asset, amount=amount)
        )

    async def place(self, ticket: OrderTicket) -> VenueOrder:
        self._failpoints.reach("paper.before_accept")
        self._check(ticket)
        self._may_rest = True
        try:
            order_id = await QUERIES.fetchval(
                self._manager,
                "accept",
                account=self._account,
                client_order_id=ticket.client_order_id,
                symbol=ticket.symbol,
                side=ticket.side.value,
                type=ticket.type.value,
                quantity=ticket.quantity,
                limit_price=ticket.limit_price,
                time_in_force=ticket.terms.time_in_force.value,
                expires_at=ticket.terms.expires_at,
                post_only=ticket.terms.post_only,
                reduce_only=self._keeps_reduce_only and ticket.terms.reduce_only,
                accepted_at=self._clock.now(),
            )
        finally:
            self._may_rest = True  # again, because prices that came meanwhile saw nothing rest
        self._failpoints.reach("paper.after_accept")
        return VenueOrder(
            client_order_id=ticket.client_order_id,
            exchange_order_id=_exchange_id(order_id),
            symbol=ticket.symbol,
            side=ticket.side,
            quantity=ticket.quantity,
            filled_quantity=Decimal(0),
            status=OrderStatus.OPEN,
        )

    async def cancel(self, client_order_id: str, symbol: str) -> VenueOrder:
        await QUERIES.execute(self._manager, "cancel", account=self._account, client_order_id=client_order_id)
        order = await self.find(client_order_id, symbol)
        if order is None:
            raise VenueRefused(f"{self._name}: there is no order {client_order_id} to cancel")
        return order

    async def find(self, client_order_id: str, symbol: str, *, since: datetime | None = None) -> VenueOrder | None:
        self._failpoints.reach("paper.find")
        row = await QUERIES.fetchrow(self._manager, "find", account=self._account, client_order_id=client_order_id)
        return None if row is None else _order(row)

    async def open_orders(self, symbols: Sequence[str]) -> tuple[VenueOrder, ...]:
        self._failpoints.reach("paper.list")
        return tuple(_order(row) for row in await self._resting())

    async def fills(self, after: str, symbols: Sequence[str]) -> FillPage:
        rows = await QUERIES.fetch(
            self._manager, "fills_after", account=self._account, after=int(after or 0), page=FILL_PAGE
        )
        return FillPage(
            fills=tuple(_fill(row) for row in rows),
            cursor=str(rows[-1]["id"]) if rows else after,
        )

    async def fills_of(self, after: str, symbols: Sequence[str]) -> FillPage:
        return await self.fills(after, symbols)

    def watch_account(self) -> AsyncGenerator[Listening | AccountNews]:
        return self._news.listen()

    async def balances(self) -> dict[str, Decimal]:
        rows = await QUERIES.fetch(self._manager, "balances", account=self._account)
        return {row["asset"]: row["amount"] for row in rows}

    async def resting_symbols(self) -> list[str]:
        """The markets whose prices orders wait for. Costs no query while nothing rests."""
        return sorted({row["symbol"] for row in await self._resting()}) if self._may_rest else []

    async def on_prices(self, candles: Sequence[Candle]) -> int:
        """Let resting orders trade against new bars; returns how many were dealt with. The same bars again find
        nothing left to fill. Costs no query while nothing rests."""
        if not self._may_rest:
            return 0
        self._may_rest = False
        by_symbol = {candle.symbol: candle for candle in candles}
        dealt, nothing_rests = 0, False
        try:
            resting = await self._resting()
            for row in resting:
                candle = by_symbol.get(row["symbol"])
                if candle is not None and await self._trade(row, candle):
                    dealt += 1
            nothing_rests = dealt == len(resting)
        finally:
            if not nothing_rests:
                self._may_rest = True
        return dealt

    async def _resting(self) -> Sequence[Mapping[str, Any]]:
        found: list[Mapping[str, Any]] = []
        while True:
            after = found[-1]["id"] if found else 0
            rows = await QUERIES.fetch(self._manager, "resting", account=self._account, after=after, page=ORDER_PAGE)
            found += rows
            if len(rows) < ORDER_PAGE:
                return found

    async def _trade(self, row: Mapping[str, Any], candle: Candle) -> bool:
        instrument, side = self._instruments[candle.symbol], Side(row["side"])
        if row["accepted_at"] > candle.open_time:
            return False
        outcome = meet(row, candle, self._market_price(Decimal(str(candle.open)), side, instrument))
        if isinstance(outcome, Rest):
            if outcome.is_first:
                await QUERIES.execute(self._manager, "rest", order_id=row["id"])
            return False
        if isinstance(outcome, End):
            await QUERIES.execute(
                self._manager, "end", order_id=row["id"], status=outcome.status.value, reason=outcome.reason
            )
            self._news.tell(_news(row))
            return True
        has_filled = await self._fill(row, outcome, candle, instrument)
        if has_filled:
            self._news.tell(_news(row, has_traded=True))
        return has_filled

    async def _fill(self, row: Mapping[str, Any], trade: Trade, candle: Candle, instrument: Instrument) -> bool:
        side, price, is_maker = Side(row["side"]), trade.price, trade.is_maker
        quantity: Decimal = row["quantity"]
        notional = quantity * price
        commission = round_up(fee(quantity, price, self._maker_fee if is_maker else self._taker_fee), FEE_STEP)
        buys = side is Side.BUY
        outcome = await QUERIES.fetchval(
            self._manager,
            "fill",
            order_id=row["id"],
            price=price,
            commission=commission,
            is_maker=is_maker,
            at=candle.open_time,
            pay_asset=instrument.quote if buys else instrument.base,
            spend=notional + commission if buys else quantity,
            get_asset=instrument.base if buys else instrument.quote,
            receive=quantity if buys else notional - commission,
            commission_asset=instrument.quote,
        )
        return outcome is not None

    def _market_price(self, reference: Decimal, side: Side, instrument: Instrument) -> Decimal:
        sign = BUY_SIGN if side is Side.BUY else SELL_SIGN
        price = fill_price(reference, sign, self._half_spread, self._slippage)
        if side is Side.BUY:
            return round_up(price, instrument.tick_size)
        return max(round_down(price, instrument.tick_size), instrument.tick_size)

    def _check(self, ticket: OrderTicket) -> None:
        instrument = self._instruments.get(ticket.symbol)
        now = self._clock.now()
        if instrument is None:
            raise VenueRefused(f"{self._name}: {ticket.symbol} is not traded here")
        if now > ticket.send_by:
            raise VenueRefused(f"{self._name}: arrived at {now}, after its send-by time {ticket.send_by}")
        if ticket.quantity % instrument.lot_size != 0:
            raise VenueRefused(
                f"{ticket.symbol}: quantity {ticket.quantity} is not a multiple of the lot {instrument.lot_size}"
            )
        if ticket.type not in (OrderType.MARKET, OrderType.LIMIT):
            raise VenueRefused(f"{self._name}: order type {ticket.type} is not offered; use MARKET or LIMIT")


def _news(row: Mapping[str, Any], *, has_traded: bool = False) -> AccountNews:
    return AccountNews(
        symbol=row["symbol"],
        exchange_order_id=_exchange_id(row["id"]),
        client_order_id=row["client_order_id"],
        has_traded=has_traded,
        is_over=True,
    )


def _exchange_id(order_id: int) -> str:
    return f"paper-{order_id}"


def _order(row: Mapping[str, Any]) -> VenueOrder:
    return VenueOrder(
        client_order_id=row["client_order_id"],
        exchange_order_id=_exchange_id(row["id"]),
        symbol=row["symbol"],
        side=Side(row["side"]),
        quantity=row["quantity"],
        filled_quantity=row["filled_quantity"],
        status=OrderStatus(row["status"]),
        reason=row["reason"],
        limit_price=row["limit_price"],
    )


def _fill(row: Mapping[str, Any]) -> Fill:
    return Fill(
        client_order_id=row["client_order_id"],
        exchange_order_id=_exchange_id(row["order_id"]),
        exchange_trade_id=str(row["id"]),
        symbol=row["symbol"],
        side=Side(row["side"]),
        quantity=row["quantity"],
        price=row["price"],
        commission=row["commission"],
        commission_asset=row["commission_asset"],
        is_maker=row["is_maker"],
        trade_time=row["traded_at"],
        realized_pnl=row["realized_pnl"],
    )
