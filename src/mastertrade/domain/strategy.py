"""Strategy: what runs, and the signals it raises with the evidence they were raised on."""

from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from uuid import UUID

from mastertrade.domain.orders import ORDINARY, Terms


class StrategyStatus(StrEnum):
    PENDING_BACKTEST = "pending_backtest"
    TESTING = "testing"
    PAPER_TRADING = "paper_trading"
    ACTIVE = "active"
    INACTIVE = "inactive"
    PAUSED = "paused"
    REPLACED = "replaced"
    ARCHIVED = "archived"
    FAILED = "failed"


class SignalType(StrEnum):
    BUY = "BUY"
    SELL = "SELL"
    HOLD = "HOLD"


@dataclass(frozen=True, slots=True, kw_only=True)
class Strategy:
    """A template with parameters, bound to one account and the instruments it trades."""

    id: UUID
    name: str
    template: str
    parameters: dict[str, float | int | str | bool]
    timeframe_s: int
    account_id: UUID
    instrument_ids: tuple[int, ...]
    status: StrategyStatus = StrategyStatus.ACTIVE


@dataclass(frozen=True, slots=True, kw_only=True)
class Signal:
    """A wish to trade, raised on a closed bar. One (strategy, instrument, timeframe, bar close, type) is one signal.

    ``evidence`` holds the candle and indicator values it was raised on, so the reason outlives data retention.
    ``confidence`` is 0..100. After ``valid_until`` it is refused as stale. ``quantity`` is what somebody asked for
    by hand, without one the risk manager sizes it by its strength; ``limit_price`` is the worst price it may trade at.
    Of a swap, one that goes against the position gives it up; where it ``turns`` it, a position of the signal's own
    side takes its place.
    """

    id: UUID
    strategy_id: UUID
    account_id: UUID
    instrument_id: int
    symbol: str
    type: SignalType
    timeframe_s: int
    bar_close: datetime
    price: float
    confidence: float
    raised_at: datetime
    valid_until: datetime
    evidence: dict[str, float | str] = field(default_factory=dict)
    quantity: Decimal | None = None
    limit_price: Decimal | None = None
    terms: Terms = ORDINARY
    turns: bool = False
