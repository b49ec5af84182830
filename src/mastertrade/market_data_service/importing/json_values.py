"""JSON of any length, value by value, with every number as the text it was written as."""

import json
from collections.abc import Iterator
from json.decoder import JSONDecodeError
from typing import Any, BinaryIO

from mastertrade.shared.errors import BadData

READ_BYTES = 1 << 18
MOST_BYTES_OF_A_VALUE = 32 << 20
"""A single value that is longer is no row; the largest book snapshot seen has 0.3 MB."""
_SPACE = " \t\r\n"

_decoder = json.JSONDecoder(parse_float=str, parse_int=str, parse_constant=str)


def parse(text: str) -> Any:
    """One value; numbers stay text."""
    return _decoder.decode(text)


def values(stream: BinaryIO, *, where: str) -> Iterator[Any]:
    """The elements of an array, or the values that follow each other, whichever the stream holds."""
    text = _Text(stream)
    text.skip(_SPACE)
    is_array = text.peek() == "["
    if is_array:
        text.skip(_SPACE + "[", once="[")
    count = 0
    while True:
        text.skip(_SPACE + ",")
        following = text.peek()
        if following == "":
            if is_array:
                raise BadData(f"{where}: the array ends early after value {count}: the file was cut off")
            return
        if is_array and following == "]":
            return
        yield text.value(where, count)
        count += 1


def lines(stream: BinaryIO, *, where: str) -> Iterator[tuple[str, Any]]:
    """Recorded feeds: what stands before the JSON of each line (a receive time), and the JSON."""
    for number, line in enumerate(stream, start=1):
        head, _, tail = line.decode("utf-8", errors="replace").partition(" ")
        if not tail.strip():
            continue
        try:
            yield head, parse(tail.strip())
        except JSONDecodeError as error:
            raise BadData(f"{where}: line {number} is no JSON: {error.msg}") from error


class _Text:
    """A window over the stream that moves forward."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self._rest = b""
        self._buffer = ""
        self._place = 0
        self._ended = False

    def peek(self) -> str:
        while self._place >= len(self._buffer):
            if not self._more():
                return ""
        return self._buffer[self._place]

    def skip(self, letters: str, *, once: str = "") -> None:
        """Past any of the letters; at most one of ``once``."""
        while (letter := self.peek()) and letter in letters:
            self._place += 1
            if letter == once:
                return

    def value(self, where: str, count: int) -> Any:
        while True:
            try:
                found, end = _decoder.raw_decode(self._buffer, self._place)
                # A number at the very end of the window may go on behind it.
                if end < len(self._buffer) or self._ended or isinstance(found, dict | list):
                    self._place = end
                    return found
            except JSONDecodeError as error:
                if self._ended or len(self._buffer) - self._place > MOST_BYTES_OF_A_VALUE:
                    raise BadData(
                        f"{where}: value {count + 1} is no JSON: {error.msg} at {self._around(error.pos)}"
                    ) from error
            if not self._more() and not self._ended:
                raise BadData(f"{where}: value {count + 1} cannot be read to its end")

    def _around(self, place: int) -> str:
        return repr(self._buffer[place : place + 20])

    def _more(self) -> bool:
        block = self._stream.read(READ_BYTES)
        if not block:
            self._ended = True
            return False
        data = self._rest + block
        cut = len(data)
        while cut > max(0, len(data) - 4) and data[cut - 1] & 0xC0 == 0x80:
            cut -= 1
        if cut and data[cut - 1] >= 0xC0:
            cut -= 1
        else:
            cut = len(data)
        self._rest = data[cut:]
        text = data[:cut].decode("utf-8-sig" if not self._buffer and self._place == 0 else "utf-8", errors="replace")
        self._buffer = self._buffer[self._place :] + text
        self._place = 0
        return True
