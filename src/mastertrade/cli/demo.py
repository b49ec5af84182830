"""``mastertrade demo``: history, a backtest, and two days through all five services on the paper venue."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from mastertrade.backtest.engine import run as run_backtest
from mastertrade.backtest.report import summarise
from mastertrade.backtest.result import Rules
from mastertrade.cli.application import Json, run, settings_of_process
from mastertrade.cli.demo_report import SYNTHETIC, backtest_text, collect, loaded_text, print_report
from mastertrade.cli.markets import (
    CASH,
    SYNTHETIC_START,
    candle_files,
    common_time,
    main_market,
    require_finest,
    simulator,
    strategy_plans,
    timeframe_s,
)
from mastertrade.cli.output import emit_json
from mastertrade.cli.progress import Screen
from mastertrade.cli.queries import QUERIES
from mastertrade.domain.market import Instrument
from mastertrade.domain.strategy import Strategy
from mastertrade.market_data_service.bar_source import DatabaseBars
from mastertrade.market_data_service.loading import LoadReport
from mastertrade.market_data_service.postgres_database import MarketDataPostgresDatabase
from mastertrade.market_data_service.source import Source, to_milliseconds
from mastertrade.plans import Plan
from mastertrade.platform import Platform, PlatformSettings, market_door, open_database, open_platform
from mastertrade.quant.costs import Costs
from mastertrade.quant.resample import floor_to_grid
from mastertrade.shared.errors import BadData
from mastertrade.strategies import build

SYNTHETIC_END: Final = SYNTHETIC_START + timedelta(days=30, minutes=5)
"""Minutes after the close of a bar, so that what was decided on it is filled before the demo ends."""
REPLAY_HOURS: Final = 48
FEWEST_BARS: Final = 100
"""Bars of history below which a backtest says nothing."""
POSITION_FRACTION: Final = 0.048
"""What an ordinary signal gets from the risk manager by default: 6 % of equity times 0.8."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Period:
    """History reaches to ``split``; what follows until ``end`` is replayed. All instruments are alive throughout."""

    start: datetime
    split: datetime
    end: datetime


def demo(
    data: Annotated[
        Path | None,
        typer.Option(
            "--data",
            metavar="DIR",
            help="A folder of candle files (csv, csv.gz, parquet, feather) instead of the simulator.",
        ),
    ] = None,
    hours: Annotated[
        int, typer.Option("--hours", metavar="HOURS", min=1, max=24 * 31, help="How long to trade after the history.")
    ] = REPLAY_HOURS,
    as_json: Json = False,
) -> None:
    """Load candles, backtest on them, and trade two days on paper.

    Everything in about a minute: history goes into the database, two strategies are backtested on it, and the two days
    after it are replayed through all five services on the paper venue. Each demo trades on an account of its own.
    """
    run(_demo(data, timedelta(hours=hours), as_json), as_json=as_json)


async def _demo(data: Path | None, replay: timedelta, as_json: bool) -> None:
    started = time.monotonic()
    settings = settings_of_process()
    screen = Screen(is_quiet=as_json)
    with screen.progress("reading files" if data else "making a market", total=None):
        source, period = await asyncio.to_thread(_open_source, data, replay)
    async with open_database(settings) as database:
        manager, schema = database.manager, database.schema
        assert schema is not None, "the schema was just applied"
        screen.line("database", f"{manager.server}, schema version {schema.version}", time.monotonic() - started)
        await require_finest(manager, source)
        name = "demo-" + str(await QUERIES.fetchval(manager, "next_demo"))
        async with open_platform(database, settings, _plan(source, period, name)) as platform:
            loaded = await _load(platform, settings, period, screen)
            results = [await _backtest(platform, strategy, period, screen) for strategy in platform.strategies]
            async with _replay_progress(platform, period, screen):
                played = await platform.play()
        report = await collect(platform, loaded, results, played, SYNTHETIC if data is None else str(data))
    report["seconds"] = round(time.monotonic() - started, 2)
    if as_json:
        emit_json(report)
    else:
        print_report(report, screen)
    if not report["ledger_balanced"]:
        raise SystemExit(1)


def _open_source(data: Path | None, replay: timedelta) -> tuple[Source, Period]:
    if data is None:
        split = SYNTHETIC_END - replay
        return simulator(end=SYNTHETIC_END), Period(start=SYNTHETIC_START, split=split, end=SYNTHETIC_END)
    files = candle_files(data)
    main_market(files)
    common = common_time(files, data)
    end = common.end
    if files.interval_s < timeframe_s(files) and _is_close_of_a_bar(end, timeframe_s(files)):
        # What is decided on the very last candle could never be filled.
        end -= timedelta(seconds=files.interval_s)
    split = end - replay
    fewest = timedelta(seconds=FEWEST_BARS * timeframe_s(files))
    if split - common.start < fewest:
        raise BadData(
            f"{data}: the files have {common}; the demo needs {fewest + replay}: {replay} to trade and {FEWEST_BARS} "
            "bars before them. Name a folder with more, or trade less with --hours"
        )
    return files, Period(start=common.start, split=split, end=end)


def _is_close_of_a_bar(moment: datetime, interval_s: int) -> bool:
    at_ms = to_milliseconds(moment)
    return floor_to_grid(at_ms, interval_s) == at_ms


def _plan(source: Source, period: Period, name: str) -> Plan:
    venue, quote_asset = main_market(source)
    return Plan(
        source=source,
        feed=name,
        account=name,
        venue=venue,
        quote_asset=quote_asset,
        cash=CASH,
        strategies=strategy_plans(name, source),
        begin_after=period.split,
        end=period.end,
    )


async def _load(platform: Platform, settings: PlatformSettings, period: Period, screen: Screen) -> LoadReport:
    """With the platform open already, so that a second demo is turned away before it loads anything."""
    market = market_door(platform.manager, settings)
    with screen.progress("loading candles", total=None) as show:
        report = await market.load_history(platform.plan.source, until=period.split, progress=show)
    screen.line("candles", loaded_text(report), report.seconds)
    if report.refused.first is not None:
        screen.line("", f"first refused: {report.refused.first}")
    return report


async def _backtest(platform: Platform, strategy: Strategy, period: Period, screen: Screen) -> dict[str, Any]:
    """The strategy over the history, with costs; kept as a result of the strategy that trades next."""
    started = time.monotonic()
    source = DatabaseBars(platform.manager)
    traded = await _traded(platform, strategy)
    bars = {
        one.symbol: await source.read(one.id, strategy.timeframe_s, period.start, period.split, as_of=period.split)
        for one in traded
    }
    built = build(strategy.template, strategy.parameters)
    result = await asyncio.to_thread(
        run_backtest,
        {symbol: one for symbol, one in bars.items() if len(one)},
        built.template,
        built.params,
        costs=Costs(),
        cash=float(CASH),
        position_fraction=POSITION_FRACTION,
        rules={one.symbol: _rules(one) for one in traded},
    )
    summary = summarise(result) | {"template": strategy.template}
    await platform.strategy.registry.store_backtest_result(
        strategy.id,
        {
            "backtest_id": f"{strategy.name} {period.start:%Y-%m-%d}..{period.split:%Y-%m-%d}",
            "metrics": summary,
            "parameters": strategy.parameters,
            "period_start": period.start,
            "period_end": period.split,
        },
    )
    screen.line(f"backtest {strategy.template}", backtest_text(summary), time.monotonic() - started)
    return summary


async def _traded(platform: Platform, strategy: Strategy) -> list[Instrument]:
    found = await MarketDataPostgresDatabase().instruments(platform.manager, venues=[platform.plan.venue])
    return [one for one in found if one.id in strategy.instrument_ids]


def _rules(one: Instrument) -> Rules:
    return Rules(lot=float(one.lot_size), tick=float(one.tick_size), min_notional=float(one.min_notional))


@asynccontextmanager
async def _replay_progress(platform: Platform, period: Period, screen: Screen) -> AsyncIterator[None]:
    minutes = int((period.end - period.split).total_seconds()) // 60
    with screen.progress("replaying minutes", total=minutes) as show:

        async def watch() -> None:
            while True:
                show(int((platform.clock.now() - period.split).total_seconds()) // 60, minutes)
                await asyncio.sleep(0.2)

        watcher = asyncio.create_task(watch(), name="progress")
        try:
            yield
        finally:
            watcher.cancel()
            await asyncio.wait([watcher])
