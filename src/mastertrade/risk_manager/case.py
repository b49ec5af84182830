"""A case: everything one judgement looks at, gathered before it begins."""

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from mastertrade.domain.market import Instrument, InstrumentKind
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
    usual_price: Decimal | None = None
    """The median of the market's last closes; None where it has fewer than make one."""
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
    """What the strategy itself holds of the instrument, a short of a swap below 0."""
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

    account_kind: InstrumentKind = InstrumentKind.SPOT
    leverage: Decimal = Decimal(1)
    """Notional that a unit of margin may carry."""
    others_quantity: Decimal = Decimal(0)
    """What other strategies of the account hold of a swap, shorts below 0."""
    maintenance_rate: float | None = None
    """Of the notional, what a position as large as the account could have must keep as margin; None where no tiers of
    the venue are known."""
    closes: Decimal = Decimal(0)
    """Of an entry that turns a position: what it closes of the other side on the way."""

    @property
    def is_swap(self) -> bool:
        return self.instrument.kind is InstrumentKind.SWAP

    @property
    def is_exit(self) -> bool:
        """Spot, long only: a sale can only give up what is held. A swap: what only reduces the position, or may do no
        more."""
        if not self.is_swap:
            return self.signal.type is SignalType.SELL
        if self.signal.terms.reduce_only:
            return True
        wanted = self.signal.quantity
        return self.is_against and not self.signal.turns and (wanted is None or wanted <= abs(self.position_quantity))

    @property
    def is_against(self) -> bool:
        """The signal and what its strategy holds point to opposite sides."""
        held = self.position_quantity
        return held > 0 if self.signal.type is SignalType.SELL else held < 0

    @property
    def is_turn(self) -> bool:
        return self.is_swap and self.is_against and not self.is_exit

    @property
    def side(self) -> Side:
        return Side.SELL if self.signal.type is SignalType.SELL else Side.BUY

    @property
    def sign(self) -> int:
        """Of what is held after an entry."""
        return 1 if self.side is Side.BUY else -1

    @property
    def to_give_up(self) -> Decimal:
        """What an exit of this signal's side may give up at most."""
        return abs(self.position_quantity) if self.is_against else Decimal(0)

    @property
    def taken(self) -> Decimal:
        """What the account holds of the asset, on whichever side, and what is reserved for more of it, in quote."""
        return self.base_held * self.price + self.pending_buys
