"""What a backtest leaves behind: its trades and the account, bar by bar."""

from dataclasses import dataclass

from mastertrade.quant.bars import FloatArray, TimeArray
from mastertrade.quant.costs import Costs


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """What a market accepts; 0 means anything. ``min_notional`` is in quote."""

    lot: float = 0.0
    tick: float = 0.0
    min_notional: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class BacktestTrade:
    """A position from entry to exit. ``gross`` is what it would have made at the reference prices, without costs;
    ``net`` is what the account felt. Times are epoch milliseconds."""

    symbol: str
    quantity: float
    entry_time: int
    entry_price: float
    exit_time: int
    exit_price: float
    bars_held: int
    gross: float
    fees: float
    slippage: float
    closed_at_end: bool

    @property
    def net(self) -> float:
        return self.gross - self.slippage - self.fees


@dataclass(frozen=True, slots=True, kw_only=True)
class BacktestResult:
    """``equity[i]`` is the account at the close of the bars that start at ``time[i]``, the last one after everything
    was sold; ``invested[i]`` is what it held at that close. ``unfilled`` counts buys for which the cash or the market's
    rules left nothing."""

    symbols: tuple[str, ...]
    interval_s: int
    bars: int
    costs: Costs
    cash: float
    time: TimeArray
    equity: FloatArray
    invested: FloatArray
    trades: tuple[BacktestTrade, ...]
    unfilled: int

    @property
    def final_equity(self) -> float:
        return float(self.equity[-1]) if len(self.equity) else self.cash
