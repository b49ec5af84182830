"""What happens around each batch of a market that is played, and how processes apart follow it."""

from typing import Final

from mastertrade.domain.events import CandlesClosed, Event
from mastertrade.exchanges.exchange import Venue
from mastertrade.exchanges.paper import PaperVenue
from mastertrade.market_data_service.source import CandleBatch
from mastertrade.messaging.bus import Bus, Handler, Subscription
from mastertrade.order_executor.service import OrderExecutor
from mastertrade.shared.clock import MarketClock
from mastertrade.shared.postgres_manager import Transaction

PAPER_VENUE: Final = "paper_venue"
"""The consumer by which the paper venue hears of prices where no lock step shows them to it."""
SETTLE_TIMEOUT_S: Final = 60.0
"""How long everyone together may take over one minute of the market before something is wrong: a restart of the server
takes seconds, a retried event at most a few more."""


class LockStep:
    """The tape of an all-in-one run: prices reach the venue first, then the close is published, and the market waits
    until everybody has acted. That makes a replay the same every time."""

    def __init__(self, *, venue: PaperVenue, executor: OrderExecutor, bus: Bus) -> None:
        self._venue = venue
        self._executor = executor
        self._bus = bus

    async def prices(self, batch: CandleBatch) -> None:
        traded = await self._venue.on_prices(batch.of_venue(self._venue.name))
        if traded:
            await self._executor.sync()  # the venue may have acted by itself: settled, or liquidated
        if traded or await self._executor.follow():
            await self._bus.drain(timeout_s=SETTLE_TIMEOUT_S)

    async def settle(self) -> None:
        await self._bus.drain(timeout_s=SETTLE_TIMEOUT_S)
        while await self._executor.catch_up():
            await self._bus.drain(timeout_s=SETTLE_TIMEOUT_S)


class FreeRunning:
    """The tape where the others are other processes: they hear of prices by events."""

    async def prices(self, batch: CandleBatch) -> None:
        """The venue listens to the bus itself."""

    async def settle(self) -> None:
        """Nobody waits for anybody."""


class Present:
    """The tape of a live market: it waits for nobody. A paper venue sees each bar; a real one has seen it itself."""

    def __init__(self, *, venue: Venue | None, executor: OrderExecutor) -> None:
        self._venue = venue
        self._executor = executor

    async def prices(self, batch: CandleBatch) -> None:
        if isinstance(self._venue, PaperVenue) and await self._venue.on_prices(batch.of_venue(self._venue.name)):
            await self._executor.sync()

    async def settle(self) -> None:
        """What follows from a bar takes its time while the next one forms."""


def following(clock: MarketClock, subscription: Subscription) -> Subscription:
    """The subscription with a clock that moves to each event's time first: how a process apart follows the market."""

    def after(handler: Handler) -> Handler:
        async def handle(event: Event, tx: Transaction) -> None:
            clock.advance(event.occurred_at)
            await handler(event, tx)

        return handle

    return Subscription(
        consumer=subscription.consumer,
        handlers={kind: after(handler) for kind, handler in subscription.handlers.items()},
        on_dead_letter=subscription.on_dead_letter,
        workers=subscription.workers,
        durable=subscription.durable,
        is_bounded=subscription.is_bounded,
    )


def venue_subscription(venue: Venue | None, executor: OrderExecutor) -> Subscription:
    """Lets the paper venue follow the market by events, where no lock step shows it the prices."""

    async def on_candles_closed(event: CandlesClosed, tx: Transaction) -> None:
        if isinstance(venue, PaperVenue):
            await venue.on_prices([candle for candle in event.candles if candle.venue == venue.name])
            tx.on_commit(executor.sync)

    return Subscription(consumer=PAPER_VENUE, handlers={CandlesClosed: on_candles_closed})
