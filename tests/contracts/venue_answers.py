"""What each venue answers, in its own words: markets, an order taken, refusals from its documents, and answers that
refuse nothing."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from mastertrade.domain.orders import number_of_id
from mastertrade.exchanges.ccxt_rules import Credentials
from tests.contracts.answering_venue import OUR_ID, START_MS, Answer, Trouble

UUID_OF_OURS = str(UUID(int=number_of_id(OUR_ID) or 0))


@dataclass(frozen=True, slots=True, kw_only=True)
class Wording:
    """``base``: answers that every test needs. ``refusals``: what is no. ``open_ends``: what is not known to be no.
    ``taken``: the answer to an order, and ``number`` in it. ``settle``: of an account for swaps."""

    name: str
    credentials: Credentials
    symbol: str
    base: Mapping[str, Answer]
    place: str
    taken: Any
    number: str
    refusals: Mapping[str, tuple[int, Any]]
    open_ends: Mapping[str, tuple[int, Any]]
    wrong_keys: tuple[int, Any]
    balance_path: str
    settle: str = ""
    on_the_wire: Mapping[str, Any] = field(default_factory=dict)
    """Of the request for OUR_ID that was signed at START for five seconds: headers and fields."""


def kraken_error(text: str) -> tuple[int, Any]:
    return 200, {"error": [text]}


KRAKEN_PAIR = {
    "altname": "XBTUSDT", "wsname": "XBT/USDT", "base": "XXBT", "quote": "USDT", "pair_decimals": 1,
    "lot_decimals": 8, "lot_multiplier": 1, "leverage_buy": [], "leverage_sell": [], "fees": [[0, 0.4]],
    "fees_maker": [[0, 0.25]], "ordermin": "0.00005", "costmin": "0.5", "tick_size": "0.1", "status": "online",
}  # fmt: skip
KRAKEN = Wording(
    name="kraken",
    credentials=Credentials(api_key="a key", secret="YSBzZWNyZXQ="),
    symbol="BTC/USDT",
    base={
        "GET /0/public/AssetPairs": {"error": [], "result": {"XBTUSDT": KRAKEN_PAIR}},
        "GET /0/public/Time": {"error": [], "result": {"unixtime": START_MS // 1000}},
        "/0/private/OpenOrders": {"error": [], "result": {"open": {}}},
        "/0/private/ClosedOrders": {"error": [], "result": {"closed": {}, "count": 0}},
    },
    place="/0/private/AddOrder",
    taken={
        "error": [],
        "result": {"descr": {"order": "buy 0.50000000 XBTUSDT @ limit 29500.0"}, "txid": ["OUF4EM-FRGI2-MQMWZD"]},
    },
    number="OUF4EM-FRGI2-MQMWZD",
    refusals={
        "funds": kraken_error("EOrder:Insufficient funds"),
        "minimum": kraken_error("EOrder:Order minimum not met"),
        "arguments": kraken_error("EGeneral:Invalid arguments:volume minimum not met"),
        "price": kraken_error("EOrder:Invalid price:Invalid price argument"),
        "post only": kraken_error("EOrder:Post only order"),
        "market closed": kraken_error("EService:Market in cancel_only mode"),
        "nonce": kraken_error("EAPI:Invalid nonce"),
    },
    open_ends={
        "busy": kraken_error("EService:Busy"),
        "unavailable": kraken_error("EService:Unavailable"),
        "internal": kraken_error("EGeneral:Internal error"),
        "deadline": kraken_error("EService:Deadline elapsed"),
        "two errors, one unknown": (200, {"error": ["EOrder:Insufficient funds", "EService:Timeout"]}),
        "a refusal by a server that failed": (502, {"error": ["EOrder:Insufficient funds"]}),
    },
    wrong_keys=kraken_error("EAPI:Invalid key"),
    balance_path="/0/private/BalanceEx",
    on_the_wire={
        "cl_ord_id": UUID_OF_OURS,
        "deadline": "2026-01-05T12:00:05.000Z",
        "oflags": "fciq",
        "volume": "0.5",
        "price": "29500",
        "pair": "XBTUSDT",
    },
)


def bybit_error(code: int, text: str = "no") -> tuple[int, Any]:
    return 200, {"retCode": code, "retMsg": text, "result": {}, "retExtInfo": {}, "time": START_MS}


def bybit_answer(**result: Any) -> Any:
    return {"retCode": 0, "retMsg": "OK", "result": result, "retExtInfo": {}, "time": START_MS}


BYBIT_PAIR = {
    "symbol": "BTCUSDT", "baseCoin": "BTC", "quoteCoin": "USDT", "innovation": "0", "status": "Trading",
    "marginTrading": "utaOnly", "priceFilter": {"tickSize": "0.1"},
    "lotSizeFilter": {"basePrecision": "0.0001", "quotePrecision": "0.01", "minOrderQty": "0.001",
                      "maxOrderQty": "100.0", "minOrderAmt": "10", "maxOrderAmt": "1000000"},
}  # fmt: skip
BYBIT = Wording(
    name="bybit",
    credentials=Credentials(api_key="a key", secret="a secret"),
    symbol="BTC/USDT",
    base={
        "GET /v5/market/instruments-info": bybit_answer(category="spot", list=[BYBIT_PAIR]),
        "GET /v5/market/time": bybit_answer(timeSecond=str(START_MS // 1000)),
        "GET /v5/order/realtime": bybit_answer(list=[], nextPageCursor=""),
        "GET /v5/order/history": bybit_answer(list=[], nextPageCursor=""),
    },
    place="/v5/order/create",
    taken=bybit_answer(orderId="1321003749386327552", orderLinkId=OUR_ID),
    number="1321003749386327552",
    refusals={
        "funds": bybit_error(170131, "Balance insufficient."),
        "minimum": bybit_error(170140, "Transaction amount lower than the minimum."),
        "price": bybit_error(170134, "Order price decimal too long."),
        "post only": bybit_error(170218, "The LIMIT-MAKER order is rejected due to invalid price."),
        "too late": bybit_error(10002, "invalid request, please check your server timestamp or recv_window param"),
        "rejected": bybit_error(170210, "New order rejected."),
    },
    open_ends={
        "internal": bybit_error(10016, "System error. Please try again later."),
        "time-out behind it": bybit_error(170007, "Timeout waiting for response from backend server."),
        "creation time-out": bybit_error(170146, "Order creation timeout"),
        "duplicate": bybit_error(170141, "Duplicate clientOrderId"),
        "too many": bybit_error(10006, "Too many visits!"),
        "a code nobody knows": bybit_error(179999),
    },
    wrong_keys=bybit_error(10003, "API key is invalid."),
    balance_path="/v5/account/wallet-balance",
    on_the_wire={
        "category": "spot",
        "symbol": "BTCUSDT",
        "side": "Buy",
        "orderType": "Limit",
        "qty": "0.5",
        "price": "29500.0",
        "timeInForce": "GTC",
        "orderLinkId": OUR_ID,
        "isLeverage": 0,
        "X-BAPI-TIMESTAMP": str(START_MS),
        "X-BAPI-RECV-WINDOW": "5000",
    },
)


def okx_answer(*data: Any) -> Any:
    return {"code": "0", "msg": "", "data": list(data)}


def okx_refusal(code: str, text: str = "no") -> tuple[int, Any]:
    part = {"clOrdId": OUR_ID, "ordId": "", "sCode": code, "sMsg": text, "tag": ""}
    return 200, {"code": "1", "msg": "All operations failed", "data": [part]}


def okx_error(code: str, text: str = "no", status: int = 200) -> tuple[int, Any]:
    return status, {"code": code, "msg": text, "data": []}


OKX_PAIR = {
    "instType": "SPOT", "instId": "BTC-USDT", "baseCcy": "BTC", "quoteCcy": "USDT", "lotSz": "0.00000001",
    "minSz": "0.00001", "tickSz": "0.1", "state": "live", "ctVal": "", "ctMult": "", "lever": "10", "settleCcy": "",
    "uly": "", "instFamily": "", "expTime": "", "optType": "", "stk": "", "listTime": "1548133413000",
    "maxLmtSz": "9999999999", "maxMktSz": "1000000", "maxLmtAmt": "20000000", "maxMktAmt": "1000000", "ctType": "",
    "ctValCcy": "", "alias": "", "category": "1",
}  # fmt: skip
OKX = Wording(
    name="okx",
    credentials=Credentials(api_key="a key", secret="a secret", password="a phrase"),
    symbol="BTC/USDT",
    base={
        "GET /api/v5/public/instruments": okx_answer(OKX_PAIR),
        "GET /api/v5/public/time": okx_answer({"ts": str(START_MS)}),
        "GET /api/v5/trade/order": okx_error("51603", "Order does not exist")[1],
        "GET /api/v5/trade/orders-pending": okx_answer(),
    },
    place="POST /api/v5/trade/order",
    taken=okx_answer({"ordId": "312269865356374016", "clOrdId": OUR_ID, "tag": "", "sCode": "0", "sMsg": ""}),
    number="312269865356374016",
    refusals={
        "funds": okx_refusal("51008", "Order failed. Insufficient USDT balance in account"),
        "minimum": okx_refusal("51020", "Your order should meet or exceed the minimum order amount."),
        "lot": okx_refusal("51121", "Order quantity must be a multiple of the lot size."),
        "instrument": okx_refusal("51001", "Instrument ID does not exist"),
        "too late": okx_error("50102", "Timestamp request expired", 401),
        "not from here": okx_error("50110", "Your IP is not in the list", 401),
    },
    open_ends={
        "time-out behind it": okx_error("50004", "API endpoint request timeout"),
        "busy": okx_error("50013", "Systems are busy. Please try again later."),
        "too many": okx_error("50011", "Rate limit reached.", 429),
        "duplicate": okx_refusal("51016", "Client order ID already exists."),
        "some failed, and nothing said why": (200, {"code": "1", "msg": "All operations failed", "data": []}),
        "a code nobody knows": okx_refusal("59999"),
    },
    wrong_keys=okx_error("50111", "Invalid OK-ACCESS-KEY", 401),
    balance_path="/api/v5/account/balance",
    on_the_wire={
        "instId": "BTC-USDT",
        "tdMode": "cash",
        "side": "buy",
        "ordType": "limit",
        "sz": "0.5",
        "px": "29500.0",
        "clOrdId": OUR_ID,
        "expTime": str(START_MS + 5_000),
        "OK-ACCESS-TIMESTAMP": "2026-01-05T12:00:00.000Z",
        "OK-ACCESS-PASSPHRASE": "a phrase",
    },
)


def coinbase_failure(*, new: str = "", preview: str = "", error: str = "UNKNOWN_FAILURE_REASON") -> tuple[int, Any]:
    told = {"error": error, "message": "no", "error_details": "", "preview_failure_reason": preview}
    if new:
        told["new_order_failure_reason"] = new
    return 200, {"success": False, "failure_reason": "UNKNOWN_FAILURE_REASON", "order_id": "", "error_response": told}


def coinbase_list(what: str, *told: Any, cursor: str = "", has_next: bool = False) -> Any:
    """Of fills it does not say whether more follow."""
    return {what: list(told), "cursor": cursor, **({} if what == "fills" else {"has_next": has_next})}


def coinbase_product(base: str, quote: str, tick: str) -> Any:
    return {
        "product_id": f"{base}-{quote}", "price": "68925.98", "base_increment": "0.00000001", "quote_increment": tick,
        "quote_min_size": "1", "quote_max_size": "150000000", "base_min_size": "0.00000001", "base_max_size": "3400",
        "is_disabled": False, "status": "online", "cancel_only": False, "limit_only": False, "post_only": False,
        "trading_disabled": False, "auction_mode": False, "product_type": "SPOT", "quote_currency_id": quote,
        "base_currency_id": base, "alias": "", "alias_to": [], "price_increment": tick, "view_only": False,
    }  # fmt: skip


COINBASE_KEY = ec.generate_private_key(ec.SECP256R1())
COINBASE_PEM = COINBASE_KEY.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption()).decode()
COINBASE_TAKEN = {
    "order_id": "11111-00000-000000",
    "product_id": "BTC-USD",
    "side": "BUY",
    "client_order_id": OUR_ID,
    "attached_order_id": "",
}
COINBASE = Wording(
    name="coinbase",
    credentials=Credentials(api_key="organizations/1-2/apiKeys/3-4", secret=COINBASE_PEM.replace("\n", "\\n")),
    symbol="BTC/USD",
    base={
        "GET /api/v3/brokerage/market/products": {
            "products": [coinbase_product("BTC", "USD", "0.01"), coinbase_product("ETH", "USD", "0.01")],
            "num_products": 2,
        },
        "GET /api/v3/brokerage/time": {
            "iso": "2026-01-05T12:00:00Z",
            "epochSeconds": str(START_MS // 1000),
            "epochMillis": str(START_MS),
        },
        "GET /api/v3/brokerage/orders/historical/batch": coinbase_list("orders"),
    },
    place="POST /api/v3/brokerage/orders",
    taken={"success": True, "success_response": COINBASE_TAKEN, "order_configuration": {}},
    number="11111-00000-000000",
    refusals={
        "funds": coinbase_failure(new="INSUFFICIENT_FUND", error="INSUFFICIENT_FUND"),
        "funds, as it is foreseen": coinbase_failure(preview="PREVIEW_INSUFFICIENT_FUND"),
        "too small": coinbase_failure(
            new="UNKNOWN_FAILURE_REASON", preview="PREVIEW_INVALID_BASE_SIZE_TOO_SMALL", error="UNKNOWN_FAILURE_REASON"
        ),
        "price": coinbase_failure(new="INVALID_PRICE_PRECISION", preview="UNKNOWN_PREVIEW_FAILURE_REASON"),
        "post only": coinbase_failure(new="INVALID_LIMIT_PRICE_POST_ONLY"),
        "not offered": coinbase_failure(new="UNSUPPORTED_ORDER_CONFIGURATION", error="UNSUPPORTED_ORDER_CONFIGURATION"),
        "with an error of HTTP": (400, coinbase_failure(new="INVALID_PRODUCT_ID")[1]),
    },
    open_ends={
        "no reason": coinbase_failure(new="UNKNOWN_FAILURE_REASON", preview="UNKNOWN_PREVIEW_FAILURE_REASON"),
        "rejected behind it": coinbase_failure(new="COMMANDER_REJECTED_NEW_ORDER"),
        "what checks it failed": coinbase_failure(preview="PREVIEW_RISK_PROXY_FAILURE"),
        "duplicate": coinbase_failure(new="DUPLICATE_CLIENT_ORDER_ID"),
        "two reasons, one unknown": coinbase_failure(new="INSUFFICIENT_FUND", preview="PREVIEW_OF_TOMORROW"),
        "a reason nobody knows": coinbase_failure(new="REASON_OF_TOMORROW"),
        "a failure without a reason": (200, {"success": False, "failure_reason": "INSUFFICIENT_FUND", "order_id": ""}),
        "yes and no": (200, {**coinbase_failure(new="INSUFFICIENT_FUND")[1], "success": True}),
        "neither yes nor no": (200, {"success_response": COINBASE_TAKEN}),
        "yes, without a number": (200, {"success": True, "success_response": {**COINBASE_TAKEN, "order_id": ""}}),
        "yes, to another order": (
            200,
            {"success": True, "success_response": {**COINBASE_TAKEN, "client_order_id": "another"}},
        ),
        "too late, or wrong keys": (401, "Unauthorized\n"),
        "too many": (429, "Too many requests"),
        "internal": (500, {"error": "INTERNAL", "error_details": "", "message": "internal"}),
    },
    wrong_keys=(401, "Unauthorized\n"),
    balance_path="/api/v3/brokerage/accounts",
    on_the_wire={
        "client_order_id": OUR_ID,
        "product_id": "BTC-USD",
        "side": "BUY",
        "order_configuration": {
            "limit_limit_gtc": {"base_size": "0.5", "limit_price": "29500.0", "post_only": False},
        },
    },
)


def binance_error(code: int, text: str = "no", status: int = 400) -> tuple[int, Any]:
    return status, {"code": code, "msg": text}


BINANCE_PAIR = {
    "symbol": "BTCUSDT", "status": "TRADING", "baseAsset": "BTC", "baseAssetPrecision": 8, "quoteAsset": "USDT",
    "quotePrecision": 8, "quoteAssetPrecision": 8, "orderTypes": ["LIMIT", "LIMIT_MAKER", "MARKET"],
    "isSpotTradingAllowed": True, "isMarginTradingAllowed": False, "permissions": [], "permissionSets": [["SPOT"]],
    "filters": [
        {"filterType": "PRICE_FILTER", "minPrice": "0.01", "maxPrice": "1000000.00", "tickSize": "0.01"},
        {"filterType": "LOT_SIZE", "minQty": "0.00001", "maxQty": "9000", "stepSize": "0.00001"},
        {"filterType": "NOTIONAL", "minNotional": "5", "applyMinToMarket": True, "maxNotional": "9000000"},
    ],
}  # fmt: skip
BINANCE_ORDER = {
    "symbol": "BTCUSDT", "orderId": 28, "orderListId": -1, "clientOrderId": OUR_ID, "transactTime": START_MS,
    "price": "29500.00", "origQty": "0.50000", "executedQty": "0.00000", "cummulativeQuoteQty": "0.00", "status": "NEW",
    "timeInForce": "GTC", "type": "LIMIT", "side": "BUY", "workingTime": START_MS, "fills": [],
    "selfTradePreventionMode": "NONE",
}  # fmt: skip
BINANCE = Wording(
    name="binance",
    credentials=Credentials(api_key="a key", secret="a secret"),
    symbol="BTC/USDT",
    base={
        "GET /api/v3/exchangeInfo": {
            "timezone": "UTC",
            "serverTime": START_MS,
            "symbols": [BINANCE_PAIR, {**BINANCE_PAIR, "symbol": "ETHUSDT", "baseAsset": "ETH"}],
        },
        "GET /api/v3/time": {"serverTime": START_MS},
        "GET /api/v3/order": lambda _: Trouble(status=400, text='{"code":-2013,"msg":"Order does not exist."}'),
    },
    place="POST /api/v3/order",
    taken=BINANCE_ORDER,
    number="28",
    refusals={
        "funds": binance_error(-2010, "Account has insufficient balance for requested action."),
        "filter": binance_error(-1013, "Filter failure: LOT_SIZE"),
        "too late": binance_error(-1021, "Timestamp for this request is outside of the recvWindow."),
        "post only": binance_error(-2010, "Order would immediately match and take."),
        "not from here": binance_error(-2015, "Invalid API-key, IP, or permissions for action.", 401),
    },
    open_ends={
        "unknown": binance_error(-1000, "An unknown error occurred while processing the request.", 500),
        "unknown, with a status of ours": binance_error(-1000, "An unknown error occurred."),
        "odd answer behind it": binance_error(-1006, "An unexpected response was received from the message bus."),
        "time-out behind it": binance_error(-1007, "Timeout waiting for response from backend server.", 408),
        "busy": binance_error(-1008, "Server is currently overloaded with other requests.", 503),
        "too many orders": binance_error(-1015, "Too many new orders.", 429),
        "too many": binance_error(-1003, "Way too much request weight used; IP banned until 1659146400000.", 418),
        "duplicate": binance_error(-2010, "Duplicate order sent."),
        "a refusal that says it went well": binance_error(-2010, status=200),
        "a code nobody knows": binance_error(-9999),
    },
    wrong_keys=binance_error(-2014, "API-key format invalid.", 401),
    balance_path="/api/v3/account",
    on_the_wire={
        "symbol": "BTCUSDT",
        "side": "BUY",
        "type": "LIMIT",
        "quantity": "0.5",
        "price": "29500",
        "timeInForce": "GTC",
        "newClientOrderId": OUR_ID,
        "timestamp": str(START_MS),
        "recvWindow": "5000",
    },
)
WORDINGS = {one.name: one for one in (BINANCE, BYBIT, COINBASE, KRAKEN, OKX)}
