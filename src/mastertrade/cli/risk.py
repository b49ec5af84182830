"""``mastertrade risk``: what an account may lose, by what it holds."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Annotated, Any

import typer

from mastertrade.cli.application import Json, run, with_database
from mastertrade.cli.output import Cell, bold, dim, emit_json, facts, say, show, table, warning
from mastertrade.cli.risk_limits import limits
from mastertrade.cli.wording import NOTHING, amount, count, moment, money, words
from mastertrade.platform import risk_meter
from mastertrade.risk_manager.portfolio import Book, Figure, PortfolioRisk
from mastertrade.risk_manager.stress import Stress, read_shocks, under_shocks

WINDOW_DAYS = 252
"""Of daily returns, as the older system looked back."""

risk = typer.Typer(help="What is at risk: holdings, losses that may come, crashes.", no_args_is_help=True)
risk.add_typer(limits, name="limits")

Account = Annotated[str, typer.Option(help="Its name or id; else the account that traded last.")]
Days = Annotated[int, typer.Option(min=20, max=3650, help="Of daily returns to look back on.")]


@risk.command("status")
def status(account: Account = "", days: Days = WINDOW_DAYS, as_json: Json = False) -> None:
    """Show what is held, how it hangs together and how deep the account is down."""
    run(_measured(account, days, (0.95,), as_json, _print_status), as_json=as_json)


@risk.command("var")
def value_at_risk(
    account: Account = "",
    days: Days = WINDOW_DAYS,
    confidence: Annotated[
        list[float] | None, typer.Option(min=0.5, max=0.9999, help="May be repeated; else 0.95 and 0.99.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Show the losses that may come, by seven methods, and what each holding adds. Kept by day."""
    run(_measured(account, days, tuple(confidence or (0.95, 0.99)), as_json, _print_losses), as_json=as_json)


@risk.command("stress")
def stress(
    account: Account = "",
    shock: Annotated[
        list[str] | None, typer.Option(help="A move in percent, such as BTC=-30, or *=-40 for all else; repeatable.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Show what crashes of the past, or moves you name, would cost."""
    run(_stress(account, shock or [], as_json), as_json=as_json)


async def _measured(account: str, days: int, confidences: tuple[float, ...], as_json: bool, printed: Any) -> None:
    async with with_database() as database:
        meter = risk_meter(database)
        book = await meter.book(account or None)
        found = await meter.measure(book, window_days=days, confidences=confidences)
        await meter.store(found)
    if as_json:
        emit_json(asdict(found))
    else:
        printed(found)


async def _stress(account: str, shocks: Sequence[str], as_json: bool) -> None:
    given = read_shocks(shocks)
    async with with_database() as database:
        meter = risk_meter(database)
        book = await meter.book(account or None)
        found = [under_shocks(book, given)] if given else await meter.stress(book)
    if as_json:
        emit_json({"account": book.account, "as_of": book.as_of, "scenarios": [asdict(one) for one in found]})
    else:
        _print_stress(book, found)


def _print_status(found: PortfolioRisk) -> None:
    book = found.book
    show(facts([
        *_head(book),
        ("exposure", f"{money(found.exposure)} {book.quote}, leverage {_number(found.leverage)}"),
        ("acts like", NOTHING if found.adjusted_exposure is None else
         f"{money(found.adjusted_exposure)} {book.quote} in one market, by the correlations below"),
        ("concentration", f"{found.concentration:.3f}  (1 is a single holding)"),
        ("drawdown", f"{found.drawdown_percent:.2f} % below {money(book.high_water_mark)}"),
    ]), "")  # fmt: skip
    _print_holdings(found)
    if len(found.correlation) > 1:
        show("", _correlations(found))
    _print_notes(found)


def _print_losses(found: PortfolioRisk) -> None:
    show(facts([*_head(found.book), ("looked at", f"{count(found.days)} days of {count(found.window_days)}")]), "")
    if found.figures:
        headers = ("method", "confidence", "days ahead", "value at risk", "% of equity", "mean loss beyond", "note")
        show(table(headers, [_loss(one) for one in found.figures], right=headers[1:6]), "")
    _print_holdings(found)
    _print_notes(found)


def _print_holdings(found: PortfolioRisk) -> None:
    if not found.parts:
        show(dim("nothing is held"))
        return
    headers = ("holding", "value", "% of equity", "daily volatility", "adds to value at risk")
    rows = [
        (
            bold(part.symbol),
            money(part.value),
            f"{part.share_percent:.2f}",
            NOTHING if part.volatility_percent is None else f"{part.volatility_percent:.2f} %",
            NOTHING if part.component is None else money(part.component),
        )
        for part in found.parts
    ]
    show(table(headers, rows, right=headers[1:]))


def _correlations(found: PortfolioRisk) -> Cell:
    names = list(found.correlation)
    rows: list[Sequence[Cell]] = [
        (bold(one), *(f"{found.correlation[one][other]:+.2f}" for other in names)) for one in names
    ]
    return table(("correlation", *names), rows, right=tuple(names))


def _print_stress(book: Book, found: Sequence[Stress]) -> None:
    show(facts(_head(book)), "")
    headers = ("scenario", "what", "loss", "% of equity", "equity after", "worst")
    rows: list[Sequence[Cell]] = []
    for one in found:
        if one.loss is None:
            rows.append((bold(one.name), one.what, NOTHING, NOTHING, NOTHING, dim("no candles of then")))
            continue
        worst = ", ".join(
            f"{hit.symbol} {hit.move_percent:+.1f} %{'*' if hit.is_assumed else ''}" for hit in one.hits[:3]
        )
        share = NOTHING if one.percent is None else f"{one.percent:.2f}"
        rows.append((bold(one.name), one.what, money(one.loss), share, money(one.equity_after), worst))
    show(table(headers, rows, right=headers[2:5]))
    if any(hit.is_assumed for one in found for hit in one.hits):
        say(dim("* no candles of then: the worst move among the others"))


def _head(book: Book) -> list[tuple[str, Cell]]:
    return [
        ("account", f"{book.account} on {book.venue}, as of {moment(book.as_of)} UTC"),
        ("equity", f"{money(book.equity)} {book.quote}, {money(book.cash)} of it in cash"),
    ]


def _loss(one: Figure) -> tuple[Cell, ...]:
    error = f"standard error {money(one.standard_error)}" if one.standard_error is not None else ""
    return (
        words(one.method),
        f"{one.confidence:.2%}".replace(".00%", "%"),
        str(one.horizon_days),
        NOTHING if one.value_at_risk is None else money(one.value_at_risk),
        NOTHING if one.percent is None else f"{one.percent:.2f}",
        NOTHING if one.expected_shortfall is None else money(one.expected_shortfall),
        dim("; ".join(part for part in (one.note, error) if part)),
    )


def _number(value: float | None) -> str:
    return NOTHING if value is None else amount(round(value, 3))


def _print_notes(found: PortfolioRisk) -> None:
    for note in found.notes:
        say(warning("note "), note)
