"""``mastertrade up`` and ``serve``: all five services in one process, or one of them in its own."""

import asyncio
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from mastertrade.cli.application import Json, run, settings_of_process
from mastertrade.cli.live import live_status, run_status
from mastertrade.cli.markets import require_finest
from mastertrade.cli.output import bad, dim, emit_json, say, show
from mastertrade.cli.queries import QUERIES
from mastertrade.cli.running_market import DEFAULT_SPEED, Asked, open_market, tape_of
from mastertrade.cli.signals import StoppingBySignal
from mastertrade.cli.wording import moment
from mastertrade.domain.orders import Environment
from mastertrade.plans import Plan
from mastertrade.platform import MARKET_DATA, SERVICES, open_database, open_platform, open_service
from mastertrade.shared.errors import UsageError

STOP_AGAIN_S: Final = 0.05

Speed = Annotated[
    float | None,
    typer.Option(
        "--speed",
        help=f"Market seconds per second, {DEFAULT_SPEED:g} unless given; 0 is as fast as everyone acts.",
        min=0.0,
    ),
]
Replay = Annotated[
    Path | None,
    typer.Option("--replay", metavar="DIR", help="Play a folder of candle files instead of the simulator."),
]
Venue = Annotated[str, typer.Option("--venue", help="Paper money on the live prices of this exchange.")]
Account = Annotated[str, typer.Option("--account", help="Trade with the keys of this account, on live prices.")]
Symbols = Annotated[
    list[str] | None, typer.Option("--symbol", "-s", help="A live market, such as BTC/USDT; again for more.")
]
Strategies = Annotated[
    list[str] | None,
    typer.Option("--strategy", metavar="NAME:P=V,…", help="What trades there: ma_cross, or ma_cross:fast=10,slow=50."),
]
Tf = Annotated[str, typer.Option("--tf", help="The bar that strategies decide on; 15m unless given.")]
Url = Annotated[
    str, typer.Option("--url", help="Another server in the venue's place, such as one of `venue simulate`.")
]
Swaps = Annotated[
    bool, typer.Option("--swaps", help="Trade perpetual swaps in place of spot, with paper money on margin.")
]
Leverage = Annotated[
    str,
    typer.Option(
        "--leverage",
        metavar="N",
        help="Of a new paper account for swaps: notional a unit of margin carries; 1 unless given.",
    ),
]


def up(
    replay: Replay = None,
    speed: Speed = None,
    venue: Venue = "",
    account: Account = "",
    symbols: Symbols = None,
    strategies: Strategies = None,
    tf: Tf = "",
    url: Url = "",
    swaps: Swaps = False,
    leverage: Leverage = "",
    as_json: Json = False,
) -> None:
    """Run all five services until Ctrl-C. Started again, it goes on where it was.

    Without options it is paper money on a simulated market. With --json it prints one object a second, and one at the
    end.
    """
    run(
        _up(_asked(replay, speed, venue, account, symbols, strategies, tf, url, swaps, leverage), as_json),
        as_json=as_json,
    )


def serve(
    service: Annotated[str, typer.Argument(help="One of " + ", ".join(SERVICES) + ".")],
    replay: Replay = None,
    speed: Speed = None,
    venue: Venue = "",
    account: Account = "",
    symbols: Symbols = None,
    strategies: Strategies = None,
    tf: Tf = "",
    url: Url = "",
    swaps: Swaps = False,
    leverage: Leverage = "",
    as_json: Json = False,
) -> None:
    """Run one of the five services in this process until Ctrl-C.

    The other four run in theirs, on the same database and with the same options.
    """
    asked = _asked(replay, speed, venue, account, symbols, strategies, tf, url, swaps, leverage)
    run(_serve(service, asked, as_json), as_json=as_json)


def _asked(
    replay: Path | None,
    speed: float | None,
    venue: str,
    account: str,
    symbols: list[str] | None,
    strategies: list[str] | None,
    tf: str,
    url: str,
    swaps: bool,
    leverage: str,
) -> Asked:
    return Asked(
        replay=replay,
        speed=speed,
        venue=venue,
        account=account,
        symbols=symbols or (),
        strategies=strategies or (),
        tf=tf,
        url=url,
        swaps=swaps,
        leverage=leverage,
    )


async def _up(asked: Asked, as_json: bool) -> None:
    settings = settings_of_process()
    tape = await tape_of(asked)
    async with open_database(settings) as database, open_market(asked, tape, database, settings) as market:
        plan = market.plan
        await require_finest(database.manager, plan.source)
        is_new = not await QUERIES.fetchval(database.manager, "feed_has_begun", feed=plan.feed)
        async with open_platform(database, settings, plan) as platform:
            await market.load_history(is_new=is_new, is_quiet=as_json)
            _say_what_trades(plan, as_json)
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


def _say_what_trades(plan: Plan, as_json: bool) -> None:
    if as_json or plan.present is None:
        return
    money = f"paper money, {plan.cash:,} {plan.quote_asset}" if plan.keys_of is None else f"account {plan.account}"
    if plan.leverage is not None:
        money += f" at leverage {plan.leverage}"
    say(f"{plan.source.name}: {', '.join(one.symbol for one in plan.source.instruments)}; {money}")
    if plan.keys_of is not None and plan.keys_of.environment is Environment.PRODUCTION:
        show(bad("  real money"))
    for one in plan.strategies:
        say(f"  trades: {one.name}")
    if not plan.strategies:
        show(dim(f"  no strategy trades; by hand: mastertrade order place BUY 0.001 SYMBOL --account '{plan.account}'"))


async def _serve(service: str, asked: Asked, as_json: bool) -> None:
    if service not in SERVICES:
        raise UsageError(f"there is no service {service!r}; the services are {', '.join(SERVICES)}")
    settings = settings_of_process()
    tape = await tape_of(asked)
    async with open_database(settings) as database, open_market(asked, tape, database, settings) as market:
        plan = market.plan
        await require_finest(database.manager, plan.source)
        if service == MARKET_DATA:
            is_new = not await QUERIES.fetchval(database.manager, "feed_has_begun", feed=plan.feed)
            await market.load_history(is_new=is_new, is_quiet=as_json)
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


async def _until_done_or_stopped(work: "asyncio.Task[Any]") -> None:
    """A signal cancels ``work``, which then ends cleanly; anything else it raises is raised here."""
    await asyncio.wait([work])
    if not work.cancelled():
        work.result()
