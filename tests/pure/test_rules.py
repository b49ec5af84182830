"""Rules: what they mean bar by bar, that a spelling changes nothing, and what is said of wrong ones."""

import json
import math
from dataclasses import fields
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mastertrade.backtest.options import Exits
from mastertrade.quant.bars import Bars
from mastertrade.quant.columns import Columns, columns_of
from mastertrade.quant.indicators import macd, rsi, sma
from mastertrade.quant.masks import unpacked
from mastertrade.shared.errors import UsageError
from mastertrade.strategies import build, find_look_ahead
from mastertrade.strategies.rule import EXAMPLE, RuleFile
from mastertrade.strategies.rule_evaluation import mask_of, targets_of
from mastertrade.strategies.rule_language import Condition, normal, to_data
from mastertrade.strategies.rule_reading import EXITS, read
from mastertrade.strategies.template import make
from tests.pure.sample_bars import random_walk

Json = Any
RSI: Json = {"indicator": "rsi", "period": 5}
SMA: Json = {"indicator": "sma", "period": 7}


def operands() -> st.SearchStrategy[Json]:
    simple = st.sampled_from(
        [
            "open",
            "close",
            {"price": "close", "ago": 2},
            SMA,
            {**SMA, "of": "high", "ago": 1},
            {"indicator": "macd", "fast": 2, "slow": 5, "signal": 3, "output": "line"},
            {"multiply": [1.01, "close"]},
            {"subtract": [SMA, {"divide": ["close", {"subtract": ["close", "open"]}]}]},
        ]
    )
    return simple | st.integers(95, 105)


def conditions() -> st.SearchStrategy[Json]:
    pairs = st.tuples(operands(), operands()).filter(lambda pair: not all(isinstance(one, int) for one in pair))
    kinds = ("above", "below", "at_least", "at_most", "crosses_above", "crosses_below")
    comparisons = st.sampled_from(kinds).flatmap(lambda kind: pairs.map(lambda pair: {kind: list(pair)}))
    leaves = comparisons | st.just({"between": [RSI, 30, 60.0]}) | st.just({"below": ["low", "low"]})
    return st.recursive(
        leaves,
        lambda inner: st.one_of(
            st.lists(inner, min_size=1, max_size=3).map(lambda parts: {"all": parts}),
            st.lists(inner, min_size=1, max_size=3).map(lambda parts: {"any": parts}),
            inner.map(lambda part: {"not": part}),
            inner.map(lambda part: {"above": [{"bars_since": part}, 2]}),
        ),
        max_leaves=6,
    )


def rule_of(enter: Json, leave: Json) -> Json:
    return {"long": {"enter": enter, "exit": leave}}


def condition_of(data: Json) -> Condition:
    side = read(rule_of(data, {"above": ["close", 1]})).long
    assert side is not None
    return side.enter


class Slowly:
    """The meaning of conditions, one bar at a time and without arrays."""

    def __init__(self, bars: Bars) -> None:
        self.bars = bars
        self.columns = {
            json.dumps(SMA): sma(bars.close, 7),
            json.dumps({**SMA, "of": "high"}): sma(bars.high, 7),
            json.dumps(RSI): rsi(bars.close, 5),
        }
        self.macd_line = macd(bars.close, 2, 5, 3)[0]
        self.told: dict[tuple[int, int, bool], bool] = {}

    def value(self, data: Json, i: int) -> float:
        if isinstance(data, int | float):
            return float(data)
        if isinstance(data, str):
            return float(getattr(self.bars, data)[i])
        if "ago" in data:
            before = i - data["ago"]
            inner = {key: part for key, part in data.items() if key != "ago"}
            return self.value(inner.get("price", inner), before) if before >= 0 else math.nan
        if "indicator" in data:
            column = self.macd_line if data["indicator"] == "macd" else self.columns[json.dumps(data)]
            return float(column[i])
        if "bars_since" in data:
            return next((float(i - j) for j in range(i, -1, -1) if self.is_true(data["bars_since"], j)), math.nan)
        kind, (left, right) = next(iter(data.items()))
        a, b = self.value(left, i), self.value(right, i)
        if kind == "divide":
            return a / b if b else math.nan
        return a * b if kind == "multiply" else a - b

    def is_true(self, data: Json, i: int, wanted: bool = True) -> bool:
        """Whether it holds, or, where not ``wanted``, whether it is known not to."""
        key = (id(data), i, wanted)
        if key not in self.told:
            self.told[key] = self._is_true(data, i, wanted)
        return self.told[key]

    def _is_true(self, data: Json, i: int, wanted: bool) -> bool:
        kind, inner = next(iter(data.items()))
        if kind == "not":
            return self.is_true(inner, i, not wanted)
        if kind in ("all", "any"):
            each = [self.is_true(part, i, wanted) for part in inner]
            return all(each) if (kind == "all") == wanted else any(each)
        if kind == "between":
            value, low, high = (self.value(one, i) for one in inner)
            each = [value >= low, value <= high] if wanted else [value < low, value > high]
            return all(each) if wanted else any(each)
        a, b = (self.value(one, i) for one in inner)
        if kind.startswith("crosses"):
            if i == 0:
                return False
            c, d = (self.value(one, i - 1) for one in inner)
            is_known = not any(map(math.isnan, (a, b, c, d)))
            crosses = a > b and c <= d if kind == "crosses_above" else a < b and c >= d
            return is_known and crosses == wanted
        if math.isnan(a) or math.isnan(b):
            return False
        return {"above": a > b, "below": a < b, "at_least": a >= b, "at_most": a <= b}[kind] == wanted


@settings(max_examples=30, deadline=None)
@given(data=conditions(), seed=st.integers(0, 9))
def test_a_condition_is_true_where_the_slow_reading_of_it_says_so(data: Json, seed: int) -> None:
    bars = random_walk(70, seed)  # more than one word of a mask, and not a whole number of them
    slowly, condition = Slowly(bars), condition_of(data)
    words = mask_of(columns_of(bars), condition)
    assert unpacked(words, len(bars)).tolist() == [slowly.is_true(data, i) for i in range(len(bars))]
    assert int(words[-1]) >> 6 == 0, "no bit stands behind the last bar"


@settings(max_examples=30, deadline=None)
@given(data=conditions())
def test_the_canonical_form_is_a_rule_of_the_same_meaning_that_stays_as_it_is(data: Json) -> None:
    rule = read(rule_of(data, {"below": ["close", SMA]}))
    again = read(rule.canonical)
    assert again.canonical == rule.canonical
    assert again.hash == rule.hash
    columns = Columns(random_walk(70, 3))
    assert targets_of(columns, again).tolist() == targets_of(columns, rule).tolist()
    assert find_look_ahead(lambda bars: targets_of(columns_of(bars), rule), columns, (9, 33, 64, 69)) is None


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"above": ["close", SMA]}, {"below": [SMA, "close"]}),
        ({"not": {"above": ["close", SMA]}}, {"at_most": ["close", SMA]}),
        ({"crosses_below": ["close", SMA]}, {"crosses_above": [SMA, "close"]}),
        ({"between": [RSI, 30, 60]}, {"all": [{"at_most": [RSI, 60.0]}, {"at_least": [RSI, 30.0]}]}),
        ({"above": ["close", {"price": "open"}]}, {"all": [{"any": [{"above": ["close", "open"]}]}]}),
        ({"above": ["close", {"indicator": "sma"}]}, {"above": ["close", {"indicator": "sma", "period": 20.0}]}),
        ({"above": ["close", {"add": ["open", 1]}]}, {"above": ["close", {"add": [{"divide": [4, 4]}, "open"]}]}),
        (
            {"not": {"any": [{"above": ["close", SMA]}, {"below": [RSI, 9]}]}},
            {"all": [{"at_least": [RSI, 9]}, {"at_most": ["close", SMA]}, {"at_least": [RSI, 9]}]},
        ),
    ],
)
def test_spellings_of_one_meaning_are_one_rule(one: Json, other: Json) -> None:
    assert normal(condition_of(one)) == normal(condition_of(other))
    leave = {"below": ["close", SMA]}
    assert read(rule_of(one, leave)).hash == read({"name": "another", **rule_of(other, leave)}).hash


def test_different_rules_have_different_hashes() -> None:
    leave = {"below": ["close", SMA]}
    entries = [{"above": ["close", {"indicator": "sma", "period": period}]} for period in range(2, 30)]
    entries += [{"at_least": ["close", SMA]}, {"crosses_above": ["close", SMA]}, {"above": [SMA, "close"]}]
    assert len({read(rule_of(enter, leave)).hash for enter in entries}) == len(entries)


def test_comparisons_are_computed_once_for_all_rules_that_make_them() -> None:
    columns = Columns(random_walk(200, 1))
    targets_of(columns, read(rule_of({"above": ["close", SMA]}, {"below": ["close", SMA]})))
    kept = columns.kept_bytes
    targets_of(columns, read(rule_of({"below": [SMA, "close"]}, {"not": {"at_least": ["close", SMA]}})))
    assert columns.kept_bytes == kept


def test_a_rule_of_two_sides_turns_round_and_does_nothing_where_both_would_enter() -> None:
    bars = random_walk(400, 5)
    up, down = {"crosses_above": ["close", SMA]}, {"crosses_below": ["close", SMA]}
    quiet = {"above": [{"bars_since": {"any": [up, down]}}, 4]}
    document = {"long": {"enter": up, "exit": quiet}, "short": {"enter": {"any": [down, up]}, "exit": quiet}}
    slowly, held, expected = Slowly(bars), 0.0, []
    for i in range(len(bars)):
        rises, falls = slowly.is_true(up, i), slowly.is_true(down, i)
        held = 0.0 if held and slowly.is_true(quiet, i) else held
        if i >= 7 and falls and not rises:
            held = -1.0
        expected.append(held)
    assert build("rule", {"rule": document}).positions(bars).tolist() == expected
    document["short"] = {"enter": down, "exit": quiet}
    assert set(build("rule", {"rule": document}).positions(bars).tolist()) == {-1.0, 0.0, 1.0}
    only_short = build("rule", {"rule": {"short": document["short"]}}).positions(bars)
    only_long = build("rule", {"rule": {"long": {"enter": down, "exit": quiet}}}).positions(bars)
    assert (only_short == -only_long).all()
    assert only_short.any()


def test_a_rule_reads_as_a_sentence() -> None:
    assert str(read(EXAMPLE)) == (
        "Buy when close is above sma(50) and rsi(14) crosses above 45; "
        "sell when close is below sma(50) or rsi(14) is above 70."
    )
    document = {
        "short": {
            "enter": {
                "all": [
                    {"any": [{"between": [RSI, 30, 60.5]}, {"not": {"above": ["volume", {**SMA, "of": "volume"}]}}]},
                    {"crosses_below": [{"price": "close", "ago": 1}, {"indicator": "bollinger", "output": "lower"}]},
                ]
            },
            "exit": {"above": [{"bars_since": {"above": ["close", {"multiply": [1.01, "open"]}]}}, 3]},
        },
        "exits": {"stop_loss": 0.025, "trailing_atr": 3, "time_bars": 96},
    }
    assert str(read(document)) == (
        "Sell short when (rsi(5) is between 30 and 60.5 or not (volume is above sma(7) of volume)) and "
        "close 1 bar ago crosses below bollinger(20, 2) lower; "
        "buy back when the number of bars since (close is above (1.01 × open)) is above 3. "
        "Stop loss 2.5 %, trailing stop 3 × atr, out after 96 bars."
    )
    assert read(read(document).to_data()) == read(document)


GOOD: Json = {"above": ["close", SMA]}
DEEP: Json = GOOD
for _ in range(20):
    DEEP = {"not": DEEP}


@pytest.mark.parametrize(
    ("document", "words"),
    [
        ({}, "a rule needs long or short, each with enter and exit"),
        ({"lnog": 1}, "key 'lnog' is unknown; the nearest is 'long'"),
        ({"long": 3}, "long: must be an object with enter and exit, not 3"),
        ({"long": {"enter": GOOD}}, "long: has no exit; say when the position is closed"),
        (rule_of({"abov": ["close", 1]}, GOOD), "long.enter: 'abov' is unknown; the nearest is 'above'"),
        (rule_of({"above": ["close", 1], "below": []}, GOOD), "long.enter: must have one key that says what it is"),
        (rule_of({"above": ["close"]}, GOOD), "long.enter.above: must have 2 parts, not 1"),
        (rule_of({"all": []}, GOOD), "long.enter.all: must have 1 to 64 parts, not 0"),
        (rule_of({"all": [GOOD, {"above": ["clos", 1]}]}, GOOD), "long.enter.all[1].above[0]: price 'clos' is unknown"),
        (rule_of({"above": ["close", True]}, GOOD), "long.enter.above[1]: must be a number, a column or an object"),
        (rule_of({"above": [1, 2]}, GOOD), "long.enter.above: compares numbers with numbers only"),
        (
            rule_of(GOOD, {"any": [{"below": ["close", {"indicator": "sma", "period": 5001}]}]}),
            "long.exit.any[0].below[1]: sma: period 5001 is outside 1..5000; the nearest allowed is 5000",
        ),
        (
            rule_of({"above": ["close", {"indicator": "smma"}]}, GOOD),
            "long.enter.above[1]: indicator 'smma' is unknown; the nearest is 'sma'",
        ),
        (
            rule_of({"above": ["close", {"indicator": "sma", "perid": 5}]}, GOOD),
            "sma: 'perid' is unknown; the nearest is 'period'",
        ),
        (
            rule_of({"above": [{"indicator": "macd"}, 0]}, GOOD),
            "macd gives line, signal, histogram: name one of them as output",
        ),
        (
            rule_of({"above": [{"indicator": "macd", "output": "lin"}, 0]}, GOOD),
            "output of macd 'lin' is unknown; the nearest is 'line'",
        ),
        (rule_of({"above": [{"price": "close", "ago": -1}, 0]}, GOOD), ".ago: -1 is outside 0..5000"),
        (rule_of({"above": ["close", float("nan")]}, GOOD), "long.enter.above[1]: must be a number, not nan"),
        (rule_of({"above": ["close", {"divide": ["open", 0]}]}, GOOD), "divide[1]: is 0, by which nothing can be"),
        (rule_of(DEEP, GOOD), "stands deeper than the 16 levels of a rule"),
        (rule_of({"all": [GOOD] * 64}, GOOD), "66 conditions are more than the 64 of a rule"),
        (rule_of(GOOD, GOOD) | {"exits": {"stop_los": 1}}, "exits: key 'stop_los' is unknown; the nearest is"),
        (rule_of(GOOD, GOOD) | {"exits": {"stop_loss": 5}}, "exits.stop_loss: 5 is outside 0.0001..0.99"),
        (rule_of(GOOD, GOOD) | {"exits": {"time_bars": 1.5}}, "exits.time_bars: must be a whole number, not 1.5"),
        (rule_of({"above": ["close", {"parameter": "fats"}]}, GOOD), "long.enter.above[1]: parameter 'fats' is"),
        ("[1]", "a rule is a JSON object with long or short, not [1]"),
        ("{", "this is not JSON: "),
        ('{"long": 1, "long": 2}', "the key 'long' stands twice in one object"),
        ('{"long": NaN}', "NaN is no number"),
        ("[" * 50_000, "the JSON is nested too deep"),
        ("[" * 100_001, "a rule of 100,001 letters is longer than 100,000"),
        (7, "must be a JSON object or its text, not 7"),
    ],
)
def test_what_is_wrong_is_said_with_its_place(document: Json, words: str) -> None:
    with pytest.raises(UsageError) as refused:
        build("rule", {"rule": document})
    assert words in str(refused.value)


def test_everything_that_is_wrong_is_said_at_once() -> None:
    with pytest.raises(UsageError) as refused:
        read(rule_of({"above": ["clos", 1]}, {"below": [{"indicator": "rsi", "period": 0}, 30]}))
    assert len(str(refused.value).splitlines()) == 2


NAMED: Json = {
    "parameters": {
        "slow": {"default": 20, "low": 5, "high": 100},
        "factor": {"default": 1.01, "low": 1.0, "high": 2.0},
    },
    "long": {
        "enter": {"above": ["close", {"multiply": [{"parameter": "factor"}, "open"]}]},
        "exit": {"below": ["close", {"indicator": "sma", "period": {"parameter": "slow"}}]},
    },
}


def test_numbers_that_a_rule_names_can_be_given() -> None:
    built = build("rule", {"rule": NAMED, "slow": 30})
    assert '"period":30' in built.parameters["rule"]
    assert "1.01" in built.parameters["rule"]
    assert build("rule", built.parameters) == built, "what is stored is complete"
    own = make(RuleFile("mine", NAMED), {"slow": 30.0, "factor": 1.5})
    assert own.parameters == {"slow": 30, "factor": 1.5}
    assert own.warm_up == 29
    for given_, words in (
        ({"slow": 101}, "slow 101 is outside 5..100; the nearest allowed is 100"),
        ({"slwo": 10}, "parameter 'slwo' is unknown; the nearest is"),
        ({"slow": 7.5}, "slow must be a whole number, not 7.5"),
    ):
        with pytest.raises(UsageError, match=words.replace(".", r"\.")):
            make(RuleFile("mine", NAMED), given_)


@pytest.mark.parametrize(
    ("parameters", "words"),
    [
        ({"slow": {"default": 20, "low": 0, "high": 100}}, "parameters.slow.low: long.exit.below[1]: sma: period 0 is"),
        ({"slow": {"default": 2, "low": 5, "high": 100}}, "parameters.slow.default: 2 is outside 5..100"),
        ({"slow": {"default": 20, "low": 5}}, "parameters.slow.high: must be a number, not None"),
        ({"Slow": {"default": 20, "low": 5, "high": 9}}, "parameters.Slow: a name is small letters, digits and _"),
        ({"slow": 3}, "parameters.slow: must be an object with default, low and high, not 3"),
        ({"much": {"default": 1, "low": 1, "high": 1}}, "parameters.much: is used nowhere"),
    ],
)
def test_a_wrong_name_for_a_number_is_found_when_the_rule_is_read(parameters: Json, words: str) -> None:
    with pytest.raises(UsageError) as refused:
        RuleFile("mine", {**NAMED, "parameters": NAMED["parameters"] | parameters})
    assert words in str(refused.value)


def test_a_rule_without_its_default_is_refused_where_a_number_has_no_value() -> None:
    with pytest.raises(UsageError, match=r"long\.enter\.above\[1\]\.multiply\[0\]: parameter 'factor' is unknown"):
        build("rule", {"rule": {key: part for key, part in NAMED.items() if key != "parameters"}})


def test_the_exits_of_a_rule_are_those_of_a_backtest() -> None:
    assert set(EXITS) == {one.name for one in fields(Exits)}
    for name, (kind, allowed) in EXITS.items():
        for value in (allowed.low, allowed.high):
            assert getattr(Exits(**{name: kind(value)}), name) == value


def test_evidence_names_what_the_rule_looks_at_and_confidence_how_much_was_fulfilled() -> None:
    bars = random_walk(600, 1)
    enter = {"any": [{"crosses_above": ["close", SMA]}, {"above": [RSI, 99]}]}
    built = build("rule", {"rule": rule_of(enter, {"below": ["close", SMA]})})
    targets = built.positions(bars)
    entry = int(np.argmax(targets))
    assert built.confidence(bars, entry) == 50.0
    assert built.confidence(bars, entry + int(np.argmin(targets[entry:]))) == 100.0
    evidence = built.evidence(bars, entry)
    assert evidence == {"close": bars.close[entry], "sma(7)": sma(bars.close, 7)[entry], "rsi(5)": evidence["rsi(5)"]}
    assert to_data(condition_of(enter)) == enter | {"any": [to_data(condition_of(part)) for part in enter["any"]]}
