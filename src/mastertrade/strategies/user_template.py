"""The template of a user's file: it sees bars that it cannot change, and what it answers is checked."""

import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from mastertrade.quant.bars import Bars, FloatArray
from mastertrade.quant.columns import Columns
from mastertrade.shared.errors import MasterTradeError
from mastertrade.strategies.on_bar import Bar
from mastertrade.strategies.template import SIGNAL_FREE, Parameters, changes_at, known_values

USUAL_CONFIDENCE = 75.0
"""Of a signal whose strategy says nothing about it."""


class StrategyFailed(MasterTradeError):
    """A strategy failed while it ran."""


class Inner(Protocol):
    """What a file must offer; ``warm_up``, ``evidence`` and ``confidence`` may be there too."""

    def positions(self, bars: Any, params: Any, /) -> Any: ...


class FileTemplate:
    """Pickled it is its text, so that a worker elsewhere needs no file."""

    def __init__(
        self,
        *,
        path: Path,
        text: str,
        form: str,
        parameter_type: type[Parameters],
        inner: Inner,
        rebuild: Callable[[str, str], Any],
    ) -> None:
        self.name = path.stem
        self.legacy_type = self.name
        self.path = path
        self.text = text
        self.form = form
        self.parameter_type = parameter_type
        self.inner = inner
        self._rebuild = rebuild

    def __reduce__(self) -> Any:
        return self._rebuild, (str(self.path), self.text)

    @property
    def reads_markets(self) -> bool:
        """Whether it looks at ``bars.markets``: a file says so with ``reads_markets = True``."""
        return bool(getattr(self.inner, "reads_markets", False))

    @property
    def says_warm_up(self) -> bool:
        return hasattr(self.inner, "warm_up")

    def warm_up(self, params: Parameters) -> int:
        """0 where the file does not say."""
        if not hasattr(self.inner, "warm_up"):
            return 0
        with self._blamed():
            return int(self.inner.warm_up(params))

    def positions(self, columns: Columns, params: Parameters) -> FloatArray:
        with self._blamed():
            targets = self.inner.positions(columns.sealed(), params)
        return self._checked(targets, columns)

    def evidence(self, columns: Columns, params: Parameters, i: int) -> dict[str, float]:
        if not hasattr(self.inner, "evidence"):
            return known_values(i, {"close": columns.close})
        with self._blamed():
            return {str(name): float(value) for name, value in self.inner.evidence(columns, params, i).items()}

    def confidence(self, columns: Columns, params: Parameters, i: int) -> float:
        if hasattr(self.inner, "confidence"):
            with self._blamed():
                return float(self.inner.confidence(columns, params, i))
        return USUAL_CONFIDENCE if changes_at(self.positions(columns, params), i) else SIGNAL_FREE

    @contextmanager
    def _blamed(self) -> Iterator[None]:
        """What the file's code raises is told with its line. Want of memory is not the file's to tell."""
        try:
            yield
        except (KeyboardInterrupt, MemoryError, GeneratorExit):
            raise
        except BaseException as error:
            lines = [one.lineno for one in traceback.extract_tb(error.__traceback__) if one.filename == str(self.path)]
            line = f" line {lines[-1]}" if lines else ""
            notes = "".join(f", {note}" for note in getattr(error, "__notes__", ()))
            said = (str(error).splitlines() or [""])[0]
            reason = f"{type(error).__name__}: {said}" if said else type(error).__name__
            if "read-only" in said:
                reason += "; bars and indicators are shared: change a copy, such as bars.close.copy()"
            if isinstance(error, AttributeError) and error.name:
                reason += _meant(error.name, error.obj)
            raise StrategyFailed(f"{self.path.name}{line}{notes}: {reason}") from error

    def _checked(self, given: Any, bars: Bars) -> FloatArray:
        """One target a bar, from -1 to 1."""
        if given is None:
            raise StrategyFailed(f"{self.path.name}: positions gave nothing; it must return a target for each bar")
        try:
            targets = np.asarray(given, dtype=np.float64)
        except (TypeError, ValueError) as error:
            raise StrategyFailed(f"{self.path.name}: the targets are no numbers: {error}") from None
        if targets.ndim != 1 or len(targets) != len(bars):
            shape = f"{len(targets):,} targets" if targets.ndim == 1 else f"an array of shape {targets.shape}"
            raise StrategyFailed(f"{self.path.name}: gave {shape} for {len(bars):,} bars; each bar needs one target")
        bad = ~((targets >= -1.0) & (targets <= 1.0))
        if bad.any():
            raise StrategyFailed(f"{self.path.name}: {_bad_target(targets, bad, bars)}")
        return targets


def _meant(name: str, of: object) -> str:
    """The attribute that was probably meant, of what strategies are handed."""
    if not isinstance(of, Bars | Parameters | Bar):
        return ""
    near = get_close_matches(name, [one for one in dir(of) if one[0] != "_"], n=1)
    return f"; did you mean {near[0]}?" if near else ""


def _bad_target(targets: FloatArray, bad: Any, bars: Bars) -> str:
    place = int(np.argmax(bad))
    at = datetime.fromtimestamp(int(bars.time[place]) / 1000, UTC)
    many = f" (and {int(bad.sum()) - 1} more)" if bad.sum() > 1 else ""
    hint = (
        "an indicator has no value there yet, and a target must have one: compare with it, or np.nan_to_num(…)"
        if np.isnan(targets[place])
        else "a target goes from -1 (short) over 0 (out) to 1 (all in)"
    )
    return f"the target of bar {place}, {at:%Y-%m-%d %H:%M}{many}, is {float(targets[place])!r}; {hint}"
