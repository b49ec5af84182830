"""Strategies made by chance: rules over indicators with exits of their own, the same for the same seed, no two alike.

What is drawn, and how likely, is the older system's: four families, relative strength, convergence of averages, bands,
crossing averages and volume, stops of half a percent to two and a half, targets of one percent to five.
"""

import json
import random
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from mastertrade.strategies.rule_reading import read

FAMILIES: Final = ("momentum", "mean_reversion", "breakout", "hybrid")
MOST_TRIES: Final = 200
"""Draws for one strategy that is not there yet; the space holds many millions."""
Operand = dict[str, Any] | str | float
Condition = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Generated:
    """``rule`` is the JSON text of the rule, ``exits`` are options of a backtest, as fractions."""

    rule: str
    exits: Mapping[str, float]

    @property
    def parameters(self) -> dict[str, Any]:
        """As a trial of the strategy ``rule`` takes them."""
        return {"rule": self.rule, **self.exits}


def generate(count: int, *, seed: int = 0) -> list[Generated]:
    """``count`` different strategies. The first ones of a larger count are those of a smaller one."""
    chance, seen = random.Random(seed), set[str]()
    return [_another(chance, seen, number) for number in range(count)]


def _another(chance: random.Random, seen: set[str], number: int) -> Generated:
    for _ in range(MOST_TRIES):
        family = chance.choice(FAMILIES)
        enter, leave = _FAMILIES[family](chance)
        document = {
            "name": f"{family} {number}",
            "long": {"enter": {"all": list(enter)}, "exit": {"any": list(leave)}},
        }
        exits = _exits(chance)
        key = read(document).canonical + json.dumps(exits, sort_keys=True)
        if key not in seen:
            seen.add(key)
            return Generated(rule=json.dumps(document, separators=(",", ":")), exits=exits)
    raise RuntimeError(f"{MOST_TRIES} draws gave nothing new after {number} strategies")


def _exits(chance: random.Random) -> dict[str, float]:
    found = {"stop_loss": chance.randrange(5, 26) / 1000, "take_profit": chance.randrange(10, 51) / 1000}
    if chance.random() < 0.3:
        found["trailing"] = chance.randrange(5, 21) / 1000
    return found


def _momentum(chance: random.Random) -> tuple[Iterator[Condition], Iterator[Condition]]:
    rsi = _rsi(chance)
    enters, leaves = [{"above": [rsi, 50]}], [{"below": [rsi, chance.choice([35, 40, 45])]}]
    if chance.random() < 0.7:
        line, signal = _macd(chance)
        enters.append({chance.choice(["above", "crosses_above"]): [line, signal]})
        leaves.append({"crosses_below": [line, signal]})
    if chance.random() < 0.5:
        fast, slow = _averages(chance)
        enters.append({"above": [fast, slow]})
        leaves.append({"crosses_below": [fast, slow]})
    return iter([*enters, *_volume(chance)]), iter(leaves)


def _mean_reversion(chance: random.Random) -> tuple[Iterator[Condition], Iterator[Condition]]:
    rsi, bands = _rsi(chance), _bollinger(chance)
    enters = [{"below": [rsi, chance.choice([15, 20, 25, 30, 35])]}]
    leaves = [{"above": [rsi, chance.choice([50, 60, 65, 70])]}]
    if chance.random() < 0.7:
        enters.append({chance.choice(["below", "crosses_below"]): ["close", bands("lower")]})
        leaves.append({"above": ["close", bands(chance.choice(["middle", "upper"]))]})
    if chance.random() < 0.4:
        enters.append({"above": ["close", _average(chance.choice([50, 100, 200]))]})
    return iter([*enters, *_volume(chance)]), iter(leaves)


def _breakout(chance: random.Random) -> tuple[Iterator[Condition], Iterator[Condition]]:
    period = chance.choice([20, 40, 60, 120])
    highest = {"indicator": "donchian", "period": period, "output": "upper", "ago": 1}
    lowest = {"indicator": "donchian", "period": period // 2, "output": "lower", "ago": 1}
    enters: list[Condition] = [{"above": ["close", highest]}]
    leaves: list[Condition] = [{"below": ["close", lowest]}]
    if chance.random() < 0.5:
        bands = _bollinger(chance)
        enters.append({"above": ["close", bands("upper")]})
        leaves.append({"below": ["close", bands("middle")]})
    if chance.random() < 0.5:
        enters.append({"above": [_rsi(chance), chance.choice([50, 55, 60])]})
    return iter([*enters, *_volume(chance)]), iter(leaves)


def _hybrid(chance: random.Random) -> tuple[Iterator[Condition], Iterator[Condition]]:
    fast, slow = _averages(chance)
    rsi, (line, signal) = _rsi(chance), _macd(chance)
    enters: list[Condition] = [{"above": [fast, slow]}, {"above": [rsi, chance.choice([40, 45, 50])]}]
    leaves: list[Condition] = [{"below": [fast, slow]}, {"above": [rsi, chance.choice([70, 75, 80, 85])]}]
    if chance.random() < 0.7:
        enters.append({"above": [line, signal]})
    return iter([*enters, *_volume(chance)]), iter(leaves)


def _rsi(chance: random.Random) -> Operand:
    return {"indicator": "rsi", "period": chance.choice([7, 14, 21, 28])}


def _macd(chance: random.Random) -> tuple[Operand, Operand]:
    numbers = {
        "fast": chance.choice([8, 12, 16]),
        "slow": chance.choice([21, 26, 30]),
        "signal": chance.choice([7, 9, 11]),
    }
    both = [{"indicator": "macd", **numbers, "output": output} for output in ("line", "signal")]
    return both[0], both[1]


def _bollinger(chance: random.Random) -> Callable[[str], Operand]:
    numbers = {"period": chance.choice([15, 20, 25]), "deviations": chance.choice([1.5, 1.75, 2.0, 2.25, 2.5])}
    return lambda output: {"indicator": "bollinger", **numbers, "output": output}


def _averages(chance: random.Random) -> tuple[Operand, Operand]:
    kind = chance.choice(["sma", "ema"])
    return _average(chance.choice([5, 10, 20]), kind), _average(chance.choice([50, 100, 200]), kind)


def _average(period: int, kind: str = "sma") -> Operand:
    return {"indicator": kind, "period": period}


def _volume(chance: random.Random) -> list[Condition]:
    if chance.random() >= 0.6:
        return []
    mean = {"indicator": "sma", "of": "volume", "period": chance.choice([10, 20, 30])}
    return [{"above": ["volume", {"multiply": [mean, chance.choice([1.2, 1.4, 1.6, 1.8, 2.0])]}]}]


_FAMILIES: Final[Mapping[str, Callable[[random.Random], tuple[Iterator[Condition], Iterator[Condition]]]]] = {
    "momentum": _momentum,
    "mean_reversion": _mean_reversion,
    "breakout": _breakout,
    "hybrid": _hybrid,
}
