"""Markets as exchanges list them, in whatever words, become the rules we keep."""

import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from mastertrade.domain.market import InstrumentStatus
from mastertrade.market_data_service.importing.candle_files import Reading
from mastertrade.market_data_service.importing.findings import Findings
from mastertrade.market_data_service.importing.instrument_files import read_instruments
from mastertrade.market_data_service.importing.instrument_rows import NotTraded, read_instrument
from mastertrade.market_data_service.importing.opening import Damage
from mastertrade.market_data_service.importing.tier_files import read_tiers

BINANCE = {
    "symbol": "ETHBTC", "status": "BREAK", "baseAsset": "ETH", "quoteAsset": "BTC",
    "filters": [
        {"filterType": "PRICE_FILTER", "minPrice": "0.001", "tickSize": "0.00000100"},
        {"filterType": "LOT_SIZE", "stepSize": "0.00010000"},
        {"filterType": "MARKET_LOT_SIZE", "stepSize": "0.5"},
        {"filterType": "MIN_NOTIONAL", "minNotional": "0.00010000"},
    ],
}  # fmt: skip
OKX_SWAP = {
    "instId": "BTC-USD-SWAP", "instType": "SWAP", "uly": "BTC-USD", "settleCcy": "BTC", "ctVal": "100", "lotSz": "1",
    "tickSz": "0.1", "state": "live", "baseCcy": "", "quoteCcy": "",
}  # fmt: skip
KRAKEN = {"wsname": "XBT/EUR", "base": "XXBT", "quote": "ZEUR", "pair_decimals": "1", "lot_decimals": "8",
          "fees": [["0", "0.26"], ["50000", "0.24"]], "fees_maker": [["0", "0.16"]]}  # fmt: skip
GEMINI = {"symbol": "ETHUSD", "base_currency": "ETH", "quote_currency": "USD", "tick_size": "0.000001",
          "quote_increment": "0.01", "min_order_size": "0.001", "status": "closed"}  # fmt: skip
BYBIT = {"name": "BTCUSD", "alias": "BTCUSD", "base_currency": "BTC", "quote_currency": "USD", "price_scale": "2",
         "taker_fee": "0.00075", "maker_fee": "-0.00025", "price_filter": {"tick_size": "0.5"},
         "lot_size_filter": {"qty_step": "1"}, "status": "Trading"}  # fmt: skip
LEAN = {"market": "bybit", "symbol": "1INCHUSDT", "type": "cryptofuture", "quote_currency": "USDT", "lot_size": "0.1",
        "minimum_price_variation": "0.0001", "market_ticker": "1INCHUSDT"}  # fmt: skip
GATE = {"id": "IHT_ETH", "base": "IHT", "quote": "ETH", "fee": "0.2", "precision": "9", "amount_precision": "1",
        "min_quote_amount": "0.001", "trade_status": "sellable"}  # fmt: skip
BITSTAMP = {"url_symbol": "btcusd", "name": "BTC/USD", "base_decimals": "8", "counter_decimals": "2",
            "minimum_order": "20.0 USD", "trading": "Enabled"}  # fmt: skip
COINBASE = {"id": "BTC-GBP", "base_currency": "BTC", "quote_currency": "GBP", "quote_increment": "0.01",
            "base_increment": "0.00000001", "min_market_funds": "10", "status": "online"}  # fmt: skip
HALTED, TRADABLE, DELISTED = InstrumentStatus.HALTED, InstrumentStatus.TRADABLE, InstrumentStatus.DELISTED


@pytest.mark.parametrize(
    ("entry", "symbol", "numbers", "status"),
    [
        (BINANCE, "ETH/BTC", ("0.000001", "0.0001", "0.0001", "0.001", "0.001"), HALTED),
        (OKX_SWAP, "BTC/USD:BTC", ("0.1", "1", "0", "0.001", "0.001"), TRADABLE),
        (KRAKEN, "BTC/EUR", ("0.1", "0.00000001", "0", "0.0016", "0.0026"), TRADABLE),
        (GEMINI, "ETH/USD", ("0.01", "0.000001", "0", "0.001", "0.001"), DELISTED),
        (BYBIT, "BTC/USD:BTC", ("0.5", "1", "0", "-0.00025", "0.00075"), TRADABLE),
        (LEAN, "1INCH/USDT:USDT", ("0.0001", "0.1", "0", "0.001", "0.001"), TRADABLE),
        (GATE, "IHT/ETH", ("0.000000001", "0.1", "0.001", "0.002", "0.002"), HALTED),
        (BITSTAMP, "BTC/USD", ("0.01", "0.00000001", "20", "0.001", "0.001"), TRADABLE),
        (COINBASE, "BTC/GBP", ("0.01", "0.00000001", "10", "0.001", "0.001"), TRADABLE),
        ("AAVE:UST", "AAVE/USDT", ("0.01", "0.01", "0", "0.001", "0.001"), TRADABLE),
        ("ADAF0:USTF0", "ADA/USDT:USDT", ("0.0001", "0.1", "0", "0.001", "0.001"), TRADABLE),
    ],
)
def test_each_exchanges_words_are_understood(
    entry: Any, symbol: str, numbers: tuple[str, ...], status: InstrumentStatus
) -> None:
    found = read_instrument(entry).instrument
    assert found.symbol == symbol
    told = (found.tick_size, found.lot_size, found.min_notional, found.maker_fee, found.taker_fee)
    if isinstance(entry, dict):
        assert told == tuple(Decimal(number) for number in numbers)
    assert found.status is status
    assert found.contract_size == (100 if entry is OKX_SWAP else 1)


def test_a_lot_of_okx_swaps_is_of_the_base_asset() -> None:
    linear = {**OKX_SWAP, "instId": "BTC-USDT-SWAP", "uly": "BTC-USDT", "settleCcy": "USDT", "ctVal": "0.01"}
    found = read_instrument(linear | {"lotSz": "0.1"}).instrument
    assert (found.symbol, found.lot_size, found.contract_size) == (
        "BTC/USDT:USDT", Decimal("0.001"), Decimal("0.01"),
    )  # fmt: skip


@pytest.mark.parametrize(
    "entry",
    [
        {**OKX_SWAP, "instType": "OPTION"},
        {**BINANCE, "contractType": "CURRENT_QUARTER"},
        {**BYBIT, "alias": "BTCUSD0924"},
        {**LEAN, "type": "cfd"},
    ],
)
def test_options_and_markets_that_expire_are_not_kept(entry: dict[str, Any]) -> None:
    with pytest.raises(NotTraded):
        read_instrument(entry)


@pytest.mark.parametrize("name", ["../2021", "", "BTC", "a:b:c"])
def test_a_name_that_says_nothing_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match=r"name|symbol"):
        read_instrument(name)


COUNTS = {
    "binance_spot": (1695, 1695), "binance_usdm": (122, 120), "bitfinex": (328, 328), "bitstamp": (140, 140),
    "bybit": (15, 13), "coinbase": (162, 162), "crypto_com": (250, 250), "gateio": (1458, 1458), "gemini": (142, 142),
    "huobi": (938, 938), "kraken": (304, 293), "kucoin": (634, 634),
}  # fmt: skip


def test_real_lists_are_read_to_the_last_market(real_data: Path) -> None:
    found = {}
    for name in COUNTS:
        reading = Reading(findings=Findings(), damage=Damage())
        rejects: list[tuple[int, str, str]] = []
        path = real_data / f"metadata/{name}_instruments.jsonl.gz"
        lists = list(read_instruments(path, reject=lambda *one, to=rejects: to.append(one), reading=reading))  # type: ignore[misc]
        assert not rejects, name
        assert all(one.time_us is not None for one in lists)
        found[name] = (reading.read, sum(len(one.markets) for one in lists))
    assert found == COUNTS


def test_leverage_tiers_that_do_not_follow_each_other_are_rejected_and_the_others_read(tmp_path: Path) -> None:
    def tier(start: float, end: float | None, rate: float) -> dict[str, Any]:
        return {"minNotional": start, "maxNotional": end, "maintenanceMarginRate": rate, "maxLeverage": 50.0}

    markets = {
        "BTC/USDT:USDT": [tier(5000.0, None, 0.02), tier(0.0, 5000.0, 0.01)],
        "ETH/USDT:USDT": [tier(0.0, 4000.0, 0.01), tier(5000.0, None, 0.02)],
        "XRP/USDT": [tier(0.0, None, 0.01)],
        "SOL/USDT:USDT": [tier(0.0, None, float("nan"))],
        "ADA/USDT:USDT": 7,
    }
    path = tmp_path / "binance_leverage_tiers.json"
    path.write_text(json.dumps(markets))
    rejects: list[int] = []
    reading = Reading(findings=Findings(), damage=Damage())
    found = dict(read_tiers(path, reject=lambda row, *_: rejects.append(row), reading=reading))
    assert list(found) == ["BTC/USDT:USDT"]
    assert [str(one.maintenance_rate) for one in found["BTC/USDT:USDT"]] == ["0.01", "0.02"]
    assert rejects == [2, 3, 4, 5]


def test_the_real_leverage_tiers_are_read_to_the_last_market(real_data: Path) -> None:
    reading = Reading(findings=Findings(), damage=Damage())
    path = real_data / "metadata/binance_usdm_leverage_tiers.json.gz"
    found = list(read_tiers(path, reject=lambda *one: pytest.fail(str(one)), reading=reading))
    assert reading.read == 349
    assert len(found) == 349 - sum(one.count for one in reading.findings.all()) == 345
