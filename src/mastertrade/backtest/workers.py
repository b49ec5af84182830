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
from multiprocessing.reduction import ForkingPickler
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
GOES_ON, IS_DONE, ENDS = (bytes([number]) for number in range(3))
"""The first byte of a message says whether more of the batch comes, so that the next batch can be handed out before
the outcomes are looked at."""
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
        """How many more batches it takes: one for each worker that has nothing to do, and one for who is done next."""
        busy = sum(worker.is_busy for worker in self._workers)
        return self.count + 1 - busy - len(self._waiting)

    @property
    def is_busy(self) -> bool:
        return bool(self._waiting) or any(worker.is_busy for worker in self._workers)

    def submit(self, trials: Sequence[Trial]) -> None:
        if trials:
            self._waiting.append(list(trials))
            self._hand_out()

    def results(self, timeout_s: float) -> list[tuple[Trial, Outcome]]:
        """What was finished within that time, as soon as there is something."""
        busy = [worker for worker in self._workers if worker.is_busy]
        ready = wait([worker.connection for worker in busy], timeout=timeout_s) if busy else []
        told = [(worker, *worker.receive()) for worker in busy if worker.connection in ready]
        self._hand_out()
        found: list[tuple[Trial, Outcome]] = []
        for worker, messages, is_lost in told:
            found += worker.outcomes_of(messages)
            if is_lost:
                found += self._lost(worker)
            elif messages[-1][:1] == ENDS:
                self._retire(worker)
        for worker in busy:
            if worker.connection not in ready and time.monotonic() > worker.deadline:
                worker.kill()
                found += self._lost(worker)
        self._hand_out()
        return found

    def close(self) -> None:
        self._waiting.clear()
        for worker in self._workers:  # the system clears up behind them, which takes longer than many a trial
            worker.end()
            worker.connection.close()
        self._workers.clear()

    def _prepare(self, one: Trial) -> None:
        """Before the first worker: what they share they then share in memory too."""
        prepare = None if self._is_prepared else getattr(self._evaluate, "prepare", None)
        if prepare is not None:
            prepare(one)
        self._is_prepared = True

    def _hand_out(self) -> None:
        while self._waiting:
            worker = next((worker for worker in self._workers if not worker.is_busy), None)
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
    is_busy: bool = False
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
        self.is_busy = True
        self.was_alone = len(trials) == 1
        self.set_deadline()
        return True

    def receive(self) -> tuple[list[bytes], bool]:
        """What it has told, and whether it is gone."""
        messages = list[bytes]()
        try:
            while self.is_busy and self.connection.poll():
                messages.append(self.connection.recv_bytes())
                self.set_deadline()
                if messages[-1][:1] == ENDS:
                    break
                self.is_busy = messages[-1][:1] == GOES_ON
        except (EOFError, OSError):
            return messages, True
        return messages, False

    def outcomes_of(self, messages: list[bytes]) -> list[tuple[Trial, Outcome]]:
        return [(self.trials.popleft(), one) for told in messages for one in ForkingPickler.loads(memoryview(told)[1:])]

    def set_deadline(self) -> None:
        self.deadline = time.monotonic() + self.limits.seconds + GRACE_S

    def end(self) -> None:
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
                    _tell(connection, ENDS, told)
                    return  # what it left behind may be what filled the memory
                if (now := time.monotonic()) - told_at > TELL_EVERY_S:
                    _tell(connection, GOES_ON, told)
                    told, told_at = [], now
            _tell(connection, IS_DONE, told)


def _tell(connection: Connection, how: bytes, told: list[Outcome]) -> None:
    connection.send_bytes(how + bytes(ForkingPickler.dumps(told)))


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
        for _, outcome in zip(trials, evaluate(trials), strict=True):
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
