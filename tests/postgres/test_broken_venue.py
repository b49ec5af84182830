"""The executor at a venue whose answers are broken at random for a while: it goes on, books nothing that is not so, and
is whole again with the venue. The same seed is the same life."""

import copy
import logging
import random
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import datetime
from typing import Any, Final

import pytest

from mastertrade.domain.events import OrderApproved
from mastertrade.domain.orders import Fill, Side
from mastertrade.shared.postgres_manager import PostgresManager
from tests.postgres.venue_floor import Floor, floor

SHARE: Final = 0.4
"""Of the answers, while they are broken."""
NONE: Final = (None, [], {}, float("nan"))
AMOUNTS: Final = (*NONE, "", "x", "-1", "1e400", True)
LEFT_OUT: Final = ("commission", "commissionAsset")
"""What is booked as nothing where it is not told, and stays so."""


class Breaker:
    """Parses a venue's answers, and breaks one value in some of them."""

    def __init__(self, parse: Callable[[str], Any], seed: int) -> None:
        self._parse = parse
        self._random = random.Random(seed)
        self.is_on = False
        self.broken = 0

    def __call__(self, body: str) -> Any:
        found = self._parse(body)
        if not self.is_on or self._random.random() > SHARE:
            return found
        places = [(place, value) for place, value in values(found) if place[-1] not in LEFT_OUT]
        if not places:
            return found
        place, value = self._random.choice(places)
        broken = within = copy.deepcopy(found)
        for name in place[:-1]:
            within = within[name]
        is_amount = isinstance(value, str) and "." in value
        within[place[-1]] = self._random.choice(AMOUNTS if is_amount else NONE)
        self.broken += 1
        return broken


def values(answer: Any, place: tuple[str | int, ...] = ()) -> Iterator[tuple[tuple[str | int, ...], Any]]:
    if isinstance(answer, dict | list):
        for name, value in answer.items() if isinstance(answer, dict) else enumerate(answer):
            yield from values(value, (*place, name))
    elif place:
        yield place, answer


async def nothing_false_is_booked(on: Floor) -> None:
    account = on.venue.account
    ids = {one.id: one.client_id for one in account.orders}
    truth = {(str(one.id), ids[one.order_id], one.side, one.quantity, one.price) for one in account.executions}
    rows = await on.desk.manager.fetch(
        "SELECT t.exchange_trade_id, o.client_order_id, t.side, t.quantity, t.price "
        "FROM trades t JOIN orders o ON o.id = t.order_id WHERE t.account_id = $1",
        on.desk.account.id,
    )
    told = [tuple(row.values()) for row in rows]
    assert set(told) <= truth
    assert len(told) == len(set(told))
    assert await on.desk.manager.fetchval("SELECT count(*) FROM quarantined_fills") == 0


async def order(on: Floor, number: int) -> OrderApproved:
    """At the market, or resting far below it; every third one of what was bought."""
    if number % 3 == 2:
        approval = await on.desk.approve(Side.SELL, "0.1")
    else:
        limit = "1000" if number % 3 else None
        approval = await on.desk.approve(Side.BUY, "0.2", reserve="100000", limit=limit)
    await on.desk.hear(approval)
    return approval


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("seed", range(3))
async def test_a_venue_whose_answers_are_broken_makes_nobody_stop_and_nothing_false(
    database: PostgresManager, seed: int, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.CRITICAL)
    async with floor(database) as on:
        await on.later(1)
        await order(on, 0)
        await on.later(1)
        breaker = on.client._parse_json = Breaker(on.client._parse_json, seed)  # type: ignore[method-assign]
        breaker.is_on = True
        for number in range(15):
            await order(on, number)
            await on.later(5)
            await nothing_false_is_booked(on)
        assert breaker.broken > 5
        breaker.is_on = False
        for _ in range(8):
            await on.later(40)
        await nothing_false_is_booked(on)
        rows = await database.fetch(
            "SELECT client_order_id, filled_quantity, status FROM orders WHERE account_id = $1", on.desk.account.id
        )
        ours = {row["client_order_id"]: row["filled_quantity"] for row in rows}
        theirs = {one.client_id: one.executed for one in on.venue.account.orders}
        assert {name: filled for name, filled in ours.items() if filled or name in theirs} == theirs
        assert "UNKNOWN" not in {row["status"] for row in rows}
        assert await database.fetchval("SELECT count(*) FROM trades") == len(on.venue.account.executions)
        assert await database.fetchval("SELECT state FROM account_states") == "live"
        assert await on.desk.problems() == []


async def test_a_fill_that_does_not_name_our_order_is_booked_to_it(database: PostgresManager) -> None:
    """The venue's number of the order is all that it says, as at venues whose fills have no id of ours."""
    async with floor(database) as on:
        approval = await order(on, 0)
        client, find = on.client, on.client._client_id

        async def strangers(order: str, symbol: str, at: datetime) -> str:
            return f"@{order}"

        client._client_id = strangers  # type: ignore[method-assign]
        await on.later(1)
        client._client_id = find  # type: ignore[method-assign]
        assert await on.desk.status(approval) == "FILLED"
        assert await database.fetchval("SELECT count(*) FROM orders") == 1
        await nothing_false_is_booked(on)


@pytest.mark.parametrize("wrong", [{"side": Side.SELL}, {"exchange_order_id": "77"}], ids=["its side", "its order"])
async def test_a_fill_that_contradicts_its_order_is_kept_aside_and_its_market_halted(
    database: PostgresManager, wrong: dict[str, Any]
) -> None:
    async with floor(database) as on:
        approval = await order(on, 0)
        read = on.client._fill

        async def contradicting(trade: Any) -> Fill:
            return replace(await read(trade), **wrong)

        on.client._fill = contradicting  # type: ignore[method-assign]
        await on.later(1)
        assert await on.desk.status(approval) == "OPEN"
        assert await database.fetchval("SELECT count(*) FROM trades") == 0
        kept = await database.fetchval("SELECT count(*) FROM quarantined_fills WHERE reason = 'conflict'")
        assert kept == len(on.venue.account.executions)
        mode = "SELECT trading_mode($1, $2, $3)"
        assert await database.fetchval(mode, on.desk.account.id, on.desk.strategy_id, on.desk.instrument.id) == "halted"
