"""A rule as a sentence."""

from mastertrade.quant.indicators.catalogue import CATALOGUE
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
)


def condition_words(condition: Condition, *, is_inside: bool = False) -> str:
    """``is_inside`` another condition, it stands in brackets where it has several parts."""
    match condition:
        case Comparison(kind, left, right):
            return f"{operand_words(left)} {COMPARISONS[kind]} {operand_words(right)}"
        case Between(value, low, high):
            return f"{operand_words(value)} is between {operand_words(low)} and {operand_words(high)}"
        case Not(part):
            return f"not ({condition_words(part)})"
        case Every(parts) | Some(parts):
            word = " and " if isinstance(condition, Every) else " or "
            text = word.join(condition_words(part, is_inside=True) for part in parts)
            return f"({text})" if is_inside and len(parts) > 1 else text


def operand_words(operand: Operand) -> str:
    match operand:
        case Number(value):
            return f"{value:.12g}"
        case Column(name, ago):
            return name + _ago(ago)
        case IndicatorValue(name, arguments, output, ago):
            return _indicator_words(name, dict(arguments), output) + _ago(ago)
        case Arithmetic(kind, left, right):
            return f"({operand_words(left)} {ARITHMETIC[kind]} {operand_words(right)})"
        case BarsSince(condition):
            return f"the number of bars since ({condition_words(condition)})"


def _indicator_words(name: str, arguments: dict[str, float | str], output: str) -> str:
    indicator = CATALOGUE[name]
    given = ", ".join(f"{arguments[parameter.name]:.12g}" for parameter in indicator.parameters)
    read = " and ".join(str(arguments[one]) for one in indicator.of)
    is_usual = all(arguments[one] == usual for one, usual in indicator.of.items())
    words = f"{name}({given})" if given else name
    words += "" if is_usual else f" of {read}"
    return words if len(indicator.outputs) == 1 else f"{words} {output}"


def _ago(bars: int) -> str:
    return "" if bars == 0 else f" {bars} bar{'' if bars == 1 else 's'} ago"


def exit_words(exits: dict[str, float]) -> str:
    """What ends a position besides the conditions, or nothing."""
    shares = {
        "stop_loss": "stop loss",
        "take_profit": "take profit",
        "trailing": "trailing stop",
        "break_even": "break even after",
    }
    ranges = {"stop_atr": "stop loss", "target_atr": "take profit", "trailing_atr": "trailing stop"}
    parts = [f"{words} {exits[name] * 100:.4g} %" for name, words in shares.items() if exits.get(name)]
    parts += [f"{words} {exits[name]:.4g} × atr" for name, words in ranges.items() if exits.get(name)]
    parts += [f"out after {exits['time_bars']:.0f} bars"] if exits.get("time_bars") else []
    return ", ".join(parts)
