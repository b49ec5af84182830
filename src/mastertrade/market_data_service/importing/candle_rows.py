"""Rows of a file into bars of one series: what is no candle is rejected with its number, the order is mended."""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from mastertrade.market_data_service.file_reading import floats, shown
from mastertrade.market_data_service.importing.cells import EXACT_DIGITS, Times, digits_beyond
from mastertrade.market_data_service.importing.columns import Layout
from mastertrade.market_data_service.importing.findings import Findings, Severity
from mastertrade.market_data_service.importing.tables import Chunk, Reject
from mastertrade.market_data_service.source import to_datetime
from mastertrade.market_data_service.validation import COLUMNS, RawRows, broken_rules
from mastertrade.quant.bars import Bars, FloatArray, TimeArray

CONFLICT = "a row of this time came before with other numbers"


class CandleRows:
    """Reads the chunks of one series of one file. ``duplicates`` counts rows that say again what a row before said;
    ``blank`` rows in which this series has no cells at all (files that hold several side by side)."""

    def __init__(
        self,
        layout: Layout,
        *,
        interval_s: int,
        now_ms: int,
        reject: Reject,
        findings: Findings,
        is_wide: bool = False,
        has_volume: bool = True,
    ) -> None:
        self.duplicates = self.blank = 0
        self.times = Times()
        self._layout = layout
        self._interval_s = interval_s
        self._now_ms = now_ms
        self._reject = reject
        self._findings = findings
        self._is_wide = is_wide
        self._has_volume = has_volume
        self._seen = _Seen(interval_s)

    @property
    def interval_s(self) -> int:
        return self._interval_s

    def bars(self, chunk: Chunk) -> Bars:
        """The bars of a chunk in the order of time, none of them twice."""
        raw, present = self._raw(chunk)
        usable = self._judge(raw, chunk, present)
        self._findings.add(
            "digits",
            Severity.WARNING,
            f"a number of more than the {EXACT_DIGITS} digits that are kept exactly",
            count=sum(digits_beyond(chunk.columns[self._layout[name]]) for name in COLUMNS),
        )
        return self._ordered(raw, chunk, np.flatnonzero(usable))

    def _raw(self, chunk: Chunk) -> tuple[RawRows, NDArray[np.bool_]]:
        column = chunk.columns[self._layout["time"]]
        microseconds, has_time = self.times.microseconds(column)
        # A time between two milliseconds is moved off every grid on purpose.
        milliseconds = microseconds // 1000 + (microseconds % 1000 != 0)
        values = {name: floats(chunk.columns[self._layout[name]]) for name in COLUMNS}
        if not self._has_volume:  # of mark and index prices it is nothing, whatever a file says
            values["volume"] = np.zeros(len(chunk))
        present = np.ones(len(chunk), dtype=np.bool_)
        if self._is_wide:
            present = ~np.logical_and.reduce([np.isnan(values[name]) for name in COLUMNS])
            self.blank += int((~present).sum())

        def text(name: str, index: int) -> str:
            return shown(chunk.columns[self._layout[name]][index])

        def row(index: int) -> int:
            return int(chunk.numbers[index])

        return RawRows(row=row, time=milliseconds, has_time=has_time, columns=values, text=text), present

    def _judge(self, raw: RawRows, chunk: Chunk, present: NDArray[np.bool_]) -> NDArray[np.bool_]:
        usable = present.copy()
        reasons: dict[int, str] = {}
        for mask, rule, _ in broken_rules(raw, self._interval_s, self._now_ms):
            hits = mask & usable
            if hits.any():
                reasons |= dict.fromkeys(np.flatnonzero(hits).tolist(), rule)
                usable &= ~hits
        for index in sorted(reasons):
            self._reject(raw.row(index), reasons[index], self._row_text(chunk, index))
        return usable

    def _row_text(self, chunk: Chunk, index: int) -> str:
        return ",".join(shown(chunk.columns[self._layout[name]][index]) for name in ("time", *COLUMNS))

    def _ordered(self, raw: RawRows, chunk: Chunk, places: NDArray[np.intp]) -> Bars:
        times = raw.time[places]
        if len(times) and np.any(np.diff(times) < 0):
            self._note_disorder(
                int((np.diff(times) < 0).sum()), raw.row(int(places[int(np.argmax(np.diff(times) < 0)) + 1]))
            )
            order = np.argsort(times, kind="stable")
            places, times = places[order], times[order]
        is_first = np.ones(len(times), dtype=np.bool_)
        is_first[1:] = times[1:] != times[:-1]
        if not is_first.all():
            self._drop_repeated(raw, chunk, places, is_first)
            places, times = places[is_first], times[is_first]
        late = self._seen.contains(times)
        if late.any():
            for index in places[late].tolist():
                self._reject(raw.row(index), CONFLICT.replace(" with other numbers", ""), self._row_text(chunk, index))
            places, times = places[~late], times[~late]
        if self._seen.is_before(times):
            self._note_disorder(1, raw.row(int(places[0])))
        self._seen.add(times)
        columns = {name: raw.columns[name][places] for name in COLUMNS}
        if self._has_volume:
            self._note_volume(times, columns)
        return Bars(interval_s=self._interval_s, time=times, **columns)

    def _drop_repeated(self, raw: RawRows, chunk: Chunk, places: NDArray[np.intp], is_first: NDArray[np.bool_]) -> None:
        first_of = np.maximum.accumulate(np.where(is_first, np.arange(len(places)), 0))
        for position in np.flatnonzero(~is_first).tolist():
            index, before = int(places[position]), int(places[first_of[position]])
            if _same(raw.columns, index, before):
                self.duplicates += 1
                self._findings.add(
                    "duplicate", Severity.INFO, "rows say again what a row before said", first=f"row {raw.row(index)}"
                )
            else:
                self._reject(raw.row(index), CONFLICT, self._row_text(chunk, index))

    def _note_volume(self, times: TimeArray, columns: Mapping[str, FloatArray]) -> None:
        empty = columns["volume"] == 0
        moved = empty & (columns["high"] > columns["low"])
        for mask, severity, detail in (
            (moved, Severity.WARNING, "the price moved while nothing was traded"),
            (empty & ~moved, Severity.INFO, "nothing was traded"),
        ):
            if mask.any():
                name = "zero volume" if severity is Severity.WARNING else "no volume"
                first = f"{to_datetime(int(times[int(np.argmax(mask))])):%Y-%m-%d %H:%M}"
                self._findings.add(name, severity, detail, count=int(mask.sum()), first=first)

    def note_holes(self) -> None:
        """Once all rows are read: what is missing between the first and the last of them."""
        first, missing = self._seen.holes()
        if missing:
            at = f"{to_datetime(first):%Y-%m-%d %H:%M}"
            self._findings.add("gap", Severity.WARNING, "candles are missing", count=missing, first=at)

    def _note_disorder(self, count: int, row: int) -> None:
        self._findings.add(
            "order", Severity.INFO, "the rows were not in the order of time and have been sorted", count=count,
            first=f"row {row}",
        )  # fmt: skip


def _same(columns: Mapping[str, FloatArray], index: int, other: int) -> bool:
    return all(columns[name][index] == columns[name][other] for name in COLUMNS)


class _Seen:
    """The times a file has brought so far, as unbroken stretches: small unless the file is full of holes."""

    def __init__(self, interval_s: int) -> None:
        self._step_ms = interval_s * 1000
        self._starts: list[TimeArray] = []
        self._ends: list[TimeArray] = []
        self._latest: int | None = None

    def is_before(self, times: TimeArray) -> bool:
        return len(times) > 0 and self._latest is not None and int(times[0]) < self._latest

    def add(self, times: TimeArray) -> None:
        if len(times) == 0:
            return
        breaks = np.flatnonzero(np.diff(times) != self._step_ms) + 1
        self._starts.append(times[np.concatenate(([0], breaks))])
        self._ends.append(times[np.concatenate((breaks - 1, [len(times) - 1]))])
        self._latest = max(int(times[-1]), self._latest if self._latest is not None else int(times[-1]))

    def holes(self) -> tuple[int, int]:
        """Where the first hole begins, and how many rows are missing in all of them."""
        if not self._starts:
            return 0, 0
        starts, ends = np.concatenate(self._starts), np.concatenate(self._ends)
        order = np.argsort(starts)
        holes = (starts[order][1:] - ends[order][:-1]) // self._step_ms - 1
        if not len(holes) or not (holes > 0).any():
            return 0, 0
        return int(ends[order][int(np.argmax(holes > 0))]) + self._step_ms, int(holes[holes > 0].sum())

    def contains(self, times: TimeArray) -> NDArray[np.bool_]:
        if self._latest is None or len(times) == 0 or int(times[0]) > self._latest:
            return np.zeros(len(times), dtype=np.bool_)
        starts, ends = np.concatenate(self._starts), np.concatenate(self._ends)
        order = np.argsort(starts)
        starts, ends = starts[order], ends[order]
        place = np.searchsorted(starts, times, side="right") - 1
        found: NDArray[np.bool_] = (place >= 0) & (times <= ends[np.maximum(place, 0)])
        return found
