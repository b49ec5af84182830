"""Named queries out of a file, against a real server."""

from pathlib import Path
from typing import Any

import pytest

from mastertrade.shared.postgres_manager import PostgresManager
from mastertrade.shared.queries import Queries, load_queries, parse_queries

SAMPLE = """
-- Sample statements; this comment belongs to none.

-- name: notes_by_status
-- Why: somebody resumes these at start; it's ":not a parameter".
SELECT id, status FROM notes
WHERE status = ANY(:statuses::text[])           -- :nor this
  AND (:owner::text IS NULL OR owner = :owner) /* nor :this /* nor :that */ */
  AND note <> ':literal' AND note <> $$:dollar$$ AND "status" <> ''
ORDER BY id;

-- name: insert_note
-- idempotent: the same row stays.
INSERT INTO notes (id, status, owner, note) VALUES (:id, :status, :owner, '') ON CONFLICT DO NOTHING;

-- name: slice
SELECT (ARRAY[1, 2, 3])[1:2] AS part, now()::timestamptz AT TIME ZONE 'UTC' AS at, :x::int AS x
"""


def sample(text: str = SAMPLE) -> Queries:
    return parse_queries(text, owner="sample_service", source="sample_service/queries.sql")


@pytest.fixture
async def notes(empty_database: PostgresManager) -> PostgresManager:
    await empty_database.execute("CREATE TABLE notes (id int PRIMARY KEY, status text, owner text, note text)")
    return empty_database


def test_names_become_numbers_outside_of_strings_casts_and_comments() -> None:
    text, parameters = sample().sql("notes_by_status")
    assert parameters == ("statuses", "owner")
    assert text == (
        "SELECT /* sample_service.notes_by_status */ id, status FROM notes\n"
        "WHERE status = ANY($1::text[])\n"
        "  AND ($2::text IS NULL OR owner = $2)\n"
        "  AND note <> ':literal' AND note <> $$:dollar$$ AND \"status\" <> ''\n"
        "ORDER BY id"
    )


def test_slices_and_casts_are_no_parameters() -> None:
    text, parameters = sample().sql("slice")
    assert parameters == ("x",)
    assert "[1:2]" in text
    assert "now()::timestamptz" in text


def test_a_file_lists_its_names_in_order() -> None:
    assert sample().names() == ["notes_by_status", "insert_note", "slice"]


async def test_values_are_passed_by_name(notes: PostgresManager) -> None:
    queries = sample()
    rows = [{"id": n, "status": "open" if n % 2 else "done", "owner": "ann"} for n in range(1, 7)]
    await queries.executemany(notes, "insert_note", rows)
    assert await queries.execute(notes, "insert_note", id=1, status="open", owner="bob") == "INSERT 0 0"
    found = await queries.fetch(notes, "notes_by_status", statuses=["open"], owner=None)
    assert [row["id"] for row in found] == [1, 3, 5]
    assert await queries.fetch(notes, "notes_by_status", statuses=["open"], owner="nobody") == []
    assert await queries.fetchval(notes, "notes_by_status", statuses=["done"], owner="ann") == 2
    row = await queries.fetchrow(notes, "slice", x=7)
    assert row is not None
    assert (row["part"], row["x"]) == ([1, 2], 7)


async def test_the_same_queries_run_inside_a_transaction(notes: PostgresManager) -> None:
    queries = sample()
    async with notes.transaction() as tx:
        await queries.execute(tx, "insert_note", id=1, status="open", owner="ann")
        assert await queries.fetchval(tx, "notes_by_status", statuses=["open"], owner=None, timeout_s=1) == 1


async def test_missing_and_unknown_values_are_named(notes: PostgresManager) -> None:
    with pytest.raises(TypeError, match=r"query notes_by_status of sample_service/.*: missing :owner; unknown ownr"):
        await sample().fetch(notes, "notes_by_status", statuses=[], ownr=None)
    with pytest.raises(TypeError, match="missing :status"):
        await sample().executemany(notes, "insert_note", [{"id": 1, "owner": "ann"}])
    with pytest.raises(KeyError, match="no query 'nothing'; it has notes_by_status"):
        await sample().fetch(notes, "nothing")


async def test_only_statements_that_say_so_are_called_idempotent() -> None:
    class Recorder:
        def __init__(self) -> None:
            self.calls: list[bool] = []

        async def execute(
            self, query: str, *args: Any, timeout_s: float | None = None, idempotent: bool = False
        ) -> str:
            self.calls.append(idempotent)
            return ""

    recorder = Recorder()
    await sample().execute(recorder, "insert_note", id=1, status="", owner="")  # type: ignore[arg-type]
    await sample().execute(recorder, "slice", x=1)  # type: ignore[arg-type]
    assert recorder.calls == [True, False]


async def test_the_name_is_visible_in_the_statistics_of_the_server(empty_database: PostgresManager) -> None:
    available = await empty_database.fetchval(
        "SELECT count(*) FROM pg_available_extensions WHERE name = 'pg_stat_statements' "
        "AND current_setting('shared_preload_libraries') LIKE '%pg_stat_statements%'"
    )
    if not available:
        pytest.skip("this server does not load pg_stat_statements")
    await empty_database.execute("CREATE EXTENSION pg_stat_statements")
    await sample().fetchrow(empty_database, "slice", x=1)
    shown = await empty_database.fetchval(
        "SELECT string_agg(query, E'\\n') FROM pg_stat_statements WHERE dbid = (SELECT oid FROM pg_database WHERE "
        "datname = current_database())"
    )
    assert "/* sample_service.slice */" in shown


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("SELECT 1;\n-- name: a\nSELECT 2", "before the first"),
        ("-- name: Not a name\nSELECT 1", "lower case"),
        ("-- name: a\nSELECT 1;\n-- name: a\nSELECT 2", "twice"),
        ("-- name: a\n-- only a comment", "query a: there is no statement"),
        ("-- name: a\nSELECT 1; SELECT 2;", "more than one statement"),
        ("-- name: a\nSELECT 'open", "never closed"),
        ("-- name: a\nSELECT $1", "use :names"),
        ("-- name: a\n(SELECT 1)", "instead of a keyword"),
    ],
)
def test_a_file_that_cannot_be_used_names_the_statement_and_the_fault(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        sample(text)


def test_queries_are_found_beside_the_module_that_asks(tmp_path: Path) -> None:
    folder = tmp_path / "some_service"
    folder.mkdir()
    (folder / "queries.sql").write_text("-- name: one\nSELECT 1")
    (folder / "bus.sql").write_text("-- name: two\nSELECT 2")
    for anchor in (folder / "module.py", folder, str(folder / "queries.sql")):
        assert load_queries(anchor).sql("one") == ("SELECT /* some_service.one */ 1", ())
    assert load_queries(folder, "bus.sql").sql("two") == ("SELECT /* some_service.bus.two */ 2", ())
