"""Doors for people: what works with the database alone, whatever else runs."""

from mastertrade.market_data_service.bar_source import DatabaseBars
from mastertrade.messaging.postgres import PostgresBus
from mastertrade.order_executor.accounts import Accounts
from mastertrade.order_executor.cancels import Cancels
from mastertrade.order_executor.differences import Differences
from mastertrade.order_executor.resolutions import Resolutions
from mastertrade.platform import PlatformSettings, request_budget
from mastertrade.risk_manager.alert_door import AlertDoor
from mastertrade.risk_manager.limit_door import LimitDoor
from mastertrade.risk_manager.measuring import PortfolioMeter
from mastertrade.risk_manager.service import RiskManager
from mastertrade.risk_manager.what_if import WhatIf
from mastertrade.shared.clock import SystemClock
from mastertrade.shared.postgres_manager import PostgresManager
from mastertrade.strategy_service.algos.door import AlgoOrders
from mastertrade.strategy_service.manual import ManualOrders


def risk_door(manager: PostgresManager, settings: PlatformSettings) -> RiskManager:
    """The risk manager's door for halting and resuming."""
    clock = SystemClock()
    return RiskManager(
        settings=settings.risk,
        clock=clock,
        bus=PostgresBus(manager, clock=clock),
        manager=manager,
        bars_of=DatabaseBars,
    )


def risk_meter(manager: PostgresManager, *, window_days: int) -> PortfolioMeter:
    """Measures what accounts hold."""
    return PortfolioMeter(database=manager, bars_of=DatabaseBars, window_days=window_days)


def manual_orders(manager: PostgresManager) -> ManualOrders:
    """Orders by hand."""
    return ManualOrders(manager=manager, bus=PostgresBus(manager, clock=SystemClock()))


def algo_orders(manager: PostgresManager) -> AlgoOrders:
    """Orders that are kept here until their time comes."""
    return AlgoOrders(manager=manager, bus=PostgresBus(manager, clock=SystemClock()))


def cancels(manager: PostgresManager) -> Cancels:
    """Where people say which orders they want cancelled."""
    return Cancels(manager=manager, clock=SystemClock())


def accounts(manager: PostgresManager, settings: PlatformSettings) -> Accounts:
    """Accounts at real venues, and their keys."""
    return Accounts(
        manager=manager,
        clock=SystemClock(),
        home=settings.core.home,
        is_live_allowed=settings.core.enable_live_trading,
        budget=request_budget(manager, settings),
    )


def resolutions(manager: PostgresManager) -> Resolutions:
    """Where people say what became of orders whose fate is unknown."""
    return Resolutions(manager=manager, clock=SystemClock())


def differences(manager: PostgresManager) -> Differences:
    """Where people decide about differences between our books and a venue."""
    return Differences(manager=manager, clock=SystemClock())


def alert_door(manager: PostgresManager) -> AlertDoor:
    """Where people look at alerts."""
    return AlertDoor(database=manager, clock=SystemClock())


def what_if(manager: PostgresManager, settings: PlatformSettings) -> WhatIf:
    """Judges orders that nobody places."""
    return WhatIf(settings=settings.risk, manager=manager, bars_of=DatabaseBars)


def limit_door(manager: PostgresManager, settings: PlatformSettings) -> LimitDoor:
    """Where people look at limits and change them."""
    risk = settings.risk
    return LimitDoor(
        manager=manager,
        clock=SystemClock(),
        defaults=risk.limits(),
        class_defaults=risk.class_limits(),
        is_adaptive=risk.adaptive_limits,
    )
