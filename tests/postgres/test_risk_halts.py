"""Halts: they always win, are kept for good, and the older system's switch is one of them."""

import asyncio
from datetime import timedelta
from uuid import UUID

import pytest

from mastertrade.domain.events import OrderApproved, OrderRefused, TradingStateChanged
from mastertrade.domain.risk import GLOBAL_SCOPE, TradingMode, account_scope, instrument_scope, strategy_scope
from mastertrade.domain.strategy import SignalType
from mastertrade.shared.errors import ConstraintViolated, DatabaseBusy, DatabaseError, NotFound, UsageError
from mastertrade.shared.postgres_manager import PostgresManager
from tests.postgres.risk_seed import MINUTE, START, VENUE, Office, open_office

MODE = "SELECT trading_mode($1, $2, $3)"


async def mode(office: Office, instrument_id: int | None = None) -> str:
    found: str = await office.manager.fetchval(MODE, office.account_id, office.strategy_id, instrument_id or office.btc)
    return found


async def test_everything_runs_until_somebody_halts(database: PostgresManager) -> None:
    office = await open_office(database)
    assert await mode(office) == "running"
    [state] = await office.risk.trading_states()
    assert (state.scope, state.mode, state.version) == (GLOBAL_SCOPE, TradingMode.RUNNING, 1)


async def test_a_halt_and_its_end_are_states_events_history_and_admin_actions(database: PostgresManager) -> None:
    office = await open_office(database)
    halted = await office.risk.halt(GLOBAL_SCOPE, "night", "ann")
    office.clock.advance(START + timedelta(hours=8))
    resumed = await office.risk.resume(GLOBAL_SCOPE, "morning", "ben")
    assert (halted.mode, halted.version, halted.changed_at) == (TradingMode.HALTED, 2, START)
    assert (resumed.mode, resumed.version, resumed.actor) == (TradingMode.RUNNING, 3, "ben")
    history = await database.fetch("SELECT version, mode, reason, actor FROM trading_state_history ORDER BY version")
    assert [tuple(row) for row in history] == [
        (1, "running", "as installed", "schema"),
        (2, "halted", "night", "ann"),
        (3, "running", "morning", "ben"),
    ]
    actions = await database.fetch("SELECT action, details, created_at FROM risk_admin_actions ORDER BY created_at")
    assert [(row["action"], row["details"]["actor"], row["details"]["version"]) for row in actions] == [
        ("trading_halted", "ann", 2),
        ("trading_running", "ben", 3),
    ]
    events = [event for event in office.bus.events if isinstance(event, TradingStateChanged)]
    assert [(event.scope, event.mode, event.reason) for event in events] == [
        (GLOBAL_SCOPE, TradingMode.HALTED, "night"),
        (GLOBAL_SCOPE, TradingMode.RUNNING, "morning"),
    ]


async def test_halting_what_is_halted_works_and_keeps_the_newer_reason(database: PostgresManager) -> None:
    office = await open_office(database)
    await office.risk.halt(GLOBAL_SCOPE, "first", "ann")
    state = await office.risk.halt(GLOBAL_SCOPE, "second", "ben")
    assert (state.mode, state.reason, state.version) == (TradingMode.HALTED, "second", 3)


async def test_a_scope_halts_what_it_encloses_and_nothing_else(database: PostgresManager) -> None:
    office = await open_office(database)
    neighbour = await office.another_account()
    other = await office.another_strategy()
    for scope, untouched in (
        (account_scope(office.account_id), "neighbour's account"),
        (strategy_scope(office.strategy_id), "other strategy"),
        (instrument_scope(office.btc), "other instrument"),
    ):
        await office.risk.halt(scope, "test", "ann")
        assert await mode(office) == "halted"
        modes = {
            "neighbour's account": await mode(neighbour),
            "other strategy": await mode(other),
            "other instrument": await mode(office, office.eth),
        }
        assert [name for name, found in modes.items() if found == "running"] == [untouched]
        await office.risk.resume(scope, "test", "ann")
        assert await mode(office) == "running"


async def test_a_venue_and_an_asset_are_scopes_and_names_are_as_good_as_ids(database: PostgresManager) -> None:
    office = await open_office(database)
    for written, stored, of_eth in (
        (f"venue:{VENUE}", f"venue:{VENUE}", "reduce_only"),
        ("asset:btc", "asset:BTC", "running"),
        ("instrument:btc/usdt", instrument_scope(office.btc), "running"),
        ("account:Desk", account_scope(office.account_id), "reduce_only"),
        ("strategy:test", strategy_scope(office.strategy_id), "reduce_only"),
    ):
        state = await office.risk.reduce(written, "test", "ann")
        assert (state.scope, state.mode) == (stored, TradingMode.REDUCE_ONLY)
        assert (await mode(office), await mode(office, office.eth)) == ("reduce_only", of_eth)
        refused = await office.judge(await office.raise_signal(at=office.clock.now()))
        assert isinstance(refused, OrderRefused)
        assert any(f"{stored} is reduce_only by ann: test" in reason for reason in refused.reasons)
        await office.risk.resume(written, "test", "ann")
        office.clock.advance(office.clock.now() + MINUTE / 2)
    with pytest.raises(UsageError, match="name assets"):
        await office.risk.halt("class:MEME", "test", "ann")


async def test_a_scope_resumed_under_a_global_halt_stays_halted(database: PostgresManager) -> None:
    office = await open_office(database)
    await office.risk.halt(GLOBAL_SCOPE, "night", "ann")
    await office.risk.resume(account_scope(office.account_id), "please", "ben")
    assert await mode(office) == "halted"


async def test_reduce_only_is_looser_than_halted_and_tighter_than_running(database: PostgresManager) -> None:
    office = await open_office(database)
    await database.execute("SELECT change_trading_mode('global', 'reduce_only', 'thin market', 'ann', $1)", START)
    assert await mode(office) == "reduce_only"
    await office.risk.halt(instrument_scope(office.btc), "test", "ann")
    assert (await mode(office), await mode(office, office.eth)) == ("halted", "reduce_only")
    await office.position("0.05")
    assert isinstance(await office.judge(await office.raise_signal(SignalType.SELL)), OrderApproved)


async def test_states_are_listed_tightest_first(database: PostgresManager) -> None:
    office = await open_office(database)
    await office.risk.halt(instrument_scope(office.btc), "test", "ann")
    assert [state.mode for state in await office.risk.trading_states()] == [TradingMode.HALTED, TradingMode.RUNNING]


@pytest.mark.parametrize(
    "scope", ["", "everything", "account:7", "instrument:0", "instrument:x", "strategy:", "global:x"]
)
async def test_what_is_no_scope_is_refused_with_the_forms_there_are(database: PostgresManager, scope: str) -> None:
    office = await open_office(database)
    with pytest.raises((UsageError, NotFound), match=r"none of global, account:NAME|there is no"):
        await office.risk.halt(scope, "test", "ann")
    with pytest.raises(ConstraintViolated, match="trading_state_scope_is_known"):
        await database.execute("SELECT halt_trading($1, 'test', 'ann', $2)", scope, START)
    assert office.bus.events == []


async def test_halting_what_does_not_exist_says_so(database: PostgresManager) -> None:
    office = await open_office(database)
    for scope in (account_scope(UUID(int=9)), strategy_scope(UUID(int=9)), instrument_scope(99_999_999_999)):
        with pytest.raises(NotFound, match="nothing was changed"):
            await office.risk.halt(scope, "test", "ann")
        with pytest.raises(NotFound):
            await office.risk.resume(scope, "test", "ann")
    assert len(await office.risk.trading_states()) == 1


async def test_a_scope_may_be_spelled_in_capitals(database: PostgresManager) -> None:
    office = await open_office(database)
    state = await office.risk.halt(f" Account:{str(office.account_id).upper()} ", "test", "ann")
    assert state.scope == account_scope(office.account_id)
    assert await mode(office) == "halted"


async def test_no_state_is_ever_deleted_and_history_never_changes(database: PostgresManager) -> None:
    for statement in (
        "DELETE FROM trading_state",
        "TRUNCATE trading_state",
        "UPDATE trading_state_history SET actor = 'nobody'",
        "DELETE FROM risk_admin_actions",
    ):
        with pytest.raises(DatabaseError, match="append-only"):
            await database.execute(statement)


async def test_without_a_global_state_nothing_runs(database: PostgresManager) -> None:
    office = await open_office(database)
    await database.execute("ALTER TABLE trading_state DISABLE TRIGGER ALL")
    await database.execute("DELETE FROM trading_state")
    assert await mode(office) == "halted"


# --- the race ---


async def test_a_halt_waits_for_who_has_read_the_state_and_wins_over_who_has_not(database: PostgresManager) -> None:
    office = await open_office(database)
    scope = strategy_scope(office.strategy_id)  # never halted before: there is no row of it to lock
    async with database.transaction() as early:
        assert await early.fetchval(MODE, office.account_id, office.strategy_id, office.btc) == "running"
        halt = asyncio.create_task(office.risk.halt(scope, "race", "ann"))
        await _until_waiting(database)
        late = asyncio.create_task(mode(office))
        await asyncio.sleep(0.05)
        assert not halt.done()
        assert not late.done()  # queued behind the halt, although it could share with the early one
    assert (await halt).mode is TradingMode.HALTED
    assert await late == "halted"


async def test_a_plain_update_of_the_table_is_fenced_as_well(database: PostgresManager) -> None:
    office = await open_office(database)
    async with database.transaction() as early:
        assert await early.fetchval(MODE, office.account_id, office.strategy_id, office.btc) == "running"
        update = asyncio.create_task(
            database.execute("UPDATE trading_state SET mode = 'halted' WHERE scope = 'global'")
        )
        await _until_waiting(database)
        assert not update.done()
    await update
    assert await mode(office) == "halted"


async def test_a_stream_of_readers_does_not_starve_a_halt(database: PostgresManager) -> None:
    office = await open_office(database)
    stop = asyncio.Event()

    async def read() -> None:
        while not stop.is_set():
            async with database.transaction() as tx:
                await tx.fetchval(MODE, office.account_id, office.strategy_id, office.btc)
                await asyncio.sleep(0.01)

    readers = [asyncio.create_task(read()) for _ in range(6)]
    await asyncio.sleep(0.05)
    async with asyncio.timeout(2):
        await office.risk.halt(GLOBAL_SCOPE, "now", "ann")
    stop.set()
    await asyncio.gather(*readers)


async def test_a_halt_that_loses_a_deadlock_asks_again(
    database: PostgresManager, monkeypatch: pytest.MonkeyPatch
) -> None:
    office = await open_office(database)
    kind, halt, failures = type(office.risk._database), office.risk._database.halt_trading, [1, 1]

    async def unlucky(*args: object, **kwargs: object) -> object:
        if failures:
            failures.pop()
            raise DatabaseBusy("two transactions waited for each other")
        return await halt(*args, **kwargs)  # type: ignore[arg-type]

    monkeypatch.setattr(kind, "halt_trading", lambda self, *a, **k: unlucky(*a, **k))
    assert (await office.risk.halt(GLOBAL_SCOPE, "now", "ann")).version == 2
    assert len(office.bus.events) == 1


async def test_after_a_halt_commits_no_opening_verdict_does(database: PostgresManager) -> None:
    office = await open_office(database)
    offices = [await (await office.another_account()).another_strategy() for _ in range(8)]
    started = asyncio.Event()

    async def trade(own: Office) -> list[OrderApproved]:
        approvals = []
        for second in range(12):
            event = await own.raise_signal(at=START + timedelta(milliseconds=second))
            answer = await own.judge(event)
            started.set()
            if isinstance(answer, OrderApproved):
                approvals.append(answer)
                await own.order_of(answer, status="CANCELED")
        return approvals

    traders = [asyncio.create_task(trade(own)) for own in offices]
    await started.wait()
    await office.risk.halt(GLOBAL_SCOPE, "race", "ann")
    approved_before = await database.fetchval("SELECT count(*) FROM approvals")
    approvals = [approval for trader in await asyncio.gather(*traders) for approval in trader]
    assert await database.fetchval("SELECT count(*) FROM approvals") == approved_before == len(approvals)
    assert approved_before < 8 * 12
    assert {row["disposition"] for row in await database.fetch("SELECT disposition FROM verdicts")} <= {
        "approved",
        "refused",
    }


async def _until_waiting(database: PostgresManager) -> None:
    async with asyncio.timeout(5):
        while not await database.fetchval("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"):
            await asyncio.sleep(0.01)


# --- the older system's switch ---


async def test_the_legacy_switch_is_the_global_halt(database: PostgresManager) -> None:
    office = await open_office(database)
    row = await database.fetchrow("SELECT * FROM trading_config")
    assert row is not None
    assert (row["config_type"], row["enabled"]) == ("trading_enabled", True)
    await database.execute("UPDATE trading_config SET enabled = NOT enabled WHERE config_type = 'trading_enabled'")
    assert await mode(office) == "halted"
    assert await database.fetchval("SELECT enabled FROM trading_config") is False
    assert isinstance(await office.judge(await office.raise_signal()), OrderRefused)
    before = await database.fetchval("SELECT updated_at FROM trading_config")
    await database.execute("UPDATE trading_config SET enabled = NOT enabled")
    assert await mode(office) == "running"
    assert await database.fetchval("SELECT updated_at FROM trading_config") > before
    await database.execute(
        "INSERT INTO trading_config (config_type, enabled, updated_at) VALUES ('trading_enabled', false, $1)", START
    )
    [state] = await office.risk.trading_states()
    assert (state.mode, state.actor, state.changed_at, state.version) == (
        TradingMode.HALTED,
        "trading_config",
        START,
        4,
    )


async def test_the_legacy_switch_shows_a_halt_made_elsewhere(database: PostgresManager) -> None:
    office = await open_office(database)
    await office.risk.halt(GLOBAL_SCOPE, "test", "ann")
    assert await database.fetchval("SELECT enabled FROM trading_config") is False


async def test_the_legacy_switch_cannot_be_deleted_or_given_another_meaning(database: PostgresManager) -> None:
    with pytest.raises(DatabaseError, match="cannot be deleted"):
        await database.execute("DELETE FROM trading_config")
    with pytest.raises(ConstraintViolated, match="config_type trading_enabled"):
        await database.execute("INSERT INTO trading_config (config_type, enabled) VALUES ('max_orders', true)")
    with pytest.raises(ConstraintViolated):
        await database.execute("UPDATE trading_config SET enabled = NULL")


async def test_the_triggers_behind_the_states_are_the_named_ones(database: PostgresManager) -> None:
    """fence_trading_state, keep_trading_state and change_trading_config are what the tests above have seen at work."""
    rows = await database.fetch(
        "SELECT p.proname FROM pg_trigger t JOIN pg_proc p ON p.oid = t.tgfoid "
        "WHERE t.tgrelid IN ('trading_state'::regclass, 'trading_config'::regclass) AND NOT t.tgisinternal"
    )
    assert {row["proname"] for row in rows} == {
        "fence_trading_state",
        "keep_trading_state",
        "change_trading_config",
        "refuse_change",
    }
