"""Evaluation: one strategy over all closed bars of one instrument; a signal where the last bar changed the target."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from mastertrade.domain.market import InstrumentKind, parse_symbol
from mastertrade.domain.orders import Terms
from mastertrade.domain.strategy import Signal, SignalType
from mastertrade.quant.bars import Bars
from mastertrade.quant.columns import columns_of
from mastertrade.shared.errors import BadData, UsageError
from mastertrade.strategies.template import Built, Template, make, nearest_name, reads_markets

Templates = Mapping[str, Template[Any]]
TIMEFRAME_NAMES = ("timeframe", "timeframes")
"""Stated among the parameters by the older system; here they are ``timeframe_s``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Assignment:
    """One strategy on one instrument of its account. ``template`` is None for a legacy ``type`` that has none."""

    strategy_id: UUID
    account_id: UUID
    type: str
    template: str | None
    parameters: dict[str, Any]
    timeframe_s: int
    instrument_id: int
    symbol: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Evaluation:
    """What came of running an assignment once: at most one signal, or the error it ended in."""

    assignment: Assignment
    seconds: float
    signal: Signal | None = None
    error: str | None = None


def template_of(legacy_type: str, templates: Templates) -> str | None:
    """The template behind a strategy type: its own name, or the name the older system had for it (SMA, RSI)."""
    by_type = {template.legacy_type.upper(): name for name, template in templates.items()}
    return legacy_type if legacy_type in templates else by_type.get(legacy_type.upper())


def reads_markets_of(assignment: Assignment, templates: Templates) -> bool:
    """Whether the assignment must be shown the other markets of its strategy."""
    return any(name == assignment.template and reads_markets(template) for name, template in templates.items())


def build_assignment(assignment: Assignment, templates: Templates) -> Built[Any]:
    """The checked template of an assignment. UsageError names what is unknown or out of range."""
    if assignment.template is None:
        raise UsageError(f"strategy type {assignment.type!r} has no template; known: {', '.join(sorted(templates))}")
    if assignment.template not in templates:
        raise UsageError(f"strategy template {nearest_name(assignment.template, templates)}")
    own = {name: value for name, value in assignment.parameters.items() if name not in TIMEFRAME_NAMES}
    return make(templates[assignment.template], own)


def evaluate(
    assignment: Assignment,
    bars: Bars,
    templates: Templates,
    *,
    raised_at: datetime,
    valid_s: float,
    make_id: Callable[[datetime], UUID],
) -> Signal | None:
    """The signal of the last bar: BUY where the target rose, SELL where it fell, else None. A target below 0 is a
    short, which only a swap can have. The bars are columns of ``together`` where the template reads the markets beside
    them."""
    built = build_assignment(assignment, templates)
    if len(bars) < 2:
        return None
    bars = columns_of(bars)  # so that targets, evidence and confidence share what is computed
    targets = built.positions(bars)
    before, target = float(targets[-2]), float(targets[-1])
    is_swap = parse_symbol(assignment.symbol).kind is InstrumentKind.SWAP
    known = {-1.0, 0.0, 1.0} if is_swap else {0.0, 1.0}
    if len(targets) != len(bars) or not {before, target} <= known:
        raise BadData(
            f"{assignment.template}: {len(bars)} bars gave {len(targets)} targets ending in {before:g}, {target:g};"
            f" each bar needs one target, {'-1, 0 or 1' if is_swap else '0 or 1'}"
        )
    if target == before:
        return None
    last = len(bars) - 1
    bar_close = _moment(int(bars.time[-1])) + timedelta(seconds=assignment.timeframe_s)
    return Signal(
        id=make_id(raised_at),
        strategy_id=assignment.strategy_id,
        account_id=assignment.account_id,
        instrument_id=assignment.instrument_id,
        symbol=assignment.symbol,
        type=SignalType.BUY if target > before else SignalType.SELL,
        timeframe_s=assignment.timeframe_s,
        bar_close=bar_close,
        price=float(bars.close[-1]),
        confidence=built.confidence(bars, last),
        raised_at=raised_at,
        valid_until=valid_until(bar_close, raised_at, assignment.timeframe_s, valid_s),
        evidence={**bar_evidence(bars), **built.evidence(bars, last), **({"target": target} if is_swap else {})},
        terms=Terms(reduce_only=is_swap and target == 0.0),
        turns=before * target < 0.0,
    )


def valid_until(bar_close: datetime, raised_at: datetime, timeframe_s: int, valid_s: float) -> datetime:
    """``valid_s`` after it was raised, but never beyond the next bar's close: what a service finds waiting after an
    outage is then recorded and judged stale instead of traded at a price of hours ago."""
    return min(raised_at + timedelta(seconds=valid_s), bar_close + timedelta(seconds=timeframe_s))


def bar_evidence(bars: Bars) -> dict[str, float | str]:
    """The last bar as it was seen."""
    return {
        "time": _moment(int(bars.time[-1])).isoformat(),
        "open": float(bars.open[-1]),
        "high": float(bars.high[-1]),
        "low": float(bars.low[-1]),
        "close": float(bars.close[-1]),
        "volume": float(bars.volume[-1]),
    }


def _moment(epoch_ms: int) -> datetime:
    return datetime.fromtimestamp(epoch_ms / 1000, UTC)
