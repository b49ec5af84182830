"""A process that brings market data on request, each time in a child of its own that may die:
``python -m tests.faults.market_driver DSN FOLDER``.

It reads lines ``{"what": "import" | "download" | "trades" | "record", "failpoints": …, …}`` and answers each with the exit code of
the child. One start-up for all."""

import asyncio
import json
import os
import sys
import time
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from mastertrade.exchanges.ccxt_markets import CcxtFeed
from mastertrade.exchanges.ccxt_streams import CcxtStreams
from mastertrade.exchanges.market_feed import FeedKind
from mastertrade.market_data_service.download_report import Wanted
from mastertrade.market_data_service.downloading import Downloader
from mastertrade.market_data_service.importing.importer import FileImporter, understand
from mastertrade.market_data_service.kind_downloading import KindDownloader
from mastertrade.market_data_service.live_candles import LivePace
from mastertrade.market_data_service.recording import Recording
from mastertrade.shared.clock import SystemClock
from mastertrade.shared.failpoints import Failpoints
from mastertrade.shared.postgres_manager import PostgresManager

KNOWN = {"fetchMarkets": {"types": ["spot"]}}
CLAIM_S = 0.2
"""What a killed download holds is free soon, so that the test need not wait."""


class VenueClock:
    """Beside a venue whose time runs faster: ``start_ms`` at ``began`` of this machine's monotonic clock."""

    def __init__(self, start_ms: int, began: float, speed: float) -> None:
        self._start_ms, self._began, self._speed = start_ms, began, speed

    def now(self) -> datetime:
        passed = (time.monotonic() - self._began) * self._speed
        return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=self._start_ms, seconds=passed)

    def monotonic(self) -> float:
        return time.monotonic() * self._speed

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds / self._speed)


async def work(dsn: str, home: Path, asked: dict[str, Any]) -> None:
    manager = PostgresManager(dsn, application_name="market")
    await manager.connect()
    failpoints = Failpoints(asked["failpoints"])
    try:
        if asked["what"] == "import":
            path = Path(asked["path"])
            importer = FileImporter(manager=manager, clock=SystemClock(), home=home, failpoints=failpoints)
            await importer.run(path, understand(path, venue="binance"))
        elif asked["what"] == "download":
            await download(manager, asked, failpoints)
        elif asked["what"] == "trades":
            await download_trades(manager, asked, failpoints)
        else:
            await record(manager, asked, failpoints)
    finally:
        await manager.close()


async def download(manager: PostgresManager, asked: dict[str, Any], failpoints: Failpoints) -> None:
    feed = CcxtFeed("binance", url=asked["url"], options=KNOWN)
    try:
        since = datetime.fromisoformat(asked["since"])
        wanted = Wanted(symbols=asked["symbols"], intervals_s=(60,), since=since)
        one = Downloader(feed=feed, manager=manager, clock=SystemClock(), claim_s=CLAIM_S, failpoints=failpoints)
        report = await one.run(wanted)
        assert not any(series.failure for series in report.series), report
    finally:
        await feed.close()


async def download_trades(manager: PostgresManager, asked: dict[str, Any], failpoints: Failpoints) -> None:
    feed = CcxtFeed("binance", url=asked["url"], options=KNOWN)
    try:
        one = KindDownloader(feed=feed, manager=manager, clock=SystemClock(), failpoints=failpoints)
        since, until = (datetime.fromisoformat(asked[name]) for name in ("since", "until"))
        series = await one.run(asked["symbols"], FeedKind.TRADES, since=since, until=until)
        assert not any(market.failure for market in series), series
    finally:
        await feed.close()


async def record(manager: PostgresManager, asked: dict[str, Any], failpoints: Failpoints) -> None:
    feed = CcxtFeed("binance", url=asked["url"], options=KNOWN)
    streams = CcxtStreams("binance", url=asked["url"], options=KNOWN)
    recording = Recording(
        feed=feed,
        streams=streams,
        symbols=asked["symbols"],
        intervals_s=(60,),
        manager=manager,
        clock=VenueClock(asked["start_ms"], asked["began"], asked["speed"]),
        pace=LivePace(silent_after_s=600.0),
        failpoints=failpoints,
    )
    try:
        with suppress(TimeoutError):
            async with asyncio.timeout(asked["seconds"]):
                await recording.run()
    finally:
        await streams.close()
        await feed.close()


def main(dsn: str, home: Path) -> None:
    for line in sys.stdin:
        child = os.fork()
        if child == 0:
            asyncio.run(work(dsn, home, json.loads(line)))
            os._exit(0)
        sys.stdout.write(f"{os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
