"""Events that another program wrote into the queue: what is no event of ours becomes a dead letter and nothing else."""

import json
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from copy import deepcopy
from typing import Any
from uuid import UUID, uuid4

import pytest

from mastertrade.domain.events import Event
from mastertrade.messaging import attempts
from mastertrade.messaging.bus import Subscription
from mastertrade.messaging.postgres import PostgresBus
from mastertrade.order_executor.service import OrderExecutor
from mastertrade.shared.clock import SystemClock
from mastertrade.shared.postgres_manager import PostgresManager
from mastertrade.shared.serialization import to_json_object
from tests.postgres.executor_seed import make_executor, open_desk
from tests.postgres.poison import NO_IDS, NO_MEMBERS, NO_NUMBERS, NO_TEXTS, NO_TIMES, contents
from tests.postgres.risk_seed import open_office

Payload = dict[str, Any]
KINDS: dict[str, tuple[Any, ...]] = {
    "approval.quantity": (*NO_NUMBERS, None, "-0.5", "0", "-0", "1e23"),
    "approval.limit_price": (*NO_NUMBERS, "-1", "0"),
    "approval.approved_at": (*NO_TIMES, None),
    "approval.valid_until": (*NO_TIMES, None),
    "approval.symbol": NO_TEXTS,
    "approval.side": NO_MEMBERS,
    "approval.type": NO_MEMBERS,
    "approval.reduces": ("true", 1, None),
    "approval.terms": (None, [], {"time_in_force": "NEVER"}, {"time_in_force": "GTD"}, {"post_only": True}),
    "approval.instrument_id": (0, -1, 2**31, 2**63, 2**70, "1", 1.5, None, True),
    **{
        f"approval.{name}_id": NO_IDS
        for name in ("approval", "verdict", "signal", "strategy", "account", "reservation")
    },
    "occurred_at": (*NO_TIMES, None),
    "id": NO_IDS[:3],
}
SIGNAL_KINDS: dict[str, tuple[Any, ...]] = {
    "signal.quantity": (*NO_NUMBERS, "-0.5", "0", "1e23"),
    "signal.limit_price": (*NO_NUMBERS, "-1"),
    "signal.price": ("NaN", "1", None, [], True, -1, 0, 1e300, 1e-300, 5e-324),
    "signal.confidence": ("NaN", None, []),
    "signal.bar_close": (*NO_TIMES, None),
    "signal.raised_at": (*NO_TIMES, None),
    "signal.valid_until": (*NO_TIMES, None),
    "signal.symbol": NO_TEXTS,
    "signal.type": NO_MEMBERS,
    "signal.timeframe_s": (0, -1, 2**31, 2**70, "60", 1.5, None),
    "signal.instrument_id": (0, -1, 2**31, 2**63, "1", None),
    "signal.terms": (None, {"time_in_force": "NEVER"}, {"reduce_only": True}),
    "signal.turns": (None, "yes", True),
    **{f"signal.{name}": NO_IDS for name in ("id", "strategy_id", "account_id")},
    "occurred_at": (*NO_TIMES[:1], None),
}
HARMLESS = [("occurred_at", "0001-01-01T00:00:00Z"), ("occurred_at", "9999-12-31T23:59:59Z")]
"""Times that say when something was told; nothing is computed from them."""


def changed(payload: Payload, path: str, value: Any) -> Payload:
    copy = deepcopy(payload)
    *way, last = path.split(".")
    place = copy
    for name in way:
        place = place[name]
    place[last] = value
    return copy


def poisons(payload: Payload, kinds: dict[str, tuple[Any, ...]]) -> Iterator[tuple[str, str]]:
    """What to call it, and the JSON."""
    for path, values in kinds.items():
        for value in values:
            if (path, value) not in HARMLESS:
                yield f"{path} = {value!r:.40}", json.dumps(changed(payload, path, value))
    body = next(name for name, value in payload.items() if isinstance(value, dict))
    for name in payload[body]:
        if name not in ("terms", "turns", "limit_price", "quantity", "evidence"):
            yield (
                f"{name} is missing",
                json.dumps(payload | {body: {k: v for k, v in payload[body].items() if k != name}}),
            )
    marked = json.dumps(changed(payload, f"{body}.quantity", "MARK"))
    for literal in ("1e400", "-1e400", "9" * 5_000, "[" * 4_000 + "]" * 4_000, '{"a":' * 3_000 + "1" + "}" * 3_000):
        yield f"a literal {literal[:12]} of {len(literal)} signs", marked.replace('"MARK"', literal)
    yield "a megabyte instead of a body", json.dumps(payload | {body: "x" * 1_000_000})
    yield from (
        ("text", '"x"'),
        ("an array", "[]"),
        ("a number", "5"),
        ("null", "null"),
        ("nothing", "{}"),
        ("a bit", "true"),
    )
    yield "a number nobody can hold", "1e400"


async def slip_in(manager: PostgresManager, event_type: str, text: str, *, consumers: list[str]) -> UUID:
    """As another program would: an outbox row and its deliveries, each with a key of its own."""
    event_id = uuid4()
    await manager.execute(
        "WITH put AS (INSERT INTO outbox (event_id, event_type, key, payload, occurred_at) "
        "VALUES ($1, $2, $3, $4::text::jsonb, now()) RETURNING id) "
        "INSERT INTO deliveries (consumer, outbox_id, key) SELECT unnest($5::text[]), id, $3 FROM put",
        event_id, event_type, str(event_id), text, consumers,
    )  # fmt: skip
    return event_id


@asynccontextmanager
async def served(
    manager: PostgresManager,
    subscriptions: Callable[[PostgresBus], list[Subscription]],
    monkeypatch: pytest.MonkeyPatch,
) -> AsyncIterator[PostgresBus]:
    monkeypatch.setattr(attempts, "BACKOFF_S", (0.0, 0.0, 0.0, 0.0))
    bus = PostgresBus(manager, clock=SystemClock())
    await bus.start(subscriptions(bus))
    try:
        yield bus
    finally:
        await bus.stop()


async def letters(manager: PostgresManager) -> dict[tuple[UUID, str], str]:
    rows = await manager.fetch("SELECT event_id, consumer, error FROM dead_letters")
    return {(row["event_id"], row["consumer"]): row["error"] for row in rows}


async def publish(manager: PostgresManager, bus: PostgresBus, event: Event) -> None:
    async with manager.transaction() as tx:
        await bus.publish(event, within=tx)


async def test_no_approval_that_is_not_ours_becomes_an_order(
    database: PostgresManager, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk = await open_desk(database)
    resting = await desk.approve(quantity="0.2", limit="50")
    await desk.hear(resting)
    good = await desk.approve(limit="60")
    spare = await desk.approve(limit="70")
    payload = to_json_object(good)
    forged = {
        "more": ("approval.quantity", "0.6"),
        "an exit that is none": ("approval.reduces", True),
        "another's reservation": ("approval.reservation_id", str(resting.approval.reservation_id)),
        "another's verdict": ("approval.verdict_id", str(resting.approval.verdict_id)),
        "for ever": ("approval.valid_until", "2099-01-01T00:00:00Z"),
        "nobody approved it": ("approval.approval_id", str(uuid4())),
        "another's approval": ("approval.approval_id", str(spare.approval.approval_id)),
        "the order there is, made larger": ("approval", to_json_object(resting)["approval"] | {"quantity": "0.4"}),
        "other terms": ("approval.terms", {"reduce_only": True, "time_in_force": "GTC"}),
    }
    bad = [*poisons(payload, KINDS), *((name, json.dumps(changed(payload, *what))) for name, what in forged.items())]
    before = await contents(database)

    def executor(bus: PostgresBus) -> list[Subscription]:
        service: OrderExecutor = make_executor(database, desk.clock, bus, desk.venue, desk.account, desk.lease)  # type: ignore[arg-type]
        return service.subscriptions()

    async with served(database, executor, monkeypatch) as bus:
        ids = {await slip_in(database, "OrderApproved", text, consumers=["order_executor"]): name for name, text in bad}
        await bus.drain(timeout_s=60)
        found = await letters(database)
        assert [name for id, name in ids.items() if (id, "order_executor") not in found] == []
        assert [error for error in found.values() if len(error) > 2000 or not error.startswith("BadData: ")] == []
        assert await contents(database) == before
        shown = await bus.dead_letters(limit=1000)
        assert len(shown) == len(bad)
        assert await desk.problems() == []
        extra = payload | {"unheard_of": {"x": [1]}}
        for text in (json.dumps(extra), json.dumps(to_json_object(spare))):
            await slip_in(database, "OrderApproved", text, consumers=["order_executor"])
        await bus.drain(timeout_s=10)
    assert [await desk.status(event) for event in (resting, good, spare)] == ["OPEN"] * 3
    assert set((await desk.venue_orders()).values()) == {1}


async def test_no_signal_that_is_not_ours_is_judged(database: PostgresManager, monkeypatch: pytest.MonkeyPatch) -> None:
    office = await open_office(database)
    other = await office.another_account("900000")
    good = await office.raise_signal()
    payload = to_json_object(good)
    forged = {
        "another's money": ("signal.account_id", str(other.account_id)),
        "another market": ("signal.instrument_id", office.eth),
        "the other way": ("signal.type", "SELL"),
        "a size nobody asked for": ("signal.quantity", "0.001"),
        "a price nobody saw": ("signal.price", 0.01),
        "for ever": ("signal.valid_until", "2099-01-01T00:00:00Z"),
        "never raised": ("signal.id", str(uuid4())),
    }
    bad = [*poisons(payload, SIGNAL_KINDS), *((n, json.dumps(changed(payload, *what))) for n, what in forged.items())]
    before = await contents(database)

    async with served(database, lambda bus: office.risk.subscriptions(), monkeypatch) as bus:
        ids = {await slip_in(database, "SignalRaised", text, consumers=["risk_manager"]): name for name, text in bad}
        await bus.drain(timeout_s=60)
        found = await letters(database)
        assert [name for id, name in ids.items() if (id, "risk_manager") not in found] == []
        assert [error for error in found.values() if not error.startswith(("BadData: ", "NotFound: "))] == []
        assert await contents(database) == before
        await publish(database, bus, good)
        await bus.drain(timeout_s=10)
    assert (await office.verdict(good))["disposition"] == "approved" or (await office.verdict(good))[
        "disposition"
    ] == "reduced"
