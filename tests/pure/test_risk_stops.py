"""Stops: where they begin, how they follow, and that they never move against their position."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mastertrade.risk_manager.models import StopLossConfig, StopLossType
from mastertrade.risk_manager.stop_keeper import read_config
from mastertrade.risk_manager.stops import Stop, StopMarket, check_config, check_price, first_price, follow, is_hit
from mastertrade.shared.errors import UsageError

NOW = datetime(2023, 3, 10, 12, 0, tzinfo=UTC)
ENTRY = Decimal(100)
ONE = Decimal(1)


def config(kind: StopLossType = StopLossType.FIXED, percent: float = 5.0, **changes: Any) -> StopLossConfig:
    return StopLossConfig(stop_type=kind, initial_stop_percent=percent, **({"breakeven_protection": False} | changes))


def market(price: str, *, high: str | None = None, low: str | None = None, **changes: Any) -> StopMarket:
    return StopMarket(price=Decimal(price), high=Decimal(high or price), low=Decimal(low or price), **changes)


def stop(rules: StopLossConfig, price: str, *, is_long: bool = True, best: str = "100", **changes: Any) -> Stop:
    return Stop(
        is_long=is_long, entry=ENTRY, price=Decimal(price), best=Decimal(best), opened_at=NOW, config=rules, **changes
    )


@pytest.mark.parametrize(
    ("rules", "long", "short"),
    [
        (config(percent=5.0), "95", "105"),
        (config(StopLossType.TRAILING, 4.0), "96", "104"),
        (config(StopLossType.VOLATILITY_BASED), "92", "108"),
        (config(StopLossType.VOLATILITY_BASED, volatility_multiplier=1.0), "96", "104"),
        (config(StopLossType.ATR_BASED), "97", "103"),
        (config(StopLossType.SUPPORT_RESISTANCE), "89.55", "110.55"),
        (config(StopLossType.VOLATILITY_BASED, max_loss_percent=3.0), "97", "103"),
    ],
)
def test_where_a_stop_begins(rules: StopLossConfig, long: str, short: str) -> None:
    seen = market("100", volatility=0.04, true_range=1.5, support=Decimal(90), resistance=Decimal(110))
    assert first_price(rules, ENTRY, seen, is_long=True, class_factor=ONE) == Decimal(long)
    assert first_price(rules, ENTRY, seen, is_long=False, class_factor=ONE) == Decimal(short)


def test_wilder_classes_have_wider_volatility_stops_and_young_markets_stand_ins() -> None:
    rules = config(StopLossType.VOLATILITY_BASED)
    assert first_price(rules, ENTRY, market("100", volatility=0.02), is_long=True, class_factor=Decimal("2.5")) == 90
    assert first_price(rules, ENTRY, market("100"), is_long=True, class_factor=ONE) == 95, "the initial percent"
    assert first_price(config(StopLossType.ATR_BASED), ENTRY, market("100"), is_long=True, class_factor=ONE) == 96
    support = config(StopLossType.SUPPORT_RESISTANCE)
    assert first_price(support, ENTRY, market("100"), is_long=True, class_factor=ONE) == Decimal("94.525")
    above = market("100", support=Decimal(101))
    assert first_price(support, ENTRY, above, is_long=True, class_factor=ONE) == Decimal("94.525"), "is no support"


@pytest.mark.parametrize(
    ("rules", "before", "seen", "after"),
    [
        (config(), "95", market("150"), "95"),
        (config(StopLossType.TRAILING), "95", market("100.5", high="100.9"), "95"),
        (config(StopLossType.TRAILING), "95", market("100.5", high="110"), "106.70"),
        (config(StopLossType.TRAILING, trailing_distance_percent=1.0), "95", market("101", high="102"), "100.98"),
        (config(StopLossType.ATR_BASED), "95", market("110", true_range=2.0), "106"),
        (config(StopLossType.ATR_BASED), "95", market("98", true_range=2.0), "95"),
        (config(StopLossType.SUPPORT_RESISTANCE), "95", market("110", support=Decimal(104)), "103.480"),
        (config(StopLossType.VOLATILITY_BASED), "95", market("110", volatility=0.02), "105.60"),
        (config(breakeven_protection=True), "95", market("102"), "95"),
        (config(breakeven_protection=True), "95", market("102.01"), "100.100"),
    ],
)
def test_how_a_stop_follows(rules: StopLossConfig, before: str, seen: StopMarket, after: str) -> None:
    assert follow(stop(rules, before), seen, at=NOW).price == Decimal(after)


def test_a_volatility_stop_is_wider_where_it_is_wilder_than_at_the_entry() -> None:
    calm = stop(config(StopLossType.VOLATILITY_BASED), "80", entry_volatility=0.02)
    assert follow(calm, market("110", volatility=0.04), at=NOW).price == Decimal("110") * (1 - Decimal("0.16"))


def test_a_position_at_a_loss_for_days_is_given_up_a_little_earlier() -> None:
    rules = config(time_decay_enabled=True)
    assert follow(stop(rules, "95"), market("98"), at=NOW + timedelta(hours=24)).price == 95
    after = follow(stop(rules, "95"), market("98"), at=NOW + timedelta(days=100)).price
    assert after == pytest.approx(Decimal(100) * (1 - Decimal("0.05") / Decimal("1.1")))
    assert follow(stop(rules, "95"), market("101"), at=NOW + timedelta(days=100)).price == 95, "not at a profit"


def test_a_move_not_worth_a_row_is_none_but_the_extreme_is_kept() -> None:
    moved = follow(stop(config(StopLossType.TRAILING), "106.70", best="110"), market("110.05", high="110.05"), at=NOW)
    assert (moved.price, moved.best) == (Decimal("106.70"), Decimal("110.05"))


prices = st.decimals("1", "1000", places=2)
kinds = st.sampled_from(list(StopLossType))


@given(
    kinds,
    st.booleans(),
    st.booleans(),
    st.booleans(),
    st.lists(st.tuples(prices, prices, prices), min_size=1, max_size=8),
)
def test_a_stop_never_moves_against_its_position(
    kind: StopLossType, is_long: bool, breakeven: bool, decay: bool, path: list[tuple[Decimal, Decimal, Decimal]]
) -> None:
    rules = config(kind, breakeven_protection=breakeven, time_decay_enabled=decay, max_loss_percent=20.0)
    seen = market("100", volatility=0.03, true_range=2.0)
    one = replace(
        stop(rules, "1", is_long=is_long), price=first_price(rules, ENTRY, seen, is_long=is_long, class_factor=ONE)
    )
    for number, (price, high, low) in enumerate(path):
        seen = market(
            str(price), high=str(max(price, high)), low=str(min(price, low)), volatility=0.03, true_range=2.0,
            support=low, resistance=high,
        )  # fmt: skip
        after = follow(one, seen, at=NOW + timedelta(hours=13 * number))
        assert after.price >= one.price if is_long else after.price <= one.price
        assert after.best >= one.best if is_long else after.best <= one.best
        assert follow(after, seen, at=NOW + timedelta(hours=13 * number)) == after, (
            "the same look again changes nothing"
        )
        one = after
    most = ENTRY * (Decimal("0.8") if is_long else Decimal("1.2"))
    assert one.price >= most if is_long else one.price <= most


@pytest.mark.parametrize(
    ("kind", "low", "swing", "hit"),
    [
        (StopLossType.FIXED, "95.01", None, False),
        (StopLossType.FIXED, "95", None, True),
        (StopLossType.FIXED, "95.4", 0.2, False),
        (StopLossType.VOLATILITY_BASED, "95.4", 0.2, True),
        (StopLossType.VOLATILITY_BASED, "95.4", 0.07, False),
    ],
)
def test_when_a_stop_is_hit(kind: StopLossType, low: str, swing: float | None, hit: bool) -> None:
    assert is_hit(stop(config(kind), "95"), market("98", low=low, swing=swing), wild=0.05) is hit
    mirrored = market("102", high=str(200 - Decimal(low)), swing=swing)
    assert is_hit(stop(config(kind), "105", is_long=False), mirrored, wild=0.05) is hit


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"initial_stop_percent": 0.05}, "initial_stop_percent 0.05 of a stop is outside 0.1 to 20"),
        ({"initial_stop_percent": float("nan")}, "initial_stop_percent nan"),
        ({"trailing_distance_percent": 11.0}, "outside 0.1 to 10"),
        ({"max_loss_percent": 0.5}, "outside 1 to 50"),
        ({"volatility_multiplier": 9.0}, "outside 0.5 to 5"),
        ({"support_resistance_buffer": 3.0}, "outside 0.1 to 2"),
    ],
)
def test_numbers_out_of_bounds_are_named(changes: dict[str, Any], told: str) -> None:
    with pytest.raises(UsageError, match=told):
        check_config(replace(config(), **changes))


def test_a_stop_on_the_wrong_side_is_refused() -> None:
    assert check_price(Decimal(99), market=ENTRY, is_long=True) == 99
    for price, is_long in ((ENTRY, True), (Decimal(101), True), (Decimal(99), False), (Decimal(0), True)):
        with pytest.raises(UsageError, match=r"must be (below|above) the market, which is at 100"):
            check_price(price, market=ENTRY, is_long=is_long)


def test_rules_as_they_are_written_down() -> None:
    read = read_config({"stop_type": "atr", "volatility_multiplier": 3}, usual=config())
    assert (read.stop_type, read.volatility_multiplier, read.initial_stop_percent) == (StopLossType.ATR_BASED, 3, 5.0)
    for data, told in (
        ({"distance": 2}, "have no distance; they have stop_type"),
        ({"stop_type": "magic"}, "stop type 'magic' is unknown"),
        ({"initial_stop_percent": "5"}, "is no number"),
        ({"initial_stop_percent": True}, "does not fit"),
        ({"breakeven_protection": 1}, "does not fit"),
    ):
        with pytest.raises(UsageError, match=told):
            read_config(data, usual=config())
