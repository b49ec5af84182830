"""Algo orders on the whole platform: kept while nothing runs, carried out when their time comes, ended in the middle."""

import re
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

import numpy as np
import pytest

from mastertrade.cli.order_algos import unguarded, unguarded_words
from mastertrade.domain.orders import Terms
from mastertrade.domain.strategy import SignalType
from mastertrade.doors import algo_orders, manual_orders
from mastertrade.exchanges.market_feed import TickerRow
from mastertrade.exchanges.price_watch import moment
from mastertrade.market_data_service.bar_source import DatabaseBars
from mastertrade.market_data_service.source import to_milliseconds
from mastertrade.messaging.postgres import PostgresBus
from mastertrade.plans import Plan
from mastertrade.quant.bars import Bars
from mastertrade.shared.clock import ReplayClock
from mastertrade.shared.errors import NotFound, Refused, UsageError
from mastertrade.shared.postgres_manager import PostgresManager
from mastertrade.strategy_service.algos.keeper import AlgoKeeper
from mastertrade.strategy_service.algos.models import AlgoKind, Rules, Watch
from mastertrade.strategy_service.manual import Wish
from tests.platform.walk_laws import broken_laws
from tests.platform.walk_seed import START, played, short_plan
from tests.postgres.market_seed import SmallMarket

BTC = ("binance", "BTC/USDT")
PRICE = 20_000.0
SOME = Decimal("0.01")


def market(percents: Sequence[float], *, volume: float = 10.0) -> SmallMarket:
    """Bars whose closes are so many percent above where it began; the last one repeats for an hour."""
    close = PRICE * (1 + np.array([*percents, *[percents[-1]] * 60]) / 100)
    opened = np.concatenate([[PRICE], close[:-1]])
    bars = Bars(
        interval_s=60,
        time=to_milliseconds(START) + np.arange(len(close), dtype=np.int64) * 60_000,
        open=opened,
        high=np.maximum(opened, close),
        low=np.minimum(opened, close),
        close=close,
        volume=np.full(len(close), volume),
    )
    return SmallMarket({BTC: bars})


def plan(source: SmallMarket) -> Plan:
    return replace(short_plan(minutes=None, source=source, begin_after=START - timedelta(minutes=1)), strategies=[])


class Floor:
    """Each ``play`` opens the platform anew, so everything below survives a restart each time."""

    def __init__(self, database: PostgresManager, dsn: str, source: SmallMarket) -> None:
        self.db, self.dsn, self.plan = database, dsn, plan(source)
        self.algos = algo_orders(database)

    async def play(self, minutes: int) -> None:
        """Until so many minutes from the beginning have closed."""
        await played(self.db, self.dsn, replace(self.plan, end=START + timedelta(minutes=minutes)))

    async def buy(self, quantity: Decimal = SOME) -> None:
        await manual_orders(self.db).place(wish(quantity=quantity))

    async def place(self, kind: AlgoKind, rules: Rules, *, ends_at: datetime | None = None, **changes: Any) -> UUID:
        return (await self.algos.place(kind, wish(**changes), rules, ends_at=ends_at)).id

    async def row(self, id: UUID) -> tuple[str, str]:
        row = await self.db.fetchrow("SELECT status, outcome FROM algo_orders WHERE id = $1", id)
        assert row is not None
        return row["status"], row["outcome"]

    async def orders(self, id: UUID) -> list[tuple[Any, ...]]:
        rows = await self.db.fetch(
            """SELECT o.side, o.quantity, o.filled_quantity, o.status FROM algo_order_steps t
                 JOIN orders o ON o.signal_id = t.signal_id OR o.id = t.order_id
                WHERE t.algo_order_id = $1 ORDER BY t.step""",
            id,
        )
        return [tuple(row.values()) for row in rows]

    async def moves(self, venue: str, price: float) -> list[str]:
        """A price between two closes; the markets that are waited for after it."""
        bars, bus = DatabaseBars(self.db), PostgresBus(self.db, clock=ReplayClock(START))
        at = await self.db.fetchval("SELECT max(marked_at) FROM account_marks") + timedelta(seconds=1)
        instrument = await self.db.fetchval(
            "SELECT id FROM instruments WHERE venue = $1 AND symbol = 'BTC/USDT'", venue
        )
        row = TickerRow(symbol="BTC/USDT", time_ms=None, bid=None, ask=None, last=repr(price), base_volume=None)
        candle = moment(instrument, venue, row, at)
        assert candle is not None
        keeper = AlgoKeeper(bus=bus, bars=bars)
        async with self.db.transaction() as tx:
            await keeper.on_prices([candle], tx, at=at)
        return await keeper.watched_symbols(self.db, venue)

    async def held(self) -> Decimal:
        found = await self.db.fetchval("SELECT sum(quantity) FROM strategy_positions WHERE status = 'open'")
        return found or Decimal(0)


def wish(**changes: Any) -> Wish:
    fields: dict[str, Any] = {"type": SignalType.BUY, "symbol": "BTC/USDT", "quantity": SOME, "actor": "ann"}
    return Wish(**(fields | changes))


def watching(**prices: object) -> Rules:
    return Rules(watch=Watch(**{name: Decimal(str(value)) for name, value in prices.items()}))


@pytest.fixture
def floor(database: PostgresManager, dsn: str, request: pytest.FixtureRequest) -> Floor:
    return Floor(database, dsn, market(request.param))


QUIET = [0.0] * 10


@pytest.mark.parametrize("floor", [[*QUIET, 0.5, 0.8, -0.6, 0.0]], indirect=True)
async def test_the_first_of_two_prices_that_is_touched_sells_and_the_other_is_forgotten(floor: Floor) -> None:
    await floor.play(3)
    await floor.buy()
    await floor.play(5)
    assert await floor.held() > 0
    rules = watching(stop=PRICE * 0.995, target=PRICE * 1.02)
    id = await floor.place(AlgoKind.TRIGGER, rules, type=SignalType.SELL, terms=Terms(reduce_only=True))
    await floor.play(12)
    assert await floor.row(id) == ("working", "")
    await floor.play(20)
    status, outcome = await floor.row(id)
    assert (status, "stop at 19900: the market was at 19880" in outcome) == ("done", True), outcome
    ((side, *_, state),) = await floor.orders(id)
    assert (side, state) == ("SELL", "FILLED")
    assert await floor.held() == 0
    why = await floor.db.fetchrow("SELECT evidence FROM signals WHERE signal_type = 'SELL'")
    assert why["evidence"]["algo_order"] == str(id)
    assert await broken_laws(floor.db) == []


@pytest.mark.parametrize("floor", [[*QUIET, 0.4, 1.2, 1.0]], indirect=True)
async def test_a_bracket_buys_and_sells_at_its_target(floor: Floor) -> None:
    await floor.play(3)
    rules = watching(stop=PRICE * 0.99, target=PRICE * 1.01)
    id = await floor.place(AlgoKind.BRACKET, rules)
    await floor.play(8)
    assert (await floor.held(), (await floor.row(id))[0]) == (SOME, "working")
    await floor.play(20)
    assert [one[0] for one in await floor.orders(id)] == ["BUY", "SELL"]
    status, outcome = await floor.row(id)
    assert (status, "target at 20200: the market was at 20240" in outcome) == ("done", True)
    assert await floor.held() == 0
    assert await broken_laws(floor.db) == []


@pytest.mark.parametrize("floor", [QUIET], indirect=True)
async def test_a_price_between_two_closes_triggers_and_leaves_no_other_trace(floor: Floor) -> None:
    await floor.play(3)
    id = await floor.place(AlgoKind.BRACKET, watching(trail=1, target=PRICE * 1.05))
    twap = await floor.place(AlgoKind.TWAP, Rules(over_s=3_600, slices=4), quantity=Decimal("0.012"))
    await floor.play(8)
    progress = "SELECT progress FROM algo_orders WHERE id = $1"
    before = [await floor.db.fetchval(progress, one) for one in (id, twap)]
    assert await floor.moves("binance", PRICE * 1.04) == ["BTC/USDT"]
    assert [await floor.db.fetchval(progress, one) for one in (id, twap)] == before, "a trail moves with whole bars"
    assert await floor.moves("binance", PRICE * 1.05) == []
    assert (await floor.db.fetchval(progress, id))["hit"] == "target at 21000: the market was at 21000"
    await floor.play(12)
    assert [one[0] for one in await floor.orders(id)] == ["BUY", "SELL"]
    assert (await floor.row(id))[0] == "done"
    assert await broken_laws(floor.db) == []


@pytest.mark.parametrize("floor", [QUIET], indirect=True)
async def test_slices_over_time_and_of_the_volume_trade_all_that_was_asked_for(floor: Floor) -> None:
    await floor.play(3)
    id = await floor.place(AlgoKind.TWAP, Rules(over_s=600, slices=4), quantity=Decimal("0.012"))
    await floor.play(9)
    half = [row[2] for row in await floor.orders(id)]
    assert len(half) == 3
    await floor.play(20)
    quantities = [row[2] for row in await floor.orders(id)]
    assert (sum(quantities), len(quantities)) == (Decimal("0.012"), 4)
    assert await floor.row(id) == ("done", "all of it traded: 0.012 of 0.012 filled")
    share = await floor.place(AlgoKind.PARTICIPATION, Rules(percent=Decimal("0.03")), quantity=Decimal("0.008"))
    await floor.play(30)
    assert [row[2] for row in await floor.orders(share)] == [Decimal("0.003"), Decimal("0.003"), Decimal("0.002")]
    assert (await floor.row(share))[0] == "done"
    more = await floor.place(AlgoKind.TWAP, Rules(over_s=240, slices=4), quantity=Decimal("0.012"))
    await floor.play(40)
    status, outcome = await floor.row(more)
    assert status == "expired"
    assert re.match("its time ended: 0.00.* of 0.012 filled; the last one was refused: ", outcome), outcome
    assert await broken_laws(floor.db) == []


@pytest.mark.parametrize("floor", [[*QUIET, -1.5, -1.5, -1.5, -1.5]], indirect=True)
async def test_an_iceberg_rests_in_parts_until_it_is_ended(floor: Floor) -> None:
    await floor.play(3)
    limit = Decimal("19800")
    id = await floor.place(AlgoKind.ICEBERG, Rules(display=SOME), quantity=Decimal("0.05"), limit_price=limit)
    await floor.play(6)
    assert [(row[2], row[3]) for row in await floor.orders(id)] == [(0, "OPEN")]
    await floor.play(13)
    found = await floor.orders(id)
    assert len(found) > 2
    assert all(row[3] == "FILLED" for row in found[:-1])
    assert await floor.algos.want_ended(symbol="BTC/USDT", actor="ann") == [id]
    assert await floor.algos.want_ended(id=id, actor="ann") == []
    await floor.play(20)
    assert (await floor.row(id)) == ("canceled", "ann cancelled it")
    assert len(await floor.orders(id)) in (len(found), len(found) + 1)
    assert await broken_laws(floor.db) == []


@pytest.mark.parametrize("floor", [[*QUIET, 0.0]], indirect=True)
async def test_a_bracket_that_is_called_off_leaves_what_it_bought_and_says_so(floor: Floor) -> None:
    await floor.play(3)
    id = await floor.place(AlgoKind.BRACKET, watching(stop=PRICE * 0.95, target=PRICE * 1.05))
    await floor.play(6)
    assert await floor.held() == SOME
    assert await unguarded(floor.db, [id]) == []
    assert await floor.algos.want_ended(account_id=None, actor="ann") == [id]
    (row,) = await unguarded(floor.db, [id])
    assert (row["quantity"], row["kind"], row["stop_price"] > 0) == (SOME, "bracket", True)
    words = unguarded_words(row)
    assert "0.01 long is still held and its bracket has ended; what is left is the risk manager's stop at" in words
    assert "nothing guards it now" in unguarded_words(row | {"stop_price": None})
    await floor.play(9)
    assert await floor.row(id) == ("canceled", "ann cancelled it")
    assert await floor.held() == SOME
    said = "SELECT message FROM risk_alerts WHERE alert_type = 'position_unguarded' AND status = 'open'"
    assert "0.01" in await floor.db.fetchval(said)
    rows = await floor.db.fetch("SELECT quantity FROM unguarded_positions('-infinity')")
    assert [one["quantity"] for one in rows] == [SOME]
    await floor.place(AlgoKind.TRIGGER, watching(stop=PRICE * 0.95), type=SignalType.SELL)
    await floor.play(12)
    assert await floor.db.fetchval(said) is None, "guarded again"
    assert await broken_laws(floor.db) == []


@pytest.mark.parametrize("floor", [[*QUIET, -1.0, -1.0]], indirect=True)
async def test_an_order_is_replaced_by_another_and_never_stands_beside_it(floor: Floor) -> None:
    await floor.play(3)
    await manual_orders(floor.db).place(wish(limit_price=Decimal("19700")))
    await floor.play(5)
    (old,) = await floor.db.fetch("SELECT id, status FROM orders")
    assert old["status"] == "OPEN"
    told = {"actor": "ann", "reason": "nearer"}
    with pytest.raises(Refused, match="no multiple of the tick"):
        await floor.algos.replace(old["id"], quantity=None, limit_price=Decimal("19850.00001"), **told)
    placed = await floor.algos.replace(old["id"], quantity=Decimal("0.02"), limit_price=Decimal("19850"), **told)
    await floor.play(8)
    assert await floor.orders(placed.id) == [
        ("BUY", SOME, 0, "CANCELED"), ("BUY", Decimal("0.02"), 0, "OPEN"),
    ]  # fmt: skip
    assert await floor.row(placed.id) == ("done", "replaced")
    await floor.play(20)
    assert (await floor.orders(placed.id))[1][2:] == (Decimal("0.02"), "FILLED")
    with pytest.raises(Refused, match="is CANCELED: nothing of it is left to replace"):
        await floor.algos.replace(old["id"], quantity=None, limit_price=Decimal("19850"), **told)
    assert await floor.db.fetchval(
        "SELECT max(n) FROM (SELECT sum(CASE WHEN to_status = 'SUBMITTING' THEN 1 WHEN to_status IN "
        "('CANCELED', 'FILLED') THEN -1 ELSE 0 END) OVER (ORDER BY id) AS n FROM order_events) AS standing"
    ) == 1  # fmt: skip
    assert await broken_laws(floor.db) == []


@pytest.mark.parametrize("floor", [QUIET], indirect=True)
async def test_one_that_lasts_for_a_while_ends_then(floor: Floor) -> None:
    await floor.play(3)
    id = await floor.place(AlgoKind.TRIGGER, watching(target=PRICE * 0.9), lasts=timedelta(minutes=5))
    await floor.play(7)
    assert (await floor.row(id))[0] == "working"
    await floor.play(9)
    assert await floor.row(id) == ("expired", "its time ended: 0 of 0.01 filled")


@pytest.mark.parametrize("floor", [QUIET], indirect=True)
async def test_what_makes_no_sense_is_refused_before_anything_is_kept(floor: Floor) -> None:
    await floor.play(3)
    sale = {"type": SignalType.SELL}
    for kind, rules, changes, told in (
        (AlgoKind.TRIGGER, watching(stop=20_001), sale, "a stop at 20001 is not below the market at 20000"),
        (AlgoKind.TRIGGER, watching(target=19_999), sale, "a target at 19999 is not above the market"),
        (AlgoKind.TRIGGER, watching(stop=19_999), {}, "a stop at 19999 is not above the market"),
        (AlgoKind.TRIGGER, watching(stop="19999.0000001"), sale, "no multiple of the tick"),
        (AlgoKind.TRIGGER, watching(trail=100), sale, "a trail of 100 % is not between 0 and 100"),
        (AlgoKind.BRACKET, watching(stop=20_001), {}, "a stop at 20001 is not below the market"),
        (AlgoKind.BRACKET, watching(stop=19_500), {"limit_price": Decimal(19_400)}, "not below the entry at 19400"),
        (AlgoKind.TWAP, Rules(over_s=600, slices=20), {}, "a minute is the shortest; at most 10 fit"),
        (AlgoKind.TWAP, Rules(over_s=6_000_000, slices=20), {}, "at most 7 days"),
        (AlgoKind.TWAP, Rules(over_s=6_000, slices=90), {"quantity": Decimal("0.04")}, "at most"),
        (AlgoKind.PARTICIPATION, Rules(percent=Decimal(51)), {}, "51 % of the market's volume is not above 0 and at most 50"),
        (AlgoKind.ICEBERG, Rules(display=Decimal("0.00001")), {"limit_price": Decimal(19_400)}, "smaller than"),
        (AlgoKind.ICEBERG, Rules(display=SOME), {}, "give one with --limit"),
        (AlgoKind.TWAP, Rules(over_s=600, slices=2), {"quantity": None}, "need a quantity"),
        (AlgoKind.BRACKET, watching(stop=19_500), sale, "use BUY"),
        (AlgoKind.TRIGGER, watching(stop=19_500), {**sale, "symbol": "FOO/USDT"}, "is no market"),
    ):  # fmt: skip
        with pytest.raises((Refused, UsageError, NotFound), match=told.replace("(", r"\(")):
            await floor.place(kind, rules, **changes)
    with pytest.raises(Refused, match="not after the market's present"):
        await floor.place(AlgoKind.TRIGGER, watching(stop=19_500), ends_at=START, **sale)
    assert await floor.db.fetchval("SELECT count(*) FROM algo_orders") == 0
