"""Limits: their names, units and bounds, and which number counts where several scopes have one: always the tightest."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from difflib import get_close_matches
from enum import StrEnum
from typing import Annotated, Final, get_type_hints
from uuid import UUID

from mastertrade.domain.market import Instrument
from mastertrade.risk_manager.asset_classes import AssetClass, asset_class
from mastertrade.risk_manager.regimes import ADAPTING, Regime
from mastertrade.shared.errors import UsageError

GLOBAL: Final = "global"
REGIME: Final = "regime"
"""Where a number comes from that follows the market."""
SCOPE_KINDS: Final = ("account", "strategy", "instrument", "venue", "asset", "class")
"""Beside ``global``. A strategy trades on one account, so a strategy is what others call a bot."""


class Tighter(StrEnum):
    """Which of two numbers allows less."""

    LOWER = "lower"
    HIGHER = "higher"


@dataclass(frozen=True, slots=True)
class LimitKind:
    """``lowest`` and ``highest`` are the numbers a limit may be set to, both included."""

    name: str
    unit: str
    lowest: Decimal
    highest: Decimal
    tighter: Tighter
    what: str

    def is_tighter(self, one: Decimal, other: Decimal) -> bool:
        return one < other if self.tighter is Tighter.LOWER else one > other

    def check(self, value: Decimal) -> Decimal:
        if not value.is_finite() or not self.lowest <= value <= self.highest:
            raise UsageError(
                f"limit {self.name} {value} {self.unit} is outside {self.lowest:f} to {self.highest:f}; {self.what}"
            )
        return value


@dataclass(frozen=True, slots=True)
class _Bounds:
    unit: str
    lowest: str
    highest: str
    what: str
    tighter: Tighter = Tighter.LOWER


FAR: Final = Decimal(100)
"""Of limits that verdicts of before they existed do not have: those are judged again as they were."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What one judgement is held against. Percentages are percent of the account's equity where nothing else is said,
    amounts are in its quote asset, which counts as US dollars."""

    position_percent: Annotated[Decimal, _Bounds("%", "0", "100", "what a signal of full strength asks for")]
    risk_per_trade_percent: Annotated[
        Decimal, _Bounds("%", "0", "10", "what the position loses when its stop is hit, costs included")
    ]
    stop_percent: Annotated[
        Decimal, _Bounds("%", "0.1", "50", "the stop's distance where volatility does not say more", Tighter.HIGHER)
    ]
    max_position_percent: Annotated[Decimal, _Bounds("%", "0", "100", "of one asset, pending buys included")]
    max_class_percent: Annotated[Decimal, _Bounds("%", "0", "1000", "of one class of assets")]
    max_stablecoin_percent: Annotated[
        Decimal, _Bounds("%", "0", "100", "of stable coins that are not the account's own currency")
    ]
    max_venue_percent: Annotated[
        Decimal, _Bounds("%", "0", "100", "at risk on one venue, as a part of all accounts together")
    ]
    max_exposure_percent: Annotated[Decimal, _Bounds("%", "0", "1000", "of everything that is held")]
    max_leverage: Annotated[Decimal, _Bounds("x", "0", "125", "exposure over equity")]
    max_concentration: Annotated[Decimal, _Bounds("", "0", "1", "sum of the squared parts of equity")]
    max_open_positions: Annotated[Decimal, _Bounds("positions", "0", "10000", "assets held at once")]
    correlation_threshold: Annotated[Decimal, _Bounds("", "0", "1", "from where on two markets count as one")]
    max_correlated_percent: Annotated[
        Decimal, _Bounds("%", "0", "1000", "of markets that count as one with the ordered one")
    ]
    max_adjusted_percent: Annotated[Decimal, _Bounds("%", "0", "1000", "of exposure after correlation")]
    max_value_at_risk_percent: Annotated[
        Decimal, _Bounds("%", "0", "100", "loss of a day after the trade, normal, at var_confidence")
    ]
    var_confidence: Annotated[Decimal, _Bounds("", "0.5", "0.9999", "confidence of the value at risk", Tighter.HIGHER)]
    max_daily_loss_percent: Annotated[
        Decimal, _Bounds("%", "0", "100", "since the start of the UTC day, unrealised included")
    ]
    max_weekly_loss_percent: Annotated[Decimal, _Bounds("%", "0", "100", "since Monday, unrealised included")]
    max_drawdown_percent: Annotated[Decimal, _Bounds("%", "0", "100", "below the highest equity ever")]
    breaker_warning_percent: Annotated[Decimal, _Bounds("%", "0", "100", "drawdown that takes entries to 0.75")] = FAR
    breaker_level_1_percent: Annotated[Decimal, _Bounds("%", "0", "100", "drawdown that halves entries")] = FAR
    breaker_level_2_percent: Annotated[Decimal, _Bounds("%", "0", "100", "drawdown that ends entries")] = FAR
    breaker_level_3_percent: Annotated[Decimal, _Bounds("%", "0", "100", "drawdown that sells everything")] = FAR
    breaker_daily_percent: Annotated[Decimal, _Bounds("%", "0", "100", "loss of a day that halves entries")] = FAR
    reserve_percent: Annotated[Decimal, _Bounds("%", "0", "100", "that stays free of orders", Tighter.HIGHER)]
    min_notional: Annotated[Decimal, _Bounds("", "0", "1e9", "smallest entry", Tighter.HIGHER)]
    max_notional: Annotated[Decimal, _Bounds("", "0", "1e12", "largest entry")]
    max_volume_percent: Annotated[Decimal, _Bounds("%", "0", "100", "of what the market traded in the last whole day")]
    min_liquidation_distance: Annotated[
        Decimal, _Bounds("ATR", "0", "1000", "to the price of liquidation", Tighter.HIGHER)
    ]
    max_price_deviation_percent: Annotated[Decimal, _Bounds("%", "0", "100", "of the signal's price from the market's")]
    max_price_jump_percent: Annotated[Decimal, _Bounds("%", "0", "100", "of the market's price from its usual one")] = (
        FAR
    )
    max_orders_per_second: Annotated[Decimal, _Bounds("orders", "0", "1e6", "approvals of the account")]
    max_orders_per_minute: Annotated[Decimal, _Bounds("orders", "0", "1e6", "approvals of the account")]
    max_orders_per_day: Annotated[Decimal, _Bounds("orders", "0", "1e7", "approvals of the account in 24 hours")]
    slippage_percent: Annotated[
        Decimal, _Bounds("%", "0", "50", "reserved on top of the price of a market buy", Tighter.HIGHER)
    ]
    max_signal_age_s: Annotated[Decimal, _Bounds("s", "0", "86400", "an older signal is refused")]
    max_price_age_s: Annotated[Decimal, _Bounds("s", "0", "86400", "an older price opens nothing")]
    max_clock_skew_s: Annotated[Decimal, _Bounds("s", "0", "300", "how far ahead a signal or price may seem to be")]
    approval_valid_s: Annotated[Decimal, _Bounds("s", "0", "3600", "how long an approval may be sent")]


def _kinds() -> dict[str, LimitKind]:
    found = {}
    for name, hint in get_type_hints(Limits, include_extras=True).items():
        of: _Bounds = hint.__metadata__[0]
        found[name] = LimitKind(name, of.unit, Decimal(of.lowest), Decimal(of.highest), of.tighter, of.what)
    return found


KINDS: Final[dict[str, LimitKind]] = _kinds()


def kind_of(name: str) -> LimitKind:
    """UsageError suggests what a misspelt name may have meant."""
    try:
        return KINDS[name.strip().lower().replace("-", "_")]
    except KeyError:
        near = get_close_matches(name, KINDS, n=1, cutoff=0.4)
        meant = f"; did you mean {near[0]}" if near else ""
        raise UsageError(f"there is no limit {name!r}{meant}; mastertrade risk limits lists them") from None


@dataclass(frozen=True, slots=True, kw_only=True)
class ScopedLimit:
    """One limit of one scope, as it was set last. ``version`` counts all changes of all limits."""

    scope: str
    name: str
    value: Decimal
    version: int
    reason: str
    actor: str
    changed_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """A number a limit could have, and where it comes from."""

    value: Decimal
    scope: str
    version: int | None
    """None for what the settings or the class of the asset say."""
    source: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Effective:
    """``limits`` are what counts; ``candidates`` name for each limit every scope with a number, the winner first."""

    limits: Limits
    candidates: Mapping[str, tuple[Candidate, ...]]
    version: int


def scopes_of(account: UUID, strategy: UUID | None, instrument: Instrument) -> tuple[str, ...]:
    """Everything whose limits a trade is held against, the widest first."""
    found = [GLOBAL, f"venue:{instrument.venue}", f"account:{account}"]
    if strategy is not None:
        found.append(f"strategy:{strategy}")
    asset = instrument.base
    return (*found, f"class:{asset_class(asset)}", f"asset:{asset}", f"instrument:{instrument.id}")


def effective(
    defaults: Limits,
    rows: Iterable[ScopedLimit],
    scopes: Sequence[str],
    *,
    class_defaults: Mapping[AssetClass, Mapping[str, Decimal]],
    version: int,
    regime: Regime = Regime.UNKNOWN,
) -> Effective:
    """The tightest number of each limit among the scopes. A row of the scope ``global`` or of a class stands instead of
    what the settings say for it; every other row stands beside it, so that it can only tighten.
    Of a wild ``regime`` a part of the global number of some limits is one more candidate."""
    by_scope: dict[tuple[str, str], ScopedLimit] = {(one.scope, one.name): one for one in rows if one.scope in scopes}
    numbers: dict[str, Decimal] = {}
    candidates: dict[str, tuple[Candidate, ...]] = {}
    for name, kind in KINDS.items():
        found = []
        for scope in scopes:
            if (row := by_scope.get((scope, name))) is not None:
                found.append(Candidate(value=row.value, scope=scope, version=row.version, source=row.reason))
            elif (own := preset(defaults, class_defaults, scope, name)) is not None:
                found.append(Candidate(value=own, scope=scope, version=None, source="settings"))
        if name in ADAPTING and regime.factor < 1:
            adapted = found[0].value * regime.factor
            found.append(Candidate(value=adapted, scope=REGIME, version=None, source=regime.value))
        # sorted is stable: of equal numbers the wider scope is named.
        found.sort(key=lambda one: one.value, reverse=kind.tighter is Tighter.HIGHER)
        numbers[name], candidates[name] = found[0].value, tuple(found)
    return Effective(limits=Limits(**numbers), candidates=candidates, version=version)


def preset(
    defaults: Limits, class_defaults: Mapping[AssetClass, Mapping[str, Decimal]], scope: str, name: str
) -> Decimal | None:
    if scope == GLOBAL:
        value: Decimal = getattr(defaults, name)
        return value
    kind, _, id = scope.partition(":")
    return class_defaults.get(AssetClass(id), {}).get(name) if kind == "class" else None


def loosens(kind: LimitKind, before: Decimal | None, after: Decimal | None, *, preset: Decimal | None) -> bool:
    """Whether a scope's own number allows more than it did. ``None`` is no number of its own: then the preset counts,
    and without one the scope allows whatever the others do."""
    old, new = before if before is not None else preset, after if after is not None else preset
    if old is None:
        return False
    return new is None or kind.is_tighter(old, new)


def parse_limit_scope(text: str) -> tuple[str, str]:
    """Kind and id of a scope, the id as it is stored. UsageError names the forms."""
    kind, _, id = text.strip().partition(":")
    kind = kind.lower()
    if kind == GLOBAL and not id:
        return GLOBAL, ""
    if kind == "class" and id.upper() in AssetClass.__members__:
        return kind, id.upper()
    if kind == "asset" and id:
        return kind, id.upper()
    if kind in SCOPE_KINDS and kind != "class" and id:
        return kind, id.lower()
    forms = "global, account:NAME, strategy:NAME, instrument:SYMBOL, venue:NAME, asset:NAME"
    raise UsageError(f"scope {text!r} is none of {forms}, class:{'|'.join(AssetClass)}")
