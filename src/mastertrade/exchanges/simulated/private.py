"""The venue's signed routes as Binance's spot market has them: place, cancel, ask, list, and what the account holds."""

import hashlib
import hmac
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal, InvalidOperation
from typing import Any, Final
from urllib.parse import parse_qsl

from aiohttp import web

from mastertrade.exchanges.simulated.faults import FaultKind, FaultScript
from mastertrade.exchanges.simulated.http import answer_instead, cut_in_half
from mastertrade.exchanges.simulated.matching import (
    MANDATORY,
    NOT_REQUIRED,
    Execution,
    Resting,
    TradingAccount,
    TradingRefused,
)
from mastertrade.exchanges.simulated.venue_time import VenueTime

KEY_HEADER: Final = "X-MBX-APIKEY"
USUAL_WINDOW_MS, LONGEST_WINDOW_MS = 5_000, 60_000
AHEAD_MS: Final = 1_000
"""So far a request's time may be before the venue's."""
BAD_KEY, BAD_SIGNATURE, BAD_TIME, BAD_WINDOW, MALFORMED = -2015, -1022, -1021, -1131, -1100

USUAL_RIGHTS: Final[Mapping[str, Any]] = {
    "ipRestrict": True,
    "createTime": 1_623_840_271_000,
    "enableReading": True,
    "enableSpotAndMarginTrading": True,
    "enableWithdrawals": False,
    "enableInternalTransfer": False,
    "permitsUniversalTransfer": False,
    "enableMargin": False,
    "enableFutures": True,
    "enableVanillaOptions": False,
    "enablePortfolioMarginTrading": False,
}
"""Of a key as one should be made."""

Asked = Mapping[str, str]
Action = Callable[[Asked, int], Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Keys:
    """Of the one account there is."""

    api_key: str
    secret: str = field(repr=False)


KEYS_FOR_EVERYBODY: Final = Keys(api_key="key-of-the-simulated-venue", secret="secret-of-the-simulated-venue")  # noqa: S106 it is none
"""They open nothing but paper money on this machine, so that everybody may know them."""


class PrivateRoutes:
    """Each request is checked as the venue checks it: key, signature, time. ``rights`` are what it says the key may."""

    def __init__(self, account: TradingAccount, keys: Keys, time: VenueTime, faults: FaultScript) -> None:
        self._account = account
        self._keys = keys
        self._time = time
        self._faults = faults
        self.rights = dict(USUAL_RIGHTS)

    def add_to(self, application: web.Application) -> None:
        for method, path, action in (
            ("POST", "/api/v3/order", self._place),
            ("DELETE", "/api/v3/order", self._cancel),
            ("GET", "/api/v3/order", self._order),
            ("GET", "/api/v3/openOrders", self._open_orders),
            ("GET", "/api/v3/myTrades", self._trades),
            ("GET", "/api/v3/account", self._holdings),
            ("GET", "/sapi/v1/account/apiRestrictions", lambda _asked, _now_ms: self.rights),
        ):
            application.router.add_route(method, path, self._handler(action))

    def _handler(self, action: Action) -> Callable[[web.Request], Any]:
        async def handle(request: web.Request) -> web.StreamResponse:
            fault = self._faults.for_answer(f"{request.method} {request.path}")
            if fault is not None and not fault.is_late and (gone := await answer_instead(request, fault)) is not None:
                return gone
            status, answer = 200, None
            try:
                answer = action(self.signed(request, await request.text()), self._time.now_ms())
            except TradingRefused as refused:
                status, answer = 400, {"code": refused.code, "msg": str(refused)}
            if fault is not None and fault.is_late and (gone := await answer_instead(request, fault)) is not None:
                return gone
            body = json.dumps(answer, separators=(",", ":"))
            if fault is not None and fault.kind is FaultKind.TRUNCATE:
                return await cut_in_half(request, body)
            return web.Response(text=body, content_type="application/json", status=status)

        return handle

    def signed(self, request: web.Request, body: str) -> Asked:
        """What was asked. TradingRefused for a wrong key, signature or time."""
        if not hmac.compare_digest(request.headers.get(KEY_HEADER, ""), self._keys.api_key):
            raise TradingRefused(BAD_KEY, "Invalid API-key, IP, or permissions for action.")
        query = request.rel_url.raw_query_string
        unsigned, _, signature = (query + body).rpartition("&signature=")
        ours = hmac.new(self._keys.secret.encode(), unsigned.encode(), hashlib.sha256).hexdigest()
        if not hmac.compare_digest(ours, signature):
            raise TradingRefused(BAD_SIGNATURE, "Signature for this request is not valid.")
        asked = dict(parse_qsl(unsigned, keep_blank_values=True))
        self._check_time(asked)
        return asked

    def check_signed(self, given: Mapping[str, Any]) -> None:
        """The same of parameters that came over a websocket: TradingRefused for a wrong key, signature or time."""
        asked = {name: str(value) for name, value in given.items() if name != "signature"}
        if not hmac.compare_digest(asked.get("apiKey", "").encode(), self._keys.api_key.encode()):
            raise TradingRefused(BAD_KEY, "Invalid API-key, IP, or permissions for action.")
        text = "&".join(f"{name}={value}" for name, value in sorted(asked.items()))
        ours = hmac.new(self._keys.secret.encode(), text.encode(), hashlib.sha256).hexdigest()
        if not hmac.compare_digest(ours.encode(), str(given.get("signature", "")).encode()):
            raise TradingRefused(BAD_SIGNATURE, "Signature for this request is not valid.")
        self._check_time(asked)

    def _check_time(self, asked: Asked) -> None:
        sent_ms, window_ms = _whole(asked, "timestamp"), _whole(asked, "recvWindow", USUAL_WINDOW_MS)
        if window_ms > LONGEST_WINDOW_MS:
            raise TradingRefused(BAD_WINDOW, "recvWindow must be less than 60000")
        late_ms = self._time.now_ms() - sent_ms
        if late_ms < -AHEAD_MS:
            raise TradingRefused(BAD_TIME, "Timestamp for this request was 1000ms ahead of the server's time.")
        if late_ms > window_ms:
            raise TradingRefused(BAD_TIME, "Timestamp for this request is outside of the recvWindow.")

    def _place(self, asked: Asked, now_ms: int) -> Any:
        order = self._account.place(
            symbol=asked.get("symbol", ""),
            side=asked.get("side", ""),
            type=asked.get("type", ""),
            quantity=_decimal(asked, "quantity"),
            price=_decimal(asked, "price") if "price" in asked else None,
            life=_life(asked),
            client_id=asked.get("newClientOrderId") or f"venue{now_ms}",
            now_ms=now_ms,
        )
        return _order(order) | {"transactTime": now_ms}

    def _cancel(self, asked: Asked, now_ms: int) -> Any:
        return _order(self._account.cancel(asked.get("symbol", ""), now_ms=now_ms, **_named(asked)))

    def _order(self, asked: Asked, now_ms: int) -> Any:
        return _order(self._account.order(asked.get("symbol", ""), now_ms=now_ms, **_named(asked)))

    def _open_orders(self, asked: Asked, now_ms: int) -> Any:
        return [_order(one) for one in self._account.open_orders(asked.get("symbol"), now_ms=now_ms)]

    def _trades(self, asked: Asked, now_ms: int) -> Any:
        found = self._account.trades(
            asked.get("symbol", ""),
            now_ms=now_ms,
            from_id=_whole(asked, "fromId", 0),
            limit=min(_whole(asked, "limit", 500), 1000),
        )
        return [_trade(one) for one in found]

    def _holdings(self, _asked: Asked, now_ms: int) -> Any:
        self._account.match(now_ms)
        return {
            "makerCommission": 10,
            "takerCommission": 10,
            "canTrade": True,
            "canWithdraw": False,
            "canDeposit": True,
            "updateTime": now_ms,
            "accountType": "SPOT",
            "permissions": ["SPOT"],
            "balances": [
                {"asset": asset, "free": f"{one.free:f}", "locked": f"{one.locked:f}"}
                for asset, one in sorted(self._account.holdings.items())
            ],
        }


def _named(asked: Asked) -> dict[str, Any]:
    return {"id": _whole(asked, "orderId")} if "orderId" in asked else {"client_id": asked.get("origClientOrderId")}


def _life(asked: Asked) -> str:
    """A limit order needs it, no other kind may have it."""
    given, is_limit = asked.get("timeInForce"), asked.get("type") == "LIMIT"
    if is_limit and given is None:
        raise TradingRefused(MANDATORY, "Mandatory parameter 'timeInForce' was not sent, was empty/null, or malformed.")
    if given is not None and asked.get("type") in ("MARKET", "LIMIT_MAKER"):
        raise TradingRefused(NOT_REQUIRED, "Parameter 'timeInForce' sent when not required.")
    return given or "GTC"


def _whole(asked: Asked, name: str, otherwise: int | None = None) -> int:
    try:
        return int(asked[name]) if otherwise is None or name in asked else otherwise
    except (KeyError, ValueError):
        raise TradingRefused(MALFORMED, f"Illegal characters found in parameter '{name}'.") from None


def _decimal(asked: Asked, name: str) -> Decimal:
    try:
        found = Decimal(asked[name])
    except (KeyError, InvalidOperation):
        raise TradingRefused(MALFORMED, f"Illegal characters found in parameter '{name}'.") from None
    if not found.is_finite():
        raise TradingRefused(MALFORMED, f"Illegal characters found in parameter '{name}'.")
    return found


def _order(one: Resting) -> dict[str, Any]:
    return {
        "symbol": one.symbol,
        "orderId": one.id,
        "orderListId": -1,
        "clientOrderId": one.client_id,
        "price": f"{one.price:.8f}",
        "origQty": f"{one.quantity:.8f}",
        "executedQty": f"{one.executed:.8f}",
        "cummulativeQuoteQty": f"{one.spent:.8f}",
        "status": one.status,
        "timeInForce": one.life,
        "type": one.type,
        "side": one.side,
        "time": one.time_ms,
        "updateTime": one.update_ms,
        "isWorking": one.is_open,
    }


def _trade(one: Execution) -> dict[str, Any]:
    return {
        "symbol": one.symbol,
        "id": one.id,
        "orderId": one.order_id,
        "orderListId": -1,
        "price": f"{one.price:.8f}",
        "qty": f"{one.quantity:.8f}",
        "quoteQty": f"{one.price * one.quantity:.8f}",
        "commission": f"{one.commission:.8f}",
        "commissionAsset": one.commission_asset,
        "time": one.time_ms,
        "isBuyer": one.side == "BUY",
        "isMaker": one.is_maker,
        "isBestMatch": True,
    }
