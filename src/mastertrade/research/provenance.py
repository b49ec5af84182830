"""What a result was made of: hashes of the bars and of the code, so that the same can be told from the changed."""

from collections.abc import Mapping, Sequence
from dataclasses import astuple
from functools import cache
from hashlib import sha256
from pathlib import Path

import mastertrade
from mastertrade.backtest.options import Funding, RulesVersion
from mastertrade.quant.bars import Bars
from mastertrade.strategies import Strategy, file_hash, find

CODE = ("quant", "backtest", "strategies", "research")
"""The rooms whose code decides a result."""


def data_hash(
    markets: Mapping[str, Bars],
    *,
    rules: Mapping[str, Sequence[RulesVersion]] | None = None,
    funding: Mapping[str, Funding] | None = None,
    detail: Mapping[str, Bars] | None = None,
) -> str:
    """Of every column of every market, and of what else the markets say; the same on any machine."""
    digest = sha256()
    for group in (markets, detail or {}):
        for symbol, bars in sorted(group.items()):
            digest.update(f"{symbol} {bars.interval_s} {len(bars)}\n".encode())
            digest.update(bars.time.astype("<i8").tobytes())
            for column in (bars.open, bars.high, bars.low, bars.close, bars.volume):
                digest.update(column.astype("<f8").tobytes())
    for symbol, versions in sorted((rules or {}).items()):
        digest.update(f"{symbol} {[(one.valid_from, astuple(one.rules)) for one in versions]}\n".encode())
    for symbol, paid in sorted((funding or {}).items()):
        digest.update(f"{symbol} {list(zip(paid.time, paid.rate, strict=True))}\n".encode())
    return digest.hexdigest()


def code_hash(strategy: Strategy) -> str:
    """Of the program's own rooms, and of the file of a user's strategy."""
    return sha256((_own_code() + (file_hash(find(strategy)) or "")).encode()).hexdigest()


@cache
def _own_code() -> str:
    root = Path(mastertrade.__file__).parent
    files = sorted(path for room in CODE for path in (root / room).rglob("*.py"))
    digest = sha256()
    for path in files:
        digest.update(path.relative_to(root).as_posix().encode() + b"\n" + path.read_bytes())
    return digest.hexdigest()
