"""An account for perpetual swaps at a venue, as the port ``SwapVenue``: cross margin, and one position a market.

Before its first order the account's mode is looked at, and before the first one in a market that market's margin and
leverage: where that fails, or is not as it must be, no order is sent."""

import asyncio
from collections.abc import Mapping, Sequence
from decimal import ROUND_CEILING, Decimal
from typing import Final, cast

from mastertrade.domain.market import InstrumentKind, parse_symbol
from mastertrade.exchanges.ccxt_asking import answered, asking
from mastertrade.exchanges.ccxt_binance_swaps import BinanceSwaps
from mastertrade.exchanges.ccxt_bybit_swaps import BybitSwaps
from mastertrade.exchanges.ccxt_library import short
from mastertrade.exchanges.ccxt_okx_swaps import OkxSwaps
from mastertrade.exchanges.ccxt_reading import EPOCH
from mastertrade.exchanges.ccxt_rules import Credentials, Heard
from mastertrade.exchanges.ccxt_swap_rules import SwapRules
from mastertrade.exchanges.ccxt_venue import AHEAD, MILLISECOND, CcxtVenue, Opening
from mastertrade.exchanges.exchange import FundingPage, NotSent, OrderTicket, VenueOrder, VenueRefused
from mastertrade.exchanges.key_rights import KeysRefused
from mastertrade.exchanges.request_budget import RequestBudget
from mastertrade.shared.clock import Clock
from mastertrade.shared.errors import ConfigurationError, DependencyDown
from mastertrade.shared.logging import redact

SWAP_VENUES: Final[Mapping[str, type[SwapRules]]] = {one.name: one for one in (BinanceSwaps, BybitSwaps, OkxSwaps)}
NOT_FOR_SWAPS: Final[Mapping[str, str]] = {
    "coinbase": "it does not tell an account what funding its positions paid",
    "kraken": (
        "its futures are a venue of their own with other keys, and tell of an order by its client's id only while it "
        "is open and for seconds after that, so that an order whose answer was lost could not be found for certain"
    ),
}
"""Why."""


def why_no_swaps(venue: str) -> str:
    """Empty where they can be traded."""
    if venue in SWAP_VENUES:
        return ""
    why = NOT_FOR_SWAPS.get(venue, "which of its answers refuse an order of swaps is not known")
    return f"venue {venue!r}: {why}; an account for swaps can be at {', '.join(SWAP_VENUES)}"


class CcxtSwapVenue(CcxtVenue):
    """``settle``: what its swaps settle in, the account's quote asset. ``leverage``: of its markets, at least."""

    watch_account = None  # type: ignore[assignment] # its stream tells of spot orders

    def __init__(
        self,
        venue: str,
        credentials: Credentials,
        *,
        settle: str,
        leverage: Decimal,
        clock: Clock,
        environment: str = "testnet",
        is_live_allowed: bool = False,
        url: str | None = None,
        budget: RequestBudget | None = None,
    ) -> None:
        super().__init__(
            venue,
            credentials,
            clock=clock,
            environment=environment,
            is_live_allowed=is_live_allowed,
            url=url,
            budget=budget,
        )
        self._settle = settle
        self._leverage = int(leverage.to_integral_value(ROUND_CEILING))
        self._ready: set[str] = set()
        self._readying = asyncio.Lock()

    @classmethod
    def rules_of(cls, venue: str) -> SwapRules:
        if why := why_no_swaps(venue):
            raise ConfigurationError(why)
        return SWAP_VENUES[venue]()

    @property
    def _swaps(self) -> SwapRules:
        return cast(SwapRules, self._rules)

    async def _require_account(self) -> None:
        try:
            await self._swaps.require_account(self._client)
        except VenueRefused as refused:
            raise KeysRefused(str(refused)) from None

    async def _place(self, ticket: OrderTicket) -> VenueOrder:
        parts = parse_symbol(ticket.symbol)
        if parts.kind is not InstrumentKind.SWAP or parts.settle != self._settle or parts.quote != self._settle:
            raise VenueRefused(
                f"{self.name}: {ticket.symbol} is no swap that settles in {self._settle}, and this account trades "
                "those alone"
            )
        await self._make_ready(ticket.symbol)
        return await super()._place(ticket)

    async def _make_ready(self, symbol: str) -> None:
        async with self._readying:
            if symbol in self._ready:
                return
            with asking() as question:
                try:
                    await self._load()
                    if not self._ready:
                        await self._swaps.require_account(self._client)
                    await self._swaps.prepare_market(self._client, symbol, self._leverage)
                except VenueRefused:
                    raise
                except Exception as error:
                    heard = Heard(question.heard.codes, redact(question.heard.words))
                    raise NotSent(
                        f"{self.name}: no order was sent, for the mode, margin and leverage of {symbol} could not be "
                        f"looked at or set: {heard if heard.codes else short(error)}"
                    ) from error
            self._ready.add(symbol)

    async def opening(self) -> Opening:
        """ConfigurationError for an account that holds something already: what it paid for that our books cannot
        know."""
        if held := await self.positions([]):
            what = ", ".join(f"{amount:f} {symbol}" for symbol, amount in held.items())
            raise ConfigurationError(
                f"{self.name}: the account holds {what} already, and books that begin with open positions would not "
                "know what they cost; close them at the venue, and begin again"
            )
        return await super().opening()

    @answered
    async def positions(self, symbols: Sequence[str]) -> dict[str, Decimal]:
        await self._load()
        told = await self._swaps.positions(self._client, self._settle)
        return {symbol: held for symbol, held in told.items() if held}

    @answered
    async def funding(self, after: str, symbols: Sequence[str]) -> FundingPage:
        """Of every market, so that nothing the wallet paid is overlooked. One from after now would move the cursor
        beyond those still to come."""
        await self._load()
        now = self._clock.now() + self._ahead
        payments, cursor = await self._swaps.funding(self._client, after, (now - EPOCH) // MILLISECOND)
        if late := [one for one in payments if one.paid_at > now + AHEAD]:
            raise DependencyDown(f"{self.name} tells a payment of funding {late[0].payment_id} of {late[0].paid_at}")
        return FundingPage(payments=tuple(payments), cursor=cursor)
