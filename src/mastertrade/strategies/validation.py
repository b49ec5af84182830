"""What a strategy must keep before anybody believes its backtest: no look at the future, the same answer twice, nothing
held before its warm-up, a target at every bar whatever the market does, and nothing read but its bars."""

import math
import random
import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from functools import partial
from typing import Any, Final, Literal

import numpy as np

from mastertrade.quant.bars import Bars, FloatArray
from mastertrade.quant.columns import columns_of, together
from mastertrade.shared.errors import UsageError
from mastertrade.strategies.look_ahead import LookAhead, find_look_ahead
from mastertrade.strategies.purity import reaches_of
from mastertrade.strategies.template import Built, Template, make, ranges, reads_markets
from mastertrade.strategies.validation_bars import MOST_BARS, flat, simulated, wild

DRAWN_SETS: Final = 3
"""Sets of parameters drawn beside the defaults and the ends of the ranges."""
PREFIXES: Final = 160
"""Lengths of history a set of parameters is asked on, drawn from all; besides the shortest ones and the last ones."""
IN_A_ROW: Final = 24
SHORT: Final = (1, 2, 3, 5, 10)
SIMULATED: Final = "simulated, 5m"
FURTHEST: Final = 64
"""Bars behind a broken target within which one may settle it; as many more must agree."""
USUAL_SECONDS: Final = 60.0
QUICK: Final = 0.0005
"""A run that takes no more than this part of the time leaves enough for all there is to ask."""
RUNS_BESIDES: Final = 8.0
"""Runs on all bars that a set of parameters takes besides its shorter histories, which take half of one on average."""
FEWEST_PREFIXES: Final = 12

State = Literal["passed", "failed", "warning"]
Show = Callable[[int, int], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    name: str
    state: State
    said: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """A look-ahead with the moment of the bar, and how many bars later its target was settled; None: not within those
    looked through, as where all bars together decide."""

    look: LookAhead
    at: datetime
    parameters: Mapping[str, Any]
    settled_after: int | None

    def __str__(self) -> str:
        look = self.look
        late = (
            f"it settles only {self.settled_after} bar{'s' * (self.settled_after > 1)} later"
            if self.settled_after
            else f"it is not settled {FURTHEST} bars later either: something is computed over all bars at once"
        )
        return (
            f"the target of bar {look.bar}, {self.at:%Y-%m-%d %H:%M}, was {look.target_then:g} when "
            f"{look.bars_known:,} bars were known, and is {look.target_later:g} with all of them; {late}"
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    strategy: str
    source: str
    bars: int
    checks: Sequence[Check]
    look_ahead: Found | None = None
    bars_per_second: float | None = None

    @property
    def passed(self) -> bool:
        return all(check.state != "failed" for check in self.checks)

    def to_data(self) -> dict[str, Any]:
        found = self.look_ahead
        return {
            "strategy": self.strategy,
            "passed": self.passed,
            "source": self.source,
            "bars": self.bars,
            "bars_per_second": self.bars_per_second,
            "checks": [asdict(check) for check in self.checks],
            "look_ahead": None
            if found is None
            else {
                **asdict(found.look),
                "time": found.at,
                "parameters": dict(found.parameters),
                "settled_after": found.settled_after,
            },
        }


def validate(
    template: Template[Any],
    bars: Bars | None = None,
    *,
    source: str = "bars",
    parameters: Mapping[str, Any] | None = None,
    seconds: float = USUAL_SECONDS,
    show: Show | None = None,
) -> Verdict:
    """On these bars (the last of them, where they are many), else on simulated ones. ``parameters`` stay as given; the
    others are tried at their defaults, at their ends, and drawn. A strategy too slow for all of that in ``seconds`` is
    asked less, and the checks say how much."""
    if bars is None:
        market, source = _among_others(simulated(), template), SIMULATED
    elif reads_markets(template):
        raise UsageError(f"{template.name} compares markets, and is checked on simulated ones: name no candles")
    else:
        market = bars[-MOST_BARS:]
    sets = parameter_sets(template, parameters or {})
    work = _Work(template=template, market=market, sets=sets, seconds=seconds, show=show)
    known_draws = random.getstate(), np.random.get_state()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a division by zero shows in the targets, or does no harm
        checks = list(work.checks())
    random.setstate(known_draws[0])
    np.random.set_state(known_draws[1])
    return Verdict(
        strategy=template.name,
        source=source,
        bars=len(market),
        checks=checks,
        look_ahead=work.found,
        bars_per_second=work.bars_per_second,
    )


def parameter_sets(template: Template[Any], given: Mapping[str, Any]) -> list[Built[Any]]:
    """The defaults, the low ends, the high ends, and some drawn; without those that contradict themselves."""
    free = {
        name: (kind, allowed)
        for name, (kind, allowed) in ranges(template.parameter_type).items()
        if name not in given and kind in (int, float)
    }
    numbers = random.Random(7)
    wanted: list[dict[str, Any]] = [{}]
    wanted += [{name: kind(getattr(allowed, end)) for name, (kind, allowed) in free.items()} for end in ("low", "high")]
    wanted += [
        {
            name: numbers.randint(int(allowed.low), int(allowed.high))
            if kind is int
            else numbers.uniform(allowed.low, allowed.high)
            for name, (kind, allowed) in free.items()
        }
        for _ in range(DRAWN_SETS)
    ]
    made = [make(template, given)]
    for one in wanted[1:] if free else []:
        try:
            built = make(template, {**one, **given})
        except UsageError:  # such as a fast average that is slower than the slow one
            continue
        if built not in made:
            made.append(built)
    return made


@dataclass(kw_only=True)
class _Work:
    template: Template[Any]
    market: Bars
    sets: Sequence[Built[Any]]
    seconds: float
    show: Show | None = None
    found: Found | None = None
    bars_per_second: float | None = None
    slowest_s: float = 0.0
    first_positions: list[int] = field(default_factory=list)
    done: int = 0

    def checks(self) -> Iterator[Check]:
        """In the order in which one makes the next worth asking."""
        yield from self._purity()
        targets = self._targets()
        yield targets
        if targets.state == "failed":
            return
        for name, check in (
            ("determinism", self._determinism),
            ("look-ahead", self._look_ahead),
            ("warm-up", self._warm_up),
            ("NaN", self._awkward),
        ):
            try:
                yield check()
            except Exception as error:  # noqa: BLE001 - the strategy's outcome, whatever it is
                yield Check(name=name, state="failed", said=_said(error))

    def _purity(self) -> Iterator[Check]:
        text = getattr(self.template, "text", None)
        if text is None or getattr(self.template, "form", None) is None:
            return
        reaches = reaches_of(text)
        said = "; ".join(str(reach) for reach in reaches) or "reads nothing but its bars, as far as its text shows"
        yield Check(name="purity", state="failed" if reaches else "passed", said=said)

    def _targets(self) -> Check:
        wanted = list(self.sets)
        try:
            for place, built in enumerate(wanted):
                if place >= len(self.sets):
                    break
                targets, took_s = self._timed(built)
                held = np.flatnonzero(targets)
                self.slowest_s = max(self.slowest_s, took_s)
                self.first_positions.append(int(held[0]) if len(held) else -1)
                self.sets = wanted[: max(place + 1, self._affordable_sets())]
                self._step()
        except Exception as error:  # noqa: BLE001 - the strategy's outcome, whatever it is
            return Check(name="targets", state="failed", said=_said(error, built))
        if max(self.first_positions) < 0:
            said = f"never holds anything in {len(self.market):,} bars, so that the other checks prove little"
            return Check(name="targets", state="warning", said=said)
        said = f"one for each of {len(self.market):,} bars, with {_sets(len(self.sets))} of parameters"
        if len(self.sets) < len(wanted):
            said += f" instead of {len(wanted)}, since a run takes {self.slowest_s:.2g} s"
        return Check(name="targets", state="passed", said=said)

    def _timed(self, built: Built[Any]) -> tuple[FloatArray, float]:
        """A run that seems slow is made again: the first one may have loaded and compiled."""
        took_s = math.inf
        for _ in range(2):
            began = time.perf_counter()
            targets = _checked(built, self.market)
            took_s = min(took_s, time.perf_counter() - began)
            if took_s < self.seconds * QUICK:
                break
        return targets, took_s

    def _affordable_sets(self) -> int:
        """As many as leave each some shorter histories to be asked on."""
        runs = RUNS_BESIDES + FEWEST_PREFIXES / 2
        return int(self.seconds / (runs * max(self.slowest_s, 1e-9)))

    def _determinism(self) -> Check:
        """Twice, with other random numbers at hand, and after other bars."""
        self.bars_per_second = _speed(self.sets[0], self.market)
        half = self.market[: len(self.market) // 2]
        for built in self.sets:
            first, *again = [
                _with_seed(seed, built, bars) for seed, bars in enumerate((self.market, half, self.market, self.market))
            ]
            self._step()
            for other in again[1:]:
                differs = np.flatnonzero(first != other)
                if len(differs):
                    bar = int(differs[0])
                    said = (
                        f"the target of bar {bar} was {first[bar]:g} and then {other[bar]:g} on the same bars: it "
                        "draws random numbers without a seed, or remembers what it saw before"
                    )
                    return Check(name="determinism", state="failed", said=said)
        return Check(name="determinism", state="passed", said="the same bars give the same targets")

    def _look_ahead(self) -> Check:
        asked = 0
        for place, built in enumerate(self.sets):
            known = self._prefixes(place)
            asked += len(known)
            try:
                look = find_look_ahead(partial(_targets_of, built), self.market, known)
            except Exception as error:  # noqa: BLE001 - the strategy's outcome, whatever it is
                return Check(name="look-ahead", state="failed", said=f"fails on fewer bars: {_said(error, built)}")
            self._step()
            if look is not None:
                self.found = _explained(look, built, self.market)
                return Check(name="look-ahead", state="failed", said=str(self.found) + _with(built))
        return Check(name="look-ahead", state="passed", said=f"no target changed in {asked:,} shorter histories")

    def _prefixes(self, seed: int) -> list[int]:
        """Every length, where bars are few; else those at both ends and some between, fewer where time is short."""
        count = len(self.market)
        numbers = np.random.default_rng(seed)
        drawn = numbers.integers(1, count + 1, PREFIXES).tolist() if count > PREFIXES else range(1, count + 1)
        wanted = {*drawn, *range(max(1, count - IN_A_ROW), count), *range(1, min(count, IN_A_ROW))}
        runs = self.seconds / (len(self.sets) * max(self.slowest_s, 1e-9)) - RUNS_BESIDES
        every = math.ceil(len(wanted) / max(2.0 * runs, FEWEST_PREFIXES))
        return sorted(wanted, key=self._order)[::every]

    def _order(self, bars_known: int) -> tuple[int, int]:
        """First those that tell most: a short history may fail for other reasons, and of a late one no sequel is
        known."""
        is_late = bars_known > len(self.market) - 2 * FURTHEST
        return 2 if is_late else int(bars_known <= IN_A_ROW), bars_known

    def _warm_up(self) -> Check:
        says = getattr(self.template, "says_warm_up", True)
        first = min((place for place in self.first_positions if place >= 0), default=None)
        if not says:
            told = "nothing is held" if first is None else f"the first position is at bar {first}"
            return Check(name="warm-up", state="passed", said=f"not declared; {told}")
        for built, place in zip(self.sets, self.first_positions, strict=True):
            if 0 <= place < built.warm_up:
                said = f"declares {built.warm_up} bars, and holds a position at bar {place}{_with(built)}"
                return Check(name="warm-up", state="failed", said=said)
        declared = ", ".join(str(one) for one in sorted({built.warm_up for built in self.sets}))
        return Check(name="warm-up", state="passed", said=f"nothing is held before the declared bars ({declared})")

    def _awkward(self) -> Check:
        """Markets that stand still, jump, or have just begun."""
        awkward = [
            (name, _among_others(bars, self.template))
            for name, bars in (("a flat market without volume", flat()), ("a fall to a thousandth", wild(self.market)))
        ]
        awkward += [(f"a history of {count} bar{'s' * (count > 1)}", self.market[:count]) for count in SHORT]
        for built in self.sets:
            for name, bars in awkward:
                try:
                    _checked(built, bars)
                except Exception as error:  # noqa: BLE001 - the strategy's outcome, whatever it is
                    return Check(name="NaN", state="failed", said=f"on {name}: {_said(error, built)}")
            self._step()
        return Check(name="NaN", state="passed", said="a target at every bar, flat, wild and short markets included")

    def _step(self) -> None:
        self.done += 1
        if self.show is not None:
            self.show(self.done, 4 * len(self.sets))


def _among_others(bars: Bars, template: Template[Any]) -> Bars:
    """The bars, and for a strategy that compares markets two others beside them."""
    if not reads_markets(template):
        return bars
    others = {symbol: simulated(symbol) for symbol in ("BTC/USDT", "SOL/USDT")}
    return together({**others, "ETH/USDT": bars})["ETH/USDT"]


def _targets_of(built: Built[Any], bars: Bars) -> FloatArray:
    return built.positions(columns_of(bars))


def _with_seed(seed: int, built: Built[Any], bars: Bars) -> FloatArray:
    random.seed(seed)
    np.random.seed(seed)  # the generator that strategies use without asking
    return _targets_of(built, bars)


def _speed(built: Built[Any], bars: Bars) -> float:
    """Of a run whose parts have all been loaded and compiled."""
    started = time.process_time()
    _targets_of(built, bars)
    return len(bars) / max(time.process_time() - started, 1e-6)


def _checked(built: Built[Any], bars: Bars) -> FloatArray:
    targets = _targets_of(built, bars)
    if len(targets) != len(bars):
        raise ValueError(f"gave {len(targets):,} targets for {len(bars):,} bars; each bar needs one")
    bad = ~((targets >= -1.0) & (targets <= 1.0))
    if bad.any():
        place = int(np.argmax(bad))
        raise ValueError(f"the target of bar {place} is {float(targets[place])!r}; a target goes from -1 to 1")
    return targets


def _explained(look: LookAhead, built: Built[Any], bars: Bars) -> Found:
    """Ask on one bar more at a time, until the target is what it is with all."""
    most = min(2 * FURTHEST, len(bars) - look.bar - 1)
    late = [
        more
        for more in range(1, most + 1)
        if _targets_of(built, bars[: look.bar + more])[look.bar] != look.target_later
    ]
    settled = max(late, default=0)
    return Found(
        look=look,
        at=datetime.fromtimestamp(int(bars.time[look.bar]) / 1000, UTC),
        parameters=built.parameters,
        settled_after=settled if 0 < settled <= most // 2 else None,
    )


def _said(error: Exception, built: Built[Any] | None = None) -> str:
    first = (str(error).splitlines() or [""])[0]
    if isinstance(error, MemoryError):
        first = "needs more memory than it may use"
    return (first or type(error).__name__) + ("" if built is None else _with(built))


def _with(built: Built[Any]) -> str:
    given = " ".join(f"{name}={value:g}" for name, value in built.parameters.items() if isinstance(value, int | float))
    return f" (with {given})" if given else ""


def _sets(count: int) -> str:
    return f"{count} set{'s' * (count > 1)}"
