"""The venue's signed routes as Binance's USD-margined futures have them: orders, positions, wallets and settings."""

import json
from collections.abc import Callable, Mapping
from decimal import Decimal, InvalidOperation
from typing import Any, Final, cast

from aiohttp import web

from mastertrade.exchanges.simulated.faults import Fault, FaultKind, FaultScript
from mastertrade.exchanges.simulated.http import answer_instead, cut_in_half
from mastertrade.exchanges.simulated.matching import MANDATORY, NOT_REQUIRED, Resting, TradingRefused
from mastertrade.exchanges.simulated.private import MALFORMED, Asked, PrivateRoutes
from mastertrade.exchanges.simulated.swap_matching import (
    HIGHEST_LEVERAGE,
    MAINTENANCE,
    MAKER_FEE,
    TAKER_FEE,
    Income,
    Position,
    SwapAccount,
    SwapExecution,
    SwapOrder,
)
from mastertrade.exchanges.simulated.venue_time import VenueTime

WEEK_MS: Final = 7 * 86_400_000
LONGEST_SPAN: Final = -1127
AS_IT_WAS, HAS_POSITIONS, MARGIN_AS_IT_WAS, HAS_POSITION = -4059, -4068, -4046, -4048
MOST_ROWS: Final = 1_000
MOST_KEPT: Final = 1_000
LARGEST: Final = "100000000"
DONE: Final = {"code": 200, "msg": "success"}

Action = Callable[[Asked, int], Any]


class SwapRoutes:
    """Beside the spot market's, with the same keys. Its ``GET`` answers are kept, to be told again when a fault wants
    old ones."""

    def __init__(self, account: SwapAccount, private: PrivateRoutes, time: VenueTime, faults: FaultScript) -> None:
        self._account = account
        self._private = private
        self._time = time
        self._faults = faults
        self._told: list[tuple[str, int, Any]] = []

    def add_to(self, application: web.Application) -> None:
        for method, path, action in (
            ("POST", "v1/order", self._place),
            ("DELETE", "v1/order", self._cancel),
            ("GET", "v1/order", self._order),
            ("GET", "v1/openOrders", self._open_orders),
            ("GET", "v1/userTrades", self._trades),
            ("GET", "v1/income", self._income),
            ("GET", "v2/balance", self._wallets),
            ("GET", "v3/balance", self._wallets),
            ("GET", "v2/account", self._holdings),
            ("GET", "v3/account", self._holdings),
            ("GET", "v2/positionRisk", self._all_positions),
            ("GET", "v3/positionRisk", self._positions),
            ("GET", "v1/positionSide/dual", self._mode),
            ("POST", "v1/positionSide/dual", self._set_mode),
            ("GET", "v1/multiAssetsMargin", lambda _asked, _now_ms: {"multiAssetsMargin": False}),
            ("POST", "v1/leverage", self._set_leverage),
            ("POST", "v1/marginType", self._set_margin_type),
            ("GET", "v1/symbolConfig", self._settings),
            ("GET", "v1/leverageBracket", self._brackets),
            ("GET", "v1/commissionRate", self._fees),
        ):
            application.router.add_route(method, f"/fapi/{path}", self._handler(action))

    def _handler(self, action: Action) -> Callable[[web.Request], Any]:
        async def handle(request: web.Request) -> web.StreamResponse:
            name = f"{request.method} {request.path}"
            fault = self._faults.for_answer(name)
            if fault is not None and not fault.is_late and (gone := await answer_instead(request, fault)) is not None:
                return gone
            status, answer = 200, None
            try:
                now_ms = self._time.now_ms()
                asked = self._private.signed(request, await request.text())
                answer = self._kept(name, asked, now_ms, action(asked, now_ms), fault)
            except TradingRefused as refused:
                status, answer = 400, {"code": refused.code, "msg": str(refused)}
            if fault is not None and fault.is_late and (gone := await answer_instead(request, fault)) is not None:
                return gone
            body = json.dumps(answer, separators=(",", ":"))
            if fault is not None and fault.kind is FaultKind.TRUNCATE:
                return await cut_in_half(request, body)
            return web.Response(text=body, content_type="application/json", status=status)

        return handle

    def _kept(self, name: str, asked: Asked, now_ms: int, answer: Any, fault: Fault | None) -> Any:
        """The answer, or what the fault script makes of it."""
        if not name.startswith("GET"):
            return answer
        place = f"{name} {sorted((key, value) for key, value in asked.items() if key not in ('timestamp', 'endTime'))}"
        self._told = [*self._told[-MOST_KEPT:], (place, now_ms, answer)]
        if fault is not None and fault.kind is FaultKind.STALE:
            before = [told for at, ms, told in self._told if at == place and ms <= now_ms - fault.seconds * 1000]
            return before[-1] if before else [] if isinstance(answer, list) else answer
        if not isinstance(answer, list) or (spoiled := self._faults.for_rows(name)) is None:
            return answer
        match spoiled.kind:
            case FaultKind.REPEAT:
                return [row for row in answer for _ in range(2)]
            case FaultKind.REORDER:
                return answer[::-1]
            case _:
                return answer[:-1]

    def _place(self, asked: Asked, now_ms: int) -> Any:
        order = self._account.place_swap(
            symbol=asked.get("symbol", ""),
            side=asked.get("side", ""),
            type=asked.get("type", ""),
            quantity=_decimal(asked, "quantity"),
            price=_decimal(asked, "price") if "price" in asked else None,
            life=_life(asked),
            client_id=asked.get("newClientOrderId") or f"venue{now_ms}",
            now_ms=now_ms,
            reduce_only=asked.get("reduceOnly", "false").lower() == "true",
            position_side=asked.get("positionSide", "BOTH"),
        )
        return _order(order)

    def _cancel(self, asked: Asked, now_ms: int) -> Any:
        return _order(self._account.cancel(asked.get("symbol", ""), now_ms=now_ms, **_named(asked)))

    def _order(self, asked: Asked, now_ms: int) -> Any:
        return _order(self._account.order(asked.get("symbol", ""), now_ms=now_ms, **_named(asked)))

    def _open_orders(self, asked: Asked, now_ms: int) -> Any:
        return [_order(one) for one in self._account.open_orders(asked.get("symbol"), now_ms=now_ms)]

    def _trades(self, asked: Asked, now_ms: int) -> Any:
        """Without a time the latest ones of seven days; from a number on regardless of the time."""
        self._account.match(now_ms)
        limit = min(_whole(asked, "limit", 500), MOST_ROWS)
        found = [one for one in self._account.executions if one.symbol == asked.get("symbol")]
        if "fromId" in asked:
            rows = [one for one in found if one.id >= _whole(asked, "fromId")][:limit]
        else:
            start_ms, end_ms = _span(asked, now_ms)
            rows = [one for one in found if start_ms <= one.time_ms <= end_ms]
            rows = rows[:limit] if "startTime" in asked else rows[-limit:]
        return [_trade(cast(SwapExecution, one)) for one in rows]

    def _income(self, asked: Asked, now_ms: int) -> Any:
        start_ms, end_ms = _span(asked, now_ms)
        found = self._account.incomes_of(
            now_ms=now_ms,
            kind=asked.get("incomeType"),
            symbol=asked.get("symbol"),
            start_ms=start_ms,
            end_ms=end_ms,
            limit=min(_whole(asked, "limit", 100), MOST_ROWS),
        )
        return [_paid(one) for one in found]

    def _wallets(self, _asked: Asked, now_ms: int) -> Any:
        self._account.match(now_ms)
        return [self._wallet(asset, now_ms) for asset in sorted(self._account.holdings)]

    def _wallet(self, asset: str, now_ms: int) -> dict[str, Any]:
        wallet, free = self._account.wallet(asset), max(self._account.available(asset, now_ms), Decimal(0))
        gained = sum((self._account.unrealized(symbol, now_ms) for symbol in self._of(asset)), Decimal(0))
        return {
            "accountAlias": "SgsR",
            "asset": asset,
            "balance": f"{wallet:.8f}",
            "crossWalletBalance": f"{wallet:.8f}",
            "crossUnPnl": f"{gained:.8f}",
            "availableBalance": f"{free:.8f}",
            "maxWithdrawAmount": f"{free:.8f}",
            "marginAvailable": True,
            "updateTime": now_ms,
        }

    def _holdings(self, _asked: Asked, now_ms: int) -> Any:
        self._account.match(now_ms)
        assets = []
        for asset in sorted(self._account.holdings):
            row = self._wallet(asset, now_ms)
            of_it = self._of(asset)
            margin = sum((self._account.margin(symbol, now_ms) for symbol in of_it), Decimal(0))
            needed = sum((self._account.maintenance(symbol, now_ms) for symbol in of_it), Decimal(0))
            equity = Decimal(row["balance"]) + Decimal(row["crossUnPnl"])
            row |= {
                "walletBalance": row["balance"],
                "unrealizedProfit": row["crossUnPnl"],
                "marginBalance": f"{equity:.8f}",
                "maintMargin": f"{needed:.8f}",
                "initialMargin": f"{margin:.8f}",
                "positionInitialMargin": f"{margin:.8f}",
                "openOrderInitialMargin": "0.00000000",
            }
            assets.append(row)
        totals = {"totalWalletBalance": "walletBalance", "totalUnrealizedProfit": "unrealizedProfit",
                  "totalMarginBalance": "marginBalance", "totalInitialMargin": "initialMargin",
                  "totalMaintMargin": "maintMargin", "availableBalance": "availableBalance"}  # fmt: skip
        return {
            "feeTier": 0,
            "canTrade": True,
            "canDeposit": True,
            "canWithdraw": False,
            "updateTime": 0,
            "multiAssetsMargin": False,
            **{name: f"{sum(Decimal(row[part]) for row in assets):.8f}" for name, part in totals.items()},
            "assets": assets,
            "positions": [self._position(symbol, now_ms) for symbol in self._account.positions],
        }

    def _of(self, asset: str) -> list[str]:
        return [symbol for symbol, market in self._account.markets.items() if market.quote == asset]

    def _positions(self, asked: Asked, now_ms: int) -> Any:
        """Those that are held."""
        self._account.match(now_ms)
        return [self._position(symbol, now_ms) for symbol in self._account.positions if _is_asked(asked, symbol)]

    def _all_positions(self, asked: Asked, now_ms: int) -> Any:
        self._account.match(now_ms)
        return [self._position(symbol, now_ms) for symbol in self._account.markets if _is_asked(asked, symbol)]

    def _position(self, symbol: str, now_ms: int) -> dict[str, Any]:
        account = self._account
        held = account.positions.get(symbol, Position())
        price = account.price_of(symbol, now_ms)
        return {
            "symbol": symbol,
            "positionSide": "BOTH",
            "positionAmt": f"{held.amount:f}",
            "entryPrice": f"{held.entry:.8f}",
            "breakEvenPrice": f"{held.entry:.8f}",
            "markPrice": f"{price:.8f}",
            "unRealizedProfit": f"{account.unrealized(symbol, now_ms):.8f}",
            "liquidationPrice": "0",
            "isolatedMargin": "0",
            "isolatedWallet": "0",
            "notional": f"{held.amount * price:.8f}",
            "marginAsset": account.markets[symbol].quote,
            "initialMargin": f"{account.margin(symbol, now_ms):.8f}",
            "maintMargin": f"{account.maintenance(symbol, now_ms):.8f}",
            "positionInitialMargin": f"{account.margin(symbol, now_ms):.8f}",
            "openOrderInitialMargin": "0",
            "leverage": str(account.leverage(symbol)),
            "maxNotionalValue": LARGEST,
            "marginType": "isolated" if symbol in account.isolated else "cross",
            "isAutoAddMargin": "false",
            "adl": 1,
            "bidNotional": "0",
            "askNotional": "0",
            "updateTime": now_ms,
        }

    def _mode(self, _asked: Asked, _now_ms: int) -> Any:
        return {"dualSidePosition": self._account.is_hedged}

    def _set_mode(self, asked: Asked, _now_ms: int) -> Any:
        wanted = asked.get("dualSidePosition", "").lower() == "true"
        if wanted is self._account.is_hedged:
            raise TradingRefused(AS_IT_WAS, "No need to change position side.")
        if self._account.positions:
            raise TradingRefused(HAS_POSITIONS, "Position side cannot be changed if there exists position.")
        self._account.is_hedged = wanted
        return DONE

    def _set_leverage(self, asked: Asked, _now_ms: int) -> Any:
        symbol = asked.get("symbol", "")
        leverage = self._account.set_leverage(symbol, _whole(asked, "leverage"))
        return {"symbol": symbol, "leverage": leverage, "maxNotionalValue": LARGEST}

    def _set_margin_type(self, asked: Asked, _now_ms: int) -> Any:
        symbol, wanted = asked.get("symbol", ""), asked.get("marginType") == "ISOLATED"
        if wanted is (symbol in self._account.isolated):
            raise TradingRefused(MARGIN_AS_IT_WAS, "No need to change margin type.")
        if symbol in self._account.positions:
            raise TradingRefused(HAS_POSITION, "Margin type cannot be changed if there exists position.")
        (self._account.isolated.add if wanted else self._account.isolated.discard)(symbol)
        return DONE

    def _settings(self, asked: Asked, _now_ms: int) -> Any:
        return [
            {
                "symbol": symbol,
                "marginType": "ISOLATED" if symbol in self._account.isolated else "CROSSED",
                "isAutoAddMargin": False,
                "leverage": self._account.leverage(symbol),
                "maxNotionalValue": LARGEST,
            }
            for symbol in self._account.markets
            if _is_asked(asked, symbol)
        ]

    def _brackets(self, asked: Asked, _now_ms: int) -> Any:
        bracket = {"bracket": 1, "initialLeverage": HIGHEST_LEVERAGE, "notionalCap": int(LARGEST), "notionalFloor": 0,
                   "maintMarginRatio": float(MAINTENANCE), "cum": 0.0}  # fmt: skip
        found = [symbol for symbol in self._account.markets if _is_asked(asked, symbol)]
        return [{"symbol": symbol, "brackets": [bracket]} for symbol in found]

    def _fees(self, asked: Asked, _now_ms: int) -> Any:
        fees = {"makerCommissionRate": f"{MAKER_FEE:f}", "takerCommissionRate": f"{TAKER_FEE:f}"}
        return {"symbol": asked.get("symbol", ""), **fees}


def _is_asked(asked: Asked, symbol: str) -> bool:
    return asked.get("symbol", symbol) == symbol


def _named(asked: Asked) -> dict[str, Any]:
    return {"id": _whole(asked, "orderId")} if "orderId" in asked else {"client_id": asked.get("origClientOrderId")}


def _span(asked: Asked, now_ms: int) -> tuple[int, int]:
    """At most seven days; those until now where nothing is said."""
    start_ms = _whole(asked, "startTime", _whole(asked, "endTime", now_ms) - WEEK_MS)
    end_ms = _whole(asked, "endTime", min(start_ms + WEEK_MS, now_ms))
    if end_ms - start_ms > WEEK_MS:
        raise TradingRefused(LONGEST_SPAN, "Maximum time interval is 7 days.")
    return start_ms, end_ms


def _life(asked: Asked) -> str:
    given, is_limit = asked.get("timeInForce"), asked.get("type") == "LIMIT"
    if is_limit and given is None:
        raise TradingRefused(MANDATORY, "Mandatory parameter 'timeInForce' was not sent, was empty/null, or malformed.")
    if given is not None and not is_limit:
        raise TradingRefused(NOT_REQUIRED, "Parameter 'timeInForce' sent when not required.")
    return given or "GTC"


def _whole(asked: Mapping[str, str], name: str, otherwise: int | None = None) -> int:
    try:
        return int(asked[name]) if otherwise is None or name in asked else otherwise
    except (KeyError, ValueError):
        raise TradingRefused(MALFORMED, f"Illegal characters found in parameter '{name}'.") from None


def _decimal(asked: Mapping[str, str], name: str) -> Decimal:
    try:
        found = Decimal(asked[name])
    except (KeyError, InvalidOperation):
        found = Decimal("NaN")
    if not found.is_finite():
        raise TradingRefused(MALFORMED, f"Illegal characters found in parameter '{name}'.")
    return found


def _order(one: Resting) -> dict[str, Any]:
    order = cast(SwapOrder, one)
    average = order.spent / order.executed if order.executed else Decimal(0)
    return {
        "orderId": order.id,
        "symbol": order.symbol,
        "status": order.status,
        "clientOrderId": order.client_id,
        "price": f"{order.price:f}",
        "avgPrice": f"{average:.5f}",
        "origQty": f"{order.quantity:f}",
        "executedQty": f"{order.executed:f}",
        "cumQuote": f"{order.spent:.5f}",
        "timeInForce": order.life,
        "type": order.type,
        "reduceOnly": order.reduce_only,
        "closePosition": False,
        "side": order.side,
        "positionSide": "BOTH",
        "stopPrice": "0",
        "workingType": "CONTRACT_PRICE",
        "priceProtect": False,
        "origType": order.type,
        "priceMatch": "NONE",
        "selfTradePreventionMode": "NONE",
        "goodTillDate": 0,
        "time": order.time_ms,
        "updateTime": order.update_ms,
    }


def _trade(one: SwapExecution) -> dict[str, Any]:
    return {
        "symbol": one.symbol,
        "id": one.id,
        "orderId": one.order_id,
        "side": one.side,
        "price": f"{one.price:f}",
        "qty": f"{one.quantity:f}",
        "realizedPnl": f"{one.realized:.8f}",
        "quoteQty": f"{one.price * one.quantity:.8f}",
        "commission": f"{one.commission:.8f}",
        "commissionAsset": one.commission_asset,
        "time": one.time_ms,
        "positionSide": "BOTH",
        "buyer": one.side == "BUY",
        "maker": one.is_maker,
    }


def _paid(one: Income) -> dict[str, Any]:
    return {
        "symbol": one.symbol,
        "incomeType": one.kind,
        "income": f"{one.amount:.8f}",
        "asset": one.asset,
        "info": one.kind,
        "time": one.time_ms,
        "tranId": one.id,
        "tradeId": "" if one.trade_id is None else str(one.trade_id),
    }
