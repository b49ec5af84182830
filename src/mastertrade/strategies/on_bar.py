"""The event form of a strategy: a class whose ``on_bar`` is called after each bar's close and says what to hold.

For what depends on the path: a stop that follows the position, a count of bars, a state of its own. It sees the past by
construction: ``bar`` holds this bar and lists that have grown up to it, and indicators are asked for before the first
bar without being shown."""

from collections.abc import Callable, Iterable
from itertools import repeat
from typing import Any, Final

import numpy as np

from mastertrade.quant.bars import FloatArray
from mastertrade.quant.columns import Columns
from mastertrade.quant.indicators.catalogue import PRICES
from mastertrade.shared.errors import UsageError
from mastertrade.strategies.template import Parameters, known_values, nearest_name

NOT_INDICATORS: Final = ("once", "mask", "series", "kept_bytes", "markets", "symbol")


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
        self.position, self.entry_price, self.entry_index = 0.0, np.nan, -1

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
        if name not in indicator_names():
            raise UsageError(f"indicator {nearest_name(name, dict.fromkeys(indicator_names()))}")
        method = getattr(Columns, name)

        def ask(*arguments: Any, **named: Any) -> Asked:
            return Asked(name, lambda columns: method(columns, *arguments, **named))

        return ask


def indicator_names() -> tuple[str, ...]:
    return tuple(
        name
        for name, what in vars(Columns).items()
        if callable(what) and not name.startswith("_") and name not in NOT_INDICATORS
    )


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
    """The answer after each bar, None being what is held already.

    Plain floats of lists, set into one object: numpy's scalars, and an object a bar, would cost more than most
    strategies do."""
    bar = _bar_with(tuple(indicators))()
    set_indicators = [vars(type(bar))[name].__set__ for name in indicators]
    rows: Iterable[tuple[float, ...]] = zip(*(one.tolist() for one in indicators.values()), strict=True)
    prices = (getattr(columns, name).tolist() for name in PRICES)
    targets: list[Any] = []
    keep, held, entered = targets.append, 0.0, False
    times, opens, highs, lows = bar.times.append, bar.opens.append, bar.highs.append, bar.lows.append
    closes, volumes = bar.closes.append, bar.volumes.append
    try:
        for bar.index, (time, open_, high, low, close, volume, values) in enumerate(
            zip(columns.time.tolist(), *prices, rows if indicators else repeat(()), strict=False)
        ):
            bar.time, bar.open, bar.high, bar.low, bar.close, bar.volume = time, open_, high, low, close, volume
            times(time), opens(open_), highs(high), lows(low), closes(close), volumes(volume)
            for set_indicator, value in zip(set_indicators, values, strict=True):
                set_indicator(bar, value)
            bar.position = held
            if entered:
                bar.entry_price, bar.entry_index, entered = open_, bar.index, False
            target = on_bar(bar)
            if target is not None and target != held:
                if not target:
                    bar.entry_price = np.nan
                else:
                    entered = held * target <= 0.0
                held = target
            keep(held)
    except Exception as error:
        error.add_note(f"at bar {len(targets)}")
        raise
    return targets


def _bar_with(names: tuple[str, ...]) -> type[Bar]:
    """With a place for each indicator."""
    for name in names:
        if not name.isidentifier() or hasattr(Bar, name):
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
