"""Which of several scopes' numbers counts, and what a change of one allows."""

from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mastertrade.risk_manager.asset_classes import AssetClass, asset_class
from mastertrade.risk_manager.config import SETTING_OF, RiskSettings
from mastertrade.risk_manager.limits import (
    GLOBAL,
    KINDS,
    ScopedLimit,
    Tighter,
    effective,
    kind_of,
    loosens,
    parse_limit_scope,
    scopes_of,
)
from mastertrade.shared.errors import UsageError
from tests.pure.risk_case import INSTRUMENT

DEFAULTS = RiskSettings().limits()
CLASSES = RiskSettings().class_limits()
SCOPES = scopes_of(UUID(int=1), UUID(int=2), INSTRUMENT)


def row(scope: str, name: str, value: str, version: int = 1) -> ScopedLimit:
    return ScopedLimit(
        scope=scope, name=name, value=Decimal(value), version=version, reason="because", actor="ann",
        changed_at=datetime(2024, 1, 1, tzinfo=UTC),
    )  # fmt: skip


def test_a_trade_meets_every_scope_it_belongs_to() -> None:
    assert (
        GLOBAL, "venue:paper", f"account:{UUID(int=1)}", f"strategy:{UUID(int=2)}", "class:CRYPTO", "asset:BTC",
        "instrument:7",
    ) == SCOPES  # fmt: skip


@given(st.lists(st.tuples(st.sampled_from(SCOPES[1:]), st.sampled_from(sorted(KINDS)), st.decimals(0, 100, places=3))))
def test_the_tightest_number_counts_and_every_other_is_named(given_: list[tuple[str, str, Decimal]]) -> None:
    rows = [row(scope, name, str(value), at) for at, (scope, name, value) in enumerate(given_)]
    found = effective(DEFAULTS, rows, SCOPES, class_defaults=CLASSES, version=9)
    for name, kind in KINDS.items():
        own = {one.scope: one.value for one in rows if one.name == name}
        preset = {"class:CRYPTO": CLASSES[AssetClass.CRYPTO].get(name)}
        numbers = {GLOBAL: getattr(DEFAULTS, name)} | {k: v for k, v in preset.items() if v is not None} | own
        pick = min if kind.tighter is Tighter.LOWER else max
        assert getattr(found.limits, name) == pick(numbers.values())
        assert {one.scope: one.value for one in found.candidates[name]} == numbers
        assert found.candidates[name][0].value == getattr(found.limits, name)


def test_a_stored_global_number_stands_instead_of_the_settings_and_names_its_change() -> None:
    found = effective(
        DEFAULTS, [row(GLOBAL, "max_leverage", "5", 4)], SCOPES, class_defaults=CLASSES, version=4
    ).candidates["max_leverage"]
    assert [(one.value, one.scope, one.version, one.source) for one in found] == [(5, GLOBAL, 4, "because")]


def test_scopes_elsewhere_say_nothing() -> None:
    rows = [row("asset:ETH", "max_position_percent", "1"), row(f"account:{UUID(int=9)}", "max_position_percent", "1")]
    assert effective(DEFAULTS, rows, SCOPES, class_defaults=CLASSES, version=1).limits == DEFAULTS


@pytest.mark.parametrize(
    ("name", "before", "after", "preset", "expected"),
    [
        ("max_leverage", "2", "3", "3", True),
        ("max_leverage", "3", "2", "3", False),
        ("max_leverage", None, "4", "3", True),
        ("max_leverage", None, "4", None, False),  # a scope without a number allows whatever the others do
        ("max_leverage", "2", None, None, True),
        ("max_leverage", "4", None, "3", False),
        ("reserve_percent", "10", "5", "10", True),
        ("reserve_percent", "10", "15", "10", False),
        ("max_leverage", "2", "2", "3", False),
    ],
)
def test_a_change_loosens_when_the_scope_allows_more_than_before(
    name: str, before: str | None, after: str | None, preset: str | None, expected: bool
) -> None:
    numbers = [None if text is None else Decimal(text) for text in (before, after, preset)]
    assert loosens(KINDS[name], numbers[0], numbers[1], preset=numbers[2]) is expected


def test_every_limit_has_a_setting_whose_default_it_accepts() -> None:
    for name, kind in KINDS.items():
        assert kind.check(getattr(RiskSettings(), SETTING_OF.get(name, name))) == getattr(DEFAULTS, name)


@pytest.mark.parametrize("value", ["-1", "101", "NaN", "Infinity"])
def test_a_number_outside_its_bounds_is_refused_with_the_bounds(value: str) -> None:
    with pytest.raises(UsageError, match=r"limit max_position_percent .+ % is outside 0 to 100"):
        KINDS["max_position_percent"].check(Decimal(value))


def test_a_misspelt_limit_or_scope_is_answered_with_what_there_is() -> None:
    assert kind_of(" Max-Leverage ").name == "max_leverage"
    with pytest.raises(UsageError, match="did you mean max_leverage"):
        kind_of("max_levarage")
    with pytest.raises(UsageError, match="scope 'acount:x' is none of global, account:NAME"):
        parse_limit_scope("acount:x")
    assert parse_limit_scope("class:defi") == ("class", "DEFI")
    assert parse_limit_scope("asset:btc") == ("asset", "BTC")


def test_classes_go_by_the_base_asset() -> None:
    classes = {name: asset_class(name) for name in ("BTC", "ETH", "DOGE", "uni", "USDC", "SOL", "MATIC", "XYZ")}
    assert [one.value for one in classes.values()] == [
        "CRYPTO", "CRYPTO", "MEME", "DEFI", "STABLECOIN", "LAYER1", "LAYER2", "CRYPTO",
    ]  # fmt: skip
    other = scopes_of(UUID(int=1), None, replace(INSTRUMENT, base="UNI", symbol="UNI/USDT"))
    assert effective(DEFAULTS, [], other, class_defaults=CLASSES, version=0).limits.max_position_percent == 3
