"""What a backtest leaves behind: its trades and the account, bar by bar."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, fields
from enum import IntEnum
from typing import Any, overload

import numpy as np
from numpy.typing import NDArray

from mastertrade.backtest.contract import FILL_RULES
from mastertrade.quant.bars import FloatArray, TimeArray
from mastertrade.quant.costs import Costs


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """What a market accepts; 0 means anything. ``min_notional`` is in quote."""

    lot: float = 0.0
    tick: float = 0.0
    min_notional: float = 0.0


class ExitReason(IntEnum):
    """Why a position ended."""

    SIGNAL = 0
    STOP = 1
    TARGET = 2
    TRAILING = 3
    BREAK_EVEN = 4
    TIME = 5
    LIQUIDATION = 6
    END = 7


TRADE_DTYPE = np.dtype(
    [
        ("symbol", np.int32),
        ("side", np.int32),
        ("reason", np.int32),
        ("is_ambiguous", np.int32),
        ("bars_held", np.int64),
        ("entry_time", np.int64),
        ("exit_time", np.int64),
        ("quantity", np.float64),
        ("entry_price", np.float64),
        ("exit_price", np.float64),
        ("gross", np.float64),
        ("fees", np.float64),
        ("spread", np.float64),
        ("slippage", np.float64),
        ("impact", np.float64),
        ("funding", np.float64),
    ]
)
COST_PARTS = ("fees", "spread", "slippage", "impact", "funding")


@dataclass(frozen=True, slots=True, kw_only=True)
class BacktestTrade:
    """A position from entry to exit; prices are averages where it took several fills. ``gross`` is what it would have
    made at the reference prices, without costs; ``net`` is what the account felt. ``side`` is 1 for long, -1 for short.
    Times are epoch milliseconds. An exit ``is_ambiguous`` where its bar touched stop and target. ``slippage``
    includes rounding to the tick; ``funding`` below 0 was received."""

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
    side: int = 1
    spread: float = 0.0
    impact: float = 0.0
    funding: float = 0.0
    reason: ExitReason = ExitReason.SIGNAL
    is_ambiguous: bool = False

    @property
    def net(self) -> float:
        return self.gross - self.costs

    @property
    def costs(self) -> float:
        """Fees, spread, slippage, impact and funding together."""
        return self.fees + self.spread + self.slippage + self.impact + self.funding

    @property
    def closed_at_end(self) -> bool:
        return self.reason is ExitReason.END


class Trades(Sequence[BacktestTrade]):
    """The trades of a run in the order they ended: a sequence of ``BacktestTrade``, kept as columns."""

    def __init__(self, rows: NDArray[Any], symbols: Sequence[str]) -> None:
        assert rows.dtype == TRADE_DTYPE, "trades have one layout"
        self.rows = rows
        self._symbols = tuple(symbols)

    @classmethod
    def of(cls, trades: Sequence[BacktestTrade], symbols: Sequence[str]) -> "Trades":
        rows = np.zeros(len(trades), TRADE_DTYPE)
        for row, trade in zip(rows, trades, strict=True):
            row["symbol"] = symbols.index(trade.symbol)
            for name in TRADE_DTYPE.names[1:]:  # type: ignore[index] # it has names
                row[name] = getattr(trade, name)
        return cls(rows, symbols)

    @classmethod
    def joined(cls, parts: "Sequence[Trades]") -> "Trades":
        """The trades of several runs on the same symbols, one after the other."""
        if not parts:
            return cls(np.zeros(0, TRADE_DTYPE), ())
        return cls(np.concatenate([part.rows for part in parts]), parts[0].symbols)

    @property
    def symbols(self) -> tuple[str, ...]:
        return self._symbols

    @property
    def net(self) -> FloatArray:
        """What each trade brought the account."""
        net: FloatArray = self.rows["gross"] - self.costs
        return net

    @property
    def costs(self) -> FloatArray:
        first, *rest = (self.rows[name] for name in COST_PARTS)
        total: FloatArray = first.copy()
        for part in rest:
            total += part
        return total

    def column(self, name: str) -> NDArray[Any]:
        """One field of all trades; ``symbol`` is the place in the run's symbols."""
        column: NDArray[Any] = self.rows[name]
        return column

    def __len__(self) -> int:
        return len(self.rows)

    @overload
    def __getitem__(self, place: int) -> BacktestTrade: ...
    @overload
    def __getitem__(self, place: slice) -> "Trades": ...
    def __getitem__(self, place: int | slice) -> "BacktestTrade | Trades":
        if isinstance(place, slice):
            return Trades(self.rows[place], self._symbols)
        return self._trade(self.rows[place].item())

    def __iter__(self) -> Iterator[BacktestTrade]:
        return map(self._trade, self.rows.tolist())

    def __eq__(self, other: object) -> bool:
        if isinstance(other, Trades):
            return self._symbols == other._symbols and bool(np.array_equal(self.rows, other.rows))
        return list(self) == list(other) if isinstance(other, list | tuple) else NotImplemented

    __hash__ = None  # type: ignore[assignment] # as lists

    def __repr__(self) -> str:
        return f"<{len(self)} trades>"

    def _trade(self, row: tuple[Any, ...]) -> BacktestTrade:
        values = dict(zip(TRADE_DTYPE.names or (), row, strict=True))
        values["symbol"] = self._symbols[values["symbol"]]
        values["reason"] = ExitReason(values["reason"])
        values["is_ambiguous"] = bool(values["is_ambiguous"])
        return BacktestTrade(**values)


@dataclass(frozen=True, slots=True, kw_only=True)
class Counts:
    """How often something happened that a reader should know of.

    ``unfilled`` orders found no cash, margin, place or too small a quantity; ``carried`` fills were cut by the market's
    volume and went on at the next bar; ``ambiguous`` exits lay in a bar that touched stop and target, so the stop was
    taken; ``drilled`` ones were told by finer bars.
    """

    unfilled: int = 0
    carried: int = 0
    ambiguous: int = 0
    drilled: int = 0
    liquidations: int = 0

    @classmethod
    def total(cls, parts: "Sequence[Counts]") -> "Counts":
        return cls(**{one.name: sum(getattr(part, one.name) for part in parts) for one in fields(cls)})


@dataclass(frozen=True, slots=True, kw_only=True)
class Simulated:
    """What a loop makes of prepared markets."""

    time: TimeArray
    equity: FloatArray
    invested: FloatArray
    trades: Trades
    counts: Counts
    is_ruined: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class BacktestResult:
    """``equity[i]`` is the account at the close of the bars that start at ``time[i]``, the last one after everything
    was closed; ``invested[i]`` is the value of what it held at that close, shorts counted as positive. A ruined account
    ends where its equity reached 0."""

    symbols: tuple[str, ...]
    interval_s: int
    bars: int
    costs: Costs
    cash: float
    time: TimeArray
    equity: FloatArray
    invested: FloatArray
    trades: Trades
    counts: Counts = field(default_factory=Counts)
    is_ruined: bool = False
    fill_rules: str = FILL_RULES

    @property
    def unfilled(self) -> int:
        return self.counts.unfilled

    @property
    def final_equity(self) -> float:
        return float(self.equity[-1]) if len(self.equity) else self.cash
