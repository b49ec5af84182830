"""Symbols in both spellings."""

import pytest

from mastertrade.domain.market import InstrumentKind, canonical_symbol, legacy_symbol, parse_symbol, split_symbol


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("BTC/USDT", ("BTC", "USDT")),
        ("btcusdc", ("BTC", "USDC")),
        ("ETHBTC", ("ETH", "BTC")),
        (" BTCUSD ", ("BTC", "USD")),
        ("USDCUSDT", ("USDC", "USDT")),
        ("1INCHUSDT", ("1INCH", "USDT")),
    ],
)
def test_a_symbol_splits_into_base_and_quote(text: str, expected: tuple[str, str]) -> None:
    assert split_symbol(text) == expected
    assert split_symbol(canonical_symbol(text)) == expected
    assert split_symbol(legacy_symbol(canonical_symbol(text))) == expected


@pytest.mark.parametrize("text", ["BTC/USDT:USDT", "btc/usdt:usdt", "BTCUSDT:USDT"])
def test_a_swap_keeps_the_asset_it_settles_in(text: str) -> None:
    assert canonical_symbol(text) == "BTC/USDT:USDT"
    assert parse_symbol(text).kind is InstrumentKind.SWAP
    assert parse_symbol("BTC/USDT").kind is InstrumentKind.SPOT


@pytest.mark.parametrize(
    "text",
    [
        "",
        "BTC/USDT:",
        ":USDT",
        "BTC/USDT:USDT:USDT",
        "BTC/USDT:USDT-240628",
        "BTC",
        "USDT",
        "/USDT",
        "BTC/",
        "A/B/C",
        "FOOBAR",
    ],
)
def test_what_is_no_symbol_is_refused_by_name(text: str) -> None:
    with pytest.raises(ValueError, match="symbol"):
        split_symbol(text)
