"""Strategy templates: bars and parameters in, target positions out. A new one is a file here and a name below."""

from typing import Any

from mastertrade.strategies.bollinger_reversion import BollingerReversion
from mastertrade.strategies.btc_correlation import BtcCorrelation
from mastertrade.strategies.donchian_breakout import DonchianBreakout
from mastertrade.strategies.look_ahead import LookAhead, find_look_ahead
from mastertrade.strategies.ma_cross import MaCross
from mastertrade.strategies.macd import MacdCross
from mastertrade.strategies.momentum_rank import MomentumRank
from mastertrade.strategies.rsi_reversion import RsiReversion
from mastertrade.strategies.rule import RuleTemplate
from mastertrade.strategies.shelves import Library, Shelf, Strategy, file_hash, short_name, user_folder
from mastertrade.strategies.template import Built, Parameters, Range, Template, ranges
from mastertrade.strategies.volatility_breakout import VolatilityBreakout

__all__ = [
    "TEMPLATES",
    "Built",
    "LookAhead",
    "Parameters",
    "Range",
    "Shelf",
    "Strategy",
    "Template",
    "all_templates",
    "build",
    "file_hash",
    "find",
    "find_look_ahead",
    "is_of_the_house",
    "ranges",
    "reference",
    "shelf",
    "short_name",
    "user_folder",
]

TEMPLATES: dict[str, Template[Any]] = {
    template.name: template
    for template in (
        MaCross(),
        RsiReversion(),
        BollingerReversion(),
        MacdCross(),
        DonchianBreakout(),
        VolatilityBreakout(),
        MomentumRank(),
        BtcCorrelation(),
        RuleTemplate(),
    )
}


_library = Library(TEMPLATES)
find = _library.find
is_of_the_house = _library.is_of_the_house
build = _library.build
shelf = _library.shelf
all_templates = _library.all_templates
reference = _library.reference
