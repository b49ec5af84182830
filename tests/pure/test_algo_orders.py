"""What algo orders decide, against every way their orders can end."""

import random
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID, uuid4

import pytest

from mastertrade.domain.orders import Side
from mastertrade.strategy_service.algos.deciding import MOST_REFUSALS, Situation, decide
from mastertrade.strategy_service.algos.models import (
    ENDED,
    AlgoKind,
    AlgoOrder,
    AlgoStatus,
    Child,
    Decision,
    Leg,
    Progress,
    Rules,
    Seen,
    Wanted,
    Watch,
)

START = datetime(2024, 1, 1, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
LOT, SMALLEST = Decimal("0.01"), Decimal("0.05")


def d(value: object) -> Decimal:
    return Decimal(str(value))


def algo(kind: AlgoKind, side: Side = Side.SELL, quantity: object = 1, **changes: Any) -> AlgoOrder:
    fields: dict[str, Any] = {
        "id": uuid4(), "kind": kind, "side": side, "quantity": None if quantity is None else d(quantity), "lot": LOT,
        "smallest": SMALLEST, "rules": Rules(), "began_at": START,
    }  # fmt: skip
    return AlgoOrder(**(fields | changes))


@dataclass
class Desk:
    """Plays the risk manager, the venue and the market for one algo order."""

    algo: AlgoOrder
    held: Decimal = Decimal(100)
    at: datetime = START
    children: list[Child] = field(default_factory=list)
    raised: list[Wanted] = field(default_factory=list)
    cancels: list[UUID] = field(default_factory=list)
    last: Decision | None = None

    def look(self, seen: Seen | None = None) -> Decision:
        decision = decide(Situation(algo=self.algo, children=self.children, seen=seen, held=self.held, at=self.at))
        self.algo = replace(self.algo, progress=decision.progress, status=decision.status)
        self.cancels += decision.cancels
        self.last = decision
        if decision.raises is not None:
            assert all(one.is_over for one in self.children), "one at a time"
            self.raised.append(decision.raises)
            self.children.append(Child(leg=decision.raises.leg))
        return decision

    def bar(self, low: object, high: object, close: object | None = None, volume: object = 10) -> Decision:
        self.at += MINUTE
        return self.look(
            Seen(
                begins=self.at - MINUTE,
                ends=self.at,
                high=d(high),
                low=d(low),
                close=d(close or high),
                volume=d(volume),
            )
        )

    def ends(self, filled: object = 0, **changes: Any) -> Decision:
        last = self.children[-1]
        is_filled = last.filled + d(filled) == (self.raised[-1].quantity or self.algo.quantity)
        changes = {
            "is_over": True,
            "is_filled": is_filled,
            "filled": last.filled + d(filled),
            "order_id": last.order_id or uuid4(),
        } | changes
        self.children[-1] = replace(last, **changes)
        if self.children[-1].filled and self.children[-1].filled_at is None:
            self.children[-1] = replace(self.children[-1], filled_at=self.at, price=d(100))
        sign = -1 if self.raised[-1].side is Side.SELL else 1
        self.held += sign * d(filled)
        return self.look()

    def rests(self, filled: object = 0) -> None:
        self.ends(filled, is_over=False)

    @property
    def status(self) -> AlgoStatus:
        return self.algo.status


def watching(**prices: object) -> Rules:
    return Rules(watch=Watch(**{name: d(value) for name, value in prices.items()}))


@pytest.mark.parametrize(
    ("side", "prices", "bars", "because"),
    [
        (Side.SELL, {"stop": 90}, [(95, 99), (91, 96)], ""),
        (Side.SELL, {"stop": 90}, [(95, 99), (90, 96)], "stop at 90: the market was at 90"),
        (Side.SELL, {"target": 110}, [(95, 110)], "target at 110: the market was at 110"),
        (Side.SELL, {"stop": 90, "target": 110}, [(89, 111)], "the bar touched its target too"),
        (Side.SELL, {"trail": 10}, [(99, 100), (95, 120), (109, 110)], ""),
        (Side.SELL, {"trail": 10}, [(99, 100), (95, 120), (108, 110)], "trailing stop at 108"),
        (Side.SELL, {"trail": 10, "stop": 109}, [(110, 120), (109, 110)], "stop at 109"),
        (Side.BUY, {"stop": 110}, [(95, 109)], ""),
        (Side.BUY, {"stop": 110}, [(95, 110)], "stop at 110"),
        (Side.BUY, {"target": 90}, [(91, 110), (90, 92)], "target at 90"),
        (Side.BUY, {"trail": 10}, [(80, 100), (85, 87), (85, 88)], "trailing stop at 88"),
    ],
)
def test_a_trigger_is_touched_where_its_price_is(
    side: Side, prices: dict[str, object], bars: list[tuple[int, int]], because: str
) -> None:
    desk = Desk(algo(AlgoKind.TRIGGER, side, rules=watching(**prices)))
    for low, high in bars:
        assert desk.raised == []
        desk.bar(low, high)
    assert [because in one.because for one in desk.raised] == ([True] if because else [])
    if because:
        assert desk.ends(1).status is AlgoStatus.DONE
        desk.bar(1, 1000)
        assert len(desk.raised) == 1


def test_a_bar_it_was_placed_in_counts_with_its_close_only() -> None:
    desk = Desk(algo(AlgoKind.TRIGGER, rules=watching(stop=90), began_at=START + MINUTE / 2))
    desk.bar(80, 100, close=95)
    assert desk.raised == []
    desk.bar(80, 100, close=95)
    assert len(desk.raised) == 1


def test_a_trigger_asks_again_while_it_is_refused_and_then_says_so() -> None:
    desk = Desk(algo(AlgoKind.TRIGGER, rules=watching(stop=90)))
    desk.bar(90, 91)
    for count in range(1, MOST_REFUSALS):
        assert len(desk.raised) == count
        desk.ends(refusal="something is in flight")
        assert len(desk.raised) == count, "not before the next bar"
        desk.bar(95, 96)
    decision = desk.ends(refusal="something is in flight")
    assert decision.status is AlgoStatus.FAILED
    assert "refused 10 times, last: something is in flight" in decision.outcome


def test_a_bracket_sells_what_it_bought_when_its_stop_or_target_is_touched() -> None:
    desk = Desk(algo(AlgoKind.BRACKET, Side.BUY, None, rules=watching(stop=90, target=110)), held=d(0))
    desk.look()
    assert (desk.raised[0].leg, desk.raised[0].quantity) == (Leg.ENTRY, None)
    desk.bar(80, 120)
    desk.ends("0.7")
    desk.bar(91, 109)
    assert len(desk.raised) == 1
    desk.bar(95, 111)
    assert (desk.raised[1].leg, desk.raised[1].side, desk.raised[1].quantity) == (Leg.EXIT, Side.SELL, d("0.7"))
    assert desk.raised[1].terms.reduce_only
    desk.ends("0.5")
    assert len(desk.raised) == 2, "the rest with the next bar"
    desk.bar(99, 100)
    assert desk.raised[2].quantity == d("0.2")
    assert desk.ends(refusal="no").status is AlgoStatus.WORKING
    desk.bar(99, 100)
    assert desk.ends("0.2").status is AlgoStatus.DONE
    assert desk.last is not None
    assert "target at 110" in desk.last.outcome


def test_a_bracket_of_a_short_buys_it_back_above_or_below() -> None:
    for stop, target, low, high, told in ((110, 90, 95, 111, "stop at 110"), (110, 90, 89, 105, "target at 90")):
        desk = Desk(algo(AlgoKind.BRACKET, Side.SELL, 1, rules=watching(stop=stop, target=target)), held=d(0))
        desk.look()
        assert (desk.raised[0].leg, desk.raised[0].side) == (Leg.ENTRY, Side.SELL)
        desk.ends(1)
        desk.held = d(-1)
        desk.bar(91, 109)
        assert len(desk.raised) == 1
        desk.bar(low, high)
        assert (desk.raised[1].leg, desk.raised[1].side, desk.raised[1].quantity) == (Leg.EXIT, Side.BUY, d(1))
        assert desk.raised[1].terms.reduce_only
        desk.held = d(0)
        assert desk.ends(1).status is AlgoStatus.DONE
        assert told in desk.raised[1].because


def test_the_rest_of_a_brackets_entry_is_called_back_before_it_sells() -> None:
    desk = Desk(algo(AlgoKind.BRACKET, Side.BUY, 1, rules=watching(trail=5), limit_price=d(99)), held=d(0))
    desk.look()
    desk.rests("0.4")
    desk.bar(99, 100)
    assert desk.bar(90, 95).cancels == (desk.children[0].order_id,)
    assert desk.ends("0.1").raises is not None
    assert desk.raised[1].quantity == d("0.5")


@pytest.mark.parametrize(
    ("ending", "status", "told"),
    [
        ({"refusal": "too much"}, AlgoStatus.FAILED, "its entry traded nothing: too much"),
        ({}, AlgoStatus.CANCELED, "its entry traded nothing"),
    ],
)
def test_a_bracket_without_an_entry_is_over(ending: dict[str, Any], status: AlgoStatus, told: str) -> None:
    desk = Desk(algo(AlgoKind.BRACKET, Side.BUY, 1, rules=watching(stop=90)), held=d(0))
    desk.look()
    decision = desk.ends(**ending)
    assert (decision.status, decision.outcome) == (status, told)


def test_a_bracket_whose_position_is_gone_is_over() -> None:
    desk = Desk(algo(AlgoKind.BRACKET, Side.BUY, 1, rules=watching(stop=90)), held=d(0))
    desk.look()
    desk.ends(1)
    desk.held = d(0)
    decision = desk.bar(99, 100)
    assert (decision.status, decision.outcome) == (AlgoStatus.DONE, "its position was given up elsewhere")


def test_twap_trades_equal_parts_and_what_was_left_of_one_with_the_next() -> None:
    desk = Desk(algo(AlgoKind.TWAP, Side.BUY, 1, rules=Rules(over_s=600, slices=4)))
    desk.look()
    raised = []
    for part, minutes in (("0.25", 3), ("0.10", 1), ("0.15", 1), ("0.25", 3), ("0.25", 0)):
        raised.append((desk.raised[-1].because[6:7], desk.raised[-1].quantity))
        desk.ends(part)
        for _ in range(minutes):
            assert len(desk.raised) == len(raised)
            desk.bar(99, 100)
    quarter = d("0.25")
    assert raised == [("1", quarter), ("2", quarter), ("2", d("0.15")), ("3", quarter), ("4", quarter)]
    assert desk.status is AlgoStatus.DONE


def test_a_slice_that_rests_is_called_back_when_the_next_is_due() -> None:
    desk = Desk(algo(AlgoKind.TWAP, Side.BUY, 1, rules=Rules(over_s=600, slices=2), limit_price=d(90)))
    desk.look()
    desk.rests("0.2")
    for _ in range(4):
        assert desk.bar(91, 92).cancels == ()
    assert desk.bar(91, 92).cancels == (desk.children[0].order_id,)
    desk.ends()
    desk.bar(91, 92)
    assert desk.raised[-1].quantity == d("0.8")
    desk.rests()
    for _ in range(9):
        assert desk.last is not None
        assert desk.last.status is AlgoStatus.WORKING
        decision = desk.bar(91, 92)
    assert decision.status is AlgoStatus.ENDING
    assert desk.ends().status is AlgoStatus.EXPIRED


def test_participation_follows_the_markets_volume() -> None:
    desk = Desk(algo(AlgoKind.PARTICIPATION, Side.BUY, 3, rules=Rules(percent=d(10))))
    desk.look()
    assert desk.raised == []
    for volume, quantity in ((10, "1.00"), ("0.2", None), (5, "0.52"), (100, "1.48")):
        before = len(desk.raised)
        desk.bar(99, 100, volume=volume)
        assert [one.quantity for one in desk.raised[before:]] == ([] if quantity is None else [d(quantity)])
        if quantity is not None:
            desk.ends(quantity)
    assert desk.status is AlgoStatus.DONE


def test_a_rest_too_small_for_an_order_does_not_bring_a_slice_before_its_time() -> None:
    desk = Desk(algo(AlgoKind.PARTICIPATION, Side.BUY, "0.06", rules=Rules(percent=d(10))))
    desk.bar(99, 100, volume="0.2")
    assert desk.raised == []
    desk.bar(99, 100, volume="0.4")
    assert [one.quantity for one in desk.raised] == [d("0.06")]


def test_an_iceberg_shows_its_next_part_when_the_last_has_filled() -> None:
    desk = Desk(algo(AlgoKind.ICEBERG, Side.BUY, "0.5", rules=Rules(display=d("0.2")), limit_price=d(99)))
    desk.look()
    for quantity in ("0.2", "0.2", "0.1"):
        assert (desk.raised[-1].quantity, desk.raised[-1].limit_price) == (d(quantity), d(99))
        desk.rests()
        desk.ends(quantity)
    assert desk.status is AlgoStatus.DONE


def test_a_replacement_comes_when_the_old_order_is_over_and_counts_what_it_filled() -> None:
    old = Child(leg=Leg.REPLACED, order_id=uuid4())
    desk = Desk(algo(AlgoKind.REPLACE, Side.BUY, 1, limit_price=d(98)), children=[old])
    assert desk.look().cancels == (old.order_id,)
    assert desk.raised == []
    desk.children[0] = replace(old, is_over=True, filled=d("0.3"), cancelled_by="algo")
    desk.look()
    assert desk.raised[0].quantity == d("0.7")
    desk.rests()
    assert desk.status is AlgoStatus.DONE


def test_what_people_end_or_cancel_raises_nothing_more() -> None:
    for kind, rules in ((AlgoKind.ICEBERG, Rules(display=d("0.1"))), (AlgoKind.TWAP, Rules(over_s=600, slices=5))):
        desk = Desk(algo(kind, Side.BUY, 1, rules=rules, limit_price=d(99)))
        desk.look()
        desk.rests()
        desk.algo = replace(desk.algo, status=AlgoStatus.ENDING)
        assert desk.look().cancels == (desk.children[0].order_id,)
        assert desk.ends().status is AlgoStatus.CANCELED
        desk = Desk(algo(kind, Side.BUY, 1, rules=rules, limit_price=d(99)))
        desk.look()
        desk.rests()
        assert desk.ends("0.02", cancelled_by="ann").status is AlgoStatus.CANCELED
        assert desk.last is not None
        assert desk.last.outcome == "ann cancelled its order: 0.02 of 1 filled"
        assert len(desk.raised) == 1


@pytest.mark.parametrize("kind", [one for one in AlgoKind if one is not AlgoKind.REPLACE])
def test_an_order_its_venue_never_knew_is_not_asked_for_again(kind: AlgoKind) -> None:
    rules = {
        AlgoKind.TRIGGER: watching(stop=90), AlgoKind.BRACKET: watching(stop=90),
        AlgoKind.TWAP: Rules(over_s=600, slices=5), AlgoKind.PARTICIPATION: Rules(percent=d(10)),
        AlgoKind.ICEBERG: Rules(display=d("0.2")),
    }[kind]  # fmt: skip
    side = Side.SELL if kind is AlgoKind.TRIGGER else Side.BUY
    desk = Desk(algo(kind, side, 2, rules=rules))
    desk.look()
    desk.bar(90, 91)
    decision = desk.ends(is_lost=True)
    assert (decision.status, desk.raised[1:]) == (AlgoStatus.FAILED, [])
    assert decision.outcome == "the venue never knew an order of it: 0 of 2 filled; look there first"


def test_neither_does_another_order_take_its_place() -> None:
    old = Child(leg=Leg.REPLACED, order_id=uuid4(), is_over=True, is_lost=True)
    assert (
        Desk(algo(AlgoKind.REPLACE, Side.BUY, 1, limit_price=d(98)), children=[old]).look().status is AlgoStatus.FAILED
    )


def test_an_exit_its_venue_never_knew_is_asked_for_again() -> None:
    desk = Desk(algo(AlgoKind.BRACKET, Side.BUY, 1, rules=watching(stop=90)), held=d(0))
    desk.look()
    desk.ends(1)
    desk.bar(89, 91)
    assert desk.ends(is_lost=True).status is AlgoStatus.WORKING
    desk.bar(89, 91)
    assert [one.leg for one in desk.raised] == [Leg.ENTRY, Leg.EXIT, Leg.EXIT]


def test_one_whose_time_is_over_ends() -> None:
    desk = Desk(algo(AlgoKind.TRIGGER, rules=watching(stop=90), ends_at=START + 2 * MINUTE))
    assert desk.bar(95, 96).status is AlgoStatus.WORKING
    assert desk.bar(80, 96).status is AlgoStatus.EXPIRED
    assert desk.raised == []
    desk = Desk(algo(AlgoKind.TWAP, Side.BUY, rules=Rules(over_s=600, slices=4), ends_at=START + 2 * MINUTE))
    desk.look()
    desk.ends("0.25")
    desk.bar(95, 96)
    assert desk.bar(95, 96).status is AlgoStatus.EXPIRED
    assert len(desk.raised) == 1


@pytest.mark.parametrize("seed", range(300))
def test_what_filled_and_may_still_fill_is_never_more_than_was_asked_for(seed: int) -> None:
    chance = random.Random(seed)
    kind = chance.choice(list(AlgoKind))
    quantity = d(chance.randint(6, 300)) / 100
    rules = {
        AlgoKind.TRIGGER: watching(stop=95, target=105), AlgoKind.BRACKET: watching(stop=95, trail=3),
        AlgoKind.TWAP: Rules(over_s=60 * chance.randint(1, 20), slices=chance.randint(1, 8)),
        AlgoKind.PARTICIPATION: Rules(percent=d(chance.randint(1, 50))),
        AlgoKind.ICEBERG: Rules(display=d(chance.randint(5, 50)) / 100), AlgoKind.REPLACE: Rules(),
    }[kind]  # fmt: skip
    side = Side.BUY if kind is AlgoKind.BRACKET else chance.choice(list(Side))
    limit = d(100) if kind is AlgoKind.ICEBERG or chance.random() < 0.5 else None
    old = [Child(leg=Leg.REPLACED, order_id=uuid4())] if kind is AlgoKind.REPLACE else []
    held = d(0) if kind is AlgoKind.BRACKET else d(100)
    desk = Desk(algo(kind, side, quantity, rules=rules, limit_price=limit), children=old, held=held)
    desk.look()
    for _ in range(120):
        if desk.status in ENDED:
            break
        step = chance.random()
        live = [place for place, one in enumerate(desk.children) if not one.is_over]
        if step < 0.4 or not live:
            low = chance.randint(90, 104)
            desk.bar(low, low + chance.randint(0, 6), volume=chance.randint(0, 20))
        elif desk.children[live[0]].leg is Leg.REPLACED:
            filled = min(quantity, d(chance.randint(0, 100)) / 100)
            desk.children[0] = replace(desk.children[0], is_over=True, filled=filled)
            desk.look()
        else:
            asked = desk.raised[-1].quantity or quantity
            open_ = asked - desk.children[-1].filled
            part = open_ if chance.random() < 0.5 else (open_ * d(chance.random())).quantize(LOT)
            if step < 0.45 and not desk.children[-1].filled:
                desk.ends(is_lost=True)
            elif step < 0.55 and not desk.children[-1].filled:
                desk.ends(refusal="no")
            elif step < 0.8:
                desk.ends(min(part, open_))
            elif part < open_:
                desk.rests(part)
        if step > 0.97 and desk.status is AlgoStatus.WORKING:
            desk.algo = replace(desk.algo, status=AlgoStatus.ENDING)
        for leg in (Leg.ENTRY, Leg.SLICE):
            own = [one for one in desk.children if one.leg is leg]
            asked_for = [one.quantity or quantity for one in desk.raised if one.leg is leg]
            possible = sum(
                asked if one.is_lost or not one.is_over else one.filled
                for one, asked in zip(own, asked_for, strict=True)
            )
            assert possible + sum(one.filled for one in desk.children if one.leg is Leg.REPLACED) <= quantity
        assert desk.held >= 0
    assert desk.algo.progress == Progress.from_json(desk.algo.progress.to_json())
    assert Rules.from_json(rules.to_json()) == rules
