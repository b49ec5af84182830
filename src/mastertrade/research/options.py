"""How a strategy is traded: costs, cash, size and exits, by the names people use for them everywhere."""

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from difflib import get_close_matches
from functools import cached_property
from typing import Any, Final

import numpy as np

from mastertrade import strategies
from mastertrade.backtest.engine import run_on
from mastertrade.backtest.options import Exits, Margin, Sizing, SizingMethod, Terms
from mastertrade.backtest.result import BacktestResult
from mastertrade.quant.bars import Bars, FloatArray
from mastertrade.quant.costs import Costs
from mastertrade.research.markets import by_symbol
from mastertrade.shared.errors import UsageError
from mastertrade.strategies import Strategy
from mastertrade.strategies.template import nearest_name, ranges

CASH = 10_000.0
POSITION_FRACTION = 0.02


@dataclass(frozen=True)
class _Late:
    """A template that holds nothing before a bar."""

    template: Any
    from_ms: int

    def positions(self, bars: Bars, params: Any) -> FloatArray:
        targets: FloatArray = np.where(bars.time >= self.from_ms, self.template.positions(bars, params), 0.0)
        return targets


@dataclass(frozen=True, kw_only=True)
class Options:
    """Everything about a run that is neither the market nor the strategy. Costs are on unless taken away; every other
    option is off unless given.

    - size: ``position_fraction`` of equity, or ``sizing`` (``mt.Sizing.risk(0.01)`` and others), at most
      ``max_positions`` at once;
    - costs: ``costs``, or ``impact`` and ``participation`` of them alone;
    - exits, as fractions of the price paid: ``stop_loss``, ``take_profit``, ``trailing``, ``break_even``; as multiples
      of the average true range: ``stop_atr``, ``target_atr``, ``trailing_atr`` over ``atr_period`` bars; ``time_exit``
      after so many bars;
    - margin: ``shorts`` allows targets below 0, ``leverage``, ``maintenance`` margin, ``funding`` of a perpetual;
    - the market: ``rules`` (lot, tick, least notional; or several ``RulesVersion``), ``detail``: finer bars that tell
      what a bar touched first.

    ``rules``, ``funding`` and ``detail`` are given once for a single market, and by symbol for several.
    """

    costs: Costs = field(default_factory=Costs)
    impact: float | None = None
    participation: float | None = None
    cash: float = CASH
    position_fraction: float = POSITION_FRACTION
    sizing: Sizing | None = None
    max_positions: int = 0
    stop_loss: float = 0.0
    take_profit: float = 0.0
    trailing: float = 0.0
    break_even: float = 0.0
    stop_atr: float = 0.0
    target_atr: float = 0.0
    trailing_atr: float = 0.0
    atr_period: int = 14
    time_exit: int = 0
    shorts: bool = False
    leverage: float = 1.0
    maintenance: float = 0.005
    rules: Any = None
    funding: Any = None
    detail: Any = None

    @classmethod
    def of(cls, given: Mapping[str, Any]) -> "Options":
        """Of names that somebody typed."""
        for name in given:
            if name not in NAMES:
                raise UsageError(f"option {nearest_name(name, dict.fromkeys(NAMES))}")
        made = {name: value for name, value in given.items() if not (name == "costs" and value is None)}
        if made.get("detail") is not None:
            made["detail"] = by_symbol(made["detail"])
        return cls(**made)

    def varied(self, strategy: Strategy, parameters: Mapping[str, Any]) -> tuple["Options", dict[str, Any]]:
        """The options with those among the parameters that the strategy does not know, and its own parameters."""
        own = ranges(strategies.find(strategy).parameter_type)
        options = {name: value for name, value in parameters.items() if name in VARIABLE and name not in own}
        mine = {name: value for name, value in parameters.items() if name not in options}
        return replace(self, **options) if options else self, mine

    @property
    def exits(self) -> Exits:
        return Exits(time_bars=self.time_exit, **{name: getattr(self, name) for name in EXITS})

    @property
    def all_costs(self) -> Costs:
        given = {"impact": self.impact, "participation": self.participation}
        return replace(self.costs, **{name: value for name, value in given.items() if value is not None})

    @cached_property
    def terms(self) -> Terms:
        return Terms(
            costs=self.all_costs,
            cash=self.cash,
            sizing=self.sizing or Sizing.fraction(self.position_fraction),
            exits=self.exits,
            margin=Margin(leverage=self.leverage, maintenance=self.maintenance),
            shorts=self.shorts,
            max_positions=self.max_positions,
        )

    @property
    def chosen(self) -> dict[str, Any]:
        """What is not as it is unless somebody says so, for people to read."""
        plain = Options()
        return {
            name: value if isinstance(value, int | float) else str(value)
            for name in NAMES
            if name not in ("costs", "rules", "funding", "detail")
            and (value := getattr(self, name)) != getattr(plain, name)
        }

    def to_settings(self) -> dict[str, Any]:
        """For storing, without the rules of the markets, which are stored with these; ``from_settings`` reads it."""
        for name in ("funding", "detail"):
            if getattr(self, name) is not None:
                raise UsageError(
                    f"{name} is data of its own and is not stored with a run; leave it out, or do not save it"
                )
        plain = Options()
        written = {
            name: getattr(self, name)
            for name in NAMES
            if name not in ("costs", "rules", "sizing") and getattr(self, name) != getattr(plain, name)
        }
        named = {"cash": self.cash, "position_fraction": self.position_fraction, **written}
        return {"costs": asdict(self.costs), **named, **({"sizing": asdict(self.sizing)} if self.sizing else {})}

    @classmethod
    def from_settings(cls, stored: Mapping[str, Any]) -> "Options":
        made = {**stored, "costs": Costs(**stored["costs"])}
        if made.get("sizing"):
            made["sizing"] = Sizing(**{**made["sizing"], "method": SizingMethod(made["sizing"]["method"])})
        return cls(**made)

    def run(
        self,
        markets: Mapping[str, Bars],
        strategy: Strategy,
        parameters: Mapping[str, Any],
        *,
        trade_from_ms: int | None = None,
    ) -> BacktestResult:
        """``trade_from_ms``: the strategy sees the bars before it and holds nothing there."""
        options, mine = self.varied(strategy, parameters)
        return options._run(markets, strategies.build(strategy, mine), trade_from_ms)

    def _run(
        self, markets: Mapping[str, Bars], built: strategies.Built[Any], trade_from_ms: int | None
    ) -> BacktestResult:
        return run_on(
            markets,
            built.template if trade_from_ms is None else _Late(built.template, trade_from_ms),
            built.params,
            self.terms,
            rules=of_markets("rules", self.rules, markets),
            funding=of_markets("funding", self.funding, markets),
            detail=self.detail,
        )


NAMES: Final = tuple(one.name for one in fields(Options))
EXITS: Final = (
    "stop_loss", "take_profit", "trailing", "break_even", "stop_atr", "target_atr", "trailing_atr", "atr_period",
)  # fmt: skip
VARIABLE: Final = frozenset(
    {*EXITS, "time_exit", "position_fraction", "max_positions", "leverage", "impact", "participation"}
)
"""Options that a sweep may vary beside the parameters of the strategy."""


def check_parameters(strategy: Strategy, names: Iterable[str]) -> None:
    """What is misspelt is said with what was probably meant, be it a parameter or an option."""
    template = strategies.find(strategy)
    known = ranges(template.parameter_type)
    for name in names:
        if name not in known and name not in VARIABLE:
            near = get_close_matches(name, [*known, *NAMES], n=1, cutoff=0.6)
            hint = f"; is {near[0]!r} meant?" if near and near[0] not in known else ""
            raise UsageError(f"{template.name}: parameter {nearest_name(name, known)}{hint}")


def of_markets(name: str, given: Any, markets: Mapping[str, Bars]) -> Mapping[str, Any] | None:
    """By symbol; what is given once is of the single market."""
    if given is None or isinstance(given, Mapping):
        return given
    if len(markets) != 1:
        raise UsageError(
            f"{name} of {len(markets)} markets must be given by symbol: {name}={{{next(iter(markets))!r}: …}}"
        )
    return {next(iter(markets)): given}
