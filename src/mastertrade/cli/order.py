"""``mastertrade order``: what was ordered, and orders by hand."""

import asyncio
from collections.abc import Mapping, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from mastertrade.cli.application import Json, open_everything, run, with_database
from mastertrade.cli.order_algos import (
    AlgoWords,
    Iceberg,
    Over,
    Participate,
    Slices,
    Stop,
    Target,
    ThenStop,
    ThenTarget,
    ThenTrail,
    Trail,
    algos,
    ended,
    ended_cells,
    place_algo,
    read_algo_words,
    replace_order,
    show_algo,
    unguarded,
    unguarded_words,
)
from mastertrade.cli.order_terms import read_lasts, read_terms, read_time, terms_words
from mastertrade.cli.output import Cell, bad, bold, dim, emit_json, facts, good, show, table, warning
from mastertrade.cli.reading import read_name, read_positive
from mastertrade.cli.risk_check import read_order
from mastertrade.cli.trading import actor
from mastertrade.cli.wording import NOTHING, amount, moment, price, words
from mastertrade.domain.market import canonical_symbol
from mastertrade.domain.orders import OrderStatus, Side
from mastertrade.doors import algo_orders, cancels, manual_orders
from mastertrade.shared.errors import NotFound, UsageError
from mastertrade.shared.postgres_manager import PostgresManager
from mastertrade.shared.queries import load_queries
from mastertrade.strategy_service.manual import VALID, Wish, Wished

QUERIES = load_queries(Path(__file__).with_name("orders.sql"))
LISTED: Final = 20
LOOK_EVERY_S: Final = 0.1
REFUSED: Final = 1
"""The exit code of an order that was not let through."""
FINAL: Final = {status.value for status in OrderStatus if status.is_final}

Row = Mapping[str, Any]
Page = Annotated[int, typer.Option("--number", "-n", min=1, max=1000, help="How many.")]
Wait = Annotated[float, typer.Option("--wait", min=0.0, max=3600.0, help="Seconds to wait for what comes of it.")]
Account = Annotated[str, typer.Option("--account", help="Of this account, by name or id.")]

order = typer.Typer(help="Orders: list, show, place by hand.", no_args_is_help=True)


@order.command("list")
def list_orders(
    is_open: Annotated[bool, typer.Option("--open", help="Only those that may still trade.")] = False,
    status: Annotated[str, typer.Option("--status", help="Only those in this state, such as UNKNOWN.")] = "",
    symbol: Annotated[str, typer.Option("--symbol", "-s", help="Only of this market.")] = "",
    account: Account = "",
    strategy: Annotated[str, typer.Option("--strategy", help="Only of this strategy.")] = "",
    number: Page = LISTED,
    as_json: Json = False,
) -> None:
    """List orders, the newest first."""
    if status and status.upper() not in OrderStatus.__members__:
        raise UsageError(f"--status {status}: must be one of {', '.join(OrderStatus.__members__)}")
    filters = {
        "is_open": is_open,
        "status": status.upper() or None,
        "symbol": symbol_named(symbol),
        "account": account or None,
        "strategy": strategy or None,
        "page": number,
    }
    run(_list(filters, as_json), as_json=as_json)


@order.command("show")
def show_order(
    name: Annotated[str, typer.Argument(metavar="ID", help="Any of its ids, or eight letters of its own.")],
    as_json: Json = False,
) -> None:
    """Show one order: every step with who told it, and every fill."""
    run(_show(name.strip(), as_json), as_json=as_json)


@order.command("place")
def place_order(
    order_words: Annotated[
        list[str], typer.Argument(metavar="SIDE [QUANTITY] SYMBOL", help="Such as BUY 0.5 BTC/USDT.")
    ],
    account: Annotated[str, typer.Option("--account", help="Its name or id; else the newest.")] = "",
    strategy: Annotated[str, typer.Option("--strategy", help="Whose position it changes; else one by hand.")] = "",
    limit: Annotated[str, typer.Option("--limit", help="The worst price it may trade at; else the market's.")] = "",
    tif: Annotated[str, typer.Option("--tif", help="gtc, ioc, fok or gtd: how long it stands.")] = "",
    until: Annotated[str, typer.Option("--until", help="When it ends, in UTC, or in how long: 8h.")] = "",
    post_only: Annotated[bool, typer.Option("--post-only", help="Refused where it would trade at once.")] = False,
    reduce_only: Annotated[bool, typer.Option("--reduce-only", help="Never more than is held.")] = False,
    stop: Stop = "",
    target: Target = "",
    trail: Trail = "",
    then_stop: ThenStop = "",
    then_target: ThenTarget = "",
    then_trail: ThenTrail = "",
    over: Over = "",
    slices: Slices = 0,
    participate: Participate = "",
    iceberg: Iceberg = "",
    reason: Annotated[str, typer.Option("--reason", help="Why; kept with the order.")] = "",
    wait: Wait = 10,
    as_json: Json = False,
) -> None:
    """Place an order by hand. It is judged like every other; without a quantity it is sized like one.

    The wish is kept before anything else: it is carried out now, or when the platform runs again within five minutes of
    the market's time. Ends with code 1 where it is refused. One that waits for a price, or goes in parts, is kept
    until then; order algos lists them.
    """
    type_, quantity, symbol = read_order(order_words)
    algo = AlgoWords(
        stop=stop,
        target=target,
        trail=trail,
        then_stop=then_stop,
        then_target=then_target,
        then_trail=then_trail,
        over=over,
        slices=slices,
        participate=participate,
        iceberg=iceberg,
    )
    ends = until if algo and not (then_stop or then_target or then_trail) else ""
    terms = read_terms(
        Side(type_.value),
        tif=tif,
        until="" if ends else until,
        post_only=post_only,
        reduce_only=reduce_only,
        has_limit=bool(limit),
        is_swap=":" in symbol,
    )
    wish = Wish(
        type=type_,
        symbol=symbol,
        quantity=quantity,
        limit_price=read_positive("--limit", limit) if limit else None,
        terms=terms,
        lasts=read_lasts(until),
        account=account or None,
        strategy=strategy or None,
        actor=actor(),
        reason=reason,
    )
    if algo:
        kind, rules = read_algo_words(algo)
        run(
            place_algo(kind, wish, rules, read_time(ends) if ends and not read_lasts(ends) else None, as_json),
            as_json=as_json,
        )
    else:
        run(_place(wish, wait, as_json), as_json=as_json)


@order.command("replace")
def replace(
    name: Annotated[str, typer.Argument(metavar="ID", help="Any of its ids.")],
    quantity: Annotated[str, typer.Option("--quantity", help="In all, with what it has filled; else as it was.")] = "",
    limit: Annotated[str, typer.Option("--limit", help="The new worst price; else as it was.")] = "",
    reason: Annotated[str, typer.Option("--reason", help="Why; kept with the order.")] = "",
    as_json: Json = False,
) -> None:
    """Put another order in an order's place, once that one can trade no more."""
    if not quantity and not limit:
        raise UsageError("nothing changes; give a --quantity or a --limit")
    run(_replace(name.strip(), quantity, limit, reason, as_json), as_json=as_json)


order.command("algos")(algos)


@order.command("cancel")
def cancel_orders(
    names: Annotated[list[str], typer.Argument(metavar="ID...", help="Any of their ids.")],
    reason: Annotated[str, typer.Option("--reason", help="Why; kept with the order.")] = "cancelled by hand",
    wait: Wait = 10,
    as_json: Json = False,
) -> None:
    """Cancel orders. The wish is kept, and carried out by whichever executor looks next."""
    run(_cancel(names, None, None, reason, wait, as_json), as_json=as_json)


@order.command("cancel-all")
def cancel_all(
    symbol: Annotated[str, typer.Option("--symbol", "-s", help="Only of this market.")] = "",
    account: Account = "",
    reason: Annotated[str, typer.Option("--reason", help="Why; kept with the orders.")] = "cancelled by hand",
    wait: Wait = 10,
    as_json: Json = False,
) -> None:
    """Cancel every order that may still trade.

    What is kept until its price comes ends too, brackets with what they bought: that stays, and is named with what is
    left to guard it.
    """
    run(_cancel([], symbol_named(symbol), account or None, reason, wait, as_json), as_json=as_json)


def symbol_named(text: str) -> str | None:
    try:
        return canonical_symbol(read_name("--symbol", text)) if text else None
    except ValueError as error:
        raise UsageError(f"--symbol {text}: {error}") from None


async def _list(filters: Mapping[str, Any], as_json: bool) -> None:
    async with with_database() as database:
        rows = [dict(row) for row in await QUERIES.fetch(database, "order_list", **filters)]
    if as_json:
        emit_json({"orders": rows})
    elif not rows:
        show(dim("no orders"))
    else:
        headers = ("order", "at (UTC)", "account", "strategy", "symbol", "side", "quantity", "filled", "price", "state")
        show(table(headers, [_cells(row) for row in rows], right=("quantity", "filled", "price")))


def _cells(row: Row) -> tuple[Cell, ...]:
    return (
        row["client_order_id"],
        moment(row["order_time"]),
        row["account"],
        row["strategy"] or NOTHING,
        bold(row["symbol"]),
        row["side"],
        amount(row["quantity"]),
        amount(row["filled_quantity"]),
        price(row["avg_fill_price"] or row["price"]),
        _state(row["status"]),
    )


def _state(status: str) -> Cell:
    if status == OrderStatus.FILLED:
        return good(status)
    if status in (OrderStatus.UNKNOWN, OrderStatus.REJECTED, OrderStatus.NOT_FOUND):
        return bad(status)
    return status if status in FINAL else warning(status)


async def _replace(name: str, quantity: str, limit: str, reason: str, as_json: bool) -> None:
    async with open_everything() as (_, database):
        old = await _one(database.manager, name)
        await replace_order(
            database.manager,
            old["id"],
            quantity=read_positive("--quantity", quantity) if quantity else None,
            limit=read_positive("--limit", limit) if limit else None,
            actor=actor(),
            reason=reason,
            as_json=as_json,
        )


async def _show(name: str, as_json: bool) -> None:
    async with with_database() as database:
        if not await QUERIES.fetch(database, "order_of", name=name) and await show_algo(database, name, as_json):
            return
        row = dict(await _one(database, name))
        steps = [dict(one) for one in await QUERIES.fetch(database, "order_steps", order_id=row["id"])]
        fills = [dict(one) for one in await QUERIES.fetch(database, "order_fills", order_id=row["id"])]
    if as_json:
        emit_json({"order": row, "steps": steps, "fills": fills})
        return
    paid = f"{amount(row['commission'])} {row['commission_asset'] or ''}".strip()
    asked = f"{row['side']} {amount(row['quantity'])} {row['symbol']}, {words(row['order_type'])}"
    show(
        facts(
            [
                ("order", f"{row['client_order_id']}  {row['id']}"),
                ("asked for", asked + (f" at {price(row['price'])}" if row["price"] else "") + terms_words(row)),
                ("of", f"{row['strategy'] or NOTHING} on {row['account']} ({row['environment']})"),
                ("state", _state(row["status"])),
                ("filled", f"{amount(row['filled_quantity'])} at {price(row['avg_fill_price'])}, fee {paid}"),
                ("at the venue", row["exchange_order_id"] or NOTHING),
            ]
        ),
        "",
        table(("at (UTC)", "step", "told by", "because"), [_step(one) for one in steps]),
    )
    if fills:
        headers = ("fill", "at (UTC)", "quantity", "price", "fee", "realised", "ledger")
        show(
            "", table(headers, [_fill(one) for one in fills], right=("quantity", "price", "fee", "realised", "ledger"))
        )
    show("", dim(f"why: mastertrade why {row['client_order_id']}"))


def _step(one: Row) -> tuple[Cell, ...]:
    what = (
        f"{one['from_status'] or ''} → {one['to_status']}".strip(" →") if one["to_status"] else words(one["event_type"])
    )
    told = one["payload"] or {}
    return moment(one["occurred_at"]), what, one["source"], str(told.get("reason") or told.get("error") or "")


def _fill(one: Row) -> tuple[Cell, ...]:
    return (
        one["exchange_trade_id"],
        moment(one["trade_time"]),
        amount(one["quantity"]),
        price(one["price"]),
        f"{amount(one['commission'])} {one['commission_asset'] or ''}".strip(),
        NOTHING if one["realized_pnl"] is None else amount(one["realized_pnl"]),
        str(one["ledger_entry_id"] or NOTHING),
    )


async def _one(database: PostgresManager, name: str) -> Row:
    found = await QUERIES.fetch(database, "order_of", name=name)
    if not found:
        raise NotFound(f"there is no order {name!r}; mastertrade order list shows them")
    if len(found) > 1:
        raise UsageError(f"{name!r} is the beginning of several orders; give more of it")
    return found[0]


async def _cancel(
    names: Sequence[str], symbol: str | None, account: str | None, reason: str, wait_s: float, as_json: bool
) -> None:
    async with open_everything() as (_, database):
        manager, who = database.manager, actor()
        algo_ids: list[Any] = []
        if names:
            ids, found = await _named(manager, names)
            wanted = sum([await cancels(manager).want(order_id=id, reason=reason, actor=who) for id in ids])
            for id in found:
                algo_ids += await algo_orders(manager).want_ended(id=id, actor=who)
        else:
            account_id = None
            if account is not None:
                account_id = await QUERIES.fetchval(manager, "order_account", account=account)
                if account_id is None:
                    raise NotFound(f"there is no account {account!r}")
            if symbol is not None and not await QUERIES.fetchval(manager, "is_market", symbol=symbol):
                raise NotFound(f"{symbol} is no market here; see `mastertrade data instruments`")
            rows = await QUERIES.fetch(manager, "orders_to_cancel", symbol=symbol, account_id=account_id)
            ids = [row["id"] for row in rows]
            algo_ids = await algo_orders(manager).want_ended(symbol=symbol, account_id=account_id, actor=who)
            wanted = await cancels(manager).want(symbol=symbol, account_id=account_id, reason=reason, actor=who)
        is_heard = await QUERIES.fetchval(manager, "is_somebody_there")
        kept = await ended(manager, algo_ids, wait_s if is_heard else 0.0, LOOK_EVERY_S)
        states = await _ended(manager, ids, wait_s if is_heard else 0.0)
        left = await unguarded(manager, algo_ids)
    if as_json:
        emit_json({"wanted": wanted + len(algo_ids), "orders": states, "algo_orders": kept, "unguarded": left})
        return
    if not states and not kept:
        show(dim("no order may still trade"))
        return
    cells = [(one["client_order_id"], bold(one["symbol"]), one["side"], amount(one["quantity"]),
              amount(one["filled_quantity"]), _state(one["status"])) for one in states]  # fmt: skip
    cells += [ended_cells(one) for one in kept]  # type: ignore[misc]
    show(table(("order", "symbol", "side", "quantity", "filled", "state"), cells, right=("quantity", "filled")))
    if any(one["status"] not in FINAL for one in states) or any(one["ended_at"] is None for one in kept):
        told = "not confirmed yet; order list shows when it is" if is_heard else "nothing runs here: it waits"
        show("", dim(told))
    for one in left:
        show("", warning(unguarded_words(one)))


async def _named(manager: PostgresManager, names: Sequence[str]) -> tuple[list[Any], list[Any]]:
    """Orders, and algo orders."""
    ids: list[Any] = []
    algo_ids: list[Any] = []
    for name in (one.strip() for one in names):
        if await QUERIES.fetch(manager, "order_of", name=name):
            ids.append((await _one(manager, name))["id"])
        elif (algo_id := await algo_orders(manager).find(name)) is not None:
            algo_ids.append(algo_id)
        else:
            ids.append((await _one(manager, name))["id"])
    return ids, algo_ids


async def _ended(manager: PostgresManager, ids: Sequence[Any], wait_s: float) -> list[dict[str, Any]]:
    loop = asyncio.get_running_loop()
    until = loop.time() + wait_s
    while True:
        states = [dict(row) for row in await QUERIES.fetch(manager, "order_states", ids=list(ids))]
        if all(one["status"] in FINAL for one in states) or loop.time() >= until:
            return states
        await asyncio.sleep(LOOK_EVERY_S)


async def _place(wish: Wish, wait_s: float, as_json: bool) -> None:
    async with open_everything() as (_, database):
        wished = await manual_orders(database.manager).place(wish)
        is_heard = await QUERIES.fetchval(database.manager, "is_somebody_there")
        came = await _outcome(database.manager, wished, wait_s if is_heard else 0.0)
    if as_json:
        emit_json({"signal_id": wished.signal.id, "account": wished.account, "strategy": wished.strategy, **came})
    else:
        _print_placed(wished, came, bool(is_heard))
    if came["disposition"] not in (None, "approved", "reduced"):
        raise SystemExit(REFUSED)


async def _outcome(manager: PostgresManager, wished: Wished, wait_s: float) -> dict[str, Any]:
    """What has become of it by then, or as soon as nothing more can come."""
    loop = asyncio.get_running_loop()
    until = loop.time() + wait_s
    while True:
        rows: Sequence[Row] = await QUERIES.fetch(manager, "hand_outcome", signal_id=wished.signal.id)
        came = dict(rows[-1])
        is_refused = came["disposition"] not in (None, "approved", "reduced")
        if is_refused or came["status"] in FINAL or loop.time() >= until:
            return came
        await asyncio.sleep(LOOK_EVERY_S)


def _print_placed(wished: Wished, came: Row, is_heard: bool) -> None:
    signal = wished.signal
    asked = "as much as risk allows of" if signal.quantity is None else amount(signal.quantity)
    at = f"about {price(Decimal(repr(signal.price)))}"
    if signal.limit_price is not None:
        at = f"{price(signal.limit_price)} or better, the market is at {at}"
    if told := str(signal.terms):
        at = f"{at}; {told}"
    rows: list[tuple[str, Cell]] = [
        ("wished for", f"{signal.type} {asked} {signal.symbol} at {at}"),
        ("on", f"{wished.account}, by {wished.strategy}, market time {moment(signal.raised_at)} UTC"),
    ]
    if came["disposition"] is None:
        minutes = int(VALID.total_seconds() // 60)
        waits = f"for at most {minutes} minutes of the market's time"
        rows.append(("verdict", warning("not yet" if is_heard else f"nothing runs here: it waits {waits}")))
    else:
        is_let_through = came["disposition"] in ("approved", "reduced")
        rows.append(("verdict", (good if is_let_through else bad)(came["disposition"])))
        if came["reason"]:
            rows.append(("because", came["reason"]))
    if came["status"] is not None:
        rows.append(("order", came["client_order_id"]))
        rows.append(("state", _state(came["status"])))
        if came["filled_quantity"]:
            paid = f"{amount(came['commission'])} {came['commission_asset'] or ''}".strip()
            filled = f"{amount(came['filled_quantity'])} at {price(came['avg_fill_price'])}, fee {paid}"
            rows.append(("filled", filled))
    show(facts(rows), "", dim(f"why: mastertrade why {came['client_order_id'] or signal.id}"))
