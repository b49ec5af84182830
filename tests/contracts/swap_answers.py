"""What each venue for swaps answers, in its own words, and every place that orders can go to."""

from collections.abc import Callable, Mapping, Sequence
from typing import Final

from mastertrade.exchanges.ccxt_rules import Credentials, VenueRules
from mastertrade.exchanges.ccxt_swaps import SWAP_VENUES
from mastertrade.exchanges.ccxt_venue import VENUES
from tests.contracts.answering_venue import OUR_ID, START_MS
from tests.contracts.venue_answers import BINANCE_PAIR, WORDINGS, Wording, binance_error
from tests.contracts.venue_errors import AGAIN, OPEN, SHAPES, Spoken, binance
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
SWAPS: Final = "swaps at {}"
PLACES: Final[Mapping[str, Wording]] = {**WORDINGS, SWAPS.format("binance"): BINANCE_SWAPS}
NAMES: Final[Mapping[str, type[VenueRules]]] = {
    **VENUES,
    **{SWAPS.format(name): rules for name, rules in SWAP_VENUES.items()},
}
"""Every place with its rules. One that is missing above or below is a test that fails."""
SHAPES_AT: Final[Mapping[str, Callable[[str], list[Spoken]]]] = {**SHAPES, SWAPS.format("binance"): binance}
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
}
AGAIN_AT: Final[Mapping[str, Sequence[Spoken]]] = {
    **AGAIN,
    SWAPS.format("binance"): (
        binance_error(-4116, "ClientOrderId is duplicated."),
        binance_error(-2010, "Duplicate order sent."),
        binance_error(-4015, "Client order id is not valid: it is duplicated"),
    ),
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
}  # fmt: skip
