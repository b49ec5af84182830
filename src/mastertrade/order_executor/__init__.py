"""Sends approved orders to venues, never twice, and books what comes back."""
