"""The trades of a result as columns, the one shape that tables, drawings and files are made from."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mastertrade.backtest.result import BacktestResult, BacktestTrade
from mastertrade.quant.bars import FloatArray, TimeArray

COST_KINDS = ("fees", "spread", "slippage", "impact", "funding")


@dataclass(frozen=True, slots=True, kw_only=True)
class TradeColumns:
    """One place a trade, in the order of their exits. ``value_return`` is the net of a trade by its value at entry."""

    symbol: tuple[str, ...]
    side: tuple[str, ...]
    reason: tuple[str, ...]
    entry_time: TimeArray
    entry_price: FloatArray
    exit_time: TimeArray
    exit_price: FloatArray
    quantity: FloatArray
    bars_held: NDArray[np.int64]
    gross: FloatArray
    costs: FloatArray
    net: FloatArray
    value_return: FloatArray
    ambiguous: NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.symbol)


def trade_columns(result: BacktestResult) -> TradeColumns:
    trades = result.trades

    def floats(values: list[float]) -> FloatArray:
        return np.array(values, dtype=np.float64)

    entry_price = floats([trade.entry_price for trade in trades])
    quantity = floats([trade.quantity for trade in trades])
    net = floats([trade.net for trade in trades])
    put_in = entry_price * quantity
    return TradeColumns(
        symbol=tuple(trade.symbol for trade in trades),
        side=tuple(map(side_of, trades)),
        reason=tuple(map(reason_of, trades)),
        entry_time=np.array([trade.entry_time for trade in trades], dtype=np.int64),
        entry_price=entry_price,
        exit_time=np.array([trade.exit_time for trade in trades], dtype=np.int64),
        exit_price=floats([trade.exit_price for trade in trades]),
        quantity=quantity,
        bars_held=np.array([trade.bars_held for trade in trades], dtype=np.int64),
        gross=floats([trade.gross for trade in trades]),
        costs=floats([trade.gross - trade.net for trade in trades]),
        net=net,
        value_return=np.divide(net, put_in, out=np.zeros_like(net), where=put_in > 0.0),
        ambiguous=np.array([is_ambiguous(trade) for trade in trades], dtype=np.bool_),
    )


def side_of(trade: BacktestTrade) -> str:
    return "long"


def reason_of(trade: BacktestTrade) -> str:
    return "end of data" if trade.closed_at_end else "signal"


def is_ambiguous(trade: BacktestTrade) -> bool:
    return False


def cost_parts(result: BacktestResult) -> dict[str, float]:
    """What was paid, by kind, in quote; kinds this result does not know are left out."""
    return {
        "fees": sum(trade.fees for trade in result.trades),
        "slippage": sum(trade.slippage for trade in result.trades),
    }


def fill_rules(result: BacktestResult) -> tuple[str, ...]:
    """How this result's orders were filled, a sentence each."""
    costs = result.costs
    return (
        "A change of position decided at a bar's close is filled at the next bar's open.",
        "A position is sized at the close that decided it and shrinks to what the cash pays for.",
        f"Each side pays {costs.taker_fee * 100:g} % fee and {costs.price_impact * 100:g} % for spread and slippage.",
        "What is held after the last bar is sold at its close, at the same costs, and marked 'end of data'.",
    )
