"""Trading rules out of recorded answers of real venues, through ccxt and the same reader as live ones."""

import gzip
import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from mastertrade.domain.market import InstrumentKind, InstrumentStatus
from mastertrade.exchanges.ccxt_instruments import DECIMAL_PLACES, SIGNIFICANT_DIGITS, venue_market
from mastertrade.exchanges.ccxt_markets import CcxtFeed
from mastertrade.exchanges.market_feed import VenueMarket

TICK_SIZE = 4


def tail(url: str) -> str:
    return url.rstrip("/").rpartition("/")[2]


async def recorded_markets(folder: Path, file: str, venue: str) -> dict[str, VenueMarket]:
    with gzip.open(folder / "metadata" / f"{file}_instruments.jsonl.gz", "rt") as lines:
        records = [json.loads(line) for line in lines]
    answers = {tail(record["url"]): record["raw"] for record in records}
    answers |= {url.partition("?")[0]: raw for url, raw in answers.items() if "instType" not in url}
    feed = CcxtFeed(venue)

    async def fetch(url: str, *_: Any) -> Any:
        name = tail(url)
        return json.loads(answers.get(name) or answers[name.partition("?")[0]], parse_float=str)

    feed._client.fetch = fetch
    try:
        return dict(await feed.markets())
    finally:
        await feed.close()


@pytest.mark.parametrize(
    ("file", "venue", "count", "symbol", "tick", "lot", "min_notional", "assumed"),
    [
        ("binance_usdm", "binanceusdm", 120, "BTC/USDT:USDT", "0.01", "0.001", "5", ()),
        ("coinbase", "coinbaseexchange", 162, "BTC/USD", "0.01", "0.00000001", "5", ()),
        ("kraken", "kraken", 289, "BTC/USDT", "0.1", "0.00000001", "0", ("minimum notional",)),
        ("okx", "okx", 679, "BTC/USDT", "0.1", "0.00000001", "0", ("minimum notional",)),
    ],
)
async def test_rules_of_recorded_venues_are_read_exactly_and_guesses_are_named(
    real_data: Path,
    file: str,
    venue: str,
    count: int,
    symbol: str,
    tick: str,
    lot: str,
    min_notional: str,
    assumed: Any,
) -> None:
    markets = await recorded_markets(real_data, file, venue)
    assert len(markets) == count
    found = markets[symbol]
    rules = found.instrument
    assert (rules.tick_size, rules.lot_size, rules.min_notional) == tuple(map(Decimal, (tick, lot, min_notional)))
    assert found.assumed == assumed
    for one in markets.values():
        rules = one.instrument
        assert min(rules.tick_size, rules.lot_size, rules.contract_size) > 0
        assert rules.min_notional >= 0
        assert (rules.kind is InstrumentKind.SWAP) == (rules.settle is not None)


BTC = {
    "symbol": "BTC/USDT", "id": "BTCUSDT", "spot": True, "active": True, "maker": "0.001", "taker": "0.001",
    "precision": {"price": "0.01", "amount": "0.00001"}, "limits": {"cost": {"min": "5"}}, "created": 1502942400000,
}  # fmt: skip


def test_a_lot_of_a_swap_is_of_the_base_asset_though_its_venue_counts_contracts() -> None:
    swap = {**BTC, "spot": False, "swap": True, "contractSize": "0.01", "precision": {"price": "0.1", "amount": "0.1"}}
    for symbol, lot in (("BTC/USDT:USDT", "0.001"), ("BTC/USD:BTC", "0.1")):
        found = venue_market({**swap, "symbol": symbol}, TICK_SIZE)
        assert found is not None
        assert (found.instrument.lot_size, found.instrument.contract_size) == (Decimal(lot), Decimal("0.01"))


def test_a_market_that_is_no_spot_or_swap_or_has_no_name_of_ours_is_left_out() -> None:
    for change in (
        {"spot": False, "option": True},
        {"symbol": "btc/usdt"},
        {"symbol": "BTC"},
        {"symbol": "BTC/USDT:X"},
    ):
        assert venue_market({**BTC, **change}, TICK_SIZE) is None
    found = venue_market(BTC, TICK_SIZE)
    assert found is not None
    assert found.listed_at is not None
    assert f"{found.listed_at:%Y-%m-%d}" == "2017-08-17"


@pytest.mark.parametrize(
    ("price", "mode", "tick", "is_assumed"),
    [
        ("0.01", TICK_SIZE, "0.01", False),
        ("1e-8", TICK_SIZE, "0.00000001", False),
        ("2", DECIMAL_PLACES, "0.01", False),
        ("-1", DECIMAL_PLACES, "10", False),
        ("5", SIGNIFICANT_DIGITS, "0.00000001", True),
        (None, TICK_SIZE, "0.00000001", True),
        ("0", TICK_SIZE, "0.00000001", True),
        ("NaN", TICK_SIZE, "0.00000001", True),
        ("1e-30", TICK_SIZE, "0.00000001", True),
        ("1e999999", TICK_SIZE, "0.00000001", True),
    ],
)
def test_the_step_of_prices_is_read_in_each_way_venues_tell_it(
    price: str | None, mode: int, tick: str, is_assumed: bool
) -> None:
    found = venue_market({**BTC, "precision": {"price": price, "amount": "1"}}, mode)
    assert found is not None
    assert found.instrument.tick_size == Decimal(tick)
    assert ("tick" in found.assumed) is is_assumed


def test_absurd_fees_are_replaced_and_a_market_that_rests_is_halted() -> None:
    found = venue_market({**BTC, "maker": "-0.0002", "taker": "0.7", "active": False}, TICK_SIZE)
    assert found is not None
    assert (found.instrument.maker_fee, found.instrument.taker_fee) == (Decimal("-0.0002"), Decimal("0.001"))
    assert found.assumed == ("taker fee",)
    assert found.instrument.status is InstrumentStatus.HALTED
