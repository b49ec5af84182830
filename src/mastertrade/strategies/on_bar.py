"""The event form of a strategy: a class whose ``on_bar`` is called after each bar's close and says what to hold.

For what depends on the path: a stop that follows the position, a count of bars, a state of its own. It sees the past by
construction: ``bar`` holds this bar and lists that have grown up to it, and indicators are asked for before the first
bar without being shown."""

import math
from collections.abc import Callable
from functools import lru_cache
from keyword import iskeyword
from typing import Any, Final

import numpy as np

from mastertrade.quant.bars import FloatArray
from mastertrade.quant.columns import Columns
from mastertrade.quant.indicators.catalogue import CATALOGUE, PRICES
from mastertrade.shared.errors import UsageError
from mastertrade.strategies.template import Parameters, known_values, nearest_name


class Bar:
    """What is known after a bar's close.

    ``time`` (its start, in UTC epoch milliseconds), ``open``, ``high``, ``low``, ``close``, ``volume``, and the same of
    every bar so far in the lists ``times``, ``opens``, ``highs``, ``lows``, ``closes``, ``volumes``, this bar being the
    last. ``index`` counts bars from 0. ``position`` is the target given after the bar before; ``entry_price`` the open
    at which it was entered, before costs, NaN while there is none. Indicators stand under the names they were asked
    for."""

    __slots__ = (
        "close", "closes", "entry_index", "entry_price", "high", "highs", "index", "low", "lows", "open", "opens",
        "position", "time", "times", "volume", "volumes",
    )  # fmt: skip

    time: int
    open: float
    high: float
    low: float
    close: float
    volume: float
    index: int
    position: float
    entry_price: float
    entry_index: int

    def __init__(self) -> None:
        self.times: list[int] = []
        self.opens: list[float] = []
        self.highs: list[float] = []
        self.lows: list[float] = []
        self.closes: list[float] = []
        self.volumes: list[float] = []
        self.position, self.entry_price, self.entry_index = 0.0, math.nan, -1

    @property
    def bars_held(self) -> int:
        """Bars since the entry, its own among them; 0 without a position."""
        return self.index - self.entry_index + 1 if self.position else 0

    @property
    def profit(self) -> float:
        """Of the position at this close, as a fraction of its entry price, before costs; 0 without one."""
        if not self.position:
            return 0.0
        change = self.close / self.entry_price - 1.0
        return change if self.position > 0.0 else -change


class Asked:
    """An indicator that was asked for and is not shown: ``ask.macd().histogram`` names a line of one that has
    several."""

    __slots__ = ("_make", "_name")

    def __init__(self, name: str, make: Callable[[Columns], Any]) -> None:
        self._name = name
        self._make = make

    def __getattr__(self, line: str) -> "Asked":
        if line.startswith("_"):
            raise AttributeError(line)
        return Asked(f"{self._name}.{line}", lambda columns: getattr(self._make(columns), line))

    def values(self, columns: Columns) -> FloatArray:
        found = self._make(columns)
        if not isinstance(found, np.ndarray):
            lines = ", ".join(getattr(found, "_fields", ()))
            raise UsageError(f"{self._name} has several lines; name one of {lines}")
        return found


class Ask:
    """Takes orders for indicators by the names they have on bars: ``ask.sma(20)``, ``ask.rsi(14)``,
    ``ask.donchian(20).upper``."""

    def __getattr__(self, name: str) -> Callable[..., Asked]:
        if name.startswith("_"):
            raise AttributeError(name)
        if name not in CATALOGUE:
            raise UsageError(f"indicator {nearest_name(name, CATALOGUE)}")
        method = getattr(Columns, name)

        def ask(*arguments: Any, **named: Any) -> Asked:
            return Asked(name, lambda columns: method(columns, *arguments, **named))

        return ask


class OnBarTemplate:
    """Makes a template of such a class: a new object of it decides from the first bar to the last."""

    def __init__(self, kind: type, parameter_type: type[Parameters]) -> None:
        self.kind = kind
        self.parameter_type = parameter_type
        if hasattr(kind, "warm_up"):
            self.warm_up = lambda params: self._made(params).warm_up()

    def _made(self, params: Parameters) -> Any:
        made = self.kind(params) if self.kind.__init__ is not object.__init__ else self.kind()  # type: ignore[misc]
        if not hasattr(made, "params"):
            made.params = params
        return made

    def positions(self, columns: Columns, params: Parameters) -> FloatArray:
        strategy = self._made(params)
        return np.array(decide(strategy.on_bar, columns, _asked(strategy, columns)), dtype=np.float64)

    def evidence(self, columns: Columns, params: Parameters, i: int) -> dict[str, float]:
        return known_values(i, {"close": columns.close, **_asked(self._made(params), columns)})


def decide(on_bar: Callable[[Any], Any], columns: Columns, indicators: dict[str, FloatArray]) -> list[Any]:
    """The answer after each bar, None being what is held already."""
    bar = _bar_with(tuple(indicators))()
    series = [columns.time, *(getattr(columns, name) for name in PRICES), *indicators.values()]
    targets: list[Any] = []
    try:
        _loop_with(tuple(indicators))(on_bar, bar, zip(*(one.tolist() for one in series), strict=True), targets.append)
    except Exception as error:
        error.add_note(f"at bar {len(targets)}")
        raise
    return targets


LOOP: Final = """
def loop(on_bar, bar, rows, keep):
    add_time, add_open, add_high = bar.times.append, bar.opens.append, bar.highs.append
    add_low, add_close, add_volume = bar.lows.append, bar.closes.append, bar.volumes.append
    held, is_entry, index = 0.0, False, -1
    for bar.time, bar.open, bar.high, bar.low, bar.close, bar.volume{indicators} in rows:
        bar.index = index = index + 1
        add_time(bar.time), add_open(bar.open), add_high(bar.high)
        add_low(bar.low), add_close(bar.close), add_volume(bar.volume)
        bar.position = held
        if is_entry:
            bar.entry_price, bar.entry_index, is_entry = bar.open, index, False
        target = on_bar(bar)
        if target is not None and target != held:
            is_entry = target != 0.0 and held * target <= 0.0
            if is_entry or not target:
                bar.entry_price = NO_PRICE
            held = target
        keep(held)
"""
"""Plain floats of lists, set into one object by a loop that names each indicator: numpy's scalars, an object a bar, or
a loop over names would cost more than most strategies do."""


@lru_cache(maxsize=64)
def _loop_with(names: tuple[str, ...]) -> Callable[..., None]:
    made: dict[str, Any] = {"NO_PRICE": math.nan}
    exec(LOOP.format(indicators="".join(f", bar.{name}" for name in names)), made)  # noqa: S102 - identifiers, checked
    loop: Callable[..., None] = made["loop"]
    return loop


@lru_cache(maxsize=64)
def _bar_with(names: tuple[str, ...]) -> type[Bar]:
    """With a place for each indicator."""
    for name in names:
        if not name.isidentifier() or iskeyword(name) or hasattr(Bar, name):
            raise UsageError(f"an indicator cannot be called {name!r}: bars have that already, or it is no name")
    return type("Bar", (Bar,), {"__slots__": names})


def _asked(strategy: Any, columns: Columns) -> dict[str, FloatArray]:
    indicators = getattr(strategy, "indicators", None)
    if indicators is None:
        return {}
    found = indicators(Ask())
    if not isinstance(found, dict) or not all(isinstance(one, Asked) for one in found.values()):
        raise UsageError('indicators(self, ask) must return names with what was asked for: {"fast": ask.sma(10)}')
    return {str(name): one.values(columns) for name, one in found.items()}
