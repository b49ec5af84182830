"""Plumbing that knows no trading word."""
