"""The bars that somebody hands in, of one market or of several."""

from collections.abc import Mapping
from typing import Any

from mastertrade.quant.bars import Bars
from mastertrade.quant.columns import Markets, together
from mastertrade.research.loading import bars as bars_of


def by_symbol(bars: Any) -> Markets:
    """Bars by symbol; those of a single market have the symbol ''."""
    if isinstance(bars, Mapping) and bars and all(_is_market(value) for value in bars.values()):
        return together({str(symbol): bars_of(source) for symbol, source in bars.items()})
    return together({"": bars_of(bars)})


def _is_market(value: Any) -> bool:
    """A mapping of columns holds plain sequences of values; one of markets holds bars, frames, paths or mappings."""
    return isinstance(value, Bars | Mapping | str) or hasattr(value, "columns") or hasattr(value, "__fspath__")
