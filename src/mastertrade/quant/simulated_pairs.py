"""The pairs of the simulated market: every simulated venue lists them, and a seed gives each the same prices."""

from mastertrade.quant.simulator import SimulatedPair

# Prices, volatilities, correlations and volumes near those of Binance in September 2021.
PAIRS: dict[str, SimulatedPair] = {
    "BTC/USDT": SimulatedPair(
        stream=0,
        base_price=47_000.0,
        annual_volatility=0.65,
        correlation=1.0,
        price_decimals=2,
        volume_decimals=5,
        minute_volume=24.0,
    ),
    "ETH/USDT": SimulatedPair(
        stream=1,
        base_price=3_300.0,
        annual_volatility=0.85,
        correlation=0.85,
        price_decimals=2,
        volume_decimals=4,
        minute_volume=220.0,
    ),
    "SOL/USDT": SimulatedPair(
        stream=2,
        base_price=150.0,
        annual_volatility=1.25,
        correlation=0.65,
        price_decimals=2,
        volume_decimals=2,
        minute_volume=1_900.0,
    ),
    "ADA/USDT": SimulatedPair(
        stream=3,
        base_price=2.3,
        annual_volatility=1.0,
        correlation=0.75,
        price_decimals=4,
        volume_decimals=1,
        minute_volume=74_000.0,
    ),
    "DOGE/USDT": SimulatedPair(
        stream=4,
        base_price=0.24,
        annual_volatility=1.1,
        correlation=0.7,
        price_decimals=5,
        volume_decimals=0,
        minute_volume=400_000.0,
    ),
}
