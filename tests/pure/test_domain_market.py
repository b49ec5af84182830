"""Symbols in both spellings."""

import pytest

from mastertrade.domain.market import canonical_symbol, legacy_symbol, split_symbol


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


@pytest.mark.parametrize("text", ["", "BTC", "USDT", "/USDT", "BTC/", "A/B/C", "FOOBAR"])
def test_what_is_no_symbol_is_refused_by_name(text: str) -> None:
    with pytest.raises(ValueError, match="symbol"):
        split_symbol(text)
