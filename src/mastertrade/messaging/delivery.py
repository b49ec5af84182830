"""How events are handed to their consumers: workers, dead letters and drain, the same over every transport."""

import asyncio
import logging
from collections.abc import Sequence
from contextlib import suppress

from mastertrade.domain.events import Event
from mastertrade.messaging.attempts import Claim, cause_of_death, delay_s_after, error_text, is_excused
from mastertrade.messaging.bus import Handler, Subscription
from mastertrade.messaging.lines import Line, Lines
from mastertrade.messaging.transport import Transport
from mastertrade.shared.clock import Clock
from mastertrade.shared.errors import BadData, MasterTradeError
from mastertrade.shared.postgres_manager import Transaction

log = logging.getLogger(__name__)

HANDLER_TIMEOUT_S = 8.0
"""Less than the 10 s after which the server cuts an idle transaction, so that the log names the handler."""
STOP_TIMEOUT_S = 10.0
FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.1, 2.0
"""Between looks at a transport that does not answer."""
SHORTEST_WAIT_S = 0.005
"""Between the first looks of ``drain`` at events that are due but cannot begin: another process has their key in hand,
or they stand behind one that waits."""


class DeliveringBus(Transport):
    """The half of every bus that delivers, on top of how its transport stores, claims and gives back."""

    def __init__(self, *, clock: Clock, poll_s: float) -> None:
        self._clock = clock
        self._poll_s = poll_s
        self._lines = Lines()
        self._tasks: list[asyncio.Task[None]] = []
        self._poller: asyncio.Task[None] | None = None
        self._is_stopping = False
        self._cut: list[Claim] = []

    # --- life ---

    async def start(self, subscriptions: Sequence[Subscription]) -> None:
        names = [subscription.consumer for subscription in subscriptions]
        twice = sorted({name for name in names if names.count(name) > 1 or name in self._lines.consumers})
        if twice:
            raise ValueError(f"{', '.join(twice)}: a consumer is served once by one bus; give the second its own name")
        await self.declare(subscriptions)
        self._is_stopping = False
        for subscription in subscriptions:
            line = self._lines.add(subscription)
            for number in range(subscription.workers):
                self._tasks.append(asyncio.create_task(self._serve(line), name=f"bus.{line.consumer}.{number}"))
        if self._poller is None:
            self._poller = asyncio.create_task(self._poll(), name="bus.poll")

    async def stop(self) -> None:
        self._is_stopping = True
        poller, self._poller = self._poller, None
        tasks, self._tasks = self._tasks, []
        if poller is not None:
            poller.cancel()
            await asyncio.wait([poller])
        self._lines.wake(self._lines.consumers)
        if tasks:
            _, late = await asyncio.wait(tasks, timeout=STOP_TIMEOUT_S)
            for task in late:
                log.warning("%s did not finish within %g s and was cut", task.get_name(), STOP_TIMEOUT_S)
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        for claim in self._cut:
            with suppress(MasterTradeError):
                await self.fail(claim, delay_s=0.0, excused=True, error=None)
        self._cut.clear()
        self._lines.clear()

    # --- waiting for quiet ---

    async def drain(self, *, timeout_s: float) -> None:
        behind: dict[str, str] = {}
        try:
            async with asyncio.timeout(timeout_s) as limit:
                await self._drain(behind)
        except TimeoutError:
            if not limit.expired():
                raise
            behind = {**dict.fromkeys(self._lines.busy(), "in hand"), **behind}
            names = ", ".join(f"{consumer} ({state})" for consumer, state in sorted(behind.items()))
            raise TimeoutError(f"events not handled after {timeout_s:g} s: {names}") from None

    async def _drain(self, behind: dict[str, str]) -> None:
        pause_s = SHORTEST_WAIT_S
        while True:
            await self._lines.until_quiet()
            wakes = self._lines.wakes
            found = await self.waiting(self._lines.consumers)
            behind.clear()
            behind.update({each.consumer: f"{each.waiting} waiting" for each in found})
            if not found and wakes == self._lines.wakes and self._lines.are_quiet:
                return
            self._lines.wake_due(found)
            if found:
                first_due_s = min(each.due_in_s for each in found)
                await self._clock.sleep(min(max(first_due_s, pause_s), self._poll_s))
                pause_s *= 2

    async def _poll(self) -> None:
        """The truth, should a wake-up be lost; and the end of every back-off."""
        while True:
            await self._clock.sleep(self._poll_s)
            try:
                if idle := self._lines.with_hands_free():
                    self._lines.wake_due(await self.waiting(idle))
            except Exception as error:
                log.warning("the bus cannot look for waiting events: %s", error, exc_info=not is_excused(error))

    # --- work ---

    async def _serve(self, line: Line) -> None:
        pause_s = FIRST_PAUSE_S
        while not self._is_stopping:
            await line.wake.wait()
            if not line.wake.is_set():
                continue  # another worker looks already, and wakes the next one if there is more
            line.wake.clear()  # before looking: what is published from here on sets it again
            line.active += 1
            try:
                while await self._deliver_next(line) and not self._is_stopping:
                    pause_s = FIRST_PAUSE_S
            except Exception as error:
                unexpected = not is_excused(error)
                log.warning("%s is not served for %g s: %s", line.consumer, pause_s, error, exc_info=unexpected)
                line.wake.set()
                await self._clock.sleep(pause_s)
                pause_s = min(2 * pause_s, LONGEST_PAUSE_S)
            finally:
                line.active -= 1
                self._lines.changed.set()

    async def _deliver_next(self, line: Line) -> bool:
        """Handle one event. Returns whether to look for another at once."""
        claim: Claim | None = None
        is_counted = False
        try:
            async with self.begin(line.subscription) as tx:
                claim = await self.claim(tx, line)
                if claim is None:
                    return False
                line.busy_keys.add(claim.key)
                if claim.has_others and line.has_hands_free:
                    line.wake.set()  # one of them may be free
                await self.count_attempt(claim)
                is_counted = True
                more = await self._handle(line, claim, tx)
            return line.has_missed(claim.key) or more
        except Exception as error:
            if claim is None or not is_counted:
                raise
            if not tx.is_committed:
                await self._give_back(claim, error)
            else:
                log.exception("%s: %s is handled, but what follows failed", line.consumer, _name(claim))
            return True
        except asyncio.CancelledError:
            if claim is not None and is_counted and not tx.is_committed:
                self._cut.append(claim)
            raise
        finally:
            if claim is not None:
                line.busy_keys.discard(claim.key)
                self.release(claim)

    async def _handle(self, line: Line, claim: Claim, tx: Transaction) -> bool:
        if claim.is_seen:
            return await self.finish(tx, claim)
        if claim.is_dead:
            await self._set_aside(line, claim, tx)
            return True
        event = line.event_of(claim)
        await _within_time(line.subscription.handlers[type(event)], event, tx, claim)
        return await self.finish(tx, claim)

    async def _set_aside(self, line: Line, claim: Claim, tx: Transaction) -> None:
        cause = cause_of_death(claim)
        hook = line.subscription.on_dead_letter
        event = _readable(line, claim)
        if hook is not None and event is not None and not claim.is_hook_spent:
            await _within_time(hook, event, tx, claim)
        await self.bury(tx, claim, error=cause, died_at=self._clock.now())
        log.error("%s: %s is a dead letter after %d tries: %s", line.consumer, _name(claim), claim.attempts, cause)

    async def _give_back(self, claim: Claim, error: Exception) -> None:
        excused = is_excused(error)
        delay_s = delay_s_after(claim, excused=excused)
        log.warning(
            "%s: try %d of %s failed, next in %g s: %s",
            claim.consumer, claim.started + 1, _name(claim), delay_s, str(error) or type(error).__name__,
            exc_info=None if excused else error,
        )  # fmt: skip
        pause_s = FIRST_PAUSE_S
        while not self._is_stopping:
            try:
                return await self.fail(claim, delay_s=delay_s, excused=excused, error=error_text(claim, error))
            except MasterTradeError as obstacle:
                if not obstacle.retryable:
                    raise
                await self._clock.sleep(pause_s)
                pause_s = min(2 * pause_s, LONGEST_PAUSE_S)


async def _within_time(handler: Handler, event: Event, tx: Transaction, claim: Claim) -> None:
    try:
        async with asyncio.timeout(HANDLER_TIMEOUT_S) as limit:
            await handler(event, tx)
    except TimeoutError as error:
        if limit.expired():
            raise TimeoutError(
                f"{claim.consumer} took longer than {HANDLER_TIMEOUT_S:g} s over {_name(claim)}"
            ) from error
        raise


def _readable(line: Line, claim: Claim) -> Event | None:
    """What cannot be read cannot be told to the hook either; the dead letter keeps its payload."""
    try:
        return line.event_of(claim)
    except BadData:
        return None


def _name(claim: Claim) -> str:
    return f"{claim.event_type} {claim.event_id}"
