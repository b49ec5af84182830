"""A case: everything one judgement looks at, gathered before it begins."""

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from mastertrade.domain.market import Instrument
from mastertrade.domain.orders import Side
from mastertrade.domain.risk import TradingMode
from mastertrade.domain.strategy import Signal, SignalType
from mastertrade.risk_manager.exposure import Exposure
from mastertrade.risk_manager.sizing_methods import USUAL, Sizing


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One signal and the state of the world it is judged in, read in one transaction under the account's lock."""

    signal: Signal
    instrument: Instrument
    now: datetime
    mode: TradingMode
    halts: str
    """Which scopes do not run, by whom and why, in words; empty while everything runs."""
    locks: str
    """Which protections hold entries back, until when and why, in words; empty for none."""
    strategy_is_enabled: bool
    risk_multiplier: float
    max_order_quantity: Decimal | None
    account_venue: str
    account_quote: str
    price: Decimal
    price_as_of: datetime
    market_price: Decimal | None
    """The last stored close; None where there is none."""
    orders_this_second: int
    orders_this_minute: int
    orders_this_day: int
    """Approvals of the account in the present second, minute and UTC day."""
    equity: Decimal
    high_water_mark: Decimal
    day_start_equity: Decimal
    week_start_equity: Decimal
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
    exposure: Exposure
    sizing: Sizing = USUAL
    breaker_override: str = ""
    """Until when, by whom and why the circuit breaker is held open for the account; empty where it is not."""
    requested: Decimal = Decimal(0)
    """What was asked for, before any check."""
    quantity: Decimal = Decimal(0)
    """The quantity under judgement: what was asked for, less what earlier checks cut off."""

    @property
    def is_exit(self) -> bool:
        """Spot, long only: a sale can only give up what is held."""
        return self.signal.type is SignalType.SELL

    @property
    def side(self) -> Side:
        return Side.SELL if self.is_exit else Side.BUY

    @property
    def taken(self) -> Decimal:
        """What the account holds of the asset and what is reserved for buying more of it, in quote."""
        return self.base_held * self.price + self.pending_buys
