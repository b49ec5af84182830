"""The running venue: one HTTP and websocket server on the loopback."""

from collections.abc import Iterable, Mapping
from decimal import Decimal
from types import TracebackType
from typing import Any, Self

from aiohttp import web

from mastertrade.exchanges.simulated.faults import FaultScript
from mastertrade.exchanges.simulated.http import Routes
from mastertrade.exchanges.simulated.limits import Limits
from mastertrade.exchanges.simulated.markets import LocalMarket
from mastertrade.exchanges.simulated.matching import TradingAccount
from mastertrade.exchanges.simulated.private import Keys, PrivateRoutes
from mastertrade.exchanges.simulated.streams import Streams
from mastertrade.exchanges.simulated.swap_matching import swap_account
from mastertrade.exchanges.simulated.swap_private import SwapRoutes
from mastertrade.exchanges.simulated.user_streams import UserStreams
from mastertrade.exchanges.simulated.venue_time import VenueTime
from mastertrade.shared.errors import UsageError

HOST = "127.0.0.1"
STOP_TIMEOUT_S = 1.0


class SimulatedVenue:
    """An async context. ``port`` 0 takes a free one; ``url`` is where it is. ``cut_after_s`` of venue time a websocket
    may last, as Binance's may last a day. With ``keys`` one account trades there. It begins with ``money`` for the spot
    markets, and with as much of what swaps are margined in for those."""

    def __init__(
        self,
        markets: Iterable[LocalMarket],
        *,
        time: VenueTime | None = None,
        faults: FaultScript | None = None,
        limits: Limits | None = None,
        port: int = 0,
        cut_after_s: float = 86_400.0,
        money: Mapping[str, Decimal] | None = None,
        keys: Keys | None = None,
    ) -> None:
        self.markets = {market.id: market for market in markets}
        self.time = time or VenueTime()
        self.faults = faults or FaultScript()
        self._routes = Routes(self.markets, self.time, self.faults, limits or Limits())
        self.streams = Streams(self.markets, self.time, self.faults, cut_after_s=cut_after_s)
        self.account = TradingAccount.of(self.markets, money or {})
        self.private = None if keys is None else PrivateRoutes(self.account, keys, self.time, self.faults)
        self.user_streams = (
            None if self.private is None else UserStreams(self.account, self.private, self.time, self.faults)
        )
        self.swaps = swap_account(self.markets, money or {})
        self._swap_routes = (
            None if self.private is None else SwapRoutes(self.swaps, self.private, self.time, self.faults)
        )
        self._port = port
        self._runner: web.AppRunner | None = None

    @property
    def url(self) -> str:
        return f"http://{HOST}:{self._port}"

    async def __aenter__(self) -> Self:
        application = web.Application()
        self._routes.add_to(application)
        if self.private is not None:
            self.private.add_to(application)
        if self.user_streams is not None:
            self.user_streams.add_to(application)
        if self._swap_routes is not None:
            self._swap_routes.add_to(application)
        self.streams.add_to(application)
        runner = web.AppRunner(application, access_log=None, shutdown_timeout=STOP_TIMEOUT_S)
        await runner.setup()
        self._runner = runner
        site = web.TCPSite(runner, HOST, self._port)
        try:
            await site.start()
        except OSError as error:
            await runner.cleanup()
            raise UsageError(
                f"port {self._port}: {error.strerror or error}; choose another --port, or 0 for any"
            ) from error
        self._port = runner.addresses[0][1]
        await self.streams.start()
        if self.user_streams is not None:
            await self.user_streams.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.streams.stop()
        if self.user_streams is not None:
            await self.user_streams.stop()
        if self._runner is not None:
            await self._runner.cleanup()

    async def advance(self, seconds: float) -> None:
        """Let so much venue time pass at once, and tell every stream what happened in it."""
        self.time.advance(seconds)
        await self.streams.pump()
        if self.user_streams is not None:
            await self.user_streams.pump()

    def client_options(self) -> dict[str, Any]:
        """For ccxt: ``ccxt.async_support.binance(venue.client_options())`` talks to this venue and to no other."""
        return ccxt_options(self.url)


def ccxt_options(url: str) -> dict[str, Any]:
    """What ccxt's binance is made with to find a venue at ``url``. The websocket of spot markets must have ``/stream``
    in its address: by that ccxt tells spot from swaps."""
    websocket = "ws" + url.removeprefix("http")
    spot, swaps = f"{url}/api/v3", f"{url}/fapi/v1"
    api = {
        "public": spot,
        "private": spot,
        "v1": f"{url}/api/v1",
        "sapi": f"{url}/sapi/v1",
        "fapiPublic": swaps,
        "fapiPublicV2": f"{url}/fapi/v2",
        "fapiPrivate": swaps,
        "fapiPrivateV2": f"{url}/fapi/v2",
        "fapiPrivateV3": f"{url}/fapi/v3",
        "ws": {
            "spot": f"{websocket}/stream",
            "margin": f"{websocket}/stream",
            "linear": f"{websocket}/fstream",
            "ws-api": {"spot": f"{websocket}/ws-api/v3", "linear": f"{websocket}/ws-fapi/v1"},
        },
    }
    return {
        "urls": {"api": api},
        "options": {"fetchMarkets": {"types": ["spot", "linear"]}, "fetchCurrencies": False, "fetchMargins": False},
    }
