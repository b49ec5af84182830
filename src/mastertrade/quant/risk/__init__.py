"""Portfolio risk: tails, volatility, joint movement, positions together, and whether the forecasts were right."""
