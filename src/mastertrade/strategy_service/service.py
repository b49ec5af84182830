"""The strategy service: on closed candles it runs the strategies whose bar is complete, and raises their signals."""

import logging
from collections.abc import Sequence
from datetime import datetime, timedelta
from itertools import groupby
from uuid import UUID

from mastertrade.domain.events import AlgoOrderChanged, CandlesClosed, Event, OrderFilled, OrderUpdated, SignalRaised
from mastertrade.domain.market import Candle
from mastertrade.messaging.bus import Bus, Handler, Subscription
from mastertrade.quant.bars import Bars, BarSource
from mastertrade.quant.columns import together
from mastertrade.shared.clock import Clock
from mastertrade.shared.errors import DatabaseError, DependencyDown, UsageError
from mastertrade.shared.postgres_manager import PostgresManager, Transaction
from mastertrade.shared.serialization import new_id
from mastertrade.strategy_service.algos.keeper import AlgoKeeper
from mastertrade.strategy_service.bar_history import BarHistory
from mastertrade.strategy_service.config import StrategySettings
from mastertrade.strategy_service.evaluation import Assignment, Evaluation, Templates, evaluate, reads_markets_of
from mastertrade.strategy_service.postgres_database import StrategyPostgresDatabase
from mastertrade.strategy_service.registry import StrategyRegistry

LOG = logging.getLogger(__name__)


class StrategyService:
    """``bars`` yields closed bars, ``templates`` are the strategies that can run, by name. Only strategies of
    ``account_ids`` are run, those accounts being served here; None means every account."""

    name = "strategy_service"

    def __init__(
        self,
        *,
        settings: StrategySettings,
        clock: Clock,
        bus: Bus,
        manager: PostgresManager,
        bars: BarSource,
        templates: Templates,
        account_ids: Sequence[UUID] | None = None,
    ) -> None:
        self._account_ids = account_ids
        self._settings = settings
        self._clock = clock
        self._bus = bus
        self._templates = templates
        self._manager = manager
        self._history = BarHistory(bars)
        self._database = StrategyPostgresDatabase()
        self._algos = AlgoKeeper(bus=bus, bars=bars, account_ids=account_ids)
        self.registry = StrategyRegistry(manager=manager, clock=clock, templates=templates)

    def subscriptions(self) -> list[Subscription]:
        # Every effect is a row, and nothing leaves for a venue before a later commit has reached the disk with these.
        handlers: dict[type[Event], Handler] = {
            CandlesClosed: self.on_candles_closed,
            OrderUpdated: self.on_order,
            OrderFilled: self.on_order,
            AlgoOrderChanged: self.on_algo_order_changed,
        }
        return [Subscription(consumer=self.name, handlers=handlers, durable=False)]

    async def start(self) -> None:
        """Histories are read again: what happened while the service was down is not known here."""
        self._history.forget()

    async def stop(self) -> None:
        self._history.forget()

    async def on_candles_closed(self, event: CandlesClosed, tx: Transaction) -> None:
        """Runs once a batch; nearly every minute ends no bar, and one indexed query says so."""
        close = event.open_time + timedelta(seconds=event.interval_s)
        due = await self._database.due_assignments(
            tx, venues=event.venues, interval_s=event.interval_s, close=close, account_ids=self._account_ids
        )
        closed = {candle.instrument_id for candle in event.candles}
        of_strategy = {strategy_id: list(all_of_it) for strategy_id, all_of_it in groupby(due, lambda a: a.strategy_id)}
        evaluations = []
        for together_due in of_strategy.values():
            evaluations += await self._run_strategy(together_due, closed, close)
        if evaluations:
            await self._database.record_evaluations(tx, evaluations, at=self._clock.now())
            await self._raise_signals(evaluations, event, tx)
        await self._algos.on_candles(event, tx, at=max(close, self._clock.now()))

    async def watched_symbols(self, venue: str) -> Sequence[str]:
        """The markets of algo orders that wait for a price."""
        return await self._algos.watched_symbols(self._manager, venue)

    async def on_prices(self, prices: Sequence[Candle]) -> None:
        """What such an order meets between two closes counts at once. ``prices`` are bars of a moment."""
        async with self._manager.transaction() as tx:
            await self._algos.on_prices(prices, tx, at=self._clock.now())

    async def on_order(self, event: OrderUpdated | OrderFilled, tx: Transaction) -> None:
        await self._algos.on_order(event, tx, at=self._clock.now())

    async def on_algo_order_changed(self, event: AlgoOrderChanged, tx: Transaction) -> None:
        await self._algos.on_changed(event, tx, at=self._clock.now())

    async def _run_strategy(self, due: Sequence[Assignment], closed: set[int], close: datetime) -> list[Evaluation]:
        """All instruments of one strategy. One that compares markets decides on all of them, once the last is there:
        what it would make of some of them is not what a backtest makes of all."""
        if not reads_markets_of(due[0], self._templates):
            return [await self._run(assignment, close) for assignment in due if assignment.instrument_id in closed]
        if not any(assignment.instrument_id in closed for assignment in due):
            return []
        known = {one.symbol: await self._history.through(one.instrument_id, one.timeframe_s, close) for one in due}
        missing = ", ".join(symbol for symbol, bars in known.items() if bars is None)
        if missing:
            error = f"waits for the bar up to {close} of {missing}"
            return [Evaluation(assignment=one, seconds=0.0, error=error) for one in due]
        markets = together({symbol: bars for symbol, bars in known.items() if bars is not None})
        return [await self._run(assignment, close, markets[assignment.symbol]) for assignment in due]

    async def _run(self, assignment: Assignment, close: datetime, known: Bars | None = None) -> Evaluation:
        """One evaluation; its own failure is its result, so that the other strategies run."""
        started = self._clock.monotonic()
        try:
            bars = known
            if bars is None:
                bars = await self._history.through(assignment.instrument_id, assignment.timeframe_s, close)
            if bars is None:
                return Evaluation(assignment=assignment, seconds=0.0, error=f"the bar up to {close} is incomplete")
            signal = evaluate(
                assignment,
                bars,
                self._templates,
                raised_at=self._clock.now(),
                valid_s=self._settings.signal_valid_s,
                make_id=new_id,
            )
        except (DependencyDown, DatabaseError):
            raise
        except Exception as error:  # a template is anybody's code: whatever it raises is recorded as its outcome
            trace = not isinstance(error, UsageError)  # what is only set up wrongly needs no stack every bar
            LOG.warning("strategy %s on %s: %s", assignment.strategy_id, assignment.symbol, error, exc_info=trace)
            seconds = self._clock.monotonic() - started
            return Evaluation(assignment=assignment, seconds=seconds, error=f"{type(error).__name__}: {error}")
        return Evaluation(assignment=assignment, seconds=self._clock.monotonic() - started, signal=signal)

    async def _raise_signals(self, evaluations: Sequence[Evaluation], event: CandlesClosed, tx: Transaction) -> None:
        for signal in [evaluation.signal for evaluation in evaluations if evaluation.signal]:
            if await self._database.insert_signal(tx, signal):
                raised = SignalRaised(
                    id=new_id(signal.raised_at),
                    occurred_at=signal.raised_at,
                    correlation_id=signal.id,
                    causation_id=event.id,
                    signal=signal,
                )
                await self._bus.publish(raised, within=tx)
