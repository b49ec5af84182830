"""``mastertrade up`` and ``serve``: all five services in one process, or one of them in its own."""

import asyncio
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from mastertrade.cli.application import Json, run, settings_of_process
from mastertrade.cli.live import live_status, run_status
from mastertrade.cli.markets import (
    CASH,
    SYNTHETIC_START,
    candle_files,
    common_time,
    main_market,
    require_finest,
    simulator,
    strategy_plans,
)
from mastertrade.cli.output import emit_json, say
from mastertrade.cli.progress import Screen
from mastertrade.cli.queries import QUERIES
from mastertrade.cli.signals import StoppingBySignal
from mastertrade.cli.wording import moment
from mastertrade.market_data_service.source import Source
from mastertrade.platform import (
    MARKET_DATA,
    SERVICES,
    OpenDatabase,
    Plan,
    PlatformSettings,
    market_door,
    open_database,
    open_platform,
    open_service,
)
from mastertrade.shared.errors import UsageError

DEFAULT_SPEED: Final = 60.0
"""A minute of the market each second: fast enough to see something happen, slow enough to follow."""
WARM_UP: Final = timedelta(days=7)
"""History stored before a new feed begins, so that strategies can decide from its first minute on."""

STOP_AGAIN_S: Final = 0.05

Speed = Annotated[
    float, typer.Option("--speed", help="Market seconds per second; 0 is as fast as everyone acts.", min=0.0)
]
Replay = Annotated[
    Path | None,
    typer.Option("--replay", metavar="DIR", help="Play a folder of candle files instead of the simulator."),
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Market:
    """What is played, and from when on; before that it is history."""

    source: Source
    begin: datetime

    @property
    def feed(self) -> str:
        return f"up {self.source.name}"


def up(replay: Replay = None, speed: Speed = DEFAULT_SPEED, as_json: Json = False) -> None:
    """Run all five services on the paper venue until Ctrl-C. Started again, it goes on where it was.

    With --json it prints one object a second, and one at the end.
    """
    run(_up(replay, speed, as_json), as_json=as_json)


def serve(
    service: Annotated[str, typer.Argument(help="One of " + ", ".join(SERVICES) + ".")],
    replay: Replay = None,
    speed: Speed = DEFAULT_SPEED,
    as_json: Json = False,
) -> None:
    """Run one of the five services in this process until Ctrl-C.

    The other four run in theirs, on the same database and with the same --replay.
    """
    run(_serve(service, replay, speed, as_json), as_json=as_json)


async def _up(replay: Path | None, speed: float, as_json: bool) -> None:
    settings = settings_of_process()
    market = await asyncio.to_thread(_open_market, replay)
    plan = _plan(market, speed)
    async with open_database(settings) as database:
        await require_finest(database.manager, market.source)
        is_new = not await QUERIES.fetchval(database.manager, "feed_has_begun", feed=plan.feed)
        async with open_platform(database, settings, plan) as platform:
            if is_new:
                await _load_history(database, settings, market, as_json)
            playing = asyncio.create_task(platform.play(), name="play")
            stops: list[asyncio.Task[None]] = []

            async def end_playing() -> None:
                while not playing.done():  # asked before it had begun to play, it would play on
                    await platform.market_data.stop()
                    await asyncio.sleep(STOP_AGAIN_S)

            def stop() -> None:
                stops.append(asyncio.create_task(end_playing(), name="stop"))

            with StoppingBySignal(stop):
                async with live_status(database.manager, plan, as_json=as_json, on_nobody_reads=stop):
                    await _until_done_or_stopped(playing)
        summary = await run_status(database.manager, plan)
    is_finished = playing.result().is_finished
    if as_json:
        emit_json({**summary, "stopped": True, "is_finished": is_finished})
    elif is_finished:
        say(f"{plan.source.name} ended at {moment(summary['market_time'])} UTC")
    else:
        say(f"stopped at {moment(summary['market_time'])} UTC; the same command goes on from there")


async def _serve(service: str, replay: Path | None, speed: float, as_json: bool) -> None:
    if service not in SERVICES:
        raise UsageError(f"there is no service {service!r}; the services are {', '.join(SERVICES)}")
    settings = settings_of_process()
    market = await asyncio.to_thread(_open_market, replay)
    plan = _plan(market, speed)
    async with open_database(settings) as database:
        await require_finest(database.manager, market.source)
        if service == MARKET_DATA and not await QUERIES.fetchval(database.manager, "feed_has_begun", feed=plan.feed):
            await _load_history(database, settings, market, as_json)
        async with open_service(database, settings, plan, service) as ended:
            if as_json:
                emit_json({"service": service, "server": database.manager.server, "state": "running"})
            else:
                say(f"{service} runs on {database.manager.server}; Ctrl-C ends it")
            with StoppingBySignal(ended.cancel):
                await _until_done_or_stopped(ended)
    if as_json:
        emit_json({"service": service, "server": database.manager.server, "state": "stopped"})
    else:
        say(f"{service} stopped; the same command goes on from there")


def _open_market(replay: Path | None) -> Market:
    if replay is None:
        return Market(source=simulator(), begin=SYNTHETIC_START + WARM_UP)
    files = candle_files(replay)
    main_market(files)
    common = common_time(files, replay)
    if not common.length:
        raise UsageError(f"{replay}: the files have {common}; put files of the same time into one folder")
    # At most half of what there is becomes history, so that something is left to play.
    return Market(source=files, begin=common.start + min(WARM_UP, common.length / 2))


def _plan(market: Market, speed: float) -> Plan:
    venue, quote_asset = main_market(market.source)
    account = f"paper {venue}"
    return Plan(
        source=market.source,
        feed=market.feed,
        account=account,
        venue=venue,
        quote_asset=quote_asset,
        cash=CASH,
        strategies=strategy_plans(account, market.source),
        begin_after=market.begin,
        speed=speed or None,
    )


async def _load_history(database: OpenDatabase, settings: PlatformSettings, market: Market, as_json: bool) -> None:
    with Screen(is_quiet=as_json).progress("loading history", total=None) as show:
        door = market_door(database.manager, settings)
        await door.load_history(market.source, until=market.begin, progress=show)


async def _until_done_or_stopped(work: "asyncio.Task[Any]") -> None:
    """A signal cancels ``work``, which then ends cleanly; anything else it raises is raised here."""
    await asyncio.wait([work])
    if not work.cancelled():
        work.result()
