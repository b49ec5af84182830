"""Events: past facts that cross from one service to another. Each is published with the fact it reports."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from mastertrade.domain.arbitrage import Opportunity
from mastertrade.domain.market import Candle, InstrumentKind, parse_symbol
from mastertrade.domain.orders import ApprovedOrder, OrderStatus, Side
from mastertrade.domain.risk import Disposition, RiskLevel, TradingMode
from mastertrade.domain.strategy import Signal


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """``id`` identifies the fact: publishing it twice is one event. ``correlation_id`` is the signal it belongs to,
    ``causation_id`` the row that caused it. Events of equal ``key`` reach each consumer in their order."""

    id: UUID
    occurred_at: datetime
    correlation_id: UUID | None = None
    causation_id: UUID | None = None

    @property
    def key(self) -> str:
        return str(self.correlation_id or self.id)


@dataclass(frozen=True, slots=True, kw_only=True)
class CandlesClosed(Event):
    """All candles of one interval that closed at the same moment, whatever their venues: one batch, one event."""

    interval_s: int
    open_time: datetime
    candles: tuple[Candle, ...]

    @property
    def key(self) -> str:
        return "candles"

    @property
    def venues(self) -> tuple[str, ...]:
        return tuple(sorted({candle.venue for candle in self.candles}))


@dataclass(frozen=True, slots=True, kw_only=True)
class SignalRaised(Event):
    signal: Signal

    @property
    def key(self) -> str:
        return f"{self.signal.account_id}"


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderApproved(Event):
    approval: ApprovedOrder

    @property
    def key(self) -> str:
        return f"{self.approval.account_id}:{self.approval.instrument_id}"


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderRefused(Event):
    """A signal that ended without an order; ``reasons`` are the failed checks in words."""

    signal_id: UUID
    verdict_id: UUID
    disposition: Disposition
    reasons: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderUpdated(Event):
    order_id: UUID
    account_id: UUID
    instrument_id: int
    status: OrderStatus
    reason: str = ""

    @property
    def key(self) -> str:
        return f"{self.account_id}:{self.instrument_id}"


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderFilled(Event):
    """One fill applied: order, ledger, balances and position already hold it. ``position_quantity`` is what its
    strategy holds after it, below 0 for a short."""

    fill_id: UUID
    order_id: UUID
    strategy_id: UUID | None
    account_id: UUID
    instrument_id: int
    symbol: str
    side: Side
    quantity: Decimal
    price: Decimal
    commission: Decimal
    commission_asset: str
    realized_pnl: Decimal
    position_quantity: Decimal
    position_entry_price: Decimal
    status: OrderStatus

    @property
    def key(self) -> str:
        return f"{self.account_id}:{self.instrument_id}"

    @property
    def opens_position(self) -> bool:
        """The position stands on the fill's own side: it was opened, enlarged, or turned to it."""
        return self.position_quantity != 0 and (self.position_quantity > 0) == (self.side is Side.BUY)

    @property
    def closes_position(self) -> bool:
        """Nothing is left of the position there was. Of a swap it may have turned, and less stands than was filled."""
        if self.position_quantity == 0:
            return True
        is_swap = parse_symbol(self.symbol).kind is InstrumentKind.SWAP
        return is_swap and self.opens_position and abs(self.position_quantity) < self.quantity


@dataclass(frozen=True, slots=True, kw_only=True)
class OpportunityFound(Event):
    opportunity: Opportunity

    @property
    def key(self) -> str:
        return f"arbitrage:{self.opportunity.symbol}"


@dataclass(frozen=True, slots=True, kw_only=True)
class TradingStateChanged(Event):
    scope: str
    mode: TradingMode
    reason: str
    actor: str

    @property
    def key(self) -> str:
        return f"trading_state:{self.scope}"


@dataclass(frozen=True, slots=True, kw_only=True)
class ExitsWanted(Event):
    """Positions of a scope are to be given up; which ones, and why, are rows. ``occurred_at`` is the market's time."""

    scope: str

    @property
    def key(self) -> str:
        return "exits"


@dataclass(frozen=True, slots=True, kw_only=True)
class AlgoOrderChanged(Event):
    """Somebody placed one, or wants it ended. ``occurred_at`` is the market's time."""

    algo_order_id: UUID
    account_id: UUID
    instrument_id: int

    @property
    def key(self) -> str:
        return f"{self.account_id}:{self.instrument_id}"


@dataclass(frozen=True, slots=True, kw_only=True)
class StopTriggered(Event):
    """The market touched a stop; the exit of its position is wanted."""

    stop_id: str
    account_id: UUID
    instrument_id: int
    symbol: str
    stop_price: Decimal
    market_price: Decimal

    @property
    def key(self) -> str:
        return f"{self.account_id}:{self.instrument_id}"


@dataclass(frozen=True, slots=True, kw_only=True)
class CircuitBreakerChanged(Event):
    """An account's losses reached or left a level."""

    account_id: UUID
    before: str
    level: str
    reason: str

    @property
    def key(self) -> str:
        return f"circuit_breaker:{self.account_id}"


@dataclass(frozen=True, slots=True, kw_only=True)
class RiskAlertChanged(Event):
    """``change`` is raised, escalated or resolved; an alert that stands as it was is no news."""

    alert_id: str
    account_id: UUID
    alert_type: str
    severity: RiskLevel
    change: str
    symbol: str | None
    message: str
    current_value: float
    threshold_value: float

    @classmethod
    def of_row(
        cls, change: str, alert: Mapping[str, Any], account_id: UUID, *, id: UUID, at: datetime
    ) -> "RiskAlertChanged":
        """Of an alert as it is stored."""
        return cls(
            id=id,
            occurred_at=at,
            alert_id=alert["id"],
            account_id=account_id,
            alert_type=alert["alert_type"],
            severity=RiskLevel(alert["severity"]),
            change=change,
            symbol=alert["symbol"],
            message=alert["message"],
            current_value=alert["current_value"],
            threshold_value=alert["threshold_value"],
        )

    @property
    def key(self) -> str:
        return f"alerts:{self.account_id}"


EVENT_TYPES: dict[str, type[Event]] = {
    kind.__name__: kind
    for kind in (
        CandlesClosed,
        SignalRaised,
        OrderApproved,
        OrderRefused,
        OrderUpdated,
        OrderFilled,
        OpportunityFound,
        TradingStateChanged,
        ExitsWanted,
        AlgoOrderChanged,
        StopTriggered,
        CircuitBreakerChanged,
        RiskAlertChanged,
    )
}
"""Every event by the name it travels under; a new event is added here."""
