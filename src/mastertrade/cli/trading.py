"""``mastertrade halt``, ``resume`` and ``status``: stop, go on, and see."""

import getpass
import os
from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import typer

from mastertrade.cli.application import Json, open_everything, run, with_database
from mastertrade.cli.output import Cell, bad, bold, dim, emit_json, facts, good, show, table, warning
from mastertrade.cli.queries import QUERIES
from mastertrade.cli.wording import amount, count, counted, moment, money, price
from mastertrade.domain.risk import GLOBAL_SCOPE, TradingMode
from mastertrade.doors import risk_door
from mastertrade.shared.postgres_manager import PostgresManager

NEWEST = 10
"""Orders and feeds on the status page; `mastertrade sql` has the rest."""

Row = Mapping[str, Any]

SCOPES = "global, account:NAME, strategy:NAME, instrument:SYMBOL, venue:NAME or asset:NAME."
Scope = Annotated[str, typer.Option("--scope", help=SCOPES)]


def halt(
    reason: Annotated[str, typer.Option("--reason", help="Why; kept with the halt.")] = "halted by hand",
    scope: Scope = GLOBAL_SCOPE,
    as_json: Json = False,
) -> None:
    """Let no new position be opened. Exits and cancels go on. Holds until `mastertrade resume`, restarts included."""
    run(_switch("halt", scope, reason, as_json), as_json=as_json)


def reduce(
    reason: Annotated[str, typer.Option("--reason", help="Why; kept with the change.")] = "reduced by hand",
    scope: Scope = GLOBAL_SCOPE,
    as_json: Json = False,
) -> None:
    """Let positions of the scope only get smaller. Holds until `mastertrade risk resume`, restarts included."""
    run(_switch("reduce", scope, reason, as_json), as_json=as_json)


def resume(
    reason: Annotated[str, typer.Option("--reason", help="Why; kept with the change.")] = "resumed by hand",
    scope: Scope = GLOBAL_SCOPE,
    as_json: Json = False,
) -> None:
    """Let positions be opened again in the scope. A wider scope that is halted keeps it halted."""
    run(_switch("resume", scope, reason, as_json), as_json=as_json)


def status(as_json: Json = False) -> None:
    """Show what runs, what is held and what waits."""
    run(_status(as_json), as_json=as_json)


async def _switch(verb: str, scope: str, reason: str, as_json: bool) -> None:
    async with open_everything() as (settings, database):
        door = risk_door(database.manager, settings)
        change = {"halt": door.halt, "reduce": door.reduce, "resume": door.resume}[verb]
        state = await change(scope, reason, actor())
    if as_json:
        names = ("scope", "mode", "reason", "actor", "version", "changed_at")
        emit_json({name: getattr(state, name) for name in names})
    else:
        change_number = dim(f"  change {state.version}, {moment(state.changed_at)} UTC")
        show(bold(state.scope) + ": " + _mode(state.mode) + change_number)


def actor() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container's user without a name
        return f"user {os.getuid()}"


async def _status(as_json: bool) -> None:
    async with with_database() as database:
        found = await _everything(database)
    if as_json:
        emit_json(found)
    else:
        _print(found)


async def _everything(database: PostgresManager) -> dict[str, Any]:
    overview = await QUERIES.fetchrow(database, "overview")
    assert overview is not None, "the overview is always one row"
    lists = {
        "trading": await QUERIES.fetch(database, "trading_states"),
        "running": await QUERIES.fetch(database, "running"),
        "feeds": await QUERIES.fetch(database, "feeds", page=NEWEST),
        "positions": await QUERIES.fetch(database, "positions", account_id=None),
        "balances": await QUERIES.fetch(database, "balances", account_id=None),
        "recent_orders": await QUERIES.fetch(database, "recent_orders", page=NEWEST),
    }
    return {"overview": dict(overview), **{name: [dict(row) for row in rows] for name, rows in lists.items()}}


def _print(found: Mapping[str, Any]) -> None:
    show(facts(_overview(found["overview"], found["running"])), "")
    show(
        table(
            ("trading in", "mode", "since (UTC)", "by", "reason"),
            [
                (t["scope"], _mode(t["mode"]), moment(t["changed_at"]), t["actor"], t["reason"])
                for t in found["trading"]
            ],
        ),
        "",
    )
    if found["feeds"]:
        rows = [(f["name"], f["source"], count(f["batches"]), moment(f["stands_at"])) for f in found["feeds"]]
        show(table(("feed", "plays", "batches", "stands at (UTC)"), rows, right=("batches",)), "")
    show(_positions(found["positions"]), "")
    show(_balances(found["balances"]), "")
    show(_orders(found["recent_orders"]))


def _overview(now: Row, running: Sequence[Row]) -> list[tuple[str, Cell]]:
    dead = counted(now["dead_letters"], "dead letter")
    orders = f"{count(now['orders'])}, {count(now['open_orders'])} open, {count(now['unknown_orders'])} unknown"
    return [
        ("running", ", ".join(f"{one['role']} ({one['holder']})" for one in running) or dim("nothing")),
        ("market time", f"{moment(now['market_time'])} UTC" if now["market_time"] else dim("no market was played yet")),
        ("candles", f"{count(now['candles'])} in {counted(now['series'], 'series', 'series')}"),
        ("signals", count(now["signals"])),
        (
            "verdicts",
            f"{count(now['approved'])} approved, {count(now['reduced'])} reduced, {count(now['refused'])} refused",
        ),
        ("orders", orders if not now["unknown_orders"] else warning(orders)),
        ("fills", count(now["fills"])),
        ("arbitrage", f"{counted(now['opportunities'], 'difference')} between venues seen"),
        ("bus", f"{counted(now['waiting_events'], 'event')} waiting, {dead}"),
    ]


def _mode(mode: str) -> Cell:
    return good(mode) if mode == TradingMode.RUNNING else bad(mode)


def _positions(rows: Sequence[Row]) -> Cell:
    if not rows:
        return dim("no open positions")
    headers = ("account", "strategy", "symbol", "quantity", "entry price", "realised")
    held = [
        (
            p["account"],
            p["strategy"],
            p["symbol"],
            amount(p["quantity"]),
            price(p["entry_price"]),
            money(p["realized_pnl"]),
        )
        for p in rows
    ]
    return table(headers, held, right=headers[3:])


def _balances(rows: Sequence[Row]) -> Cell:
    if not rows:
        return dim("no balances")
    headers = ("account", "asset", "free", "reserved")
    owned = [(b["account"], b["asset"], amount(b["free_balance"]), amount(b["locked_balance"])) for b in rows]
    return table(headers, owned, right=headers[2:])


def _orders(rows: Sequence[Row]) -> Cell:
    if not rows:
        return dim("no orders yet: try `mastertrade demo`")
    headers = ("last orders", "order", "status", "price", "market time")
    recent = [
        (
            one["client_order_id"],
            f"{one['side']} {amount(one['quantity'])} {one['symbol']}",
            one["status"],
            price(one["avg_fill_price"]),
            moment(one["order_time"])[5:16],  # the year and the seconds are in `mastertrade why`
        )
        for one in rows
    ]
    return table(headers, recent, right=("price",))
