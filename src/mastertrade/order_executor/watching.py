"""Bringing one account's books and its venue together: hear, ask, compare; then send what waits."""

import asyncio
import logging
from collections.abc import Awaitable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal
from typing import TypeVar
from uuid import UUID

from mastertrade.domain.orders import Fill, Order, OrderStatus
from mastertrade.exchanges.exchange import StreamingVenue, SwapVenue, Venue, VenueOrder
from mastertrade.order_executor.answers import Silence, is_absent
from mastertrade.order_executor.books import Books
from mastertrade.order_executor.config import ExecutorSettings
from mastertrade.order_executor.hearing import Hearing, Mention
from mastertrade.order_executor.postgres_database import ExecutorPostgresDatabase
from mastertrade.order_executor.reconciliation import AccountState, Break, Ours, Theirs, compare, is_ours
from mastertrade.order_executor.sending import Sender
from mastertrade.order_executor.settlements import Settlements
from mastertrade.order_executor.settling import Settling
from mastertrade.shared.clock import Clock
from mastertrade.shared.errors import DatabaseBusy, DatabaseDown, DatabaseError, LeaseLost
from mastertrade.shared.postgres_manager import PostgresManager

log = logging.getLogger(__name__)
T = TypeVar("T")

LATE_FILLS = timedelta(days=1)
"""So long after its end an order's market is looked at for fills nobody has heard of."""
COMPARED_EVERY = timedelta(seconds=60)
"""While the account is live and nothing differs; else at every look."""
TOLD_EVERY = timedelta(seconds=30)
"""What is wrong, as alerts."""
INFERRED_AFTER = timedelta(seconds=60)
"""That a venue counts more in an order than it tells fills of."""
SILENCES = 3
"""Unanswered questions after which a look asks no more."""


class NoAnswer(Exception):
    """A venue did not answer a question. Nothing is known by that, and the other questions are asked."""


class Watcher:
    """One account at one venue. Looking twice changes nothing."""

    def __init__(
        self,
        account_id: UUID,
        venue: Venue,
        *,
        settings: ExecutorSettings,
        clock: Clock,
        manager: PostgresManager,
        database: ExecutorPostgresDatabase,
        books: Books,
        sender: Sender,
        settling: Settling,
        listens: bool = False,
    ) -> None:
        self._account_id = account_id
        self._venue = venue
        self._settings = settings
        self._clock = clock
        self._manager = manager
        self._database = database
        self._books = books
        self._sender = sender
        self._settling = settling
        self._settlements = Settlements(account_id, clock=clock, manager=manager, database=database)
        self._since = clock.now()
        self._cursor: str | None = None
        self._state = AccountState.RECOVERING
        self._compared_at: datetime | None = None
        self._has_doubts = False
        self._told_at: datetime | None = None
        self._untold: dict[str, tuple[Decimal, datetime]] = {}
        self._listens = listens
        self._doubts: dict[UUID, list[str]] = {}
        self._booking = asyncio.Lock()
        """Fills are booked by a look, or because of news, and never between two questions of a comparison."""
        self._is_compared_next = False
        self.hearing = Hearing()

    async def look(self) -> bool:
        """True while orders are still open, or while the venue does not tell all it should."""
        for order in await self._active():
            if self._is_left(order):
                await self._books.move(order, OrderStatus.UNKNOWN, payload={"reason": "left without an answer"})
        try:
            await self._hear_and_compare()
            has_told = True
        except NoAnswer as silence:
            has_told = False
            await self._recover(f"{self._venue.name} did not tell: {silence}")
        waiting = [order for order in await self._active() if order.status is OrderStatus.NEW]
        unwanted = await self._unwanted(waiting)
        for order in waiting:
            if order.id in unwanted:
                payload = {"reason": f"cancelled before it was sent, {unwanted[order.id]}"}
                await self._books.move(order, OrderStatus.CANCELED, payload=payload)
            elif order.approval_id is not None:
                await self._sender.submit(order.id)
        now = self._clock.now()
        if self._told_at is None or now - self._told_at >= TOLD_EVERY:
            self._told_at = now
            await self._books.settle_alerts(self._account_id)
        return not has_told or self._state is not AccountState.LIVE or bool(await self._active())

    def _is_left(self, order: Order) -> bool:
        """By an earlier process, or by this one when its commit was not answered. What this one has just committed is
        sent in the same breath; it is left only when its time to be sent is over."""
        if order.status is not OrderStatus.SUBMITTING:
            return False
        if order.signed_at is None or order.signed_at <= self._since or self._sender.has_left(order.id):
            return True
        return order.send_by is None or self._clock.now() > order.send_by

    def compare_next(self) -> None:
        """With the next look, whenever the last comparison was."""
        self._is_compared_next = True

    async def follow_up(self, told: Sequence[Mention]) -> list[Mention]:
        """Ask about orders there is news of: for fills of their markets, and what became of those that ended or whose
        fate is not known. Returns those of which the venue does not show yet what the news say."""
        traded = sorted({one.symbol for one in told if one.has_traded})
        if traded:
            async with self._booking:
                await self._book_fills(traded)
        behind = [one for one in told if one.has_traded and not self.hearing.has_booked(one)]
        asked = [one for one in told if one.is_over or not one.has_traded]
        orders = await self._active() if asked else []
        by_name = {name: order for order in orders for name in (order.client_order_id, order.exchange_order_id) if name}
        for one in asked:
            order = by_name.get(one.client_order_id) or by_name.get(one.exchange_order_id)
            if order is None or order.status in (OrderStatus.NEW, OrderStatus.SUBMITTING):
                continue
            if one.is_over or order.status is OrderStatus.UNKNOWN:
                answer = await self._answer(
                    self._venue.find(order.client_order_id, order.symbol, since=order.signed_at)
                )
                if answer is not None:
                    await self._books.hear(order, answer)
                if one not in behind and one.is_over and (answer is None or not answer.status.is_final):
                    behind.append(one)
        return [replace(one, times_asked=one.times_asked + 1) for one in behind]

    async def _hear_and_compare(self) -> None:
        """Fills first, then orders, then, when it is time, balances. NoAnswer when the venue leaves out any of it."""
        compares = self._is_time_to_compare()
        async with self._booking if compares else nullcontext():
            await self._hear(compares=compares)

    async def _hear(self, *, compares: bool) -> None:
        silence: NoAnswer | None = None
        try:
            async with nullcontext() if compares else self._booking:
                await self._book_fills()
        except NoAnswer as error:
            silence = error
        placed = [order for order in await self._active() if order.status is not OrderStatus.NEW]
        symbols = sorted({order.symbol for order in placed})
        resting: Sequence[VenueOrder] | None = None
        try:
            resting = await self._answer(self._venue.open_orders(symbols)) if symbols else ()
        except NoAnswer as error:
            silence = silence or error
        shown = {theirs.client_order_id: theirs for theirs in resting or ()}
        unwanted = await self._unwanted(placed)
        answers: dict[str, VenueOrder | None] = {}
        silences = 0
        for order in placed:
            try:
                answers[order.client_order_id] = answer = shown.get(order.client_order_id) or await self._answer(
                    self._venue.find(order.client_order_id, order.symbol, since=order.signed_at)
                )
                if answer is not None:
                    if silence is None:
                        await self._infer_fills(order, answer)
                    await self._act_on(order, answer, unwanted.get(order.id))
                elif silence is None:
                    await self._consider_absent(order)
            except NoAnswer as error:
                log.warning("venue did not answer", extra={"order_id": str(order.id), "error": str(error)})
                silence, silences = silence or error, silences + 1
                if silences == SILENCES:
                    break
        await self._settle(placed, answers, has_told=silence is None and resting is not None)
        if silence is not None or resting is None:
            raise silence or NoAnswer("no list of open orders")
        ended = await self._strangers(resting, placed)
        if compares:
            await self._compare(resting, answers, ended)

    def _is_time_to_compare(self) -> bool:
        return (
            self._state is not AccountState.LIVE
            or self._has_doubts
            or self._is_compared_next
            or self._compared_at is None
            or self._clock.now() - self._compared_at >= COMPARED_EVERY
        )

    async def _compare(
        self, resting: Sequence[VenueOrder], answers: Mapping[str, VenueOrder | None], ended: Mapping[str, OrderStatus]
    ) -> None:
        positions: Mapping[str, Decimal] = {}
        symbols = await self._settlements.symbols() if isinstance(self._venue, SwapVenue) else []
        if isinstance(self._venue, SwapVenue):
            await self._answer(self._settlements.book(self._venue, symbols))
            positions = await self._answer(self._venue.positions(symbols))
        balances = await self._answer(self._venue.balances())
        booked = await self._book_fills()
        if isinstance(self._venue, SwapVenue):
            booked += await self._answer(self._settlements.book(self._venue, symbols))
        if booked > 0:
            return  # balances from before or after them: the next look compares
        ours = Ours(
            orders=await self._active(),
            ended=ended,
            balances=await self._database.account_totals(self._manager, self._account_id),
            positions=await self._settlements.contracts(),
            claimed=await self._settlements.claimed(),
        )
        found = compare(ours, Theirs(resting=resting, answers=answers, balances=balances, positions=positions))
        self._is_compared_next = False
        self._compared_at, self._has_doubts = self._clock.now(), any(one.blocks for one in found)
        before = self._state
        self._state = await self._database.record_comparison(
            self._manager, self._account_id, found, at=self._compared_at
        )
        self._tell(before, found)

    def _tell(self, before: AccountState, found: Sequence[Break]) -> None:
        facts = {"account_id": str(self._account_id), "state": self._state.value}
        if self._state is AccountState.LIVE:
            if before is not AccountState.LIVE:
                log.info("account reconciled", extra=facts)
        elif self._has_doubts:
            log.error("our books and the venue differ", extra={**facts, "breaks": [one.detail for one in found]})

    async def _recover(self, reason: str) -> None:
        log.warning("venue is silent", extra={"venue": self._venue.name, "reason": reason})
        if self._state is not AccountState.RECOVERING or self._compared_at is None:
            self._state, self._compared_at = AccountState.RECOVERING, self._clock.now()
            await self._database.begin_recovery(self._manager, self._account_id, reason=reason, at=self._clock.now())

    async def _strangers(self, resting: Sequence[VenueOrder], placed: Sequence[Order]) -> Mapping[str, OrderStatus]:
        """Adopt what carries our mark and has no row. What ended in our books and rests there is called back."""
        known = {order.client_order_id for order in placed}
        unknown = {one.client_order_id: one for one in resting if one.client_order_id not in known}
        found = await self._database.statuses(self._manager, list(unknown))
        for client_order_id, theirs in unknown.items():
            status = found.get(client_order_id)
            if status is None and is_ours(client_order_id):
                await self._books.adopt(self._account_id, theirs)
            elif status is not None and status.is_final:
                log.error("an order that ended rests at the venue", extra={"client_order_id": client_order_id})
                await self._answer(self._venue.cancel(client_order_id, theirs.symbol))
        return {id: status for id, status in found.items() if status.is_final}

    async def _act_on(self, order: Order, answer: VenueOrder, unwanted: str | None) -> None:
        """``unwanted``: who wants it cancelled. What others placed on the account is theirs to cancel, unless somebody
        asked us to."""
        await self._books.hear(order, answer)
        if unwanted is None and is_ours(order.client_order_id):
            unwanted = self._why_over(order)
        if (
            unwanted is not None
            and answer.status in (OrderStatus.OPEN, OrderStatus.PARTIALLY_FILLED)
            and order.status is not OrderStatus.UNKNOWN
        ):
            await self._cancel(order, unwanted)

    async def _infer_fills(self, order: Order, answer: VenueOrder) -> None:
        """What a venue counts in an order, and whose fills it has not told for a while although it told all it has, is
        booked from its word: its price is the order's average, its fee unknown. Real fills take its place."""
        told, before = answer.filled_quantity, self._untold.pop(order.client_order_id, None)
        identity = (answer.side, answer.symbol, answer.quantity)
        if told <= order.filled_quantity or identity != (order.side, order.symbol, order.quantity):
            return
        now = self._clock.now()
        since = before[1] if before is not None and before[0] == told else now
        price = answer.average_price or order.price
        if now - since >= INFERRED_AFTER and price is not None and told <= order.quantity:
            await self._books.infer(order, answer, price)
        else:
            self._untold[order.client_order_id] = (told, since)

    def _why_over(self, order: Order) -> str | None:
        """An order with a time of its own stands until then, any other as long as our settings let it."""
        now, minutes = self._clock.now(), self._settings.order_timeout_minutes
        if (ends := order.terms.expires_at) is not None:
            return f"its time ended at {ends:%Y-%m-%d %H:%M:%S} UTC" if order.terms.is_over(now) else None
        return f"open for over {minutes} minutes" if order.order_time + timedelta(minutes=minutes) < now else None

    async def _answer(self, question: Awaitable[T]) -> T:
        """What a venue tells in time, or NoAnswer. A database that is lost meanwhile is no matter of the venue's."""
        try:
            async with asyncio.timeout(self._settings.venue_timeout_s):
                return await question
        except (DatabaseDown, DatabaseBusy, DatabaseError, LeaseLost):
            raise
        except Exception as error:
            raise NoAnswer(f"{type(error).__name__}: {error}") from error

    async def _consider_absent(self, order: Order) -> None:
        """Only of an order whose fate is unknown, at a venue that told all its fills and open orders: one of them may
        have been its."""
        if order.status is not OrderStatus.UNKNOWN or order.send_by is None:
            return
        await self._database.note_absent(self._manager, order.id, at=self._clock.now())
        doubts = await self._database.absence_doubts(self._manager, order.id)
        if self._listens and (doubt := self.hearing.doubt()) is not None:
            doubts.append(doubt)
        silence = Silence(
            send_by=order.send_by,
            venue_now=await self._answer(self._venue.now()),
            processing_limit=timedelta(seconds=self._settings.venue_processing_limit_s),
            absent_answers=await self._database.absent_answers(self._manager, order.id),
            is_among_open_orders=False,
            has_fills=order.filled_quantity > 0,
            doubts=doubts,
        )
        if doubts and self._doubts.get(order.id) != doubts and is_absent(replace(silence, doubts=())):
            self._doubts[order.id] = doubts
            await self._database.note_doubt(self._manager, order.id, doubts=doubts, at=self._clock.now())
        if is_absent(silence):
            payload = {"reason": "the venue never had it", "answers": len(silence.absent_answers)}
            await self._books.move(order, OrderStatus.NOT_FOUND, payload=payload)

    async def _settle(
        self, placed: Sequence[Order], answers: Mapping[str, VenueOrder | None], *, has_told: bool
    ) -> None:
        """What people say became of orders, held against what the venue says of them."""
        said = await self._settling.said_of(placed)
        for order in placed:
            if (word := said.get(order.id)) is not None:
                answer = answers.get(order.client_order_id)
                await self._settling.settle(order, word, answer, has_answered=has_told or answer is not None)

    async def _cancel(self, order: Order, reason: str) -> None:
        if order.status is not OrderStatus.PENDING_CANCEL:
            await self._books.move(order, OrderStatus.PENDING_CANCEL, payload={"reason": reason})
        try:
            await self._answer(self._venue.cancel(order.client_order_id, order.symbol))
        except NoAnswer as silence:
            log.warning(
                "cancel not confirmed; asked again at the next look",
                extra={"order_id": str(order.id), "error": str(silence)},
            )

    async def _book_fills(self, only: Sequence[str] = ()) -> int:
        """Apply the venue's fills from where we stopped, or ``only`` those of some markets; the cursor moves on only
        when all of a page is booked. How many were new."""
        if self._cursor is None:
            self._cursor = await self._database.cursor(self._manager, self._account_id)
        ask, symbols = self._venue.fills, only
        if only and isinstance(self._venue, StreamingVenue):
            ask = self._venue.fills_of
        else:
            since = self._clock.now() - LATE_FILLS
            symbols = await self._database.traded_symbols(self._manager, self._account_id, since=since)
        booked = 0
        while True:
            page = await self._answer(ask(self._cursor, symbols))
            booked += await self._book(page.fills)
            if page.cursor == self._cursor:
                return booked
            await self._database.save_cursor(self._manager, self._account_id, page.cursor, at=self._clock.now())
            self._cursor = page.cursor

    async def _book(self, fills: Sequence[Fill]) -> int:
        """How many were new. One that cannot be booked is kept in quarantine, and the next ones are not held up by
        it."""
        outcomes = await self._books.apply(self._account_id, fills)
        asked: dict[str, VenueOrder | None] = {}
        for place, fill in enumerate(fills):
            if outcomes[place] == "unknown_order":
                if fill.client_order_id not in asked:
                    asked[fill.client_order_id] = await self._answer(
                        self._venue.find(fill.client_order_id, fill.symbol)
                    )
                outcomes[place] = await self._book_to(asked[fill.client_order_id], fill)
            if outcomes[place] not in ("applied", "duplicate"):
                await self._books.quarantine(self._account_id, fill, outcomes[place])
        self.hearing.books(fills, self._clock.now())
        return outcomes.count("applied")

    async def _book_to(self, theirs: VenueOrder | None, fill: Fill) -> str:
        """What becomes of a fill of an order that is not in our books under the fill's name: the venue may know that
        order by one that is; else it is adopted."""
        if theirs is None:
            return "unknown_order"
        named = replace(fill, client_order_id=theirs.client_order_id)
        (outcome,) = await self._books.apply(self._account_id, [named])
        if outcome == "unknown_order" and await self._books.adopt(self._account_id, theirs):
            (outcome,) = await self._books.apply(self._account_id, [named])
        return outcome

    async def _active(self) -> list[Order]:
        """Those of the account that are not being sent at this moment."""
        orders = await self._database.active_orders(self._manager, self._account_id)
        return [order for order in orders if not self._sender.is_sending(order.id)]

    async def _unwanted(self, orders: Sequence[Order]) -> dict[UUID, str]:
        return await self._database.wanted_cancelled(self._manager, [order.id for order in orders])
