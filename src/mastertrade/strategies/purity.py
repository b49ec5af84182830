"""What a strategy's text must not reach for: it decides on its bars alone, or a backtest of it is worth nothing."""

import ast
from dataclasses import dataclass
from typing import Final

FORBIDDEN_MODULES: Final = {
    **dict.fromkeys(
        (
            "socket",
            "ssl",
            "http",
            "urllib",
            "requests",
            "httpx",
            "aiohttp",
            "websocket",
            "websockets",
            "ccxt",
            "ftplib",
        ),
        "the network",
    ),
    **dict.fromkeys(("asyncpg", "psycopg", "psycopg2", "sqlalchemy", "sqlite3"), "a database"),
    **dict.fromkeys(("subprocess", "multiprocessing", "threading", "asyncio", "concurrent", "ctypes"), "the machine"),
    **dict.fromkeys(("os", "pathlib", "shutil", "tempfile", "glob", "io", "pickle"), "files"),
    "time": "the clock",
}
FORBIDDEN_CALLS: Final = {
    "open": "files",
    "input": "the keyboard",
    "eval": "code made at run time",
    "exec": "code made at run time",
    "__import__": "code made at run time",
}
FORBIDDEN_METHODS: Final = {
    **dict.fromkeys(("now", "utcnow", "today"), "the clock"),
    **dict.fromkeys(("read_csv", "read_parquet", "read_feather", "read_sql", "loadtxt", "genfromtxt"), "files"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Reach:
    """A place in the text that reaches for something else than bars."""

    line: int
    what: str
    words: str

    def __str__(self) -> str:
        return f"line {self.line}: {self.words} reaches for {self.what}"


def reaches_of(text: str) -> list[Reach]:
    """Every such place that can be seen without running it, from the top."""
    found = [reach for node in ast.walk(ast.parse(text)) for reach in _of(node)]
    return sorted(found, key=lambda reach: reach.line)


def _of(node: ast.AST) -> list[Reach]:
    if isinstance(node, ast.Import | ast.ImportFrom):
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else [node.module or ""]
        return [
            Reach(line=node.lineno, what=FORBIDDEN_MODULES[root], words=f"import {name}")
            for name in names
            if (root := name.partition(".")[0]) in FORBIDDEN_MODULES
        ]
    if isinstance(node, ast.Call):
        called = node.func
        if isinstance(called, ast.Name) and called.id in FORBIDDEN_CALLS:
            return [Reach(line=node.lineno, what=FORBIDDEN_CALLS[called.id], words=f"{called.id}()")]
        if isinstance(called, ast.Attribute) and called.attr in FORBIDDEN_METHODS:
            return [Reach(line=node.lineno, what=FORBIDDEN_METHODS[called.attr], words=f".{called.attr}()")]
    return []
