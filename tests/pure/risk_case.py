"""A case that passes every check, to be spoiled one field at a time."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

from mastertrade.domain.market import Instrument
from mastertrade.domain.risk import Check, TradingMode
from mastertrade.domain.strategy import Signal, SignalType
from mastertrade.risk_manager.case import Case
from mastertrade.risk_manager.config import RiskSettings
from mastertrade.risk_manager.exposure import Exposure
from mastertrade.risk_manager.judge import Judgement, judge

NOW = datetime(2021, 9, 1, 12, 0, tzinfo=UTC)
VERDICT_ID = UUID(int=1)

LIMITS = RiskSettings().limits()

INSTRUMENT = Instrument(
    id=7,
    venue="paper",
    symbol="BTC/USDT",
    base="BTC",
    quote="USDT",
    tick_size=Decimal("0.01"),
    lot_size=Decimal("0.00001"),
    min_notional=Decimal(10),
    maker_fee=Decimal("0.001"),
    taker_fee=Decimal("0.001"),
)


def signal(type_: SignalType = SignalType.BUY, **changes: Any) -> Signal:
    fields: dict[str, Any] = {
        "id": UUID(int=2),
        "strategy_id": UUID(int=3),
        "account_id": UUID(int=4),
        "instrument_id": INSTRUMENT.id,
        "symbol": INSTRUMENT.symbol,
        "type": type_,
        "timeframe_s": 900,
        "bar_close": NOW,
        "price": 50_000.0,
        "confidence": 75.0,
        "raised_at": NOW,
        "valid_until": NOW + timedelta(seconds=30),
    }
    return Signal(**(fields | changes))


def entry(**changes: Any) -> Case:
    """A buy on an account with 100,000 USDT and nothing else."""
    fields: dict[str, Any] = {
        "signal": signal(),
        "instrument": INSTRUMENT,
        "now": NOW,
        "mode": TradingMode.RUNNING,
        "halts": "",
        "locks": "",
        "strategy_is_enabled": True,
        "risk_multiplier": 1.0,
        "max_order_quantity": None,
        "account_venue": "paper",
        "account_quote": "USDT",
        "price": Decimal(50_000),
        "price_as_of": NOW,
        "market_price": Decimal(50_000),
        "orders_this_second": 0,
        "orders_this_minute": 0,
        "orders_this_day": 0,
        "equity": Decimal(100_000),
        "high_water_mark": Decimal(100_000),
        "day_start_equity": Decimal(100_000),
        "week_start_equity": Decimal(100_000),
        "quote_free": Decimal(100_000),
        "base_free": Decimal(0),
        "base_held": Decimal(0),
        "pending_buys": Decimal(0),
        "position_quantity": Decimal(0),
        "in_flight": "",
        "exposure": Exposure(
            venue_equity=Decimal(100_000),
            total_equity=Decimal(100_000),
            volatility=0.03,
            true_range=0.04,
            volume=Decimal(1_000_000_000),
        ),
    }
    return Case(**(fields | changes))


def exit_(**changes: Any) -> Case:
    """A sale of the strategy's 0.05 BTC, bought with half of a small account."""
    fields: dict[str, Any] = {
        "signal": signal(SignalType.SELL),
        "equity": Decimal(5_000),
        "high_water_mark": Decimal(5_000),
        "day_start_equity": Decimal(5_000),
        "week_start_equity": Decimal(5_000),
        "quote_free": Decimal(2_500),
        "base_free": Decimal("0.05"),
        "base_held": Decimal("0.05"),
        "position_quantity": Decimal("0.05"),
    }
    return entry(**(fields | changes))


def judged(case: Case, **limits: Any) -> Judgement:
    return judge(case, replace(LIMITS, **limits), verdict_id=VERDICT_ID)


def check_of(judgement: Judgement, name: str) -> Check:
    [check] = [check for check in judgement.verdict.checks if check.name == name]
    return check
