"""Every indicator by name: its parameters with their limits, what it reads, what it gives and from which bar on. Rules,
generators and tests go by this list; a new indicator is a function, a method of ``Columns``, and an entry here."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from math import isfinite, nan
from typing import TYPE_CHECKING, Any

from mastertrade.quant.bars import FloatArray

if TYPE_CHECKING:
    from mastertrade.quant.columns import Columns

PRICES = ("open", "high", "low", "close", "volume")
LONGEST = 5000
"""No period is longer; a warm-up of 5000 bars of a day is more than crypto has had."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Parameter:
    name: str
    kind: type[int] | type[float]
    low: float
    high: float
    default: float

    def checked(self, value: object) -> int | float:
        """The value as a number of this kind; ValueError says what is wrong with it."""
        number = float(value) if isinstance(value, int | float) and not isinstance(value, bool) else nan
        if not isfinite(number) or (self.kind is int and not number.is_integer()):
            raise ValueError(f"{self.name} must be a {'whole ' if self.kind is int else ''}number, not {value!r}")
        if not self.low <= number <= self.high:
            allowed = min(max(number, self.low), self.high)
            raise ValueError(
                f"{self.name} {number:g} is outside {self.low:g}..{self.high:g}; the nearest allowed is {allowed:g}"
            )
        return self.kind(number)


@dataclass(frozen=True, slots=True, kw_only=True)
class Indicator:
    """``of`` names the arguments that choose a column of the bars, with the one that is meant when none is chosen;
    ``reads`` are the columns it takes anyhow. ``warm_up`` counts the bars at the start that lack some output."""

    name: str
    meaning: str
    parameters: tuple[Parameter, ...] = ()
    of: Mapping[str, str]
    reads: tuple[str, ...] = ()
    outputs: tuple[str, ...] = ("value",)
    warm_up: Callable[[Mapping[str, Any]], int]

    def arguments(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """All arguments, checked, with defaults for those that are not given; ValueError names what is wrong."""
        known: dict[str, Any] = {parameter.name: parameter.default for parameter in self.parameters} | dict(self.of)
        for name in given:
            if name not in known:
                raise ValueError(f"{self.name}: {nearest(name, known)}")
        arguments = known | dict(given)
        try:
            for parameter in self.parameters:
                arguments[parameter.name] = parameter.checked(arguments[parameter.name])
            for name in self.of:
                if arguments[name] not in PRICES:
                    raise ValueError(f"bars have no column {arguments[name]!r}; they have {', '.join(PRICES)}")
        except ValueError as error:
            raise ValueError(f"{self.name}: {error}") from None
        return arguments

    def first(self, given: Mapping[str, Any] | None = None) -> int:
        """The bar from which on every output has a value, if the bars have no holes in what it reads."""
        return self.warm_up(self.arguments(given or {}))

    def compute(self, columns: "Columns", given: Mapping[str, Any] | None = None) -> dict[str, FloatArray]:
        """Each output by name, computed once for these arguments and remembered by the columns."""
        made = getattr(columns, self.name)(**self.arguments(given or {}))
        return dict(zip(self.outputs, made if isinstance(made, tuple) else (made,), strict=True))


def nearest(name: str, known: Mapping[str, object]) -> str:
    """The words for a name that nobody knows, with the one that was probably meant."""
    if not known:
        return f"{name!r} is unknown; it takes none"
    found = get_close_matches(name, known, n=1, cutoff=0.0)[0]
    return f"{name!r} is unknown; the nearest is {found!r} (known: {', '.join(known)})"


def _whole(name: str, default: int, low: int = 1) -> Parameter:
    return Parameter(name=name, kind=int, low=low, high=LONGEST, default=default)


def _number(name: str, default: float, low: float, high: float) -> Parameter:
    return Parameter(name=name, kind=float, low=low, high=high, default=default)


def _entry(
    name: str,
    meaning: str,
    warm_up: Callable[[Mapping[str, Any]], int],
    *parameters: Parameter,
    of: Mapping[str, str] | None = None,
    reads: tuple[str, ...] = (),
    outputs: tuple[str, ...] = ("value",),
) -> Indicator:
    chosen = {"of": "close"} if of is None and not reads else of or {}
    return Indicator(
        name=name, meaning=meaning, parameters=parameters, of=chosen, reads=reads, outputs=outputs, warm_up=warm_up
    )


def _period(given: Mapping[str, Any]) -> int:
    return int(given["period"])


def _before_period(given: Mapping[str, Any]) -> int:
    return int(given["period"]) - 1


_BAR = ("high", "low", "close")
_BANDS = ("lower", "middle", "upper")

CATALOGUE: dict[str, Indicator] = {
    entry.name: entry
    for entry in (
        _entry("sma", "simple moving average", _before_period, _whole("period", 20)),
        _entry("ema", "exponential moving average", _before_period, _whole("period", 20)),
        _entry("wma", "linearly weighted moving average", _before_period, _whole("period", 20)),
        _entry("rsi", "Wilder's relative strength, 0 to 100", _period, _whole("period", 14)),
        _entry(
            "macd",
            "convergence and divergence of two averages",
            lambda given: int(max(given["fast"], given["slow"]) + given["signal"] - 2),
            _whole("fast", 12),
            _whole("slow", 26, 2),
            _whole("signal", 9),
            outputs=("line", "signal", "histogram"),
        ),
        _entry(
            "bollinger",
            "bands of deviations around an average",
            _before_period,
            _whole("period", 20, 2),
            _number("deviations", 2.0, 0.0, 20.0),
            outputs=_BANDS,
        ),
        _entry("true_range", "range of the bar, to the close before it", lambda given: 0, reads=_BAR),
        _entry("atr", "Wilder's average true range", _before_period, _whole("period", 14), reads=_BAR),
        _entry(
            "adx",
            "Wilder's strength of the trend, and of its two directions, 0 to 100",
            lambda given: int(2 * given["period"] - 1),
            _whole("period", 14, 2),
            reads=_BAR,
            outputs=("adx", "plus", "minus"),
        ),
        _entry(
            "stochastic",
            "place of the close in the range of the window, 0 to 100",
            lambda given: int(given["period"] + given["smooth"] + given["signal"] - 3),
            _whole("period", 14),
            _whole("smooth", 3),
            _whole("signal", 3),
            reads=_BAR,
            outputs=("k", "d"),
        ),
        _entry(
            "donchian",
            "highest high and lowest low, this bar's included",
            _before_period,
            _whole("period", 20),
            reads=("high", "low"),
            outputs=_BANDS,
        ),
        _entry(
            "keltner",
            "bands of average true ranges around an average",
            lambda given: int(max(given["period"], given["range_period"]) - 1),
            _whole("period", 20),
            _number("ranges", 2.0, 0.0, 20.0),
            _whole("range_period", 10),
            reads=_BAR,
            outputs=_BANDS,
        ),
        _entry(
            "supertrend",
            "trailing line, and 1 while the trend is up or -1 while it is down",
            _before_period,
            _whole("period", 10),
            _number("ranges", 3.0, 0.0, 20.0),
            reads=_BAR,
            outputs=("line", "direction"),
        ),
        _entry(
            "ichimoku",
            "Hosoda's lines and the cloud that stands at the bar; lagging: gain of the close over `base` bars",
            lambda given: int(max(given["conversion"], given["base"], given["span"]) - 1 + given["base"]),
            _whole("conversion", 9),
            _whole("base", 26),
            _whole("span", 52),
            reads=_BAR,
            outputs=("conversion", "base", "span_a", "span_b", "lagging"),
        ),
        _entry(
            "obv", "volume on rising closes less volume on falling ones", lambda given: 0, reads=("close", "volume")
        ),
        _entry(
            "mfi",
            "share of the turnover at rising prices, 0 to 100",
            _period,
            _whole("period", 14),
            reads=(*_BAR, "volume"),
        ),
        _entry(
            "vwap",
            "price of the window weighted with volume; none where nothing was traded",
            _before_period,
            _whole("period", 20),
            reads=(*_BAR, "volume"),
        ),
        _entry(
            "session_vwap",
            "price since midnight UTC weighted with volume; none until something was traded",
            lambda given: 0,
            reads=(*_BAR, "volume"),
        ),
        _entry("cci", "Lambert's commodity channel index", _before_period, _whole("period", 20, 2), reads=_BAR),
        _entry("z_score", "deviations from the average of the window", _before_period, _whole("period", 20, 2)),
        _entry("deviation", "standard deviation of the window", _before_period, _whole("period", 20, 2)),
        _entry("volatility", "deviation of the logarithmic returns, a bar", _period, _whole("period", 20, 2)),
        _entry("rate_of_change", "gain over the period, as a fraction", _period, _whole("period", 10)),
        _entry("highest", "largest value of the window", _before_period, _whole("period", 20)),
        _entry("lowest", "smallest value of the window", _before_period, _whole("period", 20)),
        _entry(
            "correlation",
            "how two columns go together over the window, -1 to 1",
            _before_period,
            _whole("period", 20, 2),
            of={"of": "close", "to": "volume"},
        ),
    )
}
