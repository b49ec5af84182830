"""Time in force, post-only and reduce-only from approval to end: capital comes back whole, whatever traded."""

from datetime import timedelta
from decimal import Decimal

import pytest

from mastertrade.domain.events import OrderApproved, SignalRaised
from mastertrade.domain.orders import ORDINARY, Side, Terms, TimeInForce
from mastertrade.domain.strategy import SignalType
from mastertrade.shared.errors import ConstraintViolated, Refused
from mastertrade.shared.postgres_manager import PostgresManager
from mastertrade.strategy_service.manual import ManualOrders, Wish
from tests.postgres.executor_seed import START, Desk, open_desk
from tests.postgres.risk_seed import START as OPENED
from tests.postgres.risk_seed import VENUE, open_office
from tests.postgres.venue_floor import books_are_the_venues, floor

GTD, IOC, FOK = TimeInForce.GTD, TimeInForce.IOC, TimeInForce.FOK
POST = Terms(post_only=True)


async def placed(desk: Desk, limit: str, terms: Terms, quantity: str = "0.5", **more: str) -> OrderApproved:
    approval = await desk.approve(Side.BUY, quantity, limit=limit, terms=terms, **more)  # type: ignore[arg-type]
    await desk.hear(approval)
    return approval


async def locked(desk: Desk) -> Decimal:
    found: Decimal = await desk.manager.fetchval("SELECT sum(locked_balance) FROM portfolio_balances")
    return found


async def test_the_terms_are_in_the_order_and_nothing_else_is_let_into_it(database: PostgresManager) -> None:
    desk = await open_desk(database)
    ends = START + timedelta(hours=2)
    await placed(desk, "90", Terms(time_in_force=GTD, expires_at=ends, post_only=True))
    row = await database.fetchrow("SELECT time_in_force, expires_at, post_only, reduce_only FROM orders")
    assert tuple(row.values()) == ("GTD", ends, True, False)
    copied = "INSERT INTO orders (client_order_id, account_id, instrument_id, symbol, side, quantity, {}) SELECT 'x',"
    copied += " account_id, instrument_id, symbol, side, quantity, {} FROM orders"
    for names, values in (
        ("order_type, price, time_in_force", "'LIMIT', 1, 'DAY'"),
        ("order_type, price, time_in_force", "'LIMIT', 1, 'GTD'"),
        ("order_type, price, expires_at", "'LIMIT', 1, now()"),
        ("order_type, price, time_in_force, post_only", "'LIMIT', 1, 'FOK', true"),
        ("order_type, time_in_force", "'MARKET', 'IOC'"),
        ("order_type, post_only", "'MARKET', true"),
    ):
        with pytest.raises(ConstraintViolated):
            await database.execute(copied.format(names, values))
    await database.execute(copied.format("order_type, price, time_in_force", "'LIMIT', 1, 'FOK'"))


@pytest.mark.parametrize(
    ("terms", "limit", "ends"),
    [
        (Terms(time_in_force=IOC), "99", "EXPIRED"),
        (Terms(time_in_force=IOC), "101", "FILLED"),
        (Terms(time_in_force=FOK), "99", "EXPIRED"),
        (Terms(time_in_force=FOK), "101", "FILLED"),
        (POST, "101", "REJECTED"),
        (POST, "99", "OPEN"),
        (ORDINARY, "99", "OPEN"),
    ],
)
async def test_paper_keeps_the_terms_and_gives_back_what_was_set_aside(
    database: PostgresManager, terms: Terms, limit: str, ends: str
) -> None:
    desk = await open_desk(database)
    approval = await placed(desk, limit, terms)
    await desk.next_bar()
    await desk.next_bar()
    assert await desk.status(approval) == ends
    assert (await locked(desk) > 0) is (ends == "OPEN")
    assert await desk.problems() == []


async def test_an_order_with_a_time_outlives_the_usual_half_hour_and_ends_at_its_own(database: PostgresManager) -> None:
    desk = await open_desk(database)
    approval = await placed(desk, "90", Terms(time_in_force=GTD, expires_at=START + timedelta(minutes=45)))
    await desk.next_bar(minutes=40)
    await desk.next_bar(minutes=5)
    assert await desk.status(approval) == "OPEN"
    await desk.next_bar(price=80)  # it would have traded a bar earlier
    assert await desk.status(approval) == "EXPIRED"
    assert await locked(desk) == 0
    assert await database.fetchval("SELECT count(*) FROM trades") == 0


async def test_where_no_price_comes_we_end_an_order_at_its_time(database: PostgresManager) -> None:
    desk = await open_desk(database)
    approval = await placed(desk, "90", Terms(time_in_force=GTD, expires_at=START + timedelta(minutes=45)))
    desk.clock.advance(START + timedelta(minutes=45))
    await desk.executor.sync()
    await desk.executor.sync()
    assert await desk.status(approval) == "EXPIRED"
    reasons = await database.fetch("SELECT payload ->> 'reason' AS reason FROM order_events ORDER BY id")
    assert "its time ended at 2026-01-05 12:45:00 UTC" in [row["reason"] for row in reasons]
    assert await locked(desk) == 0


async def test_over_the_wire_what_is_left_of_an_order_that_takes_at_once_expires(database: PostgresManager) -> None:
    """More than the book offers at that price: a part trades, the rest ends; all or nothing ends whole."""
    async with floor(database) as on:
        price = Decimal(str(on.venue.account.markets["BTCUSDT"].price(on.venue.time.now_ms())))
        limit = str((price * Decimal("1.0005")).quantize(Decimal("0.01")))
        some = await placed(on.desk, limit, Terms(time_in_force=IOC), "5", reserve="600000")
        for _ in range(2):
            await on.later(1)
        (theirs,) = on.venue.account.orders
        assert (theirs.life, theirs.status) == ("IOC", "EXPIRED")
        assert 0 < theirs.executed < theirs.quantity
        assert await on.desk.status(some) == "EXPIRED"
        assert await locked(on.desk) == 0
        await books_are_the_venues(on)
        none = await placed(on.desk, limit, Terms(time_in_force=FOK), "5", reserve="400000")
        await on.later(1)
        assert await on.desk.status(none) == "EXPIRED"
        assert on.venue.account.orders[-1].executed == 0
        await books_are_the_venues(on)


async def test_over_the_wire_post_only_rests_or_is_refused_for_certain(database: PostgresManager) -> None:
    async with floor(database) as on:
        taking = await placed(on.desk, "900000", POST, "0.01", reserve="10000")
        assert await on.desk.status(taking) == "REJECTED"
        reason = await database.fetchval("SELECT payload ->> 'reason' FROM order_events WHERE to_status = 'REJECTED'")
        assert "Order would immediately match and take. (-2010)" in reason
        resting = await placed(on.desk, "10000", POST, "0.01", reserve="10000")
        assert await on.desk.status(resting) == "OPEN"
        assert [one.type for one in on.venue.account.orders] == ["LIMIT_MAKER"]
        await on.later(1)
        await books_are_the_venues(on)


async def test_a_venue_without_a_time_is_told_when_it_is_over(database: PostgresManager) -> None:
    async with floor(database) as on:
        terms = Terms(time_in_force=GTD, expires_at=START + timedelta(seconds=30))
        approval = await placed(on.desk, "10000", terms, "0.01", reserve="10000")
        await on.later(29)
        assert await on.desk.status(approval) == "OPEN"
        await on.later(1)
        await on.later(1)
        assert await on.desk.status(approval) == "EXPIRED"
        assert [one.status for one in on.venue.account.orders] == ["CANCELED"]
        assert await locked(on.desk) == 0
        await books_are_the_venues(on)


async def test_a_wish_with_terms_is_judged_and_approved_with_them(database: PostgresManager) -> None:
    office = await open_office(database)
    await database.execute("SELECT mark_book(ARRAY[$1], $2)", VENUE, OPENED)
    orders = ManualOrders(manager=database, bus=office.bus)
    terms = Terms(time_in_force=GTD, expires_at=OPENED + timedelta(seconds=90), post_only=True)
    wish = Wish(
        type=SignalType.BUY, symbol="BTC/USDT", quantity=Decimal("0.01"), limit_price=Decimal(49_000), terms=terms
    )
    wished = await orders.place(wish)
    assert wished.signal.valid_until == terms.expires_at, "it is not judged any later than it ends"
    answer = await office.judge(
        SignalRaised(id=wished.signal.id, occurred_at=OPENED, correlation_id=None, signal=wished.signal)
    )
    assert isinstance(answer, OrderApproved)
    assert answer.approval.terms == terms
    stored = await database.fetchval("SELECT s.terms = a.terms FROM signals s JOIN approvals a ON a.signal_id = s.id")
    assert stored is True
    late = Terms(time_in_force=GTD, expires_at=OPENED)
    for bad, told in (
        (Wish(type=SignalType.BUY, symbol="BTC/USDT", quantity=None, terms=POST), "a market order cannot have it"),
        (Wish(type=SignalType.BUY, symbol="BTC/USDT", quantity=None, limit_price=Decimal(1), terms=late), "later time"),
        (Wish(type=SignalType.BUY, symbol="BTC/USDT", quantity=None, terms=Terms(reduce_only=True)), "use SELL"),
    ):
        with pytest.raises(Refused, match=told):
            await orders.place(bad)
