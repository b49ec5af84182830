"""``mastertrade venue``: venues, and one of our own to try things against."""

import asyncio
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from mastertrade.cli.application import Json, run
from mastertrade.cli.markets import SEED
from mastertrade.cli.output import emit_json, facts, say, show
from mastertrade.cli.signals import StoppingBySignal
from mastertrade.cli.wording import amount
from mastertrade.quant.simulated_pairs import PAIRS
from mastertrade.shared.errors import ConfigurationError

if TYPE_CHECKING:
    from mastertrade.exchanges.simulated import SimulatedVenue
    from mastertrade.exchanges.simulated.private import Keys

LISTED_FOR: Final = timedelta(days=365)
"""How much history the venue has when it starts."""
WHOLE_PORT: Final = 65_535

venue = typer.Typer(
    help="Venues: run one on this machine that speaks Binance's protocol.",
    no_args_is_help=True,
    rich_markup_mode=None,
)


@venue.callback()
def about() -> None:
    """Venues: run one on this machine that speaks Binance's protocol."""


@venue.command()
def simulate(
    port: Annotated[
        int, typer.Option("--port", help="Where to listen; 0 takes a free port.", min=0, max=WHOLE_PORT)
    ] = 8_790,
    seed: Annotated[int, typer.Option("--seed", help="The same seed gives the same market.")] = SEED,
    symbols: Annotated[str, typer.Option("--symbols", help="Pairs to list, separated by commas.")] = ",".join(PAIRS),
    speed: Annotated[float, typer.Option("--speed", help="Market seconds per second.", min=0.0)] = 1.0,
    faults: Annotated[
        Path | None, typer.Option("--faults", metavar="FILE", help="A JSON list of what is to go wrong.")
    ] = None,
    money: Annotated[
        float,
        typer.Option(
            "--money",
            help="What its account begins with, spot and again for swaps, of each asset that is paid with.",
            min=0.0,
        ),
    ] = 10_000.0,
    as_json: Json = False,
) -> None:
    """Run a venue on this machine until Ctrl-C: candles, trades, books, tickers and funding over HTTP and websockets.

    Any client for Binance's spot and swap markets can be pointed at it. One account trades both there, with the keys
    that it prints. Nothing leaves this machine.
    """
    listed = [one.strip().upper() for one in symbols.split(",")]
    run(_simulate(port, seed, listed, speed, faults, money, as_json), as_json=as_json)


async def _simulate(
    port: int, seed: int, symbols: list[str], speed: float, faults: Path | None, money: float, as_json: bool
) -> None:
    try:
        from mastertrade.exchanges.simulated import FaultScript, SimulatedVenue, VenueTime, simulated_market
        from mastertrade.exchanges.simulated.private import KEYS_FOR_EVERYBODY
    except ImportError as error:
        raise ConfigurationError(f"the simulated venue needs {error.name}: install mastertrade[live]") from error
    from_ms = int((datetime.now(UTC) - LISTED_FOR).timestamp() * 1000)
    script = FaultScript() if faults is None else FaultScript.read(faults)
    markets = [simulated_market(symbol, seed=seed, from_ms=from_ms) for symbol in symbols]
    cash = {market.quote: Decimal(str(money)) for market in markets}
    keys = KEYS_FOR_EVERYBODY
    time = VenueTime(speed=speed)
    async with SimulatedVenue(markets, time=time, faults=script, port=port, money=cash, keys=keys) as running:
        _tell(running, seed, symbols, keys, as_json)
        ended = asyncio.Event()
        with StoppingBySignal(ended.set):
            await ended.wait()
    if not as_json:
        say("the venue is closed")


def _tell(running: "SimulatedVenue", seed: int, symbols: list[str], keys: "Keys", as_json: bool) -> None:
    if as_json:
        options: dict[str, Any] = running.client_options()
        given = {"api_key": keys.api_key, "secret": keys.secret}
        emit_json({"url": running.url, "seed": seed, "symbols": symbols, "keys": given, "ccxt_options": options})
        return
    say(f"a venue listens on {running.url}; Ctrl-C ends it")
    show(
        facts(
            [
                ("markets", ", ".join(symbols) + ", each spot and as a swap"),
                ("seed", str(seed)),
                (
                    "holds",
                    ", ".join(
                        f"{amount(one.free)} {asset}" for asset, one in running.account.holdings.items() if one.free
                    ),
                ),
                ("API key", f"{keys.api_key} (of this venue alone)"),
                ("secret", keys.secret),
                ("try", f"curl '{running.url}/api/v3/klines?symbol={symbols[0].replace('/', '')}&interval=1m&limit=3'"),
            ]
        )
    )
    say("a ccxt client finds it so:")
    say("  from mastertrade.exchanges.simulated.server import ccxt_options")
    say(f"  ccxt.pro.binance(ccxt_options({running.url!r}))")
