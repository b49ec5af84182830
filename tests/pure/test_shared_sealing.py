"""Secrets at rest: what was sealed opens with its key, in its place, unchanged, and never otherwise."""

import os
import stat
import threading
from pathlib import Path

import pytest

from mastertrade.shared.sealing import KEY_FILE, KeyFileUnusable, SealBroken, Sealed, open_master_key

SECRET = b"a secret that nobody else has"
PLACE = ("account 1", "binance", "testnet")


def test_what_was_sealed_opens_after_a_restart_and_stands_nowhere_in_the_clear(tmp_path: Path) -> None:
    sealed = open_master_key(tmp_path, make=True).seal(SECRET, bound_to=PLACE)
    assert SECRET not in sealed.content
    assert open_master_key(tmp_path).unseal(sealed, bound_to=PLACE) == SECRET


def test_no_two_seals_are_alike(tmp_path: Path) -> None:
    key = open_master_key(tmp_path, make=True)
    nonces = {key.seal(SECRET, bound_to=PLACE).content[:12] for _ in range(2_000)}
    assert len(nonces) == 2_000


def test_a_flip_of_any_bit_of_any_byte_is_noticed(tmp_path: Path) -> None:
    key = open_master_key(tmp_path, make=True)
    sealed = key.seal(SECRET, bound_to=PLACE)
    for place in range(len(sealed.content)):
        changed = bytearray(sealed.content)
        changed[place] ^= 1 << place % 8
        with pytest.raises(SealBroken, match="account 1 binance testnet"):
            key.unseal(Sealed(master_key_id=key.id, content=bytes(changed)), bound_to=PLACE)


@pytest.mark.parametrize("length", [0, 5, 12, 27])
def test_what_is_too_short_for_a_seal_is_a_broken_one(tmp_path: Path, length: int) -> None:
    key = open_master_key(tmp_path, make=True)
    with pytest.raises(SealBroken):
        key.unseal(Sealed(master_key_id=key.id, content=bytes(length)), bound_to=PLACE)


@pytest.mark.parametrize(
    "elsewhere",
    [
        ("account 2", "binance", "testnet"), ("account 1", "kraken", "testnet"), ("account 1", "binance", "production"),
        ("account 1 binance", "testnet"), ("account 1", "binance", "testnet", ""), (),
    ],
)  # fmt: skip
def test_a_seal_does_not_open_in_another_place(tmp_path: Path, elsewhere: tuple[str, ...]) -> None:
    key = open_master_key(tmp_path, make=True)
    with pytest.raises(SealBroken):
        key.unseal(key.seal(SECRET, bound_to=PLACE), bound_to=elsewhere)


def test_another_master_key_and_a_lost_one_name_the_file(tmp_path: Path) -> None:
    key = open_master_key(tmp_path, make=True)
    sealed = key.seal(SECRET, bound_to=PLACE)
    (tmp_path / KEY_FILE).unlink()
    with pytest.raises(KeyFileUnusable, match=f"{tmp_path / KEY_FILE} is missing"):
        open_master_key(tmp_path)
    other = open_master_key(tmp_path, make=True)
    with pytest.raises(KeyFileUnusable, match=f"{tmp_path / KEY_FILE} holds master key {other.id}, and {key.id} is"):
        other.unseal(sealed, bound_to=PLACE)


def test_the_file_is_ours_alone_and_refused_when_it_no_longer_is(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        open_master_key(tmp_path, make=True)
    finally:
        os.umask(before)
    path = tmp_path / KEY_FILE
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [one.name for one in tmp_path.iterdir()] == [KEY_FILE]
    for mode in (0o640, 0o604, 0o620, 0o610):
        path.chmod(mode)
        with pytest.raises(KeyFileUnusable, match=f"{mode:04o}.*chmod 600"):
            open_master_key(tmp_path, make=True)


@pytest.mark.parametrize("content", [b"", b"\xff\xfe", b"00" * 31, b"00" * 33, b"no hexadecimal digits at all" * 3])
def test_a_damaged_file_is_named_and_never_written_anew(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / KEY_FILE
    path.write_bytes(content)
    path.chmod(0o600)
    with pytest.raises(KeyFileUnusable, match="holds no master key"):
        open_master_key(tmp_path, make=True)
    assert path.read_bytes() == content


def test_a_folder_that_cannot_be_used_is_named(tmp_path: Path) -> None:
    (tmp_path / "home").write_text("a file")
    with pytest.raises(KeyFileUnusable, match=str(tmp_path / "home" / KEY_FILE)):
        open_master_key(tmp_path / "home", make=True)


def test_many_that_need_the_first_key_at_once_get_the_same(tmp_path: Path) -> None:
    ids: list[str] = []
    ready = threading.Barrier(8)

    def ask() -> None:
        ready.wait()
        ids.append(open_master_key(tmp_path, make=True).id)

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(ids) == 8
    assert len(set(ids)) == 1
    assert [one.name for one in tmp_path.iterdir()] == [KEY_FILE]


def test_no_representation_shows_the_key_or_the_content(tmp_path: Path) -> None:
    key = open_master_key(tmp_path, make=True)
    sealed = key.seal(SECRET, bound_to=PLACE)
    stored = (tmp_path / KEY_FILE).read_text().strip()
    assert stored not in f"{key!r} {key} {key.id}"
    assert sealed.content.hex() not in repr(sealed)
    assert repr(sealed.content) not in repr(sealed)
