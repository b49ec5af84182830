"""Reading SQL just far enough."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mastertrade.shared.sql_text import pieces, read_check


@given(st.text(alphabet="abe'\"$:/*-;\\\n 1", max_size=40))
def test_the_pieces_of_a_text_give_it_back(sql: str) -> None:
    try:
        found = list(pieces(sql))
    except ValueError:
        return
    assert "".join(piece.text for piece in found) == sql


@pytest.mark.parametrize(
    ("sql", "kinds"),
    [
        ("a 'it''s' b", ["code", "string", "code"]),
        (r"E'\'' x", ["string", "code"]),
        (r"'\' x", ["string", "code"]),
        ('"a ""b"" :c"', ["name"]),
        ("/* a /* b */ c */ x", ["comment", "code"]),
        ("x -- 'y\nz", ["code", "comment", "code"]),
        ("$$ ' $$ $a$ $$ $a$", ["string", "code", "string"]),
        ("a$b$c", ["code"]),
        ("type'x'", ["code", "string"]),
    ],
)
def test_strings_comments_names_and_dollar_quotes_are_told_from_code(sql: str, kinds: list[str]) -> None:
    assert [piece.kind for piece in pieces(sql)] == kinds


@pytest.mark.parametrize("sql", ["'a", '"a', "/* a", "/* /* */", "$$ a", "$x$ a $$"])
def test_what_is_opened_must_be_closed(sql: str) -> None:
    with pytest.raises(ValueError, match="never closed"):
        list(pieces(sql))


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT 1", "  select * from orders where note = 'delete from x'", "WITH a AS (SELECT 1) SELECT * FROM a",
        "SELECT /* insert into */ 1 -- update\n;", "VALUES (1)", "SHOW timezone", '(SELECT "update" FROM x)',
    ],
)  # fmt: skip
def test_a_statement_that_reads_is_known(sql: str) -> None:
    assert read_check(sql).reads


@pytest.mark.parametrize(
    "sql",
    [
        "INSERT INTO x VALUES (1)", "UPDATE x SET a = 1", "WITH a AS (DELETE FROM x RETURNING *) SELECT * FROM a",
        "SELECT * INTO y FROM x", "SELECT 1; DELETE FROM x", "SELECT nextval('s')", "CALL p()", "DO $$ $$", "BEGIN", "",
        "SELECT * FROM x FOR UPDATE", 'SELECT "Odd"(1)', "SELECT 'unclosed", "EXPLAIN ANALYZE DELETE FROM x",
    ],
)  # fmt: skip
def test_anything_in_doubt_counts_as_writing(sql: str) -> None:
    assert not read_check(sql).reads


def test_the_functions_a_statement_calls_are_listed() -> None:
    assert read_check("SELECT Apply_Fill(1), count (*) FROM s.last_close('x(y)')").functions == (
        "apply_fill",
        "count",
        "last_close",
    )
