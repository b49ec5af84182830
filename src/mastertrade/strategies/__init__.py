"""Strategy templates: bars and parameters in, target positions out. A new one is a file here and a name below."""

from collections.abc import Mapping
from typing import Any

from mastertrade.shared.errors import UsageError
from mastertrade.strategies.look_ahead import LookAhead, find_look_ahead
from mastertrade.strategies.ma_cross import MaCross
from mastertrade.strategies.rsi_reversion import RsiReversion
from mastertrade.strategies.rule import RuleTemplate
from mastertrade.strategies.template import Built, Parameters, Range, Template, make, nearest_name, ranges

__all__ = [
    "TEMPLATES",
    "Built",
    "LookAhead",
    "Parameters",
    "Range",
    "Template",
    "build",
    "find_look_ahead",
    "ranges",
]

TEMPLATES: dict[str, Template[Any]] = {
    template.name: template for template in (MaCross(), RsiReversion(), RuleTemplate())
}


def build(name: str, parameters: Mapping[str, Any] | None = None) -> Built[Any]:
    """A template of the registry with checked parameters; what is not given keeps its default."""
    if name not in TEMPLATES:
        raise UsageError(f"strategy template {nearest_name(name, TEMPLATES)}")
    return make(TEMPLATES[name], parameters or {})
