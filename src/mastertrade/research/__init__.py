"""Backtests for people who write Python: what ``import mastertrade as mt`` offers, and what the commands stand on."""
