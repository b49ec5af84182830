"""Reading SQL just far enough: what is code, and what is a string, a comment, a quoted name or a dollar quote."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

_TOKEN = re.compile(
    r"""
      (?P<line_comment>--[^\n]*)
    | (?P<block_comment>/\*)
    | (?P<string>(?<![\w$])[eE]'(?:[^'\\]|\\.|'')*'|'(?:[^']|'')*')
    | (?P<name>"(?:[^"]|"")*")
    | (?P<dollar>(?<![\w$])\$(?P<tag>(?:[^\W\d]\w*)?)\$.*?\$(?P=tag)\$)
    | (?P<open>'|"|(?<![\w$])\$(?:[^\W\d]\w*)?\$)
    """,
    re.VERBOSE | re.DOTALL,
)
_BLOCK_EDGE = re.compile(r"/\*|\*/")


@dataclass(frozen=True, slots=True)
class Piece:
    """A stretch of SQL. ``kind`` is code, comment, string (dollar quotes too) or name (a quoted identifier)."""

    kind: str
    text: str


def pieces(sql: str) -> Iterator[Piece]:
    """``sql`` cut into pieces that joined give it back. ValueError when a quote or comment does not end."""
    position = 0
    while found := _TOKEN.search(sql, position):
        if found.start() > position:
            yield Piece("code", sql[position : found.start()])
        kind = found.lastgroup if found.lastgroup != "tag" else "dollar"
        end = found.end()
        if kind == "open":
            raise ValueError(f"{found.group()} is never closed")
        if kind == "block_comment":
            end = _block_comment_end(sql, found.start())
        position = end
        names = {"line_comment": "comment", "block_comment": "comment", "name": "name"}
        yield Piece(names.get(kind or "", "string"), sql[found.start() : end])
    if position < len(sql):
        yield Piece("code", sql[position:])


def _block_comment_end(sql: str, start: int) -> int:
    depth = 0
    for edge in _BLOCK_EDGE.finditer(sql, start):
        depth += 1 if edge.group() == "/*" else -1
        if depth == 0:
            return edge.end()
    raise ValueError("/* is never closed")


_WRITING_WORDS = re.compile(r"\b(insert|update|delete|merge|truncate|into|call|do|copy|lock|nextval|setval)\b", re.I)
_READING_STARTS = re.compile(r"\s*\(*\s*(select|with|values|table|show)\b", re.I)
_CALLED = re.compile(r"([^\W\d][\w$]*)\s*\(")


@dataclass(frozen=True, slots=True)
class ReadCheck:
    """Whether a statement only reads, as far as its text tells; it does if none of ``functions`` writes."""

    reads: bool
    functions: tuple[str, ...] = ()


@lru_cache(maxsize=1024)
def read_check(sql: str) -> ReadCheck:
    """Judge one statement. Anything in doubt counts as writing."""
    code = []
    try:
        for piece in pieces(sql):
            if piece.kind == "name":
                code.append('"')
            code.append(piece.text if piece.kind == "code" else " ")
    except ValueError:
        return ReadCheck(False)
    text = "".join(code)
    quoted_call = re.search(r'"\s*\(', text)
    several = ";" in text.strip().rstrip(";")
    if not _READING_STARTS.match(text) or _WRITING_WORDS.search(text) or quoted_call or several:
        return ReadCheck(False)
    return ReadCheck(True, tuple(sorted({name.lower() for name in _CALLED.findall(text)})))
