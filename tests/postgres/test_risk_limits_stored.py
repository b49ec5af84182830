"""Limits, locks and counts in the database: what judgements are held against, and what is kept of it."""

import asyncio
from datetime import timedelta
from decimal import Decimal

import pytest

from mastertrade.domain.events import OrderApproved, OrderRefused
from mastertrade.domain.risk import account_scope
from mastertrade.risk_manager.config import RiskSettings
from mastertrade.risk_manager.gathering import Inputs
from mastertrade.risk_manager.judge import judge
from mastertrade.risk_manager.limit_door import LimitDoor
from mastertrade.risk_manager.limits import GLOBAL
from mastertrade.shared.errors import NeedsConfirmation, NotFound, UsageError
from mastertrade.shared.postgres_manager import PostgresManager
from tests.postgres.risk_seed import MINUTE, START, Office, open_office

DAY = timedelta(days=1)


def door_of(office: Office) -> LimitDoor:
    settings = RiskSettings()
    return LimitDoor(
        manager=office.manager, clock=office.clock, defaults=settings.limits(), class_defaults=settings.class_limits()
    )


async def change(door: LimitDoor, scope: str, value: str | None, *, confirmed: bool = False, reason: str = "") -> int:
    number = None if value is None else Decimal(value)
    return await door.change(scope, "max_position_percent", number, reason=reason, actor="ann", is_confirmed=confirmed)


async def test_the_next_judgement_is_held_against_a_changed_limit_and_names_its_version(
    database: PostgresManager,
) -> None:
    office = await open_office(database)
    door = door_of(office)
    first = await office.raise_signal()
    approved = await office.judge(first)
    assert isinstance(approved, OrderApproved)
    await office.order_of(approved, status="CANCELED")
    for scope, percent, version in (("asset:BTC", "3", 1), (f"strategy:{office.strategy_id}", "2", 2)):
        assert await change(door, scope, percent) == version
        event = await office.raise_signal(at=START + MINUTE * version)
        office.clock.advance(START + MINUTE * version)
        cut = await office.judge(event)
        assert isinstance(cut, OrderApproved)
        assert cut.approval.quantity == Decimal(percent) / 50, "of 100,000 at 50,000"
        assert (await office.verdict(event))["limits_version"] == version
        await office.order_of(cut, status="CANCELED")
    assert (await office.verdict(first))["limits_version"] == 0


async def test_allowing_more_needs_a_reason_and_a_confirmation_and_is_audited(database: PostgresManager) -> None:
    door = door_of(await open_office(database))
    with pytest.raises(UsageError, match="from 5 to 7 % allows more risk; give a --reason"):
        await change(door, GLOBAL, "7")
    with pytest.raises(NeedsConfirmation, match="confirm it with --confirm"):
        await change(door, GLOBAL, "7", reason="bull market")
    assert await door.own() == []
    assert await change(door, GLOBAL, "7", reason="bull market", confirmed=True) == 1
    with pytest.raises(NeedsConfirmation):
        await change(door, GLOBAL, "8", reason="more")
    assert await change(door, GLOBAL, None) == 2, "back to the settings is tighter here"
    with pytest.raises(NotFound, match="global has no limit max_position_percent of its own"):
        await change(door, GLOBAL, None)
    history = await door.history(limit=10)
    assert [(row["version"], row["value"], row["reason"]) for row in history] == [
        (2, None, "tightened"), (1, Decimal(7), "bull market"),
    ]  # fmt: skip
    assert await database.fetchval("SELECT count(*) FROM risk_configuration_changes") == 2
    audit = await database.fetchval("SELECT details FROM risk_admin_actions WHERE details ->> 'version' = '1'")
    assert (audit["actor"], audit["before"], audit["after"]) == ("ann", None, "7")
    with pytest.raises(Exception, match="append-only"):
        await database.execute("UPDATE risk_limits SET value = 100")


async def test_scopes_are_written_by_name_and_explained(database: PostgresManager) -> None:
    office = await open_office(database)
    door = door_of(office)
    await change(door, "account:DESK", "4")
    await change(door, "instrument:btc/usdt", "1")
    found = await door.explain("desk", "test", "btc/usdt")
    assert [(one.value, one.scope) for one in found.candidates["max_position_percent"]] == [
        (1, f"instrument:{office.btc}"), (4, account_scope(office.account_id)), (5, GLOBAL), (5, "class:CRYPTO"),
    ]  # fmt: skip
    with pytest.raises(NotFound, match="there is no account 'dask'"):
        await door.explain("dask", None, "BTC/USDT")
    with pytest.raises(NotFound, match="XYZ/USDT is no market of the venue of account 'desk'"):
        await door.explain("desk", None, "XYZ/USDT")
    await office.another_strategy()
    with pytest.raises(UsageError, match=r"strategy 'test' is one of .+; write its id"):
        await change(door, "strategy:test", "1")


async def test_of_two_changes_at_once_both_count_and_each_has_its_version(database: PostgresManager) -> None:
    door = door_of(await open_office(database))
    versions = await asyncio.gather(*(change(door, f"asset:A{at}", "1") for at in range(4)))
    assert sorted(versions) == [1, 2, 3, 4]
    assert {one.scope for one in await door.own()} == {f"asset:A{at}" for at in range(4)}


async def test_a_verdict_is_judged_again_from_what_was_kept_with_the_same_answer(database: PostgresManager) -> None:
    office = await open_office(database)
    events = [await office.raise_signal(confidence=90.0), await office.raise_signal(price=60_000.0, at=START + MINUTE)]
    for event in events:
        await office.judge(event)
    rows = await database.fetch(
        "SELECT v.*, i.inputs FROM verdicts v JOIN verdict_inputs i ON i.verdict_id = v.id ORDER BY v.decided_at"
    )
    assert len(rows) == 2
    for row in rows:
        inputs = Inputs.from_json(row["inputs"])
        again = judge(inputs.case, inputs.limits, verdict_id=row["id"]).verdict
        assert (again.disposition, again.reason, again.requested_quantity, again.approved_quantity) == (
            row["disposition"], row["reason"], row["requested_quantity"], row["approved_quantity"]
        )  # fmt: skip
        checks = await database.fetch("SELECT * FROM verdict_checks WHERE verdict_id = $1 ORDER BY position", row["id"])
        assert [(c.name, c.value, c.passed, c.detail, c.reduced_to) for c in again.checks] == [
            (c["name"], c["value"], c["passed"], c["detail"], c["reduced_to"]) for c in checks
        ]


async def test_a_lock_keeps_entries_of_its_scope_back_until_it_ends_or_is_lifted(database: PostgresManager) -> None:
    office = await open_office(database)
    lock = "SELECT lock_scope($1, 'cooldown', 'a stop was hit', '{}', $2, $3)"
    scope = account_scope(office.account_id)
    id = await database.fetchval(lock, scope, START, START + MINUTE * 10)
    assert await database.fetchval(lock, scope, START, START + MINUTE * 5) is None, "it lasts that long already"
    assert await database.fetchval(lock, scope, START, START + MINUTE * 20) == id, "moved, not doubled"
    answer = await office.judge(await office.raise_signal())
    assert isinstance(answer, OrderRefused)
    assert answer.reasons == (f"locks: {scope} until 2021-09-01 12:20 (cooldown): a stop was hit",)
    other = await (await office.another_account()).another_strategy()
    assert isinstance(await other.judge(await other.raise_signal()), OrderApproved)
    lifted = await database.fetchrow("SELECT * FROM lift_lock($1, 'seen to', 'ann', $2)", id, START)
    assert lifted is not None
    assert lifted["lifted_by"] == "ann"
    office.clock.advance(START + MINUTE)
    assert isinstance(await office.judge(await office.raise_signal()), OrderApproved)


async def test_approvals_are_counted_in_their_second_minute_and_day(database: PostgresManager) -> None:
    office = await open_office(
        database,
        max_orders_per_minute=1,
        max_orders_per_day=2,
        max_single_position_percent=50,
        crypto_max_position_percent=50,
    )
    reasons = []
    for seconds in (0, 59, 60, 120, 86_400):
        office.clock.advance(START + timedelta(seconds=seconds))
        if seconds % 60 == 0:
            await office.candle(50_000.0)
        own = await office.another_strategy()
        answer = await own.judge(await own.raise_signal())
        reasons.append(answer.reasons if isinstance(answer, OrderRefused) else "approved")
    assert reasons == [
        "approved", ("order_rate: 1 approved this minute, allowed 1",), "approved",
        ("order_rate: 2 approved this day, allowed 2",), "approved",
    ]  # fmt: skip


async def test_a_deposit_is_no_profit_and_moves_the_marks_by_its_part(database: PostgresManager) -> None:
    office = await open_office(database)
    mark = "SELECT mark_book('{paper}', $1)"
    await database.execute(mark, START)
    await database.execute(
        "UPDATE account_marks SET high_water_mark = 125000, day_start_equity = 110000, week_start_equity = 120000"
    )
    await office.hold("USDT", "100000")
    await database.execute(mark, START + MINUTE)
    row = await database.fetchrow("SELECT * FROM account_marks")
    assert row is not None
    assert (row["equity"], row["high_water_mark"]) == (Decimal(200_000), Decimal(250_000))
    assert (row["day_start_equity"], row["week_start_equity"]) == (Decimal(220_000), Decimal(240_000))
    await database.execute(mark, START + MINUTE * 2)
    assert await database.fetchval("SELECT high_water_mark FROM account_marks") == Decimal(250_000), "counted once"
    assert [row["value"] for row in await database.fetch("SELECT value FROM account_flows ORDER BY entry_id")] == [
        100_000, 100_000,
    ]  # fmt: skip


async def test_the_week_starts_on_monday_with_the_last_value_before(database: PostgresManager) -> None:
    await open_office(database)  # on a Wednesday
    mark, equities = "SELECT mark_book('{paper}', $1)", []
    for days, equity in ((0, None), (4, "99000"), (5, "97000"), (6, "96000")):
        if equity is not None:
            await database.execute("UPDATE account_marks SET equity = $1", Decimal(equity))
        await database.execute(mark, START + DAY * days)
        equities.append(await database.fetchval("SELECT week_start_equity FROM account_marks"))
    assert equities == [100_000, 100_000, 97_000, 97_000]


async def test_a_change_seen_too_late_changes_nothing(database: PostgresManager) -> None:
    await open_office(database)
    change_limit = "SELECT change_limit('asset:BTC', 'max_leverage', 1, $1, NULL, 'because', 'ann', $2)"
    assert await database.fetchval(change_limit, 0, START) == 1
    assert await database.fetchval(change_limit, 0, START) is None
    assert await database.fetchval("SELECT limits_version()") == 1


async def test_holdings_are_valued_at_the_last_close_known_then_and_flows_once(database: PostgresManager) -> None:
    office = await open_office(database)
    await office.hold("BTC", "0.5")
    await office.hold("XYZ", "3")
    rows = await database.fetch("SELECT * FROM holdings_at($1, $2) ORDER BY asset", office.account_id, START)
    assert [(row["asset"], row["instrument_id"], row["quantity"], row["value"]) for row in rows] == [
        ("BTC", office.btc, Decimal("0.5"), Decimal(25_000)), ("USDT", None, 100_000, 100_000), ("XYZ", None, 3, None),
    ]  # fmt: skip
    before = await database.fetch("SELECT * FROM holdings_at($1, $2)", office.account_id, START - MINUTE)
    assert {row["asset"]: row["value"] for row in before}["BTC"] is None
    flows = [await database.fetchval("SELECT mark_flows($1, $2)", office.account_id, START) for _ in range(2)]
    assert flows == [125_000, 0]
