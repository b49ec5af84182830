"""Secrets at rest: sealed with AES-256-GCM under a master key that stands in a file, apart from the database.

A seal is bound to what the secret is for: moved to another place it does not open. Source: NIST SP 800-38D, with a
random nonce of 96 bits for each seal."""

import hashlib
import json
import os
import secrets
import stat
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Final

from mastertrade.shared.errors import ConfigurationError, MasterTradeError

KEY_FILE: Final = "master.key"
KEY_BYTES: Final = 32
NONCE_BYTES: Final = 12
FORM: Final = "mastertrade seal 1"


class KeyFileUnusable(ConfigurationError):
    """The file with the master key cannot be used."""


class SealBroken(MasterTradeError):
    """What was sealed has been changed, or was sealed for another place."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sealed:
    """``master_key_id`` tells which key opens it and nothing about that key."""

    master_key_id: str
    content: bytes = field(repr=False)


class MasterKey:
    """Handed out by ``open_master_key``. Its bytes are in no representation of it."""

    def __init__(self, path: Path, key: bytes) -> None:
        self.path = path
        self.id = hashlib.sha256(b"mastertrade master key id" + key).hexdigest()[:16]
        self._key = key

    def seal(self, secret: bytes, *, bound_to: tuple[str, ...]) -> Sealed:
        nonce = secrets.token_bytes(NONCE_BYTES)
        content = nonce + _cipher().AESGCM(self._key).encrypt(nonce, secret, _bound(bound_to))
        return Sealed(master_key_id=self.id, content=content)

    def unseal(self, sealed: Sealed, *, bound_to: tuple[str, ...]) -> bytes:
        """KeyFileUnusable when another master key sealed it, SealBroken when it was changed or moved."""
        if sealed.master_key_id != self.id:
            raise KeyFileUnusable(
                f"{self.path} holds master key {self.id}, and {sealed.master_key_id} is needed: put the file back that "
                "was there when the secret was stored, or store the secret anew"
            )
        from cryptography.exceptions import InvalidTag

        nonce, content = sealed.content[:NONCE_BYTES], sealed.content[NONCE_BYTES:]
        try:
            opened: bytes = _cipher().AESGCM(self._key).decrypt(nonce, content, _bound(bound_to))
        except (InvalidTag, ValueError):
            raise SealBroken(f"the seal of {' '.join(bound_to)} is broken: its row was changed or moved here") from None
        return opened


def open_master_key(home: Path, *, make: bool = False) -> MasterKey:
    """The master key of the platform's home folder; with ``make`` a new one where there is none yet.

    KeyFileUnusable names the file that is missing, damaged, not ours, or open to others."""
    path = home / KEY_FILE
    try:
        if make and not path.exists():
            _write_new(path)
        with path.open("rb") as file:
            _require_private(path, os.fstat(file.fileno()))
            text = file.read(1_000)
    except FileNotFoundError:
        raise KeyFileUnusable(
            f"{path} is missing: the master key in it opens stored exchange keys; put it back from your backup, "
            "or forget the keys (mastertrade account remove NAME) and add them again"
        ) from None
    except OSError as error:
        raise KeyFileUnusable(f"{path} cannot be used: {error.strerror or error}") from error
    try:
        key = bytes.fromhex(text.decode("ascii").strip())
    except ValueError:
        key = b""
    if len(key) != KEY_BYTES:
        raise KeyFileUnusable(
            f"{path} holds no master key, which is {2 * KEY_BYTES} hexadecimal digits; put it back from your backup"
        )
    return MasterKey(path, key)


def _require_private(path: Path, status: os.stat_result) -> None:
    if os.name != "posix":
        return
    if stat.S_IMODE(status.st_mode) & 0o077:
        raise KeyFileUnusable(
            f"{path} can be read or written by others (mode {stat.S_IMODE(status.st_mode):04o}): chmod 600 it, and if "
            "somebody may have read it make new keys at your venues"
        )
    if status.st_uid != os.geteuid():
        raise KeyFileUnusable(f"{path} belongs to user {status.st_uid}, and we run as {os.geteuid()}: chown it")


def _write_new(path: Path) -> None:
    """Complete and readable by us alone, or not there at all. Of two that write at once the first one's key stands."""
    unfinished = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    descriptor = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "w", encoding="ascii") as file:
            file.write(secrets.token_hex(KEY_BYTES) + "\n")
            file.flush()
            os.fsync(file.fileno())
        os.link(unfinished, path)
    except FileExistsError:
        return
    finally:
        unfinished.unlink()
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _bound(to: tuple[str, ...]) -> bytes:
    return json.dumps([FORM, *to]).encode()


def _cipher() -> ModuleType:
    try:
        from cryptography.hazmat.primitives.ciphers import aead
    except ImportError as error:
        raise ConfigurationError(
            "keys of exchanges are sealed with the package cryptography, which is not installed: install mastertrade "
            "with its extra 'live' (mastertrade[live]); in a checkout ./mt does it"
        ) from error
    return aead
