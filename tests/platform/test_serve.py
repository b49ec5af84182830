"""The five services as five processes on one embedded server: what one process does, they do together."""

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

import mastertrade
from mastertrade.market_data_service.files import CandleFiles
from mastertrade.platform import MARKET_DATA, SERVICES
from mastertrade.postgres.embedded import embedded_server
from mastertrade.shared.errors import AlreadyRunning
from mastertrade.shared.postgres_manager import PostgresManager
from tests.platform.walk_laws import broken_laws, broken_market
from tests.postgres.embedded_home import connected, end_supervisor

BEGIN = datetime(2024, 3, 1, tzinfo=UTC)
BAR_MINUTES, HISTORY_BARS = 15, 16
START = BEGIN + timedelta(minutes=HISTORY_BARS * BAR_MINUTES)
END = START + timedelta(minutes=HISTORY_BARS * BAR_MINUTES)
"""Of what there is, the first half becomes history."""
SYMBOLS = ("BTC_USDT", "ETH_USDT", "SOL_USDT", "ADA_USDT", "DOT_USDT", "LTC_USDT")
SPEED = 600
TIMEOUT_S = 60.0
PATIENT = {
    "SIGNAL_VALID_SECONDS": "900",
    "MAX_SIGNAL_AGE_SECONDS": "900",
    "MAX_PRICE_AGE_SECONDS": "900",
    "APPROVAL_VALID_SECONDS": "900",
    "ORDER_SEND_WINDOW_SECONDS": "60",
}
"""The market is hundreds of times as fast as a real one, and nobody waits for anybody."""


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "home"
    yield folder
    end_supervisor(folder)


@pytest.fixture
def candles(tmp_path: Path) -> Path:
    """Prices that sink a little and then swing ever more, which the reversion strategy enters and leaves twice. One pair
    trades at a second venue too, a little dearer."""
    folder = tmp_path / "north"
    folder.mkdir()
    for number, symbol in enumerate(SYMBOLS):
        _write(folder / f"north_{symbol}-1m.csv", quiet_bars=HISTORY_BARS + number % 3, level=100.0)
    _write(folder / "south_BTC_USDT-1m.csv", quiet_bars=HISTORY_BARS, level=101.0)
    return folder


def _write(path: Path, *, quiet_bars: int, level: float) -> None:
    lines = ["timestamp_ms,open,high,low,close,volume"]
    minute = 0
    for change in _changes(quiet_bars):
        prices = [round(level * (1.0 + change * part / BAR_MINUTES), 2) for part in range(BAR_MINUTES + 1)]
        level *= 1.0 + change
        for opened, closed in pairwise(prices):
            time_ms = int((BEGIN + timedelta(minutes=minute)).timestamp()) * 1000
            lines.append(f"{time_ms},{opened},{max(opened, closed)},{min(opened, closed)},{closed},10")
            minute += 1
    path.write_text("\n".join(lines) + "\n")


def _changes(quiet_bars: int) -> Iterator[float]:
    """Of the price, bar by bar."""
    yield from [-0.0007] * quiet_bars
    for bar in range(2 * HISTORY_BARS - quiet_bars):
        half_swing = bar // 3
        yield 0.003 * 2.0**half_swing * (-1.0 if half_swing % 2 else 1.0)


class Serving:
    """``mastertrade`` with some arguments, on the test's home."""

    def __init__(self, home: Path, number: int, *arguments: str) -> None:
        source = str(Path(mastertrade.__file__).parents[1])
        self._errors = home.parent / f"{number}.errors"
        self._output = self._errors.with_suffix(".output")
        with self._output.open("wb") as output, self._errors.open("wb") as errors:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "mastertrade", *arguments],
                env=os.environ | PATIENT | {"PYTHONPATH": source, "MASTERTRADE_HOME": str(home)},
                stdout=output, stderr=errors,
            )  # fmt: skip

    @property
    def lines(self) -> list[Any]:
        return [json.loads(line) for line in self._output.read_text().splitlines()]

    @property
    def complaints(self) -> list[str]:
        return self._errors.read_text().splitlines()

    def is_running(self) -> bool:
        assert self.process.poll() is None, self.complaints
        return any(line.get("state") == "running" for line in self.lines)

    def ask_to_end(self) -> int:
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(TIMEOUT_S)


Start = Callable[..., Serving]


@pytest.fixture
def start(home: Path) -> Iterator[Start]:
    started: list[Serving] = []

    def start_one(*arguments: str) -> Serving:
        started.append(Serving(home, len(started), *arguments, "--json"))
        return started[-1]

    home.mkdir()
    yield start_one
    for one in started:
        one.process.kill()
        one.process.wait()


async def test_five_processes_turn_signals_into_fills_survive_a_kill_and_end_when_asked(
    home: Path, start: Start, candles: Path
) -> None:
    options = ("--replay", str(candles), "--speed", str(SPEED))
    async with embedded_server(home) as server, connected(server) as manager:
        serving = {name: start("serve", name, *options) for name in SERVICES}
        wait_for(lambda: all(one.is_running() for one in serving.values()))
        await fills(manager, 3)
        serving["order_executor"].process.kill()
        serving["order_executor"] = start("serve", "order_executor", *options)
        assert serving[MARKET_DATA].ask_to_end() == 0, serving[MARKET_DATA].complaints
        wait_for(serving["order_executor"].is_running)

        for refused in [start("serve", "order_executor", *options), start("up", *options)]:
            assert refused.process.wait(TIMEOUT_S) == AlreadyRunning.exit_code
            assert len(refused.complaints) == 1
            assert "order_executor already runs on this database" in refused.complaints[0]

        serving[MARKET_DATA] = start("serve", MARKET_DATA, *options)
        assert serving[MARKET_DATA].process.wait(TIMEOUT_S) == 0, "it ends with its market"
        await quiet(manager)
        for name in set(SERVICES) - {MARKET_DATA}:
            assert serving[name].ask_to_end() == 0, serving[name].complaints

        source = CandleFiles(candles, now=datetime.now(UTC))
        assert await broken_laws(manager) == []
        assert await broken_market(manager, source, feed=f"up {source.name}", begin=START, end=END) == []
        assert await manager.fetchval("SELECT count(*) FROM trades WHERE side = 'BUY'") > 5
        assert await manager.fetchval("SELECT count(*) FROM trades WHERE side = 'SELL'") > 5
        assert await manager.fetchval("SELECT count(*) FROM arbitrage_opportunities") > 0


def wait_for(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + TIMEOUT_S
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.05)


async def fills(manager: PostgresManager, wanted: int) -> None:
    deadline = time.monotonic() + TIMEOUT_S
    while await manager.fetchval("SELECT count(*) FROM trades") < wanted:
        assert time.monotonic() < deadline, "no order was filled"
        await asyncio.sleep(0.1)


async def quiet(manager: PostgresManager) -> None:
    """Until everybody has heard everything and no order waits for an answer."""
    deadline = time.monotonic() + TIMEOUT_S
    busy = "SELECT EXISTS (SELECT FROM deliveries) OR EXISTS (SELECT FROM orders WHERE status IN ('NEW', 'SUBMITTING'))"
    while await manager.fetchval(busy):
        assert time.monotonic() < deadline, "events are still waiting"
        await asyncio.sleep(0.1)
