"""What each venue for swaps answers, in its own words, and every place that orders can go to."""

from collections.abc import Callable, Mapping, Sequence
from typing import Final

from mastertrade.exchanges.ccxt_rules import Credentials, VenueRules
from mastertrade.exchanges.ccxt_swaps import SWAP_VENUES
from mastertrade.exchanges.ccxt_venue import VENUES
from tests.contracts.answering_venue import OUR_ID, START_MS
from tests.contracts.swap_wordings import (
    BYBIT,
    BYBIT_HELD,
    BYBIT_MARKET,
    OKX,
    OKX_MARKET,
    bybit_fill,
    bybit_order,
    okx_fill,
    okx_order,
)
from tests.contracts.venue_answers import (
    BINANCE_PAIR,
    WORDINGS,
    Wording,
    binance_error,
    bybit_answer,
    bybit_error,
    okx_answer,
    okx_error,
    okx_refusal,
)
from tests.contracts.venue_errors import AGAIN, OPEN, SHAPES, Spoken, binance, bybit, okx
from tests.contracts.venue_lives import LIVES, TRADED_MS, Life

BINANCE_SWAP = {
    **BINANCE_PAIR, "pair": "BTCUSDT", "contractType": "PERPETUAL", "deliveryDate": 4_133_404_800_000,
    "onboardDate": 1_569_398_400_000, "marginAsset": "USDT", "pricePrecision": 2, "quantityPrecision": 3,
    "filters": [*BINANCE_PAIR["filters"][:2], {"filterType": "MIN_NOTIONAL", "notional": "5"}],  # type: ignore[index]
}  # fmt: skip
BINANCE_SWAP_ORDER = {
    "symbol": "BTCUSDT", "orderId": 28, "clientOrderId": OUR_ID, "price": "29500.00", "avgPrice": "0.00",
    "origQty": "0.500", "executedQty": "0.000", "cumQuote": "0.00", "status": "NEW", "timeInForce": "GTC",
    "type": "LIMIT", "origType": "LIMIT", "side": "BUY", "positionSide": "BOTH", "reduceOnly": False,
    "closePosition": False, "time": START_MS - 2_000, "updateTime": TRADED_MS,
}  # fmt: skip
BINANCE_SWAP_PART = {
    **BINANCE_SWAP_ORDER, "status": "PARTIALLY_FILLED", "executedQty": "0.200", "cumQuote": "5880.00",
    "avgPrice": "29400.00",
}  # fmt: skip
BINANCE_SWAP_TRADE = {
    "symbol": "BTCUSDT", "id": 7, "orderId": 28, "side": "BUY", "price": "29400.00", "qty": "0.200",
    "realizedPnl": "0.5", "marginAsset": "USDT", "quoteQty": "5880.00", "commission": "1.176",
    "commissionAsset": "USDT", "time": TRADED_MS, "positionSide": "BOTH", "buyer": True, "maker": True,
}  # fmt: skip
BINANCE_SWAPS = Wording(
    name="binance",
    settle="USDT",
    credentials=Credentials(api_key="a key", secret="a secret"),
    symbol="BTC/USDT:USDT",
    base={
        "GET /fapi/v1/exchangeInfo": {
            "timezone": "UTC",
            "serverTime": START_MS,
            "symbols": [BINANCE_SWAP, {**BINANCE_SWAP, "symbol": "ETHUSDT", "pair": "ETHUSDT", "baseAsset": "ETH"}],
        },
        "GET /fapi/v1/time": {"serverTime": START_MS},
        "GET /fapi/v1/positionSide/dual": {"dualSidePosition": False},
        "GET /fapi/v1/symbolConfig": [{"symbol": "BTCUSDT", "marginType": "CROSSED", "leverage": 5}],
    },
    place="POST /fapi/v1/order",
    taken=BINANCE_SWAP_ORDER,
    number="28",
    refusals={"margin": binance_error(-2019, "Margin is insufficient.")},
    open_ends={"busy": binance_error(-1008, "Request throttled by system-level protection.", 503)},
    wrong_keys=binance_error(-2014, "API-key format invalid.", 401),
    balance_path="GET /fapi/v3/balance",
)
BYBIT_SWAPS = Wording(
    name="bybit",
    settle="USDT",
    credentials=BYBIT.credentials,
    symbol="BTC/USDT:USDT",
    base={
        **BYBIT.base,
        "GET /v5/market/instruments-info": bybit_answer(
            category="linear",
            list=[BYBIT_MARKET, {**BYBIT_MARKET, "symbol": "ETHUSDT", "baseCoin": "ETH"}],
            nextPageCursor="",
        ),
    },
    place=BYBIT.place,
    taken=BYBIT.taken,
    number="1321003749386327552",
    refusals={"margin": bybit_error(110007, "ab not enough for new order")},
    open_ends={"settling": bybit_error(110063, "Settlement in progress!")},
    wrong_keys=bybit_error(10003, "API key is invalid."),
    balance_path="/v5/account/wallet-balance",
)
BYBIT_SWAP_PART = bybit_order(
    side="Buy", orderStatus="PartiallyFilled", avgPrice="29400", cumExecQty="0.2", cumExecValue="5880", leavesQty="0.3",
    createdTime=str(START_MS - 2_000), updatedTime=str(TRADED_MS),
)  # fmt: skip
BYBIT_SWAP_TRADE = bybit_fill("7", "0.2", "2.94", side="Buy", execPrice="29400", execTime=str(TRADED_MS), isMaker=True)
OKX_WHOLE = {**OKX_MARKET, "ctVal": "1"}
"""A contract of it is one BTC: what is broken on the way shows as it was told."""
OKX_SWAPS = Wording(
    name="okx",
    settle="USDT",
    credentials=OKX.credentials,
    symbol="BTC/USDT:USDT",
    base={
        **OKX.base,
        "GET /api/v5/public/instruments": okx_answer(
            OKX_WHOLE,
            {**OKX_WHOLE, "instId": "ETH-USDT-SWAP", "uly": "ETH-USDT", "instFamily": "ETH-USDT", "ctValCcy": "ETH"},
        ),
        "GET /api/v5/trade/order": okx_error("51603", "Order does not exist")[1],
    },
    place=OKX.place,
    taken=OKX.taken,
    number="312269865356374016",
    refusals={"nothing to reduce": okx_refusal("51169", "You don't have any positions in this direction to reduce.")},
    open_ends={"busy": okx_error("50013", "Systems are busy. Please try again later.")},
    wrong_keys=okx_error("50111", "Invalid OK-ACCESS-KEY", 401),
    balance_path="/api/v5/account/balance",
)
OKX_SWAP_PART = okx_order(
    side="buy", state="partially_filled", sz="0.5", accFillSz="0.2", avgPx="29400", cTime=str(START_MS - 2_000),
    uTime=str(TRADED_MS),
)  # fmt: skip
OKX_SWAP_TRADE = okx_fill("7", "0.2", "-2.94", side="buy", fillPx="29400", ts=str(TRADED_MS), fillTime=str(TRADED_MS))
SWAPS: Final = "swaps at {}"
PLACES: Final[Mapping[str, Wording]] = {
    **WORDINGS,
    **{SWAPS.format(one.name): one for one in (BINANCE_SWAPS, BYBIT_SWAPS, OKX_SWAPS)},
}
NAMES: Final[Mapping[str, type[VenueRules]]] = {
    **VENUES,
    **{SWAPS.format(name): rules for name, rules in SWAP_VENUES.items()},
}
"""Every place with its rules. One that is missing above or below is a test that fails."""
SHAPES_AT: Final[Mapping[str, Callable[[str], list[Spoken]]]] = {
    **SHAPES,
    **{SWAPS.format(shapes.__name__): shapes for shapes in (binance, bybit, okx)},
}
OPEN_AT: Final[Mapping[str, Mapping[str, Sequence[str]]]] = {
    **OPEN,
    SWAPS.format("binance"): {
        "busy": ("-1001", "-1008", "-1016"),
        "time-out": ("-1006", "-1007"),
        "unknown": ("-1000", "-1010", "-9999"),
        "too many": ("-1003", "-1015", "-1034"),
        "the same again": ("-4116",),
        "of another question": ("-2011", "-2013"),
    },
    SWAPS.format("bybit"): {
        "busy": ("10000", "110063", "110079"),
        "unknown": ("10016", "119999"),
        "too many": ("10006", "10018", "10429"),
        "the same again": ("10014", "110030", "110072"),
        "of another question": ("110001", "110008", "110010"),
    },
    SWAPS.format("okx"): OPEN["okx"],
}
AGAIN_AT: Final[Mapping[str, Sequence[Spoken]]] = {
    **AGAIN,
    SWAPS.format("binance"): (
        binance_error(-4116, "ClientOrderId is duplicated."),
        binance_error(-2010, "Duplicate order sent."),
        binance_error(-4015, "Client order id is not valid: it is duplicated"),
    ),
    SWAPS.format("bybit"): (
        bybit_error(10001, "OrderLinkedID Duplicate"),
        bybit_error(110072, "OrderLinkedID is duplicate"),
    ),
    SWAPS.format("okx"): AGAIN["okx"],
}
LIVES_AT: Final[Mapping[str, Life]] = {
    **LIVES,
    SWAPS.format("binance"): Life(
        said=BINANCE_SWAPS,
        answers={
            "find": ("GET /fapi/v1/order", BINANCE_SWAP_PART),
            "open": ("GET /fapi/v1/openOrders", [BINANCE_SWAP_PART]),
            "fills": ("GET /fapi/v1/userTrades", [BINANCE_SWAP_TRADE]),
            "balances": ("GET /fapi/v3/balance", [{"asset": "USDT", "balance": "1.5", "crossUnPnl": "7"}]),
            "cancel": ("DELETE /fapi/v1/order", {**BINANCE_SWAP_PART, "status": "CANCELED"}),
            "positions": (
                "GET /fapi/v3/positionRisk",
                [{"symbol": "BTCUSDT", "positionSide": "BOTH", "positionAmt": "-0.200", "entryPrice": "29400"}],
            ),
            "funding": (
                "GET /fapi/v1/income",
                [
                    {
                        "symbol": "BTCUSDT", "incomeType": "FUNDING_FEE", "income": "-0.5", "asset": "USDT",
                        "time": TRADED_MS, "tranId": 77, "tradeId": "",
                    },
                ],
            ),
        },
        rest={"GET /fapi/v1/order": BINANCE_SWAP_PART},
    ),
    SWAPS.format("bybit"): Life(
        said=BYBIT_SWAPS,
        answers={
            "find": ("GET /v5/order/realtime", bybit_answer(list=[BYBIT_SWAP_PART], nextPageCursor="")),
            "open": ("GET /v5/order/realtime", bybit_answer(list=[BYBIT_SWAP_PART], nextPageCursor="")),
            "fills": ("GET /v5/execution/list", bybit_answer(list=[BYBIT_SWAP_TRADE], nextPageCursor="")),
            "balances": BYBIT.balances,
            "cancel": ("POST /v5/order/cancel", bybit_answer(orderId=BYBIT_SWAPS.number, orderLinkId=OUR_ID)),
            "positions": ("GET /v5/position/list", bybit_answer(list=[BYBIT_HELD], nextPageCursor="")),
            "funding": BYBIT.funding,
        },
        rest={"GET /v5/order/realtime": bybit_answer(list=[BYBIT_SWAP_PART], nextPageCursor="")},
    ),
    SWAPS.format("okx"): Life(
        said=OKX_SWAPS,
        answers={
            "find": ("GET /api/v5/trade/order", okx_answer(OKX_SWAP_PART)),
            "open": ("GET /api/v5/trade/orders-pending", okx_answer(OKX_SWAP_PART)),
            "fills": ("GET /api/v5/trade/fills", okx_answer(OKX_SWAP_TRADE)),
            "balances": OKX.balances,
            "cancel": (
                "POST /api/v5/trade/cancel-order",
                okx_answer({"ordId": OKX_SWAPS.number, "clOrdId": OUR_ID, "sCode": "0", "sMsg": ""}),
            ),
            "positions": OKX.positions,
            "funding": OKX.funding,
        },
        rest={"GET /api/v5/trade/order": okx_answer(OKX_SWAP_PART)},
    ),
}  # fmt: skip
