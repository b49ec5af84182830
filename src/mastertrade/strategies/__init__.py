"""Strategy templates: bars and parameters in, target positions out. A new one is a file here and a name below."""

from typing import Any

from mastertrade.strategies.library import Library, Shelf, Strategy, file_hash, short_name, user_folder
from mastertrade.strategies.look_ahead import LookAhead, find_look_ahead
from mastertrade.strategies.ma_cross import MaCross
from mastertrade.strategies.rsi_reversion import RsiReversion
from mastertrade.strategies.rule import RuleTemplate
from mastertrade.strategies.template import Built, Parameters, Range, Template, ranges

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
    "ranges",
    "reference",
    "shelf",
    "short_name",
    "user_folder",
]

TEMPLATES: dict[str, Template[Any]] = {
    template.name: template for template in (MaCross(), RsiReversion(), RuleTemplate())
}


_library = Library(TEMPLATES)
find = _library.find
build = _library.build
shelf = _library.shelf
all_templates = _library.all_templates
reference = _library.reference
