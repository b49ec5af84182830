"""A rule as a value: two are the same when their canonical JSON is."""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from hashlib import sha256
from typing import Any, Final

from mastertrade.strategies.rule_language import Condition, Operand, normal, operands_of, to_data, warm_up_of
from mastertrade.strategies.rule_words import condition_words, exit_words

SIDES: Final = ("long", "short")


@dataclass(frozen=True, slots=True)
class Side:
    enter: Condition
    exit: Condition


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """When to be long, and when to be short. ``exits`` end a position besides; a backtest may say otherwise."""

    name: str = ""
    description: str = ""
    long: Side | None = None
    short: Side | None = None
    exits: tuple[tuple[str, float], ...] = ()

    @property
    def sides(self) -> Iterator[Side]:
        return (side for side in (self.long, self.short) if side is not None)

    @property
    def warm_up(self) -> int:
        return max(max(warm_up_of(side.enter), warm_up_of(side.exit)) for side in self.sides)

    @property
    def operands(self) -> list[Operand]:
        """Every price and indicator it looks at, each once."""
        found = (one for side in self.sides for part in (side.enter, side.exit) for one in operands_of(part))
        return list(dict.fromkeys(found))

    @property
    def canonical(self) -> str:
        """The JSON of the rule without its name, the same for every spelling of it."""
        return json.dumps(self.to_data(is_normal=True), sort_keys=True, separators=(",", ":"))

    @property
    def hash(self) -> str:
        return sha256(self.canonical.encode()).hexdigest()

    def to_data(self, *, is_normal: bool = False) -> dict[str, Any]:
        form: Callable[[Condition], Condition] = normal if is_normal else lambda condition: condition
        named = {} if is_normal else {"name": self.name, "description": self.description}
        data: dict[str, Any] = {key: text for key, text in named.items() if text}
        for name in SIDES:
            side: Side | None = getattr(self, name)
            if side is not None:
                data[name] = {"enter": to_data(form(side.enter)), "exit": to_data(form(side.exit))}
        return data | ({"exits": dict(self.exits)} if self.exits else {})

    def __str__(self) -> str:
        said = []
        if self.long is not None:
            said.append(f"Buy when {condition_words(self.long.enter)}; sell when {condition_words(self.long.exit)}.")
        if self.short is not None:
            enter, leave = condition_words(self.short.enter), condition_words(self.short.exit)
            said.append(f"Sell short when {enter}; buy back when {leave}.")
        also = exit_words(dict(self.exits))
        return " ".join([*said, f"{also[0].upper()}{also[1:]}." if also else ""]).strip()
