"""Judging a signal: every rule evaluated, the quantity cut as far as they ask, one verdict."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from uuid import UUID

from mastertrade.domain.orders import OrderType, Side
from mastertrade.domain.risk import Check, Disposition, Verdict
from mastertrade.domain.strategy import SignalType
from mastertrade.risk_manager.case import Case
from mastertrade.risk_manager.checks import number_text
from mastertrade.risk_manager.limits import Limits
from mastertrade.risk_manager.rules import RULES, Rule
from mastertrade.risk_manager.rules.admission import SIGNAL_AGE
from mastertrade.risk_manager.sizing import requested_quantity, reservation, stop_price, whole_lots

REQUEST = "requested_size"


@dataclass(frozen=True, slots=True, kw_only=True)
class SizedOrder:
    """What an approval allows, and the capital to set aside for it."""

    side: Side
    type: OrderType
    quantity: Decimal
    limit_price: Decimal | None
    stop_price: Decimal | None
    """Where the position is given up; None for an exit."""
    reduces: bool
    reserve_asset: str
    reserve_amount: Decimal


@dataclass(frozen=True, slots=True, kw_only=True)
class Judgement:
    """A verdict, and its order exactly when the verdict is an approval."""

    verdict: Verdict
    order: SizedOrder | None


def judge(case: Case, limits: Limits, *, verdict_id: UUID, rules: Sequence[Rule] = RULES) -> Judgement:
    """The verdict on one case. A rule that cannot be evaluated refuses: doubt never approves."""
    if case.signal.type is SignalType.HOLD:
        return refusal(case, verdict_id, Disposition.HELD, "HOLD asks for nothing")
    if case.is_turn:
        return _turned(case, limits, verdict_id, rules)
    checks: list[Check] = []
    requested = Decimal(0)
    try:
        if case.signal.quantity is None:
            requested, steps = requested_quantity(case, limits)
            checks += steps
        else:
            requested = whole_lots(case, case.signal.quantity)
    except Exception as error:  # noqa: BLE001 - whatever went wrong, the answer is no and the reason is kept
        checks.append(_broken(REQUEST, error))
    sized = replace(case, quantity=requested, requested=requested)
    for rule in rules:
        check = _evaluate(rule, sized, limits)
        checks.append(check)
        if check.reduced_to is not None:
            sized = replace(sized, quantity=min(sized.quantity, check.reduced_to))
    failed = [check for check in checks if not check.passed]
    if failed:
        is_late = any(check.name == SIGNAL_AGE and case.now > case.signal.raised_at for check in failed)
        disposition = Disposition.EXPIRED if is_late else Disposition.REFUSED
        reason = "; ".join(f"{check.name}: {check.detail}" for check in failed)
        return refusal(case, verdict_id, disposition, reason, requested=requested, checks=tuple(checks))
    return _approval(case, sized, limits, verdict_id, requested, tuple(checks))


def _turned(case: Case, limits: Limits, verdict_id: UUID, rules: Sequence[Rule]) -> Judgement:
    """A position and its opposite in its place, in one order: judged as an entry that finds nothing of its own held.
    Where that is refused the position is given up all the same."""
    held, wanted = abs(case.position_quantity), case.signal.quantity
    entry = replace(
        case,
        signal=replace(case.signal, turns=False, quantity=None if wanted is None else wanted - held),
        position_quantity=Decimal(0),
        base_held=Decimal(0),
        closes=held,
    )
    opened = judge(entry, limits, verdict_id=verdict_id, rules=rules)
    if opened.order is None:
        terms = replace(case.signal.terms, reduce_only=True, post_only=False)
        only_out = replace(case, signal=replace(case.signal, turns=False, quantity=None, terms=terms))
        closed = judge(only_out, limits, verdict_id=verdict_id, rules=rules)
        reason = f"only gives the position up: {opened.verdict.reason}"
        return replace(closed, verdict=replace(closed.verdict, reason=reason)) if closed.order else closed
    verdict = replace(
        opened.verdict,
        requested_quantity=opened.verdict.requested_quantity + held,
        approved_quantity=opened.verdict.approved_quantity + held,
    )
    return Judgement(verdict=verdict, order=replace(opened.order, quantity=opened.order.quantity + held))


def refusal(
    case: Case,
    verdict_id: UUID,
    disposition: Disposition,
    reason: str,
    *,
    requested: Decimal = Decimal(0),
    checks: tuple[Check, ...] = (),
) -> Judgement:
    """A verdict that lets nothing through."""
    verdict = Verdict(
        id=verdict_id,
        signal_id=case.signal.id,
        disposition=disposition,
        requested_quantity=requested,
        approved_quantity=Decimal(0),
        checks=checks,
        reason=reason,
        decided_at=case.now,
    )
    return Judgement(verdict=verdict, order=None)


def _approval(
    case: Case, sized: Case, limits: Limits, verdict_id: UUID, requested: Decimal, checks: tuple[Check, ...]
) -> Judgement:
    asset, amount = reservation(sized, limits)
    cuts = [check for check in checks if check.reduced_to is not None]
    sizes = f"{number_text(requested)} to {number_text(sized.quantity)}"
    verdict = Verdict(
        id=verdict_id,
        signal_id=case.signal.id,
        disposition=Disposition.REDUCED if cuts else Disposition.APPROVED,
        requested_quantity=requested,
        approved_quantity=sized.quantity,
        checks=checks,
        reason=f"cut from {sizes} by {', '.join(check.name for check in cuts)}" if cuts else "",
        decided_at=case.now,
    )
    order = SizedOrder(
        side=case.side,
        type=OrderType.MARKET if case.signal.limit_price is None else OrderType.LIMIT,
        quantity=sized.quantity,
        limit_price=case.signal.limit_price,
        stop_price=None if case.is_exit else stop_price(case, limits),
        reduces=case.is_exit,
        reserve_asset=asset,
        reserve_amount=amount,
    )
    return Judgement(verdict=verdict, order=order)


def _evaluate(rule: Rule, case: Case, limits: Limits) -> Check:
    try:
        return rule(case, limits)
    except Exception as error:  # noqa: BLE001 - whatever went wrong, the answer is no and the reason is kept
        return _broken(rule.__name__, error)


def _broken(name: str, error: Exception) -> Check:
    return Check(
        name=name,
        value=None,
        limit=None,
        unit="",
        passed=False,
        detail=f"could not be evaluated: {type(error).__name__}: {error}",
    )
