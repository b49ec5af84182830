"""The older system's risk API: its signatures, its answers, and the truth behind its True and False."""

import inspect
from collections.abc import AsyncIterator
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
import pytest_asyncio

from mastertrade.domain.risk import RiskLevel
from mastertrade.risk_manager import database as module
from mastertrade.risk_manager.database import RiskManagementDatabase
from mastertrade.risk_manager.models import (
    AlertSeverity,
    AlertType,
    RiskAlert,
    RiskMetrics,
    StopLossConfig,
    StopLossOrder,
    StopLossStatus,
    StopLossType,
)
from mastertrade.risk_manager.postgres_database import RiskPostgresDatabase, postgres_database
from mastertrade.shared.clock import ReplayClock
from mastertrade.shared.errors import BadData, DatabaseError, UsageError
from mastertrade.shared.postgres_manager import PostgresManager
from mastertrade.shared.serialization import AttrDict, legacy_uuid

NOW = datetime(2025, 11, 4, 3, 0, tzinfo=UTC)
SIGNATURES = {
    "initialize": [],
    "close": [],
    "connect": [],
    "disconnect": [],
    "get_current_positions": ["strategy_id=None"],
    "get_all_active_positions": [],
    "get_position": ["position_id"],
    "create_position": ["position_data"],
    "update_position": ["position_id", "updates"],
    "close_position": ["position_id", "realized_pnl", "close_price=None"],
    "reduce_position": ["position_id", "reduction_percent", "reason"],
    "update_position_from_message": ["position_data"],
    "get_portfolio_value": [],
    "get_total_portfolio_value": [],
    "create_stop_loss_order": ["order"],
    "create_stop_loss": ["stop_loss_data"],
    "update_stop_loss_order": ["order"],
    "get_active_stop_loss_orders": [],
    "get_active_stop_loss_by_position": ["position_id"],
    "update_trailing_stop": ["stop_loss_id", "new_stop_price"],
    "update_stop_loss_status": ["stop_loss_id", "status"],
    "store_risk_metrics": ["metrics"],
    "get_historical_risk_metrics": ["days=30"],
    "get_risk_metrics_history": ["days=30"],
    "store_risk_alert": ["alert"],
    "create_risk_alert": ["alert_data"],
    "get_active_risk_alerts": [],
    "get_risk_alerts": ["days=30", "status=None"],
    "resolve_risk_alert": ["alert_id"],
    "update_drawdown_tracking": ["current_portfolio_value"],
    "get_max_drawdown": [],
    "get_portfolio_high_water_mark": [],
    "get_peak_portfolio_value": [],
    "update_peak_portfolio_value": ["portfolio_value"],
    "get_portfolio_exposure": [],
    "get_account_balance": [],
    "get_symbol_volatility": ["symbol", "days=20"],
    "get_symbol_liquidity": ["symbol"],
    "get_recent_market_returns": ["days=30"],
    "get_market_volatility": [],
    "store_portfolio_snapshot": ["snapshot_data"],
    "store_correlation_matrix": ["correlation_data"],
    "get_latest_correlation_matrix": [],
    "update_correlation_matrix": [],
    "store_var_calculation": ["var_data"],
    "log_admin_action": ["**details"],
    "save_portfolio_limits": ["limits"],
    "store_configuration_change": ["changes"],
    "save_adjustment_history": ["adjustments"],
}
LONG = {"id": "p1", "symbol": "BTCUSDC", "side": "BUY", "quantity": 0.5, "entry_price": 40_000.0}


@pytest_asyncio.fixture
async def risk(database: PostgresManager) -> AsyncIterator[RiskManagementDatabase]:
    wrapper = RiskManagementDatabase(database, clock=ReplayClock(NOW))
    await wrapper.initialize()
    yield wrapper
    await wrapper.close()


def advance(risk: RiskManagementDatabase, **by: float) -> datetime:
    clock = risk._clock
    assert isinstance(clock, ReplayClock)
    clock.advance(clock.now() + timedelta(**by))
    return clock.now()


@pytest.mark.parametrize("name", SIGNATURES)
def test_the_older_signatures_are_kept(name: str) -> None:
    method = getattr(RiskManagementDatabase, name)
    assert inspect.iscoroutinefunction(method)
    shown = [
        ("**" if parameter.kind is parameter.VAR_KEYWORD else "")
        + parameter.name
        + ("" if parameter.default is parameter.empty else f"={parameter.default}")
        for parameter in list(inspect.signature(method).parameters.values())[1:]
    ]
    assert shown == SIGNATURES[name]


async def test_the_module_offers_unconnected_instances_under_the_older_names() -> None:
    assert isinstance(module.database, RiskManagementDatabase)
    assert isinstance(postgres_database, RiskPostgresDatabase)
    assert module.RiskPostgresDatabase is RiskPostgresDatabase
    with pytest.raises(RuntimeError, match=r"call connect\(\)"):
        await module.database.get_portfolio_value()
    await module.database.close()


async def test_it_connects_by_the_environment_and_closes_twice(dsn: str, monkeypatch: pytest.MonkeyPatch) -> None:
    login, _, place = dsn.removeprefix("postgresql://").partition("@")
    server, _, name = place.partition("/")
    for variable, value in (
        ("POSTGRES_HOST", server.partition(":")[0]),
        ("POSTGRES_PORT", server.partition(":")[2]),
        ("POSTGRES_USER", login.partition(":")[0]),
        ("POSTGRES_PASSWORD", login.partition(":")[2]),
        ("POSTGRES_DB", name),
    ):
        monkeypatch.setenv(variable, value)
    wrapper = RiskManagementDatabase()
    await wrapper.connect()
    await wrapper.initialize()
    assert await wrapper.get_portfolio_value() == 0.0
    await wrapper.close()
    await wrapper.disconnect()


async def test_a_failing_database_raises_instead_of_showing_an_empty_book(database: PostgresManager) -> None:
    risk = RiskManagementDatabase(database)
    await database.execute("DROP TABLE risk_positions CASCADE")
    with pytest.raises(DatabaseError):
        await risk.get_current_positions()


# --- positions ---


async def test_a_position_comes_back_as_it_was_given(risk: RiskManagementDatabase) -> None:
    assert (
        await risk.create_position({**LONG, "stop_loss_price": 39_000, "venue": "binance", "metadata": {"a": 1}})
        == "p1"
    )
    position = await risk.get_position("p1")
    assert position == {
        "id": "p1", "strategy_id": None, "symbol": "BTCUSDC", "side": "long", "quantity": 0.5, "entry_price": 40_000.0,
        "current_price": 40_000.0, "unrealized_pnl": 0.0, "realized_pnl": 0.0, "stop_loss_price": 39_000.0,
        "take_profit_price": None, "status": "open", "position_value_usd": 20_000.0, "current_value_usd": 20_000.0,
        "size_usd": 20_000.0, "risk_score": 0.0, "metadata": {"a": 1, "venue": "binance"},
        "created_at": "2025-11-04T03:00:00+00:00", "updated_at": "2025-11-04T03:00:00+00:00", "closed_at": None,
    }  # fmt: skip
    assert await risk.get_current_positions() == await risk.get_all_active_positions() == [position]


async def test_symbols_are_stored_with_both_names(risk: RiskManagementDatabase, database: PostgresManager) -> None:
    await risk.create_position(LONG)
    assert await database.fetchval("SELECT symbol FROM risk_positions") == "BTC/USDC"


async def test_an_existing_position_is_left_untouched(risk: RiskManagementDatabase) -> None:
    await risk.create_position(LONG)
    assert await risk.create_position({**LONG, "quantity": 9}) == "p1"
    position = await risk.get_position("p1")
    assert position is not None
    assert position["quantity"] == 0.5


async def test_a_position_without_an_id_gets_one(risk: RiskManagementDatabase) -> None:
    made = await risk.create_position({key: value for key, value in LONG.items() if key != "id"})
    assert made
    assert await risk.get_position(made) is not None


@pytest.mark.parametrize("missing", ["symbol", "side", "quantity", "entry_price"])
async def test_a_position_needs_its_four_facts(risk: RiskManagementDatabase, missing: str) -> None:
    with pytest.raises(UsageError, match=missing):
        await risk.create_position({key: value for key, value in LONG.items() if key != missing})


@pytest.mark.parametrize(
    "bad",
    [
        {"quantity": float("nan")},
        {"entry_price": float("inf")},
        {"side": "up"},
        {"status": "ajar"},
        {"quantity": 1e300},
    ],
)
async def test_nonsense_is_refused_and_stores_nothing(risk: RiskManagementDatabase, bad: dict[str, Any]) -> None:
    with pytest.raises((BadData, UsageError)):
        await risk.create_position({**LONG, **bad})
    assert await risk.get_position("p1") is None


@pytest.mark.parametrize("value", [1 / 3, 1e-5 / 3, 123_456_789_012.75, 1e-20, 0.1 + 0.2])
async def test_any_ordinary_float_is_stored(risk: RiskManagementDatabase, value: float) -> None:
    await risk.create_position({**LONG, "entry_price": value})
    position = await risk.get_position("p1")
    assert position is not None
    assert position["entry_price"] == pytest.approx(value, abs=1e-18)


async def test_positions_are_found_by_any_id_of_their_strategy(
    risk: RiskManagementDatabase, database: PostgresManager
) -> None:
    known, named = UUID(int=7), legacy_uuid("strategies", "momentum_1_0")
    await database.execute("INSERT INTO strategies (id, name, type) VALUES ($1, 'a', 'SMA')", known)
    await database.execute(
        "INSERT INTO strategies (id, legacy_id, name, type) VALUES ($1, 'momentum_1_0', 'b', 'SMA')", named
    )
    await risk.create_position({**LONG, "strategy_id": str(known)})
    await risk.create_position({**LONG, "id": "p2", "strategy_id": "momentum_1_0"})
    await risk.create_position({**LONG, "id": "p3", "strategy_id": "gone"})
    assert [p["id"] for p in await risk.get_current_positions(known)] == ["p1"]
    assert [p["id"] for p in await risk.get_current_positions("momentum_1_0")] == ["p2"]
    assert await risk.get_current_positions("gone") == []
    orphan = await risk.get_position("p3")
    assert orphan is not None
    assert (orphan["strategy_id"], orphan["metadata"]) == (None, {"strategy_ref": "gone"})


async def test_an_update_recomputes_what_follows_from_it(risk: RiskManagementDatabase) -> None:
    await risk.create_position(LONG)
    advance(risk, minutes=1)
    assert await risk.update_position("p1", {"current_price": 41_000.0, "id": "evil", "note'; DROP": "x"}) is True
    position = await risk.get_position("p1")
    assert position is not None
    assert (position["unrealized_pnl"], position["position_value_usd"]) == (500.0, 20_500.0)
    assert position["metadata"] == {"note'; DROP": "x"}
    assert position["updated_at"] == "2025-11-04T03:01:00+00:00"
    await risk.update_position("p1", {"quantity": 1, "stop_loss_price": 40_500.0, "risk_score": 0, "entry_price": None})
    position = await risk.get_position("p1")
    assert position is not None
    assert (position["unrealized_pnl"], position["stop_loss_price"], position["entry_price"]) == (
        1_000.0,
        40_500.0,
        40_000.0,
    )


async def test_a_short_gains_when_the_price_falls(risk: RiskManagementDatabase) -> None:
    await risk.create_position({**LONG, "side": "SELL"})
    await risk.update_position("p1", {"current_price": 39_000.0})
    position = await risk.get_position("p1")
    assert position is not None
    assert (position["side"], position["unrealized_pnl"]) == ("short", 500.0)


async def test_changes_of_what_is_not_there_are_false(risk: RiskManagementDatabase) -> None:
    assert await risk.get_position("none") is None
    assert await risk.update_position("none", {"quantity": 1}) is False
    assert await risk.close_position("none", 1.0) is False
    assert await risk.reduce_position("none", 10, "r") is False
    assert await risk.update_trailing_stop("none", 1.0) is False
    assert await risk.update_stop_loss_status("none", "cancelled") is False
    assert await risk.resolve_risk_alert("none") is False


async def test_closing_keeps_the_profit_given_and_cancels_the_stops(risk: RiskManagementDatabase) -> None:
    await risk.create_position(LONG)
    await risk.create_stop_loss(
        {"id": "s1", "position_id": "p1", "symbol": "BTCUSDC", "entry_price": 40_000.0, "stop_price": 39_000.0}
    )
    assert await risk.close_position("p1", 123.5, 41_000.0) is True
    position = await risk.get_position("p1")
    assert position is not None
    assert (position["status"], position["realized_pnl"], position["unrealized_pnl"], position["current_price"]) == (
        "closed",
        123.5,
        0.0,
        41_000.0,
    )
    assert position["closed_at"] == NOW.isoformat()
    assert await risk.get_active_stop_loss_orders() == []
    assert await risk.close_position("p1", 1.0) is False
    assert await risk.get_current_positions() == []


async def test_closing_with_a_reason_computes_the_profit(risk: RiskManagementDatabase) -> None:
    await risk.create_position(LONG)
    assert await risk.close_position("p1", "drawdown", 38_000.0) is True
    position = await risk.get_position("p1")
    assert position is not None
    assert (position["realized_pnl"], position["metadata"]) == (-1_000.0, {"close_reason": "drawdown"})


async def test_reducing_keeps_a_note_of_each_step(risk: RiskManagementDatabase) -> None:
    await risk.create_position(LONG)
    assert await risk.reduce_position("p1", 30, "crisis") is True
    assert await risk.reduce_position("p1", 150, "more") is True
    position = await risk.get_position("p1")
    assert position is not None
    assert (position["quantity"], position["position_value_usd"]) == (0.0, 0.0)
    assert position["metadata"]["adjustments"] == [
        {"timestamp": NOW.isoformat(), "reduction_percent": 30, "reason": "crisis"},
        {"timestamp": NOW.isoformat(), "reduction_percent": 150, "reason": "more"},
    ]
    for percent in (-1, float("nan")):
        with pytest.raises(UsageError):
            await risk.reduce_position("p1", percent, "r")


async def test_a_message_makes_a_position_and_changes_it(risk: RiskManagementDatabase) -> None:
    message = {**LONG, "update_type": "opened", "timestamp": NOW.isoformat(), "environment": "paper"}
    assert await risk.update_position_from_message(message) is True
    closing = {"id": "p1", "update_type": "closed", "status": "closed", "quantity": 0}
    assert await risk.update_position_from_message(closing) is True
    position = await risk.get_position("p1")
    assert position is not None
    assert (position["status"], position["quantity"], position["metadata"]) == ("closed", 0.0, {})
    with pytest.raises(UsageError, match="id"):
        await risk.update_position_from_message({"symbol": "BTCUSDC"})


async def test_the_portfolio_is_worth_its_open_positions(risk: RiskManagementDatabase) -> None:
    assert await risk.get_portfolio_value() == 0.0
    await risk.create_position(LONG)
    await risk.create_position({**LONG, "id": "p2", "symbol": "ETHUSDC", "quantity": 2, "entry_price": 3_000})
    await risk.create_position({**LONG, "id": "p3", "status": "closed"})
    assert await risk.get_portfolio_value() == await risk.get_total_portfolio_value() == 26_000.0


# --- stop-losses ---


def stop(**changes: Any) -> StopLossOrder:
    fields: dict[str, Any] = {
        "id": "sl_p1_1762225200",
        "position_id": "p1",
        "symbol": "BTCUSDC",
        "stop_type": StopLossType.TRAILING,
        "status": StopLossStatus.ACTIVE,
        "entry_price": 40_000.0,
        "current_price": 41_000.0,
        "stop_price": 39_500.0,
        "initial_stop_price": 39_200.0,
        "quantity": 0.5,
        "created_at": NOW,
        "last_updated": NOW,
        "config": StopLossConfig(
            stop_type=StopLossType.TRAILING, initial_stop_percent=2.0, trailing_distance_percent=3.0
        ),
        "profit_loss": 500.0,
        "highest_price": 41_500.0,
        "lowest_price": 39_900.0,
        "trigger_count": 0,
        "metadata": {"entry_volatility": 0.03},
    }
    return StopLossOrder(**(fields | changes))


@pytest.mark.parametrize("stop_type", StopLossType)
async def test_a_stop_comes_back_equal(risk: RiskManagementDatabase, stop_type: StopLossType) -> None:
    await risk.create_position(LONG)
    order = stop(stop_type=stop_type, config=StopLossConfig(stop_type=stop_type, initial_stop_percent=1.5))
    await risk.create_stop_loss_order(order)
    assert await risk.get_active_stop_loss_orders() == [order]
    assert await risk.get_active_stop_loss_by_position("p1") == order


async def test_a_stop_of_an_unknown_position_keeps_its_id(risk: RiskManagementDatabase) -> None:
    order = stop(position_id="long gone")
    await risk.create_stop_loss_order(order)
    assert await risk.get_active_stop_loss_by_position("long gone") == order
    order.stop_price = 39_600.0
    await risk.update_stop_loss_order(order)
    order.last_updated = NOW
    assert await risk.get_active_stop_loss_by_position("long gone") == order


async def test_an_existing_stop_is_left_as_it_is(risk: RiskManagementDatabase) -> None:
    await risk.create_position(LONG)
    await risk.create_stop_loss_order(stop())
    await risk.create_stop_loss_order(stop(stop_price=1.0))
    found = await risk.get_active_stop_loss_by_position("p1")
    assert found is not None
    assert found.stop_price == 39_500.0
    assert await risk.create_stop_loss({**LONG, "id": stop().id, "position_id": "p1"}) is False


async def test_a_stop_given_as_a_sparse_dict_gets_its_defaults(risk: RiskManagementDatabase) -> None:
    await risk.create_position(LONG)
    given = {
        "position_id": "p1",
        "symbol": "BTCUSDC",
        "entry_price": 40_000.0,
        "stop_price": 39_000.0,
        "quantity": 0.5,
        "stop_type": "ATR",
    }
    assert await risk.create_stop_loss(given) is True
    found = await risk.get_active_stop_loss_by_position("p1")
    assert found is not None
    assert found.id == f"sl_p1_{int(NOW.timestamp())}"
    assert (found.stop_type, found.initial_stop_price, found.current_price) == (
        StopLossType.ATR_BASED,
        39_000.0,
        40_000.0,
    )
    assert (found.highest_price, found.lowest_price, found.config) == (
        40_000.0,
        40_000.0,
        StopLossConfig(stop_type=StopLossType.ATR_BASED, initial_stop_percent=0.0),
    )
    with pytest.raises(UsageError, match="position_id"):
        await risk.create_stop_loss({"symbol": "BTCUSDC"})
    with pytest.raises(UsageError, match="StopLossType 'magic' is unknown"):
        await risk.create_stop_loss({**given, "id": "x", "stop_type": "magic"})


async def test_an_update_writes_everything_that_moves(risk: RiskManagementDatabase) -> None:
    await risk.create_position(LONG)
    await risk.create_stop_loss_order(stop())
    later = advance(risk, minutes=5)
    changed = stop(
        current_price=42_000.0,
        stop_price=40_740.0,
        trigger_count=1,
        profit_loss=1_000.0,
        highest_price=42_000.0,
        config=StopLossConfig(stop_type=StopLossType.TRAILING, initial_stop_percent=2.0, time_decay_enabled=True),
        metadata={"moved": True},
    )
    await risk.update_stop_loss_order(changed)
    changed.last_updated = later
    assert await risk.get_active_stop_loss_orders() == [changed]


async def test_a_trailing_stop_only_tightens(risk: RiskManagementDatabase) -> None:
    await risk.create_position(LONG)
    await risk.create_position({**LONG, "id": "p2", "side": "short"})
    await risk.create_stop_loss_order(stop())
    await risk.create_stop_loss_order(stop(id="s2", position_id="p2"))
    assert [await risk.update_trailing_stop(stop().id, price) for price in (39_600.0, 39_550.0)] == [True, False]
    assert [await risk.update_trailing_stop("s2", price) for price in (39_600.0, 39_450.0)] == [False, True]
    await risk.update_stop_loss_status("s2", StopLossStatus.TRIGGERED)
    assert await risk.update_trailing_stop("s2", 39_000.0) is False


async def test_a_status_may_be_an_enum_a_text_or_its_alias(
    risk: RiskManagementDatabase, database: PostgresManager
) -> None:
    await risk.create_position(LONG)
    await risk.create_stop_loss_order(stop())
    assert await risk.update_stop_loss_status(stop().id, "CANCELED") is True
    assert await risk.update_stop_loss_status(stop().id, StopLossStatus.CANCELLED) is False
    assert await database.fetchval("SELECT status FROM stop_losses") == "cancelled"
    with pytest.raises(UsageError, match="known: active, triggered, cancelled, modified, expired"):
        await risk.update_stop_loss_status(stop().id, "asleep")


async def test_stops_survive_a_restart_newest_change_first(
    risk: RiskManagementDatabase, database: PostgresManager
) -> None:
    await risk.create_position(LONG)
    for number in range(3):
        await risk.create_stop_loss_order(stop(id=f"s{number}", last_updated=NOW + timedelta(seconds=number)))
    again = RiskManagementDatabase(database)
    assert [order.id for order in await again.get_active_stop_loss_orders()] == ["s2", "s1", "s0"]


# --- metrics and alerts ---


def metrics(**changes: Any) -> RiskMetrics:
    numbers = [
        name
        for name in RiskMetrics.__dataclass_fields__
        if name not in ("timestamp", "risk_level", "sector_concentration")
    ]
    fields: dict[str, Any] = dict.fromkeys(numbers, 1.0) | {
        "timestamp": NOW,
        "risk_level": RiskLevel.HIGH,
        "sector_concentration": {"DEFI": 5.0},
    }
    return RiskMetrics(**(fields | changes))


async def test_metrics_are_kept_once_a_day_and_come_back_with_attributes(risk: RiskManagementDatabase) -> None:
    assert await risk.store_risk_metrics(metrics(risk_score=10.0)) is True
    assert (
        await risk.store_risk_metrics(metrics(risk_score=70.0, var_1d=float("nan"), timestamp=NOW + timedelta(hours=1)))
        is True
    )
    advance(risk, days=1)
    await risk.store_risk_metrics({"timestamp": "2025-11-05T03:00:00Z", "risk_level": "LOW", "risk_score": 3})
    newest, older = await risk.get_historical_risk_metrics()
    assert isinstance(older, AttrDict)
    assert (older.risk_level, older.risk_score, older.var_1d, older.sector_concentration) == (
        RiskLevel.HIGH,
        70.0,
        None,
        {"DEFI": 5.0},
    )
    assert (older.timestamp, older.date) == (NOW + timedelta(hours=1), date(2025, 11, 4))
    assert (newest.risk_level, newest.risk_score) == (RiskLevel.LOW, 3)
    assert await risk.get_risk_metrics_history(0) == [newest]


async def test_an_unknown_risk_level_stays_text(risk: RiskManagementDatabase) -> None:
    await risk.store_risk_metrics({"risk_level": "apocalyptic"})
    [row] = await risk.get_historical_risk_metrics(1)
    assert row.risk_level == "apocalyptic"


def alert(**changes: Any) -> RiskAlert:
    fields: dict[str, Any] = {
        "id": "drawdown_1762225200",
        "alert_type": AlertType.DRAWDOWN_WARNING,
        "severity": RiskLevel.HIGH,
        "title": "Drawdown",
        "message": "16 % below the peak",
        "symbol": None,
        "current_value": 16.0,
        "threshold_value": 15.0,
        "recommendation": "reduce",
        "created_at": NOW,
        "metadata": {"a": 1},
    }
    return RiskAlert(**(fields | changes))


async def test_an_alert_comes_back_equal_and_as_an_open_row(risk: RiskManagementDatabase) -> None:
    given = alert(symbol="BTCUSDC")
    assert await risk.store_risk_alert(given) is True
    assert await risk.get_risk_alerts() == [given]
    [row] = await risk.get_active_risk_alerts()
    assert isinstance(row, AttrDict)
    assert (row.id, row.alert_type, row.severity, row.symbol) == (
        given.id,
        AlertType.DRAWDOWN_WARNING,
        AlertSeverity.HIGH,
        "BTCUSDC",
    )
    assert (row.created_at, row.status) == (NOW, "open")


async def test_an_alert_without_id_and_time_gets_both_back(risk: RiskManagementDatabase) -> None:
    second = int(NOW.timestamp())
    given: dict[str, Any] = {"alert_type": "exposure", "severity": "warning", "message": "m", "symbol": "BTCUSDC"}
    assert await risk.create_risk_alert(given) is True
    assert (given["id"], given["created_at"]) == (f"exposure_BTCUSDC_{second}", NOW)
    [row] = await risk.get_active_risk_alerts()
    assert (row.alert_type, row.severity) == (AlertType.EXPOSURE_LIMIT, RiskLevel.MEDIUM)
    built = alert(id="", alert_type="var", message="v")
    await risk.store_risk_alert(built)
    assert built.id == f"var_{second}"


async def test_alert_names_are_understood_in_all_their_spellings(risk: RiskManagementDatabase) -> None:
    for number, (kind, severity) in enumerate(
        [("LEVERAGE", "HIGH"), ("VAR_EXCEEDED", "error"), ("volatility", "info"), ("comet", "critical")]
    ):
        await risk.store_risk_alert({"id": f"a{number}", "alert_type": kind, "severity": severity, "message": "m"})
    found = {a.id: (a.alert_type, a.severity) for a in await risk.get_risk_alerts()}
    assert found == {
        "a0": (AlertType.EXPOSURE_LIMIT, RiskLevel.HIGH),
        "a1": (AlertType.VAR_EXCEEDED, RiskLevel.HIGH),
        "a2": (AlertType.VOLATILITY_SPIKE, RiskLevel.LOW),
        "a3": ("comet", RiskLevel.CRITICAL),
    }
    with pytest.raises(UsageError, match="RiskLevel 'loud' is unknown"):
        await risk.store_risk_alert({"alert_type": "var", "severity": "loud", "message": "m"})
    with pytest.raises(UsageError, match="alert_type"):
        await risk.store_risk_alert({"severity": "low"})


async def test_a_later_edit_of_a_resolved_alert_does_not_move_its_resolution(risk: RiskManagementDatabase) -> None:
    await risk.store_risk_alert(alert())
    resolved_at = advance(risk, hours=1)
    assert await risk.resolve_risk_alert(alert().id) is True
    assert await risk.resolve_risk_alert(alert().id) is False
    advance(risk, hours=1)
    await risk.store_risk_alert(alert(message="edited"))
    [found] = await risk.get_risk_alerts(status="resolved")
    assert (found.message, found.resolved_at) == ("edited", resolved_at)
    assert await risk.get_active_risk_alerts() == []


async def test_a_repeated_alert_updates_its_row(risk: RiskManagementDatabase) -> None:
    await risk.store_risk_alert(alert())
    await risk.store_risk_alert(alert(current_value=17.0, severity=RiskLevel.CRITICAL))
    [found] = await risk.get_risk_alerts()
    assert (found.current_value, found.severity) == (17.0, RiskLevel.CRITICAL)


async def test_alerts_are_windowed_by_days_and_negative_days_are_none(risk: RiskManagementDatabase) -> None:
    await risk.store_risk_alert(alert(created_at=NOW - timedelta(days=40)))
    await risk.store_risk_alert(alert(id="new", created_at=NOW))
    assert [found.id for found in await risk.get_risk_alerts(30)] == ["new"]
    assert len(await risk.get_risk_alerts(60)) == 2
    assert [found.id for found in await risk.get_risk_alerts(-5)] == ["new"]


# --- drawdown ---


async def test_drawdown_is_tracked_from_the_highest_value_of_any_day(risk: RiskManagementDatabase) -> None:
    assert (await risk.get_max_drawdown(), await risk.get_portfolio_high_water_mark()) == (0.0, 0.0)
    for value in (100_000.0, 80_000.0, 90_000.0):
        assert await risk.update_drawdown_tracking(value) is True
        advance(risk, days=1)
    assert await risk.get_max_drawdown() == pytest.approx(0.2)
    assert await risk.get_peak_portfolio_value() == await risk.get_portfolio_high_water_mark() == 100_000.0


async def test_the_peak_only_rises(risk: RiskManagementDatabase, database: PostgresManager) -> None:
    assert await risk.update_peak_portfolio_value(100.0) is True
    assert await risk.update_peak_portfolio_value(90.0) is False
    assert await risk.update_peak_portfolio_value(125.0) is True
    assert await risk.get_peak_portfolio_value() == 125.0
    assert await database.fetchval("SELECT current_drawdown FROM drawdown_tracking") == pytest.approx(0.2)


# --- logs ---


async def test_what_people_and_the_risk_manager_did_is_kept(
    risk: RiskManagementDatabase, database: PostgresManager
) -> None:
    await risk.log_admin_action(action="circuit_breaker_override", level="level_2", at=NOW, amount=Decimal("1.5"))
    await risk.log_admin_action(note="x")
    await risk.save_portfolio_limits({"max_portfolio_leverage": 2.0})
    await risk.store_configuration_change({"MAX_DRAWDOWN_PERCENT": 10})
    await risk.save_adjustment_history({"stops_tightened": 3})
    actions = await database.fetch("SELECT action, details FROM risk_admin_actions ORDER BY action")
    assert [(row["action"], row["details"]) for row in actions] == [
        ("circuit_breaker_override", {"level": "level_2", "at": NOW.isoformat(), "amount": 1.5}),
        ("unspecified", {"note": "x"}),
    ]
    changes = await database.fetch("SELECT changes FROM risk_configuration_changes")
    assert [row["changes"] for row in changes] == [
        {"kind": "portfolio_limits", "max_portfolio_leverage": 2.0},
        {"MAX_DRAWDOWN_PERCENT": 10},
    ]
    assert await database.fetchval("SELECT adjustments FROM risk_adjustment_history") == {"stops_tightened": 3}
