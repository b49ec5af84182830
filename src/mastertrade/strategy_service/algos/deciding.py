"""What an algo order does next. Pure: the same order, children and market always decide the same.

All of them raise one order at a time, and the next only when nothing of the last one can still trade. So what has
filled and what may still fill never come to more than was asked for, whatever dies in between. An order that its venue
never knew might show itself after all: then a person is asked. Only an exit is asked for again, since it sells no more
than is held and what it protects would stand open."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Final
from uuid import UUID

from mastertrade.domain.orders import Side, Terms, round_down
from mastertrade.strategy_service.algos.models import (
    AlgoKind,
    AlgoOrder,
    AlgoStatus,
    Child,
    Decision,
    Leg,
    Progress,
    Seen,
    Wanted,
)

MOST_REFUSALS: Final = 10
"""In a row; then whoever asked is told instead."""
REDUCING: Final = Terms(reduce_only=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class Situation:
    """``held`` is what the strategy holds of the market, a short below 0; ``seen`` is None between two bars."""

    algo: AlgoOrder
    children: Sequence[Child]
    seen: Seen | None
    held: Decimal
    at: datetime

    @property
    def progress(self) -> Progress:
        return self.algo.progress

    @property
    def own(self) -> list[Child]:
        return [one for one in self.children if one.leg is not Leg.REPLACED]

    @property
    def live(self) -> list[Child]:
        return [one for one in self.children if not one.is_over]

    @property
    def last(self) -> Child | None:
        return self.own[-1] if self.own else None

    @property
    def filled(self) -> Decimal:
        return sum((one.filled for one in self.own), Decimal(0))

    @property
    def exit_side(self) -> Side:
        """Of a bracket."""
        return Side.SELL if self.algo.side is Side.BUY else Side.BUY

    @property
    def to_give_up(self) -> Decimal:
        """What a bracket's exit finds held."""
        return max(self.held if self.algo.side is Side.BUY else -self.held, Decimal(0))

    @property
    def may_ask(self) -> bool:
        """What the market or the risk manager did not give is asked for again with the next bar, not at once."""
        return self.seen is not None or self.last is None or self.last.is_filled

    def waits(self, **progress: object) -> Decision:
        return Decision(progress=replace(self.progress, **progress))  # type: ignore[arg-type]

    def raises(self, wanted: Wanted, **progress: object) -> Decision:
        return replace(self.waits(**progress), raises=wanted)

    def ends(self, status: AlgoStatus, outcome: str, **progress: object) -> Decision:
        """At once when nothing can trade any more, else as soon as that is so."""
        decision = self.waits(end_as=status, **progress)
        if self.live:
            return replace(decision, status=AlgoStatus.ENDING, outcome=outcome, cancels=_orders(self.live))
        return replace(decision, status=status, outcome=outcome)


def decide(situation: Situation) -> Decision:
    """Looked at with every bar, and whenever an order of it ends."""
    now = situation
    if now.algo.status is AlgoStatus.ENDING:
        return now.ends(now.progress.end_as, "")
    if any(one.cancelled_by for one in now.own) and now.algo.kind is not AlgoKind.BRACKET:
        by = next(one.cancelled_by for one in now.own if one.cancelled_by)
        return now.ends(AlgoStatus.CANCELED, f"{by} cancelled its order{_so_far(now)}")
    if any(one.is_lost for one in now.children if one.leg is not Leg.EXIT):
        return now.ends(AlgoStatus.FAILED, f"the venue never knew an order of it{_so_far(now)}; look there first")
    if now.algo.ends_at is not None and now.at >= now.algo.ends_at:
        return now.ends(AlgoStatus.EXPIRED, f"its time ended{_so_far(now)}")
    return _DECIDES[now.algo.kind](now)


def _trigger(now: Situation) -> Decision:
    last = now.last
    if last is None or last.refusal:
        refused = now.progress.refused + (last is not None)
        if last is not None and refused >= MOST_REFUSALS:
            return now.ends(AlgoStatus.FAILED, f"refused {refused} times, last: {last.refusal}", refused=refused)
        if now.seen is None:
            return now.waits()
        hit, best = (now.progress.hit, now.progress.best) if last else _touched(now, now.algo.side, now.algo.began_at)
        if not hit:
            return now.waits(best=best)
        wanted = Wanted(
            leg=Leg.ENTRY,
            side=now.algo.side,
            quantity=now.algo.quantity,
            limit_price=now.algo.limit_price,
            terms=now.algo.terms,
            because=hit,
        )
        return now.raises(wanted, hit=hit, best=best, refused=refused)
    if not last.is_over:
        return now.waits()
    return now.ends(AlgoStatus.DONE, f"{now.progress.hit}{_so_far(now)}")


def _bracket(now: Situation) -> Decision:
    entries = [one for one in now.own if one.leg is Leg.ENTRY]
    if not entries:
        return now.raises(
            Wanted(
                leg=Leg.ENTRY,
                side=now.algo.side,
                quantity=now.algo.quantity,
                limit_price=now.algo.limit_price,
                terms=now.algo.terms,
                because="the entry of a bracket",
            )
        )
    (entry,) = entries
    if entry.is_over and not entry.filled:
        return now.ends(AlgoStatus.FAILED if entry.refusal else AlgoStatus.CANCELED,
                        f"its entry traded nothing{': ' + entry.refusal if entry.refusal else ''}")  # fmt: skip
    if not entry.filled:
        return now.waits()
    if entry.is_over and now.to_give_up < now.algo.lot and not [one for one in now.live if one.leg is Leg.EXIT]:
        return now.ends(AlgoStatus.DONE, now.progress.hit or "its position was given up elsewhere")
    if now.progress.hit:
        return _give_up(now, entry)
    if now.seen is None:
        return now.waits()
    begun = now if now.progress.best is not None else _with(now, best=entry.price)
    hit, best = _touched(begun, now.exit_side, entry.filled_at)
    if not hit:
        return now.waits(best=best)
    return _give_up(_with(now, hit=hit, best=best), entry)


def _give_up(now: Situation, entry: Child) -> Decision:
    """What was opened and not closed yet; the rest of the entry is called back first."""
    if not entry.is_over:
        return replace(now.waits(), cancels=_orders([entry]))
    if now.live:
        return now.waits()
    closed = sum((one.filled for one in now.own if one.leg is Leg.EXIT), Decimal(0))
    left = round_down(min(entry.filled - closed, now.to_give_up), now.algo.lot)
    if left <= 0:
        return now.ends(AlgoStatus.DONE, now.progress.hit)
    if len(now.own) > 1 and not now.may_ask:
        return now.waits()
    return now.raises(Wanted(leg=Leg.EXIT, side=now.exit_side, quantity=left, terms=REDUCING, because=now.progress.hit))


def _twap(now: Situation) -> Decision:
    assert now.algo.rules.over_s and now.algo.rules.slices and now.algo.quantity, "twap has its schedule"
    slices = now.algo.rules.slices
    every = timedelta(seconds=now.algo.rules.over_s) / slices
    passed = (now.at - now.algo.began_at) // every
    due = min(slices, passed + 1)
    target = now.algo.quantity if due == slices else round_down(now.algo.quantity * due / slices, now.algo.lot)
    is_late = passed > slices
    return _slice(now, target, due=due, is_last=due == slices, is_over=is_late, because=f"slice {due} of {slices}")


def _participation(now: Situation) -> Decision:
    assert now.algo.rules.percent and now.algo.quantity, "participation has its share"
    volume = now.progress.volume
    if now.seen is not None:
        volume += now.seen.since(now.algo.began_at).volume
    share = round_down(volume * now.algo.rules.percent / 100, now.algo.lot)
    target = min(now.algo.quantity, share)
    told = _with(now, volume=volume)
    because = f"{now.algo.rules.percent.normalize():f} % of what the market traded"
    return _slice(told, target, due=0, is_last=target == now.algo.quantity, is_over=False, because=because)


def _slice(now: Situation, target: Decimal, *, due: int, is_last: bool, is_over: bool, because: str) -> Decision:
    """The next slice: what is due and not filled, once the last one is over."""
    assert now.algo.quantity is not None, "slices come of a quantity"
    last = now.last
    if _is_too_small(now, now.algo.quantity - now.filled) and not now.live:
        return now.ends(AlgoStatus.DONE, f"all of it traded{_so_far(now)}")
    if is_over:
        return now.ends(AlgoStatus.EXPIRED, f"its time ended{_so_far(now)}")
    if now.live:
        is_stale = due > now.progress.due and now.algo.limit_price is not None
        return replace(now.waits(), cancels=_orders(now.live) if is_stale else ())
    if not now.may_ask:
        return now.waits()
    refused = now.progress.refused
    if last is not None and last.refusal:
        refused += 1
        if refused >= MOST_REFUSALS:
            return now.ends(AlgoStatus.FAILED, f"refused {refused} times{_so_far(now)}")
    elif last is not None:
        refused = 0
    left = now.algo.quantity - now.filled
    want = target - now.filled
    if _is_too_small(now, want) and not is_last:
        return now.waits(refused=refused)
    if _is_too_small(now, left - want):
        want = left  # what would be left is too small for an order of its own
    wanted = Wanted(
        leg=Leg.SLICE,
        side=now.algo.side,
        quantity=want,
        limit_price=now.algo.limit_price,
        terms=now.algo.terms,
        because=because,
    )
    return now.raises(wanted, due=due, refused=refused)


def _iceberg(now: Situation) -> Decision:
    assert now.algo.rules.display and now.algo.quantity, "an iceberg shows a part of itself"
    target = min(now.algo.quantity, now.filled + now.algo.rules.display)
    shown = f"{now.algo.rules.display.normalize():f} shown of {now.algo.quantity.normalize():f}"
    return _slice(now, target, due=0, is_last=target == now.algo.quantity, is_over=False, because=shown)


def _replace(now: Situation) -> Decision:
    assert now.algo.quantity is not None, "a replacement has its quantity"
    old = next(one for one in now.children if one.leg is Leg.REPLACED)
    if not old.is_over:
        return replace(now.waits(), cancels=_orders([old]))
    last = now.last
    if last is None:
        left = round_down(now.algo.quantity - old.filled, now.algo.lot)
        if _is_too_small(now, left):
            return now.ends(AlgoStatus.DONE, f"the old order filled {old.filled.normalize():f} before it ended")
        return now.raises(
            Wanted(
                leg=Leg.SLICE,
                side=now.algo.side,
                quantity=left,
                limit_price=now.algo.limit_price,
                terms=now.algo.terms,
                because="in the place of another order",
            )
        )
    if last.refusal:
        return now.ends(AlgoStatus.FAILED, f"the old order is cancelled, the new one was refused: {last.refusal}")
    return now.waits() if last.order_id is None else Decision(
        progress=now.progress, status=AlgoStatus.DONE, outcome="replaced"
    )  # fmt: skip


_DECIDES: Final[dict[AlgoKind, Callable[[Situation], Decision]]] = {
    AlgoKind.TRIGGER: _trigger,
    AlgoKind.BRACKET: _bracket,
    AlgoKind.TWAP: _twap,
    AlgoKind.PARTICIPATION: _participation,
    AlgoKind.ICEBERG: _iceberg,
    AlgoKind.REPLACE: _replace,
}


def _touched(now: Situation, side: Side, since: datetime | None) -> tuple[str, Decimal]:
    """What the market has touched, in words, and the best price by then. A trail is held against the best of before."""
    assert now.seen is not None, "only a bar touches anything"
    seen, watch, best = now.seen.since(since), now.algo.rules.watch, now.progress.best
    is_sale = side is Side.SELL
    worst, top = (seen.low, seen.high) if is_sale else (seen.high, seen.low)
    stop = watch.stop_at(side, best)
    best = top if best is None else (max if is_sale else min)(best, top)
    is_stopped = stop is not None and (worst <= stop if is_sale else worst >= stop)
    is_reached = watch.target is not None and (top >= watch.target if is_sale else top <= watch.target)
    if is_stopped and stop is not None:
        kind = "trailing stop" if stop != watch.stop else "stop"
        both = " (the bar touched its target too)" if is_reached else ""
        return f"{kind} at {_number(stop)}: the market was at {_number(worst)}{both}", best
    if is_reached and watch.target is not None:
        return f"target at {_number(watch.target)}: the market was at {_number(top)}", best
    return "", best


def _with(now: Situation, **progress: object) -> Situation:
    return replace(now, algo=replace(now.algo, progress=replace(now.progress, **progress)))  # type: ignore[arg-type]


def _orders(children: Sequence[Child]) -> tuple[UUID, ...]:
    return tuple(one.order_id for one in children if one.order_id is not None)


def _is_too_small(now: Situation, quantity: Decimal) -> bool:
    return quantity < max(now.algo.lot, now.algo.smallest)


def _so_far(now: Situation) -> str:
    asked = "" if now.algo.quantity is None else f" of {_number(now.algo.quantity)}"
    refused = f"; the last one was refused: {now.last.refusal}" if now.last is not None and now.last.refusal else ""
    return f": {_number(now.filled)}{asked} filled{refused}"


def _number(value: Decimal) -> str:
    return f"{value.quantize(Decimal('1e-8')).normalize():f}"
