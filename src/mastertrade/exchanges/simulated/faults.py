"""Misbehaviour on command: a script says which answers and messages go wrong, how, and how often."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from enum import StrEnum
from pathlib import Path

from mastertrade.shared.errors import BadData
from mastertrade.shared.json_data import decode


class FaultKind(StrEnum):
    DROP = "drop"
    """The connection breaks instead of the answer or message."""
    SILENCE = "silence"
    """For ``seconds`` nothing comes: an answer is held back, messages are lost."""
    STATUS = "status"
    """An answer with ``status`` and a page of HTML."""
    HTML = "html"
    """A page of HTML that says it went well."""
    RATE_LIMIT = "rate_limit"
    """429 with Retry-After ``seconds``."""
    BAN = "ban"
    """418 with Retry-After ``seconds``."""
    TRUNCATE = "truncate"
    """Half of an answer or of a message."""
    STALE = "stale"
    """The answer of ``seconds`` ago."""
    REPEAT = "repeat"
    """A message twice."""
    REORDER = "reorder"
    """A message after the one that follows it."""
    EXPIRE = "expire"
    """The account's own stream is over, and its connection stays: after the message nothing more comes."""
    SKIP = "skip"
    """A message is lost; in a stream of order-book changes that breaks the sequence."""
    ERROR = "error"
    """An answer with ``status`` and the venue's own ``code``; -1006 and -1007 leave open what became of an order."""


ANSWERS = frozenset(
    {
        FaultKind.DROP,
        FaultKind.SILENCE,
        FaultKind.STATUS,
        FaultKind.HTML,
        FaultKind.RATE_LIMIT,
        FaultKind.BAN,
        FaultKind.TRUNCATE,
        FaultKind.STALE,
        FaultKind.ERROR,
    }
)
ROWS = frozenset({FaultKind.REPEAT, FaultKind.REORDER, FaultKind.SKIP})
MESSAGES = frozenset(
    {
        FaultKind.DROP,
        FaultKind.SILENCE,
        FaultKind.TRUNCATE,
        FaultKind.REPEAT,
        FaultKind.REORDER,
        FaultKind.SKIP,
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """``on`` is a part of a path (``klines``) or of a stream's name (``btcusdt@depth``); the empty one is in all.
    ``after`` so many matches pass first, then ``times`` go wrong; 0 is for ever. ``is_late``: a signed request is
    carried out first, and only its answer goes wrong; these paths begin with the method (``POST /api/v3/order``)."""

    kind: FaultKind
    on: str = ""
    after: int = 0
    times: int = 1
    seconds: float = 1.0
    status: int = 503
    code: int = -1007
    is_late: bool = False


class FaultScript:
    """The faults still to come. A fault counts its own matches; the first one whose turn it is happens."""

    def __init__(self, faults: Iterable[Fault] = ()) -> None:
        self._faults: list[Fault] = []
        self._seen: list[int] = []
        self.happened: list[Fault] = []
        for fault in faults:
            self.add(fault)

    @classmethod
    def read(cls, path: Path) -> "FaultScript":
        """A JSON list of objects with the names of ``Fault``."""
        try:
            rows = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise BadData(f"{path}: {error}; write a JSON list such as {_EXAMPLE}") from error
        if not isinstance(rows, list):
            raise BadData(f"{path}: holds no JSON list; write one such as {_EXAMPLE}")
        return cls(_fault(row, f"{path}: fault {number}") for number, row in enumerate(rows, start=1))

    def add(self, fault: Fault) -> None:
        self._faults.append(fault)
        self._seen.append(0)

    def for_answer(self, path: str) -> Fault | None:
        return self._next(path, ANSWERS)

    def for_rows(self, path: str) -> Fault | None:
        """Of the list in a signed answer: each row twice, the last one first, or without the last one."""
        return self._next(path, ROWS)

    def for_message(self, stream: str) -> Fault | None:
        return self._next(stream, MESSAGES)

    def ends_stream(self, stream: str) -> bool:
        return self._next(stream, frozenset({FaultKind.EXPIRE})) is not None

    def _next(self, name: str, kinds: frozenset[FaultKind]) -> Fault | None:
        chosen: Fault | None = None
        for place, fault in enumerate(self._faults):
            if fault.kind not in kinds or fault.on not in name or chosen is not None:
                continue
            self._seen[place] += 1
            turn = self._seen[place] - fault.after
            if turn >= 1 and (fault.times == 0 or turn <= fault.times):
                chosen = fault
        if chosen is not None:
            self.happened.append(chosen)
        return chosen


_EXAMPLE = '[{"kind": "rate_limit", "on": "klines", "after": 2, "times": 1, "seconds": 3}]'


def _fault(row: object, where: str) -> Fault:
    names = {field.name for field in fields(Fault)}
    unknown = sorted(set(row) - names) if isinstance(row, Mapping) else []
    if unknown:
        raise BadData(f"{where}: unknown {', '.join(unknown)}; known are {', '.join(sorted(names))}")
    try:
        fault = decode(Fault, row)
    except BadData as error:
        raise BadData(f"{where}: {error}; kinds are {', '.join(FaultKind)}; an example is {_EXAMPLE}") from error
    if min(fault.after, fault.times, fault.seconds) < 0 or not 100 <= fault.status <= 599:
        raise BadData(f"{where}: {row!r}: counts and seconds are at least 0, status is from 100 to 599")
    return fault
