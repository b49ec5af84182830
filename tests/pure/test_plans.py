"""Which markets an account trades."""

from datetime import UTC, datetime
from decimal import Decimal

import pytest

from mastertrade.domain.market import Instrument, InstrumentKind, parse_symbol
from mastertrade.market_data_service.simulation import SimulatedMarket
from mastertrade.plans import Plan

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
