"""Trials in child processes, on every core. A trial that raises, hangs, eats memory or takes its process down fails
with its reason, and the others go on."""

import contextlib
import gc
import multiprocessing
import os
import random
import signal
import stat
import sys
import time
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, wait
from typing import Any, Final

import numpy as np

from mastertrade.backtest.trials import Evaluate, Outcome, Trial

GRACE_S: Final = 5.0
"""A worker kills itself at its deadline; when even that does not happen, we do it this much later."""
TELL_EVERY_S: Final = 0.02
"""Outcomes travel together: each message puts the parent on a core that a worker could use. What was not told before
a worker's process ended is tried again."""
LOOK_AROUND_S: Final = 0.5
"""How often an idle worker looks whether its parent is still there."""
OUT_OF_MEMORY: Final = "needs more memory than a trial may use"
MEGABYTE: Final = 1 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What one trial may take. ``memory_mb`` is what a worker may use beyond the columns it shares with us."""

    seconds: float = 60.0
    memory_mb: int = 2048


class Workers:
    """A pool. Give it batches while ``idle`` is above 0, and take what is finished with ``results``. Closing it ends
    every worker at once; whatever ran then was not tried."""

    def __init__(self, evaluate: Evaluate, *, count: int | None = None, limits: Limits | None = None) -> None:
        self.count = count or os.cpu_count() or 1
        self.limits = limits or Limits()
        self._evaluate = evaluate
        self._is_prepared = False
        # Forked workers share our columns, and cost a few milliseconds. Elsewhere the evaluation travels by pickle.
        self._context = multiprocessing.get_context("fork" if sys.platform == "linux" else "spawn")
        self._waiting: deque[list[Trial]] = deque()
        self._workers: list[_Worker] = []

    def __enter__(self) -> "Workers":
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    @property
    def idle(self) -> int:
        """How many more batches would find a worker at once."""
        busy = sum(bool(worker.trials) for worker in self._workers)
        return self.count - busy - len(self._waiting)

    @property
    def is_busy(self) -> bool:
        return bool(self._waiting) or any(worker.trials for worker in self._workers)

    def submit(self, trials: Sequence[Trial]) -> None:
        if trials:
            self._waiting.append(list(trials))
            self._hand_out()

    def results(self, timeout_s: float) -> list[tuple[Trial, Outcome]]:
        """What was finished within that time, as soon as there is something."""
        busy = [worker for worker in self._workers if worker.trials]
        found: list[tuple[Trial, Outcome]] = []
        ready = wait([worker.connection for worker in busy], timeout=timeout_s) if busy else []
        for worker in busy:
            if worker.connection in ready:
                found += self._read(worker)
            elif time.monotonic() > worker.deadline:
                worker.kill()
                found += self._lost(worker)
        self._hand_out()
        return found

    def close(self) -> None:
        self._waiting.clear()
        for worker in self._workers:
            worker.end()
        for worker in self._workers:
            worker.kill()
        self._workers.clear()

    def _prepare(self, one: Trial) -> None:
        """Before the first worker: what they share they then share in memory too."""
        prepare = None if self._is_prepared else getattr(self._evaluate, "prepare", None)
        if prepare is not None:
            prepare(one)
        self._is_prepared = True

    def _hand_out(self) -> None:
        while self._waiting:
            worker = next((worker for worker in self._workers if not worker.trials), None)
            if worker is None and len(self._workers) < self.count:
                self._prepare(self._waiting[0][0])
                worker = _Worker(self._context, self._evaluate, self.limits)
                self._workers.append(worker)
            if worker is None:
                return
            batch = self._waiting.popleft()
            if not worker.give(batch):  # it died while it had nothing to do
                self._workers.remove(worker)
                worker.kill()
                self._waiting.appendleft(batch)

    def _read(self, worker: "_Worker") -> list[tuple[Trial, Outcome]]:
        found = []
        try:
            while worker.trials and worker.connection.poll():
                outcomes = worker.connection.recv()
                found += [(worker.trials.popleft(), outcome) for outcome in outcomes]
                worker.set_deadline()
                if outcomes[-1].failure == OUT_OF_MEMORY:  # it ends with that
                    self._retire(worker)
                    break
        except (EOFError, OSError):
            found += self._lost(worker)
        return found

    def _retire(self, worker: "_Worker") -> None:
        self._workers.remove(worker)
        worker.kill()
        if worker.trials:
            self._waiting.appendleft(list(worker.trials))
            worker.trials.clear()

    def _lost(self, worker: "_Worker") -> list[tuple[Trial, Outcome]]:
        """The worker is gone. A trial that was alone with it is the culprit; of several, the first is tried again by
        itself and the others without it."""
        self._workers.remove(worker)
        reason = worker.reason()
        first, *others = worker.trials
        worker.trials.clear()
        if others or not worker.was_alone:
            self._waiting.extendleft([others, [first]] if others else [[first]])
            return []
        return [(first, Outcome(failure=reason, seconds=worker.limits.seconds))]


@dataclass(eq=False)
class _Worker:
    context: Any
    evaluate: Evaluate
    limits: Limits
    trials: deque[Trial] = field(default_factory=deque)
    was_alone: bool = False
    deadline: float = 0.0

    def __post_init__(self) -> None:
        self.connection, theirs = self.context.Pipe()
        self.process = self.context.Process(
            target=_work, args=(theirs, self.evaluate, self.limits, os.getpid()), daemon=True
        )
        self.process.start()
        theirs.close()

    def give(self, trials: list[Trial]) -> bool:
        try:
            self.connection.send(trials)
        except OSError:
            return False
        self.trials.extend(trials)
        self.was_alone = len(trials) == 1
        self.set_deadline()
        return True

    def set_deadline(self) -> None:
        self.deadline = time.monotonic() + self.limits.seconds + GRACE_S

    def end(self) -> None:
        """Begin to, so that several end at the same time."""
        with contextlib.suppress(OSError, AttributeError, ValueError):
            self.process.kill()

    def kill(self) -> None:
        self.end()
        self.process.join()
        self.connection.close()

    def reason(self) -> str:
        self.process.join(GRACE_S)
        code = self.process.exitcode
        self.connection.close()
        if code == -signal.SIGALRM or (code == -signal.SIGKILL and time.monotonic() > self.deadline):
            return f"ran longer than the {self.limits.seconds:g} s a trial may take"
        if code is not None and code < 0:
            return f"its process was ended by {signal.Signals(-code).name}, perhaps for want of memory"
        return f"it ended its process with exit code {code}"


def _work(connection: Connection, evaluate: Evaluate, limits: Limits, parent: int) -> None:
    """The life of a worker: a batch in, an outcome a trial out."""
    gc.freeze()  # what was there before us is not looked through, which would copy every page that we share
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; the parent decides what ends
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    signal.signal(signal.SIGALRM, signal.SIG_DFL)  # no handler: it also ends a loop that never comes back to Python
    _let_go_of_sockets(keep=connection.fileno())
    limit_memory(limits.memory_mb)
    with contextlib.suppress(EOFError, OSError):
        while True:
            while not connection.poll(LOOK_AROUND_S):
                if os.getppid() != parent:
                    return
            told, told_at = list[Outcome](), time.monotonic()
            for outcome in outcomes_within(evaluate, connection.recv(), limits):
                told.append(outcome)
                if outcome.failure == OUT_OF_MEMORY:
                    connection.send(told)
                    return  # what it left behind may be what filled the memory
                if (now := time.monotonic()) - told_at > TELL_EVERY_S:
                    connection.send(told)
                    told, told_at = [], now
            if told:
                connection.send(told)


def outcomes_within(evaluate: Evaluate, trials: Sequence[Trial], limits: Limits) -> Iterator[Outcome]:
    """The outcomes of a batch. A trial that runs too long ends this process, which must not handle SIGALRM."""
    signal.setitimer(signal.ITIMER_REAL, limits.seconds)
    for outcome in _outcomes(evaluate, trials):
        signal.setitimer(signal.ITIMER_REAL, 0)
        yield outcome
        signal.setitimer(signal.ITIMER_REAL, limits.seconds)
    signal.setitimer(signal.ITIMER_REAL, 0)


def _let_go_of_sockets(*, keep: int) -> None:
    """A forked worker holds its parent's connections. When the parent is killed, they must be seen to end at once."""
    folder = "/proc/self/fd"
    for name in os.listdir(folder) if os.path.isdir(folder) else ():
        number = int(name)
        with contextlib.suppress(OSError):
            if number != keep and stat.S_ISSOCK(os.fstat(number).st_mode):
                os.close(number)


def _outcomes(evaluate: Evaluate, trials: Sequence[Trial]) -> Any:
    """Evaluations catch what a trial raises; this catches what the evaluation itself does wrong."""
    done = 0
    try:
        for outcome in evaluate(trials):
            done += 1
            yield outcome
    except BaseException as error:  # noqa: BLE001 - a worker outlives everything that strategies do
        failure = reason_of(error)
        for _ in range(len(trials) - done):
            yield Outcome(failure=failure)


def reason_of(error: BaseException) -> str:
    """One line for a row of a table."""
    if isinstance(error, MemoryError):
        return OUT_OF_MEMORY
    first = (str(error).splitlines() or [""])[0][:300]
    return f"{type(error).__name__}: {first}" if first else type(error).__name__


def seed_everything(seed: int) -> None:
    """A strategy that draws random numbers draws the same ones wherever its trial runs."""
    random.seed(seed)
    np.random.seed(seed)  # the generator that strategies use without asking


def limit_memory(megabytes: int) -> None:
    if sys.platform != "linux":
        return
    import resource

    pages = int(open("/proc/self/statm", encoding="ascii").read().split()[0])  # noqa: SIM115 - a process about to work
    limit = pages * os.sysconf("SC_PAGE_SIZE") + megabytes * MEGABYTE
    _, hard = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (limit if hard < 0 else min(limit, hard), hard))
