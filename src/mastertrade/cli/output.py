"""How the command line speaks: aligned tables that lose nothing for people, one exact JSON object for machines."""

import json
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import date, datetime, time
from decimal import Decimal
from enum import Enum
from typing import Any, Final, TypeAlias

from rich.console import Console
from rich.text import Text

GAP: Final = 2
NARROWEST: Final = 16
"""Cells a last column needs beside the others; with less room it stands below its row instead."""

Cell: TypeAlias = str | Text

# Nothing is ever wrapped, cut or interpreted by the console: tables fit themselves, and data may hold brackets.
console = Console(highlight=False, markup=False, emoji=False, soft_wrap=True)
errors = Console(highlight=False, markup=False, emoji=False, soft_wrap=True, stderr=True)


def say(*parts: Cell, to: Console = console) -> None:
    """Print one paragraph: wrapped between words on a terminal, as it is in a pipe."""
    text = Text.assemble(*(_text(part) for part in parts))
    if to.is_terminal:
        text = Text("\n").join(text.wrap(to, to.width, overflow="fold"))
    to.print(text)


def show(*blocks: Cell) -> None:
    """Print each block; what is too long for a terminal goes on in its next line, and can be copied in one piece."""
    for block in blocks:
        console.print(_text(block))


def bold(text: str) -> Text:
    return Text(clean(text), "bold")


def dim(text: str) -> Text:
    return Text(clean(text), "dim")


def good(text: str) -> Text:
    return Text(clean(text), "green")


def warning(text: str) -> Text:
    return Text(clean(text), "yellow")


def bad(text: str) -> Text:
    return Text(clean(text), "bold red")


def clean(text: str) -> str:
    """``text`` without anything that could steer a terminal or break a line."""
    return "".join(letter if letter.isprintable() else letter.encode("unicode_escape").decode() for letter in text)


def _text(cell: Cell) -> Text:
    return cell if isinstance(cell, Text) else Text(clean(cell))


def fits(block: Text) -> bool:
    """Whether no line of it is longer than the terminal is wide; in a pipe everything fits."""
    return not console.is_terminal or all(line.cell_len <= console.width for line in block.split("\n"))


def grid(rows: Iterable[Sequence[Cell]], *, right: Iterable[int] = (), indent: int = 0) -> Text:
    """Rows with their columns aligned; those numbered in ``right`` hold numbers. On a terminal the last column wraps
    within what the others leave of the width; in a pipe nothing wraps."""
    width = console.width - indent if console.is_terminal else None
    lines = _lines(list(rows), frozenset(right), width)
    return Text("\n").join(Text.assemble(" " * indent, line) for line in lines)


def table(
    headers: Sequence[str], rows: Iterable[Sequence[Cell]], *, right: Iterable[str] = (), indent: int = 0
) -> Text:
    """A grid below the names of its columns."""
    numbers = [headers.index(name) for name in right]
    return grid([[dim(header) for header in headers], *rows], right=numbers, indent=indent)


def facts(rows: Iterable[tuple[str, Cell]]) -> Text:
    """Names, and beside them what is to be said of each."""
    return grid([(dim(name), value) for name, value in rows])


def _lines(rows: Sequence[Sequence[Cell]], right: frozenset[int], width: int | None) -> Iterator[Text]:
    cells = [[_text(cell) for cell in row] for row in rows]
    widths = [max(column) for column in zip(*([cell.cell_len for cell in row] for row in cells), strict=True)]
    for row in cells:
        line = Text()
        for column, cell in enumerate(row[:-1]):
            padding = " " * (widths[column] - cell.cell_len)
            line += Text.assemble(padding, cell) if column in right else Text.assemble(cell, padding)
            line.append(" " * GAP)
        room = None if width is None else width - line.cell_len
        if room is None or row[-1].cell_len <= room:
            is_number = len(row) - 1 in right
            line.append(" " * (widths[-1] - row[-1].cell_len if is_number else 0))
            line += row[-1]
            line.rstrip()
            yield line
        else:
            assert width is not None, "there is no room because there is a width"
            yield from _wrapped(line, row[-1], room, width)


def _wrapped(line: Text, last: Text, room: int, width: int) -> Iterator[Text]:
    """The last cell wrapped beside the others, or below them where they leave too little room."""
    if room >= NARROWEST:
        first, *more = last.wrap(console, room, overflow="fold")
        offset = line.cell_len
        yield line + first
    else:
        offset = min(4, max(0, width - NARROWEST))
        more = list(last.wrap(console, max(1, width - offset), overflow="fold"))
        line.rstrip()
        yield line
    for part in more:
        yield Text(" " * offset) + part


def emit_json(value: Mapping[str, Any]) -> None:
    """Exactly one JSON object on one line of standard output. Exact numbers are text, times are ISO."""
    sys.stdout.write(json.dumps(_plain(value)) + "\n")
    sys.stdout.flush()


def emit_text(line: str) -> None:
    """JSON that the server has written, as it is."""
    sys.stdout.write(line.replace("\n", "") + "\n")
    sys.stdout.flush()


def _plain(value: Any) -> Any:
    """What JSON can hold of whatever a database may answer, with nothing rounded."""
    if isinstance(value, Enum):
        return _plain(value.value)
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, float):
        return value if abs(value) < float("inf") else str(value)
    if isinstance(value, Decimal):
        return f"{value:f}"
    if isinstance(value, datetime | date | time):
        return value.isoformat()
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_plain(item) for item in value]
    return value.hex() if isinstance(value, bytes) else str(value)
