"""The risk manager: a verdict for every signal, a reservation for every approval, marks for the book, the halt."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

from mastertrade.domain.events import (
    CandlesClosed,
    ExitsWanted,
    OrderApproved,
    OrderFilled,
    OrderRefused,
    SignalRaised,
    TradingStateChanged,
)
from mastertrade.domain.market import Candle
from mastertrade.domain.orders import ApprovedOrder
from mastertrade.domain.risk import Check, Disposition, TradingMode, TradingState, Verdict
from mastertrade.domain.strategy import Signal
from mastertrade.messaging.bus import Bus, Subscription
from mastertrade.risk_manager.config import RiskSettings
from mastertrade.risk_manager.exits import CIRCUIT_BREAKER, FLATTEN, Exits
from mastertrade.risk_manager.gathering import Gatherer, Inputs
from mastertrade.risk_manager.guards import Guards
from mastertrade.risk_manager.judge import Judgement, SizedOrder, judge
from mastertrade.risk_manager.limits import Limits
from mastertrade.risk_manager.market_risk import BarsOf, MarketRisk
from mastertrade.risk_manager.postgres_database import ALREADY_JUDGED, COMMITTED, UNKNOWN_SIGNAL, RiskPostgresDatabase
from mastertrade.risk_manager.stop_keeper import StopKeeper
from mastertrade.risk_manager.watch import RiskWatch
from mastertrade.shared.clock import Clock
from mastertrade.shared.errors import BadData, DatabaseBusy, NotFound, UsageError
from mastertrade.shared.postgres_manager import PostgresManager, Transaction
from mastertrade.shared.retry import Backoff, retry
from mastertrade.shared.serialization import new_id
from mastertrade.shared.service import Service

log = logging.getLogger(__name__)

MAX_REJUDGEMENTS = 2
"""How often a verdict that the database could not commit is made again on fresh numbers. They rarely differ, since
nobody else judges for the account meanwhile: only fills and deposits can have moved them."""
HALT_BACKOFF = Backoff(first_s=0.01, longest_s=0.5, for_s=60.0)
"""A halt that lost its turn (a deadlock, a lock not free in time) left nothing behind and simply asks again."""
AT_ONCE_S = 1
"""The timeframe of an exit between two closes."""
NOTHING = Decimal(0)
WORDS = {
    "halted": "trading was halted meanwhile",
    "limits_changed": "a limit was changed meanwhile",
    "in_flight": "an order or approval of this strategy and instrument appeared meanwhile",
    "insufficient": "the balance did not cover the reservation",
}


class RiskManager(Service):
    """Signals are judged one at a time per account; different accounts side by side."""

    name = "risk_manager"

    def __init__(
        self, *, settings: RiskSettings, clock: Clock, bus: Bus, manager: PostgresManager, bars_of: BarsOf
    ) -> None:
        super().__init__(clock=clock)
        markets = MarketRisk(bars_of=bars_of, window_days=settings.var_lookback_days)
        self._gatherer = Gatherer(
            defaults=settings.limits(),
            class_defaults=settings.class_limits(),
            markets=markets,
            sizing=settings.sizing(),
            is_adaptive=settings.adaptive_limits,
        )
        self._exits = Exits(bus=bus)
        self._stops = StopKeeper(settings=settings, bus=bus, bars_of=bars_of, markets=markets)
        self._guards = Guards(rules=settings.protections())
        self._watch = RiskWatch(
            settings=settings,
            bus=bus,
            bars_of=bars_of,
            markets=markets,
            gatherer=self._gatherer,
            guards=self._guards,
            exits=self._exits,
            stop_trading=self._stop_trading,
        )
        self._bus = bus
        self._manager = manager
        self._database = RiskPostgresDatabase()

    def subscriptions(self) -> list[Subscription]:
        return [
            Subscription(
                consumer=self.name,
                handlers={SignalRaised: self.on_signal_raised},
                on_dead_letter=self.on_dead_letter,
                is_bounded=True,
            ),
            Subscription(
                consumer=f"{self.name}.book",
                handlers={CandlesClosed: self.on_candles_closed, OrderFilled: self.on_order_filled},
                durable=False,  # every effect is a row, made again from the same events should a crash undo it
            ),
            Subscription(
                consumer=f"{self.name}.watch",
                handlers={CandlesClosed: self.on_candles_to_watch, ExitsWanted: self.on_exits_wanted},
                durable=False,
            ),
        ]

    # --- judging ---

    async def on_signal_raised(self, event: SignalRaised, tx: Transaction) -> None:
        mode = await self._database.begin_judging(tx, event.signal)
        outcome = ""
        for _ in range(1 + MAX_REJUDGEMENTS):
            now = self._clock.now()
            inputs = await self._gatherer.gather(tx, event.signal, mode=mode, now=now)
            judgement = judge(inputs.case, inputs.limits, verdict_id=new_id(now))
            outcome = await self._commit(tx, event, inputs, judgement)
            if outcome in (COMMITTED, ALREADY_JUDGED):
                return
            if outcome == UNKNOWN_SIGNAL:
                raise NotFound(f"signal {event.signal.id} is not stored: there is nothing to judge")
        await self._commit(tx, event, inputs, _given_up(judgement, WORDS[outcome]))

    async def _commit(self, tx: Transaction, event: SignalRaised, inputs: Inputs, judgement: Judgement) -> str:
        verdict, order = judgement.verdict, judgement.order
        approval = self._approval(event.signal, verdict, order, inputs.limits) if order else None
        outcome = await self._database.commit_verdict(
            tx,
            verdict,
            equity=inputs.case.equity,
            limits_version=inputs.limits_version,
            inputs=inputs.to_json(),
            order=order,
            approval=approval,
        )
        if outcome == COMMITTED:
            await self._bus.publish(_answer(event, verdict, approval), within=tx)
        return outcome

    def _approval(self, signal: Signal, verdict: Verdict, order: SizedOrder, limits: Limits) -> ApprovedOrder:
        at = verdict.decided_at
        return ApprovedOrder(
            approval_id=new_id(at),
            verdict_id=verdict.id,
            signal_id=signal.id,
            strategy_id=signal.strategy_id,
            account_id=signal.account_id,
            reservation_id=new_id(at),
            instrument_id=signal.instrument_id,
            symbol=signal.symbol,
            side=order.side,
            type=order.type,
            quantity=order.quantity,
            limit_price=order.limit_price,
            reduces=order.reduces,
            approved_at=at,
            valid_until=min(signal.valid_until, at + timedelta(seconds=float(limits.approval_valid_s))),
            terms=signal.terms,
        )

    async def on_dead_letter(self, event: SignalRaised, tx: Transaction) -> None:
        """A signal that could not be judged is disposed of all the same, unless the event told of another one."""
        now = self._clock.now()
        try:
            await self._database.begin_judging(tx, event.signal)
        except (BadData, NotFound) as error:
            log.error("no verdict on a signal that is not as it is stored", extra={"reason": str(error)})
            return
        verdict = Verdict(
            id=new_id(now),
            signal_id=event.signal.id,
            disposition=Disposition.FAILED,
            requested_quantity=NOTHING,
            approved_quantity=NOTHING,
            checks=(),
            reason="judging failed every time it was tried; the dead letter holds the error",
            decided_at=now,
        )
        outcome = await self._database.commit_verdict(tx, verdict)
        if outcome == UNKNOWN_SIGNAL:
            log.error("a signal that was never stored could not be judged", extra={"signal_id": str(event.signal.id)})
        elif outcome == COMMITTED:
            await self._bus.publish(_answer(event, verdict, None), within=tx)

    # --- the book ---

    async def on_candles_closed(self, event: CandlesClosed, tx: Transaction) -> None:
        closed_at = event.open_time + timedelta(seconds=event.interval_s)
        await self._database.mark_book(tx, event.venues, at=closed_at)

    async def on_candles_to_watch(self, event: CandlesClosed, tx: Transaction) -> None:
        """Marks the book itself, which changes nothing where that is done already: a figure that cannot be measured
        holds up no mark."""
        closed_at = event.open_time + timedelta(seconds=event.interval_s)
        if self._watch.is_due(closed_at):
            await self._database.mark_book(tx, event.venues, at=closed_at)
            await self._watch.look(tx, event.venues, at=closed_at)
        await self._stops.look(tx, event.candles, at=closed_at)
        await self._guards.after_close(tx, event.venues, at=closed_at, now=self._clock.now())
        await self._exits.ask(tx, at=closed_at, timeframe_s=event.interval_s, venues=event.venues)

    async def watched_symbols(self, venue: str) -> Sequence[str]:
        """The markets of live stops, whose price between two closes matters."""
        return await self._stops.symbols(self._manager, venue)

    async def on_prices(self, prices: Sequence[Candle]) -> None:
        """What a stop meets between two closes counts at once. ``prices`` are bars of a moment."""
        async with self._manager.transaction() as tx:
            at = self._clock.now()
            if await self._stops.look(tx, prices, at=at, moves=False):
                await self._exits.ask(tx, at=at, timeframe_s=AT_ONCE_S, venues=sorted({one.venue for one in prices}))

    async def on_exits_wanted(self, event: ExitsWanted, tx: Transaction) -> None:
        """At once; what cannot be asked for now is asked for at the next close."""
        await self._exits.ask(tx, at=self._clock.now(), timeframe_s=AT_ONCE_S)

    async def on_order_filled(self, event: OrderFilled, tx: Transaction) -> None:
        if event.strategy_id is not None:
            await self._database.move_position(tx, event)
            await self._stops.attach(tx, event)
            await self._guards.after_fill(tx, event)

    # --- trading state ---

    async def halt(self, scope: str, reason: str, actor: str) -> TradingState:
        """Once this returns, nothing that opens or enlarges a position in the scope is approved or sent any more; exits
        and cancels are. Works whatever the state was before, and does not give up while the database answers."""
        scope = await self._known_scope(scope)

        async def change() -> TradingState:
            async with self._manager.transaction(is_bounded=True) as tx:
                now = self._clock.now()
                state = await self._database.halt_trading(tx, scope=scope, reason=reason, actor=actor, at=now)
                await self._publish_state(tx, state)
            return state

        return await retry(change, when=lambda error: isinstance(error, DatabaseBusy), backoff=HALT_BACKOFF)

    async def _stop_trading(self, tx: Transaction, scope: str, reason: str) -> None:
        now = self._clock.now()
        state = await self._database.halt_trading(tx, scope=scope, reason=reason, actor=CIRCUIT_BREAKER, at=now)
        await self._publish_state(tx, state)

    async def resume(self, scope: str, reason: str, actor: str) -> TradingState:
        """Other scopes stay as they are: an account resumed under a global halt stays halted."""
        scope = await self._known_scope(scope)
        async with self._manager.transaction(is_bounded=True) as tx:
            now = self._clock.now()
            state = await self._database.resume_trading(tx, scope=scope, reason=reason, actor=actor, at=now)
            await self._publish_state(tx, state)
        return state

    async def reduce(self, scope: str, reason: str, actor: str) -> TradingState:
        """As ``halt`` for entries; the word for a scope whose positions are being given up."""
        scope = await self._known_scope(scope)
        async with self._manager.transaction(is_bounded=True) as tx:
            now = self._clock.now()
            state = await self._database.reduce_trading(tx, scope=scope, reason=reason, actor=actor, at=now)
            await self._publish_state(tx, state)
        return state

    async def flatten(self, scope: str, reason: str, actor: str) -> int:
        """Give up every position of the scope: nothing is opened in it any more, and each position is asked for at
        every close until it is gone, restarts included. Returns how many were not being given up before. A scope that
        is halted stays halted; resume it when it may open positions again."""
        scope = await self._known_scope(scope)
        async with self._manager.transaction(is_bounded=True) as tx:
            now = self._clock.now()
            states = {one.scope: one.mode for one in await self._database.trading_states(tx)}
            if states.get(scope, TradingMode.RUNNING) is TradingMode.RUNNING:
                state = await self._database.reduce_trading(tx, scope=scope, reason=reason, actor=actor, at=now)
                await self._publish_state(tx, state)
            market_time = await self._exits.market_time(tx) or now
            count = await self._exits.want(tx, scope, kind=FLATTEN, reason=reason, actor=actor, at=market_time)
            await self._bus.publish(
                ExitsWanted(id=new_id(market_time), occurred_at=market_time, scope=scope), within=tx
            )
        return count

    # --- stops, for people ---

    async def stops(self, account: str | None = None, *, with_past: bool = False) -> list[dict[str, Any]]:
        """What protects each position, and with ``with_past`` what did."""
        return await self._stops.shown(self._manager, account, with_past=with_past)

    async def change_stop(
        self,
        which: str,
        *,
        price: Decimal | None = None,
        config: Mapping[str, Any] | None = None,
        is_loosened: bool = False,
        reason: str,
        actor: str,
    ) -> dict[str, Any]:
        """Of a live stop by its id or market: another price, or other rules, which may only tighten it at once unless
        ``is_loosened``."""
        at = await self.market_time()
        async with self._manager.transaction(is_bounded=True) as tx:
            return await self._stops.change(
                tx, which, price=price, config=config or {}, is_loosened=is_loosened, reason=reason, actor=actor, at=at
            )

    async def cancel_stop(self, which: str, reason: str, actor: str) -> str:
        """The id of the stop that is no more; its position has none until it is enlarged."""
        at = await self.market_time()
        async with self._manager.transaction(is_bounded=True) as tx:
            return await self._stops.cancel(tx, which, reason=reason, actor=actor, at=at)

    # --- locks and the circuit breaker, for people ---

    async def locks(self, *, with_past: bool = False) -> list[dict[str, Any]]:
        """What holds entries back in the market's present, the newest first."""
        return await self._guards.locks(self._manager, at=await self.market_time(), with_past=with_past)

    async def lift(self, id: UUID, reason: str, actor: str) -> None:
        """NotFound where there is no such lock, or it was lifted already."""
        at = await self.market_time()
        await self._guards.lift(self._manager, id, reason=reason, actor=actor, at=at)

    async def breakers(self, account: str | None = None) -> list[dict[str, Any]]:
        """The circuit breaker of every account, or of one."""
        return await self._guards.breakers(self._manager, account)

    async def hold_breaker_open(self, account: str | None, reason: str, actor: str) -> dict[str, Any]:
        """Until the next UTC day of the account's market, whatever it loses."""
        return await self._guards.hold_open(self._manager, account, reason=reason, actor=actor)

    async def regimes(self, *, count: int = 20) -> list[dict[str, Any]]:
        """How the markets of the venues changed, the newest first."""
        return await self._guards.regimes(self._manager, count=count)

    async def market_time(self) -> datetime:
        """Of the account marked last; the clock's where none was ever marked."""
        return await self._exits.market_time(self._manager) or self._clock.now()

    async def exits(self, scope: str, *, since: datetime) -> list[dict[str, Any]]:
        """What is being given up in the scope, and what was since a time, with what became of it."""
        return await self._exits.of_scope(self._manager, await self._known_scope(scope), since=since)

    async def trading_states(self) -> list[TradingState]:
        """Every scope that was ever changed, the tightest first; a scope that is not listed runs."""
        return await self._database.trading_states(self._manager)

    async def _known_scope(self, scope: str) -> str:
        """The scope as it is stored. UsageError for what is none, NotFound for what does not exist."""
        stored = await self._database.find_scope(self._manager, scope)
        if stored.startswith("class:"):
            raise UsageError(f"scope {scope!r}: classes have limits, but trading is not halted by them; name assets")
        return stored

    async def _publish_state(self, tx: Transaction, state: TradingState) -> None:
        changed = TradingStateChanged(
            id=new_id(state.changed_at),
            occurred_at=state.changed_at,
            scope=state.scope,
            mode=state.mode,
            reason=state.reason,
            actor=state.actor,
        )
        await self._bus.publish(changed, within=tx)
        log.warning("trading %s: %s", state.mode, state.reason, extra={"scope": state.scope, "actor": state.actor})


def _given_up(judgement: Judgement, words: str) -> Judgement:
    """The refusal of an approval that the database turned down each time."""
    check = Check(name="commit", value=None, limit=None, unit="", passed=False, detail=words)
    verdict = replace(
        judgement.verdict,
        disposition=Disposition.REFUSED,
        approved_quantity=NOTHING,
        checks=(*judgement.verdict.checks, check),
        reason=f"{check.name}: {words}",
    )
    return Judgement(verdict=verdict, order=None)


def _answer(event: SignalRaised, verdict: Verdict, approval: ApprovedOrder | None) -> OrderApproved | OrderRefused:
    """Its id is the row it reports, so that a second announcement of the same row is the same event."""
    if approval is not None:
        return OrderApproved(
            id=approval.approval_id,
            occurred_at=approval.approved_at,
            correlation_id=event.signal.id,
            causation_id=event.id,
            approval=approval,
        )
    failed = tuple(f"{check.name}: {check.detail}" for check in verdict.checks if not check.passed)
    return OrderRefused(
        id=verdict.id,
        occurred_at=verdict.decided_at,
        correlation_id=event.signal.id,
        causation_id=event.id,
        signal_id=event.signal.id,
        verdict_id=verdict.id,
        disposition=verdict.disposition,
        reasons=failed or (verdict.reason,),
    )
