"""The arbitrage service: compares the venues' closed candles and stores the differences that outlive both fees. It only
detects; nothing is executed."""

from collections.abc import Mapping
from datetime import timedelta

from mastertrade.arbitrage_service.config import ArbitrageSettings
from mastertrade.arbitrage_service.detectors import DETECTORS, Detector
from mastertrade.arbitrage_service.postgres_database import ArbitragePostgresDatabase
from mastertrade.arbitrage_service.price_board import PRICE_SOURCE, PriceBoard, quotes_of
from mastertrade.domain.arbitrage import Opportunity
from mastertrade.domain.events import CandlesClosed, OpportunityFound
from mastertrade.messaging.bus import Bus, Subscription
from mastertrade.shared.clock import Clock
from mastertrade.shared.postgres_manager import PostgresManager, Transaction
from mastertrade.shared.serialization import new_id


class ArbitrageService:
    name = "arbitrage_service"

    def __init__(
        self,
        *,
        settings: ArbitrageSettings,
        clock: Clock,
        bus: Bus,
        manager: PostgresManager,
        detectors: Mapping[str, Detector] = DETECTORS,
    ) -> None:
        self._limits = settings.limits
        self._clock = clock
        self._bus = bus
        self._manager = manager
        self._detectors = detectors
        self._board = PriceBoard()
        self._database = ArbitragePostgresDatabase()

    def subscriptions(self) -> list[Subscription]:
        return [Subscription(consumer=self.name, handlers={CandlesClosed: self.on_candles_closed}, durable=False)]

    async def start(self) -> None:
        """The board begins empty: prices from before a pause are no prices."""
        self._board = PriceBoard()

    async def stop(self) -> None:
        self._board = PriceBoard()

    async def on_candles_closed(self, event: CandlesClosed, tx: Transaction) -> None:
        """Ages are measured at the candles' close, not by our clock: a batch handled late compares as it did then.
        With one venue nothing is comparable and the database is not asked."""
        now = event.open_time + timedelta(seconds=event.interval_s)
        symbols = self._board.note(event.candles)
        prices = self._board.comparable(symbols, now, self._limits.max_quote_age_s)
        if not prices:
            return
        fees = await self._database.taker_fees(tx, [price.instrument_id for price in prices])
        quotes = quotes_of(prices, fees)
        for name, detect in self._detectors.items():
            for opportunity in detect(quotes, self._limits, now, new_id):
                await self._save(opportunity, name, event, tx)

    async def _save(self, opportunity: Opportunity, detector: str, event: CandlesClosed, tx: Transaction) -> None:
        """Store and publish what is new; what was there a moment ago only gets its new numbers."""
        metadata = {"detector": detector, "price_source": PRICE_SOURCE, "candle_interval_s": event.interval_s}
        if await self._database.record_opportunity(tx, opportunity, metadata):
            found = OpportunityFound(
                id=new_id(opportunity.found_at),
                occurred_at=opportunity.found_at,
                correlation_id=opportunity.id,
                causation_id=event.id,
                opportunity=opportunity,
            )
            await self._bus.publish(found, within=tx)
