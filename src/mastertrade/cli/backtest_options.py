"""What the backtest commands share: which bars, which costs, and how people name them."""

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Final

import typer

from mastertrade.quant.costs import Costs
from mastertrade.research.asking import MOST_MISSING, Asked
from mastertrade.research.options import CASH, POSITION_FRACTION, Options
from mastertrade.shared.errors import UsageError

NAMES_A_STRATEGY: Final = (
    "A template such as ma_cross, a file of your strategies folder by its name, or the path of one."
)
Strategy = Annotated[str, typer.Argument(metavar="STRATEGY", help=NAMES_A_STRATEGY)]
Symbols = Annotated[
    list[str] | None,
    typer.Option(
        "--symbol",
        "-s",
        metavar="SYMBOL",
        help="Stored candles of BTC/USDT; again for more markets, which share the cash.",
    ),
]
Venue = Annotated[
    str | None, typer.Option("--venue", metavar="VENUE", help="Whose candles, where several venues list the symbol.")
]
Interval = Annotated[
    str | None,
    typer.Option(
        "--tf", metavar="TF", help="The length of a bar: 1m, 15m, 4h, 1d. A file keeps its own unless one is given."
    ),
]
Since = Annotated[
    str | None, typer.Option("--since", metavar="TIME", help="The first bar: 2024-01-01 or 2024-01-01T12:00, UTC.")
]
Until = Annotated[str | None, typer.Option("--until", metavar="TIME", help="The end, not included.")]
Files = Annotated[
    list[Path] | None,
    typer.Option(
        "--file", "-f", metavar="PATH", help="A candle file, or a folder of one a market, instead of stored candles."
    ),
]
MostMissing = Annotated[
    float, typer.Option("--most-missing", metavar="SHARE", min=0.0, max=1.0, help="Share of bars that may be missing.")
]
Set = Annotated[
    list[str] | None,
    typer.Option(
        "--set", "-p", metavar="NAME=VALUE", help="A parameter of the strategy; the others keep their defaults."
    ),
]
Cash = Annotated[
    float, typer.Option("--cash", metavar="AMOUNT", min=1e-9, help="What the account begins with, in quote.")
]
Fraction = Annotated[
    float, typer.Option("--fraction", metavar="SHARE", min=1e-9, max=1.0, help="Part of the equity a position gets.")
]
TakerFee = Annotated[float, typer.Option("--taker-fee", metavar="RATE", help="Fee of a market order; 0.001 is 0.1 %.")]
HalfSpread = Annotated[float, typer.Option("--half-spread", metavar="RATE", help="Half the distance of bid and ask.")]
Slippage = Annotated[
    float, typer.Option("--slippage", metavar="RATE", help="By how much a market order is worse besides.")
]
Impact = Annotated[
    float,
    typer.Option(
        "--impact", metavar="Y", help="Of the square-root law: what size costs; 0 says that it costs nothing."
    ),
]
Participation = Annotated[
    float | None,
    typer.Option("--participation", metavar="SHARE", help="Most of a bar's volume an order takes; 0 is no limit."),
]
Page = Annotated[
    Path | None, typer.Option("--html", metavar="FILE", help="Also write the report as one page for a browser.")
]

COSTS: Final = Costs()
NO_MORE_MISSING: Final = MOST_MISSING
ALL_CASH: Final = CASH
PART: Final = POSITION_FRACTION


@dataclass(frozen=True, slots=True, kw_only=True)
class Given:
    """What somebody typed, unchecked; the methods check it."""

    symbols: list[str] | None
    files: list[Path] | None
    venue: str | None
    interval: str | None
    since: str | None
    until: str | None
    most_missing: float
    cash: float
    fraction: float
    taker_fee: float
    half_spread: float
    slippage: float
    impact: float
    participation: float | None

    def asked(self) -> Asked:
        return Asked(
            symbols=tuple(self.symbols or ()),
            files=tuple(str(path.absolute()) for path in self.files or ()),
            venue=self.venue,
            interval=self.interval,
            since=_moment("--since", self.since),
            until=_moment("--until", self.until),
            most_missing=self.most_missing,
        )

    def options(self) -> Options:
        try:
            costs = Costs(
                taker_fee=self.taker_fee,
                half_spread=self.half_spread,
                slippage=self.slippage,
                impact=self.impact,
                participation=self.participation,
            )
        except ValueError as error:
            raise UsageError(str(error)) from None
        return Options(costs=costs, cash=self.cash, position_fraction=self.fraction)


def _moment(name: str, text: str | None) -> datetime | None:
    if text is None:
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise UsageError(f"{name} {text!r} is not a time; write 2024-01-31 or 2024-01-31T12:00 (UTC)") from None
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
