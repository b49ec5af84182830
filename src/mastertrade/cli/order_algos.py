"""Orders that are kept here until their time comes: what people write for them, and what has become of them."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from mastertrade.cli.application import Json, open_everything, run, with_database
from mastertrade.cli.order_terms import read_lasts
from mastertrade.cli.output import Cell, bad, bold, dim, emit_json, facts, good, show, table, warning
from mastertrade.cli.reading import read_positive
from mastertrade.cli.wording import NOTHING, amount, moment, price
from mastertrade.doors import algo_orders
from mastertrade.shared.errors import UsageError
from mastertrade.shared.postgres_manager import PostgresManager
from mastertrade.shared.queries import load_queries
from mastertrade.strategy_service.algos.door import Placed
from mastertrade.strategy_service.algos.models import AlgoKind, Rules, Watch
from mastertrade.strategy_service.manual import Wish

QUERIES = load_queries(Path(__file__).with_name("algos.sql"))
ORDERS = load_queries(Path(__file__).with_name("orders.sql"))
SLICE_EVERY: Final = timedelta(minutes=5)
"""Where nobody says how many."""
Row = Mapping[str, Any]


def _option(flag: str, help: str) -> Any:
    return typer.Option(flag, help=help, show_default=False)


Stop = Annotated[str, _option("--stop", "Trigger where the market is worse than this.")]
Target = Annotated[str, _option("--target", "Trigger where it is better: a take-profit.")]
Trail = Annotated[str, _option("--trail", "Trigger so many percent behind the best price.")]
ThenStop = Annotated[str, _option("--then-stop", "Bracket: sell what was bought, at this or worse.")]
ThenTarget = Annotated[str, _option("--then-target", "Bracket: sell it at this or better.")]
ThenTrail = Annotated[str, _option("--then-trail", "Bracket: sell it this many percent below its best.")]
Over = Annotated[str, _option("--over", "TWAP: equal slices over this long, such as 2h.")]
Slices = Annotated[int, _option("--slices", "TWAP: how many; else one every five minutes.")]
Participate = Annotated[str, _option("--participate", "Slices of so many percent of the market's volume.")]
Iceberg = Annotated[str, _option("--iceberg", "Show only this much of a limit order at once.")]


@dataclass(frozen=True, slots=True, kw_only=True)
class AlgoWords:
    """As they were written; empty is not asked for."""

    stop: str = ""
    target: str = ""
    trail: str = ""
    then_stop: str = ""
    then_target: str = ""
    then_trail: str = ""
    over: str = ""
    slices: int = 0
    participate: str = ""
    iceberg: str = ""

    def __bool__(self) -> bool:
        return any(getattr(self, one.name) for one in fields(self))


def read_algo_words(words: AlgoWords) -> tuple[AlgoKind, Rules]:
    """UsageError for what is no number or no time, and for kinds that do not go together."""
    trigger = Watch(
        stop=_number("--stop", words.stop),
        target=_number("--target", words.target),
        trail=_number("--trail", words.trail),
    )
    bracket = Watch(
        stop=_number("--then-stop", words.then_stop),
        target=_number("--then-target", words.then_target),
        trail=_number("--then-trail", words.then_trail),
    )
    found: list[tuple[AlgoKind, Rules]] = []
    if trigger:
        found.append((AlgoKind.TRIGGER, Rules(watch=trigger)))
    if bracket:
        found.append((AlgoKind.BRACKET, Rules(watch=bracket)))
    if words.over or words.slices:
        if not words.over:
            raise UsageError("--slices needs --over: how long they take together, such as --over 2h")
        over = read_duration("--over", words.over)
        found.append((AlgoKind.TWAP, Rules(over_s=over, slices=words.slices or _slices(over))))
    if words.participate:
        found.append((AlgoKind.PARTICIPATION, Rules(percent=_number("--participate", words.participate))))
    if words.iceberg:
        found.append((AlgoKind.ICEBERG, Rules(display=_number("--iceberg", words.iceberg))))
    if len(found) > 1:
        raise UsageError(f"an order is one of {' and '.join(kind.value for kind, _ in found)}; leave out the others")
    return found[0]


def read_duration(option: str, text: str) -> int:
    """Seconds. UsageError for what is no such time."""
    found = read_lasts(text)
    if not found:
        raise UsageError(f"{option} {text!r} is no time; write it like 90m, 8h or 1d12h")
    return int(found.total_seconds())


def _slices(over_s: int) -> int:
    return max(1, over_s // int(SLICE_EVERY.total_seconds()))


def _number(option: str, text: str) -> Decimal | None:
    return read_positive(option, text.removesuffix("%")) if text else None


async def place_algo(kind: AlgoKind, wish: Wish, rules: Rules, ends_at: datetime | None, as_json: bool) -> None:
    async with open_everything() as (_, database):
        placed = await algo_orders(database.manager).place(kind, wish, rules, ends_at=ends_at)
        is_heard = await ORDERS.fetchval(database.manager, "is_somebody_there")
    _told(
        placed, rules, f"{wish.type} {'' if wish.quantity is None else amount(wish.quantity) + ' '}", is_heard, as_json
    )


def _told(placed: Placed, rules: Rules, asked: str, is_heard: bool, as_json: bool) -> None:
    place = placed.place
    if as_json:
        emit_json(
            {
                "algo_order": placed.id,
                "kind": placed.kind,
                "account": place.account,
                "strategy": place.strategy,
                "rules": rules.to_json(),
            }
        )
        return
    rows: list[tuple[str, Cell]] = [
        ("wished for", f"{asked}{place.symbol}: {placed.kind}{_rules_words(rules.to_json())}"),
        ("on", f"{place.account}, by {place.strategy}, the market is at {price(Decimal(repr(place.price)))}"),
        ("state", warning("working" if is_heard else "kept; nothing runs here, it waits")),
    ]
    name = str(placed.id)[:8]
    show(facts(rows), "", dim(f"order show {name} tells what comes of it; order cancel {name} ends it"))


def algos(
    with_past: Annotated[bool, typer.Option("--all", help="Those that have ended too.")] = False,
    symbol: Annotated[str, typer.Option("--symbol", "-s", help="Only of this market.")] = "",
    number: Annotated[int, typer.Option("--number", "-n", min=1, max=1000, help="How many.")] = 20,
    as_json: Json = False,
) -> None:
    """List orders that wait here for their time, and those under way in parts."""
    run(_list(with_past, symbol.upper() or None, number, as_json), as_json=as_json)


async def _list(with_past: bool, symbol: str | None, number: int, as_json: bool) -> None:
    async with with_database() as database:
        found = await QUERIES.fetch(database, "algo_rows", id=None, with_past=with_past, symbol=symbol, page=number)
        rows = [dict(row) for row in found]
    if as_json:
        emit_json({"algo_orders": rows})
    elif not rows:
        show(dim("no orders wait here for their time"))
    else:
        headers = ("id", "since (UTC)", "account", "symbol", "kind", "side", "quantity", "filled", "waits for", "state")
        show(table(headers, [_cells(row) for row in rows], right=("quantity", "filled")))


def _cells(row: Row) -> tuple[Cell, ...]:
    return (
        str(row["id"])[:8],
        moment(row["began_at"]),
        row["account"],
        bold(row["symbol"]),
        row["kind"],
        row["side"],
        NOTHING if row["quantity"] is None else amount(row["quantity"]),
        amount(row["filled"]),
        _rules_words(row["rules"]).strip(),
        _state(row["status"]),
    )


def _state(status: str) -> Cell:
    if status == "done":
        return good(status)
    return bad(status) if status == "failed" else warning(status) if status in ("working", "ending") else status


def _rules_words(rules: Row) -> str:
    watch = rules.get("watch") or {}
    told = [f"{name} {watch[name]}" for name in ("stop", "target") if name in watch]
    told += [f"trail {watch['trail']} %"] if "trail" in watch else []
    if "over_s" in rules:
        told.append(f"{rules['slices']} slices over {timedelta(seconds=rules['over_s'])}")
    told += [f"{rules['percent']} % of volume"] if "percent" in rules else []
    told += [f"{rules['display']} shown"] if "display" in rules else []
    return f" {', '.join(told)}" if told else ""


async def show_algo(manager: PostgresManager, name: str, as_json: bool) -> bool:
    """False when there is none of that name."""
    id = await algo_orders(manager).find(name)
    if id is None:
        return False
    row = await _one(manager, id)
    steps = [dict(one) for one in await QUERIES.fetch(manager, "algo_steps", id=id)]
    if as_json:
        emit_json({"algo_order": row, "steps": steps})
        return True
    asked = "as much as risk allows of" if row["quantity"] is None else amount(row["quantity"])
    at = f" at {price(row['limit_price'])}" if row["limit_price"] else ""
    ends = f" until {moment(row['ends_at'])} UTC" if row["ends_at"] else ""
    show(
        facts(
            [
                ("algo order", f"{row['id']}"),
                (
                    "asked for",
                    f"{row['side']} {asked} {row['symbol']}{at}: {row['kind']}{_rules_words(row['rules'])}{ends}",
                ),
                ("of", f"{row['strategy']} on {row['account']}, by {row['actor']}, {moment(row['began_at'])} UTC"),
                ("state", _state(row["status"])),
                ("because", row["outcome"] or NOTHING),
                ("filled", amount(row["filled"])),
            ]
        )
    )
    if steps:
        headers = ("step", "at (UTC)", "quantity", "verdict", "order", "state", "filled", "price")
        show("", table(headers, [_step(one) for one in steps], right=("quantity", "filled", "price")))
    return True


async def _one(manager: PostgresManager, id: Any) -> dict[str, Any]:
    return dict((await QUERIES.fetch(manager, "algo_rows", id=id, with_past=True, symbol=None, page=1))[0])


def _step(one: Row) -> tuple[Cell, ...]:
    return (
        f"{one['step']} {one['leg']}",
        moment(one["raised_at"]),
        NOTHING if one["quantity"] is None else amount(one["quantity"]),
        one["disposition"] or NOTHING,
        one["client_order_id"] or NOTHING,
        one["status"] or NOTHING,
        NOTHING if one["filled_quantity"] is None else amount(one["filled_quantity"]),
        price(one["avg_fill_price"]),
    )


async def ended(manager: PostgresManager, ids: Sequence[Any], wait_s: float, every_s: float) -> list[dict[str, Any]]:
    """Their states, once all are over or the time is."""
    loop = asyncio.get_running_loop()
    until = loop.time() + wait_s
    while True:
        rows = [await _one(manager, id) for id in ids]
        if all(row["status"] not in ("working", "ending") for row in rows) or loop.time() >= until:
            return rows
        await asyncio.sleep(every_s)


async def unguarded(manager: PostgresManager, ids: Sequence[Any]) -> list[dict[str, Any]]:
    """Positions that were guarded by one of these, and by nothing of theirs any more."""
    return [dict(row) for row in await QUERIES.fetch(manager, "algo_unguarded", ids=list(ids))]


def unguarded_words(row: Row) -> str:
    stop = row["stop_price"]
    left = "nothing guards it now" if stop is None else f"what is left is the risk manager's stop at {price(stop)}"
    sale = "SELL" if row["side"] == "long" else "BUY"
    again = f"order place {sale} {amount(row['quantity'])} {row['symbol']} --reduce-only --stop PRICE"
    held = f"{row['symbol']}: {amount(row['quantity'])} {row['side']} is still held and its {row['kind']} has ended"
    return f"{held}; {left}. Guard it: {again}; give it up: risk flatten"


def ended_cells(row: Row) -> tuple[Cell, ...]:
    quantity = NOTHING if row["quantity"] is None else amount(row["quantity"])
    return (
        str(row["id"])[:8], bold(row["symbol"]), row["side"], quantity, amount(row["filled"]), _state(row["status"]),
    )  # fmt: skip


async def replace_order(
    manager: PostgresManager,
    order_id: Any,
    *,
    quantity: Decimal | None,
    limit: Decimal | None,
    actor: str,
    reason: str,
    as_json: bool,
) -> None:
    placed = await algo_orders(manager).replace(
        order_id, quantity=quantity, limit_price=limit, actor=actor, reason=reason
    )
    is_heard = await ORDERS.fetchval(manager, "is_somebody_there")
    _told(placed, Rules(), "another order for ", is_heard, as_json)
