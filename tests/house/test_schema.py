"""Law 9: each table has one owner, each statement a name, a reason and a schema that knows it."""

import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from mastertrade.shared.postgres_manager import PostgresManager
from mastertrade.shared.queries import Queries, load_queries

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "src" / "mastertrade"
NAME_LINE = re.compile(r"^-- name: *(\S+) *$", re.MULTILINE)
WRITTEN = re.compile(r"\b(?:INSERT\s+INTO|UPDATE(?:\s+ONLY)?|DELETE\s+FROM|MERGE\s+INTO)\s+([a-z_][\w.]*)")
NOT_A_TABLE = {"set", "of", "skip", "nowait"}  # DO UPDATE SET, FOR UPDATE OF | SKIP LOCKED | NOWAIT

FOUNDING_TABLES = {
    "strategy": """strategies strategy_symbols signals strategy_performance backtest_results learning_insights
        crypto_selections strategy_reviews daily_review_summaries""",
    "risk": """risk_positions stop_losses risk_metrics risk_alerts portfolio_snapshots correlation_matrices
        var_calculations drawdown_tracking risk_admin_actions risk_adjustment_history risk_configuration_changes
        symbol_volatility_cache symbol_liquidity_cache""",
    "orders": "orders trades portfolio_balances trading_config settings",
    "arbitrage": """arbitrage_opportunities arbitrage_executions dex_prices flash_loan_opportunities
        triangular_arbitrage gas_prices""",
}
"""The tables of the founding document, by subject."""


@cache
def query_files() -> list[Path]:
    return sorted(path for path in PACKAGE.rglob("*.sql") if NAME_LINE.search(path.read_text(encoding="utf-8")))


@cache
def queries_of(path: Path) -> Queries:
    return load_queries(path)


def statements() -> Iterator[tuple[str, Path, str]]:
    """(where, file, text) of each named statement."""
    for path in query_files():
        queries = queries_of(path)
        for name in queries.names():
            yield f"{path.relative_to(PACKAGE)}:{name}", path, queries.sql(name)[0]


def listed(found: list[str], hint: str = "") -> str:
    """All of them, one a line: pytest's own comparison would show the first only."""
    return "\n".join([*found, *filter(None, [hint])])


def test_every_statement_says_why_it_is_there() -> None:
    silent = []
    for path in query_files():
        lines = path.read_text(encoding="utf-8").splitlines()
        for number, line in enumerate(lines):
            if NAME_LINE.match(line):
                why = lines[number + 1] if number + 1 < len(lines) else ""
                if not re.match(r"-- Why: \S+ \S+", why):
                    silent.append(f"{path.relative_to(PACKAGE)}:{number + 1}: {line}")
    assert not silent, listed(silent)


def test_every_statement_is_used_in_its_room() -> None:
    unused = []
    for path in query_files():
        code = "\n".join(file.read_text(encoding="utf-8") for file in path.parent.rglob("*.py"))
        unused += [
            f"{path.relative_to(PACKAGE)}:{name}"
            for name in NAME_LINE.findall(path.read_text(encoding="utf-8"))
            if not re.search(rf"[\"']{name}[\"']", code)
        ]
    assert not unused, listed(unused)


async def test_every_statement_prepares_against_the_schema(database: PostgresManager) -> None:
    refused = []
    async with database.acquire() as connection:
        for where, _, text in statements():
            try:
                await connection.prepare(text)
            except Exception as error:  # noqa: BLE001 - the driver's, which only one module may import
                refused.append(f"{where}: {error}")
    assert not refused, listed(refused)


async def test_every_table_says_whose_it_is_and_what_for(database: PostgresManager) -> None:
    rooms = {path.name for path in PACKAGE.iterdir() if path.is_dir()}
    mute = [table for table, comment in (await comments(database)).items() if owner(comment) not in rooms]
    assert not mute, listed(mute, f"COMMENT ON TABLE … IS 'room: purpose', the room being one of {sorted(rooms)}")


async def test_a_room_writes_only_to_its_own_tables(database: PostgresManager) -> None:
    owners = {table: owner(comment) for table, comment in (await comments(database)).items()}
    strangers = []
    for where, path, text in statements():
        room = path.relative_to(PACKAGE).parts[0]
        for table in WRITTEN.findall(re.sub(r"/\*.*?\*/|--[^\n]*", "", text)):
            if table not in NOT_A_TABLE and owners.get(table, room) != room:
                strangers.append(f"{where} writes {table}, which belongs to {owners[table]}")
    assert not strangers, listed(strangers, "call a function of the owner's, or publish an event")


async def comments(database: PostgresManager) -> dict[str, str]:
    """Comment by table, the name written as statements write it. Partitions are their parent's matter."""
    rows = await database.fetch(
        """SELECT CASE n.nspname WHEN 'public' THEN c.relname ELSE n.nspname || '.' || c.relname END AS name,
                  coalesce(obj_description(c.oid), '') AS comment
             FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
            WHERE c.relkind IN ('r', 'p') AND NOT c.relispartition
              AND n.nspname NOT IN ('pg_catalog', 'information_schema')
            ORDER BY 1"""
    )
    return {row["name"]: row["comment"] for row in rows}


def owner(comment: str) -> str:
    return comment.partition(":")[0].strip()


@pytest.mark.parametrize("subject", sorted(FOUNDING_TABLES))
async def test_every_table_of_the_founding_document_exists(database: PostgresManager, subject: str) -> None:
    rows = await database.fetch(
        "SELECT relname FROM pg_class WHERE relkind IN ('r', 'p', 'v') AND relnamespace = 'public'::regnamespace"
    )
    missing = sorted(set(FOUNDING_TABLES[subject].split()) - {row["relname"] for row in rows})
    assert not missing, listed(missing)


async def test_every_function_is_named_in_a_test(database: PostgresManager) -> None:
    """PREPARE does not look inside a function, so only a test of its own can show that it works."""
    rows = await database.fetch(
        """SELECT DISTINCT p.proname FROM pg_proc p JOIN pg_language l ON l.oid = p.prolang
            WHERE l.lanname = 'plpgsql' AND p.pronamespace <> 'pg_catalog'::regnamespace
              AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.objid = p.oid AND d.deptype = 'e')"""
    )
    tests = "\n".join(
        path.read_text(encoding="utf-8") for path in (ROOT / "tests").rglob("*.py") if path.parent.name != "house"
    )
    untested = sorted(row["proname"] for row in rows if not re.search(rf"\b{row['proname']}\b", tests))
    assert not untested, listed(untested)
