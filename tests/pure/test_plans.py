"""Which markets an account trades, and how somebody asks for that."""

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest

from mastertrade.cli.running_market import Asked, symbols_of
from mastertrade.domain.market import Instrument, InstrumentKind, parse_symbol
from mastertrade.market_data_service.simulation import SimulatedMarket
from mastertrade.plans import Plan
from mastertrade.shared.errors import UsageError

START = datetime(2024, 1, 1, tzinfo=UTC)
MARKETS = ("BTC/USDT", "BTC/USDT:USDT", "BTC/USD:BTC", "ETH/USDC", "ETH/USDC:USDC", "ETH/USDT:BTC")


def instrument(id: int, symbol: str, venue: str) -> Instrument:
    parts = parse_symbol(symbol)
    return Instrument(
        id=id, venue=venue, symbol=symbol, base=parts.base, quote=parts.quote, settle=parts.settle, kind=parts.kind,
        tick_size=Decimal("0.01"), lot_size=Decimal("0.001"), min_notional=Decimal(5), maker_fee=Decimal(0),
        taker_fee=Decimal(0),
    )  # fmt: skip


@pytest.mark.parametrize(
    ("kind", "quote", "symbols"),
    [
        (InstrumentKind.SPOT, "USDT", ["BTC/USDT"]),
        (InstrumentKind.SWAP, "USDT", ["BTC/USDT:USDT"]),
        (InstrumentKind.SWAP, "USDC", ["ETH/USDC:USDC"]),
        (InstrumentKind.SWAP, "USD", []),
    ],
)
def test_an_account_trades_its_kind_of_market_paid_and_settled_in_its_quote_asset(
    kind: InstrumentKind, quote: str, symbols: list[str]
) -> None:
    plan = Plan(
        source=SimulatedMarket(seed=1, start=START), feed="", account="", venue="binance", quote_asset=quote,
        cash=Decimal(1), strategies=(), begin_after=START, kind=kind,
    )  # fmt: skip
    listed = [instrument(id, *one) for id, one in enumerate((s, v) for v in ("binance", "okx") for s in MARKETS)]
    traded = plan.traded(listed)
    assert list(traded) == symbols
    assert all(one.venue == "binance" for one in traded.values())


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ({"swaps": True}, "--swaps does not go with the rest: the simulator has spot markets alone"),
        ({"account": "mine", "swaps": True}, "the account knows what it trades"),
        ({"venue": "binance", "leverage": "2"}, "spot is paid in full"),
        ({"venue": "binance", "swaps": True, "leverage": "much"}, "'much' is not a plain decimal number"),
        ({"venue": "binance", "swaps": True, "leverage": "0.5"}, "--leverage 0.5 is outside 1 to 125"),
        ({"venue": "binance", "swaps": True, "leverage": "nan"}, "'nan' is not a plain decimal number"),
        ({"venue": "binance", "swaps": True, "leverage": "2.505"}, "more than two decimals"),
    ],
)
def test_what_does_not_go_with_swaps_is_said(asked: dict[str, Any], words: str) -> None:
    with pytest.raises(UsageError) as refused:
        Asked(**asked)
    assert words in str(refused.value)


def test_a_spot_name_means_the_swap_where_swaps_are_traded() -> None:
    swap, spot = InstrumentKind.SWAP, InstrumentKind.SPOT
    assert symbols_of([], "USDC", swap, "") == ["BTC/USDC:USDC", "ETH/USDC:USDC"]
    assert symbols_of(["BTCUSDT", "SOL/USDT:USDT"], "USDT", swap, "") == ["BTC/USDT:USDT", "SOL/USDT:USDT"]
    assert symbols_of(["BTC/USDT"], "USDT", spot, "") == ["BTC/USDT"]


@pytest.mark.parametrize(
    ("kind", "symbol"),
    [
        (InstrumentKind.SPOT, "BTC/USDT:USDT"),
        (InstrumentKind.SWAP, "BTC/USD:BTC"),
        (InstrumentKind.SWAP, "BTC/USDC:USDC"),
    ],
)
def test_a_market_of_another_kind_or_settle_asset_is_refused(kind: InstrumentKind, symbol: str) -> None:
    with pytest.raises(UsageError, match=r"account mine counts in USDT, and s.* are traded"):
        symbols_of([symbol], "USDT", kind, "mine")
