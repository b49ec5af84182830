"""A desk in the middle of its work, and every function of the schema about orders with sound arguments for it."""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

from mastertrade.postgres import apply
from mastertrade.shared.postgres_manager import Database, PostgresManager, Transaction
from mastertrade.shared.serialization import new_id
from tests.postgres.executor_seed import ROLE, START, Desk, open_desk

ELSEWHERE = ("market", "backtests", "arbitrage", "instruments", "lineage", "ground", "times")
"""Files of the schema that are not about orders."""
LATER = START + timedelta(days=1)
NUMBER = "0.1"
DEFAULTS: dict[str, Any] = {
    "numeric": NUMBER,
    "double precision": NUMBER,
    "timestamp with time zone": START + timedelta(seconds=5),
    "text": "x",
    "jsonb": "{}",
    "integer": 1,
    "bigint": 1,
    "boolean": "false",
    "uuid": "0b1d2c3e-4f50-4a61-8b72-9c83ad94be05",
    "text[]": "{x}",
    "numeric[]": f"{{{NUMBER}}}",
}
"""By type, where nothing is known of the name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Function:
    name: str
    arguments: Sequence[tuple[str, str]]
    is_stable: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    desk: Desk
    known: dict[str, Any]

    def value_of(self, function: str, name: str, type_: str) -> str | None:
        """Of an argument, by function and name, else by name, else by type."""
        found = self.known.get(f"{function}.{name}", self.known.get(name, DEFAULTS.get(type_)))
        return None if found is None else str(found)

    async def call(self, tx: Transaction, function: Function, **changes: str) -> None:
        """Every value goes as text, so that the server makes of it what it makes of anybody's."""
        given = ", ".join(f"{name} => ${at}::text::{type_}" for at, (name, type_) in enumerate(function.arguments, 1))
        values = [changes.get(name, self.value_of(function.name, name, type_)) for name, type_ in function.arguments]
        await tx.fetch(f"SELECT count(*) FROM {function.name}({given})", *values)
        await tx.execute("SET CONSTRAINTS ALL IMMEDIATE")


async def functions_of(db: Database) -> list[Function]:
    """By the files that make them."""
    names: set[str] = set()
    for file in Path(apply.__file__).with_name("schema").glob("*.sql"):
        if not file.stem.startswith(ELSEWHERE):
            names |= set(re.findall(r"CREATE OR REPLACE FUNCTION ([\w.]+)\s*\(", file.read_text(encoding="utf-8")))
    rows = await db.fetch(
        "SELECT p.oid::regproc::text AS name, p.provolatile <> 'v' AS is_stable, "
        "       coalesce(p.proargnames[:p.pronargs], '{}') AS names, "
        "       ARRAY(SELECT format_type(t, NULL) FROM unnest(p.proargtypes) WITH ORDINALITY AS u (t, n) "
        "              ORDER BY n) AS types "
        "  FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace "
        " WHERE n.nspname IN ('public', 'paper_venue') AND p.prorettype <> 'trigger'::regtype AND p.provariadic = 0 "
        "   AND (p.proname = ANY ($1) OR n.nspname || '.' || p.proname = ANY ($1)) ORDER BY 1, p.oid",
        sorted(names),
    )
    return [
        Function(
            name=row["name"], is_stable=row["is_stable"], arguments=tuple(zip(row["names"], row["types"], strict=True))
        )
        for row in rows
    ]


async def busy_world(manager: PostgresManager) -> World:
    """A position with a stop, one without, a resting order, an approval that waits, a signal nobody has judged."""
    desk = await open_desk(manager)
    await desk.hear(await desk.approve(quantity="1"))
    await desk.next_bar()
    resting = await desk.approve(quantity="0.5", limit="50")
    await desk.hear(resting)
    waiting = await desk.approve(quantity="0.3")
    order = await manager.fetchrow("SELECT * FROM orders WHERE approval_id = $1", resting.approval.approval_id)
    assert order is not None
    account, market, signal_id, another = desk.account.id, desk.instrument.id, uuid4(), new_id(START)
    signal = "SELECT raise_signal_by_hand($1, $2, $3, $4, 'BUY', 0.1, 100, NULL, '{}', '{}', $5, $5)"
    await manager.execute(signal, signal_id, desk.strategy_id, account, market, START)
    await manager.execute("INSERT INTO strategies (id, name, type) VALUES ($1, 'another', 'SMA')", another)
    for id, strategy in (("held", desk.strategy_id), ("bare", another)):
        await manager.execute(
            "INSERT INTO risk_positions "
            "(id, strategy_id, account_id, instrument_id, symbol, side, quantity, entry_price) "
            "VALUES ($1, $2, $3, $4, 'BTC/USDT', 'long', 1, 100)",
            id, strategy, account, market,
        )  # fmt: skip
    attach = "SELECT attach_stop($1, $2, $3, 'fixed', 90, '{}', '{}', $4)"
    stop = await manager.fetchval(attach, account, desk.strategy_id, market, START)
    await manager.execute(
        "INSERT INTO paper_venue.positions (account, symbol, quantity, cost, mark, changed_at, settled_to) "
        "VALUES ('desk', 'BTC/USDT', 1, 100, 100, $1, $1)",
        START,
    )
    contracts = "INSERT INTO contract_positions (account_id, instrument_id, updated_at) VALUES ($1, $2, $3)"
    await manager.execute(contracts, account, market, START)
    paper = await manager.fetchval("SELECT id FROM paper_venue.orders WHERE status = 'OPEN' LIMIT 1")
    known = {
        "p_account": account,
        "p_account_id": account,
        "p_strategy": desk.strategy_id,
        "p_strategy_id": desk.strategy_id,
        "attach_stop.p_strategy": another,
        "p_instrument": market,
        "p_instrument_id": market,
        "p_order": order["id"],
        "p_order_id": order["id"],
        "paper_venue.fill.p_order_id": paper,
        "paper_venue.fill_swap.p_order_id": paper,
        "p_client_order_id": order["client_order_id"],
        "p_signal_id": signal_id,
        "p_reservation_id": order["reservation_id"],
        "reserve_balance.p_reservation_id": uuid4(),
        "release_reservation.p_reservation_id": waiting.approval.reservation_id,
        "cancel_stop.p_id": stop,
        "change_stop.p_id": stop,
        "p_epoch": desk.lease.epoch,
    }
    return World(desk=desk, known=WORDS | TERMS | known | _json(str(stop)))


def _json(stop: str) -> dict[str, str]:
    """Arguments that are documents; their numbers are told apart by being NUMBER."""
    ids = [str(UUID(int=at)) for at in (1, 2)]
    check = {"name": "n", "value": NUMBER, "limit": "1", "unit": "u", "passed": True, "detail": "d"}
    approval = {
        "id": ids[0],
        "reservation_id": ids[1],
        "reserve_asset": "USDT",
        "reserve_amount": NUMBER,
        "side": "BUY",
    }
    limit = {"order_type": "LIMIT", "limit_price": NUMBER, "reduces": False, "valid_until": str(LATER)}
    move = {"id": stop, "is_triggered": False}
    prices = dict.fromkeys(("stop_price", "current_price", "best", "profit_loss"), NUMBER)
    difference = {"kind": "balance", "subject": "USDT", "ours": NUMBER, "theirs": NUMBER, "detail": "d", "blocks": True}
    alert = {"id": "a1", "alert_type": "t", "severity": "high", "title": "t", "message": "m", "recommendation": "r"}
    figures = {"symbol": None, "is_beyond": True, "current_value": NUMBER, "threshold_value": NUMBER}
    documents = {
        "p_checks": [check],
        "p_approval": approval | limit,
        "p_moves": [move | prices],
        "p_breaks": [difference],
        "p_found": [alert | figures],
    }
    return {name: json.dumps(document) for name, document in documents.items()}


WORDS: dict[str, Any] = {
    "p_symbol": "BTC/USDT", "p_venue": "simulated", "p_asset": "USDT", "p_quote": "USDT", "p_commission_asset": "USDT",
    "p_side": "BUY", "p_mode": "halted", "p_role": ROLE, "p_scope": "global", "p_from": "OPEN", "p_to": "CANCELED",
    "p_disposition": "approved", "p_environment": "paper", "p_level": "warning", "p_regime": "bull", "p_type": "BUY",
    "attach_stop.p_type": "fixed", "change_stop.p_type": "fixed", "p_kind": "flatten",
    "post_entry.p_kind": "adjustment",
    "p_state": "open", "p_name": "max_position_percent", "p_types": "{t}", "adopt_order.p_client_order_id": "adopted",
}  # fmt: skip
TERMS: dict[str, Any] = {
    "p_price": "100", "p_stop_price": "95", "p_commission": "0", "p_requested": NUMBER, "p_approved": NUMBER,
    "p_until": LATER, "p_valid_until": LATER, "p_limits_version": 0, "p_seen": 0, "p_break": None,
    "post_entry.p_accounts": "{asset:spot,equity:adjustment}", "post_entry.p_assets": "{USDT,USDT}",
    "post_entry.p_amounts": "{0.1,-0.1}", "p_symbols": "{BTC/USDT}", "p_marks": "{100}", "p_rates": f"{{{NUMBER}}}",
    "paper_venue.deposit.p_account": "desk", "paper_venue.liquidate.p_account": "desk",
    "paper_venue.settle.p_account": "desk", "paper_venue.settle.p_times": f"{{{LATER}}}",
    "paper_venue.fill.p_pay_asset": "USDT", "paper_venue.fill.p_get_asset": "BTC", "paper_venue.fill.p_spend": "50",
    "paper_venue.fill_swap.p_most_notional": "1000000", "paper_venue.fill_swap.p_leverage": "10",
}  # fmt: skip
