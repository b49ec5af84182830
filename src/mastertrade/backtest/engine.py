"""The slow, obvious backtest: one cash account, long only, one bar after another.

The rules, which every faster engine must repeat to the last bit that matters:

1. A change of target at a bar's close is an order, filled at the next open the market has; a gap is only a longer wait.
   An order of the last bar is never filled.
2. A buy is sized at the close that decided it: a fraction of the whole account's equity there, down to the lot. At the
   open it shrinks to what the cash pays for, fee included; what is left below a lot or the minimum is not traded.
3. Bars of the same time are one step: first all sells fill, then the buys in the order of the symbols, then every close
   is marked, then all decide.
4. Market fills pay the cost model, prices rounded to the tick against us.
5. What is still held after the last bar is sold at its last close, at the same costs, and marked as such.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol, TypeVar

import numpy as np

from mastertrade.backtest.result import BacktestResult, BacktestTrade, Rules
from mastertrade.quant.bars import Bars, FloatArray
from mastertrade.quant.columns import Columns, columns_of
from mastertrade.quant.costs import BUY_SIGN, SELL_SIGN, Costs
from mastertrade.quant.sizing import fixed_fraction, floor_to_step

P_contra = TypeVar("P_contra", contravariant=True)
TICK_TOLERANCE = 1e-9
"""How far off the tick, in ticks, a price still counts as on it."""


class Decides(Protocol[P_contra]):
    """What the engine needs of a strategy template."""

    def positions(self, columns: Columns, params: P_contra, /) -> FloatArray: ...


def run(
    bars: Bars | Mapping[str, Bars],
    template: Decides[P_contra],
    params: P_contra,
    *,
    costs: Costs | None = None,
    cash: float = 10_000.0,
    position_fraction: float = 0.02,
    rules: Mapping[str, Rules] | None = None,
) -> BacktestResult:
    """Trade the template on one market, or on several by symbol, that share the cash."""
    by_symbol = {"": bars} if isinstance(bars, Bars) else bars
    intervals = {one.interval_s for one in by_symbol.values()}
    if len(intervals) != 1:
        raise ValueError(f"a backtest needs bars of one interval, not of {sorted(intervals)} seconds")
    if not 0.0 < cash < math.inf:
        raise ValueError(f"starting cash {cash!r} is not a positive amount")
    if not 0.0 < position_fraction <= 1.0:
        raise ValueError(f"position fraction {position_fraction!r} is not above 0 and at most 1")
    markets = [
        _market(symbol, one, template.positions(columns_of(one), params), (rules or {}).get(symbol, Rules()))
        for symbol, one in by_symbol.items()
    ]
    account = _Account(costs=costs or Costs(), fraction=position_fraction, cash=cash, markets=markets)
    time = np.unique(np.concatenate([one.time for one in by_symbol.values()]))
    equity, invested = np.empty(len(time)), np.empty(len(time))
    for step, now in enumerate(time.tolist()):
        invested[step] = account.step([market for market in markets if market.starts_at(now)])
        equity[step] = account.cash + invested[step]
    if len(time):
        account.sell_everything()
        equity[-1] = account.cash
    return BacktestResult(
        symbols=tuple(by_symbol),
        interval_s=intervals.pop(),
        bars=sum(map(len, by_symbol.values())),
        costs=account.costs,
        cash=cash,
        time=time,
        equity=equity,
        invested=invested,
        trades=tuple(account.trades),
        unfilled=account.unfilled,
    )


@dataclass(slots=True)
class _Holding:
    quantity: float
    reference: float
    price: float
    fee: float
    time: int
    bar: int


@dataclass(slots=True, kw_only=True)
class _Market:
    """One symbol as the run goes: ``bar`` is the next bar to come, ``wanted`` the quantity that the last close ordered,
    0 for a sale, None for nothing."""

    symbol: str
    rules: Rules
    interval_ms: int
    time: list[int]
    open: list[float]
    close: list[float]
    targets: list[float]
    bar: int = 0
    wanted: float | None = None
    holding: _Holding | None = None

    def starts_at(self, now: int) -> bool:
        return self.bar < len(self.time) and self.time[self.bar] == now

    @property
    def worth(self) -> float:
        return self.holding.quantity * self.close[self.bar - 1] if self.holding else 0.0


@dataclass(slots=True, kw_only=True)
class _Account:
    costs: Costs
    fraction: float
    cash: float
    markets: list[_Market]
    trades: list[BacktestTrade] = field(default_factory=list)
    unfilled: int = 0

    def step(self, trading: list[_Market]) -> float:
        """One time: fill at the open, mark at the close, decide. Returns what the holdings are worth."""
        for market in trading:
            if market.wanted == 0.0:
                self._sell(market, market.open[market.bar], market.time[market.bar], at_end=False)
        for market in trading:
            if market.wanted:
                self._buy(market, market.wanted)
        for market in trading:
            market.bar += 1
        worth = sum(market.worth for market in self.markets)
        for market in trading:
            market.wanted = self._decide(market, self.cash + worth)
        return worth

    def _decide(self, market: _Market, equity: float) -> float | None:
        """The quantity to buy at the next open, 0 to sell, None to leave things as they are."""
        bar = market.bar - 1
        target, before = market.targets[bar], market.targets[bar - 1] if bar else 0.0
        if target == before:
            return None
        if target == 0.0:
            return 0.0 if market.holding else None
        quantity = floor_to_step(fixed_fraction(equity, self.fraction) / market.close[bar], market.rules.lot)
        self.unfilled += quantity <= 0.0
        return quantity or None

    def _buy(self, market: _Market, wanted: float) -> None:
        reference = market.open[market.bar]
        price = _against_us(self.costs.market_price(reference, BUY_SIGN), market.rules.tick, BUY_SIGN)
        affordable = self.cash / (price * (1.0 + self.costs.taker_fee))
        quantity = wanted if wanted <= affordable else floor_to_step(affordable, market.rules.lot)
        if quantity <= 0.0 or quantity * price < market.rules.min_notional:
            self.unfilled += 1
            return
        fee = self.costs.taker_fee_on(quantity, price)
        self.cash -= quantity * price + fee
        market.holding = _Holding(quantity, reference, price, fee, market.time[market.bar], market.bar)

    def _sell(self, market: _Market, reference: float, time: int, *, at_end: bool) -> None:
        held = market.holding
        assert held is not None
        price = _against_us(self.costs.market_price(reference, SELL_SIGN), market.rules.tick, SELL_SIGN)
        fee = self.costs.taker_fee_on(held.quantity, price)
        self.cash += held.quantity * price - fee
        market.holding = None
        self.trades.append(
            BacktestTrade(
                symbol=market.symbol,
                quantity=held.quantity,
                entry_time=held.time,
                entry_price=held.price,
                exit_time=time,
                exit_price=price,
                bars_held=market.bar - held.bar,
                gross=held.quantity * (reference - held.reference),
                fees=held.fee + fee,
                slippage=held.quantity * ((held.price - held.reference) + (reference - price)),
                closed_at_end=at_end,
            )
        )

    def sell_everything(self) -> None:
        for market in self.markets:
            if market.holding:
                last = market.bar - 1
                self._sell(market, market.close[last], market.time[last] + market.interval_ms, at_end=True)


def _market(symbol: str, bars: Bars, targets: FloatArray, rules: Rules) -> _Market:
    if len(targets) != len(bars) or not np.isin(targets, (0.0, 1.0)).all():
        raise ValueError(f"{symbol or 'bars'}: a template must give a target of 0 or 1 for each of {len(bars)} bars")
    return _Market(
        symbol=symbol,
        rules=rules,
        interval_ms=bars.interval_s * 1000,
        time=bars.time.tolist(),
        open=bars.open.tolist(),
        close=bars.close.tolist(),
        targets=targets.tolist(),
    )


def _against_us(price: float, tick: float, side_sign: int) -> float:
    """The price on the tick that is no better for us; a sale never goes below the first tick."""
    if tick <= 0.0:
        return price
    ticks = price / tick
    on_tick = math.ceil(ticks - TICK_TOLERANCE) if side_sign == BUY_SIGN else math.floor(ticks + TICK_TOLERANCE)
    return max(on_tick, 1) * tick
