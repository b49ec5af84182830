"""What a person says became of an order without an answer: held against the venue's word, kept with its reason, and
never in the way of what the venue tells later."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal

import pytest

from mastertrade.domain.events import OrderApproved
from mastertrade.domain.orders import OrderStatus
from mastertrade.exchanges.exchange import OrderTicket, VenueOrder
from mastertrade.exchanges.paper import PaperVenue
from mastertrade.order_executor.resolutions import Resolutions
from mastertrade.shared.errors import ConstraintViolated, UsageError
from mastertrade.shared.postgres_manager import PostgresManager
from tests.postgres.executor_seed import Desk, open_desk

pytestmark = pytest.mark.asyncio


@dataclass
class Doubt:
    """A desk with one order whose answer was lost. The paper venue has it, or not, or says nothing."""

    desk: Desk
    event: OrderApproved
    door: Resolutions
    is_silent: bool = False

    async def say(self, verdict: OrderStatus, price: str | None = None) -> tuple[str | None, str | None]:
        order_id = await self.desk.manager.fetchval("SELECT id FROM orders")
        at = None if price is None else Decimal(price)
        kept = await self.door.want(order_id, verdict, price=at, reason="their desk told me", actor="ann")
        await self.desk.executor.sync()
        came = await self.door.outcome(kept)
        return came["outcome"], came["explanation"]

    async def later(self, seconds: float) -> None:
        self.desk.clock.advance(self.desk.clock.now() + timedelta(seconds=seconds))

    async def note(self) -> str:
        payload = await self.desk.manager.fetchval(
            "SELECT payload FROM order_events WHERE source = 'person' AND event_type = 'note'"
        )
        assert payload["actor"] == "ann"
        return str(payload["reason"])


async def doubt(database: PostgresManager, patch: pytest.MonkeyPatch, *, taken: bool, after_s: float = 20) -> Doubt:
    desk = await open_desk(database)
    place, find, open_orders = PaperVenue.place, PaperVenue.find, PaperVenue.open_orders

    async def unanswered(self: PaperVenue, ticket: OrderTicket) -> VenueOrder:
        if taken:
            await place(self, ticket)
        raise ConnectionResetError("its answer was lost")

    async def asked(self: PaperVenue, *order: str, **named: object) -> VenueOrder | None:
        if on.is_silent:
            raise ConnectionResetError("no answer")
        return await find(self, *order)

    async def listed(self: PaperVenue, symbols: Sequence[str]) -> tuple[VenueOrder, ...]:
        if on.is_silent:
            raise ConnectionResetError("no answer")
        return await open_orders(self, symbols)

    patch.setattr(PaperVenue, "place", unanswered)
    patch.setattr(PaperVenue, "find", asked)
    patch.setattr(PaperVenue, "open_orders", listed)
    event = await desk.approve(quantity="0.5")
    await desk.executor.sync()
    on = Doubt(desk=desk, event=event, door=Resolutions(manager=database, clock=desk.clock))
    await desk.hear(event)
    assert await desk.status(event) == "UNKNOWN"
    await on.later(after_s)  # 15 s are its send-by time and what the venue may need
    return on


@pytest.mark.parametrize("verdict", [OrderStatus.CANCELED, OrderStatus.NOT_FOUND])
async def test_what_the_venue_knows_nothing_of_ends_as_the_person_says_and_frees_its_capital(
    database: PostgresManager, monkeypatch: pytest.MonkeyPatch, verdict: OrderStatus
) -> None:
    on = await doubt(database, monkeypatch, taken=False)
    assert await on.say(verdict) == ("applied", "the venue knows of no such order")
    assert await on.desk.status(on.event) == verdict
    assert await on.note() == f"ann said {verdict}, their desk told me: the venue knows of no such order"
    assert await database.fetchval("SELECT sum(locked_balance) FROM portfolio_balances") == 0
    step = await database.fetchrow("SELECT source, payload FROM order_events WHERE to_status = $1", verdict.value)
    assert step is not None
    assert (step["source"], step["payload"]) == ("person", {"reason": "their desk told me", "actor": "ann"})
    assert [type(one).__name__ for one in on.desk.bus.events][-1] == "OrderUpdated"
    assert await on.desk.problems() == []


async def test_what_the_venue_has_is_as_the_venue_says(
    database: PostgresManager, monkeypatch: pytest.MonkeyPatch
) -> None:
    on = await doubt(database, monkeypatch, taken=True)
    assert await on.say(OrderStatus.NOT_FOUND) == ("refused", "the venue has it: OPEN")
    assert await on.desk.status(on.event) == "OPEN"
    with pytest.raises(UsageError, match="it is OPEN, and only what is UNKNOWN is settled by hand"):
        await on.say(OrderStatus.CANCELED)


async def test_a_word_that_the_venue_says_too_is_confirmed_and_the_venues_is_booked(
    database: PostgresManager, monkeypatch: pytest.MonkeyPatch
) -> None:
    on = await doubt(database, monkeypatch, taken=True)
    await database.execute("UPDATE paper_venue.orders SET status = 'CANCELED'")
    assert await on.say(OrderStatus.CANCELED) == ("confirmed", "the venue says so too")
    assert await on.desk.status(on.event) == "CANCELED"
    sources = await database.fetch("SELECT source FROM order_events WHERE to_status = 'CANCELED'")
    assert [row["source"] for row in sources] == ["venue"]


async def test_a_venue_that_does_not_answer_is_asked_for_a_minute_before_a_persons_word_counts(
    database: PostgresManager, monkeypatch: pytest.MonkeyPatch
) -> None:
    on = await doubt(database, monkeypatch, taken=True)
    on.is_silent = True
    assert await on.say(OrderStatus.CANCELED) == (None, None)
    with pytest.raises(UsageError, match="somebody has said already"):
        await on.say(OrderStatus.NOT_FOUND)
    await on.later(59)
    await on.desk.executor.sync()
    assert await on.desk.status(on.event) == "UNKNOWN"
    await on.later(2)
    await on.desk.executor.sync()
    assert await on.desk.status(on.event) == "CANCELED"
    assert "the venue did not answer" in await on.note()


async def test_what_may_still_arrive_cannot_be_said_to_be_absent(
    database: PostgresManager, monkeypatch: pytest.MonkeyPatch
) -> None:
    on = await doubt(database, monkeypatch, taken=False, after_s=15)
    outcome, explanation = await on.say(OrderStatus.NOT_FOUND)
    assert outcome == "refused"
    assert "the venue may still take it, until" in str(explanation)
    assert await on.desk.status(on.event) == "UNKNOWN"


async def test_what_is_said_to_have_filled_is_booked_until_the_venues_own_fill_takes_its_place(
    database: PostgresManager, monkeypatch: pytest.MonkeyPatch
) -> None:
    on = await doubt(database, monkeypatch, taken=True)
    on.is_silent = True
    await on.say(OrderStatus.FILLED, "101")
    await on.later(61)
    await on.desk.executor.sync()
    assert await on.desk.status(on.event) == "FILLED"
    trade = await database.fetchrow("SELECT price, quantity, is_inferred FROM trades")
    assert dict(trade or {}) == {"price": Decimal(101), "quantity": Decimal("0.5"), "is_inferred": True}
    assert "OrderFilled" in {type(one).__name__ for one in on.desk.bus.events}
    on.is_silent = False
    await on.desk.venue.on_prices([on.desk.candle(100.0)])
    await on.desk.executor.sync()
    trade = await database.fetchrow("SELECT price, quantity, is_inferred FROM trades")
    assert trade is not None
    assert (trade["quantity"], trade["is_inferred"]) == (Decimal("0.5"), False)
    assert trade["price"] != 101
    assert await on.desk.problems() == []


async def test_an_order_said_to_be_absent_that_trades_all_the_same_is_booked_with_an_alert(
    database: PostgresManager, monkeypatch: pytest.MonkeyPatch
) -> None:
    on = await doubt(database, monkeypatch, taken=True)
    on.is_silent = True
    await on.say(OrderStatus.NOT_FOUND)
    await on.later(61)
    await on.desk.executor.sync()
    assert await on.desk.status(on.event) == "NOT_FOUND"
    await on.desk.venue.on_prices([on.desk.candle(100.0)])
    on.is_silent = False
    await on.later(31)
    await on.desk.executor.sync()
    assert await on.desk.status(on.event) == "FILLED"
    assert await database.fetchval("SELECT count(*) FROM risk_alerts WHERE alert_type = 'late_fill'") == 1
    assert await on.desk.problems() == []


async def test_nobody_settles_without_a_reason_or_a_filled_order_without_a_price(
    database: PostgresManager, monkeypatch: pytest.MonkeyPatch
) -> None:
    on = await doubt(database, monkeypatch, taken=False)
    order_id = await database.fetchval("SELECT id FROM orders")
    for verdict, price, reason, why in (
        (OrderStatus.NOT_FOUND, None, "  ", "a reason is needed"),
        (OrderStatus.FILLED, None, "so", "needs its price"),
        (OrderStatus.CANCELED, Decimal(1), "so", "nothing else has one"),
        (OrderStatus.OPEN, None, "so", "not settled by hand"),
    ):
        with pytest.raises(UsageError, match=why):
            await on.door.want(order_id, verdict, price=price, reason=reason, actor="ann")
    with pytest.raises(ConstraintViolated):
        await database.fetchval("SELECT want_resolved($1, 'OPEN', NULL, 'so', 'ann', now())", order_id)
    assert (
        await database.fetchval(
            "SELECT settle_resolution(gen_random_uuid(), $1, 1, 'applied', '', now())", on.desk.lease.role
        )
        is False
    )


async def absent(on: Doubt) -> str:
    """Ask for over a minute, as an order must be denied to count as absent."""
    for _ in range(4):
        await on.desk.executor.sync()
        await on.later(31)
    await on.desk.executor.sync()
    return await on.desk.status(on.event)


async def test_a_trade_that_nobodys_order_explains_keeps_an_order_from_counting_as_absent(
    database: PostgresManager, monkeypatch: pytest.MonkeyPatch
) -> None:
    on = await doubt(database, monkeypatch, taken=False)
    fill = {"exchange_trade_id": "77", "symbol": "BTC/USDT"}
    await database.execute(
        "INSERT INTO quarantined_fills (account_id, reason, payload, occurred_at) VALUES ($1, 'unknown_order', $2, $3)",
        on.desk.account.id, fill, on.desk.clock.now(),
    )  # fmt: skip
    assert await absent(on) == "UNKNOWN"
    notes = await database.fetch("SELECT payload FROM order_events WHERE event_type = 'note'")
    assert [row["payload"]["reason"] for row in notes] == [
        "the venue knows of no such order, and it is not taken for absent: fill 77 could not be booked: unknown_order"
    ]
    assert await on.say(OrderStatus.NOT_FOUND) == ("applied", "the venue knows of no such order")


async def test_trades_of_another_market_or_from_before_explain_nothing_and_do_not_matter(
    database: PostgresManager, monkeypatch: pytest.MonkeyPatch
) -> None:
    on = await doubt(database, monkeypatch, taken=False)
    for symbol, seconds in (("ETH/USDT", 0), ("BTC/USDT", -60)):
        await database.execute(
            "INSERT INTO quarantined_fills (account_id, reason, payload, occurred_at) VALUES ($1, 'conflict', $2, $3)",
            on.desk.account.id, {"symbol": symbol}, on.desk.clock.now() + timedelta(seconds=seconds),
        )  # fmt: skip
    assert await absent(on) == "NOT_FOUND"


async def test_trades_of_an_order_without_an_id_and_balances_that_differ_are_doubts(
    database: PostgresManager, monkeypatch: pytest.MonkeyPatch
) -> None:
    on = await doubt(database, monkeypatch, taken=False)
    order_id, desk, at = await database.fetchval("SELECT id FROM orders"), on.desk, on.desk.clock.now()
    assert await database.fetchval("SELECT absence_doubts($1)", order_id) == []
    await database.fetchval(
        "SELECT adopt_order($1, 'BTC/USDT', '@9', '9', 'BUY', 0.1, NULL, 'external', $2)", desk.account.id, at
    )
    await database.fetchrow(
        "SELECT * FROM apply_fill(gen_random_uuid(), $1, '@9', '9', '78', 0.1, 100, 0, 'USDT', true, $2, $2, 'venue')",
        desk.account.id, at,
    )  # fmt: skip
    await database.execute(
        "INSERT INTO reconciliation_breaks (account_id, kind, subject, detail, blocks, first_seen, last_seen) "
        "VALUES ($1, 'balance', 'BTC', 'our ledger has 0 BTC, the venue 1', true, $2, $2)", desk.account.id, at,
    )  # fmt: skip
    assert await database.fetchval("SELECT absence_doubts($1)", order_id) == [
        "our ledger has 0 BTC, the venue 1",
        "trade 78 is of the venue's order 9, which has no id of its client's",
    ]
    await database.fetchval("SELECT waive_breaks($1, NULL, 'ann', 'mine', $2)", desk.account.id, at)
    assert len(await database.fetchval("SELECT absence_doubts($1)", order_id)) == 1
