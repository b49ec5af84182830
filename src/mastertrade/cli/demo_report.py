"""What a demo did, as one object, and as a page for people."""

from collections.abc import Mapping, Sequence
from typing import Any

from rich.text import Text

from mastertrade.cli.markets import CASH, markets_of
from mastertrade.cli.output import bad, bold, clean, grid, show
from mastertrade.cli.progress import Screen
from mastertrade.cli.queries import QUERIES
from mastertrade.cli.wording import NOTHING, amount, count, counted, moment, money, signed_share, words
from mastertrade.market_data_service.loading import LoadReport
from mastertrade.market_data_service.player import PlayReport
from mastertrade.order_executor.postgres_database import ExecutorPostgresDatabase
from mastertrade.platform import Platform

SYNTHETIC = "synthetic"
TOP_REASONS = 5
NO_SIGNALS = "none: neither strategy wanted anything else in this time; more --hours may show some"
NEXT = (
    ("mastertrade why last-order", "the last order, from candle to ledger"),
    ("mastertrade status", "what is held and what waits"),
    ("mastertrade up", "the five services, until Ctrl-C"),
    ("mastertrade doctor", "is anything wrong?"),
)


async def collect(
    platform: Platform, loaded: LoadReport, results: Sequence[Mapping[str, Any]], played: PlayReport, data: str
) -> dict[str, Any]:
    """Counts are numbers, money is exact text, results of backtests are statistics."""
    manager, plan, account_id = platform.manager, platform.plan, platform.account.id
    markets = markets_of(plan.source)
    candles = await QUERIES.fetchrow(manager, "feed_candles", feed=plan.feed, venue_symbols=markets)
    counts = await QUERIES.fetchrow(manager, "account_counts", account_id=account_id)
    last = await QUERIES.fetchrow(manager, "last_order", account_id=account_id)
    assert candles is not None, "sums are always one row"
    assert counts is not None, "counts are always one row"
    reasons = await QUERIES.fetch(manager, "refusal_reasons", account_id=account_id, page=TOP_REASONS)
    positions = await QUERIES.fetch(manager, "positions", account_id=account_id)
    equity = await QUERIES.fetchval(manager, "account_equity", account_id=account_id)
    problems = await ExecutorPostgresDatabase().ledger_problems(manager)
    return {
        "data": data,
        "account": platform.account.name,
        "venue": platform.account.venue,
        "replayed_from": plan.begin_after,
        "replayed_to": plan.end,
        "batches": played.batches,
        "replay_seconds": round(played.seconds, 2),
        **dict(candles),
        "rows_refused": loaded.refused.total + plan.source.refused().total,
        "backtests": list(results),
        **dict(counts),
        "refusals": {row["name"]: row["times"] for row in reasons},
        "last_order": last["client_order_id"] if last else None,
        "opportunities": await QUERIES.fetchval(manager, "opportunities_since", since=plan.begin_after, until=plan.end),
        "positions": [dict(row) for row in positions],
        "cash": CASH,
        "equity": CASH if equity is None else equity,
        "quote_asset": platform.account.quote_asset,
        "ledger_balanced": not problems,
        "ledger_problems": [f"{one.problem}: {one.subject} {one.difference}" for one in problems],
    }


def loaded_text(report: LoadReport) -> str:
    refused = f", {counted(report.refused.total, 'row')} refused" if report.refused.total else ""
    missing = f" ({count(report.missing)} missing)" if report.missing else ""
    rows, series = counted(report.rows, "row"), counted(len(report.series), "series", "series")
    return f"{rows} in {series}, {counted(report.gaps, 'gap')}{missing}{refused}"


def backtest_text(summary: Mapping[str, Any]) -> str:
    cash = summary["initial_capital"]
    sharpe = NOTHING if summary["sharpe_ratio"] is None else f"{summary['sharpe_ratio']:.2f}"
    fees, slippage = signed_share(-summary["fees"] / cash), signed_share(-summary["slippage"] / cash)
    return (
        f"{counted(summary['total_trades'], 'trade')}, net {signed_share(summary['total_return'])} "
        f"(fees {fees}, spread and slippage {slippage}), "
        f"max drawdown {summary['max_drawdown'] or 0:.2%}, Sharpe {sharpe}"
    )


def print_report(report: Mapping[str, Any], screen: Screen) -> None:
    batches = f"{counted(report['batches'], 'batch', 'batches')} to {moment(report['replayed_to'])} UTC"
    screen.line("replay", f"{batches}, account {report['account']} at {report['venue']}", report["replay_seconds"])
    screen.line("signals", count(report["signals"]) if report["signals"] else NO_SIGNALS)
    screen.line("verdicts", _verdicts(report))
    screen.line("orders", f"{count(report['orders'])}, the last is {report['last_order'] or NOTHING}")
    screen.line("fills", count(report["fills"]))
    held = ", ".join(f"{amount(one['quantity'])} {one['symbol']}" for one in report["positions"])
    screen.line("positions", held or "none open")
    change = signed_share(report["equity"] / report["cash"] - 1)
    screen.line("equity", f"{money(report['equity'])} {report['quote_asset']} ({change} on {money(report['cash'])})")
    seen = counted(report["opportunities"], "difference")
    screen.line("arbitrage", f"{seen} between venues after fees (recorded, not traded)")
    screen.line("ledger", _ledger(report))
    screen.line("data", _data(report["data"]))
    stored = f"{count(report['rows'])} candles with {counted(report['gaps'], 'gap')} are stored now"
    screen.line("time", f"{report['seconds']:.1f} s in all; {stored}")
    show("", "What to type next (from a checkout, ./mt in place of mastertrade):")
    show(grid([(bold(command), what) for command, what in NEXT], indent=2))


def _verdicts(report: Mapping[str, Any]) -> str:
    reasons = ", ".join(f"{words(name)} {count(times)}" for name, times in report["refusals"].items())
    because = f" ({reasons})" if reasons else ""
    return f"{report['approved']} approved, {report['reduced']} reduced, {report['refused']} refused{because}"


def _ledger(report: Mapping[str, Any]) -> str | Text:
    if report["ledger_balanced"]:
        return "balanced: every asset sums to zero, balances and positions equal it"
    return bad("NOT balanced: " + "; ".join(report["ledger_problems"]))


def _data(data: str) -> str:
    is_synthetic = data == SYNTHETIC
    return "synthetic: a seeded market simulator, not real prices" if is_synthetic else f"candles from {clean(data)}"
