"""One market by itself, for one run or many: by events where that is exact, else by the loop that does everything."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Protocol, TypeVar

import numpy as np

from mastertrade.backtest import events
from mastertrade.backtest.market import Market, checked, prepare
from mastertrade.backtest.options import Funding, RulesVersion, Terms
from mastertrade.backtest.result import BacktestResult, Rules, Simulated
from mastertrade.backtest.score import Score, score_of, score_of_summary
from mastertrade.backtest.simulation import simulate
from mastertrade.quant import masks
from mastertrade.quant.bars import Bars, FloatArray
from mastertrade.quant.columns import Columns, columns_of
from mastertrade.quant.masks import Words, unpacked

P_contra = TypeVar("P_contra", contravariant=True)


class Decides(Protocol[P_contra]):
    """What the engine needs of a strategy template. One may also have ``mask``, which gives its targets as a mask, or
    None where they are not only 0 and 1; then that is asked first."""

    def positions(self, columns: Columns, params: P_contra, /) -> FloatArray: ...


class Alone:
    """A market with nobody beside it. What its bars and terms decide is worked out once and kept."""

    def __init__(
        self,
        symbol: str,
        bars: Bars,
        *,
        rules: Rules | Sequence[RulesVersion] | None = None,
        funding: Funding | None = None,
        detail: Bars | None = None,
    ) -> None:
        self.symbol = symbol
        self.columns = columns_of(bars)
        self._rules, self._funding, self._detail = rules, funding, detail
        self._ready: tuple[Terms, Market, events.Events | None] | None = None

    def result(self, template: Decides[P_contra], params: P_contra, terms: Terms) -> BacktestResult:
        market, ready = self.prepared(terms)
        targets, mask = self._decided(template, params, wants_mask=ready is not None)
        made = None
        if ready is not None and mask is not None:
            made = ready.simulate(mask)
        return self._whole(made or self._general(market, targets, mask, terms), terms)

    def score(self, template: Decides[P_contra], params: P_contra, terms: Terms) -> Score:
        """What a sweep keeps of ``result``, without making it where that can be done."""
        market, ready = self.prepared(terms)
        targets, mask = self._decided(template, params, wants_mask=ready is not None)
        if ready is not None and mask is not None:
            told = ready.sum_up(mask)
            if not told.was_cut:
                return score_of_summary(told, self.columns, terms.cash)
        return score_of(self._whole(self._general(market, targets, mask, terms), terms))

    def prepared(self, terms: Terms) -> tuple[Market, events.Events | None]:
        """The market on these terms; the second where it can be walked by events."""
        if self._ready is None or self._ready[0] is not terms:
            market = prepare(
                self.symbol, self.columns, None, terms, rules=self._rules, funding=self._funding, detail=self._detail
            )
            ready = events.Events(market, terms, self.columns) if events.can_run(market, terms) else None
            self._ready = terms, market, ready
        return self._ready[1:]

    def _decided(
        self, template: Decides[P_contra], params: P_contra, *, wants_mask: bool
    ) -> tuple[FloatArray | None, Words | None]:
        """The template's targets, or the same as a mask. It is asked once: it may draw random numbers."""
        mask = getattr(template, "mask", None) if wants_mask else None
        words: Words | None = None if mask is None else mask(self.columns, params)
        if words is not None:
            return None, words
        targets = template.positions(self.columns, params)
        if wants_mask and len(targets) == len(self.columns):
            words = masks.all_or_nothing(np.asarray(targets, dtype=np.float64))
        return targets, words

    def _general(self, market: Market, targets: FloatArray | None, mask: Words | None, terms: Terms) -> Simulated:
        if targets is None:
            assert mask is not None, "a template decides in one way or the other"
            targets = unpacked(mask, len(market)).astype(np.float64)
        targets = checked(targets, len(market), self.symbol, shorts=terms.shorts)
        return simulate([replace(market, targets=targets)], terms)

    def _whole(self, made: Simulated, terms: Terms) -> BacktestResult:
        return result_of(made, terms, (self.symbol,), self.columns.interval_s, len(self.columns))


def result_of(made: Simulated, terms: Terms, symbols: tuple[str, ...], interval_s: int, bars: int) -> BacktestResult:
    return BacktestResult(
        symbols=symbols,
        interval_s=interval_s,
        bars=bars,
        costs=terms.costs,
        cash=terms.cash,
        time=made.time,
        equity=made.equity,
        invested=made.invested,
        trades=made.trades,
        counts=made.counts,
        is_ruined=made.is_ruined,
    )
