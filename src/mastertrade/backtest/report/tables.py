"""Trades and equity as CSV, for a spreadsheet or another program, and back without loss.

Floats are written as the shortest text that reads back as themselves. Text that a spreadsheet would run as a formula
gets an apostrophe in front, which reading takes away again.
"""

import csv
import io
from collections.abc import Iterator
from dataclasses import fields
from datetime import datetime
from typing import Any, TextIO, get_type_hints

import numpy as np

from mastertrade.backtest.report.wording import iso
from mastertrade.backtest.result import BacktestResult, BacktestTrade, ExitReason
from mastertrade.quant.bars import FloatArray, TimeArray
from mastertrade.shared.errors import UsageError

FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r", "'")
EQUITY_COLUMNS = ("time", "equity", "invested")
TRADE_COLUMNS = tuple(field.name for field in fields(BacktestTrade))
TIMES = frozenset({"entry_time", "exit_time"})


def trades_csv(result: BacktestResult) -> str:
    return "".join(_lines([(*TRADE_COLUMNS, "net"), *(_trade_row(trade) for trade in result.trades)]))


def equity_csv(result: BacktestResult) -> str:
    """The account at the close of the bars that start at ``time``."""
    columns = zip(result.time.tolist(), result.equity.tolist(), result.invested.tolist(), strict=True)
    rows = ((iso(time), repr(equity), repr(invested)) for time, equity, invested in columns)
    return "".join(_lines([EQUITY_COLUMNS, *rows]))


def read_trades_csv(source: TextIO) -> list[BacktestTrade]:
    kinds = get_type_hints(BacktestTrade)
    reader = csv.DictReader(source)
    _expect(reader.fieldnames, TRADE_COLUMNS)
    return [
        BacktestTrade(**{name: _value(name, kinds[name], row[name], line) for name in TRADE_COLUMNS})
        for line, row in enumerate(reader, 2)
    ]


def read_equity_csv(source: TextIO) -> tuple[TimeArray, FloatArray, FloatArray]:
    """Time, equity and invested."""
    reader = csv.DictReader(source)
    _expect(reader.fieldnames, EQUITY_COLUMNS)
    rows = [
        (
            _value("entry_time", int, row["time"], line),
            _value("equity", float, row["equity"], line),
            _value("invested", float, row["invested"], line),
        )
        for line, row in enumerate(reader, 2)
    ]
    time, equity, invested = zip(*rows, strict=True) if rows else ((), (), ())
    return np.array(time, dtype=np.int64), np.array(equity, dtype=np.float64), np.array(invested, dtype=np.float64)


def _trade_row(trade: BacktestTrade) -> Iterator[str]:
    for name in TRADE_COLUMNS:
        value = getattr(trade, name)
        yield iso(value) if name in TIMES else _text(value)
    yield repr(trade.net)


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, ExitReason):
        return value.name.lower()
    if isinstance(value, float):
        return repr(float(value))
    text = str(value)
    return "'" + text if isinstance(value, str) and text.startswith(FORMULA_STARTS) else text


def _lines(rows: list[Any]) -> Iterator[str]:
    buffer = io.StringIO()
    csv.writer(buffer, lineterminator="\n").writerows(rows)
    yield buffer.getvalue()


def _expect(found: Any, wanted: tuple[str, ...]) -> None:
    missing = [name for name in wanted if name not in (found or ())]
    if missing:
        raise UsageError(f"the table has no column {', '.join(missing)}; its columns are {', '.join(found or ())}")


def _value(name: str, kind: Any, text: str, line: int) -> Any:
    try:
        if name in TIMES:
            time = datetime.fromisoformat(text)
            return round(time.timestamp() * 1000)
        if kind is bool:
            return {"true": True, "false": False}[text]
        if kind is ExitReason:
            return ExitReason[text.upper()]
        if kind in (int, float):
            return kind(text)
    except (ValueError, KeyError) as error:
        raise UsageError(f"line {line}: {name} {text!r} cannot be read") from error
    return text.removeprefix("'")
