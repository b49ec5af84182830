"""Venues behind two ports: one to trade at, one for public market data."""
