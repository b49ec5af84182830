"""``mastertrade why``: one order, or a signal that never became one, explained from foreign keys."""

import re
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Final

import typer
from rich.text import Text

from mastertrade.cli.application import Json, run, with_database
from mastertrade.cli.output import Cell, bad, bold, emit_json, good, grid, say, show, table
from mastertrade.cli.queries import QUERIES
from mastertrade.cli.wording import (
    NOTHING,
    amount,
    clock_time,
    counted,
    interval,
    measure,
    milliseconds,
    moment,
    money,
    price,
    words,
)
from mastertrade.shared.errors import NotFound
from mastertrade.shared.postgres_manager import PostgresManager

LAST_ORDER: Final = "last-order"
LAST_REFUSAL: Final = "last-refusal"
PRICES: Final = ("open", "high", "low", "close")
NOT_A_VALUE: Final = {*PRICES, "volume", "time", "symbol", "bar_open", "bar_close"}
PLAIN: Final = {"flag", "tightness"}
"""Units that say no more than the detail does."""
NAMES: Final = 12
"""Columns of the step names, so that what they say stands in one column."""
INDENT: Final = 2

Row = Mapping[str, Any]


def why(
    what: Annotated[
        str, typer.Argument(help="last-order, last-refusal, or the id of an order or of a signal.")
    ] = LAST_ORDER,
    as_json: Json = False,
) -> None:
    """Explain an order, from the candle to the ledger.

    A signal that was refused is explained from the candle to the verdict. All of it is read by foreign keys, from the
    view v_lineage.
    """
    run(_why(what, as_json), as_json=as_json)


async def _why(what: str, as_json: bool) -> None:
    async with with_database() as database:
        row = await _find(database, what.strip())
    if as_json:
        emit_json(row)
    elif "order_id" in row:
        _print_order(row)
    else:
        _print_signal_only(row)


async def _find(database: PostgresManager, what: str) -> Row:
    """The lineage of an order, else that of a signal. NotFound with the next step."""
    if what == LAST_ORDER:
        last = await QUERIES.fetchrow(database, "last_order", account_id=None)
        if last is None:
            raise NotFound("there is no order yet: run `mastertrade demo` or `mastertrade up` first")
        what = last["id"]
    elif what == LAST_REFUSAL:
        what = await QUERIES.fetchval(database, "last_refusal") or ""
        if not what:
            raise NotFound("no signal was refused yet: run `mastertrade demo` or `mastertrade up` first")
    row = await QUERIES.fetchrow(database, "lineage", order_text=what)
    if row is None:
        row = await QUERIES.fetchrow(database, "signal_lineage", signal_text=what.lower())
    if row is None:
        raise NotFound(
            f"there is no order or signal {what!r}: `mastertrade status` lists the last orders, "
            f"`mastertrade why {LAST_REFUSAL}` finds the last refused signal"
        )
    return dict(row)


def _print_order(row: Row) -> None:
    filled = "" if row["avg_fill_price"] is None else f" at {price(row['avg_fill_price'])}"
    wanted = f"  {row['side']} {amount(row['quantity'])} {row['symbol']} {row['order_type']}  "
    say(bold(f"order {row['client_order_id']}"), wanted, bold(f"{row['status']}{filled}"))
    say(f"account {row['account']} at {row['venue']} ({row['environment']}), strategy {row['strategy'] or NOTHING}")
    show("")
    _print_signal(row)
    _print_verdict(row)
    reserved = (
        f"{amount(row['reserved_amount'])} {row['reserved_asset']} reserved" if row["reserved_asset"] else NOTHING
    )
    _print_step(
        4, "approval", f"{reserved}, valid from {moment(row['approved_at'])} to {moment(row['valid_until'])} UTC"
    )
    show("")
    _print_venue(row["steps"] or [])
    _print_fills(row["fills"] or [])
    _print_ledger(row["ledger"] or [])
    show(_sql("SELECT * FROM v_lineage WHERE client_order_id =", row["client_order_id"]))


def _print_signal_only(row: Row) -> None:
    outcome = bold(row["disposition"] or "not judged yet")
    say(bold(f"signal {row['signal_id']}"), f"  {row['signal_type']} {row['symbol']}  ", outcome)
    say(f"account {row['account'] or NOTHING} at {row['venue'] or NOTHING}, strategy {row['strategy']}")
    if row["verdict_reason"]:
        say(f"because {row['verdict_reason']}")
    show("")
    _print_signal(row)
    _print_verdict(row)
    show(_sql("SELECT * FROM verdict_checks WHERE verdict_id =", row["verdict_id"]))


def _sql(start: str, id: object) -> Text:
    """The statement that shows the same, to be pasted after `mastertrade sql`."""
    return Text.assemble(f"sql: {start} '{id}'", style="dim")


def _print_step(number: int, name: str, *said: str) -> None:
    """A numbered step; what else it says stands below the first."""
    heads: list[Cell] = [bold(f"{number} {name:<{NAMES - 2}}"), *[""] * len(said)]
    show(grid(list(zip(heads, filter(None, said), strict=False))))


def _print_signal(row: Row) -> None:
    evidence = dict(row["evidence"] or {})
    volume = f", volume {price(evidence['volume'])}" if "volume" in evidence else ""
    closed = f"{row['symbol']} {interval(row['timeframe_s'])} closed {moment(row['bar_close'])} UTC{volume}"
    candle = "  ".join(f"{name} {price(evidence[name])}" for name in PRICES if name in evidence)
    _print_step(1, "candle", closed, candle)
    wish = f"{row['signal_type']} at {price(row['signal_price'])}, confidence {measure(row['confidence'])} of 100"
    values = "  ".join(f"{name} {_evidence(evidence[name])}" for name in _in_order(evidence) if name not in NOT_A_VALUE)
    _print_step(2, "signal", wish, values)


def _print_verdict(row: Row) -> None:
    checks = row["checks"] or []
    failed = sum(not check["passed"] for check in checks)
    passed = f"{counted(len(checks) - failed, 'check')} passed" + (f", {failed} refused" if failed else "")
    said = (
        f"{row['disposition'] or NOTHING} at {moment(row['decided_at'])} UTC: "
        f"asked {amount(row['requested_quantity'])}, approved {amount(row['approved_quantity'])}, "
        f"equity {money(row['equity'])}, {passed}"
    )
    _print_step(3, "verdict", said)
    rows = [
        (
            good("ok") if check["passed"] else bad("refused"),
            words(check["name"]),
            measure(check["value"]),
            measure(check["limit"]),
            "" if check["unit"] in PLAIN else check["unit"],
            check["detail"],
        )
        for check in checks
    ]
    if rows:
        show(table(("", "check", "value", "limit", "unit", "detail"), rows, right=("value", "limit"), indent=INDENT))
    show("")


def _print_venue(steps: Sequence[Row]) -> None:
    """Each step by the market's time, and when it was written down by the machine's clock."""
    days = {moment(step["at"])[:10] for step in steps}
    written = f", on {min(days)} in the market, recorded on {moment(steps[0]['recorded_at'])[:10]} UTC" if steps else ""
    _print_step(5, "venue", f"{counted(len(steps), 'step')}{written}")
    before: str | None = None
    rows = []
    for step in steps:
        market_time, at = moment(step["at"]), step["recorded_at"]
        rows.append(
            (
                step["to"] or step["event"],
                step["source"],
                market_time[11:] if len(days) == 1 else market_time,
                clock_time(at),
                milliseconds(before, at),
                _said(step),
            )
        )
        before = at
    if rows:
        headers = ("step", "said by", "market", "recorded", "after", "with")
        show(table(headers, rows, right=("after",), indent=INDENT))
    show("")


def _print_fills(fills: Sequence[Row]) -> None:
    _print_step(6, "fills", f"{len(fills)}" if fills else "none yet")
    rows = [
        (
            f"{moment(fill['at'])}",
            amount(fill["quantity"]),
            price(fill["price"]),
            amount(fill["commission"]),
            fill["commission_asset"] or "",
            money(fill["realized_pnl"]),
            fill["exchange_trade_id"],
        )
        for fill in fills
    ]
    headers = ("market time (UTC)", "quantity", "price", "fee", "in", "realised", "fill")
    if rows:
        show(table(headers, rows, right=("quantity", "price", "fee", "realised"), indent=INDENT))
    show("")


def _print_ledger(lines: Sequence[Row]) -> None:
    entries = len({line["entry_id"] for line in lines})
    said = f"{counted(entries, 'entry', 'entries')}, each sums to zero per asset" if lines else "nothing booked yet"
    _print_step(7, "ledger", said)
    rows = [(str(line["entry_id"]), line["account"], amount(line["amount"]), line["asset"]) for line in lines]
    if rows:
        show(table(("entry", "account", "amount", "asset"), rows, right=("entry", "amount"), indent=INDENT))
    show("")


def _in_order(names: Mapping[str, Any]) -> list[str]:
    """``sma_5`` before ``sma_20``."""

    def key(name: str) -> list[tuple[bool, int, str]]:
        return [(part.isdigit(), int(part) if part.isdigit() else 0, part) for part in re.split(r"(\d+)", name) if part]

    return sorted(names, key=key)


def _evidence(value: Any) -> str:
    return price(value) if isinstance(value, int | float) and not isinstance(value, bool) else str(value)


def _said(step: Row) -> str:
    """What came with a step and is not said elsewhere: the fills have a table of their own."""
    if step["event"] == "fill":
        return f"fill {step['payload'].get('exchange_trade_id', '')}".strip()
    shown = {name: value for name, value in step["payload"].items() if value not in ("", None) and name != "status"}
    return "  ".join(f"{words(name)} {_shortened(value)}" for name, value in shown.items())


def _shortened(value: Any) -> str:
    """Numbers and times of a payload, which hold more digits than anybody reads."""
    text = str(value)
    if re.fullmatch(r"\d{4}-\d\d-\d\dT[\d:.]+(\+00:00|Z)", text):
        return moment(text)[11:]
    return price(text) if re.fullmatch(r"-?\d+\.\d+", text) else text
