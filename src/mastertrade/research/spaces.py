"""What a sweep tries, as people type it and as it is stored."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from mastertrade.backtest.samplers import Choice, Space, Span
from mastertrade.shared.errors import UsageError

FORM: Final = "write name=low:high:step, name=low:high (log: name=log:low:high), or name=5,10,20"


def space_of(texts: Sequence[str]) -> dict[str, Choice]:
    """Of ``fast=5:50:5`` and ``slow=20,50,100``."""
    found: dict[str, Choice] = {}
    for text in texts:
        name, is_pair, values = (part.strip() for part in text.partition("="))
        if not (name and is_pair and values):
            raise UsageError(f"{text!r} is not a choice of values; {FORM}")
        if name in found:
            raise UsageError(f"{name} was given twice; give all its values at once")
        found[name] = _choice(text, values)
    return found


def parameters_of(texts: Sequence[str]) -> dict[str, Any]:
    """Of ``fast=10``: whole numbers, numbers, true and false, and anything else as text."""
    found: dict[str, Any] = {}
    for text in texts:
        name, is_pair, value = (part.strip() for part in text.partition("="))
        if not (name and is_pair and value):
            raise UsageError(f"{text!r} is not a parameter; write name=value")
        if name in found:
            raise UsageError(f"{name} was given twice")
        found[name] = _value(value)
    return found


def to_settings(space: Space) -> dict[str, Any]:
    return {
        name: {"low": choice.low, "high": choice.high, "step": choice.step, "is_log": choice.is_log}
        if isinstance(choice, Span)
        else list(choice)
        for name, choice in space.items()
    }


def from_settings(stored: Mapping[str, Any]) -> dict[str, Choice]:
    return {name: Span(**choice) if isinstance(choice, Mapping) else choice for name, choice in stored.items()}


def _choice(text: str, values: str) -> Choice:
    is_log = values.startswith("log:")
    parts = values.removeprefix("log:").split(":")
    if len(parts) == 1 and not is_log:
        return [_value(value.strip()) for value in values.split(",") if value.strip()]
    numbers = [_value(part) for part in parts]
    if len(numbers) not in ((2,) if is_log else (2, 3)) or not all(_is_number(one) for one in numbers):
        raise UsageError(f"{text!r} is not a span; {FORM}")
    low, high, *step = numbers
    return Span(low=low, high=high, step=step[0] if step else None, is_log=is_log)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _value(text: str) -> Any:
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return {"true": True, "false": False}.get(text.lower(), text)
