"""Portfolio risk out of the database: the book at its last mark, daily returns as known then, figures stored by day."""

from collections.abc import Mapping
from dataclasses import asdict
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

import numpy as np

from mastertrade.quant.bars import BarSource
from mastertrade.risk_manager.portfolio import Book, Daily, Figure, Holding, PortfolioRisk, daily_returns, measure
from mastertrade.risk_manager.stress import CRASHES, Crash, Stress, under_moves
from mastertrade.shared.errors import NotFound
from mastertrade.shared.postgres_manager import Database
from mastertrade.shared.queries import load_queries

QUERIES = load_queries(Path(__file__).with_name("portfolio.sql"))
DAY: Final = timedelta(days=1)
DAY_S: Final = 86_400


class PortfolioMeter:
    """``bars`` gives what was known at the book's moment: a replayed account is measured as it would have been."""

    def __init__(self, *, database: Database, bars: BarSource) -> None:
        self._db = database
        self._bars = bars

    async def book(self, account: str | None = None) -> Book:
        """Of the account of this name or id, else of the one marked last. NotFound names the accounts there are."""
        row = await QUERIES.fetchrow(self._db, "book_account", account=account)
        if row is None:
            names = [one["name"] for one in await QUERIES.fetch(self._db, "account_names")]
            there = f"there are: {', '.join(names)}" if names else "there is none yet; mastertrade demo makes one"
            wanted = (
                "no account was ever marked" if account is None else f"account {account!r} is unknown or never marked"
            )
            raise NotFound(f"{wanted}; {there}")
        rows = await QUERIES.fetch(self._db, "holdings", account_id=row["id"], as_of=row["marked_at"])
        cash = sum((one["quantity"] for one in rows if one["asset"] == row["quote_asset"]), start=Decimal(0))
        return Book(
            account_id=row["id"],
            account=row["name"],
            venue=row["venue"],
            quote=row["quote_asset"],
            as_of=row["marked_at"],
            equity=row["equity"],
            cash=cash,
            high_water_mark=row["high_water_mark"],
            holdings=tuple(Holding(**dict(one)) for one in rows if one["asset"] != row["quote_asset"]),
        )

    async def measure(self, book: Book, *, window_days: int, confidences: tuple[float, ...]) -> PortfolioRisk:
        daily = {
            one.instrument_id: await self._daily(one.instrument_id, book, window_days)
            for one in book.holdings
            if one.instrument_id is not None and one.value
        }
        return measure(book, daily, window_days=window_days, confidences=confidences)

    async def stress(self, book: Book) -> list[Stress]:
        """The crashes of ``stress`` over what is held; those nothing is stored of have no loss."""
        return [under_moves(book, crash.name, crash.what, await self._moves(book, crash)) for crash in CRASHES]

    async def store(self, risk: PortfolioRisk) -> None:
        """The day's last measurement wins; an older one than the stored changes nothing."""
        figures: dict[str, dict[str, Any]] = {}
        for figure in risk.figures:
            name = f"{figure.method}_{figure.confidence:g}_{figure.horizon_days}d"
            figures.setdefault(name, _plain(asdict(figure)))
        await QUERIES.execute(
            self._db,
            "store_risk",
            account_id=risk.book.account_id,
            as_of=risk.book.as_of,
            metrics=metrics_of(risk),
            correlations=risk.correlation,
            figures=[{"method": name, "values": values} for name, values in figures.items()],
        )

    async def _daily(self, instrument_id: int, book: Book, window_days: int) -> Daily:
        start = book.as_of - DAY * (window_days + 1)
        bars = await self._bars.read(instrument_id, DAY_S, start, book.as_of, as_of=book.as_of)
        return daily_returns(bars.time, bars.close)

    async def _moves(self, book: Book, crash: Crash) -> dict[str, float]:
        moves = {}
        for one in book.holdings:
            if one.instrument_id is None or not one.value or crash.ends > book.as_of:
                continue
            bars = await self._bars.read(one.instrument_id, DAY_S, crash.starts - DAY, crash.ends)
            if len(bars) > 1 and int(bars.time[0]) == int((crash.starts - DAY).timestamp() * 1000):
                worst = np.min(bars.close[1:]) if one.value > 0 else np.max(bars.close[1:])
                moves[one.symbol] = float(worst / bars.close[0] - 1.0)
        return moves


def metrics_of(risk: PortfolioRisk) -> dict[str, Any]:
    """The figures under the names of the older system, money in the quote asset and percentages in percent."""
    shares = [abs(part.share_percent) for part in risk.parts]
    return _plain(
        {
            "account": risk.book.account,
            "total_portfolio_value": float(risk.book.equity),
            "cash_balance": float(risk.book.cash),
            "total_exposure": risk.exposure,
            "leverage_ratio": risk.leverage,
            "var_1d": _first(risk.figures, 1, "value_at_risk"),
            "var_5d": _first(risk.figures, 5, "value_at_risk"),
            "expected_shortfall": _first(risk.figures, 1, "expected_shortfall"),
            "current_drawdown": risk.drawdown_percent,
            "concentration_hhi": risk.concentration,
            "largest_position_percent": max(shares, default=0.0),
            "positions_over_5pct": sum(share > 5 for share in shares),
            "positions_over_10pct": sum(share > 10 for share in shares),
            "diversification_ratio": risk.diversification,
            "adjusted_exposure": risk.adjusted_exposure,
            "window_days": risk.window_days,
            "days": risk.days,
            "notes": list(risk.notes),
        }
    )


def _first(figures: tuple[Figure, ...], horizon: int, name: str) -> float | None:
    """Of the historical figures, the first confidence."""
    return next((getattr(one, name) for one in figures if one.horizon_days == horizon), None)


def _plain(values: Mapping[str, Any]) -> dict[str, Any]:
    return {name: str(value) if name == "method" else value for name, value in values.items()}
