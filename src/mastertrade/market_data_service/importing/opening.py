"""Bytes out of plain, gzipped and zipped files. What can be read before a damaged end is read."""

import io
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import BinaryIO, cast

from mastertrade.shared.errors import BadData

BLOCK_BYTES = 1 << 18
MOST_MEMBERS = 1_000
"""Files inside one zip archive; exchanges put one there."""


class Damage:
    """What was found wrong with the bytes of a file while they were read."""

    def __init__(self) -> None:
        self.what: str | None = None


class SoundPart(io.RawIOBase):
    """The bytes of a gzip stream as far as it is sound, in whole lines: a cut number would look like another one."""

    def __init__(self, raw: BinaryIO, damage: Damage) -> None:
        self._raw = raw
        self._damage = damage
        self._inflate = zlib.decompressobj(wbits=31)
        self._pending = b""
        self._ready = b""
        self._line = b""
        self._ended = False

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: "memoryview") -> int:  # type: ignore[override]
        while not self._ready and not self._ended:
            self._fill()
        count = min(len(buffer), len(self._ready))
        buffer[:count] = self._ready[:count]
        self._ready = self._ready[count:]
        return count

    def _fill(self) -> None:
        """The last, unfinished line is held back until its end is seen, or the file's."""
        try:
            part = self._part()
        except zlib.error as error:
            self._damage.what = f"the compressed data is damaged ({error})"
            self._ended = True
            return
        if part is None:
            self._ended = True
            self._ready = b"" if self._damage.what else self._line
            return
        whole = self._line + part
        cut = whole.rfind(b"\n") + 1
        if cut == 0 and len(whole) > BLOCK_BYTES:
            cut = len(whole)  # no lines at all, as in one long JSON array: its reader knows where a value ends
        self._ready, self._line = whole[:cut], whole[cut:]

    def _part(self) -> bytes | None:
        data = self._pending or self._raw.read(BLOCK_BYTES)
        self._pending = b""
        if not data:
            if not self._inflate.eof:
                self._damage.what = "the compressed data ends early: the file was cut off"
            return None
        if self._inflate.eof:
            if not data.strip(b"\0"):
                return None
            self._inflate = zlib.decompressobj(wbits=31)
        part = self._inflate.decompress(data, 4 * BLOCK_BYTES)
        self._pending = self._inflate.unconsumed_tail or self._inflate.unused_data
        return part


@contextmanager
def open_parts(path: Path, damage: Damage) -> Iterator[Iterator[tuple[str, BinaryIO]]]:
    """The files in a file, by name: the members of a zip archive, or the one that it is."""
    try:
        with path.open("rb") as raw:
            magic = raw.read(4)
            raw.seek(0)
            if magic[:4] == b"PK\3\4":
                yield _members(path, raw)
            elif magic[:2] == b"\x1f\x8b":
                yield iter([(path.name.removesuffix(".gz"), io.BufferedReader(SoundPart(raw, damage), BLOCK_BYTES))])
            else:
                yield iter([(path.name, raw)])
    except OSError as error:
        raise BadData(
            f"{path}: cannot be read: {error.strerror or error}; check the path and its permissions"
        ) from error


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """A file as it lies there."""

    path: str
    bytes: int
    sha256: str


def identify(path: Path) -> Identity:
    digest = sha256()
    with path.open("rb") as raw:
        while block := raw.read(1 << 20):
            digest.update(block)
    return Identity(path=str(path.resolve()), bytes=path.stat().st_size, sha256=digest.hexdigest())


def _members(path: Path, raw: BinaryIO) -> Iterator[tuple[str, BinaryIO]]:
    try:
        with zipfile.ZipFile(raw) as archive:
            members = [one for one in archive.infolist() if not one.is_dir()]
            if not members or len(members) > MOST_MEMBERS:
                raise BadData(f"{path}: holds {len(members)} files; an archive must hold 1 to {MOST_MEMBERS}")
            for member in sorted(members, key=lambda one: one.filename):
                with archive.open(member) as opened:
                    yield member.filename, cast(BinaryIO, opened)
    except (zipfile.BadZipFile, RuntimeError) as error:
        raise BadData(f"{path}: the zip archive cannot be read: {error}; fetch it again") from error
