"""Venues behind one port: the paper venue today; real exchanges through the same door."""
