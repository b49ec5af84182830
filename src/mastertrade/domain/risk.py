"""Risk: checks, verdicts and dispositions, and the state of trading."""

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from uuid import UUID

GLOBAL_SCOPE = "global"


class Disposition(StrEnum):
    """How a signal ended; each signal has exactly one."""

    APPROVED = "approved"
    REDUCED = "reduced"
    REFUSED = "refused"
    EXPIRED = "expired"
    SUPERSEDED = "superseded"
    HELD = "held"
    FAILED = "failed"

    @property
    def is_approval(self) -> bool:
        return self in (Disposition.APPROVED, Disposition.REDUCED)


class TradingMode(StrEnum):
    RUNNING = "running"
    REDUCE_ONLY = "reduce_only"
    HALTED = "halted"


def account_scope(account_id: UUID) -> str:
    return f"account:{account_id}"


def strategy_scope(strategy_id: UUID) -> str:
    return f"strategy:{strategy_id}"


def instrument_scope(instrument_id: int) -> str:
    return f"instrument:{instrument_id}"


@dataclass(frozen=True, slots=True, kw_only=True)
class TradingState:
    """Whether a scope may trade, since when and by whose will. A scope without one runs. ``version`` counts changes."""

    scope: str
    mode: TradingMode
    reason: str
    actor: str
    version: int
    changed_at: datetime


class RiskLevel(StrEnum):
    LOW = "low"
    MEDIUM = "medium"
    HIGH = "high"
    CRITICAL = "critical"


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One named pre-trade check with the number it saw and the limit it held it against, both in ``unit``.

    ``reduced_to`` is set when the check passed only because the quantity was cut to it.
    """

    name: str
    value: float | None
    limit: float | None
    unit: str
    passed: bool
    detail: str = ""
    reduced_to: Decimal | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """The risk manager's answer to one signal, with every check that led to it."""

    id: UUID
    signal_id: UUID
    disposition: Disposition
    requested_quantity: Decimal
    approved_quantity: Decimal
    checks: tuple[Check, ...]
    reason: str
    decided_at: datetime
