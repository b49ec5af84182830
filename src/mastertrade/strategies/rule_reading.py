"""Rules out of JSON. Everything that is wrong is said, each with its place in the document."""

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, Final, TypeVar

from mastertrade.quant.indicators.catalogue import CATALOGUE, LONGEST, PRICES
from mastertrade.shared.errors import UsageError
from mastertrade.strategies.rule_language import (
    ARITHMETIC,
    COMPARISONS,
    Arithmetic,
    BarsSince,
    Between,
    Column,
    Comparison,
    Condition,
    Every,
    IndicatorValue,
    Not,
    Number,
    Operand,
    Some,
    calculated,
    operands_of,
    shortest,
)
from mastertrade.strategies.rule_value import SIDES, Rule, Side
from mastertrade.strategies.template import Range, nearest_name

MOST_LETTERS: Final = 100_000
DEEPEST: Final = 16
MOST_PARTS: Final = 64
"""Limits of a document; a rule that needs more is several rules."""
MOST_FAULTS: Final = 20
"""Faults that are said at once."""
LARGEST: Final = 1e15
KEYS: Final = ("name", "description", "parameters", "long", "short", "exits")
EXITS: Final[dict[str, tuple[type, Range]]] = {
    "stop_loss": (float, Range(low=0.0001, high=0.99)),
    "take_profit": (float, Range(low=0.0001, high=100)),
    "trailing": (float, Range(low=0.0001, high=0.99)),
    "break_even": (float, Range(low=0.0001, high=100)),
    "stop_atr": (float, Range(low=0.01, high=100)),
    "target_atr": (float, Range(low=0.01, high=1000)),
    "trailing_atr": (float, Range(low=0.01, high=100)),
    "time_bars": (int, Range(low=1, high=1_000_000)),
    "atr_period": (int, Range(low=1, high=LONGEST)),
}
"""What ends a position besides the conditions; the names are those of a backtest's exits."""


class BadRule(UsageError):
    """The rule cannot be used."""


def load(text: str) -> Mapping[str, Any]:
    """The JSON object of a rule's text."""
    if len(text) > MOST_LETTERS:
        raise BadRule(f"a rule of {len(text):,} letters is longer than {MOST_LETTERS:,}")
    try:
        data = json.loads(text, object_pairs_hook=_each_once, parse_constant=_refused)
    except RecursionError:
        raise BadRule(f"the JSON is nested too deep; a rule goes {DEEPEST} levels at most") from None
    except ValueError as error:
        raise BadRule(f"this is not JSON: {error}") from None
    if not isinstance(data, dict):
        raise BadRule(f"a rule is a JSON object with long or short, not {_shown(data)}")
    return data


def read(document: Mapping[str, Any] | str) -> Rule:
    """The rule of a document whose parameters have their values; BadRule lists what is wrong."""
    if isinstance(document, str):
        return _read_text(document)
    return _Reader().rule(document)


@lru_cache(maxsize=4096)
def _read_text(text: str) -> Rule:
    return _Reader().rule(load(text))


def _each_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"the key {twice!r} stands twice in one object")
    return found


def _refused(word: str) -> Any:
    raise ValueError(f"{word} is no number")


T = TypeVar("T")


@dataclass
class _Reader:
    """Each method reads what stands at a path, and gives None where it could not; the faults are kept."""

    faults: list[str] = field(default_factory=list)
    parts: int = 0

    def rule(self, document: Mapping[str, Any]) -> Rule:
        self.keys(document, KEYS, "")
        sides = {name: self.side(document[name], name) for name in SIDES if name in document}
        if not sides and not self.faults:
            self.fault("", "a rule needs long or short, each with enter and exit")
        exits = self.exits(document.get("exits", {}))
        names = {key: self.text(document.get(key, ""), key) for key in ("name", "description")}
        if self.parts > MOST_PARTS:
            self.fault("", f"{self.parts} conditions are more than the {MOST_PARTS} of a rule")
        if self.faults:
            more = len(self.faults) - MOST_FAULTS
            shown = self.faults[:MOST_FAULTS] + ([f"and {more} more"] if more > 0 else [])
            raise BadRule("\n".join(shown))
        return Rule(long=sides.get("long"), short=sides.get("short"), exits=exits, **names)

    def fault(self, path: str, words: str) -> None:
        self.faults.append(f"{path}: {words}" if path else words)

    def keys(self, data: Mapping[str, Any], known: Sequence[str], path: str) -> None:
        for name in data:
            if name not in known:
                self.fault(path, f"key {nearest_name(str(name), dict.fromkeys(known))}")

    def text(self, value: Any, path: str) -> str:
        if isinstance(value, str) and len(value) <= 2000:
            return value
        self.fault(path, f"must be a text of at most 2000 letters, not {_shown(value)}")
        return ""

    def side(self, data: Any, path: str) -> Side | None:
        if not isinstance(data, Mapping):
            return self.no(path, f"must be an object with enter and exit, not {_shown(data)}")
        self.keys(data, ("enter", "exit"), path)
        read = [self.condition(data[name], f"{path}.{name}", 1) for name in ("enter", "exit") if name in data]
        for name in ("enter", "exit"):
            if name not in data:
                self.fault(path, f"has no {name}; say when the position is {'opened' if name == 'enter' else 'closed'}")
        return Side(*read) if len(read) == 2 and None not in read else None  # type: ignore[arg-type]

    def exits(self, data: Any) -> tuple[tuple[str, float], ...]:
        if not isinstance(data, Mapping):
            self.fault("exits", f"must be an object such as {{'stop_loss': 0.02}}, not {_shown(data)}")
            return ()
        self.keys(data, tuple(EXITS), "exits")
        given = {name: self.number(data[name], f"exits.{name}", *EXITS[name]) for name in EXITS if name in data}
        return tuple((name, value) for name, value in sorted(given.items()) if value is not None)

    def condition(self, data: Any, path: str, depth: int) -> Condition | None:
        self.parts += 1
        found = self.single(data, path, depth, "a condition", (*COMPARISONS, "between", "all", "any", "not"))
        if found is None:
            return None
        kind, inner = found
        here = f"{path}.{kind}"
        if kind == "not":
            part = self.condition(inner, here, depth + 1)
            return None if part is None else Not(part)
        if kind in ("all", "any"):
            parts: tuple[Condition, ...] | None = self.several(
                inner, here, lambda one, where: self.condition(one, where, depth + 1), least=1
            )
            return None if parts is None else Every(parts) if kind == "all" else Some(parts)
        count = 3 if kind == "between" else 2
        operands: tuple[Operand, ...] | None = self.several(
            inner, here, lambda one, where: self.operand(one, where, depth + 1), least=count, most=count
        )
        if operands is None:
            return None
        if not any(True for operand in operands for _ in operands_of(operand)):
            return self.no(here, "compares numbers with numbers only: it is always or never true")
        return Between(*operands) if kind == "between" else Comparison(kind, *operands)

    def operand(self, data: Any, path: str, depth: int) -> Operand | None:
        if isinstance(data, str):
            return self.column(data, path, 0)
        if isinstance(data, int | float) and not isinstance(data, bool):
            number = self.number(data, path, float, Range(low=-LARGEST, high=LARGEST))
            return None if number is None else Number(number)
        if isinstance(data, Mapping) and "price" in data:
            self.keys(data, ("price", "ago"), path)
            return self.column(data["price"], f"{path}.price", self.ago(data, path))
        if isinstance(data, Mapping) and "indicator" in data:
            return self.indicator(data, path)
        known = (*ARITHMETIC, "bars_since", "price", "indicator")
        found = self.single(data, path, depth, "a number, a column or an object", known)
        if found is None:
            return None
        kind, inner = found
        if kind == "bars_since":
            condition = self.condition(inner, f"{path}.bars_since", depth + 1)
            return None if condition is None else BarsSince(condition)
        sides: tuple[Operand, ...] | None = self.several(
            inner, f"{path}.{kind}", lambda one, where: self.operand(one, where, depth + 1), least=2, most=2
        )
        if sides is None:
            return None
        return self.arithmetic(kind, *sides, path=f"{path}.{kind}")

    def arithmetic(self, kind: str, left: Operand, right: Operand, *, path: str) -> Operand | None:
        if kind == "divide" and isinstance(right, Number) and right.value == 0:
            return self.no(f"{path}[1]", "is 0, by which nothing can be divided")
        if not (isinstance(left, Number) and isinstance(right, Number)):
            return Arithmetic(kind, left, right)
        value = calculated(kind, left.value, right.value)
        return Number(value) if abs(value) <= LARGEST else self.no(path, f"is {value:g}, beyond {LARGEST:g}")

    def column(self, name: Any, path: str, ago: int | None) -> Operand | None:
        if not isinstance(name, str) or name not in PRICES:
            return self.no(path, f"price {nearest_name(str(name), dict.fromkeys(PRICES))}")
        return None if ago is None else Column(name, ago)

    def indicator(self, data: Mapping[str, Any], path: str) -> Operand | None:
        name = data["indicator"]
        if not isinstance(name, str) or name not in CATALOGUE:
            return self.no(path, f"indicator {nearest_name(str(name), CATALOGUE)}")
        indicator, ago = CATALOGUE[name], self.ago(data, path)
        output = data.get("output", indicator.outputs[0] if len(indicator.outputs) == 1 else None)
        own = {key: value for key, value in data.items() if key not in ("indicator", "output", "ago")}
        try:
            arguments = indicator.arguments(own)
        except ValueError as error:
            return self.no(path, str(error))
        if output is None:
            return self.no(path, f"{name} gives {', '.join(indicator.outputs)}: name one of them as output")
        if output not in indicator.outputs:
            known = dict.fromkeys(indicator.outputs)
            return self.no(path, f"output of {name} {nearest_name(str(output), known)}")
        plain = tuple((key, shortest(value)) for key, value in arguments.items())
        return None if ago is None else IndicatorValue(name, plain, output, ago)

    def ago(self, data: Mapping[str, Any], path: str) -> int | None:
        """Never below 0: a later bar is not known."""
        value = self.number(data.get("ago", 0), f"{path}.ago", int, Range(low=0, high=LONGEST))
        return None if value is None else int(value)

    def number(self, value: Any, path: str, kind: type, allowed: Range) -> float | None:
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        if not is_number or not math.isfinite(value) or (kind is int and value != int(value)):
            return self.no(path, f"must be a {'whole ' if kind is int else ''}number, not {_shown(value)}")
        if not allowed.low <= value <= allowed.high:
            nearest = allowed.nearest(value)
            return self.no(
                path, f"{value:g} is outside {allowed.low:g}..{allowed.high:g}; the nearest allowed is {nearest:g}"
            )
        return float(shortest(value)) if kind is float else int(value)

    def single(self, data: Any, path: str, depth: int, what: str, known: Sequence[str]) -> tuple[str, Any] | None:
        """The one key of an object, which says what it is, and what it holds."""
        if depth > DEEPEST:
            return self.no(path, f"stands deeper than the {DEEPEST} levels of a rule")
        if not isinstance(data, Mapping):
            return self.no(path, f"must be {what}, not {_shown(data)}; known: {', '.join(known)}")
        if len(data) != 1:
            return self.no(path, f"must have one key that says what it is, not {', '.join(data) or 'none'}")
        kind, inner = next(iter(data.items()))
        if kind not in known:
            return self.no(path, nearest_name(str(kind), dict.fromkeys(known)))
        return kind, inner

    def several(
        self, data: Any, path: str, read: Callable[[Any, str], T | None], *, least: int, most: int = MOST_PARTS
    ) -> tuple[T, ...] | None:
        if not isinstance(data, list | tuple):
            return self.no(path, f"must be a list, not {_shown(data)}")
        if not least <= len(data) <= most:
            wanted = str(least) if least == most else f"{least} to {most}"
            return self.no(path, f"must have {wanted} parts, not {len(data)}")
        found = [read(one, f"{path}[{place}]") for place, one in enumerate(data)]
        return None if None in found else tuple(found)  # type: ignore[arg-type]

    def no(self, path: str, words: str) -> T | None:
        """Nothing, and the fault."""
        self.fault(path, words)
        return None


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
