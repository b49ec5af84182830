"""The state of a running market: a table that stays in place on a terminal, a line a minute in a pipe, JSON lines."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager, nullcontext
from typing import Any, Final

from rich.live import Live
from rich.text import Text

from mastertrade.cli.application import stop_writing
from mastertrade.cli.output import Cell, bad, bold, console, dim, emit_json, facts, show, warning
from mastertrade.cli.queries import QUERIES
from mastertrade.cli.wording import amount, count, counted, moment, money, seconds
from mastertrade.domain.risk import TradingMode
from mastertrade.plans import Plan
from mastertrade.shared.errors import DependencyDown
from mastertrade.shared.postgres_manager import PostgresManager

SHOWN_EVERY_S: Final = 1.0
LINE_EVERY_S: Final = 60.0
"""In a pipe, which is most often a log."""


async def run_status(manager: PostgresManager, plan: Plan) -> dict[str, Any]:
    """What the plan's account and feed are doing now."""
    row = await QUERIES.fetchrow(manager, "run_status", account=plan.account, feed=plan.feed)
    assert row is not None, "the status is always one row"
    return {"feed": plan.feed, "quote_asset": plan.quote_asset, **dict(row)}


@asynccontextmanager
async def live_status(
    manager: PostgresManager, plan: Plan, *, as_json: bool, on_nobody_reads: Callable[[], object]
) -> AsyncIterator[None]:
    """Show the state while the block runs. Once whoever read the output has gone, ``on_nobody_reads`` is called."""
    is_live = console.is_terminal and not as_json
    with Live(console=console, refresh_per_second=4, vertical_overflow="visible") if is_live else nullcontext() as live:
        task = asyncio.create_task(_keep_showing(manager, plan, live, as_json, on_nobody_reads), name="status")
        try:
            yield
        finally:
            task.cancel()
            await asyncio.wait([task])
            if not task.cancelled():
                task.result()


async def _keep_showing(
    manager: PostgresManager, plan: Plan, live: Live | None, as_json: bool, on_nobody_reads: Callable[[], object]
) -> None:
    started = time.monotonic()
    printed = started - LINE_EVERY_S
    while True:
        try:
            status = await run_status(manager, plan)
            now = time.monotonic()
            if as_json:
                emit_json(status)
            elif live is not None:
                live.update(_page(status, now - started))
            elif now - printed >= LINE_EVERY_S:
                printed = now
                show(_line(status))
        except DependencyDown as error:  # the market waits for the database as well, and goes on when it answers
            if live is not None:
                live.update(warning(f"waiting for the database: {error}"))
        except BrokenPipeError:
            stop_writing()
            on_nobody_reads()
            return
        await asyncio.sleep(SHOWN_EVERY_S)


def _books(status: Mapping[str, Any]) -> Cell:
    match status["books"]:
        case "live":
            return "as at the venue"
        case "broken":
            return bad(f"{status['books_reason']}; nothing is opened: mastertrade order reconcile")
        case _:
            return warning(status["books_reason"] or "not compared with the venue yet")


def _line(status: Mapping[str, Any]) -> str:
    trouble = "" if status["books"] == "live" else f"  {_books(status)}"
    return (
        f"{moment(status['market_time'])}  signals {status['signals']}  orders {status['orders']}  "
        f"fills {status['fills']}  equity {money(status['equity'])} {status['quote_asset']}{trouble}"
    )


def _page(status: Mapping[str, Any], running_s: float) -> Text:
    trading = status["trading"]
    equity = f"{money(status['equity'])} {status['quote_asset']}, highest {money(status['high_water_mark'])}"
    unknown = f"{count(status['unknown_orders'])} unknown"
    held = ", ".join(f"{amount(one['quantity'])} {one['symbol']}" for one in status["positions"])
    orders = Text(f"{count(status['orders'])}, {count(status['open_orders'])} open, ")
    orders.append_text(warning(unknown) if status["unknown_orders"] else Text(unknown))
    rows: list[tuple[str, Cell]] = [
        ("market time", bold(f"{moment(status['market_time'])} UTC")),
        ("running for", seconds(running_s)),
        ("account", f"{status['account']}"),
        ("trading", trading if trading == TradingMode.RUNNING else bad(f"{trading}: mastertrade resume lets it go on")),
        ("books", _books(status)),
        ("equity", equity),
        ("candles", count(status["candles"])),
        ("signals", count(status["signals"])),
        ("verdicts", ", ".join(f"{count(status[word])} {word}" for word in ("approved", "reduced", "refused"))),
        ("orders", orders),
        ("fills", count(status["fills"])),
        ("positions", held or "none"),
        ("arbitrage", f"{counted(status['opportunities'], 'difference')} between venues seen"),
        ("bus", f"{count(status['waiting_events'])} waiting, {counted(status['dead_letters'], 'dead letter')}"),
        ("", dim("Ctrl-C stops after the batch in hand; the same command goes on from there")),
    ]
    return facts(rows)
