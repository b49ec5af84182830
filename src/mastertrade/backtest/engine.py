"""Runs: a strategy template on one market, or on several that share one cash account, by the rules of ``contract``."""

from collections.abc import Mapping, Sequence
from typing import TypeVar

from mastertrade.backtest.alone import Alone, Decides, result_of
from mastertrade.backtest.market import prepare
from mastertrade.backtest.options import USUAL_FRACTION, Exits, Funding, Margin, RulesVersion, Sizing, Terms
from mastertrade.backtest.result import BacktestResult, Rules
from mastertrade.backtest.simulation import simulate
from mastertrade.quant.bars import Bars
from mastertrade.quant.columns import together
from mastertrade.quant.costs import Costs

P = TypeVar("P")


def run(
    bars: Bars | Mapping[str, Bars],
    template: Decides[P],
    params: P,
    *,
    costs: Costs | None = None,
    cash: float = 10_000.0,
    position_fraction: float = USUAL_FRACTION,
    rules: Mapping[str, Rules | Sequence[RulesVersion]] | None = None,
    sizing: Sizing | None = None,
    exits: Exits | None = None,
    margin: Margin | None = None,
    shorts: bool = False,
    max_positions: int = 0,
    funding: Mapping[str, Funding] | None = None,
    detail: Mapping[str, Bars] | None = None,
) -> BacktestResult:
    """Trade the template on one market (its symbol is ``""``), or on several by symbol, that share the cash.
    ``position_fraction`` is the size where ``sizing`` does not say otherwise; ``detail`` are finer bars, which tell
    what a bar touched first."""
    terms = Terms(
        costs=costs or Costs(),
        cash=cash,
        sizing=sizing or Sizing.fraction(position_fraction),
        exits=exits or Exits(),
        margin=margin or Margin(),
        shorts=shorts,
        max_positions=max_positions,
    )
    return run_on(bars, template, params, terms, rules=rules, funding=funding, detail=detail)


def run_on(
    bars: Bars | Mapping[str, Bars],
    template: Decides[P],
    params: P,
    terms: Terms,
    *,
    rules: Mapping[str, Rules | Sequence[RulesVersion]] | None = None,
    funding: Mapping[str, Funding] | None = None,
    detail: Mapping[str, Bars] | None = None,
) -> BacktestResult:
    """The same on terms that are put together already."""
    by_symbol = {"": bars} if isinstance(bars, Bars) else bars
    intervals = {one.interval_s for one in by_symbol.values()}
    if len(intervals) != 1:
        raise ValueError(f"a backtest needs bars of one interval, not of {sorted(intervals)} seconds")
    for name, given in (("rules", rules), ("funding", funding), ("detail", detail)):
        for symbol in given or ():
            if symbol not in by_symbol and name != "rules":
                raise ValueError(f"{name} of {symbol!r}, which is not among the markets {', '.join(by_symbol)}")
    of_symbol = {
        symbol: {
            "rules": (rules or {}).get(symbol),
            "funding": (funding or {}).get(symbol),
            "detail": (detail or {}).get(symbol),
        }
        for symbol in by_symbol
    }
    if len(by_symbol) == 1:
        ((symbol, alone),) = by_symbol.items()
        return Alone(symbol, alone, **of_symbol[symbol]).result(template, params, terms)  # type: ignore[arg-type]
    markets = [
        prepare(symbol, columns, template.positions(columns, params), terms, **of_symbol[symbol])  # type: ignore[arg-type]
        for symbol, columns in together(by_symbol).items()
    ]
    made = simulate(markets, terms)
    return result_of(made, terms, tuple(by_symbol), intervals.pop(), sum(map(len, by_symbol.values())))
