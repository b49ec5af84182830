"""Named queries: every statement stands in a ``.sql`` file under its name; its ``:parameters`` are passed by name."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mastertrade.shared.sql_text import pieces
from mastertrade.shared.statements import Database, Row

_HEADER = re.compile(r"^[ \t]*--[ \t]*name:[ \t]*(?P<name>.*?)[ \t]*$", re.MULTILINE)
_IDEMPOTENT = re.compile(r"^[ \t]*--[ \t]*idempotent:", re.MULTILINE)
_NAME = re.compile(r"[a-z][a-z0-9_]*")
_PARAMETER = re.compile(r"::|:=|(?<![\w\]\"':]):(?P<name>[A-Za-z_]\w*)")
_FIRST_WORD = re.compile(r"[A-Za-z]+")


@dataclass(frozen=True, slots=True, kw_only=True)
class Query:
    """``text`` with $1, $2 for ``parameters`` in this order; ``idempotent`` when its file says so and why."""

    name: str
    text: str
    parameters: tuple[str, ...]
    idempotent: bool


class Queries:
    """The statements of one file. Values go by name: ``await QUERIES.fetch(db, "orders_by_status", statuses=[…])``."""

    def __init__(self, source: str, queries: Mapping[str, Query]) -> None:
        self._source = source
        self._queries = dict(queries)

    def names(self) -> list[str]:
        return list(self._queries)

    def sql(self, name: str) -> tuple[str, tuple[str, ...]]:
        """The text as it is sent, and the parameter names behind $1, $2, …"""
        query = self._query(name)
        return query.text, query.parameters

    async def execute(self, db: Database, name: str, /, *, timeout_s: float | None = None, **values: Any) -> str:
        query = self._query(name)
        args = self._args(query, values)
        return await db.execute(query.text, *args, timeout_s=timeout_s, idempotent=query.idempotent)

    async def executemany(
        self, db: Database, name: str, rows: Iterable[Mapping[str, Any]], /, *, timeout_s: float | None = None
    ) -> None:
        query = self._query(name)
        batch = [self._args(query, row) for row in rows]
        await db.executemany(query.text, batch, timeout_s=timeout_s, idempotent=query.idempotent)

    async def fetch(self, db: Database, name: str, /, *, timeout_s: float | None = None, **values: Any) -> list[Row]:
        query = self._query(name)
        args = self._args(query, values)
        return await db.fetch(query.text, *args, timeout_s=timeout_s, idempotent=query.idempotent)

    async def fetchrow(
        self, db: Database, name: str, /, *, timeout_s: float | None = None, **values: Any
    ) -> Row | None:
        query = self._query(name)
        args = self._args(query, values)
        return await db.fetchrow(query.text, *args, timeout_s=timeout_s, idempotent=query.idempotent)

    async def fetchval(self, db: Database, name: str, /, *, timeout_s: float | None = None, **values: Any) -> Any:
        query = self._query(name)
        args = self._args(query, values)
        return await db.fetchval(query.text, *args, timeout_s=timeout_s, idempotent=query.idempotent)

    def _query(self, name: str) -> Query:
        try:
            return self._queries[name]
        except KeyError:
            raise KeyError(f"{self._source} has no query {name!r}; it has {', '.join(self._queries)}") from None

    def _args(self, query: Query, values: Mapping[str, Any]) -> list[Any]:
        if values.keys() != set(query.parameters):
            missing = [f":{name}" for name in query.parameters if name not in values]
            unknown = sorted(values.keys() - set(query.parameters))
            problems = [f"missing {', '.join(missing)}"] * bool(missing) + [f"unknown {', '.join(unknown)}"] * bool(
                unknown
            )
            raise TypeError(f"query {query.name} of {self._source}: {'; '.join(problems)}")
        return [values[name] for name in query.parameters]


def load_queries(anchor: str | Path, file_name: str = "queries.sql") -> Queries:
    """Read the statements beside ``anchor`` (a module's ``__file__`` or a package folder), or of ``anchor`` itself when
    it is a ``.sql`` file. The folder's name prefixes the statement names in the server's statistics."""
    path = Path(anchor)
    if path.suffix != ".sql":
        path = (path if path.is_dir() else path.parent) / file_name
    owner = path.parent.name if path.name == "queries.sql" else f"{path.parent.name}.{path.stem}"
    return parse_queries(path.read_text(encoding="utf-8"), owner=owner, source=f"{path.parent.name}/{path.name}")


def parse_queries(text: str, *, owner: str, source: str) -> Queries:
    """The statements of a file's text; ValueError names the statement that cannot be used."""
    headers = list(_HEADER.finditer(text))
    before = text[: headers[0].start()] if headers else text
    if any(piece.kind != "comment" and piece.text.strip() for piece in pieces(before)):
        raise ValueError(f"{source}: a statement stands before the first `-- name:` line")
    queries: dict[str, Query] = {}
    for header, following in zip(headers, [*headers[1:], None], strict=True):
        name = header["name"]
        body = text[header.end() : following.start() if following else len(text)]
        if not _NAME.fullmatch(name):
            raise ValueError(f"{source}: query name {name!r} must be lower case words joined by _")
        if name in queries:
            raise ValueError(f"{source}: query {name} stands there twice")
        try:
            statement, parameters = _translate(body, f"{owner}.{name}")
        except ValueError as error:
            raise ValueError(f"{source}: query {name}: {error}") from None
        idempotent = bool(_IDEMPOTENT.search(body))
        queries[name] = Query(name=name, text=statement, parameters=parameters, idempotent=idempotent)
    return Queries(source, queries)


def _translate(body: str, label: str) -> tuple[str, tuple[str, ...]]:
    """The statement without its comments, labelled after the first keyword, where the server's statistics keep it."""
    numbers: dict[str, int] = {}

    def number(found: re.Match[str]) -> str:
        name = found["name"]
        return f"${numbers.setdefault(name, len(numbers) + 1)}" if name else found.group()

    parts = []
    for piece in pieces(body):
        if piece.kind == "code":
            if re.search(r"\$\d", piece.text):
                raise ValueError("use :names instead of $1")
            parts.append(_PARAMETER.sub(number, piece.text))
        elif piece.kind == "comment":
            parts.append("\n" if piece.text.startswith("--") else " ")
        else:
            parts.append(piece.text)
    lines = (line.rstrip() for line in "".join(parts).strip().rstrip(";").rstrip().splitlines())
    statement = "\n".join(line for line in lines if line)
    if not statement:
        raise ValueError("there is no statement")
    first = _FIRST_WORD.match(statement)
    if not first:
        raise ValueError(f"it begins with {statement[:20]!r} instead of a keyword")
    if any(piece.kind == "code" and ";" in piece.text for piece in pieces(statement)):
        raise ValueError("it holds more than one statement")
    return f"{first.group()} /* {label} */{statement[first.end() :]}", tuple(numbers)
