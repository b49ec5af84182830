"""One answer broken in every way: each of its values replaced by what is none, each of its lists and rows by something
else or nothing, and the whole of it cut, emptied or said in HTML."""

import copy
import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

from tests.contracts.answering_venue import Trouble

GONE: Final = object()
BEYOND: Final = "@1e400@"
"""A number without quotes that no float holds."""
VALUES: Final = (GONE, None, "", "x", "NaN", float("nan"), "1e400", BEYOND, "-1", -1, [], {}, True)
ROWS: Final = (GONE, None, "x", 5, [], {})

Place = tuple[str | int, ...]


@dataclass(frozen=True, slots=True)
class Broken:
    """``good`` with ``instead`` at ``place``."""

    place: Place
    instead: Any
    answer: Any

    @property
    def empties(self) -> bool:
        """It says that there is less, and is right in form."""
        return self.instead in ([], {}) or self.instead is GONE

    def __str__(self) -> str:
        shown = "nothing" if self.instead is GONE else repr(self.instead)
        return f"{'.'.join(str(one) for one in self.place)} = {shown}"


def spoken(answer: Any) -> Trouble:
    return Trouble(text=json.dumps(answer).replace(f'"{BEYOND}"', BEYOND.strip("@")))


def broken(good: Any) -> Iterator[Broken]:
    for place, value in _places(good):
        for instead in ROWS if isinstance(value, dict | list) else VALUES:
            answer = copy.deepcopy(good)
            within = answer
            for name in place[:-1]:
                within = within[name]
            if instead is GONE:
                del within[place[-1]]
            else:
                within[place[-1]] = instead
            yield Broken(place, instead, answer)


def _places(answer: Any, place: Place = ()) -> Iterator[tuple[Place, Any]]:
    if place:
        yield place, answer
    if isinstance(answer, dict | list):
        for name, value in answer.items() if isinstance(answer, dict) else enumerate(answer):
            yield from _places(value, (*place, name))


def whole(good: Any) -> dict[str, Trouble]:
    text = json.dumps(good)
    return {
        "half of it": Trouble(text=text[: len(text) // 2]),
        "all but its end": Trouble(text=text[:-1]),
        "twice": Trouble(text=text * 2),
        "nothing": Trouble(text=""),
        "spaces": Trouble(text="   \n"),
        "HTML": Trouble(text="<html>welcome</html>"),
        "HTML of a gateway": Trouble(status=502, text="<html>Bad Gateway</html>"),
        "well, from a server that fails": Trouble(status=500, text=text),
        "denied by a guard": Trouble(status=403, text="<html>denied</html>"),
        "sent elsewhere": Trouble(status=307, elsewhere="/second"),
        "a broken connection": Trouble(breaks=True),
        "null": Trouble(text="null"),
        "a number": Trouble(text="5"),
        "a word": Trouble(text='"ok"'),
        "an empty object": Trouble(text="{}"),
        "an empty list": Trouble(text="[]"),
        "very deep": Trouble(text="[" * 100_000),
        "a number without end": Trouble(text='{"code": ' + "9" * 5_000 + "}"),
    }


def as_told(value: Any, told: Any) -> bool:
    """A name that is read as it was told, whatever it is. ccxt writes assets in capitals, OKX fees below zero."""
    return str(value).casefold().lstrip("-") == str(told).strip("@").casefold().lstrip("-")
