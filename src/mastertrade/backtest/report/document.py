"""A report as one JSON object, and back without loss.

Keys are the fields of the report's classes. Besides them: ``format`` and ``kind`` say what it is; a run carries
``metrics`` (the flat figures), ``fill_rules`` and, of several runs, each. Times are epoch milliseconds, floats are
written so that they read back as themselves, and a number that is none is null. Bars are not carried: the snapshot hash
of the provenance names them.
"""

import json
import math
import types
from collections.abc import Mapping, Sequence
from dataclasses import fields, is_dataclass
from functools import cache
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

import numpy as np

from mastertrade.backtest.report.model import Comparison, Report, RunReport, SweepReport, WalkForwardReport
from mastertrade.backtest.report.summary import summarise
from mastertrade.backtest.report.trades import fill_rules
from mastertrade.backtest.result import BacktestResult, BacktestTrade, ExitReason, Trades
from mastertrade.shared.errors import UsageError

FORMAT = "mastertrade.report/1"
KINDS: dict[str, type[Any]] = {
    "run": RunReport,
    "sweep": SweepReport,
    "walk_forward": WalkForwardReport,
    "comparison": Comparison,
}


def to_document(report: Report) -> dict[str, Any]:
    """What ``to_json`` writes, as plain values."""
    kind = next(name for name, wanted in KINDS.items() if type(report) is wanted)
    return {"format": FORMAT, "kind": kind, **_plain(report)}


def to_json(report: Report) -> str:
    return json.dumps(to_document(report), allow_nan=False, ensure_ascii=False, separators=(",", ":"))


def from_json(text: str | bytes) -> Report:
    try:
        document = json.loads(text)
    except ValueError as error:
        raise UsageError(f"the report cannot be read: {error}") from error
    return from_document(document)


def from_document(document: Any) -> Report:
    found = document.get("format") if isinstance(document, dict) else type(document).__name__
    if found != FORMAT or document.get("kind") not in KINDS:
        raise UsageError(
            f"this is {found!r}, not a report of format {FORMAT!r}; write one with 'backtest report RUN --json'"
        )
    try:
        report: Report = _read(KINDS[document["kind"]], document)
    except (KeyError, TypeError, ValueError) as error:
        raise UsageError(f"the report of kind {document['kind']!r} is damaged: {error!r}") from error
    return report


def _plain(value: Any) -> Any:
    if isinstance(value, np.ndarray):
        return [_plain(one) for one in value.tolist()] if value.dtype.kind == "f" else value.tolist()
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else None
    if isinstance(value, Trades):
        return [_plain(trade) for trade in value]
    if isinstance(value, ExitReason):
        return value.name.lower()
    if isinstance(value, np.generic):
        return _plain(value.item())
    if is_dataclass(value) and not isinstance(value, type):
        written = {name: _plain(getattr(value, name)) for name in _carried(type(value))}
        if isinstance(value, RunReport):
            written |= {"metrics": summarise(value.result), "fill_rules": list(fill_rules(value.result))}
        return written
    if isinstance(value, Mapping):
        return {str(key): _plain(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(one) for one in value]
    return value


@cache
def _carried(kind: type[Any]) -> tuple[str, ...]:
    return tuple(field.name for field in fields(kind) if not (kind is RunReport and field.name == "bars"))


@cache
def _types(kind: type[Any]) -> dict[str, Any]:
    return get_type_hints(kind)


def _read(wanted: Any, value: Any) -> Any:
    """``value`` as the type that a field is declared with."""
    origin, arguments = get_origin(wanted), get_args(wanted)
    if is_dataclass(wanted) and isinstance(wanted, type):
        hints = _types(wanted)
        if wanted is BacktestResult:  # its trades know their markets by place
            symbols, trades = value["symbols"], tuple(_read(BacktestTrade, one) for one in value["trades"])
            value = {**value, "trades": Trades.of(trades, symbols)}
        return wanted(**{name: _read(hints[name], value[name]) for name in _carried(wanted) if name in value})
    if wanted is ExitReason:
        return ExitReason[value.upper()]
    if origin in (Union, types.UnionType):
        if value is None and type(None) in arguments:
            return None
        return _read(next(one for one in arguments if one is not type(None)), value)
    if origin is np.ndarray:
        (scalar,) = get_args(arguments[1])
        return np.array([math.nan if one is None else one for one in value], dtype=scalar)
    if origin is tuple:
        kinds = arguments[:1] * len(value) if arguments[1:] == (Ellipsis,) else arguments
        return tuple(_read(kind, one) for kind, one in zip(kinds, value, strict=True))
    if origin is not None and issubclass_of(origin, Sequence):
        return tuple(_read(arguments[0], one) for one in value)
    if origin is not None and issubclass_of(origin, Mapping):
        return {key: _read(arguments[1], one) for key, one in value.items()}
    if isinstance(wanted, type) and wanted not in (Any, float) and not isinstance(value, wanted):
        return wanted(value)
    return value


def issubclass_of(origin: Any, kind: type[Any]) -> bool:
    return origin is not Literal and isinstance(origin, type) and issubclass(origin, kind)
