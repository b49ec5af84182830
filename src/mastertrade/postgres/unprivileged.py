"""Runs a program as an ordinary user although root started it: ``python -I -S unprivileged.py PROGRAM ARGUMENT...``

PostgreSQL refuses to run as root. In a user namespace of its own the program sees an ordinary user id, while every file
still belongs to root: no account is created and no permission of any folder is changed. Needs only the standard
library and starts without site-packages, because it stands in front of every server start.
"""

import contextlib
import ctypes
import os
import pwd
import sys

CLONE_NEWUSER = 0x10000000
EXIT_NOT_ALLOWED = 97
"""What the caller sees when the machine forbids user namespaces."""


def _ordinary_user_id() -> int:
    """An id with an entry in the user database, because initdb looks its own name up."""
    known = [entry.pw_uid for entry in pwd.getpwall() if entry.pw_uid != 0]
    return 1000 if 1000 in known or not known else max(known)


def _write(path: str, text: str) -> None:
    with open(path, "w", encoding="ascii") as file:
        file.write(text)


def main(command: list[str]) -> None:
    user_id, group_id, ordinary_id = os.geteuid(), os.getegid(), _ordinary_user_id()
    if ctypes.CDLL(None, use_errno=True).unshare(CLONE_NEWUSER) != 0:
        reason = os.strerror(ctypes.get_errno())
        sys.stderr.write(f"a user namespace is refused ({reason}), and PostgreSQL does not run as root\n")
        os._exit(EXIT_NOT_ALLOWED)
    with contextlib.suppress(OSError):  # kernels before 3.19 have no such file and need none
        _write("/proc/self/setgroups", "deny")
    _write("/proc/self/uid_map", f"{ordinary_id} {user_id} 1")
    _write("/proc/self/gid_map", f"{ordinary_id} {group_id} 1")
    os.execv(command[0], command)


if __name__ == "__main__":
    main(sys.argv[1:])
