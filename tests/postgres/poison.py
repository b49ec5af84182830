"""What nobody should send, by kind, and what a database held before and after somebody did."""

from collections.abc import Collection
from typing import Any

from mastertrade.shared.postgres_manager import Database

OURS = ("order_executor", "risk_manager", "exchanges", "strategy_service")
"""The rooms whose tables orders live in; the bus keeps what it could not deliver, so its own are told apart."""

NO_NUMBERS: tuple[Any, ...] = (
    "NaN", "sNaN", "Infinity", "-Infinity", "1e400", "1E+131072", "1e-40", "0." + "3" * 30, "9" * 40, "1" * 5_000,
    "1_000", "0x10", "\u0661\u0662", "\uff11\uff12", "", " ", "ten", True, [], {}, [1], {"a": 1},
)  # fmt: skip
"""Neither exact numbers nor text that is one."""
NO_TIMES: tuple[Any, ...] = (
    "2026-01-05T12:00:00", "0001-01-01T00:00:00Z", "9999-12-31T23:59:59Z", "infinity", "yesterday", "", 1e18, -1, True,
    [], {},
)  # fmt: skip
NO_TEXTS: tuple[Any, ...] = (
    "", "x" * 100_000, "BTC/USDT\u202e", "\u0412TC/USDT", "BTC\u200b/USDT", "btc/usdt", "'; DROP TABLE orders; --",
    7, None, [],
)  # fmt: skip
"""Of a name that means one thing: other scripts, invisible signs, statements, other types."""
NO_IDS: tuple[Any, ...] = ("", "1", "x" * 10_000, "00000000-0000-0000-0000-000000000000", 5, None, [])
NO_MEMBERS: tuple[Any, ...] = ("HOLD IT", "", "buy ", "\uff22\uff35\uff39", 1, None, ["BUY"])


async def tables_of(manager: Database, rooms: Collection[str] = OURS) -> list[str]:
    """Their names, quoted where they must be; by the comment that says whose they are."""
    rows = await manager.fetch(
        "SELECT c.oid::regclass::text AS name FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace "
        "WHERE c.relkind IN ('r', 'p') AND n.nspname NOT IN ('pg_catalog', 'information_schema') "
        "AND split_part(obj_description(c.oid, 'pg_class'), ':', 1) = ANY ($1) ORDER BY 1",
        list(rooms),
    )
    return [row["name"] for row in rows]


async def contents(manager: Database, rooms: Collection[str] = OURS) -> dict[str, str]:
    """Every table's rows as one hash each, so that the first that differs is named."""
    names = await tables_of(manager, rooms)
    assert len(names) > len(rooms)
    parts = [
        f"SELECT '{name}' AS name, count(*) || ' rows ' || "
        f"coalesce(md5(string_agg(t::text, '|' ORDER BY t::text)), '') AS hash FROM {name} AS t"
        for name in names
    ]
    return {row["name"]: row["hash"] for row in await manager.fetch(" UNION ALL ".join(parts))}
