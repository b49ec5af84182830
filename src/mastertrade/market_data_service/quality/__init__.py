"""How good stored candles are: rules, what they found, a score a series; and the candles that wait for a decision."""
