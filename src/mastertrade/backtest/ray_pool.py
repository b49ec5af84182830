"""Trials on a Ray cluster: the same pool as the child processes of one machine, with other machines' cores.

Ray is an optional extra. Without an address it makes a cluster of this machine, which ends with the pool."""

import os
import time
from collections import deque
from collections.abc import Sequence
from typing import Any, Final

from mastertrade.backtest.trials import Evaluate, Outcome, Trial
from mastertrade.backtest.workers import GRACE_S, Limits, reason_of
from mastertrade.shared.errors import ConfigurationError, DependencyDown

START_S: Final = 60.0
"""How long a worker may take to begin: the cluster starts one for each that was lost, and a machine may be busy.
The trial's own clock runs on the worker, so this is only for workers that never answer."""
NEXT_STEP: Final = "install the extra of that name: pip install 'mastertrade[ray]'"


class RayPool:
    """Give it batches while ``idle`` is above 0, and take what is finished with ``results``. Workers of the cluster
    need this program in the same version, and for a user's strategy its file at the same place."""

    def __init__(self, evaluate: Evaluate, *, address: str | None = None, limits: Limits | None = None) -> None:
        self.limits = limits or Limits()
        self._ray = _start(address)
        self._try = self._ray.remote(max_retries=0, num_cpus=1)(_try_batch)
        self._evaluate = self._ray.put(evaluate)
        self.count = max(1, int(self._ray.cluster_resources().get("CPU", 1)))
        self._running: dict[Any, tuple[list[Trial], float]] = {}
        self._waiting: deque[list[Trial]] = deque()

    def __enter__(self) -> "RayPool":
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    @property
    def idle(self) -> int:
        return self.count - len(self._running) - len(self._waiting)

    @property
    def is_busy(self) -> bool:
        return bool(self._running or self._waiting)

    def submit(self, trials: Sequence[Trial]) -> None:
        if trials:
            self._waiting.append(list(trials))
            self._hand_out()

    def results(self, timeout_s: float) -> list[tuple[Trial, Outcome]]:
        ready: list[Any] = []
        if self._running:
            ready, _ = self._ray.wait(list(self._running), num_returns=len(self._running), timeout=0)
            if not ready:
                ready, _ = self._ray.wait(list(self._running), num_returns=1, timeout=timeout_s)
        found = [pair for reference in ready for pair in self._read(reference)]
        self._end_the_late()
        self._hand_out()
        return found

    def close(self) -> None:
        for reference in self._running:
            self._ray.cancel(reference, force=True)
        self._running.clear()
        self._waiting.clear()
        self._ray.shutdown()

    def _hand_out(self) -> None:
        while self._waiting and len(self._running) < self.count:
            trials = self._waiting.popleft()
            reference = self._try.remote(self._evaluate, trials, self.limits)
            self._running[reference] = (
                trials,
                time.monotonic() + START_S + self.limits.seconds * len(trials) + GRACE_S,
            )

    def _read(self, reference: Any) -> list[tuple[Trial, Outcome]]:
        trials, _ = self._running.pop(reference)
        try:
            return list(zip(trials, self._ray.get(reference), strict=True))
        except self._ray.exceptions.RayError as error:
            return self._lost(trials, error)

    def _lost(self, trials: list[Trial], error: Exception) -> list[tuple[Trial, Outcome]]:
        """A batch took its process down. Of several trials each is tried again by itself."""
        if len(trials) > 1:
            self._waiting.extendleft([trial] for trial in reversed(trials))
            return []
        return [(trials[0], Outcome(failure=self._reason(error), seconds=self.limits.seconds))]

    def _reason(self, error: Any) -> str:
        if isinstance(
            error, self._ray.exceptions.RayTaskError
        ):  # not even begun, such as by a program of another version
            return reason_of(error.cause)
        if isinstance(error, self._ray.exceptions.OutOfMemoryError):
            return "its process was ended for want of memory"
        return (
            f"its process ended ({type(error).__name__}): it crashed, or ran longer than the {self.limits.seconds:g} s "
            "a trial may take"
        )

    def _end_the_late(self) -> None:
        """A trial ends its process at its own deadline; when even that does not happen, the cluster does it."""
        now = time.monotonic()
        for reference, (_, deadline) in self._running.items():
            if now > deadline:
                self._ray.cancel(reference, force=True)


def _try_batch(evaluate: Evaluate, trials: list[Trial], limits: Limits) -> list[Outcome]:
    """On a worker of the cluster."""
    from mastertrade.backtest.workers import outcomes_within

    return list(outcomes_within(evaluate, trials, limits))


def _start(address: str | None) -> Any:
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    if address is None:
        # Without it Ray listens at the machine's own address, and its option for the address is turned into that one.
        os.environ["RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"] = "0"
    try:
        import ray
    except ImportError as error:
        raise ConfigurationError(f"the engine ray needs Ray, which is not installed; {NEXT_STEP}") from error
    local = {} if address else {"include_dashboard": False}
    try:
        ray.init(address=address or "local", log_to_driver=False, logging_level="error", **local)
    except (ConnectionError, RuntimeError, TimeoutError) as error:
        where = address or "a cluster of this machine"
        raise DependencyDown(f"Ray: {where} does not answer: {str(error).splitlines()[0]}") from error
    return ray
