"""The simulated venue's matching without a wire: what it refuses leaves no trace, what ends gives all back."""

from decimal import Decimal
from typing import Any

import pytest

from mastertrade.exchanges.simulated import simulated_market
from mastertrade.exchanges.simulated.matching import TradingAccount, TradingRefused

NOW_MS = 1_767_614_400_000


def account() -> TradingAccount:
    market = simulated_market("BTC/USDT", seed=1, from_ms=NOW_MS - 86_400_000)
    return TradingAccount.of({"BTCUSDT": market}, {"USDT": Decimal(1_000_000)})


def order(**changes: Any) -> dict[str, Any]:
    given = {"symbol": "BTCUSDT", "side": "BUY", "type": "LIMIT", "quantity": Decimal("0.1"), "price": Decimal(20_000),
             "client_id": "mt1", "now_ms": NOW_MS}  # fmt: skip
    return given | changes


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"symbol": "NOUSDT"}, -1121),
        ({"side": "HOLD"}, -1117),
        ({"type": "MAYBE"}, -1116),
        ({"life": "LONG"}, -1115),
        ({"type": "MARKET", "price": None, "life": "FOK"}, -1106),
        ({"price": None}, -1102),
        ({"price": Decimal(-1)}, -1013),
        ({"quantity": Decimal(0)}, -1013),
        ({"quantity": Decimal("0.0001"), "price": Decimal("0.01")}, -1013),
        ({"quantity": Decimal(1000)}, -2010),
        ({"type": "LIMIT_MAKER", "price": Decimal(900_000)}, -2010),
    ],
)
def test_what_is_refused_leaves_no_trace(changes: dict[str, Any], code: int) -> None:
    here = account()
    with pytest.raises(TradingRefused) as refused:
        here.place(**order(**changes))
    assert refused.value.code == code
    assert here.orders == here.executions == []
    assert here.holdings["USDT"].free == 1_000_000
    assert here.holdings["USDT"].locked == 0


@pytest.mark.parametrize("life", ["IOC", "FOK"])
def test_what_cannot_trade_at_once_ends_and_gives_everything_back(life: str) -> None:
    here = account()
    price = Decimal(str(round(here.markets["BTCUSDT"].price(NOW_MS) * 0.5, 2)))
    assert here.place(**order(life=life, price=price)).status == "EXPIRED"
    assert (here.holdings["USDT"].free, here.holdings["USDT"].locked) == (1_000_000, 0)


def test_the_same_calls_give_the_same_account() -> None:
    first, second = account(), account()
    for here in (first, second):
        here.place(**order(type="MARKET", price=None))
        here.place(**order(side="SELL", client_id="mt2", quantity=Decimal("0.05"), type="MARKET", price=None))
    assert (first.executions, first.holdings) == (second.executions, second.holdings)
    assert first.executions
