"""Finds price differences between venues that outlive both fees, and stores and publishes them."""
