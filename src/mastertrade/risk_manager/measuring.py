"""Portfolio risk out of the database: the book at its last mark, daily returns as known then, figures stored by day."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

import numpy as np

from mastertrade.quant.risk.tails import TailMethod
from mastertrade.risk_manager.condition import Condition, condition_of, priced_holdings
from mastertrade.risk_manager.market_risk import BarsOf, MarketRisk
from mastertrade.risk_manager.portfolio import EVERY_METHOD, Book, Holding, daily_returns, measure, together
from mastertrade.risk_manager.stress import CRASHES, Crash, Stress, under_moves
from mastertrade.risk_manager.var_backtest import (
    FEWEST_TESTED,
    KEPT,
    TESTED_DAYS,
    VarBacktest,
    backtest_holdings,
    evaluate,
)
from mastertrade.shared.errors import NotFound
from mastertrade.shared.postgres_manager import Database
from mastertrade.shared.queries import load_queries

QUERIES = load_queries(Path(__file__).with_name("portfolio.sql"))
DAY: Final = timedelta(days=1)
DAY_S: Final = 86_400


class PortfolioMeter:
    """Only what was known at the midnight before the book's moment counts: a replayed account is measured as it would
    have been, and all day alike. ``markets`` are those of an owner who keeps a day's numbers."""

    def __init__(
        self, *, database: Database, bars_of: BarsOf, window_days: int, markets: MarketRisk | None = None
    ) -> None:
        self._db = database
        self._bars = bars_of(database)
        self._window_days = window_days
        self._markets = markets or MarketRisk(bars_of=bars_of, window_days=window_days)

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
            high_water_at=row["high_water_at"],
            max_drawdown=row["max_drawdown"],
            holdings=tuple(Holding(**dict(one)) for one in rows if one["asset"] != row["quote_asset"]),
        )

    async def condition(
        self, book: Book, *, confidences: tuple[float, ...], methods: Sequence[TailMethod] = EVERY_METHOD
    ) -> Condition:
        """``methods`` beside the historical one, which is always there."""
        priced = priced_holdings(book)
        markets = [
            None if one.instrument_id is None else await self._markets.market(self._db, one.instrument_id, book.as_of)
            for one in priced
        ]
        daily = {
            one.instrument_id: market.daily
            for one, market in zip(priced, markets, strict=True)
            if one.instrument_id is not None and market is not None
        }
        risk = measure(book, daily, window_days=self._window_days, confidences=confidences, methods=methods)
        together = await self._markets.together(self._db, [one.instrument_id for one in priced], book.as_of)
        return condition_of(risk, markets=markets, together=together, confidence=confidences[0])

    async def backtest(self, book: Book, *, confidences: tuple[float, ...]) -> list[VarBacktest]:
        """Of today's holdings over the last 250 days, and of the forecasts that were kept, where there are 20 days."""
        measured = [one for one in priced_holdings(book) if one.instrument_id is not None]
        start = book.as_of - DAY * (self._window_days + TESTED_DAYS + 1)
        series = []
        for one in measured:
            assert one.instrument_id is not None, "chosen above"
            bars = await self._bars.read(one.instrument_id, DAY_S, start, book.as_of, as_of=book.as_of)
            series.append(daily_returns(bars.time, bars.close))
        values = np.array([float(one.value or 0) for one in measured])
        gross = float(np.sum(np.abs(values)))
        ours = together(series) @ values / gross if gross else np.zeros(0)
        found = backtest_holdings(ours, window=self._window_days, confidences=confidences)
        return [*found, *await self._kept_forecasts(book, confidences[0])]

    async def _kept_forecasts(self, book: Book, confidence: float) -> list[VarBacktest]:
        """Each day's last forecast against what the account did until the next day's last look, deposits apart."""
        rows = await QUERIES.fetch(
            self._db, "kept_forecasts", account_id=book.account_id, as_of=book.as_of, days=TESTED_DAYS
        )
        if len(rows) < FEWEST_TESTED:
            return []
        return [evaluate(KEPT, confidence, *(np.array([row[name] for row in rows]) for name in ("loss", "forecast")))]

    async def store_backtest(self, book: Book, found: Sequence[VarBacktest]) -> None:
        await QUERIES.execute(
            self._db,
            "store_var_backtest",
            account_id=book.account_id,
            as_of=book.as_of,
            found=[
                {
                    "method": one.method,
                    "confidence": one.confidence,
                    "days": one.days,
                    "hits": one.hits,
                    "light": one.light.value,
                    "values": asdict(one),
                }
                for one in found
            ],
        )

    async def stress(self, book: Book) -> list[Stress]:
        """The crashes of ``stress`` over what is held; those nothing is stored of have no loss."""
        return [under_moves(book, crash.name, crash.what, await self._moves(book, crash)) for crash in CRASHES]

    async def store(self, found: Condition) -> None:
        """The day's last measurement wins; an older one than the stored changes nothing."""
        figures: dict[str, dict[str, Any]] = {}
        for figure in found.risk.figures:
            name = f"{figure.method}_{figure.confidence:g}_{figure.horizon_days}d"
            figures.setdefault(name, _plain(asdict(figure)))
        await QUERIES.execute(
            self._db,
            "store_risk",
            account_id=found.book.account_id,
            as_of=found.book.as_of,
            metrics=metrics_of(found),
            correlations=found.risk.correlation,
            figures=[{"method": name, "values": values} for name, values in figures.items()],
        )

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


def metrics_of(found: Condition) -> dict[str, Any]:
    """The figures under the names of the older system, money in the quote asset and percentages in percent."""
    risk, book = found.risk, found.book
    shares = [abs(part.share_percent) for part in risk.parts]
    return {
        "account": book.account,
        "total_portfolio_value": float(book.equity),
        "cash_balance": float(book.cash),
        "total_exposure": risk.exposure,
        "leverage_ratio": risk.leverage,
        "var_1d": found.loss.one_day,
        "var_5d": found.loss.five_days,
        "expected_shortfall": found.loss.shortfall,
        "var_is_assumed": found.loss.is_assumed,
        "current_drawdown": risk.drawdown_percent,
        "max_drawdown": max(float(book.max_drawdown * 100), risk.drawdown_percent),
        "drawdown_days": book.drawdown_days,
        "concentration_hhi": risk.concentration,
        "correlation_risk": found.correlation,
        "sector_concentration": dict(found.classes),
        "largest_position_percent": max(shares, default=0.0),
        "positions_over_5pct": sum(share > 5 for share in shares),
        "positions_over_10pct": sum(share > 10 for share in shares),
        "avg_liquidity_score": found.liquidity,
        "illiquid_positions_percent": found.illiquid_percent,
        "diversification_ratio": risk.diversification,
        "adjusted_exposure": risk.adjusted_exposure,
        "risk_score": found.score,
        "risk_level": found.level.value,
        "window_days": risk.window_days,
        "days": risk.days,
        "notes": list(risk.notes),
    }


def _plain(values: Mapping[str, Any]) -> dict[str, Any]:
    return {name: str(value) if name == "method" else value for name, value in values.items()}
