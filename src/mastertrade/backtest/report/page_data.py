"""What the page's script draws from, in bounded size.

At most 200,000 candles and 20,000 trades are carried, whatever the run was; equity is cut to 5,000 parts that keep
their first, lowest, highest and last value. More candles are merged, so that highs and lows stay what they were, and
the page says how many bars a candle covers. The figures of the page come from the whole run.
"""

import json

import numpy as np

from mastertrade.backtest.report.codec import Packer
from mastertrade.backtest.report.decimate import IndexArray, curve_places, merged_bars
from mastertrade.backtest.report.figures import equity_times, holding_curve
from mastertrade.backtest.report.model import RunReport
from mastertrade.backtest.report.trades import TradeColumns
from mastertrade.quant.bars import FloatArray

MOST_CANDLES = 200_000
MOST_TRADES = 20_000
CURVE_BUCKETS = 5_000


def run_data(report: RunReport, trades: TradeColumns) -> str:
    packer, markets = Packer(), []
    _add_curve(packer, "equity", report)
    part = MOST_CANDLES // max(len(report.bars), 1)
    for place, (symbol, bars) in enumerate(report.bars.items()):
        if len(bars):
            merged, size = merged_bars(bars, part)
            packer.candles(f"market{place}", merged)
            markets.append(
                {"name": symbol, "key": f"market{place}", "merged": size, "interval": merged.interval_s * 1000}
            )
    kept = _trades_kept(trades)
    reasons = list(dict.fromkeys(trades.reason))
    _add_trades(packer, trades, kept, reasons)
    return json.dumps(
        {
            "kind": "run",
            "markets": markets,
            "symbols": list(dict.fromkeys(trades.symbol)),
            "reasons": reasons,
            "trades": len(trades),
            "columns": packer.columns,
            "block": packer.text(),
        },
        separators=(",", ":"),
    )


def overlay_data(runs: list[RunReport], names: list[str]) -> str:
    """Equity of several runs, each as a part of its own capital."""
    packer = Packer()
    for place, run in enumerate(runs):
        _add_curve(packer, f"run{place}", run, part_of_capital=True)
    return json.dumps(
        {
            "kind": "comparison",
            "runs": names,
            "columns": packer.columns,
            "block": packer.text(),
        },
        separators=(",", ":"),
    )


def curve_data(time: FloatArray, equity: FloatArray) -> str:
    packer = Packer()
    places = curve_places(equity, CURVE_BUCKETS)
    packer.times("equity.time", time[places].astype(np.int64))
    packer.curve("equity.value", equity[places])
    return json.dumps(
        {"kind": "walk_forward", "columns": packer.columns, "block": packer.text()}, separators=(",", ":")
    )


def _add_curve(packer: Packer, name: str, report: RunReport, *, part_of_capital: bool = False) -> None:
    curve = np.concatenate(([report.result.cash], report.result.equity))
    if part_of_capital:
        curve = curve / report.result.cash
    time = equity_times(report.result).astype(np.int64)
    places = curve_places(curve, CURVE_BUCKETS)
    packer.times(f"{name}.time", time[places])
    packer.curve(f"{name}.value", curve[places])
    held = None if part_of_capital else holding_curve(report.result, report.bars)
    if held is not None:
        places = curve_places(held, CURVE_BUCKETS)
        packer.times(f"{name}.hold_time", time[places])
        packer.curve(f"{name}.hold", held[places])


def _trades_kept(trades: TradeColumns) -> IndexArray:
    """All, or those that made or lost most."""
    if len(trades) <= MOST_TRADES:
        return np.arange(len(trades), dtype=np.int64)
    return np.sort(np.argsort(-np.abs(trades.net), kind="stable")[:MOST_TRADES])


def _add_trades(packer: Packer, trades: TradeColumns, kept: IndexArray, reasons: list[str]) -> None:
    symbols = {name: place for place, name in enumerate(dict.fromkeys(trades.symbol))}
    packer.integers("trade.number", kept + 1)
    packer.times("trade.entry_time", trades.entry_time[kept])
    packer.times("trade.exit_time", trades.exit_time[kept])
    for name in ("entry_price", "exit_price", "costs", "net", "value_return"):
        packer.floats(f"trade.{name}", getattr(trades, name)[kept])
    packer.integers("trade.bars", trades.bars_held[kept])
    packer.integers(
        "trade.symbol", np.array([symbols[trades.symbol[place]] for place in kept.tolist()], dtype=np.int64)
    )
    packer.integers(
        "trade.reason", np.array([reasons.index(trades.reason[place]) for place in kept.tolist()], dtype=np.int64)
    )
    packer.integers("trade.short", np.array([trades.side[place] == "short" for place in kept.tolist()], dtype=np.int64))
    packer.integers("trade.ambiguous", trades.ambiguous[kept].astype(np.int64))
