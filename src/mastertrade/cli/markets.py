"""Which market a command plays, and what trades there unless somebody says otherwise."""

from collections import Counter
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

from mastertrade.cli.queries import QUERIES
from mastertrade.cli.wording import interval
from mastertrade.domain.market import InstrumentKind, parse_symbol
from mastertrade.market_data_service.files import CandleFiles
from mastertrade.market_data_service.simulation import SimulatedMarket
from mastertrade.market_data_service.source import Source, to_datetime
from mastertrade.plans import StrategyPlan
from mastertrade.shared.errors import BadData
from mastertrade.shared.postgres_manager import PostgresManager

CASH: Final = Decimal(10_000)
SEED: Final = 1
SYNTHETIC_START: Final = datetime(2024, 1, 1, tzinfo=UTC)
TIMEFRAME_S: Final = 900
QUOTES: Final = ("USDT", "USD", "USDC")
"""Quote assets an account is opened in, most wanted first."""
STRATEGIES: Final[tuple[tuple[str, dict[str, Any]], ...]] = (
    ("ma_cross", {"fast": 20, "slow": 50}),
    ("rsi_reversion", {}),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class CommonTime:
    """The time in which every series of the played interval has candles; ``late`` begins last and ``early`` ends first.
    ``end`` is before ``start`` when there is no such time."""

    start: datetime
    end: datetime
    late: str
    early: str

    @property
    def length(self) -> timedelta:
        return max(self.end - self.start, timedelta(0))

    def __str__(self) -> str:
        return (
            f"{self.length} in common: {self.late} begins {self.start:%Y-%m-%d %H:%M}, "
            f"{self.early} ends {self.end:%Y-%m-%d %H:%M}"
        )


def simulator(*, end: datetime | None = None) -> SimulatedMarket:
    """The market that needs no data: the same every time, and said to be synthetic wherever it is shown."""
    return SimulatedMarket(seed=SEED, start=SYNTHETIC_START, end=end)


def candle_files(folder: Path) -> CandleFiles:
    return CandleFiles(folder, now=datetime.now(UTC))


def common_time(files: CandleFiles, folder: Path) -> CommonTime:
    """Reads every file to its end, so a broken one is found here and not in the middle of a replay."""
    firsts, lasts = [], []
    for series in files.history(datetime.now(UTC)):
        times = [bars.time for bars in series.chunks if len(bars)]
        if series.interval_s == files.interval_s and times:
            name = " ".join(series.listing.key)
            firsts.append((int(times[0][0]), name))
            lasts.append((int(times[-1][-1]) + series.interval_s * 1000, name))
    if not firsts:
        raise BadData(f"{folder}: no usable candle in any file: fetch them again, or name another folder")
    (start, late), (end, early) = max(firsts), min(lasts)
    return CommonTime(start=to_datetime(start), end=to_datetime(end), late=late, early=early)


async def require_finest(manager: PostgresManager, source: Source) -> None:
    """BadData when a market is stored in finer candles than the source has."""
    finer = await QUERIES.fetchrow(
        manager, "finer_series", venue_symbols=markets_of(source), interval_s=source.interval_s
    )
    if finer is not None:
        raise BadData(
            f"{source.name}: {finer['symbol']} at {finer['venue']} is already stored in candles of "
            f"{interval(finer['interval_s'])}, and bars are built from the finest: strategies would not see these of "
            f"{interval(source.interval_s)}. Play them in a MASTERTRADE_HOME of their own"
        )


def markets_of(source: Source) -> list[str]:
    """Its markets as the statements of this room name them."""
    return [f"{one.venue} {one.symbol}" for one in source.instruments]


def main_market(source: Source, kind: InstrumentKind = InstrumentKind.SPOT) -> tuple[str, str]:
    """The venue that lists most markets of this kind in one of ``QUOTES``, and that quote asset."""
    markets = [(one.venue, parse_symbol(one.symbol)) for one in source.instruments]
    counts = Counter(
        (venue, parts.quote) for venue, parts in markets if parts.kind is kind and parts.settle in (None, parts.quote)
    )
    wanted = [(-count, QUOTES.index(quote), venue) for (venue, quote), count in counts.items() if quote in QUOTES]
    if not wanted:
        found = ", ".join(sorted({str(parts).partition("/")[2] for _, parts in markets}))
        what = "a swap (BASE/QUOTE:QUOTE)" if kind is InstrumentKind.SWAP else "a spot market"
        raise BadData(
            f"{source.name}: the markets are quoted in {found}; the paper account needs {what} in {', '.join(QUOTES)}"
        )
    _, rank, venue = min(wanted)
    return venue, QUOTES[rank]


def timeframe_s(source: Source) -> int:
    """Bars of a quarter of an hour, or of the source's candles if those are longer."""
    return max(TIMEFRAME_S, source.interval_s)


def strategy_plans(owner: str, source: Source) -> list[StrategyPlan]:
    """Two strategies with plain parameters."""
    return [
        StrategyPlan(
            name=f"{owner} {template}", template=template, parameters=parameters, timeframe_s=timeframe_s(source)
        )
        for template, parameters in STRATEGIES
    ]
