"""A venue on this machine that speaks Binance's public protocol, and misbehaves on command."""

from mastertrade.exchanges.simulated.faults import Fault, FaultKind, FaultScript
from mastertrade.exchanges.simulated.limits import Limits
from mastertrade.exchanges.simulated.markets import GivenCandles, LocalMarket, SimulatedCandles, simulated_market
from mastertrade.exchanges.simulated.server import SimulatedVenue
from mastertrade.exchanges.simulated.venue_time import VenueTime

__all__ = [
    "Fault",
    "FaultKind",
    "FaultScript",
    "GivenCandles",
    "Limits",
    "LocalMarket",
    "SimulatedCandles",
    "SimulatedVenue",
    "VenueTime",
    "simulated_market",
]
