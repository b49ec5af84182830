"""What each venue answers about one and the same life: an order of ours of 0.5 at 29,500 of which 0.2 have traded at
29,400, and what the account holds."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from tests.contracts.answering_venue import OUR_ID, START_MS
from tests.contracts.venue_answers import (
    BINANCE,
    BINANCE_ORDER,
    BYBIT,
    COINBASE,
    KRAKEN,
    OKX,
    UUID_OF_OURS,
    Wording,
    bybit_answer,
    coinbase_list,
    okx_answer,
)

TRADED_MS: Final = START_MS - 1_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Life:
    """``answers``: to each question by its name the path that is asked, and what it is answered. ``rest``: other paths
    that are asked on the way."""

    said: Wording
    answers: Mapping[str, tuple[str, Any]]
    rest: Mapping[str, Any]


BINANCE_PART = {
    **BINANCE_ORDER, "executedQty": "0.20000", "cummulativeQuoteQty": "5880.00", "status": "PARTIALLY_FILLED",
    "time": START_MS - 2_000, "updateTime": TRADED_MS,
}  # fmt: skip
BINANCE_TRADE = {
    "symbol": "BTCUSDT", "id": 7, "orderId": 28, "price": "29400.00", "qty": "0.20000", "quoteQty": "5880.00",
    "commission": "0.0002", "commissionAsset": "BTC", "time": TRADED_MS, "isBuyer": True, "isMaker": True,
}  # fmt: skip
BYBIT_PART = {
    "orderId": BYBIT.number, "orderLinkId": OUR_ID, "symbol": "BTCUSDT", "side": "Buy", "orderType": "Limit",
    "price": "29500.0", "qty": "0.5", "cumExecQty": "0.2", "avgPrice": "29400", "cumExecValue": "5880",
    "leavesQty": "0.3", "orderStatus": "PartiallyFilled", "timeInForce": "GTC", "createdTime": str(START_MS - 2_000),
    "updatedTime": str(TRADED_MS), "marketUnit": "",
}  # fmt: skip
BYBIT_TRADE = {
    "symbol": "BTCUSDT", "orderId": BYBIT.number, "orderLinkId": OUR_ID, "side": "Buy", "execId": "7", "execPrice":
    "29400", "execQty": "0.2", "execFee": "0.0002", "feeCurrency": "BTC", "execType": "Trade", "isMaker": True,
    "execTime": str(TRADED_MS),
}  # fmt: skip
OKX_PART = {
    "instType": "SPOT", "instId": "BTC-USDT", "ordId": OKX.number, "clOrdId": OUR_ID, "side": "buy", "ordType": "limit",
    "px": "29500", "sz": "0.5", "accFillSz": "0.2", "avgPx": "29400", "state": "partially_filled", "tdMode": "cash",
    "cTime": str(START_MS - 2_000), "uTime": str(TRADED_MS), "fee": "-0.0002", "feeCcy": "BTC", "tgtCcy": "",
}  # fmt: skip
OKX_TRADE = {
    "instType": "SPOT", "instId": "BTC-USDT", "tradeId": "7", "billId": "9", "ordId": OKX.number, "clOrdId": OUR_ID,
    "side": "buy", "fillPx": "29400", "fillSz": "0.2", "execType": "M", "fee": "-0.0002", "feeCcy": "BTC",
    "ts": str(TRADED_MS),
}  # fmt: skip
KRAKEN_PART = {
    "refid": None, "userref": 0, "cl_ord_id": UUID_OF_OURS, "status": "open", "opentm": (START_MS - 2_000) // 1000,
    "descr": {"pair": "XBTUSDT", "type": "buy", "ordertype": "limit", "price": "29500.0", "price2": "0",
              "order": "buy 0.50000000 XBTUSDT @ limit 29500.0"},
    "vol": "0.50000000", "vol_exec": "0.20000000", "cost": "5880.0", "fee": "5.88", "price": "29400.0", "misc": "",
}  # fmt: skip
KRAKEN_TRADE = {
    "ordertxid": KRAKEN.number, "pair": "XBTUSDT", "time": TRADED_MS // 1000, "type": "buy", "ordertype": "limit",
    "price": "29400.0", "cost": "5880.0", "fee": "5.88", "vol": "0.20000000", "maker": True, "misc": "",
}  # fmt: skip
COINBASE_PART = {
    "order_id": COINBASE.number, "product_id": "BTC-USD", "side": "BUY", "client_order_id": OUR_ID, "status": "OPEN",
    "order_configuration": {"limit_limit_gtc": {"base_size": "0.5", "limit_price": "29500.0", "post_only": False}},
    "filled_size": "0.2", "average_filled_price": "29400", "order_type": "LIMIT", "product_type": "SPOT",
}  # fmt: skip
COINBASE_TRADE = {
    "trade_id": "7", "order_id": COINBASE.number, "trade_time": "2026-01-05T11:59:59Z", "trade_type": "FILL",
    "price": "29400", "size": "0.2", "commission": "5.88", "product_id": "BTC-USD", "side": "BUY",
    "liquidity_indicator": "MAKER", "size_in_quote": False,
}  # fmt: skip


def kraken_orders(name: str, **orders: Any) -> Any:
    return {"error": [], "result": {name: orders}}


def coinbase_account(asset: str, free: str, held: str) -> Any:
    return {
        "uuid": asset, "currency": asset, "type": "ACCOUNT_TYPE_CRYPTO",
        "available_balance": {"value": free, "currency": asset}, "hold": {"value": held, "currency": asset},
    }  # fmt: skip


LIVES: Final = {
    life.said.name: life
    for life in (
        Life(
            said=BINANCE,
            answers={
                "find": ("GET /api/v3/order", BINANCE_PART),
                "open": ("GET /api/v3/openOrders", [BINANCE_PART]),
                "fills": ("GET /api/v3/myTrades", [BINANCE_TRADE]),
                "balances": (
                    "GET /api/v3/account",
                    {"canTrade": True, "balances": [{"asset": "BTC", "free": "1.0", "locked": "0.5"}]},
                ),
                "cancel": ("DELETE /api/v3/order", {**BINANCE_PART, "status": "CANCELED"}),
            },
            rest={"GET /api/v3/order": BINANCE_PART},
        ),
        Life(
            said=BYBIT,
            answers={
                "find": ("GET /v5/order/realtime", bybit_answer(list=[BYBIT_PART], nextPageCursor="")),
                "open": ("GET /v5/order/realtime", bybit_answer(list=[BYBIT_PART], nextPageCursor="")),
                "fills": ("GET /v5/execution/list", bybit_answer(list=[BYBIT_TRADE], nextPageCursor="")),
                "balances": (
                    "GET /v5/account/wallet-balance",
                    bybit_answer(list=[{"accountType": "UNIFIED", "coin": [{"coin": "BTC", "walletBalance": "1.5"}]}]),
                ),
                "cancel": ("POST /v5/order/cancel", bybit_answer(orderId=BYBIT.number, orderLinkId=OUR_ID)),
            },
            rest={"GET /v5/order/realtime": bybit_answer(list=[BYBIT_PART], nextPageCursor="")},
        ),
        Life(
            said=COINBASE,
            answers={
                "find": ("GET /api/v3/brokerage/orders/historical/batch", coinbase_list("orders", COINBASE_PART)),
                "known": (f"GET /api/v3/brokerage/orders/historical/{COINBASE.number}", {"order": COINBASE_PART}),
                "open": ("GET /api/v3/brokerage/orders/historical/batch", coinbase_list("orders", COINBASE_PART)),
                "fills": ("GET /api/v3/brokerage/orders/historical/fills", coinbase_list("fills", COINBASE_TRADE)),
                "balances": (
                    "GET /api/v3/brokerage/accounts",
                    coinbase_list("accounts", coinbase_account("BTC", "1.0", "0.5")),
                ),
                "cancel": (
                    "POST /api/v3/brokerage/orders/batch_cancel",
                    {"results": [{"success": True, "failure_reason": "", "order_id": COINBASE.number}]},
                ),
            },
            rest={
                "GET /api/v3/brokerage/orders/historical/batch": coinbase_list("orders", COINBASE_PART),
                f"GET /api/v3/brokerage/orders/historical/{COINBASE.number}": {"order": COINBASE_PART},
            },
        ),
        Life(
            said=KRAKEN,
            answers={
                "find": ("/0/private/OpenOrders", kraken_orders("open", **{KRAKEN.number: KRAKEN_PART})),
                "open": ("/0/private/OpenOrders", kraken_orders("open", **{KRAKEN.number: KRAKEN_PART})),
                "fills": ("/0/private/TradesHistory", kraken_orders("trades", **{"7": KRAKEN_TRADE})),
                "balances": (
                    "/0/private/BalanceEx",
                    {"error": [], "result": {"XXBT": {"balance": "1.5", "hold_trade": "0.5"}}},
                ),
                "cancel": ("/0/private/CancelOrder", {"error": [], "result": {"count": 1}}),
            },
            rest={
                "/0/private/OpenOrders": kraken_orders("open", **{KRAKEN.number: KRAKEN_PART}),
                "/0/private/QueryOrders": {"error": [], "result": {KRAKEN.number: KRAKEN_PART}},
            },
        ),
        Life(
            said=OKX,
            answers={
                "find": ("GET /api/v5/trade/order", okx_answer(OKX_PART)),
                "open": ("GET /api/v5/trade/orders-pending", okx_answer(OKX_PART)),
                "fills": ("GET /api/v5/trade/fills", okx_answer(OKX_TRADE)),
                "balances": (
                    "GET /api/v5/account/balance",
                    okx_answer({"totalEq": "1", "details": [{"ccy": "BTC", "cashBal": "1.5", "eq": "1.5"}]}),
                ),
                "cancel": (
                    "POST /api/v5/trade/cancel-order",
                    okx_answer({"ordId": OKX.number, "clOrdId": OUR_ID, "sCode": "0", "sMsg": ""}),
                ),
            },
            rest={"GET /api/v5/trade/order": okx_answer(OKX_PART)},
        ),
    )
}
