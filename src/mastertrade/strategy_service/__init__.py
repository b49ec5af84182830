"""Runs the active strategies on closed bars, and stores and publishes the signals they raise with their evidence."""
