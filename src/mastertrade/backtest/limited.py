"""Somebody's code in a process of its own, with the time and memory a trial may take."""

import multiprocessing
import signal
import sys
from collections.abc import Callable
from multiprocessing.connection import Connection
from typing import Any, Final, TypeVar

from mastertrade.backtest.workers import GRACE_S, Limits, limit_memory
from mastertrade.shared.errors import MasterTradeError

T = TypeVar("T")
Show = Callable[[int, int], None]
PROGRESS: Final = "progress"
MADE: Final = "made"
FAILED: Final = "failed"


class TookTooMuch(MasterTradeError):
    """It took more time or memory than it may."""


def limited(work: Callable[[Show], T], limits: Limits, *, name: str, show: Show) -> T:
    """What ``work`` gives, or the error it raises. TookTooMuch where it hangs, eats memory or ends its process."""
    # Where there is no fork, the work travels by pickle and must be a function of a module.
    context: Any = multiprocessing.get_context("fork" if sys.platform == "linux" else "spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=_work, args=(theirs, work, limits, name), daemon=True)
    process.start()
    theirs.close()
    try:
        kind, value = _answer(ours, limits, show)
    finally:
        process.join(GRACE_S)
        process.kill()
        ours.close()
    if kind == FAILED:
        raise value or TookTooMuch(f"{name}: {_reason(process.exitcode, limits)}")
    return value  # type: ignore[no-any-return] # what the work gave


def _answer(connection: Connection, limits: Limits, show: Show) -> tuple[str, Any]:
    """Failed with None where none came."""
    try:
        while connection.poll(limits.seconds + GRACE_S):
            kind, value = connection.recv()
            if kind != PROGRESS:
                return kind, value
            show(*value)
    except EOFError:
        pass
    return FAILED, None


def _reason(code: int | None, limits: Limits) -> str:
    if code is None or code in (-signal.SIGALRM, -signal.SIGKILL):
        return f"ran longer than {limits.seconds:g} s; a strategy that hangs never finishes a backtest either"
    if code < 0:
        return f"its process was ended by {signal.Signals(-code).name}, perhaps for want of memory"
    return f"it ended its process with exit code {code}"


def _work(connection: Connection, work: Callable[[Show], Any], limits: Limits, name: str) -> None:
    signal.signal(signal.SIGALRM, signal.SIG_DFL)  # no handler: it also ends a loop that never comes back to Python
    signal.setitimer(signal.ITIMER_REAL, limits.seconds)
    limit_memory(limits.memory_mb)
    try:
        made = (MADE, work(lambda done, expected: connection.send((PROGRESS, (done, expected)))))
    except MasterTradeError as error:
        made = (FAILED, type(error)(str(error)))
    except MemoryError:
        made = (FAILED, TookTooMuch(f"{name}: needs more than the {limits.memory_mb} MB of memory it may use"))
    connection.send(made)
