"""The older system's order database keeps its signatures and its meaning, over one ledger and one door for fills."""

import asyncio
import inspect
from typing import Any
from uuid import UUID, uuid4

import pytest

from mastertrade.domain.events import OrderFilled
from mastertrade.order_executor.database import Database
from mastertrade.order_executor.models import Order, OrderRequest, Position, StrategyEnvironmentConfig, Trade
from mastertrade.shared.errors import BadData, DatabaseDown, NotFound, UsageError
from mastertrade.shared.postgres_manager import PostgresManager
from tests.postgres.executor_seed import START, Desk, open_desk


class Legacy:
    """The wrapper over an open desk."""

    def __init__(self, desk: Desk) -> None:
        self.desk = desk
        self.db = Database(desk.manager, clock=desk.clock, bus=desk.bus)

    async def order(self, quantity: float = 0.5, **changes: Any) -> Order:
        request: dict[str, Any] = {"strategy_id": self.desk.strategy_id, "symbol": "BTCUSDT", "side": "BUY"}
        order = await self.db.create_order(OrderRequest(**(request | {"quantity": quantity} | changes)))
        assert order is not None
        return order

    def trade(self, order: Order, trade_id: str = "t1", quantity: float = 0.5, **changes: Any) -> Trade:
        numbers: dict[str, Any] = {"quantity": quantity, "price": 100.0, "commission": 0.05, "commission_asset": "USDT"}
        numbers |= {"symbol": "BTCUSDT", "side": order.side, "trade_time": START} | changes
        return Trade(order_id=order.id, exchange_trade_id=trade_id, **numbers)

    async def seen(self, order: Order) -> dict[str, Any]:
        seen = await self.db.get_order(str(order.id))
        assert seen is not None
        return seen

    async def sql(self, statement: str, *values: Any) -> Any:
        return await self.desk.manager.fetchval(statement, *values)

    async def state(self, order: Order) -> Any:
        return await self.sql("SELECT status FROM orders WHERE id = $1", order.id)

    async def balances(self) -> dict[str, float]:
        return {row["asset"]: row["total_balance"] for row in await self.db.get_portfolio_balance()}


@pytest.fixture
async def legacy(database: PostgresManager) -> Legacy:
    return Legacy(await open_desk(database))


def told(order: Order, **changes: Any) -> dict[str, Any]:
    """What an exchange says of an order of 0.5 that is filled."""
    numbers = {"status": "closed", "filled": 0.5, "average": 100.0, "fee": {"cost": 0.05, "currency": "USDT"}}
    return numbers | {"id": f"ex-{order.client_order_id}"} | changes


BOUGHT = {"BTC": 0.5, "USDT": 9949.95}


# --- orders ---


async def test_an_order_comes_back_as_it_was_given(legacy: Legacy) -> None:
    order = await legacy.order(order_type="LIMIT", price=99.5, stop_price=90.0, metadata={"why": "test"})
    assert isinstance(order.id, UUID)
    assert order.order_time == START
    seen = await legacy.seen(order)
    assert list(seen) == list(Order.model_fields)
    assert seen | {"order_time": None} == {
        "id": str(order.id), "strategy_id": str(legacy.desk.strategy_id), "symbol": "BTCUSDT", "signal_id": None,
        "exchange_order_id": None, "client_order_id": order.client_order_id, "order_type": "LIMIT", "side": "BUY",
        "quantity": 0.5, "price": 99.5, "stop_price": 90.0, "status": "NEW", "filled_quantity": 0.0,
        "avg_fill_price": None, "commission": 0.0, "commission_asset": None, "environment": "paper",
        "order_time": None, "update_time": None, "metadata": {"why": "test"},
    }  # fmt: skip
    assert seen["order_time"] == "2026-01-05T12:00:00+00:00"
    assert await legacy.db.get_recent_orders() == [seen]


async def test_the_same_client_order_id_is_one_order_also_for_callers_at_once(legacy: Legacy) -> None:
    orders = await asyncio.gather(*(legacy.order(client_order_id="mine") for _ in range(5)))
    assert {order.id for order in orders} == {orders[0].id}
    assert await legacy.sql("SELECT count(*) FROM orders") == 1


async def test_an_order_recorded_here_is_never_sent(legacy: Legacy) -> None:
    order = await legacy.order()
    await legacy.desk.executor.sync()
    lease = legacy.desk.lease
    send = "SELECT begin_send($1, $2, $2, $3, $4)"
    assert await legacy.sql(send, order.id, START, lease.role, lease.epoch) == "not_approved"
    assert await legacy.state(order) == "NEW"
    assert await legacy.desk.venue_orders() == {}


async def test_a_strategy_is_found_by_any_id_and_an_unknown_one_is_kept_as_given(legacy: Legacy) -> None:
    await legacy.desk.manager.execute("UPDATE strategies SET legacy_id = '7' WHERE id = $1", legacy.desk.strategy_id)
    known = [await legacy.order(strategy_id=given) for given in (7, "7", str(legacy.desk.strategy_id))]
    assert {order.strategy_id for order in known} == {str(legacy.desk.strategy_id)}
    unknown = await legacy.order(strategy_id="gen_2025", signal_id=118)
    assert (unknown.strategy_id, unknown.signal_id) == ("gen_2025", "118")
    assert len(await legacy.db.get_orders(strategy_id=7)) == 3
    assert [order["id"] for order in await legacy.db.get_orders(strategy_id="gen_2025")] == [str(unknown.id)]


async def test_without_an_account_or_a_market_the_error_names_the_next_step(legacy: Legacy) -> None:
    with pytest.raises(NotFound, match=r"no account in environment production: .* make an account there first"):
        await legacy.order(environment="live")
    with pytest.raises(NotFound, match=r"ETH/USDT is not traded on simulated, .* load that market's candles first"):
        await legacy.order(symbol="ETHUSDT")
    with pytest.raises(UsageError, match="environment 'moon' is unknown; known: paper, testnet, production"):
        await legacy.order(environment="moon")


async def test_the_account_is_the_strategys_own_in_the_environment_else_the_oldest(legacy: Legacy) -> None:
    second = await legacy.sql("INSERT INTO accounts (name, venue) VALUES ('second', 'simulated') RETURNING id")
    account = "SELECT account_id FROM orders WHERE id = $1"
    assert await legacy.sql(account, (await legacy.order()).id) == legacy.desk.account.id
    configure = "SELECT (configure_strategy($1, 'paper', $2, NULL, NULL, 1, true, '{}', $3)).account_id"
    assert await legacy.sql(configure, legacy.desk.strategy_id, second, START) == second
    assert await legacy.sql(account, (await legacy.order()).id) == second


async def test_a_status_is_understood_moved_legally_and_seen_in_the_older_words(legacy: Legacy) -> None:
    for words, state, seen in (
        (["open"], "OPEN", "NEW"),
        (["NEW"], "OPEN", "NEW"),
        (["unknown"], "UNKNOWN", "NEW"),
        (["accepted", "PENDING_CANCEL"], "PENDING_CANCEL", "NEW"),
        (["unknown", "not_found"], "NOT_FOUND", "REJECTED"),
        (["failed"], "REJECTED", "REJECTED"),
        (["cancelled"], "CANCELED", "CANCELED"),
        (["timeout"], "EXPIRED", "EXPIRED"),
    ):
        order = await legacy.order()
        assert [await legacy.db.update_order_status(str(order.id), word) for word in words] == [True] * len(words)
        assert await legacy.state(order) == state
        assert (await legacy.seen(order))["status"] == seen
        found = await legacy.db.get_orders(status=seen, symbol="btcusdt")
        assert str(order.id) in {each["id"] for each in found}
        assert (order.id in {active.id for active in await legacy.db.get_active_orders()}) == (seen == "NEW")
    assert len(await legacy.db.get_orders(status="rejected")) == 2


async def test_a_move_that_is_not_legal_a_fill_without_its_trade_and_an_unknown_order_are_false(legacy: Legacy) -> None:
    order = await legacy.order()
    for word in ("FILLED", "partially_filled", "not_found"):
        assert await legacy.db.update_order_status(order.id, word) is False
    assert await legacy.db.update_order_status(order.id, "canceled") is True
    assert await legacy.db.update_order_status(order.id, "open") is False
    assert await legacy.state(order) == "CANCELED"
    assert await legacy.db.update_order_status("no such id", "canceled") is False
    with pytest.raises(UsageError, match="order status 'melted' is unknown; known: accepted, "):
        await legacy.db.update_order_status(order.id, "melted")


async def test_an_approved_order_leaves_new_through_the_executor_alone(legacy: Legacy) -> None:
    approval = await legacy.desk.approve()
    async with legacy.desk.manager.transaction() as tx:
        order_id = await legacy.desk.executor._database.create_order(tx, approval.approval, at=START)
    assert order_id is not None
    for word in ("submitting", "open", "rejected"):
        assert await legacy.db.update_order_status(order_id, word) is False
    filled = {"status": "filled", "filled": 0.5, "average": 100.0}
    assert await legacy.db.update_order_from_exchange(order_id, filled) is False
    assert await legacy.desk.status(approval) == "NEW"
    assert await legacy.sql("SELECT count(*) FROM trades") == 0


async def test_the_exchange_id_is_told_once_and_ids_that_are_none_find_nothing(legacy: Legacy) -> None:
    order = await legacy.order()
    assert await legacy.db.update_order_exchange_info(str(order.id), "ex-1") is True
    assert await legacy.db.update_order_exchange_info(str(order.id), "ex-2") is False
    assert (await legacy.seen(order))["exchange_order_id"] == "ex-1"
    for nonsense in ("", "12", "\x00", "\ud800", str(uuid4())):
        assert await legacy.db.update_order_exchange_info(nonsense, "ex-3") is False
        assert await legacy.db.get_order(nonsense) is None
        assert await legacy.db.get_trades(nonsense) == []
        assert await legacy.db.update_order(nonsense, {"status": "open"}) == {}
        assert await legacy.db.get_positions(nonsense) == []
        assert await legacy.db.get_strategy_environment_config(nonsense) is None


async def test_an_update_changes_what_may_change_and_answers_with_the_order(legacy: Legacy) -> None:
    order = await legacy.order(order_type="LIMIT", price=99.0, metadata={"a": 1})
    changed = await legacy.db.update_order(order.id, {"price": 98.0, "metadata": {"b": 2}, "quantity": 9, "id": "x"})
    assert (changed["price"], changed["metadata"], changed["quantity"]) == (98.0, {"a": 1, "b": 2}, 0.5)
    changed = await legacy.db.update_order(order.id, {"status": "open", "exchange_order_id": "ex-1", "stop_price": 5})
    assert (changed["exchange_order_id"], await legacy.state(order)) == ("ex-1", "OPEN")
    changed = await legacy.db.update_order(order.id, {"price": 1.0, "status": "filled"})
    assert (changed["price"], changed["status"]) == (98.0, "NEW"), "sent orders keep their price, fills need trades"


# --- fills ---


async def test_a_trade_moves_order_balances_ledger_and_position_once(legacy: Legacy) -> None:
    order = await legacy.order()
    assert await legacy.db.insert_trade(legacy.trade(order)) is True
    assert await legacy.db.insert_trade(legacy.trade(order)) is False
    await legacy.db.update_order_exchange_info(order.id, "ex-1")
    assert await legacy.db.insert_trade(legacy.trade(order)) is False, "the exchange's order id came later"
    seen = await legacy.seen(order)
    assert (seen["status"], seen["filled_quantity"]) == ("FILLED", 0.5)
    assert (seen["avg_fill_price"], seen["commission"], seen["commission_asset"]) == (100.0, 0.05, "USDT")
    assert await legacy.balances() == BOUGHT
    (trade,) = await legacy.db.get_recent_trades()
    assert (trade["order_id"], trade["exchange_trade_id"], trade["symbol"]) == (str(order.id), "t1", "BTCUSDT")
    assert (trade["price"], trade["trade_time"]) == (100.0, "2026-01-05T12:00:00+00:00")
    assert await legacy.db.get_trades(str(order.id)) == [trade]
    (position,) = await legacy.db.get_positions(legacy.desk.strategy_id, is_open=True)
    assert set(Position.model_fields) <= set(position)
    assert (position["symbol"], position["quantity"], position["avg_entry_price"]) == ("BTCUSDT", 0.5, 100.1)
    assert await legacy.db.get_positions(is_open=False) == []
    assert [type(event) for event in legacy.desk.bus.events] == [OrderFilled]
    assert await legacy.desk.problems() == []


async def test_whatever_doors_tell_of_a_fill_it_is_booked_once(legacy: Legacy) -> None:
    for number, doors in enumerate(("tp", "pt", "etp", "ept", "pet"), 1):
        order, answers = await legacy.order(), []
        for door in doors * 2:
            match door:
                case "t":
                    answers.append(await legacy.db.insert_trade(legacy.trade(order)))
                case "p":
                    answers.append(await legacy.db.update_portfolio_from_trade(order, told(order)))
                case _:
                    answers.append(await legacy.db.update_order_from_exchange(order.id, told(order)))
        assert answers[0] is True
        assert await legacy.state(order) == "FILLED"
        assert await legacy.sql("SELECT count(*) FROM trades") == number, doors
        assert (await legacy.balances())["BTC"] == number * 0.5
    assert (await legacy.balances())["USDT"] == 10_000 - number * 50.05
    assert await legacy.desk.problems() == []


async def test_totals_and_trades_told_in_turn_add_up_to_what_the_exchange_says(legacy: Legacy) -> None:
    order = await legacy.order(quantity=1.0)
    assert await legacy.db.insert_trade(legacy.trade(order, "t1", 0.2, commission=0.02))
    raw = {"status": "PARTIALLY_FILLED", "executedQty": "0.6", "cummulativeQuoteQty": "61", "commission": "0.061"}
    assert await legacy.db.update_order_from_exchange(order.id, raw)
    assert await legacy.db.insert_trade(legacy.trade(order, "t2", 0.1)) is False
    assert await legacy.db.insert_trade(legacy.trade(order, "t2", 0.1)) is False
    assert await legacy.db.insert_trade(legacy.trade(order, "t3", 0.3)) is False
    assert await legacy.db.insert_trade(legacy.trade(order, "t4", 0.4, commission=0.04)) is True
    seen = await legacy.seen(order)
    assert (seen["status"], seen["filled_quantity"], seen["avg_fill_price"]) == ("FILLED", 1.0, 101.0)
    assert seen["commission"] == pytest.approx(0.101)
    assert await legacy.balances() == {"BTC": 1.0, "USDT": 10_000 - 101 - 0.101}
    assert await legacy.desk.problems() == []


async def test_an_answer_without_numbers_changes_no_numbers_and_an_end_waits_for_its_fills(legacy: Legacy) -> None:
    order = await legacy.order()
    assert await legacy.db.update_order_from_exchange(order.id, {"status": "NEW", "orderId": 42, "price": "0.00000000"})
    assert (await legacy.state(order), (await legacy.seen(order))["exchange_order_id"]) == ("OPEN", "42")
    assert await legacy.db.update_order_from_exchange(order.id, {"status": "canceled", "filled": 0.2}) is False
    assert await legacy.state(order) == "OPEN", "0.2 was filled at a price nobody told"
    end = {"status": "canceled", "filled": 0.2, "average": 100}
    assert await legacy.db.update_order_from_exchange(order.id, end) is True
    assert await legacy.state(order) == "CANCELED"
    assert (await legacy.seen(order))["filled_quantity"] == 0.2
    assert await legacy.db.update_order_from_exchange("nobody", {"status": "canceled"}) is False


async def test_a_round_trip_through_this_door_realises_what_the_account_gained(legacy: Legacy) -> None:
    for side, price in (("BUY", 100.0), ("SELL", 110.0)):
        order = await legacy.order(side=side)
        assert await legacy.db.insert_trade(legacy.trade(order, f"t-{side}", price=price, commission=0))
    assert await legacy.balances() == {"BTC": 0.0, "USDT": 10_005.0}
    (position,) = await legacy.db.get_positions(is_open=False)
    assert (position["quantity"], position["realized_pnl"]) == (0.0, 5.0)
    assert await legacy.desk.problems() == []


async def test_a_trade_that_contradicts_the_booked_one_is_kept_apart_and_halts_its_market(legacy: Legacy) -> None:
    order = await legacy.order()
    await legacy.db.insert_trade(legacy.trade(order))
    assert await legacy.db.insert_trade(legacy.trade(order, price=101.0)) is False
    assert await legacy.sql("SELECT payload ->> 'price' FROM quarantined_fills") == "101.0"
    mode = "SELECT mode FROM trading_state WHERE scope = 'instrument:' || $1::int"
    assert await legacy.sql(mode, legacy.desk.instrument.id) == "halted"
    assert await legacy.balances() == BOUGHT


async def test_a_trade_of_another_side_or_of_no_order_books_nothing(legacy: Legacy) -> None:
    order = await legacy.order()
    with pytest.raises(BadData, match=r"is SELL BTC/USDT, but its order .* is BUY BTC/USDT"):
        await legacy.db.insert_trade(legacy.trade(order, side="SELL"))
    assert await legacy.db.insert_trade(legacy.trade(order.model_copy(update={"id": uuid4()}))) is False
    assert await legacy.db.update_portfolio_from_trade(order.model_copy(update={"id": uuid4()}), told(order)) is False
    with pytest.raises(BadData, match="finite"):
        await legacy.db.update_portfolio_from_trade(order, told(order, filled=float("nan")))
    assert await legacy.balances() == {"USDT": 10_000.0}


async def test_floats_with_all_their_digits_are_booked(legacy: Legacy) -> None:
    order = await legacy.order(quantity=0.1 + 0.2)
    assert await legacy.db.insert_trade(legacy.trade(order, quantity=0.1 + 0.2, price=100.0 / 3, commission=1e-5 / 3))
    assert await legacy.state(order) == "FILLED"
    assert await legacy.desk.problems() == []


# --- balances, the switch, environments, life ---


async def test_balances_are_the_sum_over_the_accounts_of_an_environment(legacy: Legacy) -> None:
    for name, environment in (("b", "paper"), ("real", "production")):
        insert = "INSERT INTO accounts (name, venue, environment) VALUES ($1, 'simulated', $2) RETURNING id"
        account = await legacy.sql(insert, name, environment)
        await legacy.sql("SELECT deposit($1, 'USDT', 5.5, $2, $3)", account, name, START)
        await legacy.sql("SELECT reserve_balance($1, $2, 'USDT', 2, $3)", uuid4(), account, START)
    expected = {"asset": "USDT", "free_balance": 10_003.5, "locked_balance": 2.0, "total_balance": 10_005.5}
    assert await legacy.db.get_portfolio_balance() == [expected | {"updated_at": "2026-01-05T12:00:00+00:00"}]
    (real,) = await legacy.db.get_portfolio_balance("live")
    assert real["total_balance"] == 5.5


async def test_the_switch_is_the_global_halt_and_each_flip_counts(legacy: Legacy) -> None:
    mode = "SELECT mode FROM trading_state WHERE scope = 'global'"
    assert await legacy.db.is_trading_enabled() is True
    assert await legacy.db.toggle_trading_enabled() is False
    assert await legacy.db.is_trading_enabled() is False
    assert await legacy.sql(mode) == "halted"
    flips = await asyncio.gather(*(legacy.db.toggle_trading_enabled() for _ in range(7)))
    assert (flips.count(True), flips.count(False)) == (4, 3)
    assert await legacy.sql(mode) == "running"


async def test_a_strategys_environment_is_stored_read_and_replaced(legacy: Legacy) -> None:
    assert await legacy.db.get_position_size_for_strategy(legacy.desk.strategy_id, "BTCUSDT") == 0.1
    stored = await legacy.db.upsert_strategy_environment_config(
        strategy_id=str(legacy.desk.strategy_id), environment="sandbox", max_position_size=0.25, max_daily_trades=4,
        metadata={"by": "test"},
    )  # fmt: skip
    assert StrategyEnvironmentConfig(**stored).created_at == START
    assert (stored["environment"], stored["max_position_size"], stored["max_daily_trades"]) == ("testnet", 0.25, 4)
    assert await legacy.db.get_position_size_for_strategy(legacy.desk.strategy_id, "BTCUSDT") == 0.25
    again = await legacy.db.upsert_strategy_environment_config(strategy_id=legacy.desk.strategy_id, environment="paper")
    assert await legacy.db.get_all_strategy_environment_configs() == [again]
    assert again["max_position_size"] is None
    with pytest.raises(NotFound, match="no strategy 99"):
        await legacy.db.upsert_strategy_environment_config(strategy_id=99, environment="paper")


async def test_life_is_idempotent_and_a_manager_handed_in_stays_open(database: PostgresManager) -> None:
    wrapper = Database(database)
    for call in (wrapper.connect, wrapper.initialize, wrapper.disconnect, wrapper.close, wrapper.disconnect):
        await call()
    assert await wrapper.is_trading_enabled() is True


async def test_every_method_raises_when_the_database_is_gone(dsn: str) -> None:
    manager = PostgresManager(dsn, retry_for_s=0.05)
    await manager.connect()
    some = {"symbol": "BTCUSDT", "side": "BUY", "quantity": 1, "environment": "paper", "strategy_id": "1"}
    values: dict[str, Any] = some | {"id": uuid4(), "order_id": uuid4(), "status": "open", "updates": {}}
    values |= {"exchange_order_id": "x", "exchange_order": {}, "order_request": OrderRequest.model_validate(some)}
    values["order"] = Order(id=uuid4(), client_order_id="c", order_type="MARKET", order_time=START, **some)
    values["trade"] = Trade(exchange_trade_id="1", price=1, order_id=uuid4(), **some)
    manager.pool.terminate()
    for name, method in inspect.getmembers(Database(manager), inspect.iscoroutinefunction):
        if name.startswith("_") or name in ("connect", "disconnect", "initialize", "close"):
            continue
        needed = [each.name for each in inspect.signature(method).parameters.values() if each.default is each.empty]
        with pytest.raises(DatabaseDown):
            await method(**{key: values[key] for key in needed})
    await manager.close()
