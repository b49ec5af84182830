"""What the backtest commands share: which bars, which costs, and how people name them. ``Given`` declares each option
once; ``with_given`` puts them all on a command."""

import inspect
from collections.abc import Callable
from dataclasses import dataclass, fields
from datetime import UTC, datetime
from functools import wraps
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from mastertrade.backtest.options import Sizing
from mastertrade.quant.costs import Costs
from mastertrade.research.asking import MOST_MISSING, Asked
from mastertrade.research.options import CASH, POSITION_FRACTION, Options
from mastertrade.shared.errors import UsageError

NAMES_A_STRATEGY: Final = (
    "A template such as ma_cross, a file of your strategies folder by its name, or the path of one."
)
Strategy = Annotated[str, typer.Argument(metavar="STRATEGY", help=NAMES_A_STRATEGY)]
Set = Annotated[
    list[str] | None,
    typer.Option(
        "--set", "-p", metavar="NAME=VALUE", help="A parameter of the strategy; the others keep their defaults."
    ),
]
Page = Annotated[
    Path | None, typer.Option("--html", metavar="FILE", help="Also write the report as one page for a browser.")
]

COSTS: Final = Costs()
PLAIN: Final = Options()
SIZES_HELP: Final = (
    "Instead of --fraction: risk:0.01 loses 1 % at the stop, atr:0.01:2 loses it by two average true ranges; "
    "volatility:0.2 a year; quantity:0.5 coins; kelly:0.55:1.2 of win rate and payoff."
)


def _option(name: str, metavar: str, help_text: str, *more: str, **limits: Any) -> Any:
    return typer.Option(name, *more, metavar=metavar, help=help_text, **limits)


Venue = Annotated[str | None, _option("--venue", "VENUE", "Whose candles, where several venues list the symbol.")]
Interval = Annotated[
    str | None, _option("--tf", "TF", "The length of a bar: 1m, 15m, 4h, 1d. A file keeps its own unless one is given.")
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Given:
    """What somebody typed, unchecked; the methods check it."""

    symbols: Annotated[
        list[str] | None,
        _option(
            "--symbol", "SYMBOL", "Stored candles of BTC/USDT; again for more markets, which share the cash.", "-s"
        ),
    ] = None
    files: Annotated[
        list[Path] | None,
        _option("--file", "PATH", "A candle file, or a folder of one a market, instead of stored candles.", "-f"),
    ] = None
    venue: Venue = None
    tf: Interval = None
    since: Annotated[str | None, _option("--since", "TIME", "The first bar: 2024-01-01 or 2024-01-01T12:00, UTC.")] = (
        None
    )
    until: Annotated[str | None, _option("--until", "TIME", "The end, not included.")] = None
    most_missing: Annotated[
        float, _option("--most-missing", "SHARE", "Share of bars that may be missing.", min=0.0, max=1.0)
    ] = MOST_MISSING
    detail: Annotated[
        str | None, _option("--detail", "TF", "Finer stored candles, such as 1m, that tell what a bar touched first.")
    ] = None
    taker_fee: Annotated[float, _option("--taker-fee", "RATE", "Fee of a market order; 0.001 is 0.1 %.")] = (
        COSTS.taker_fee
    )
    maker_fee: Annotated[float, _option("--maker-fee", "RATE", "Fee of a take profit, which is a limit order.")] = (
        COSTS.maker_fee
    )
    half_spread: Annotated[float, _option("--half-spread", "RATE", "Half the distance of bid and ask.")] = (
        COSTS.half_spread
    )
    slippage: Annotated[float, _option("--slippage", "RATE", "By how much a market order is worse besides.")] = (
        COSTS.slippage
    )
    impact: Annotated[
        float, _option("--impact", "Y", "Of the square-root law: what size costs; 0 says that it costs nothing.")
    ] = COSTS.impact
    participation: Annotated[
        float | None, _option("--participation", "SHARE", "Most of a bar's volume an order takes; 0 is no limit.")
    ] = None
    cash: Annotated[float, _option("--cash", "AMOUNT", "What the account begins with, in quote.", min=1e-9)] = CASH
    fraction: Annotated[
        float, _option("--fraction", "SHARE", "Part of the equity a position gets; above 1 needs --leverage.", min=1e-9)
    ] = POSITION_FRACTION
    size: Annotated[str | None, _option("--size", "HOW", SIZES_HELP)] = None
    size_limit: Annotated[
        float | None, _option("--size-limit", "SHARE", "With --size: most of the equity a position gets.", min=1e-9)
    ] = None
    max_positions: Annotated[
        int, _option("--max-positions", "NUMBER", "How many markets may be held at once; 0 is no limit.", min=0)
    ] = PLAIN.max_positions
    stop_loss: Annotated[float, _option("--stop-loss", "SHARE", "Leaves so far below the price paid; 0.05 is 5 %.")] = (
        PLAIN.stop_loss
    )
    take_profit: Annotated[float, _option("--take-profit", "SHARE", "Leaves so far above the price paid.")] = (
        PLAIN.take_profit
    )
    trailing: Annotated[
        float, _option("--trailing", "SHARE", "Leaves so far below the best price since the entry.")
    ] = PLAIN.trailing
    break_even: Annotated[
        float, _option("--break-even", "SHARE", "Leaves at the price paid, once the price was so far ahead.")
    ] = PLAIN.break_even
    stop_atr: Annotated[float, _option("--stop-atr", "RANGES", "A stop loss in average true ranges.")] = PLAIN.stop_atr
    target_atr: Annotated[float, _option("--target-atr", "RANGES", "A take profit in average true ranges.")] = (
        PLAIN.target_atr
    )
    trailing_atr: Annotated[float, _option("--trailing-atr", "RANGES", "A trailing stop in average true ranges.")] = (
        PLAIN.trailing_atr
    )
    atr_period: Annotated[int, _option("--atr-period", "BARS", "Bars of the average true range.", min=1)] = (
        PLAIN.atr_period
    )
    time_exit: Annotated[int, _option("--time-exit", "BARS", "Leaves at the open after so many closes.", min=0)] = (
        PLAIN.time_exit
    )
    shorts: Annotated[bool, typer.Option("--shorts", help="Targets below 0 are traded too.")] = PLAIN.shorts
    leverage: Annotated[
        float, _option("--leverage", "TIMES", "Positions may be so many times the equity behind them.")
    ] = PLAIN.leverage
    maintenance: Annotated[float, _option("--maintenance", "SHARE", "Margin at which a position is liquidated.")] = (
        PLAIN.maintenance
    )

    def asked(self) -> Asked:
        return Asked(
            symbols=tuple(self.symbols or ()),
            files=tuple(str(path.absolute()) for path in self.files or ()),
            venue=self.venue,
            interval=self.tf,
            since=_moment("--since", self.since),
            until=_moment("--until", self.until),
            most_missing=self.most_missing,
            detail=self.detail,
        )

    def options(self) -> Options:
        """UsageError for what no account could be traded by, before any bar is read."""
        try:
            costs = Costs(**{one.name: getattr(self, one.name) for one in fields(Costs)})
            made = Options(
                costs=costs,
                position_fraction=self.fraction,
                sizing=self._sizing(),
                **{name: getattr(self, name) for name in AS_OPTIONS},
            )
            made.terms  # noqa: B018 - it checks what the options are together
        except ValueError as error:
            raise UsageError(str(error)) from None
        return made

    def _sizing(self) -> Sizing | None:
        if self.size is None:
            if self.size_limit is not None:
                raise UsageError("--size-limit is for --size; --fraction is a limit by itself")
            return None
        return sizing_of(self.size, self.size_limit)


AS_OPTIONS: Final = tuple(
    one.name
    for one in fields(Given)
    if one.name in Options.__dataclass_fields__ and one.name not in ("impact", "participation", "detail")
)
"""Those that have the same name, and are what the program's options are."""
SIZES: Final[dict[str, tuple[Callable[..., Sizing], int, int]]] = {
    "risk": (Sizing.risk, 1, 1),
    "atr": (lambda fraction, multiple=2.0, **limit: Sizing.atr(fraction, multiple=multiple, **limit), 1, 2),
    "volatility": (Sizing.volatility, 1, 1),
    "quantity": (Sizing.quantity, 1, 1),
    "kelly": (Sizing.kelly, 2, 2),
}
"""By the name of the method: what makes it, and its fewest and most numbers."""


def sizing_of(text: str, limit: float | None = None) -> Sizing:
    """``risk:0.01`` and its like. UsageError says how it is written."""
    name, *numbers = text.split(":")
    known = f"there are {', '.join(SIZES)}, such as risk:0.01, atr:0.01:2 or kelly:0.55:1.2"
    if name not in SIZES:
        raise UsageError(f"--size {text!r}: method {name!r} is unknown; {known}")
    make, fewest, most = SIZES[name]
    try:
        values = [float(number) for number in numbers]
    except ValueError:
        raise UsageError(f"--size {text!r}: after the method go numbers; {known}") from None
    if not fewest <= len(values) <= most:
        raise UsageError(f"--size {text!r}: {name} takes {fewest if fewest == most else f'{fewest} or {most}'} "
                         f"of them, and {len(values)} were given; {known}")  # fmt: skip
    if limit is None:
        return make(*values)
    if name == "quantity":
        raise UsageError("--size-limit is a share of equity, and --size quantity is always as many coins")
    return make(*values, limit=limit)


def with_given(command: Callable[..., None]) -> Callable[..., None]:
    """The command with every option of ``Given`` on it, which it gets as its argument ``given``."""

    @wraps(command)
    def typed(**values: Any) -> None:
        command(given=Given(**{one.name: values.pop(one.name) for one in fields(Given)}), **values)

    shared = [
        inspect.Parameter(one.name, inspect.Parameter.KEYWORD_ONLY, default=one.default, annotation=one.type)
        for one in fields(Given)
    ]
    taken = inspect.signature(command)
    own = [one.replace(kind=inspect.Parameter.KEYWORD_ONLY) for one in taken.parameters.values() if one.name != "given"]
    every = [*own, *shared]
    typed.__signature__ = taken.replace(parameters=every)  # type: ignore[attr-defined]
    typed.__annotations__ = {one.name: one.annotation for one in every}
    return typed


def _moment(name: str, text: str | None) -> datetime | None:
    if text is None:
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise UsageError(f"{name} {text!r} is not a time; write 2024-01-31 or 2024-01-31T12:00 (UTC)") from None
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
