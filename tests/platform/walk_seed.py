"""What tests of the whole platform share: short plans with many orders, and what a run of one leaves behind."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from mastertrade.market_data_service.player import PlayReport
from mastertrade.market_data_service.simulation import SimulatedMarket
from mastertrade.market_data_service.source import Source
from mastertrade.plans import Plan, StrategyPlan
from mastertrade.platform import OpenDatabase, Platform, open_platform, read_settings
from mastertrade.shared.postgres_manager import PostgresManager

START = datetime(2024, 1, 1, tzinfo=UTC)
SYMBOLS = ("BTC/USDT", "ETH/USDT", "SOL/USDT", "DOGE/USDT")
ACCOUNT = "tested"
STRATEGIES: tuple[tuple[str, int, dict[str, Any]], ...] = (
    ("ma_cross", 60, {"fast": 2, "slow": 3}),
    ("ma_cross", 300, {"fast": 2, "slow": 5}),
    ("rsi_reversion", 60, {"period": 3, "oversold": 45.0, "exit": 55.0}),
)
"""Impatient, so that every minute has signals."""
RISK = {
    "MAX_SINGLE_POSITION_PERCENT": "20", "MAX_DAILY_LOSS_PERCENT": "100", "MAX_DRAWDOWN_PERCENT": "100",
    "MAX_CONSECUTIVE_LOSSES": "0", "LOW_PROFIT_TRADES": "0", "DRAWDOWN_LOCK_PERCENT": "0",
    **dict.fromkeys(("BREAKER_WARNING_PERCENT", "BREAKER_LEVEL_1_PERCENT", "BREAKER_LEVEL_2_PERCENT"), "100"),
    **dict.fromkeys(("BREAKER_LEVEL_3_PERCENT", "CIRCUIT_BREAKER_LOSS_PERCENT"), "100"),
}  # fmt: skip
"""Limits that do not end the trading of strategies that lose as steadily as these."""


def simulated(symbols: Sequence[str] = SYMBOLS) -> SimulatedMarket:
    return SimulatedMarket(seed=7, start=START, symbols=symbols)


def short_plan(*, minutes: int | None, source: Source | None = None, begin_after: datetime = START) -> Plan:
    """``minutes`` of the market from its beginning on; None for a market without end."""
    source = source or simulated()
    venue = source.instruments[0].venue
    return Plan(
        source=source,
        feed=ACCOUNT,
        account=ACCOUNT,
        venue=venue,
        quote_asset="USDT",
        cash=Decimal(10_000),
        strategies=[
            StrategyPlan(
                name=f"{template} {timeframe_s}", template=template, parameters=parameters, timeframe_s=timeframe_s
            )
            for template, timeframe_s, parameters in STRATEGIES
        ],
        begin_after=begin_after,
        end=None if minutes is None else begin_after + timedelta(minutes=minutes),
    )


@asynccontextmanager
async def opened(manager: PostgresManager, dsn: str, plan: Plan, **environment: str) -> AsyncIterator[Platform]:
    """The platform on a test's database, reconciled and ready to play."""
    settings = read_settings(RISK | {name.upper(): value for name, value in environment.items()})
    database = OpenDatabase(manager=manager, dsn=dsn, schema=None)
    async with open_platform(database, settings, plan) as platform:
        yield platform


async def played(manager: PostgresManager, dsn: str, plan: Plan, **environment: str) -> PlayReport:
    """Play the plan to its end."""
    async with opened(manager, dsn, plan, **environment) as platform:
        report = await platform.play()
    assert report.is_finished
    return report


def until(plan: Plan, minutes: int) -> Plan:
    return replace(plan, end=plan.begin_after + timedelta(minutes=minutes))


Rows = list[tuple[Any, ...]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Story:
    """What happened, told without ids and wall clocks: two runs of one plan must tell the same."""

    signals: Rows
    verdicts: Rows
    orders: Rows
    fills: Rows
    positions: Rows
    balances: Rows
    marks: Rows


_NAMED_SIGNALS = """
WITH named AS (
    SELECT g.*, s.name AS strategy FROM signals g JOIN strategies s ON s.id = g.strategy_id WHERE g.bar_close IS NOT NULL
)"""
_KEY = "n.strategy, n.symbol, n.bar_close, n.signal_type"
_STORY = {
    "signals": f"SELECT {_KEY}, n.timestamp, n.valid_until, n.price, n.confidence, n.evidence::text FROM named n",
    "verdicts": f"""
        SELECT {_KEY}, v.disposition, v.requested_quantity, v.approved_quantity, v.equity, v.decided_at,
               (SELECT string_agg(concat_ws(' ', c.name, c.value, c."limit", c.passed), ', ' ORDER BY c.position)
                  FROM verdict_checks c WHERE c.verdict_id = v.id)
          FROM verdicts v JOIN named n ON n.id = v.signal_id""",
    "orders": f"""
        SELECT {_KEY}, o.side, o.quantity, o.status, o.filled_quantity, o.avg_fill_price, o.commission, o.order_time, o.signed_at
          FROM orders o JOIN named n ON n.id = o.signal_id""",
    "fills": f"""
        SELECT {_KEY}, t.side, t.quantity, t.price, t.commission, t.commission_asset, t.trade_time, t.realized_pnl
          FROM trades t JOIN orders o ON o.id = t.order_id JOIN named n ON n.id = o.signal_id""",
    "positions": """
        SELECT s.name, p.symbol, p.quantity, p.cost, p.entry_price, p.realized_pnl, p.status, p.opened_at, p.closed_at
          FROM strategy_positions p JOIN strategies s ON s.id = p.strategy_id""",
    "balances": """
        SELECT a.name, b.asset, b.free_balance, b.locked_balance
          FROM portfolio_balances b JOIN accounts a ON a.id = b.account_id""",
    "marks": """
        SELECT a.name, m.equity, m.high_water_mark, m.high_water_at, m.day_start_equity, m.marked_at
          FROM account_marks m JOIN accounts a ON a.id = m.account_id""",
}


async def story(manager: PostgresManager) -> Story:
    """Sorted by what the rows say."""
    told = {}
    for name, query in _STORY.items():
        rows = await manager.fetch(f"{_NAMED_SIGNALS} {query}")
        told[name] = sorted((tuple(row.values()) for row in rows), key=repr)
    return Story(**told)
