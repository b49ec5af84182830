"""The simulated venue's swaps without a wire: margin, one position a market, funding, liquidation, and a wallet that is
what it began with and every income since."""

from decimal import Decimal
from typing import Any

import pytest

from mastertrade.exchanges.simulated import simulated_market
from mastertrade.exchanges.simulated.markets import FUNDING_MS
from mastertrade.exchanges.simulated.matching import TradingRefused
from mastertrade.exchanges.simulated.swap_matching import Position, SwapAccount, SwapOrder, swap_account

NOW_MS = 1_767_614_400_000
SECOND = 1_000
CASH = Decimal(1_000_000)


def account(cash: Decimal = CASH) -> SwapAccount:
    markets = [simulated_market(symbol, seed=1, from_ms=NOW_MS - 86_400_000) for symbol in ("BTC/USDT", "ETH/USDT")]
    here = swap_account({market.id: market for market in markets}, {"USDT": cash, "BTC": Decimal(1)})
    here.match(NOW_MS)
    return here


def order(**changes: Any) -> dict[str, Any]:
    given = {"symbol": "BTCUSDT", "side": "BUY", "type": "MARKET", "quantity": Decimal("0.1"), "price": None,
             "client_id": "mt1", "now_ms": NOW_MS}  # fmt: skip
    return given | changes


def held(here: SwapAccount, symbol: str = "BTCUSDT") -> Decimal:
    return here.positions.get(symbol, Position()).amount


def whole(here: SwapAccount, cash: Decimal = CASH) -> None:
    assert here.wallet("USDT") == cash + sum(one.amount for one in here.incomes)
    fills = {symbol: Decimal(0) for symbol in here.markets}
    for one in here.executions:
        fills[one.symbol] += one.quantity if one.side == "BUY" else -one.quantity
    assert {symbol: held(here, symbol) for symbol in here.markets} == fills


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"symbol": "NOUSDT"}, -1121),
        ({"side": "HOLD"}, -1117),
        ({"type": "STOP"}, -1116),
        ({"life": "LONG"}, -1115),
        ({"type": "LIMIT"}, -1102),
        ({"quantity": Decimal(0)}, -4003),
        ({"quantity": Decimal("0.00000001")}, -1111),
        ({"type": "LIMIT", "price": Decimal(-1)}, -4001),
        ({"type": "LIMIT", "price": Decimal("20000.001")}, -1111),
        ({"quantity": Decimal("0.00001")}, -4164),
        ({"reduce_only": True}, -2022),
        ({"position_side": "LONG"}, -4061),
        ({"type": "LIMIT", "price": Decimal(900_000), "life": "GTX"}, -5022),
        ({"type": "LIMIT", "price": Decimal(20_000), "life": "FOK"}, -5021),
        ({"type": "LIMIT", "price": Decimal(20_000), "quantity": Decimal(2_000)}, -2019),
    ],
)
def test_what_is_refused_leaves_no_trace(changes: dict[str, Any], code: int) -> None:
    here = account()
    with pytest.raises(TradingRefused) as refused:
        here.place_swap(**order(**changes))
    assert refused.value.code == code
    assert here.orders == here.executions == here.incomes == []
    assert here.available("USDT", NOW_MS) == CASH


def test_one_order_turns_a_long_position_into_a_short_one_and_realizes_what_it_closed() -> None:
    here = account()
    here.place_swap(**order())
    entry = here.positions["BTCUSDT"].entry
    later = NOW_MS + 600 * SECOND
    turned = here.place_swap(**order(side="SELL", quantity=Decimal("0.3"), client_id="mt2", now_ms=later))
    assert held(here) == Decimal("-0.2")
    sold = [one for one in here.executions if one.side == "SELL"]
    closed = sum((one.realized for one in sold), Decimal(0))  # type: ignore[attr-defined]
    assert abs(closed - (sold[0].price - entry) * Decimal("0.1")) < Decimal("0.5")
    assert here.positions["BTCUSDT"].entry <= turned.spent / turned.executed
    whole(here)


def test_an_order_that_only_reduces_ends_with_the_position() -> None:
    here = account()
    here.place_swap(**order())
    resting = here.place_swap(
        **order(side="SELL", type="LIMIT", price=Decimal(900_000), reduce_only=True, client_id="mt2")
    )
    closing = here.place_swap(**order(side="SELL", quantity=Decimal("0.5"), reduce_only=True, client_id="mt3"))
    assert (held(here), closing.executed, closing.status, resting.status) == (0, Decimal("0.1"), "EXPIRED", "EXPIRED")
    with pytest.raises(TradingRefused) as refused:
        here.place_swap(**order(side="BUY", reduce_only=True, client_id="mt4"))
    assert refused.value.code == -2022
    whole(here)


def test_what_rests_takes_margin_and_gives_it_back() -> None:
    here = account()
    here.set_leverage("BTCUSDT", 2)
    resting = here.place_swap(**order(type="LIMIT", price=Decimal(20_000), quantity=Decimal(1)))
    assert here.available("USDT", NOW_MS) == CASH - 10_000
    here.cancel("BTCUSDT", now_ms=NOW_MS, id=resting.id)
    assert here.available("USDT", NOW_MS) == CASH


def test_higher_leverage_buys_more_with_the_same_money() -> None:
    price = account().price_of("BTCUSDT", NOW_MS)
    amount = (CASH / price * 3).quantize(Decimal("0.1"))
    for leverage, is_taken in ((2, False), (4, True)):
        here = account()
        here.set_leverage("BTCUSDT", leverage)
        limit = order(type="LIMIT", price=(price * Decimal("0.99")).quantize(Decimal("0.1")), quantity=amount)
        if is_taken:
            assert here.place_swap(**limit).status == "NEW"
        else:
            with pytest.raises(TradingRefused, match="Margin"):
                here.place_swap(**limit)


def test_funding_is_charged_at_settlements_from_what_is_held_then() -> None:
    here = account()
    here.place_swap(**order())
    first = NOW_MS // FUNDING_MS * FUNDING_MS + FUNDING_MS
    here.match(first + 2 * FUNDING_MS + SECOND)
    market = here.markets["BTCUSDT"]
    paid = [one for one in here.incomes if one.kind == "FUNDING_FEE"]
    assert [one.time_ms for one in paid] == [first, first + FUNDING_MS, first + 2 * FUNDING_MS]
    for one in paid:
        expected = -Decimal("0.1") * Decimal(str(market.price(one.time_ms))) * Decimal(str(market.funding(one.time_ms)))
        assert abs(one.amount - expected) < Decimal("0.000001")
    whole(here)


def test_too_little_margin_ends_orders_and_positions_with_an_order_of_the_venue() -> None:
    cash = Decimal(200)
    here = account(cash)
    here.set_leverage("BTCUSDT", 125)
    price = here.price_of("BTCUSDT", NOW_MS)
    resting = here.place_swap(
        **order(symbol="ETHUSDT", type="LIMIT", price=Decimal(1_000), quantity=Decimal("0.1"), client_id="mt0")
    )
    here.place_swap(**order(side="SELL", quantity=(cash / price * 100).quantize(Decimal("0.01"))))
    here.match(NOW_MS + 9 * 3_600 * SECOND)
    assert held(here) == 0
    forced = here.orders[-1]
    assert isinstance(forced, SwapOrder)
    assert (forced.client_id[:10], forced.side, forced.status) == ("autoclose-", "BUY", "FILLED")
    assert resting.status == "CANCELED"
    assert here.wallet("USDT") >= 0
    whole(here, cash)


def test_the_same_calls_give_the_same_account_however_often_one_looks() -> None:
    first, second = account(), account()
    for here in (first, second):
        here.place_swap(**order(side="SELL", quantity=Decimal(1)))
        price = here.price_of("BTCUSDT", NOW_MS) - 20
        here.place_swap(**order(type="LIMIT", price=price, quantity=Decimal(2), client_id="mt2"))
    end = NOW_MS + 9 * 3_600 * SECOND
    first.match(end)
    for now_ms in range(NOW_MS, end, 137 * SECOND):
        second.match(now_ms)
    second.match(end)
    assert (first.executions, first.incomes, first.positions) == (second.executions, second.incomes, second.positions)
    assert len(first.executions) > 2
    whole(first)


def test_markets_count_their_orders_and_trades_each_by_itself() -> None:
    here = account()
    for symbol in ("BTCUSDT", "ETHUSDT"):
        here.place_swap(**order(symbol=symbol, client_id=symbol))
    assert [(one.id, one.symbol) for one in here.orders] == [(1, "BTCUSDT"), (1, "ETHUSDT")]
    assert {one.id for one in here.executions if one.symbol == "ETHUSDT"} >= {1}
