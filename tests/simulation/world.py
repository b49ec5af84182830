"""One seed's life of orders: processes that die and stand still, a venue that lies, commits that are lost; then
everything heals, and what the venue knows is held against what we have written."""

import asyncio
import hashlib
import random
from collections import Counter
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

from mastertrade.domain.events import OrderApproved
from mastertrade.domain.orders import ApprovedOrder, OrderType, Side, client_order_id
from mastertrade.exchanges.exchange import AccountNews, Listening
from mastertrade.order_executor.config import ExecutorSettings
from mastertrade.order_executor.service import OrderExecutor
from mastertrade.postgres.lease import Lease
from mastertrade.shared.errors import LeaseLost, MasterTradeError
from mastertrade.shared.serialization import new_id
from tests.postgres.executor_seed import RecordingBus
from tests.simulation.swap_books import check_contracts
from tests.simulation.swap_venue import SimulatedSwapVenue
from tests.simulation.venue import Faults, SimulatedVenue
from tests.simulation.virtual import (
    RealDatabase,
    SimulatedManager,
    VirtualClock,
    VirtualLoop,
    Weather,
)

START = datetime(2026, 1, 5, 12, 0, tzinfo=UTC)
CASH = Decimal(1_000_000)
SYMBOL, SWAP = "BTC/USDT", "BTC/USDT:USDT"
LAST_DIGITS = Decimal("1e-16")
"""Of an average cost, which the venue rounds in its own way."""
HEALING_S, LOOK_EVERY_S = 600.0, 20.0
WEATHER_LASTS_S = 300.0
SEND_WINDOW = timedelta(seconds=6)
"""Of the executor, and what a venue's clock may be behind."""
AIMS = ("begin_send", "begin_send", "move_order", "apply_fill", "INSERT INTO orders")
FINAL = ("FILLED", "CANCELED", "EXPIRED", "REJECTED", "NOT_FOUND")

SEED_SQL = """
CREATE SEQUENCE simulated_number;
CREATE FUNCTION simulated_approval(
    p_account uuid, p_strategy uuid, p_instrument int, p_side text, p_quantity numeric, p_at timestamptz,
    p_until timestamptz, p_ids uuid[]
) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    v_symbol text := (SELECT symbol FROM instruments WHERE id = p_instrument);
    v_is_swap boolean := v_symbol LIKE '%:%';
BEGIN
    INSERT INTO signals (id, strategy_id, account_id, instrument_id, symbol, signal_type, timeframe_s, bar_close,
                         confidence, price, timestamp, valid_until)
    VALUES (p_ids[1], p_strategy, p_account, p_instrument, v_symbol, p_side, 60,
            p_at + nextval('simulated_number') * interval '1 us', 75, 100, p_at, p_until);
    INSERT INTO verdicts (id, signal_id, disposition, requested_quantity, approved_quantity, reason, decided_at)
    VALUES (p_ids[2], p_ids[1], 'approved', p_quantity, p_quantity, 'all checks passed', p_at);
    IF NOT reserve_balance(p_ids[3], p_account, CASE WHEN p_side = 'BUY' OR v_is_swap THEN 'USDT' ELSE 'BTC' END,
                           CASE WHEN v_is_swap THEN p_quantity * 51 WHEN p_side = 'BUY' THEN p_quantity * 101
                                ELSE p_quantity END, p_at) THEN
        RAISE EXCEPTION 'nothing free';
    END IF;
    INSERT INTO approvals (id, verdict_id, signal_id, strategy_id, account_id, instrument_id, side, order_type,
                           quantity, reduces, reservation_id, approved_at, valid_until)
    VALUES (p_ids[4], p_ids[2], p_ids[1], p_strategy, p_account, p_instrument, p_side, 'MARKET', p_quantity,
            p_side = 'SELL' AND NOT v_is_swap, p_ids[3], p_at, p_until);
END $$;
"""
APPROVE = "SELECT simulated_approval($1, $2, $3, $4, $5, $6, $7, $8)"


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """How long faults fly, how many orders live in that time, and how many troubles there are besides what the venue
    and the wire do at every question."""

    seconds: float
    orders: tuple[int, int]
    troubles: tuple[int, int]


MINUTE = Span(seconds=60.0, orders=(4, 8), troubles=(2, 5))
HOUR = Span(seconds=3_600.0, orders=(220, 260), troubles=(260, 300))
FAULTS = {
    "death": "a process died",
    "takeover": "a process was taken over while it stood still",
    "stands still": "a process stood still",
    "silence": "the venue fell silent",
    "a question was lost": "a question was lost on its way to the venue",
    "an answer was lost": "an answer of the venue was lost",
    "a commit was lost": "a commit was lost",
    "the answer to a commit was lost": "the answer to a commit was lost",
    "order travels": "an order came late, its sender having given up",
    "a list was stale": "a list of open orders was stale",
    "fills were told twice": "fills were repeated and reordered",
    "fills were counted and not told": "the list of fills was behind what orders count",
    "refused order": "an order was refused",
    "the stream broke": "the account's stream broke",
    "news were lost": "the account's stream left something out",
    "news came twice": "the account's stream told something twice",
    "news of nothing": "the account's stream told what never was",
}
"""What the journal calls them, and what they are."""


class Broken(AssertionError):
    """A promise that did not hold in a world, with the seed that shows it."""


@dataclass
class Process:
    """One executor process: its tasks die together, and stand still together."""

    executor: OrderExecutor
    tasks: list["asyncio.Task[Any]"] = field(default_factory=list)
    awake: asyncio.Event = field(default_factory=asyncio.Event)

    def everything(self) -> "list[asyncio.Task[Any] | None]":
        return [*self.tasks, *self.executor._listening, self.executor._monitor]

    def die(self) -> None:
        for task in self.everything():
            if task is not None:
                task.cancel()


@dataclass
class World:
    seed: int
    real: RealDatabase
    span: Span = MINUTE
    symbol: str = SYMBOL
    journal: list[str] = field(default_factory=list)
    figures: Counter[str] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        self.rng = random.Random(self.seed)
        self.loop = VirtualLoop(random.Random(self.rng.random()))
        self.clock = VirtualClock(self.loop, START)
        self.luck = random.Random(self.seed)
        self.listens = self.span is HOUR or self.seed % 2 == 0
        self.weather = Weather(random.Random(self.rng.random()), suffer=self.suffer)
        self.delivered: set[UUID] = set()
        self.approvals: dict[UUID, OrderApproved] = {}
        self.process: Process | None = None
        self.processes: list[Process] = []
        self.sleepers: list[Process] = []

    @property
    def _is_swap(self) -> bool:
        return self.symbol == SWAP

    def note(self, what: str) -> None:
        self.journal.append(f"{self.loop.time():9.3f} {what}")

    def suffer(self, fault: str, details: str = "") -> None:
        self.figures[FAULTS[fault]] += 1
        self.note(f"{fault} {details}".rstrip())

    def digest(self) -> str:
        return hashlib.sha256("\n".join(self.journal).encode()).hexdigest()

    def run(self) -> None:
        asyncio.set_event_loop(self.loop)
        try:
            self.loop.run_until_complete(self._live())
        finally:
            self._end()

    def _end(self) -> None:
        for task in asyncio.all_tasks(self.loop):
            task.cancel()
        tasks = [task for process in self.processes for task in process.everything() if task is not None]
        ends = self.loop.run_until_complete(asyncio.gather(*tasks, return_exceptions=True))
        self.loop.close()
        asyncio.set_event_loop(None)
        expected = (asyncio.CancelledError, MasterTradeError, type(None))
        if odd := [end for end in ends if not isinstance(end, expected)]:
            raise Broken(f"seed {self.seed}: a task ended with {odd[0]!r}") from odd[0]

    # --- life ---

    async def _live(self) -> None:
        self._settle_in()
        await self._start_process()
        draws = [self._approve() for _ in range(self.rng.randint(*self.span.orders))]
        troubles = [self._trouble() for _ in range(self.rng.randint(*self.span.troubles))]
        await asyncio.gather(self._trade(self.span.seconds), self._changing_weather(), *draws, *troubles)
        await self._heal()
        self.check()
        self.figures["orders"] += len(self.approvals)
        self.figures["orders at the venue"] += len(self.venue.truth)
        self.figures["fills"] += len(self.venue.filled)
        self.figures["processes"] += len(self.processes)
        given_back = "SELECT count(*) FROM reversed_fills r JOIN orders o ON o.id = r.order_id WHERE o.account_id = $1"
        self.figures["inferred fills given back for real ones"] += self.real.run(
            self.real.manager.fetchval(given_back, self.account)
        )

    def _settle_in(self) -> None:
        run, manager = self.real.run, self.real.manager
        self.account: UUID = run(
            manager.fetchval(
                "INSERT INTO accounts (name, venue, kind, leverage) VALUES (gen_random_uuid()::text, 'sim', $1, $2) "
                "RETURNING id",
                "swap" if self._is_swap else "spot", 2 if self._is_swap else 1,
            )
        )  # fmt: skip
        run(manager.execute("SELECT deposit($1::uuid, 'USDT', $2, $1::uuid::text, $3)", self.account, CASH, START))
        of_symbol = "SELECT id FROM instruments WHERE venue = 'sim' AND symbol = $1"
        self.instrument = run(manager.fetchval(of_symbol, self.symbol))
        self.strategy: UUID = run(manager.fetchval("SELECT id FROM strategies WHERE name = 'sim'"))
        self.venue = (SimulatedSwapVenue if self._is_swap else SimulatedVenue)(
            name="sim", symbol=self.symbol, clock=self.clock, rng=random.Random(self.rng.random()), cash=CASH,
            note=self.note, suffer=self.suffer,
        )  # fmt: skip
        self._draw_weather()

    async def _changing_weather(self) -> None:
        while self.loop.time() + WEATHER_LASTS_S < self.span.seconds:
            await asyncio.sleep(WEATHER_LASTS_S)
            self._draw_weather()

    def _draw_weather(self) -> None:
        draw = self.rng.random
        is_silent = self.venue.faults.silent
        self.venue.faults = Faults(
            unheard=draw() * 0.4 if draw() < 0.5 else 0, unanswered=draw() * 0.4 if draw() < 0.6 else 0,
            late=draw() * 0.8 if draw() < 0.5 else 0, refused=0.2 if draw() < 0.2 else 0,
            stale_lists=draw() * 0.5 if draw() < 0.3 else 0, repeated_fills=0.5 if draw() < 0.4 else 0,
            fills_lag_s=draw() * 20 if draw() < 0.5 else 0, delay_s=draw() ** 4 * 3,
            skew_s=self.rng.uniform(-1, 1) if draw() < 0.3 else 0, silent=is_silent,
            untold_fills_s=20 + draw() * 100 if draw() < 0.3 else 0, **self._draw_stream(),
        )  # fmt: skip
        self.weather.lost_commits = draw() * 0.1 if draw() < 0.5 else 0
        self.liquidity = draw() ** 2
        self.weather.aims_at = self.rng.choice(AIMS)

    def _draw_stream(self) -> dict[str, float]:
        draw = self.luck.random
        return {
            "news_lost": draw() if draw() < 0.4 else 0, "news_twice": draw() if draw() < 0.4 else 0,
            "news_of_nothing": draw() if draw() < 0.5 else 0,
            "stream_breaks": draw() * 0.3 if draw() < 0.7 else 0,
        }  # fmt: skip

    async def _start_process(self) -> None:
        """As ``serve`` does: the lease, a first look, then events."""
        epoch = self.real.run(
            self.real.manager.fetchval("SELECT take_lease($1, 'sim', $2)", str(self.account), self.clock.now())
        )
        process: Process

        async def gate() -> None:
            await asyncio.sleep(0)
            await process.awake.wait()

        manager = SimulatedManager(self.real, self.weather, gate)
        venue = (GatedSwapVenue if self._is_swap else GatedVenue)(self.venue, gate)
        executor = OrderExecutor(
            settings=ExecutorSettings(),
            clock=self.clock,
            bus=RecordingBus(),
            manager=manager,  # type: ignore[arg-type]
            venues={self.account: venue},  # type: ignore[dict-item]
            lease=Lease(role=str(self.account), epoch=epoch),
            listens=self.listens,
        )
        process = self.process = Process(executor)
        self.processes.append(process)
        process.awake.set()
        process.tasks.append(self.loop.create_task(self._serve(process, manager)))
        self.note(f"a process with epoch {epoch}")

    async def _serve(self, process: Process, manager: SimulatedManager) -> None:
        while True:
            try:
                await process.executor.start()
                break
            except LeaseLost:
                return
            except MasterTradeError:
                await asyncio.sleep(1)  # started anew
        while True:
            for approval_id, event in list(self.approvals.items()):
                if approval_id not in self.delivered:
                    process.tasks.append(self.loop.create_task(self._deliver(process, manager, event)))
            await asyncio.sleep(0.5)

    async def _deliver(self, process: Process, manager: SimulatedManager, event: OrderApproved) -> None:
        """As the bus does: again and again until the handler's transaction has committed."""
        try:
            async with manager.transaction() as tx:
                await process.executor.on_order_approved(event, tx)  # type: ignore[arg-type]

                async def committed() -> None:
                    self.delivered.add(event.approval.approval_id)

                tx.after.insert(0, committed)
        except MasterTradeError:
            pass

    async def _trade(self, seconds: float) -> None:
        while self.loop.time() < seconds:
            await asyncio.sleep(self.rng.uniform(0.2, 4))
            if self.rng.random() < self.liquidity:
                self.venue.trade()
            if problems := [*self._check_reservations(), *self._check_endings()]:
                raise Broken("\n".join([f"seed {self.seed}:", *problems, "", *self.journal[-60:]]))

    async def _approve(self) -> None:
        """An approval at some time, sometimes wanted cancelled later."""
        await asyncio.sleep(self.rng.uniform(0, self.span.seconds * 0.7))
        now, quantity = self.clock.now(), Decimal(self.rng.randint(1, 50)) / 100
        sells = self.rng.random() < (0.5 if self._is_swap else 0.3)
        side = Side.SELL if sells and (self._is_swap or self._free("BTC") >= quantity) else Side.BUY
        signal, verdict, reservation, approval = ids = [new_id(now) for _ in range(4)]
        until = now + timedelta(seconds=30)
        self.real.run(
            self.real.manager.execute(
                APPROVE, self.account, self.strategy, self.instrument, side.value, quantity, now, until, ids
            )
        )  # fmt: skip
        self.venue.labels[client_order_id(approval, 1)] = f"order {len(self.approvals)}"
        self.note(f"approved order {len(self.approvals)}: {side} {quantity}")
        self.approvals[approval] = OrderApproved(
            id=new_id(now), occurred_at=now, correlation_id=signal, causation_id=verdict,
            approval=ApprovedOrder(
                approval_id=approval, verdict_id=verdict, signal_id=signal, strategy_id=self.strategy,
                account_id=self.account, reservation_id=reservation, instrument_id=self.instrument, symbol=self.symbol,
                side=side, type=OrderType.MARKET, quantity=quantity, limit_price=None,
                reduces=side is Side.SELL and not self._is_swap,
                approved_at=now, valid_until=until,
            ),
        )  # fmt: skip
        if self.rng.random() < 0.3:
            await asyncio.sleep(self.rng.uniform(5, 30))
            self.note("somebody wants everything cancelled")
            self.real.run(
                self.real.manager.fetchval(
                    "SELECT want_cancelled(NULL, NULL, $1, 'sim', 'sim', $2)", self.account, self.clock.now()
                )
            )

    def _free(self, asset: str) -> Decimal:
        found = self.real.run(
            self.real.manager.fetchval(
                "SELECT free_balance FROM portfolio_balances WHERE account_id = $1 AND asset = $2", self.account, asset
            )
        )
        return found or Decimal(0)

    async def _trouble(self) -> None:
        await asyncio.sleep(self.rng.uniform(0, self.span.seconds))
        kind = self.rng.choice(("death", "death", "takeover", "silence", "stands still"))
        self.suffer(kind)
        assert self.process is not None
        if kind == "silence":
            self.venue.faults.silent = True
            await asyncio.sleep(self.rng.uniform(1, 25))
            self.venue.faults.silent = False
            return
        before = self.process
        if kind == "death":
            before.die()
            await asyncio.sleep(self.rng.uniform(0, 10))
            if self.process is before:
                await self._start_process()
            return
        before.awake.clear()
        if kind == "takeover":
            await asyncio.sleep(self.rng.uniform(0, 3))
            self.sleepers.append(before)
            if self.process is before:
                await self._start_process()
        await asyncio.sleep(self.rng.uniform(0, 15))
        before.awake.set()  # it wakes, and may not know that it was replaced

    async def _heal(self) -> None:
        self.note("everything heals")
        self.venue.faults = Faults()
        self.weather.lost_commits = 0
        assert self.process is not None
        self.process.awake.set()
        for sleeper in self.sleepers:
            sleeper.awake.set()
        self.process.die()
        await self._start_process()
        until = self.loop.time() + HEALING_S
        while self.loop.time() < until:
            await asyncio.sleep(LOOK_EVERY_S)
            self.venue.trade()
            if self._is_at_rest():
                break
        await asyncio.sleep(LOOK_EVERY_S)
        await asyncio.sleep(65)  # one more comparison
        self.note("the end")
        self.process.die()
        await asyncio.sleep(0)

    def _is_at_rest(self) -> bool:
        if len(self.delivered) < len(self.approvals):
            return False
        unsettled = self.real.run(
            self.real.manager.fetchval(
                "SELECT count(*) FROM orders WHERE account_id = $1 AND status <> ALL($2)", self.account, list(FINAL)
            )
        )
        return unsettled == 0

    # --- what must hold ---

    def check(self) -> None:
        run, manager = self.real.run, self.real.manager
        rows = run(manager.fetch("SELECT * FROM orders WHERE account_id = $1 ORDER BY order_time, id", self.account))
        ours = {row["client_order_id"]: row for row in rows}
        problems: list[str] = []
        if len(rows) != len(self.approvals):
            problems.append(f"{len(self.approvals)} approvals became {len(rows)} orders")
        for client, label in self.venue.labels.items():
            row, theirs = ours.get(client), self.venue.truth.get(client)
            if row is None:
                problems.append(f"lost: {label} is in no row")
                continue
            if theirs is not None and theirs.accepted_at > row["valid_until"] + SEND_WINDOW:
                problems.append(f"stale: {label} was accepted after its approval had expired")
            if theirs is not None and theirs.times_accepted > 1:
                problems.append(f"doubled: {label} was accepted {theirs.times_accepted} times")
            problems += self._compare(label, row, theirs)
        strangers = self.venue.truth.keys() - self.venue.labels.keys()
        if strangers:
            problems.append(f"doubled: the venue has {len(strangers)} orders that no approval stands for")
        problems += self._check_money()
        if problems:
            told = "\n".join([f"seed {self.seed}:", *problems, "", *self.journal[-60:]])
            raise Broken(told)

    def _compare(self, label: str, row: Any, theirs: Any) -> list[str]:
        status, filled = row["status"], row["filled_quantity"]
        if theirs is None:
            if status in ("REJECTED", "EXPIRED", "NOT_FOUND", "CANCELED") and filled == 0:
                return []
            return [f"{label} is {status} with {filled} filled, and the venue never had it"]
        told = theirs.order
        wrong = []
        if filled != told.filled_quantity:
            wrong.append(f"{label}: {filled} filled in our books, {told.filled_quantity} at the venue")
        if status not in (told.status.value, "PARTIALLY_FILLED") or (status not in FINAL and told.status.is_final):
            wrong.append(f"{label} is {status} in our books and {told.status} at the venue")
        return wrong

    def _check_money(self) -> list[str]:
        run, manager, problems = self.real.run, self.real.manager, []
        rows = run(manager.fetch("SELECT * FROM portfolio_balances WHERE account_id = $1", self.account))
        owned = {row["asset"]: row["free_balance"] + row["locked_balance"] for row in rows}
        for asset, amount in self.venue.holds.items():
            if abs(owned.get(asset, Decimal(0)) - amount) > (LAST_DIGITS if self._is_swap else 0):
                problems.append(f"ledger: {owned.get(asset)} {asset} in our books, {amount} at the venue")
        if isinstance(self.venue, SimulatedSwapVenue):
            self.figures["settlements"] += len(self.venue.payments)
            problems += check_contracts(self.real, self.account, self.venue, rows)
        locked = [] if self._is_swap else [row["asset"] for row in rows if row["locked_balance"] != 0]
        still = run(
            manager.fetchval(
                "SELECT count(*) FROM orders WHERE account_id = $1 AND status <> ALL($2)", self.account, list(FINAL)
            )
        )
        if locked and not still:
            problems.append(f"ledger: {locked} stays reserved although every order ended")
        problems += self._check_reservations()
        quarantined = run(
            manager.fetchval("SELECT count(*) FROM quarantined_fills WHERE account_id = $1", self.account)
        )
        if quarantined:
            problems.append(f"{quarantined} fills in quarantine")
        state = run(manager.fetchval("SELECT state FROM account_states WHERE account_id = $1", self.account))
        if state != "live":
            problems.append(f"liveness: the account is {state} long after everything healed")
        return problems

    def _check_reservations(self) -> list[str]:
        """Holds at every moment."""
        freed = self.real.run(
            self.real.manager.fetchval(
                "SELECT count(*) FROM orders o JOIN reservations r ON r.id = o.reservation_id WHERE o.account_id = $1 "
                "AND o.status <> ALL($2) AND r.released_at IS NOT NULL AND o.filled_quantity = 0",
                self.account, list(FINAL),
            )
        )  # fmt: skip
        return [f"ledger: {freed} open orders have nothing reserved"] if freed else []

    def _check_endings(self) -> list[str]:
        """Holds at every moment too: what lives at the venue has not ended in our books."""
        alive = [client for client, one in self.venue.truth.items() if not one.order.status.is_final]
        rows = self.real.run(
            self.real.manager.fetch(
                "SELECT client_order_id, status FROM orders WHERE client_order_id = ANY($1) AND status = ANY($2)",
                alive, list(FINAL),
            )
        )  # fmt: skip
        return [
            f"{self.venue.labels[row['client_order_id']]} is {row['status']} and lives at the venue" for row in rows
        ]


class GatedVenue:
    """The venue as one process sees it: a process that stands still sends nothing."""

    def __init__(self, venue: SimulatedVenue, gate: Callable[[], Awaitable[None]]) -> None:
        self.name = venue.name
        self._venue = venue
        self._gate = gate

    async def watch_account(self) -> AsyncGenerator[Listening | AccountNews]:
        async with aclosing(self._venue.watch_account()) as stream:
            async for news in stream:
                await self._gate()
                yield news

    def __getattr__(self, name: str) -> Any:
        ask = getattr(self._venue, name)

        async def gated(*args: Any, **named: Any) -> Any:
            await self._gate()
            answer = await ask(*args, **named)
            await self._gate()
            return answer

        return gated


class GatedSwapVenue(GatedVenue):
    """With the names of ``SwapVenue``, by which an executor knows one."""

    def _named(name: str) -> Any:  # noqa: N805
        def ask(self: GatedVenue, *args: Any, **named: Any) -> Any:
            return self.__getattr__(name)(*args, **named)

        return ask

    place, cancel, find, open_orders, fills, balances, now, positions, funding = map(
        _named, ("place", "cancel", "find", "open_orders", "fills", "balances", "now", "positions", "funding")
    )


def prepare(real: RealDatabase) -> None:
    """Once for each database; each world has an account of its own."""

    async def rows() -> None:
        await real.manager.execute(SEED_SQL)
        await real.manager.execute("INSERT INTO venues (id) VALUES ('sim')")
        await real.manager.execute(
            "INSERT INTO instruments (venue, symbol, base, quote, tick_size, lot_size, min_notional, maker_fee, "
            "taker_fee) VALUES ('sim', 'BTC/USDT', 'BTC', 'USDT', 0.01, 0.0001, 0.1, 0.001, 0.001)"
        )
        await real.manager.execute(
            "INSERT INTO instruments (venue, symbol, base, quote, kind, settle, tick_size, lot_size, min_notional, "
            "maker_fee, taker_fee) VALUES ('sim', $1, 'BTC', 'USDT', 'swap', 'USDT', 0.01, 0.0001, 0.1, 0.001, 0.001)",
            SWAP,
        )
        await real.manager.execute("INSERT INTO strategies (name, type) VALUES ('sim', 'ma_cross')")

    real.run(rows())
