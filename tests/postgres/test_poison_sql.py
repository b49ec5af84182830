"""Straight SQL: no table keeps a number or a time that is none, no function acts on one, whoever asks."""

from dataclasses import dataclass
from typing import Any

from mastertrade.shared.errors import MasterTradeError
from mastertrade.shared.postgres_manager import PostgresManager, Transaction
from tests.postgres.poison import OURS, tables_of

TOO_EXACT = "0." + "3" * 30
NUMBERS = ("NaN", "Infinity", "-Infinity", "1e400", "-1e30", "1e30", TOO_EXACT)
FLOATS = ("NaN", "Infinity", "-Infinity", "1e300", "-1e300")
TIMES = ("infinity", "-infinity", "0001-01-01 BC", "1066-10-14", "9999-12-31", "294276-12-31")
POISONS = {
    "numeric": NUMBERS,
    "double precision": FLOATS,
    "timestamp with time zone": TIMES,
    "date": TIMES,
}
ELSEWHERE = ("market", "backtests", "arbitrage", "instruments", "lineage", "ground")
"""Files of the schema whose functions are not about orders; the tests of their rooms ask them."""


PAIRED = """
SELECT quote_ident(k.conname) AS name FROM pg_constraint k
 WHERE k.conrelid = 'probe'::regclass AND k.contype = 'c' AND cardinality(k.conkey) > 1 AND EXISTS (
       SELECT 1 FROM pg_attribute a WHERE a.attrelid = k.conrelid AND a.attnum = ANY (k.conkey)
          AND a.atttypid <> 'numeric'::regtype)
"""
"""What wants more of a row than a sound number in each of its columns."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    table: str
    name: str
    type: str


async def columns_of(manager: PostgresManager) -> list[Column]:
    rows = await manager.fetch(
        "SELECT c.oid::regclass::text AS table, quote_ident(a.attname) AS name, "
        "       format_type(coalesce(nullif(e.typbasetype, 0), nullif(t.typbasetype, 0), t.oid), NULL) AS type "
        "  FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped "
        "  JOIN pg_type t ON t.oid = a.atttypid "
        "  LEFT JOIN pg_type e ON e.oid = t.typbasetype "
        " WHERE c.oid::regclass::text = ANY ($1) ORDER BY 1, a.attnum",
        await tables_of(manager, OURS),
    )
    return [Column(**row) for row in rows]


async def test_no_column_takes_a_number_or_a_time_that_is_none(database: PostgresManager) -> None:
    columns = [one for one in await columns_of(database) if one.type in POISONS]
    assert len({one.table for one in columns}) > 40
    taken, refused_good = [], []
    async with database.transaction() as tx:
        for table in {one.table: None for one in columns}:
            names = [one.name for one in columns if one.table == table]
            await tx.execute(f"CREATE TEMP TABLE probe (LIKE {table} INCLUDING CONSTRAINTS)")
            for row in await tx.fetch(PAIRED):
                await tx.execute(f"ALTER TABLE probe DROP CONSTRAINT {row['name']}")
            every = [row["name"] for row in await tx.fetch(
                "SELECT quote_ident(attname) AS name FROM pg_attribute WHERE attrelid = 'probe'::regclass "
                "AND attnum > 0 AND NOT attisdropped")]  # fmt: skip
            await tx.execute("ALTER TABLE probe " + ", ".join(f"ALTER {name} DROP NOT NULL" for name in every))
            for one in (one for one in columns if one.table == table):
                insert = f"INSERT INTO probe ({one.name}) VALUES ($1::text::{one.type})"
                for poison in POISONS[one.type]:
                    if (poison, one.table.split(".")[0]) == (TOO_EXACT, "paper_venue"):
                        continue  # a venue may be more exact than our books, which then refuse its fill
                    if await accepts(tx, insert, poison):
                        taken.append(f"{table}.{one.name} = {poison}")
                good = ("2026-01-05",) if POISONS[one.type] is TIMES else ("0", "1", "0.5")
                if not [value for value in good if await accepts(tx, insert, value)]:
                    refused_good.append(f"{table}.{one.name}")
            assert names
            await tx.execute("DROP TABLE probe")
    assert taken == []
    assert refused_good == [], "the refusals above had another reason"


async def accepts(tx: Transaction, statement: str, *values: Any) -> bool:
    try:
        async with tx.savepoint():
            await tx.execute(statement, *values)
    except MasterTradeError:
        return False
    return True
