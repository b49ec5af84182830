"""commit_verdict and its helpers, called directly: every branch, and callers that race."""

import asyncio
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest

from mastertrade.domain.events import OrderApproved, SignalRaised
from mastertrade.shared.errors import ConstraintViolated, DatabaseError
from mastertrade.shared.postgres_manager import PostgresManager
from mastertrade.shared.serialization import new_id
from tests.postgres.risk_seed import MINUTE, START, Office, open_office

COMMIT = "SELECT commit_verdict($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)"
CHECKS = [
    {"name": "first", "value": 1.5, "limit": 2, "unit": "%", "passed": True, "detail": "ok", "reduced_to": None},
    {"name": "second", "value": None, "limit": None, "unit": "", "passed": True, "detail": "", "reduced_to": "0.25"},
]


async def commit(
    office: Office,
    event: SignalRaised,
    *,
    disposition: str = "approved",
    requested: str = "1",
    approved: str = "1",
    at: datetime = START,
    approval: dict[str, Any] | None = None,
    is_approval: bool = True,
    checks: list[dict[str, Any]] | None = None,
    reserve: str = "100",
    reduces: bool = False,
) -> str:
    given = {
        "id": str(new_id()),
        "reservation_id": str(new_id()),
        "reserve_asset": "USDT",
        "reserve_amount": reserve,
        "side": "SELL" if reduces else "BUY",
        "order_type": "MARKET",
        "limit_price": None,
        "reduces": reduces,
        "valid_until": (at + timedelta(seconds=30)).isoformat(),
    }
    outcome: str = await office.manager.fetchval(
        COMMIT, new_id(), event.signal.id, disposition, Decimal(requested), Decimal(approved), "because",
        Decimal(100_000), at, CHECKS if checks is None else checks, (approval or given) if is_approval else None,
    )  # fmt: skip
    return outcome


async def counts(database: PostgresManager) -> dict[str, int]:
    tables = ("verdicts", "verdict_checks", "approvals", "reservations")
    return {table: await database.fetchval(f"SELECT count(*) FROM {table}") for table in tables}


NOTHING = {"verdicts": 0, "verdict_checks": 0, "approvals": 0, "reservations": 0}


async def test_an_approval_is_stored_whole(database: PostgresManager) -> None:
    office = await open_office(database)
    event = await office.raise_signal()
    assert await commit(office, event) == "committed"
    assert await counts(database) == {"verdicts": 1, "verdict_checks": 2, "approvals": 1, "reservations": 1}
    rows = await database.fetch(
        'SELECT name, value, "limit", unit, passed, detail, reduced_to FROM verdict_checks ORDER BY position'
    )
    assert [tuple(row) for row in rows] == [
        ("first", 1.5, 2.0, "%", True, "ok", None),
        ("second", None, None, "", True, "", Decimal("0.25")),
    ]
    assert await office.balance() == (Decimal(99_900), Decimal(100))


async def test_a_refusal_is_stored_without_a_reservation(database: PostgresManager) -> None:
    office = await open_office(database)
    event = await office.raise_signal()
    assert await commit(office, event, disposition="refused", approved="0", is_approval=False) == "committed"
    assert await counts(database) == {"verdicts": 1, "verdict_checks": 2, "approvals": 0, "reservations": 0}


async def test_a_verdict_without_checks_is_stored(database: PostgresManager) -> None:
    office = await open_office(database)
    event = await office.raise_signal()
    assert (
        await commit(office, event, disposition="held", requested="0", approved="0", is_approval=False, checks=[])
        == "committed"
    )
    assert await counts(database) == NOTHING | {"verdicts": 1}


async def test_an_unknown_signal_is_answered_and_nothing_is_stored(database: PostgresManager) -> None:
    office = await open_office(database)
    event = await office.raise_signal()
    await database.execute("DELETE FROM signals")
    assert await commit(office, event) == "unknown_signal"
    assert await counts(database) == NOTHING


@pytest.mark.parametrize(("disposition", "is_approval"), [("approved", False), ("refused", True)])
async def test_a_disposition_and_an_approval_that_contradict_each_other_are_refused(
    database: PostgresManager, disposition: str, is_approval: bool
) -> None:
    office = await open_office(database)
    event = await office.raise_signal()
    with pytest.raises(ConstraintViolated, match="do not go together"):
        await commit(office, event, disposition=disposition, is_approval=is_approval)
    assert await counts(database) == NOTHING


async def test_a_second_verdict_changes_nothing_even_when_it_differs(database: PostgresManager) -> None:
    office = await open_office(database)
    event = await office.raise_signal()
    assert await commit(office, event, disposition="refused", approved="0", is_approval=False) == "committed"
    assert await commit(office, event) == "already_judged"
    assert await database.fetchval("SELECT disposition FROM verdicts") == "refused"
    assert await office.balance() == (Decimal(100_000), Decimal(0))


@pytest.mark.parametrize("scope", ["global", "account", "strategy", "instrument"])
async def test_a_halt_of_any_scope_around_it_stops_an_opening_approval(database: PostgresManager, scope: str) -> None:
    office = await open_office(database)
    names = {
        "global": "global",
        "account": f"account:{office.account_id}",
        "strategy": f"strategy:{office.strategy_id}",
        "instrument": f"instrument:{office.btc}",
    }
    await database.execute("SELECT halt_trading($1, 'test', 'ann', $2)", names[scope], START)
    event = await office.raise_signal()
    assert await commit(office, event) == "halted"
    assert await counts(database) == NOTHING
    await database.execute("SELECT resume_trading($1, 'test', 'ann', $2)", names[scope], START)
    assert await commit(office, event) == "committed"


async def test_exits_and_refusals_pass_a_halt(database: PostgresManager) -> None:
    office = await open_office(database)
    await database.execute("SELECT halt_trading('global', 'test', 'ann', $1)", START)
    leaving, refused = await office.raise_signal(), await office.raise_signal(at=START + timedelta(seconds=1))
    assert await commit(office, leaving, reduces=True) == "committed"
    assert await commit(office, refused, disposition="refused", approved="0", is_approval=False) == "committed"


async def test_more_than_is_free_is_insufficient_and_nothing_is_stored(database: PostgresManager) -> None:
    office = await open_office(database)
    event = await office.raise_signal()
    assert await commit(office, event, reserve="100000.01") == "insufficient"
    assert await counts(database) == NOTHING
    assert await commit(office, event, reserve="100000") == "committed"
    assert await office.balance() == (Decimal(0), Decimal(100_000))


async def test_an_asset_the_account_never_had_is_insufficient(database: PostgresManager) -> None:
    office = await open_office(database)
    asset = {"id": str(new_id()), "reservation_id": str(new_id()), "reserve_asset": "BTC", "reserve_amount": "0.1",
             "side": "SELL", "order_type": "MARKET", "reduces": True,
             "valid_until": (START + MINUTE).isoformat()}  # fmt: skip
    assert await commit(office, await office.raise_signal(), approval=asset) == "insufficient"


async def test_an_approval_is_in_flight_until_it_expires_or_has_its_order(database: PostgresManager) -> None:
    office = await open_office(database)
    assert await commit(office, await office.raise_signal()) == "committed"
    for seconds, expected in ((1, "in_flight"), (30, "in_flight"), (31, "committed")):
        at = START + timedelta(seconds=seconds)
        assert await commit(office, await office.raise_signal(at=at), at=at) == expected


@pytest.mark.parametrize(
    "status", ["NEW", "UNKNOWN", "OPEN", "PENDING_CANCEL", "CANCELED", "EXPIRED", "REJECTED", "NOT_FOUND"]
)
async def test_an_order_is_in_flight_until_it_is_final(database: PostgresManager, status: str) -> None:
    office = await open_office(database)
    approved = await office.judge(await office.raise_signal())
    assert isinstance(approved, OrderApproved)
    path = {"PENDING_CANCEL": ["OPEN", "PENDING_CANCEL"], "NOT_FOUND": ["UNKNOWN", "NOT_FOUND"]}.get(status, [status])
    order_id = await office.order_of(approved, status=path[0])
    for step in path[1:]:
        await database.execute("UPDATE orders SET status = $2 WHERE id = $1", order_id, step)
    is_final = status in ("CANCELED", "EXPIRED", "REJECTED", "NOT_FOUND")
    for after in (timedelta(seconds=1), timedelta(hours=1)):
        found = await database.fetchval(
            "SELECT in_flight($1, $2, $3, $4)", office.account_id, office.strategy_id, office.btc, START + after
        )
        assert found == ("" if is_final else f"order {order_id} is {status}")


async def test_decisions_cannot_be_changed_or_deleted(database: PostgresManager) -> None:
    office = await open_office(database)
    event = await office.raise_signal()
    await commit(office, event)
    for table in ("verdicts", "verdict_checks", "approvals"):
        for statement in (f"DELETE FROM {table}", f"TRUNCATE {table} CASCADE"):
            with pytest.raises(DatabaseError, match="append-only"):
                await database.execute(statement)
    with pytest.raises(DatabaseError, match="append-only"):
        await database.execute("UPDATE verdicts SET disposition = 'refused'")
    with pytest.raises(ConstraintViolated):
        await database.execute("DELETE FROM signals WHERE id = $1", event.signal.id)


@pytest.mark.parametrize(
    ("disposition", "requested", "approved", "rule"),
    [
        ("approved", "1", "2", "verdicts_approve_what_was_asked"),
        ("approved", "2", "1", "verdicts_approved_means_all_of_it"),
        ("approved", "0", "0", "verdicts_only_approvals_have_quantity"),
        ("reduced", "1", "0", "verdicts_only_approvals_have_quantity"),
    ],
)
async def test_a_verdict_that_contradicts_itself_is_refused(
    database: PostgresManager, disposition: str, requested: str, approved: str, rule: str
) -> None:
    office = await open_office(database)
    with pytest.raises(ConstraintViolated) as refused:
        await commit(
            office, await office.raise_signal(), disposition=disposition, requested=requested, approved=approved
        )
    assert refused.value.constraint == rule
    assert await counts(database) == NOTHING


# --- races ---


async def test_sixteen_callers_on_one_balance_never_reserve_more_than_is_free(database: PostgresManager) -> None:
    office = await open_office(database, cash="1000")
    offices = [await office.another_strategy() for _ in range(24)]
    events = [await own.raise_signal() for own in offices]
    barrier = asyncio.Barrier(16)

    async def work(worker: int) -> list[str]:
        await barrier.wait()
        return [
            await commit(own, event, reserve="130")
            for own, event in list(zip(offices, events, strict=True))[worker::16]
        ]

    outcomes = [outcome for done in await asyncio.gather(*map(work, range(16))) for outcome in done]
    assert sorted(outcomes) == ["committed"] * 7 + ["insufficient"] * 17
    assert await office.balance() == (Decimal(90), Decimal(910))
    assert await database.fetchval("SELECT sum(amount) FROM reservations") == Decimal(910)
    assert await counts(database) == {"verdicts": 7, "verdict_checks": 14, "approvals": 7, "reservations": 7}


async def test_eight_callers_for_one_strategy_and_instrument_get_one_approval(database: PostgresManager) -> None:
    office = await open_office(database)
    events = [await office.raise_signal(at=START + timedelta(milliseconds=n)) for n in range(8)]
    outcomes = await asyncio.gather(*(commit(office, event) for event in events))
    assert sorted(outcomes) == ["committed"] + ["in_flight"] * 7


async def test_eight_callers_with_one_signal_give_one_verdict(database: PostgresManager) -> None:
    office = await open_office(database)
    event = await office.raise_signal()
    outcomes = await asyncio.gather(*(commit(office, event) for _ in range(8)))
    assert sorted(outcomes) == ["already_judged"] * 7 + ["committed"]
    assert await counts(database) == {"verdicts": 1, "verdict_checks": 2, "approvals": 1, "reservations": 1}


async def test_eight_judges_of_one_account_together_keep_its_limits(database: PostgresManager) -> None:
    """begin_judging lets one judgement per account through at a time, so no two count on the same free capital."""
    office = await open_office(database, cash="20000", max_single_position_percent=60, default_position_percent=100)
    offices = [await office.another_strategy() for _ in range(8)]
    events = [await own.raise_signal(confidence=100.0) for own in offices]

    async def work(own: Office, event: SignalRaised) -> None:
        async with database.transaction() as tx:
            await own.risk.on_signal_raised(event, tx)

    await asyncio.gather(*(work(own, event) for own, event in zip(offices, events, strict=True)))
    free, locked = await office.balance()
    assert free >= Decimal(2_000)  # 10 % of equity stays free
    assert free + locked == Decimal(20_000)
    approved = await database.fetchval("SELECT sum(quantity) FROM approvals")
    assert approved * 50_000 <= Decimal(20_000) * 60 / 100
    assert await database.fetchval("SELECT count(*) FROM verdicts") == 8


async def test_begin_judging_tells_the_mode_and_holds_the_account(database: PostgresManager) -> None:
    office, second = await open_office(database), new_id()
    begin = "SELECT begin_judging($1, $2, $3)"
    async with database.transaction() as tx:
        assert await tx.fetchval(begin, office.account_id, office.strategy_id, office.btc) == "running"
        other = asyncio.create_task(database.fetchval(begin, office.account_id, second, office.eth))
        elsewhere: UUID = new_id()
        assert await database.fetchval(begin, elsewhere, second, office.eth) == "running"
        await asyncio.sleep(0.05)
        assert not other.done()
    assert await other == "running"
