"""``mastertrade risk check``: what would become of an order, every check shown, nothing placed."""

import math
from dataclasses import asdict
from decimal import Decimal
from typing import Annotated

import typer

from mastertrade.cli.application import Json, open_everything, run
from mastertrade.cli.output import Cell, bad, bold, dim, emit_json, facts, good, show, table, warning
from mastertrade.cli.reading import read_name, read_positive
from mastertrade.cli.wording import NOTHING, amount, moment, money, price
from mastertrade.domain.risk import Check, Disposition
from mastertrade.domain.strategy import SignalType
from mastertrade.doors import what_if
from mastertrade.risk_manager.what_if import ORDINARY, Answer, Question
from mastertrade.shared.errors import UsageError

REFUSED = 1
"""The exit code of an order that would not be let through."""


def check(
    words: Annotated[list[str], typer.Argument(metavar="SIDE [QUANTITY] SYMBOL", help="Such as BUY 0.5 BTC/USDT.")],
    account: Annotated[str, typer.Option("--account", help="Its name or id; else the last that traded.")] = "",
    strategy: Annotated[str, typer.Option("--strategy", help="Its name or id; else the last there.")] = "",
    at: Annotated[float | None, typer.Option("--price", min=0.0, help="Else the market's.")] = None,
    confidence: Annotated[
        float, typer.Option("--confidence", min=0.0, max=100.0, help="Of the signal; sizes what has no quantity.")
    ] = ORDINARY,
    as_json: Json = False,
) -> None:
    """Judge an order without placing it: every check with its number and limit.

    As of the account's last mark. Ends with code 1 where it would be refused.
    """
    type_, quantity, symbol = read_order(words)
    if not math.isfinite(at or 0):
        raise UsageError(f"--price {at} is no price; write it like 26000.5")
    question = Question(
        type=type_,
        symbol=symbol,
        quantity=quantity,
        price=at,
        account=account or None,
        strategy=strategy or None,
        confidence=confidence,
    )
    run(_check(question, as_json), as_json=as_json)


def read_order(words: list[str]) -> tuple[SignalType, Decimal | None, str]:
    if len(words) not in (2, 3) or words[0].upper() not in (SignalType.BUY, SignalType.SELL):
        raise UsageError(f"{' '.join(words)!r} is no order; write BUY or SELL, a quantity or none, and a market: "
                         "BUY 0.5 BTC/USDT")  # fmt: skip
    read_name("market", words[-1])
    if len(words) == 2:
        return SignalType(words[0].upper()), None, words[1]
    return SignalType(words[0].upper()), read_positive("quantity", words[1]), words[2]


async def _check(question: Question, as_json: bool) -> None:
    async with open_everything() as (settings, database):
        found = await what_if(database.manager, settings).ask(question)
    verdict, order = found.judgement.verdict, found.judgement.order
    if as_json:
        emit_json(
            {
                "account": found.account,
                "strategy": found.strategy,
                "as_of": found.as_of,
                "price": found.price,
                "limits_version": found.limits_version,
                "disposition": verdict.disposition,
                "requested_quantity": verdict.requested_quantity,
                "approved_quantity": verdict.approved_quantity,
                "reason": verdict.reason,
                "order": None if order is None else asdict(order),
                "checks": [asdict(one) for one in verdict.checks],
            }
        )
    else:
        _print(question, found)
    if not verdict.disposition.is_approval:
        raise SystemExit(REFUSED)


def _print(question: Question, found: Answer) -> None:
    verdict, order = found.judgement.verdict, found.judgement.order
    paint = {Disposition.APPROVED: good, Disposition.REDUCED: warning}.get(verdict.disposition, bad)
    asked = f"{question.type} {amount(verdict.requested_quantity)} {question.symbol.upper()} at {price(found.price)}"
    rows: list[tuple[str, Cell]] = [
        ("order", f"{asked}, worth {money(verdict.requested_quantity * found.price)} {found.quote}"),
        ("judged for", f"{found.strategy} on {found.account}, as of {moment(found.as_of)} UTC"),
        ("verdict", paint(verdict.disposition)),
    ]
    if verdict.reason:
        rows.append(("because", verdict.reason))
    if order is not None:
        rows.append(("would buy" if not order.reduces else "would sell", amount(order.quantity)))
        rows.append(("sets aside", f"{amount(order.reserve_amount)} {order.reserve_asset}"))
        if order.stop_price is not None:
            rows.append(("stop", price(order.stop_price)))
    show(facts(rows), "")
    headers = ("check", "", "value", "limit", "unit", "what it saw")
    show(table(headers, [_row(one) for one in verdict.checks], right=("value", "limit")))
    show(dim(f"limits version {found.limits_version}; nothing was placed and nothing kept"))


def _row(one: Check) -> tuple[Cell, ...]:
    mark = bad("refuses") if not one.passed else warning("cuts") if one.reduced_to is not None else good("ok")
    return bold(one.name), mark, _number(one.value), _number(one.limit), one.unit, one.detail


def _number(value: float | None) -> str:
    return NOTHING if value is None else f"{value:.6g}"
