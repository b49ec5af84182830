"""Every function about orders, called with each number, time and word that is none: refused, or nothing is changed."""

import contextlib
from collections.abc import Iterator

import pytest

from mastertrade.shared.errors import MasterTradeError
from mastertrade.shared.postgres_manager import PostgresManager
from tests.postgres.poison import contents, tables_of
from tests.postgres.poison_world import NUMBER, Function, World, busy_world, functions_of
from tests.postgres.test_poison_sql import TOO_EXACT

NUMBERS = ("NaN", "-Infinity", "1e400", "1e30", TOO_EXACT)
POISONS = {
    "numeric": NUMBERS,
    "double precision": ("NaN", "-Infinity", "1e300"),
    "timestamp with time zone": ("infinity", "0001-01-01 BC", "9999-12-31"),
}
NO_WORDS = ("", "HOLD IT", "\uff22\uff35\uff39")
ONE_OF_A_FEW = (
    "p_side", "p_mode", "p_to", "p_state", "p_type", "p_status", "p_disposition", "p_level", "p_kind", "p_scope",
    "p_environment",
)  # fmt: skip
HARMLESS = {("lock_scope", "p_kind"), ("put_setting", "p_type"), ("apply_fill", "p_venue_pnl")}
"""Words for people, and what a spot market has no use for."""


def poisoned(function: Function, world: World) -> Iterator[tuple[str, str]]:
    """Which argument, and what is in its place; in documents each number in its turn."""
    for name, type_ in function.arguments:
        kind = type_.removesuffix("[]")
        for poison in POISONS.get(kind, ()):
            yield name, f"{{{poison}}}" if kind != type_ else poison
        parts = (world.value_of(function.name, name, type_) or "").split(f'"{NUMBER}"') if type_ == "jsonb" else []
        for at in range(1, len(parts)):
            for poison in ("NaN", "-Infinity", "1e30"):
                before, after = (f'"{NUMBER}"'.join(some) for some in (parts[:at], parts[at:]))
                yield name, f'{before}"{poison}"{after}'
        if type_ == "text" and name in ONE_OF_A_FEW:
            yield from ((name, word) for word in NO_WORDS)


WRITTEN = "SELECT sum(n_tup_ins + n_tup_upd + n_tup_del) FROM pg_stat_xact_user_tables"
"""Rows, by this transaction: where there are none nothing needs to be compared."""


class _Undone(Exception):
    pass


async def refusal(manager: PostgresManager, world: World, function: Function, **changes: str) -> str | None:
    """What the call is told; empty when it changed nothing, None when it changed something. Undone in any case."""
    told: str | None = None
    try:
        async with manager.transaction() as tx:
            await world.call(tx, function, **changes)
            if not await tx.fetchval(WRITTEN) or await contents(tx) == world.known["contents"]:
                told = ""
            raise _Undone
    except _Undone:
        return told
    except MasterTradeError as error:
        return str(error)


async def test_no_function_does_anything_with_what_is_no_number_time_or_word(database: PostgresManager) -> None:
    world = await busy_world(database)
    world.known["contents"] = await contents(database)
    refused, taken, unnamed, cases = [], [], [], 0
    for function in await functions_of(database):
        if told := await refusal(database, world, function):
            refused.append(f"{function.name}: {told}")
        for name, poison in () if function.is_stable else poisoned(function, world):
            cases += 1
            told = await refusal(database, world, function, **{name: poison})
            if told is None and not is_harmless(function.name, name, poison):
                taken.append((function.name, name, poison))
            elif told is not None and 0 < len(told) < 20:
                unnamed.append(told)
    assert refused == [], "a sound call is answered, so that a refusal is the poison's"
    assert taken == []
    assert unnamed == []
    assert cases > 400
    assert await contents(database) == world.known["contents"]
    approval = await world.desk.approve(quantity="0.1")
    await world.desk.hear(approval)
    await world.desk.next_bar()
    assert await world.desk.status(approval) == "FILLED"


def is_harmless(function: str, name: str, poison: str) -> bool:
    """More digits than our books keep do no harm in the books of a venue, and in a cost that is rounded."""
    is_rounded = function.startswith("paper_venue.") or (function, name) == ("book_contracts", "p_price")
    return (function, name) in HARMLESS or (TOO_EXACT in poison and is_rounded)


async def test_the_paper_venue_compares_with_numbers_only(database: PostgresManager) -> None:
    require = "SELECT paper_venue.require_numbers(1, NULL, $1::text::numeric)"
    await database.fetchval(require, "0.5")
    for poison in ("NaN", "Infinity", "1e24"):
        with pytest.raises(MasterTradeError, match="is no number the paper venue can use"):
            await database.fetchval(require, poison)


async def test_a_role_without_grants_reads_nothing_and_changes_nothing(database: PostgresManager) -> None:
    world = await busy_world(database)
    world.known["contents"] = await contents(database)
    tables = await tables_of(database)
    functions = [one for one in await functions_of(database) if not one.is_stable]
    async with database.transaction() as tx:
        await tx.execute("CREATE ROLE somebody_else NOLOGIN; SET LOCAL ROLE somebody_else")
        for table in tables:
            for wish in (f"SELECT FROM {table}", f"DELETE FROM {table}", f"TRUNCATE {table}", f"DROP TABLE {table}"):
                with pytest.raises(MasterTradeError, match=r"permission denied|must be owner of table"):
                    async with tx.savepoint():
                        await tx.execute(wish)
        for function in functions:
            with contextlib.suppress(MasterTradeError):
                async with tx.savepoint():
                    await world.call(tx, function)
        await tx.execute("RESET ROLE; DROP ROLE somebody_else")
        assert await contents(tx) == world.known["contents"]
