"""The older name of ``arbitrage_service.database``."""

from mastertrade.arbitrage_service.database import Database, database

__all__ = ["Database", "database"]
