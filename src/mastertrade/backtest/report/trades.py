"""The trades of a result as columns, the one shape that tables, drawings and files are made from."""

import math
import re
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mastertrade.backtest.result import COST_PARTS, BacktestResult, ExitReason
from mastertrade.quant.bars import FloatArray, TimeArray

COST_KINDS = COST_PARTS
REASONS = {
    ExitReason.SIGNAL: "signal",
    ExitReason.STOP: "stop loss",
    ExitReason.TARGET: "take profit",
    ExitReason.TRAILING: "trailing stop",
    ExitReason.BREAK_EVEN: "break-even stop",
    ExitReason.TIME: "time",
    ExitReason.LIQUIDATION: "liquidation",
    ExitReason.END: "end of data",
}


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
    rows = trades.rows
    net = trades.net
    put_in = rows["entry_price"] * rows["quantity"]
    return TradeColumns(
        symbol=tuple(trades.symbols[place] for place in rows["symbol"].tolist()),
        side=tuple("long" if side > 0 else "short" for side in rows["side"].tolist()),
        reason=tuple(REASONS[ExitReason(reason)] for reason in rows["reason"].tolist()),
        entry_time=rows["entry_time"],
        entry_price=rows["entry_price"],
        exit_time=rows["exit_time"],
        exit_price=rows["exit_price"],
        quantity=rows["quantity"],
        bars_held=rows["bars_held"],
        gross=rows["gross"],
        costs=trades.costs,
        net=net,
        value_return=np.divide(net, put_in, out=np.zeros_like(net), where=put_in > 0.0),
        ambiguous=rows["is_ambiguous"] != 0,
    )


def cost_parts(result: BacktestResult) -> dict[str, float]:
    """What was paid, by kind, in quote; kinds that cost nothing here are left out but the fees."""
    paid = {kind: math.fsum(result.trades.rows[kind].tolist()) for kind in COST_KINDS}
    return {kind: amount for kind, amount in paid.items() if kind == "fees" or amount != 0.0}


def fill_rules(result: BacktestResult) -> tuple[str, ...]:
    """How this result's orders were filled, a rule each."""
    costs = result.costs
    rates = (
        f"Rates of this run: taker fee {costs.taker_fee * 100:g} %, maker fee {costs.maker_fee * 100:g} %, half the "
        f"spread {costs.half_spread * 100:g} %, slippage {costs.slippage * 100:g} %, impact "
        + (f"{costs.impact:g}·σ·√(Q/V)" if costs.impact else "none")
        + ", volume "
        + (f"up to {costs.participation_cap * 100:g} % of a bar's." if costs.participation_cap else "without limit.")
    )
    return (*rules_of(result.fill_rules), rates)


def rules_of(text: str) -> list[str]:
    """The numbered rules of a contract's text, a line each."""
    return [" ".join(rule.split()) for rule in re.split(r"^\d+\. ", text, flags=re.MULTILINE) if rule.strip()]
