"""MasterTrade: a self-hosted crypto trading platform on one PostgreSQL."""

__version__ = "0.1.0"
