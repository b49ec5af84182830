"""Orders by hand: manual_strategy and raise_signal_by_hand, and what the risk manager makes of them."""

from datetime import timedelta
from decimal import Decimal

import pytest

from mastertrade.domain.events import OrderApproved, OrderRefused, SignalRaised
from mastertrade.domain.orders import OrderType, Terms, TimeInForce
from mastertrade.domain.strategy import SignalType
from mastertrade.risk_manager.gathering import Inputs
from mastertrade.risk_manager.judge import judge
from mastertrade.shared.errors import NotFound, Refused
from mastertrade.shared.postgres_manager import PostgresManager
from mastertrade.strategy_service.manual import VALID, ManualOrders, Wish
from tests.postgres.risk_seed import START, VENUE, Office, open_office

ONE = Decimal("0.01")


async def opened(database: PostgresManager) -> tuple[Office, ManualOrders]:
    """With a mark, which is the present of an account."""
    office = await open_office(database)
    await database.execute("SELECT mark_book(ARRAY[$1], $2)", VENUE, START)
    return office, ManualOrders(manager=database, bus=office.bus)


def wish(type_: SignalType = SignalType.BUY, quantity: Decimal | None = ONE, **changes: object) -> Wish:
    return Wish(type=type_, symbol="btc/usdt", quantity=quantity, actor="ann", **changes)  # type: ignore[arg-type]


async def test_a_wish_is_a_signal_that_is_judged_for_exactly_its_quantity(database: PostgresManager) -> None:
    office, orders = await opened(database)
    wished = await orders.place(wish(reason="a look"))
    (raised,) = office.bus.events
    assert isinstance(raised, SignalRaised)
    assert raised.signal == wished.signal
    assert (wished.strategy, wished.signal.quantity, wished.signal.symbol) == ("manual", ONE, "BTC/USDT")
    stored = await database.fetchrow("SELECT * FROM signals WHERE id = $1", wished.signal.id)
    assert (stored["quantity"], stored["evidence"]["by_hand"], stored["evidence"]["because"]) == (ONE, "ann", "a look")
    assert stored["valid_until"] - stored["timestamp"] == VALID
    answer = await office.judge(raised)
    assert isinstance(answer, OrderApproved)
    assert answer.approval.quantity == ONE


async def test_without_a_quantity_it_is_sized_like_a_sure_signal(database: PostgresManager) -> None:
    office, orders = await opened(database)
    wished = await orders.place(wish(quantity=None))
    answer = await office.judge(
        SignalRaised(id=wished.signal.id, occurred_at=START, correlation_id=None, signal=wished.signal)
    )
    assert isinstance(answer, OrderApproved)
    assert answer.approval.quantity > 0


async def test_a_limit_is_the_worst_price_and_what_is_set_aside_for(database: PostgresManager) -> None:
    office, orders = await opened(database)
    limit = Decimal("49000.5")
    wished = await orders.place(wish(limit_price=limit))
    event = SignalRaised(id=wished.signal.id, occurred_at=START, correlation_id=None, signal=wished.signal)
    answer = await office.judge(event)
    assert isinstance(answer, OrderApproved)
    assert (answer.approval.type, answer.approval.limit_price) == (OrderType.LIMIT, limit)
    fee = await database.fetchval("SELECT taker_fee FROM instruments WHERE id = $1", wished.signal.instrument_id)
    reserved = await database.fetchval("SELECT amount FROM reservations")
    assert reserved == ONE * limit * (1 + fee)
    verdict = await office.verdict(event)
    inputs = await database.fetchval("SELECT inputs FROM verdict_inputs WHERE verdict_id = $1", verdict["id"])
    again = Inputs.from_json(inputs)
    assert judge(again.case, again.limits, verdict_id=verdict["id"]).order.limit_price == limit  # type: ignore[union-attr]


async def test_values_between_two_steps_of_the_market_are_refused_with_the_nearest(database: PostgresManager) -> None:
    _, orders = await opened(database)
    tick = await database.fetchval("SELECT tick_size FROM instruments WHERE symbol = 'BTC/USDT'")
    below = Decimal(40_000) + tick
    with pytest.raises(Refused, match=f"the nearest are {below.normalize():f} and {(below + tick).normalize():f}"):
        await orders.place(wish(limit_price=below + tick / 2))


async def test_two_wishes_of_one_moment_are_two_and_of_one_strategy(database: PostgresManager) -> None:
    _, orders = await opened(database)
    wishes = [await orders.place(wish()) for _ in range(3)]
    closes = [one.signal.bar_close for one in wishes]
    assert closes == [START + timedelta(microseconds=n) for n in range(3)]
    assert len({one.signal.strategy_id for one in wishes}) == 1
    rows = await database.fetch("SELECT type, status, is_active, enabled FROM strategies WHERE name = 'manual'")
    assert [tuple(row.values()) for row in rows] == [("manual", "inactive", False, True)]


async def test_what_nobody_holds_cannot_be_sold_by_hand_either(database: PostgresManager) -> None:
    office, orders = await opened(database)
    wished = await orders.place(wish(SignalType.SELL))
    event = SignalRaised(id=wished.signal.id, occurred_at=START, correlation_id=None, signal=wished.signal)
    answer = await office.judge(event)
    assert isinstance(answer, OrderRefused)
    assert "exit_has_position" in (await office.verdict(event))["reason"]


async def test_what_there_is_not_is_refused_with_the_next_step_and_nothing_is_kept(database: PostgresManager) -> None:
    office, orders = await opened(database)
    for bad, error, told in (
        (wish(account="nobody"), NotFound, "there is no account 'nobody'"),
        (wish(strategy="nobody's"), NotFound, "there is no strategy"),
        (Wish(type=SignalType.BUY, symbol="FOO/USDT", quantity=ONE), NotFound, "FOO/USDT is no market of paper"),
        (wish(quantity=Decimal("1e-12")), Refused, "BTC/USDT: quantity 0.000000000001 is no multiple of the lot"),
    ):
        with pytest.raises(error, match=told):
            await orders.place(bad)
    assert await database.fetchval("SELECT count(*) FROM signals") == 0
    assert office.bus.events == []


async def test_an_end_that_counts_from_the_markets_present_becomes_a_time_of_it(database: PostgresManager) -> None:
    _, orders = await opened(database)
    terms = Terms(post_only=True)
    wished = await orders.place(wish(limit_price=Decimal("49000.5"), terms=terms, lasts=timedelta(hours=8)))
    assert wished.signal.terms == Terms(
        time_in_force=TimeInForce.GTD, expires_at=START + timedelta(hours=8), post_only=True
    )
    with pytest.raises(Refused, match="a market order cannot have it"):
        await orders.place(wish(lasts=timedelta(hours=8)))
