"""The paper venue for perpetual swaps: positions on margin in one wallet, funding, and liquidation.

Orders trade as on its spot markets, so what differs is what a fill does: it moves a position at average cost, realises
profit or loss into the wallet and takes the fee from it. A bar is gone through as a backtest does: settlements up to
its open, orders that trade at the open, liquidation inside the bar, then what rests and is touched inside it.
"""

import asyncio
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any, Final, Protocol

from mastertrade.domain.market import Candle, Instrument
from mastertrade.domain.orders import FundingPayment, Side
from mastertrade.exchanges.exchange import FundingPage
from mastertrade.exchanges.paper import PaperVenue
from mastertrade.exchanges.paper_margin import Held, Tier, broken_at, most_notional
from mastertrade.exchanges.paper_matching import Trade
from mastertrade.quant.costs import Costs
from mastertrade.shared.clock import Clock
from mastertrade.shared.failpoints import Failpoints
from mastertrade.shared.postgres_manager import PostgresManager
from mastertrade.shared.queries import load_queries

QUERIES = load_queries(Path(__file__).with_name("paper_swaps.sql"))
log = logging.getLogger(__name__)

FUNDING_PAGE: Final = 500
LATELY: Final = timedelta(days=1)
"""So long after a position's end a rate may become known for a settlement that it still was there for."""


@dataclass(frozen=True, slots=True)
class FundingRate:
    """What longs pay shorts at a settlement, as a fraction of the notional."""

    time: datetime
    rate: Decimal


class SwapRules(Protocol):
    """What is known of swaps beside their prices. Nothing is charged for a settlement whose rate is not known."""

    async def funding_rates(self, instrument_id: int, *, after: datetime, until: datetime) -> Sequence[FundingRate]:
        """Of the settlements with ``after < time <= until``, oldest first."""
        ...

    async def tiers(self, instrument_id: int, *, at: datetime) -> Sequence[Tier]:
        """The smallest notional first; none where they are not known."""
        ...


class PaperSwapVenue(PaperVenue):
    """One paper account for the swaps ``instruments``, all of which settle in ``asset``; ``leverage`` is the notional
    that a unit of margin may carry.

    A reduce-only order trades what of it reduces, and the rest of it ends; where there is nothing to reduce when it
    would trade, it is rejected. Any other order may turn a position over."""

    _keeps_reduce_only = True

    def __init__(
        self,
        *,
        name: str,
        account: str,
        asset: str,
        leverage: Decimal,
        manager: PostgresManager,
        instruments: Mapping[str, Instrument],
        rules: SwapRules,
        costs: Costs,
        clock: Clock,
        failpoints: Failpoints | None = None,
    ) -> None:
        super().__init__(
            name=name,
            account=account,
            manager=manager,
            instruments=instruments,
            costs=costs,
            clock=clock,
            failpoints=failpoints,
        )
        self._asset = asset
        self._leverage = leverage
        self._rules = rules
        self._tiers: dict[str, tuple[datetime, Sequence[Tier]]] = {}
        self._showing = asyncio.Lock()
        self._may_hold, self._moves = True, 0
        self._bars: Mapping[str, Candle] = {}
        self._inside: list[tuple[Mapping[str, Any], Trade, Candle, Instrument]] | None = None

    async def positions(self, symbols: Sequence[str]) -> dict[str, Decimal]:
        self._failpoints.reach("paper.positions")
        rows = await QUERIES.fetch(self._manager, "positions", account=self._account)
        return {row["symbol"]: row["quantity"] for row in rows}

    async def funding(self, after: str, symbols: Sequence[str]) -> FundingPage:
        self._failpoints.reach("paper.funding")
        rows = await QUERIES.fetch(
            self._manager, "funding_after", account=self._account, after=int(after or 0), page=FUNDING_PAGE
        )
        return FundingPage(
            payments=tuple(
                FundingPayment(
                    payment_id=str(row["id"]),
                    symbol=row["symbol"],
                    asset=row["asset"],
                    amount=row["amount"],
                    paid_at=row["settled_at"],
                )
                for row in rows
            ),
            cursor=str(rows[-1]["id"]) if rows else after,
        )

    async def resting_symbols(self) -> list[str]:
        """The markets whose prices orders wait for, and those of positions, which a price may end."""
        held = [row["symbol"] for row in await self._held() if row["quantity"]]
        return sorted({*held, *await super().resting_symbols()})

    async def on_prices(self, candles: Sequence[Candle]) -> int:
        """As on spot markets; settlements and liquidations are dealt with too."""
        async with self._showing:
            self._bars = {one.symbol: one for one in candles if one.symbol in self._instruments}
            try:
                return await self._show()
            finally:
                self._bars, self._inside = {}, None

    async def _show(self) -> int:
        dealt = await self._settle()
        self._inside = []
        dealt += await super().on_prices(list(self._bars.values()))
        dealt += await self._liquidate()
        inside, self._inside = self._inside, None
        filled = [await self._fill(*one) for one in inside]
        if any(filled):
            dealt += sum(filled) + await self._liquidate()
        if self._may_hold:
            await self._mark()
        return dealt

    async def _fill(self, row: Mapping[str, Any], trade: Trade, candle: Candle, instrument: Instrument) -> bool:
        if trade.is_maker and self._inside is not None:  # a position may have ended before the bar touches it
            self._inside.append((row, trade, candle, instrument))
            return False
        outcome = await QUERIES.fetchval(
            self._manager,
            "fill_swap",
            order_id=row["id"],
            price=trade.price,
            fee_rate=self._maker_fee if trade.is_maker else self._taker_fee,
            is_maker=trade.is_maker,
            at=candle.open_time,
            asset=self._asset,
            leverage=self._leverage,
            most_notional=most_notional(self._leverage, await self._tiers_of(candle.symbol)),
            symbols=list(self._bars),
            marks=[_decimal(one.open) for one in self._bars.values()],
        )
        self._may_hold, self._moves = True, self._moves + 1
        return outcome is not None

    async def _held(self) -> Sequence[Mapping[str, Any]]:
        """Costs no query while nothing is held, and nothing was lately."""
        if not self._may_hold:
            return ()
        moves = self._moves
        rows = await QUERIES.fetch(
            self._manager, "held", account=self._account, asset=self._asset, lately=self._clock.now() - LATELY
        )
        if not rows and moves == self._moves:
            self._may_hold = False
        return rows

    async def _settle(self) -> int:
        settled = 0
        for row in await self._held():
            bar = self._bars.get(row["symbol"])
            if bar is None:
                continue
            rates = await self._rules.funding_rates(
                self._instruments[bar.symbol].id, after=row["settled_to"], until=bar.open_time
            )
            if rates:
                settled += await QUERIES.fetchval(
                    self._manager,
                    "settle",
                    account=self._account,
                    symbol=bar.symbol,
                    asset=self._asset,
                    price=_decimal(bar.open),
                    times=[one.time for one in rates],
                    rates=[one.rate for one in rates],
                )
        return settled

    async def _liquidate(self) -> int:
        """Close the largest position first, until what is left is carried. A bar that opened before the account last
        changed tells nothing about it."""
        closed, since = 0, Decimal(0)
        while True:
            rows = [row for row in await self._held() if row["quantity"]]
            changed_at = max((row["changed_at"] for row in rows), default=self._clock.now())
            bars = {symbol: bar for symbol, bar in self._bars.items() if bar.open_time >= changed_at}
            held = [await self._in_bar(row, bars.get(row["symbol"])) for row in rows]
            moment = broken_at(rows[0]["wallet"] if rows else Decimal(0), held, since)
            at_hand = [one for one in held if one.symbol in bars]
            if moment is None or not at_hand:
                return closed
            largest = max(at_hand, key=lambda one: one.notional(moment))
            await self._close(largest, largest.price(moment), bars[largest.symbol])
            closed, since = closed + 1, moment

    async def _close(self, held: Held, reference: Decimal, bar: Candle) -> None:
        side = Side.SELL if held.quantity > 0 else Side.BUY
        price = self._market_price(reference, side, self._instruments[held.symbol])
        await QUERIES.fetchval(
            self._manager,
            "liquidate",
            account=self._account,
            symbol=held.symbol,
            price=price,
            fee_rate=self._taker_fee,
            at=bar.open_time,
            asset=self._asset,
        )
        log.warning(
            "paper account liquidated",
            extra={
                "account": self._account,
                "symbol": held.symbol,
                "quantity": str(held.quantity),
                "price": str(price),
            },
        )

    async def _in_bar(self, row: Mapping[str, Any], bar: Candle | None) -> Held:
        open_, worst = (row["mark"], row["mark"])
        if bar is not None:
            # A moment of bid and ask has its lowest price above its highest one.
            ends = (_decimal(bar.low), _decimal(bar.high))
            open_, worst = _decimal(bar.open), min(ends) if row["quantity"] > 0 else max(ends)
        return Held(
            symbol=row["symbol"],
            quantity=row["quantity"],
            cost=row["cost"],
            open=open_,
            worst=worst,
            tiers=await self._tiers_of(row["symbol"]),
        )

    async def _mark(self) -> None:
        bars = list(self._bars.values())
        await QUERIES.execute(
            self._manager,
            "mark",
            account=self._account,
            symbols=[one.symbol for one in bars],
            marks=[_decimal(one.close) for one in bars],
        )

    async def _tiers_of(self, symbol: str) -> Sequence[Tier]:
        """Asked for once a day: they change seldom."""
        now = self._clock.now()
        known = self._tiers.get(symbol)
        if known is None or now - known[0] >= timedelta(days=1):
            instrument = self._instruments.get(symbol)
            tiers = () if instrument is None else await self._rules.tiers(instrument.id, at=now)
            known = self._tiers[symbol] = now, tiers
        return known[1]


def _decimal(price: float) -> Decimal:
    return Decimal(str(price))
