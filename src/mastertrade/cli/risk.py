"""``mastertrade risk``: what an account may lose, by what it holds."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Annotated, Any

import typer

from mastertrade.cli.application import Json, run, with_database
from mastertrade.cli.output import Cell, bad, bold, dim, emit_json, facts, good, say, show, table, warning
from mastertrade.cli.risk_alerts import alerts
from mastertrade.cli.risk_check import check
from mastertrade.cli.risk_flatten import flatten
from mastertrade.cli.risk_limits import limits
from mastertrade.cli.risk_locks import breaker, locks
from mastertrade.cli.risk_refusals import refusals
from mastertrade.cli.risk_regime import regime
from mastertrade.cli.risk_stops import stops
from mastertrade.cli.trading import halt, reduce, resume
from mastertrade.cli.wording import NOTHING, amount, count, moment, money, words
from mastertrade.doors import risk_meter
from mastertrade.quant.risk.forecasts import Light
from mastertrade.risk_manager.condition import Condition
from mastertrade.risk_manager.portfolio import LOSSES_DAYS, Book, Figure, PortfolioRisk
from mastertrade.risk_manager.stress import Stress, read_shocks, under_shocks
from mastertrade.risk_manager.var_backtest import FEWEST_TESTED, VarBacktest

WINDOW_DAYS = 252
"""Of daily returns, as the older system looked back."""

risk = typer.Typer(help="What is at risk: holdings, losses that may come, crashes.", no_args_is_help=True)
risk.add_typer(limits, name="limits")
risk.add_typer(alerts, name="alerts")
risk.add_typer(locks, name="locks")
risk.add_typer(stops, name="stops")
risk.add_typer(breaker, name="breaker")
risk.command("refusals")(refusals)
risk.command("check")(check)
risk.command("regime")(regime)
for command in (halt, reduce, resume, flatten):
    risk.command()(command)

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
    backtest: Annotated[bool, typer.Option("--backtest", help="Show instead how right the methods were.")] = False,
    as_json: Json = False,
) -> None:
    """Show the losses that may come, by seven methods, and what each holding adds. Kept by day."""
    if backtest:
        run(_backtested(account, days, tuple(confidence or (0.95, 0.99)), as_json), as_json=as_json)
        return
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
        meter = risk_meter(database, window_days=days)
        book = await meter.book(account or None)
        found = await meter.condition(book, confidences=confidences)
        await meter.store(found)
    if as_json:
        emit_json(_flat(found))
    else:
        printed(found)


async def _backtested(account: str, days: int, confidences: tuple[float, ...], as_json: bool) -> None:
    async with with_database() as database:
        meter = risk_meter(database, window_days=days)
        book = await meter.book(account or None)
        found = await meter.backtest(book, confidences=confidences)
        await meter.store_backtest(book, found)
    if as_json:
        plain = [{**asdict(one), "words": one.words} for one in found]
        emit_json({"account": book.account, "as_of": book.as_of, "backtests": plain})
        return
    show(facts(_head(book)), "")
    if not found:
        say(dim(f"too little history: {FEWEST_TESTED} days to test are needed after the first {LOSSES_DAYS}"))
        return
    headers = (
        "method",
        "confidence",
        "days",
        "beyond it",
        "expected",
        "worst",
        "coverage p",
        "clusters p",
        "light",
        "result",
    )
    show(table(headers, [_tested(one) for one in found], right=headers[1:8]))


async def _stress(account: str, shocks: Sequence[str], as_json: bool) -> None:
    given = read_shocks(shocks)
    async with with_database() as database:
        meter = risk_meter(database, window_days=WINDOW_DAYS)
        book = await meter.book(account or None)
        found = [under_shocks(book, given)] if given else await meter.stress(book)
    if as_json:
        emit_json({"account": book.account, "as_of": book.as_of, "scenarios": [asdict(one) for one in found]})
    else:
        _print_stress(book, found)


def _flat(found: Condition) -> dict[str, Any]:
    """The portfolio's own figures and what the condition adds, side by side."""
    plain: dict[str, Any] = asdict(found)
    risk: dict[str, Any] = plain.pop("risk")
    return risk | plain


def _print_status(condition: Condition) -> None:
    found, book = condition.risk, condition.book
    show(facts([
        *_head(book),
        ("risk", f"{bold(condition.level)}, score {condition.score:.0f} of 100"),
        ("exposure", f"{money(found.exposure)} {book.quote}, leverage {_number(found.leverage)}"),
        ("acts like", NOTHING if found.adjusted_exposure is None else
         f"{money(found.adjusted_exposure)} {book.quote} in one market, by the correlations below"),
        ("concentration", f"{found.concentration:.3f}  (1 is a single holding)"),
        ("moves together", f"{condition.correlation:.0f} of 100"),
        ("may lose in a day", _loss_in_a_day(condition)),
        ("liquidity", f"{condition.liquidity:.1f} of 10, {condition.illiquid_percent:.0f} % of it in thin markets"),
        ("drawdown", _drawdown(condition)),
    ]), "")  # fmt: skip
    _print_holdings(found)
    if len(found.correlation) > 1:
        show("", _correlations(found))
    _print_notes(found)


def _loss_in_a_day(condition: Condition) -> str:
    loss, book = condition.loss, condition.book
    words = f"{money(loss.one_day)} {book.quote}, {loss.percent(float(book.equity)):.2f} % of equity, at 95 %"
    return words + ("; markets too young to measure count as wild" if loss.is_assumed else "")


def _drawdown(condition: Condition) -> str:
    book, now = condition.book, condition.risk.drawdown_percent
    deepest = max(float(book.max_drawdown) * 100, now)
    words = f"{now:.2f} % below {money(book.high_water_mark)}"
    under = f", {count(book.drawdown_days)} days under it" if book.drawdown_days else ""
    return f"{words}{under}; the deepest was {deepest:.2f} %"


def _print_losses(condition: Condition) -> None:
    found = condition.risk
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


def _tested(one: VarBacktest) -> tuple[Cell, ...]:
    paint = {Light.GREEN: good, Light.YELLOW: warning, Light.RED: bad}[one.light]
    return (
        words(one.method),
        f"{one.confidence:.2%}".replace(".00%", "%"),
        count(one.days),
        count(one.hits),
        f"{one.expected:.1f}",
        f"{one.worst:.2f} %" if one.hits else NOTHING,
        f"{one.coverage_p:.3f}",
        NOTHING if one.independence_p is None else f"{one.independence_p:.3f}",
        paint(one.light),
        one.words,
    )


def _number(value: float | None) -> str:
    return NOTHING if value is None else amount(round(value, 3))


def _print_notes(found: PortfolioRisk) -> None:
    for note in found.notes:
        say(warning("note "), note)
