"""Rule: entry and exit conditions over indicators, written as JSON. What generated strategies are made of."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Annotated, Any, Final

import numpy as np

from mastertrade.quant.bars import FloatArray
from mastertrade.quant.columns import Columns
from mastertrade.quant.masks import BITS, Words
from mastertrade.strategies.rule_evaluation import held, mask_of, targets_of, values_of
from mastertrade.strategies.rule_language import Condition, Every, Some
from mastertrade.strategies.rule_parameters import bound, named_parameters, parameter_type_of
from mastertrade.strategies.rule_reading import BadRule, load, read
from mastertrade.strategies.rule_value import Rule
from mastertrade.strategies.rule_words import operand_words
from mastertrade.strategies.template import SIGNAL_FREE, Parameters, changes_at

EXAMPLE: Final[Mapping[str, Any]] = {
    "name": "pullback in a rising market",
    "long": {
        "enter": {
            "all": [
                {"above": ["close", {"indicator": "sma", "period": 50}]},
                {"crosses_above": [{"indicator": "rsi", "period": 14}, 45]},
            ]
        },
        "exit": {
            "any": [
                {"below": ["close", {"indicator": "sma", "period": 50}]},
                {"above": [{"indicator": "rsi", "period": 14}, 70]},
            ]
        },
    },
}
"""What the template does when no rule is given, and what a new rule file begins with."""


@dataclass(frozen=True, slots=True)
class RuleText:
    """Marks the parameter that is a whole rule, as a number's ``Range`` marks a number."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RuleParameters(Parameters):
    """``rule`` is the JSON text of a rule with every number in its place."""

    rule: Annotated[str, RuleText()] = json.dumps(EXAMPLE, separators=(",", ":"))

    def __post_init__(self) -> None:
        read(self.rule)


class RuleTemplate:
    """The rule itself is its parameter; numbers the rule names are given beside it."""

    name = "rule"
    legacy_type = "RULE"
    parameter_type = RuleParameters

    def prepare(self, parameters: Mapping[str, Any]) -> dict[str, Any]:
        """The parameters as they are stored: the rule as one text, named numbers written into it."""
        given = dict(parameters)
        rule = given.pop("rule", None)
        if rule is None:
            return given
        document = load(rule) if isinstance(rule, str) else rule
        if not isinstance(document, Mapping):
            raise BadRule(f"rule: must be a JSON object or its text, not {document!r:.60}")
        named = named_parameters(document)
        type_of_values = parameter_type_of("rule", named)
        own = {name: given.pop(name) for name in named if name in given}
        type_of_values(**{name: _whole(value, named[name].kind) for name, value in own.items()})
        return {"rule": json.dumps(bound(document, own), separators=(",", ":"))} | given

    def warm_up(self, params: RuleParameters) -> int:
        return read(params.rule).warm_up

    def positions(self, columns: Columns, params: RuleParameters) -> FloatArray:
        return targets_of(columns, read(params.rule))

    def mask(self, columns: Columns, params: RuleParameters) -> Words | None:
        return held(columns, read(params.rule))

    def evidence(self, columns: Columns, params: RuleParameters, i: int) -> dict[str, float]:
        return evidence_of(columns, read(params.rule), i)

    def confidence(self, columns: Columns, params: RuleParameters, i: int) -> float:
        return confidence_of(columns, read(params.rule), i)


class RuleFile:
    """A rule with a name of its own, whose parameters are those it names."""

    legacy_type = "RULE"

    def __init__(self, name: str, document: Mapping[str, Any]) -> None:
        self.name = name
        self.document = document
        self.parameter_type = parameter_type_of(name, named_parameters(document))
        self.rule = lru_cache(maxsize=1024)(self._rule)

    def __reduce__(self) -> Any:
        return RuleFile, (self.name, self.document)

    def _rule(self, params: Parameters) -> Rule:
        values = {name: getattr(params, name) for name in self.document.get("parameters", {})}
        return read(bound(self.document, values))

    def warm_up(self, params: Parameters) -> int:
        return self.rule(params).warm_up

    def positions(self, columns: Columns, params: Parameters) -> FloatArray:
        return targets_of(columns, self.rule(params))

    def mask(self, columns: Columns, params: Parameters) -> Words | None:
        return held(columns, self.rule(params))

    def evidence(self, columns: Columns, params: Parameters, i: int) -> dict[str, float]:
        return evidence_of(columns, self.rule(params), i)

    def confidence(self, columns: Columns, params: Parameters, i: int) -> float:
        return confidence_of(columns, self.rule(params), i)


def evidence_of(columns: Columns, rule: Rule, i: int) -> dict[str, float]:
    """Everything the rule looks at, by its words."""
    found = {"close": float(columns.close[i])}
    for operand in rule.operands:
        values = values_of(columns, operand)
        value = float(values if isinstance(values, float | int) else values[i])
        if np.isfinite(value):
            found[operand_words(operand)] = value
    return found


def confidence_of(columns: Columns, rule: Rule, i: int) -> float:
    """How much of the condition that changed the target was fulfilled: 100 where all its parts were."""
    targets = targets_of(columns, rule)
    if not changes_at(targets, i):
        return SIGNAL_FREE
    place = range(len(targets))[i]
    before, now = (float(targets[place - 1]) if place else 0.0), float(targets[place])
    side = rule.long if max(before, now) > 0.0 and now >= 0.0 else rule.short
    assert side is not None, "a target comes from a side of the rule"
    condition = side.enter if now else side.exit
    parts = condition.parts if isinstance(condition, Every | Some) else (condition,)
    return 100.0 * sum(_is_true(columns, part, place) for part in parts) / len(parts)


def _is_true(columns: Columns, condition: Condition, place: int) -> bool:
    word = int(mask_of(columns, condition)[place // BITS])
    return bool(word >> (place % BITS) & 1)


def _whole(value: Any, kind: type) -> Any:
    return int(value) if kind is int and isinstance(value, float) and value.is_integer() else value
