"""Whatever happened to a series (loads, late bars, corrections, removals, sealing, archiving, restoring), a read shows
what plain SQL shows of the rows, and what was known at a time can be read again."""

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from mastertrade.market_data_service import blocks
from mastertrade.market_data_service.bar_source import DatabaseBars
from mastertrade.market_data_service.blocks import seal_month
from mastertrade.market_data_service.candle_store import CandleStore
from mastertrade.market_data_service.catalogue import Selection
from mastertrade.market_data_service.retention.due import Rule
from mastertrade.market_data_service.retention.policies import Action
from mastertrade.market_data_service.retention.restoring import Restoring
from mastertrade.market_data_service.retention.retirement import Retirement
from mastertrade.quant.bars import Bars
from mastertrade.quant.resample import resample
from mastertrade.shared.clock import ReplayClock
from mastertrade.shared.postgres_manager import PostgresManager
from tests.postgres.market_seed import MINUTE, NOW, minutes
from tests.postgres.test_candle_blocks import MONTHS, VALUES, assert_same
from tests.postgres.test_candle_store import END, MONTH_END, START, opened

Candle = tuple[float, ...]
JULY = datetime(2024, 7, 1, tzinfo=UTC)
STEP_MS = 60_000
FIVE_MS = 300_000


@dataclass
class Remembered:
    """The law in twenty lines: what is stored, what each candle was before each change that became known at a time,
    what lies in files, and which bars of five minutes stand where candles left."""

    now: dict[int, Candle] = field(default_factory=dict)
    changes: dict[int, list[tuple[datetime, Candle | None]]] = field(default_factory=dict)
    files: list[tuple[datetime, dict[int, Candle], datetime]] = field(default_factory=list)
    gone: set[int] = field(default_factory=set)
    kept: dict[int, Candle] = field(default_factory=dict)

    def load(self, bars: Bars, at: datetime, *, is_live: bool) -> None:
        for time, candle in candles_of(bars).items():
            before = self.now.get(time)
            if before != candle and (before is not None or is_live):
                self.changes.setdefault(time, []).append((at, before))
            self.now[time] = candle
            self.gone.discard(time)

    def remove(self, first: int, last: int, at: datetime) -> None:
        for time in [time for time in self.now if first <= time < last]:
            self.changes.setdefault(time, []).append((at, self.now.pop(time)))

    def retire(self, month: datetime, at: datetime) -> None:
        first, last = milliseconds(month), milliseconds((month + timedelta(days=31)).replace(day=1))
        left = {time: candle for time, candle in self.now.items() if first <= time < last}
        if not left:
            return
        for slot, bar in candles_of(resample(bars_of(left), 300)).items():
            if self.is_known(slot):
                self.kept[slot] = bar
        self.files.append((month, left, at))
        self.gone |= set(range(min(left), max(left) + STEP_MS, STEP_MS))
        self.now = {time: candle for time, candle in self.now.items() if time not in left}

    def restore(self) -> None:
        for month, left, at in reversed(self.files):
            last = milliseconds((month + timedelta(days=31)).replace(day=1))
            for time, candle in left.items():
                newer = self.now.setdefault(time, candle)
                if newer != candle:
                    self.changes.setdefault(time, []).append((at, candle))
            self.gone -= set(range(milliseconds(month), last, STEP_MS))
        self.files = []

    def is_known(self, slot: int) -> bool:
        return self.gone.isdisjoint(range(slot, slot + FIVE_MS, STEP_MS))

    def as_of(self, at: datetime) -> dict[int, Candle]:
        found = {}
        for time in self.now.keys() | self.changes.keys():
            later = [before for known_at, before in self.changes.get(time, []) if known_at > at]
            candle = later[0] if later else self.now.get(time)
            if candle is not None and time not in self.gone:
                found[time] = candle
        return found

    def fives(self) -> dict[int, Candle]:
        made = {slot: bar for slot, bar in candles_of(resample(bars_of(self.now), 300)).items() if self.is_known(slot)}
        return made | {slot: bar for slot, bar in self.kept.items() if not self.is_known(slot)}


def milliseconds(at: datetime) -> int:
    return int(at.timestamp()) * 1000


def candles_of(bars: Bars) -> dict[int, Candle]:
    columns = (getattr(bars, name).tolist() for name in VALUES)
    return dict(zip(bars.time.tolist(), zip(*columns, strict=True), strict=True))


def bars_of(candles: dict[int, Candle], interval_s: int = 60) -> Bars:
    times = sorted(candles)
    columns = np.array([candles[time] for time in times], dtype=np.float64).reshape(len(times), 5).T
    values = {name: np.ascontiguousarray(column) for name, column in zip(VALUES, columns, strict=True)}
    return Bars(interval_s=interval_s, time=np.array(times, dtype=np.int64), **values)


def some(start: datetime, count: int, kind: int) -> Bars:
    """Bars whose prices depend on ``kind``; two of four kinds have holes, so that some longer bars are whole."""
    bars = minutes(count, start=start, price=100.0 + kind, without=range(kind, count, 17) if kind in (1, 2) else ())
    bars.volume[:] = np.random.default_rng(kind).exponential(10.0, len(bars))  # the sum depends on the order of adding
    return bars


async def plain_rows(database: PostgresManager, id: int) -> Bars:
    rows = await database.fetch(
        "SELECT open_time, open, high, low, close, volume FROM candles WHERE instrument_id = $1 AND interval_s = 60"
        " AND open_time >= $2 AND open_time < $3 ORDER BY open_time", id, START, END,
    )  # fmt: skip
    return bars_of({milliseconds(row["open_time"]): tuple(row[name] for name in VALUES) for row in rows})


Step = tuple[str, int, int, int]
STEPS = st.lists(
    st.tuples(
        st.sampled_from(("load", "live", "remove", "seal", "archive", "restore")),
        st.integers(0, 300), st.integers(1, 80), st.integers(0, 3),
    ),
    min_size=3, max_size=12,
)  # fmt: skip


@settings(max_examples=10, deadline=None, suppress_health_check=list(HealthCheck))
@given(steps=STEPS)
@example(  # a late bar of an archived month is taken away again: the bars of the month stay
    steps=[("load", 0, 80, 2), ("archive", 0, 1, 0), ("load", 3, 1, 0), ("remove", 0, 80, 0), ("restore", 0, 1, 0)]
)
@example(  # all candles were wrong, and who looks back still sees them
    steps=[("load", 0, 80, 0), ("load", 10, 30, 1), ("remove", 0, 80, 0), ("live", 20, 5, 0), ("seal", 0, 1, 0)]
)
@example(  # two files of one month, the second newer than the first
    steps=[("load", 0, 80, 0), ("archive", 0, 1, 0), ("load", 0, 40, 1), ("archive", 0, 1, 0), ("load", 5, 2, 3),
           ("restore", 0, 1, 0), ("archive", 0, 1, 0)]
)  # fmt: skip
async def test_a_read_is_what_the_rows_are_and_were_after_anything(
    database: PostgresManager, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, steps: list[Step]
) -> None:
    monkeypatch.setattr(blocks, "FEWEST_ROWS", 0)
    await opened(database)
    symbol = f"X{await database.fetchval('SELECT count(*) FROM instruments')}/USDT"
    _, (id,) = await opened(database, symbol)
    only = Selection(symbols=(symbol,))
    law, source, at, moments = Remembered(), DatabaseBars(database), NOW, [NOW]
    for step, place, count, kind in steps:
        at += timedelta(hours=1)
        moments.append(at)
        start = MONTH_END + (place - 150) * MINUTE
        store = CandleStore(manager=database, clock=ReplayClock(at))
        if step in ("load", "live") and not (step == "live" and law.files):
            bars = some(start, count, kind)
            await store.load(id, bars, is_live=step == "live")
            law.load(bars, at, is_live=step == "live")
        elif step == "remove":
            await store.remove(id, 60, start, start + count * MINUTE)
            law.remove(milliseconds(start), milliseconds(start + count * MINUTE), at)
        elif step == "archive":
            before = JULY if kind == 3 else MONTH_END
            rule = Rule(cutoff=before, action=Action.ARCHIVE, reason="test")
            engine = Retirement(manager=database, clock=ReplayClock(at), folder=tmp_path)
            outcomes = [one async for one in engine.run(only, lambda *_, rule=rule: rule, latest=before)]
            assert {one.state for one in outcomes} <= {"archived"}
            for month in (MONTH_END - timedelta(days=31), MONTH_END)[: 2 if kind == 3 else 1]:
                law.retire(month, at)
        elif step == "restore":
            back = Restoring(manager=database, clock=ReplayClock(at), home=tmp_path)
            for one in await back.plan(only):
                await back.restore(one)
            law.restore()
        for month in MONTHS if step == "seal" else ():
            await seal_month(database, id, 60, month)
        read = await source.read(id, 60, START, END)
        assert_same(read, await plain_rows(database, id))
        assert_same(read, bars_of(law.now))
        assert_same(await source.read(id, 300, START, END), bars_of(law.fives(), 300))
        then = moments[place % len(moments)]
        assert_same(await source.read(id, 60, START, END, as_of=then), bars_of(law.as_of(then)))
