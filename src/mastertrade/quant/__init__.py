"""Approximate numbers: float64 arrays in, numbers or arrays out; no I/O, no Decimal."""
