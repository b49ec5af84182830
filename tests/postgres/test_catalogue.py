"""What there is and what is missing, as people and machines are told."""

import json
from datetime import timedelta

import pytest

from mastertrade.market_data_service.candle_store import Outcome
from mastertrade.market_data_service.catalogue import (
    Selection,
    catalogue,
    catalogue_as_json,
    gaps_as_json,
    gaps_of,
    parse_selection,
)
from mastertrade.shared.errors import NotFound, UsageError
from mastertrade.shared.postgres_manager import PostgresManager
from tests.postgres.market_seed import MINUTE, NOON, minutes
from tests.postgres.test_candle_store import opened


async def test_the_list_counts_rows_and_the_rows_missing_between_the_ends(database: PostgresManager) -> None:
    store, (eth, btc) = await opened(database, "ETH/USDT", "BTC/USDT")
    await store.load(btc, minutes(100, without=[5, 6, 50]))
    await store.load(eth, minutes(10))
    await store.record_request(btc, 60, NOON + 100 * MINUTE, NOON + 200 * MINUTE, Outcome.FAILED)
    found = [(one.symbol, one.first, one.last, one.rows, one.missing) for one in await catalogue(database)]
    assert found == [
        ("BTC/USDT", NOON, NOON + 99 * MINUTE, 97, 3),
        ("ETH/USDT", NOON, NOON + 9 * MINUTE, 10, 0),
    ]
    assert json.loads(await catalogue_as_json(database, parse_selection(["ETH/USDT"]))) == [
        {
            "venue": "binance", "symbol": "ETH/USDT", "timeframe": "1m", "first": "2024-05-01T12:00:00+00:00",
            "last": "2024-05-01T12:09:00+00:00", "rows": 10, "missing": 0,
        }
    ]  # fmt: skip


async def test_gaps_are_told_with_their_reasons_of_one_series_or_of_all(database: PostgresManager) -> None:
    store, (btc, eth) = await opened(database, "BTC/USDT", "ETH/USDT")
    await store.load(btc, minutes(100, without=[5, 6, 50]))
    await store.load(eth, minutes(10, without=[3]))
    await store.record_request(btc, 60, NOON, NOON + 20 * MINUTE, Outcome.FETCHED)
    found = json.loads(await gaps_as_json(database))
    assert [(one["symbol"], one["from"], one["missing"], one["reason"]) for one in found] == [
        ("BTC/USDT", "2024-05-01T12:05:00+00:00", 2, "venue empty"),
        ("BTC/USDT", "2024-05-01T12:50:00+00:00", 1, "never requested"),
        ("ETH/USDT", "2024-05-01T12:03:00+00:00", 1, "never requested"),
    ]
    (gap,) = await gaps_of(database, parse_selection(["1m", "binance ETH/USDT"]))
    assert (gap.ends - gap.starts, gap.is_confirmed) == (timedelta(minutes=1), False)


async def test_a_series_without_holes_is_told_from_one_that_is_not_there(database: PostgresManager) -> None:
    store, (btc,) = await opened(database)
    assert await catalogue_as_json(database) == "[]"
    await store.load(btc, minutes(10))
    whole = parse_selection(["binance", "BTC/USDT", "1m"])
    assert (await gaps_of(database, whole), await gaps_as_json(database, whole)) == ([], "[]")
    for ask in (gaps_of, gaps_as_json, catalogue, catalogue_as_json):
        with pytest.raises(NotFound, match=r"no series matches kraken BTC/USDT 1m: `mastertrade data list`"):
            await ask(database, parse_selection(["kraken", "BTC/USDT", "1m"]))


def test_a_series_is_named_by_its_words_in_any_order() -> None:
    assert parse_selection([]) == Selection()
    assert parse_selection(["4h", "BTCUSDT", "ETH/USDT"]) == Selection(
        symbols=("BTC/USDT", "ETH/USDT"), intervals_s=(14_400,)
    )
    assert parse_selection(["BTC/USDT:USDT binance"]) == Selection(venues=("binance",), symbols=("BTC/USDT:USDT",))
    for words, why in ((["7m"], "divides a day"), (["BTC/"], "neither")):
        with pytest.raises(UsageError, match=why):
            parse_selection(words)
