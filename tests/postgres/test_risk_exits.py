"""Exits the risk manager wants: each position asked for until it is gone, by the way of every order, and only once."""

from datetime import timedelta
from decimal import Decimal

import pytest

from mastertrade.domain.events import CandlesClosed, ExitsWanted, OrderApproved, OrderRefused, SignalRaised
from mastertrade.domain.risk import TradingMode
from mastertrade.shared.errors import NotFound
from mastertrade.shared.postgres_manager import PostgresManager
from mastertrade.shared.serialization import new_id
from tests.postgres.risk_seed import MINUTE, START, VENUE, Office, open_office
from tests.postgres.test_risk_book import candle_of


async def minute(office: Office, number: int) -> list[SignalRaised]:
    """A minute closes; the signals raised in it."""
    at = START + number * MINUTE
    office.clock.advance(at)
    await office.candle(50_000.0, close_time=at)
    before = len(office.bus.events)
    candle = candle_of(office, VENUE, at - MINUTE)
    event = CandlesClosed(id=new_id(at), occurred_at=at, interval_s=60, open_time=candle.open_time, candles=(candle,))
    async with office.manager.transaction() as tx:
        await office.risk.on_candles_to_watch(event, tx)
    return [one for one in office.bus.events[before:] if isinstance(one, SignalRaised)]


async def wanted(office: Office) -> list[SignalRaised]:
    """What the news that exits are wanted makes the service raise."""
    news = [one for one in office.bus.events if isinstance(one, ExitsWanted)][-1]
    before = len(office.bus.events)
    async with office.manager.transaction() as tx:
        await office.risk.on_exits_wanted(news, tx)
    return [one for one in office.bus.events[before:] if isinstance(one, SignalRaised)]


async def sold(office: Office) -> None:
    await office.manager.execute(
        "UPDATE strategy_positions SET status = 'closed', quantity = 0, closed_at = $1", office.clock.now()
    )


async def test_a_position_is_asked_for_until_it_is_gone(database: PostgresManager) -> None:
    office = await open_office(database)
    await office.position("0.2")
    await minute(office, 1)
    assert await office.risk.flatten("account:desk", "storm", "ann") == 1
    assert await office.risk.flatten("global", "again", "ben") == 0, "the first reason stands"
    [first] = await wanted(office)
    assert first.signal.evidence == {"exit": "flatten", "because": "storm", "wanted_by": "ann"}
    answer = await office.judge(first)
    assert isinstance(answer, OrderApproved)
    assert (answer.approval.quantity, answer.approval.reduces) == (Decimal("0.2"), True)

    assert await wanted(office) == [], "its approval may still become an order"
    order = await office.order_of(answer, status="UNKNOWN")
    assert await minute(office, 3) == [], "an unknown order may still sell"
    await office.manager.execute("UPDATE orders SET status = 'NOT_FOUND' WHERE id = $1", order)
    await office.manager.fetchval("SELECT release_reservation($1, $2)", answer.approval.reservation_id, START)
    [second] = await minute(office, 4)
    assert second.signal.id != first.signal.id

    await sold(office)
    assert await minute(office, 5) == []
    [exit_] = await office.risk.exits("global", since=START - timedelta(days=1))
    assert (exit_["outcome"], exit_["attempts"], exit_["signal_id"]) == ("closed", 2, second.signal.id)
    assert (exit_["reason"], exit_["actor"], exit_["ended_at"]) == ("storm", "ann", START + 5 * MINUTE)


async def test_the_scope_opens_nothing_more_and_a_halt_is_not_loosened(database: PostgresManager) -> None:
    office = await open_office(database)
    await office.risk.halt("asset:BTC", "news", "ann")
    await office.risk.flatten("asset:BTC", "storm", "ann")
    await office.risk.flatten("venue:paper", "storm", "ann")
    modes = {one.scope: one.mode for one in await office.risk.trading_states()}
    assert modes["asset:BTC"] is TradingMode.HALTED
    assert modes["venue:paper"] is TradingMode.REDUCE_ONLY
    assert isinstance(await office.judge(await office.raise_signal()), OrderRefused)


async def test_other_scopes_keep_what_they_hold(database: PostgresManager) -> None:
    office = await open_office(database)
    other = await office.another_strategy()
    await office.position("0.1")
    await other.position("0.1")
    await minute(office, 1)
    assert await office.risk.flatten(f"strategy:{other.strategy_id}", "storm", "ann") == 1
    [one] = await minute(office, 2)
    assert one.signal.strategy_id == other.strategy_id
    with pytest.raises(NotFound, match="there is no account 'nobody'"):
        await office.risk.flatten("account:nobody", "storm", "ann")


async def test_less_than_a_lot_and_nothing_at_all_end_an_exit(database: PostgresManager) -> None:
    office = await open_office(database)
    await office.position("0.000001")
    await minute(office, 1)
    await office.risk.flatten("global", "storm", "ann")
    assert await minute(office, 2) == []
    assert await database.fetchval("SELECT outcome FROM risk_exits") == "nothing_held"


async def test_a_moment_seen_twice_asks_once(database: PostgresManager) -> None:
    office = await open_office(database)
    await office.position("0.2")
    await minute(office, 1)
    await office.risk.flatten("global", "storm", "ann")
    assert len(await minute(office, 2)) == 1
    assert await minute(office, 2) == []
    count = await database.fetchval("SELECT want_exits('global', 'stop', 'x', 'y', $1)", START)
    assert count == 0
    args = (office.account_id, office.strategy_id, office.eth, START)
    assert await database.fetchval("SELECT want_exit($1, $2, $3, 'stop', 'x', 'y', $4)", *args) is not None
    assert await database.fetchval("SELECT want_exit($1, $2, $3, 'stop', 'x', 'y', $4)", *args) is None
    raised = "SELECT raise_exit_signal($1, $2, $3, $4, 60, $5, 1, '{}', $5, $5, 'SELL', '{}')"
    assert await database.fetchval(raised, new_id(), office.strategy_id, office.account_id, office.eth, START) is True
    assert await database.fetchval(raised, new_id(), office.strategy_id, office.account_id, office.eth, START) is False
