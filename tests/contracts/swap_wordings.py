"""What each venue of swaps answers, in its own words and with numbers as text: markets, an account that is ready, an
order from its sending to its fills, a position and a payment of funding.

They all tell the same: 0.5 BTC sold at 29,500 for a fee of 7.375, 0.1 of it by a liquidation, a short of 0.4, and
funding of -0.59."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from mastertrade.exchanges.ccxt_rules import Credentials
from tests.contracts.answering_venue import OUR_ID, START_MS, Answer, Trouble
from tests.contracts.venue_answers import bybit_answer, okx_answer, okx_error


@dataclass(frozen=True, slots=True, kw_only=True)
class SwapWording:
    """``base``: an account that is ready. ``unready``: paths whose answers refuse it, with a part of the reason.
    ``raising``: the path that sets the leverage, and what must be in the request. ``taken``, ``sent``: the answer to an
    order of 0.5 BTC at 29,500, and what is in the request. ``found``: the same order, filled, by path."""

    name: str
    credentials: Credentials
    base: Mapping[str, Answer]
    unready: Mapping[str, tuple[Answer, str]]
    low_leverage: tuple[str, Answer]
    raising: tuple[str, Mapping[str, Any]]
    place: str
    taken: Any
    sent: Mapping[str, Any]
    reducing: Mapping[str, Any]
    found: tuple[str, Answer]
    absent: Mapping[str, Answer]
    fills: tuple[str, Answer]
    realized: str | None
    positions: tuple[str, Answer]
    funding: tuple[str, Answer]
    balances: tuple[str, Answer]
    rights: tuple[str, Answer, Answer]
    """The path, an answer that allows swaps, and one that does not."""


FILLED_MS, PAID_MS = START_MS - 7_200_000, START_MS - 3_600_000

BINANCE_MARKET = {
    "symbol": "BTCUSDT", "pair": "BTCUSDT", "contractType": "PERPETUAL", "deliveryDate": 4133404800000,
    "onboardDate": 1569398400000, "status": "TRADING", "baseAsset": "BTC", "quoteAsset": "USDT", "marginAsset": "USDT",
    "pricePrecision": 2, "quantityPrecision": 3, "orderTypes": ["LIMIT", "MARKET"],
    "filters": [{"filterType": "PRICE_FILTER", "minPrice": "0.1", "maxPrice": "1000000", "tickSize": "0.1"},
                {"filterType": "LOT_SIZE", "minQty": "0.001", "maxQty": "1000", "stepSize": "0.001"},
                {"filterType": "MIN_NOTIONAL", "notional": "100"}],
}  # fmt: skip


def binance_order(**changes: Any) -> dict[str, Any]:
    return {
        "orderId": 12345678, "symbol": "BTCUSDT", "status": "NEW", "clientOrderId": OUR_ID, "price": "29500.00",
        "avgPrice": "0.00", "origQty": "0.500", "executedQty": "0.000", "cumQuote": "0.00", "timeInForce": "GTC",
        "type": "LIMIT", "reduceOnly": False, "closePosition": False, "side": "SELL", "positionSide": "BOTH",
        "stopPrice": "0.00", "workingType": "CONTRACT_PRICE", "priceProtect": False, "origType": "LIMIT",
        "priceMatch": "NONE", "selfTradePreventionMode": "NONE", "goodTillDate": 0, "time": START_MS,
        "updateTime": START_MS,
    } | changes  # fmt: skip


def binance_fill(id: int, order: int, quantity: str, fee: str) -> dict[str, Any]:
    return {
        "symbol": "BTCUSDT", "id": id, "orderId": order, "side": "SELL", "price": "29500.00", "qty": quantity,
        "realizedPnl": "-0.50000000", "quoteQty": "0", "commission": fee, "commissionAsset": "USDT",
        "time": FILLED_MS + id, "positionSide": "BOTH", "buyer": False, "maker": False,
    }  # fmt: skip


def binance_lookup(asked: Any) -> Any:
    """The liquidation is order 2."""
    if asked.given.get("orderId") == "2":
        return binance_order(orderId=2, clientOrderId="autoclose-1767614400000", status="FILLED", origQty="0.1",
                             executedQty="0.1")  # fmt: skip
    return binance_order(status="FILLED", executedQty="0.500", avgPrice="29500.00")


def binance_settings(leverage: str = "20", margin: str = "CROSSED") -> Any:
    return [{"symbol": "BTCUSDT", "marginType": margin, "isAutoAddMargin": False, "leverage": leverage,
             "maxNotionalValue": "250000"}]  # fmt: skip


BINANCE_RIGHTS = {
    "ipRestrict": True, "createTime": 1623840271000, "enableReading": True, "enableSpotAndMarginTrading": False,
    "enableWithdrawals": False, "enableInternalTransfer": False, "permitsUniversalTransfer": False,
    "enableMargin": False, "enableFutures": True,
}  # fmt: skip
BINANCE = SwapWording(
    name="binance",
    credentials=Credentials(api_key="a key", secret="a secret"),
    base={
        "GET /fapi/v1/exchangeInfo": {"timezone": "UTC", "serverTime": START_MS, "symbols": [BINANCE_MARKET]},
        "GET /fapi/v1/time": {"serverTime": START_MS},
        "GET /fapi/v1/positionSide/dual": {"dualSidePosition": False},
        "GET /fapi/v1/symbolConfig": binance_settings(),
        "POST /fapi/v1/leverage": {"symbol": "BTCUSDT", "leverage": 25, "maxNotionalValue": "250000"},
    },
    unready={
        "GET /fapi/v1/positionSide/dual": ({"dualSidePosition": True}, "hedge mode.*One-way Mode"),
        "GET /fapi/v1/symbolConfig": (binance_settings(margin="ISOLATED"), "isolated.*choose Cross"),
        "POST /fapi/v1/leverage": ({"symbol": "BTCUSDT", "leverage": 20, "maxNotionalValue": "250000"}, "stays at 20"),
    },
    low_leverage=("GET /fapi/v1/symbolConfig", binance_settings("20")),
    raising=("POST /fapi/v1/leverage", {"symbol": "BTCUSDT", "leverage": "25"}),
    place="POST /fapi/v1/order",
    taken=binance_order(),
    sent={"symbol": "BTCUSDT", "side": "SELL", "type": "LIMIT", "quantity": "0.5", "price": "29500.0",
          "timeInForce": "GTC", "newClientOrderId": OUR_ID, "timestamp": str(START_MS), "recvWindow": "5000"},
    reducing={"reduceOnly": "true"},
    found=("GET /fapi/v1/order", binance_lookup),
    absent={"GET /fapi/v1/order": Trouble(status=400, text='{"code":-2013,"msg":"Order does not exist."}')},
    fills=("GET /fapi/v1/userTrades", [binance_fill(1, 12345678, "0.400", "5.9"), binance_fill(2, 2, "0.1", "1.475")]),
    realized="-0.5",
    positions=("GET /fapi/v3/positionRisk", [
        {"symbol": "BTCUSDT", "positionSide": "BOTH", "positionAmt": "-0.400", "entryPrice": "29500.0",
         "markPrice": "29600.0", "unRealizedProfit": "-40.0", "notional": "-11840.0", "marginAsset": "USDT",
         "updateTime": START_MS},
    ]),
    funding=("GET /fapi/v1/income", [
        {"symbol": "BTCUSDT", "incomeType": "FUNDING_FEE", "income": "-0.59000000", "asset": "USDT",
         "time": PAID_MS, "info": "FUNDING_FEE", "tranId": 9689322392, "tradeId": ""},
    ]),
    balances=("GET /fapi/v3/balance", [
        {"accountAlias": "SgsR", "asset": "USDT", "balance": "122.12345678", "crossWalletBalance": "122.12345678",
         "crossUnPnl": "-40.00000000", "availableBalance": "23.1", "maxWithdrawAmount": "23.1",
         "marginAvailable": True, "updateTime": 1617939110373},
    ]),
    rights=("GET /sapi/v1/account/apiRestrictions", BINANCE_RIGHTS, {**BINANCE_RIGHTS, "enableFutures": False}),
)  # fmt: skip

BYBIT_MARKET = {
    "symbol": "BTCUSDT", "contractType": "LinearPerpetual", "status": "Trading", "baseCoin": "BTC", "quoteCoin": "USDT",
    "settleCoin": "USDT", "launchTime": "1584230400000", "deliveryTime": "0", "deliveryFeeRate": "", "priceScale": "1",
    "leverageFilter": {"minLeverage": "1", "maxLeverage": "100.00", "leverageStep": "0.01"},
    "priceFilter": {"minPrice": "0.1", "maxPrice": "1999999.8", "tickSize": "0.1"},
    "lotSizeFilter": {"maxOrderQty": "1190", "minOrderQty": "0.001", "qtyStep": "0.001", "minNotionalValue": "5",
                      "postOnlyMaxOrderQty": "1190", "maxMktOrderQty": "500"},
    "unifiedMarginTrade": True, "fundingInterval": 480, "copyTrading": "both",
}  # fmt: skip


def bybit_order(**changes: Any) -> dict[str, Any]:
    return {
        "orderId": "1321003749386327552", "orderLinkId": OUR_ID, "symbol": "BTCUSDT", "price": "29500.0", "qty": "0.5",
        "side": "Sell", "isLeverage": "", "positionIdx": 0, "orderStatus": "Filled", "cancelType": "UNKNOWN",
        "rejectReason": "EC_NoError", "avgPrice": "29500", "leavesQty": "0", "cumExecQty": "0.5",
        "cumExecValue": "14750", "cumExecFee": "7.375", "timeInForce": "GTC", "orderType": "Limit",
        "stopOrderType": "", "triggerPrice": "0.0", "takeProfit": "", "stopLoss": "", "reduceOnly": False,
        "createdTime": str(FILLED_MS), "updatedTime": str(FILLED_MS),
    } | changes  # fmt: skip


def bybit_fill(id: str, quantity: str, fee: str, **changes: Any) -> dict[str, Any]:
    return {
        "symbol": "BTCUSDT", "orderId": "1321003749386327552", "orderLinkId": OUR_ID, "side": "Sell",
        "orderPrice": "29500.0", "orderQty": "0.5", "leavesQty": "0", "createType": "CreateByUser",
        "orderType": "Limit", "stopOrderType": "UNKNOWN", "execFee": fee, "execId": id, "execPrice": "29500.0",
        "execQty": quantity, "execType": "Trade", "execValue": "2950", "execTime": str(FILLED_MS), "feeCurrency": "",
        "isMaker": False, "feeRate": "0.0005", "markPrice": "29500", "closedSize": "0", "seq": 1,
    } | changes  # fmt: skip


def bybit_settings(leverage: str = "20", index: int = 0) -> Any:
    row = {"positionIdx": index, "symbol": "BTCUSDT", "side": "", "size": "0", "avgPrice": "0", "tradeMode": 0,
           "leverage": leverage, "positionStatus": "Normal"}  # fmt: skip
    return bybit_answer(list=[row], nextPageCursor="", category="linear")


BYBIT_HELD = {
    "positionIdx": 0, "symbol": "BTCUSDT", "side": "Sell", "size": "0.4", "avgPrice": "29500", "positionValue": "11800",
    "tradeMode": 0, "leverage": "20", "markPrice": "29600", "unrealisedPnl": "-40", "positionStatus": "Normal",
}  # fmt: skip


def bybit_positions(asked: Any) -> Any:
    """Of one market its settings, of all what is held."""
    return bybit_settings() if "symbol" in asked.given else bybit_answer(list=[BYBIT_HELD], nextPageCursor="")


BYBIT_RIGHTS = {
    "id": "13770661", "note": "trading", "apiKey": "a key", "readOnly": 0, "secret": "", "ips": ["10.0.0.1"],
    "permissions": {"ContractTrade": ["Order", "Position"], "Spot": [], "Wallet": [], "Options": [], "Derivatives": []},
}  # fmt: skip
BYBIT = SwapWording(
    name="bybit",
    credentials=Credentials(api_key="a key", secret="a secret"),
    base={
        "GET /v5/market/instruments-info": bybit_answer(category="linear", list=[BYBIT_MARKET], nextPageCursor=""),
        "GET /v5/market/time": bybit_answer(timeSecond=str(START_MS // 1000)),
        "GET /v5/account/info": bybit_answer(marginMode="REGULAR_MARGIN", unifiedMarginStatus=5),
        "GET /v5/position/list": bybit_settings(),
        "POST /v5/position/set-leverage": bybit_answer(),
        "GET /v5/order/realtime": bybit_answer(list=[], nextPageCursor=""),
        "GET /v5/order/history": bybit_answer(list=[], nextPageCursor=""),
    },
    unready={
        "GET /v5/account/info": (bybit_answer(marginMode="ISOLATED_MARGIN"), "ISOLATED_MARGIN.*choose Cross Margin"),
        "GET /v5/position/list": (bybit_settings(index=1), "hedge mode.*One-Way Mode"),
        "POST /v5/position/set-leverage": (
            {"retCode": 110013, "retMsg": "cannot set leverage", "result": {}, "retExtInfo": {}, "time": START_MS},
            "no order was sent.*cannot set leverage",
        ),
    },
    low_leverage=("GET /v5/position/list", bybit_settings("20")),
    raising=("POST /v5/position/set-leverage", {"symbol": "BTCUSDT", "buyLeverage": "25", "sellLeverage": "25"}),
    place="POST /v5/order/create",
    taken=bybit_answer(orderId="1321003749386327552", orderLinkId=OUR_ID),
    sent={"category": "linear", "symbol": "BTCUSDT", "side": "Sell", "orderType": "Limit", "qty": "0.5",
          "price": "29500.0", "timeInForce": "GTC", "orderLinkId": OUR_ID, "positionIdx": 0, "reduceOnly": False,
          "X-BAPI-TIMESTAMP": str(START_MS), "X-BAPI-RECV-WINDOW": "5000"},
    reducing={"reduceOnly": True},
    found=("GET /v5/order/realtime", bybit_answer(list=[bybit_order()], nextPageCursor="")),
    absent={},
    fills=("GET /v5/execution/list", bybit_answer(nextPageCursor="", category="linear", list=[
        bybit_fill("one", "0.4", "5.9"),
        bybit_fill("two", "0.1", "1.475", orderId="2", orderLinkId="", createType="CreateByLiq", execType="BustTrade"),
        bybit_fill("three", "0.4", "0.59", execType="Funding"),
    ])),
    realized=None,
    positions=("GET /v5/position/list", bybit_positions),
    funding=("GET /v5/account/transaction-log", bybit_answer(nextPageCursor="", list=[
        {"id": "592324_XRPUSDT_161440249321", "symbol": "BTCUSDT", "category": "linear", "side": "Sell",
         "transactionTime": str(PAID_MS), "type": "SETTLEMENT", "qty": "0.4", "size": "-0.4", "currency": "USDT",
         "tradePrice": "29500", "funding": "-0.59", "fee": "0", "cashFlow": "0", "change": "-0.59",
         "cashBalance": "121.5", "feeRate": "0.00005", "tradeId": "x", "orderId": "", "orderLinkId": ""},
    ])),
    balances=("GET /v5/account/wallet-balance", bybit_answer(list=[{"accountType": "UNIFIED", "coin": [
        {"coin": "USDT", "equity": "82.12345678", "walletBalance": "122.12345678", "unrealisedPnl": "-40"},
    ]}])),
    rights=("GET /v5/user/query-api", bybit_answer(**BYBIT_RIGHTS), bybit_answer(
        **{**BYBIT_RIGHTS, "permissions": {"ContractTrade": [], "Spot": ["SpotTrade"], "Wallet": []}}
    )),
)  # fmt: skip

OKX_MARKET = {
    "instType": "SWAP", "instId": "BTC-USDT-SWAP", "uly": "BTC-USDT", "instFamily": "BTC-USDT", "baseCcy": "",
    "quoteCcy": "", "settleCcy": "USDT", "ctVal": "0.01", "ctMult": "1", "ctValCcy": "BTC", "ctType": "linear",
    "lotSz": "0.01", "minSz": "0.01", "tickSz": "0.1", "lever": "100", "state": "live", "listTime": "1573557408000",
    "expTime": "", "optType": "", "stk": "", "alias": "", "category": "1", "maxLmtSz": "100000000",
    "maxMktSz": "12000", "maxLmtAmt": "20000000", "maxMktAmt": "",
}  # fmt: skip


def okx_order(**changes: Any) -> dict[str, Any]:
    return {
        "accFillSz": "50", "avgPx": "29500", "cTime": str(FILLED_MS), "category": "normal", "ccy": "",
        "clOrdId": OUR_ID, "fee": "-7.375", "feeCcy": "USDT", "fillPx": "29500", "fillSz": "10",
        "fillTime": str(FILLED_MS), "instId": "BTC-USDT-SWAP", "instType": "SWAP", "lever": "20.0",
        "ordId": "312269865356374016", "ordType": "limit", "pnl": "-0.5", "posSide": "net", "px": "29500",
        "reduceOnly": "false", "side": "sell", "state": "filled", "sz": "50", "tag": "",
        "tdMode": "cross", "tgtCcy": "", "tradeId": "242589207", "uTime": str(FILLED_MS), "source": "",
    } | changes  # fmt: skip


def okx_fill(id: str, contracts: str, fee: str, **changes: Any) -> dict[str, Any]:
    return {
        "instType": "SWAP", "instId": "BTC-USDT-SWAP", "tradeId": id, "ordId": "312269865356374016",
        "clOrdId": OUR_ID, "billId": f"11111111{id}", "tag": "", "fillPx": "29500", "fillSz": contracts, "side": "sell",
        "posSide": "net", "execType": "T", "feeCcy": "USDT", "fee": fee, "fillPnl": "-0.5", "ts": str(FILLED_MS),
        "fillTime": str(FILLED_MS),
    } | changes  # fmt: skip


def okx_account(**changes: Any) -> Any:
    return okx_answer({"acctLv": "2", "posMode": "net_mode", "perm": "read_only,trade", "ip": "10.0.0.1"} | changes)


def okx_leverage(leverage: str = "20") -> Any:
    return okx_answer({"instId": "BTC-USDT-SWAP", "mgnMode": "cross", "posSide": "net", "lever": leverage, "ccy": ""})


OKX = SwapWording(
    name="okx",
    credentials=Credentials(api_key="a key", secret="a secret", password="a phrase"),
    base={
        "GET /api/v5/public/instruments": okx_answer(OKX_MARKET),
        "GET /api/v5/public/time": okx_answer({"ts": str(START_MS)}),
        "GET /api/v5/account/config": okx_account(),
        "GET /api/v5/account/leverage-info": okx_leverage(),
        "POST /api/v5/account/set-leverage": okx_leverage("25"),
        "GET /api/v5/trade/orders-pending": okx_answer(),
    },
    unready={
        "GET /api/v5/account/config": (okx_account(posMode="long_short_mode"), "hedge mode.*One-way mode"),
        "POST /api/v5/account/set-leverage": (
            okx_error("59102", "Leverage exceeds the maximum limit.")[1], "no order was sent.*exceeds the maximum",
        ),
    },
    low_leverage=("GET /api/v5/account/leverage-info", okx_leverage("20")),
    raising=("POST /api/v5/account/set-leverage", {"instId": "BTC-USDT-SWAP", "mgnMode": "cross", "lever": "25"}),
    place="POST /api/v5/trade/order",
    taken=okx_answer({"ordId": "312269865356374016", "clOrdId": OUR_ID, "tag": "", "sCode": "0", "sMsg": ""}),
    sent={"instId": "BTC-USDT-SWAP", "tdMode": "cross", "side": "sell", "ordType": "limit", "sz": "50", "px": "29500.0",
          "clOrdId": OUR_ID, "reduceOnly": False, "expTime": str(START_MS + 5_000),
          "OK-ACCESS-TIMESTAMP": "2026-01-05T12:00:00.000Z"},
    reducing={"reduceOnly": True},
    found=("GET /api/v5/trade/order", okx_answer(okx_order())),
    absent={"GET /api/v5/trade/order": okx_error("51603", "Order does not exist")[1]},
    fills=("GET /api/v5/trade/fills", okx_answer(
        okx_fill("2", "10", "-1.475", ordId="2", clOrdId=""), okx_fill("1", "40", "-5.9"),
    )),
    realized="-0.5",
    positions=("GET /api/v5/account/positions", okx_answer(
        {"instId": "BTC-USDT-SWAP", "instType": "SWAP", "mgnMode": "cross", "posSide": "net", "pos": "-40",
         "avgPx": "29500", "lever": "20", "upl": "-40", "ccy": "USDT", "uTime": str(START_MS)},
    )),
    funding=("GET /api/v5/account/bills", okx_answer(
        {"bal": "121.5", "balChg": "-0.59", "billId": "623950854533513219", "ccy": "USDT", "clOrdId": "",
         "execType": "", "fee": "0", "instId": "BTC-USDT-SWAP", "instType": "SWAP", "mgnMode": "cross", "ordId": "",
         "pnl": "-0.59", "px": "29500", "subType": "173", "sz": "40", "ts": str(PAID_MS), "type": "8"},
    )),
    balances=("GET /api/v5/account/balance", okx_answer({"details": [
        {"ccy": "USDT", "cashBal": "122.12345678", "eq": "82.12345678", "upl": "-40", "availBal": "23.1"},
    ]})),
    rights=("GET /api/v5/account/config", okx_account(), okx_account(perm="read_only")),
)  # fmt: skip

SWAP_WORDINGS = {one.name: one for one in (BINANCE, BYBIT, OKX)}
