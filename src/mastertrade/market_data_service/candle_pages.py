"""From a page of a venue's candles to bars that may be stored, and what to say about the time they cover."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta

import numpy as np

from mastertrade.exchanges.market_feed import CandlePage
from mastertrade.market_data_service.candle_store import Outcome
from mastertrade.market_data_service.postgres_candles import Stretch
from mastertrade.market_data_service.source import RefusedRows, to_datetime
from mastertrade.market_data_service.validation import COLUMNS, RawRows, accept_rows
from mastertrade.quant.bars import Bars


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What is to be recorded of a stretch of time."""

    stretch: Stretch
    outcome: Outcome
    error: str | None = None


def bars_of(page: CandlePage, *, where: str, interval_s: int, now_ms: int, refused: RefusedRows) -> Bars:
    """The rows that are candles; the others are counted in ``refused``."""
    rows = page.rows
    texts = {name: [getattr(row, name) for row in rows] for name in COLUMNS}
    time = np.array([row.time_ms for row in rows], dtype=np.int64)
    raw = RawRows(
        row=lambda index: index + 1,
        time=time,
        has_time=np.ones(len(rows), dtype=np.bool_),
        columns={name: np.array([_float(text) for text in texts[name]], dtype=np.float64) for name in COLUMNS},
        text=lambda name, index: str(to_datetime(int(time[index]))) if name == "time" else texts[name][index],
    )
    return accept_rows(raw, where=where, interval_s=interval_s, after_ms=None, now_ms=now_ms, refused=refused)


def requests_of(page: CandlePage, bars: Bars, interval_s: int, *, rule: str) -> Iterator[Request]:
    """The stretches the venue answered for, around the bars it answered for with nonsense: those are asked for again
    next time."""
    step = timedelta(seconds=interval_s)
    good = set(bars.time.tolist())
    outcome = Outcome.FETCHED if len(bars) else Outcome.EMPTY
    cursor = page.since
    for row in page.rows:
        if row.time_ms in good or row.time_ms % (interval_s * 1000):
            continue
        at = to_datetime(row.time_ms)
        if cursor < at:
            yield Request(stretch=(cursor, at), outcome=outcome)
        cursor = min(at + step, page.until)
        yield Request(stretch=(at, cursor), outcome=Outcome.FAILED, error=f"the venue's candle was refused: {rule}")
    if cursor < page.until:
        yield Request(stretch=(cursor, page.until), outcome=outcome)


def _float(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return float("nan")
