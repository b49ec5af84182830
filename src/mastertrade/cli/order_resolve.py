"""``mastertrade order resolve``: what a person says became of an order that the venue does not answer for."""

import asyncio
from collections.abc import Mapping
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from mastertrade.cli.application import Json, open_everything, run
from mastertrade.cli.output import Cell, bad, bold, dim, emit_json, facts, good, show, warning
from mastertrade.cli.trading import actor
from mastertrade.domain.orders import OrderStatus
from mastertrade.doors import resolutions
from mastertrade.order_executor.resolutions import VERDICTS, Outcome
from mastertrade.shared.errors import NeedsConfirmation, NotFound, UsageError
from mastertrade.shared.postgres_manager import PostgresManager
from mastertrade.shared.queries import load_queries

QUERIES = load_queries(Path(__file__).with_name("orders.sql"))
LOOK_EVERY_S: Final = 0.1
REFUSED: Final = 1
"""The exit code where the word was not taken."""
WORDS: Final = {verdict.value.lower().replace("_", "-"): verdict for verdict in VERDICTS}


def resolve(
    name: Annotated[str, typer.Argument(metavar="ID", help="Any of its ids, or eight letters of its own.")],
    verdict: Annotated[str, typer.Option("--as", metavar="WHAT", help="filled, canceled or not-found.")],
    reason: Annotated[str, typer.Option("--reason", help="How you know; kept with the order.")] = "",
    price: Annotated[str, typer.Option("--price", help="At which it filled, on average; with --as filled.")] = "",
    confirm: Annotated[bool, typer.Option("--confirm", help="Yes, say so.")] = False,
    wait: Annotated[float, typer.Option("--wait", min=0.0, max=3600.0, help="Seconds to wait for the executor.")] = 10,
    as_json: Json = False,
) -> None:
    """Say what became of an UNKNOWN order, where its venue does not.

    The executor asks the venue once more and takes its word before yours. What the venue tells later is booked in any
    case. Ends with code 1 where your word was not taken.
    """
    said = WORDS.get(verdict.lower().replace("_", "-"))
    if said is None:
        raise UsageError(f"--as {verdict}: must be one of {', '.join(WORDS)}")
    if not reason.strip():
        raise UsageError("--reason is needed: it is kept with the order")
    if (said is OrderStatus.FILLED) != bool(price):
        raise UsageError(
            "--as filled needs a --price" if not price else f"--price goes with --as filled, not {verdict}"
        )
    if not confirm:
        raise NeedsConfirmation("the order's capital is freed or booked on your word; add --confirm if you mean it")
    run(_resolve(name.strip(), said, reason.strip(), _price(price), wait, as_json), as_json=as_json)


def _price(text: str) -> Decimal | None:
    if not text:
        return None
    try:
        found = Decimal(text)
    except InvalidOperation:
        raise UsageError(f"--price {text!r} is no price; write it like 26000.5") from None
    if not found.is_finite() or found <= 0:
        raise UsageError(f"--price {text} is not above 0")
    return found


async def _resolve(
    name: str, said: OrderStatus, reason: str, price: Decimal | None, wait_s: float, as_json: bool
) -> None:
    async with open_everything() as (_, database):
        manager = database.manager
        found = await QUERIES.fetch(manager, "order_of", name=name)
        if not found:
            raise NotFound(f"there is no order {name!r}; mastertrade order list --status UNKNOWN shows those in doubt")
        if len(found) > 1:
            raise UsageError(f"{name!r} is the beginning of several orders; give more of it")
        door = resolutions(manager)
        kept = await door.want(found[0]["id"], said, price=price, reason=reason, actor=actor())
        is_heard = await QUERIES.fetchval(manager, "is_somebody_there")
        came = await _outcome(manager, kept, wait_s if is_heard else 0.0)
    if as_json:
        emit_json({"resolution_id": kept, **came})
    else:
        _print(came, bool(is_heard))
    if came["outcome"] == Outcome.REFUSED:
        raise SystemExit(REFUSED)


async def _outcome(manager: PostgresManager, kept: Any, wait_s: float) -> dict[str, Any]:
    loop = asyncio.get_running_loop()
    until = loop.time() + wait_s
    while True:
        came = dict(await resolutions(manager).outcome(kept))
        if came["outcome"] is not None or loop.time() >= until:
            return came
        await asyncio.sleep(LOOK_EVERY_S)


def _print(came: Mapping[str, Any], is_heard: bool) -> None:
    colours = {Outcome.APPLIED: good, Outcome.CONFIRMED: good, Outcome.REFUSED: bad}
    outcome: Cell
    if came["outcome"] is None:
        outcome = warning("not yet: the venue is asked for a minute" if is_heard else "nothing runs here: it waits")
    else:
        outcome = colours[Outcome(came["outcome"])](came["outcome"])
    rows: list[tuple[str, Cell]] = [
        ("order", came["client_order_id"]),
        ("you said", came["verdict"]),
        ("it was", outcome),
        ("state", bold(came["status"])),
    ]
    if came["explanation"]:
        rows.insert(3, ("because", came["explanation"]))
    show(facts(rows), "", dim(f"its steps: mastertrade order show {came['client_order_id']}"))
