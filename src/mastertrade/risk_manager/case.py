"""A case: everything one judgement looks at, gathered before it begins, and the limits it is held against."""

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from mastertrade.domain.market import Instrument
from mastertrade.domain.orders import Side
from mastertrade.domain.risk import TradingMode
from mastertrade.domain.strategy import Signal, SignalType


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """The risk manager's settings as numbers. Percentages are percent of the account's equity, amounts are in its quote
    asset, which counts as US dollars."""

    position_percent: Decimal
    """What a signal of full strength asks for; the other limits only cut."""
    max_position_percent: Decimal
    max_daily_loss_percent: Decimal
    max_drawdown_percent: Decimal
    reserve_percent: Decimal
    min_notional: Decimal
    max_notional: Decimal
    slippage_percent: Decimal
    """Reserved on top of the price of a market buy, because it fills at a price not known yet."""
    max_signal_age_s: float
    max_price_age_s: float
    max_clock_skew_s: float
    approval_valid_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One signal and the state of the world it is judged in, read in one transaction under the account's lock."""

    signal: Signal
    instrument: Instrument
    now: datetime
    mode: TradingMode
    halts: str
    """Which scopes do not run, by whom and why, in words; empty while everything runs."""
    strategy_is_enabled: bool
    risk_multiplier: float
    max_order_quantity: Decimal | None
    account_venue: str
    account_quote: str
    price: Decimal
    price_as_of: datetime
    equity: Decimal
    high_water_mark: Decimal
    day_start_equity: Decimal
    quote_free: Decimal
    base_free: Decimal
    base_held: Decimal
    """Free and reserved units of the base asset, of all strategies of the account."""
    pending_buys: Decimal
    """Quote still reserved for buys of this instrument that have not filled yet."""
    position_quantity: Decimal
    """What the strategy itself holds of the instrument."""
    in_flight: str
    """What of this strategy and instrument may still trade, in words; empty for nothing."""
    quantity: Decimal = Decimal(0)
    """The quantity under judgement: what was asked for, less what earlier checks cut off."""

    @property
    def is_exit(self) -> bool:
        """Spot, long only: a sale can only give up what is held."""
        return self.signal.type is SignalType.SELL

    @property
    def side(self) -> Side:
        return Side.SELL if self.is_exit else Side.BUY
