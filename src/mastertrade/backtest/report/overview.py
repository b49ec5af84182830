"""The figures of a run in words, in the order in which one asks for them; terminal and page show the same."""

from dataclasses import dataclass
from typing import Any

from mastertrade.backtest.report.figures import cost_lines, drawdown_dates, holding_curve
from mastertrade.backtest.report.model import RunReport
from mastertrade.backtest.report.summary import summarise
from mastertrade.backtest.report.trades import REASONS
from mastertrade.backtest.report.wording import NOTHING, count, day, days, interval, number, parameters, percent
from mastertrade.quant.metrics import DAY_MS


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """``tone`` is good, bad or empty."""

    name: str
    value: str
    note: str
    tone: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Overview:
    """``costs`` leads from gross to net. ``holding_return`` is what buying and holding made."""

    head: str
    details: str
    period: str
    summary: dict[str, Any]
    figures: list[Figure]
    costs: list[Figure]
    holding_return: float | None


def overview(report: RunReport) -> Overview:
    result, summary = report.result, summarise(report.result)
    curve = holding_curve(result, report.bars)
    holding = None if curve is None else float(curve[-1]) / result.cash - 1.0
    symbols = [symbol for symbol in result.symbols if symbol]
    head = report.title + (f" on {', '.join(symbols)}" if symbols else "")
    return Overview(
        head=f"{head}, {interval(result.interval_s)} bars",
        details=parameters({**report.provenance.parameters, **report.provenance.settings}),
        period=_period(report),
        summary=summary,
        figures=[*_returns(report, summary, holding), *_ratios(summary), *_trading(report, summary)],
        costs=_costs(report, summary),
        holding_return=holding,
    )


def _period(report: RunReport) -> str:
    result = report.result
    if not len(result.time):
        return "no bars"
    end_ms = int(result.time[-1]) + result.interval_s * 1000
    lasted = days(end_ms - int(result.time[0]))
    last_day = day(max(end_ms - 1, int(result.time[0])))
    return f"{day(int(result.time[0]))} to {last_day}: {lasted}, {count(result.bars, 'bar')}, times in UTC"


def _returns(report: RunReport, summary: dict[str, Any], holding: float | None) -> list[Figure]:
    made, yearly = summary["total_return"], summary["cagr"]
    note = "after all costs" if yearly is None else f"after all costs; {percent(yearly, 1)} a year"
    rows = [Figure(name="return", value=percent(made), note=note, tone=_tone(made))]
    if holding is not None:
        ahead = made - holding
        than = f"the strategy made {number(abs(ahead) * 100)} points {'more' if ahead >= 0 else 'less'}"
        rows.append(Figure(name="buy and hold", value=percent(holding), note=f"{than}; same costs, all cash"))
    fall = drawdown_dates(report.result)
    if fall is None:
        rows.append(Figure(name="max drawdown", value="0.00 %", note="never below an earlier peak"))
    else:
        back = f"recovered {day(fall.recovered_ms)}" if fall.recovered_ms is not None else "not recovered"
        note = f"from {day(fall.peak_ms)} to {day(fall.trough_ms)}, {back}"
        rows.append(Figure(name="max drawdown", value=percent(fall.depth, sign=False), note=note, tone="bad"))
    if summary["max_drawdown_days"]:
        longest = days(summary["max_drawdown_days"] * DAY_MS)
        rows.append(Figure(name="under water", value=longest, note="longest time below an earlier peak"))
    return rows


def _ratios(summary: dict[str, Any]) -> list[Figure]:
    notes = {
        "Sharpe": "return by its swings, daily, a year of 365 days",
        "Sortino": "the same, counting only swings down",
        "Calmar": "return a year by max drawdown",
    }
    rows = []
    for name, note in notes.items():
        value = summary[f"{name.lower()}_ratio"]
        why = note if value is not None else f"{note}; this run is too short or too even for it"
        tone = "bad" if _tone(value) == "bad" else ""  # a ratio just above 0 is nothing to be glad of
        rows.append(Figure(name=name, value=number(value), note=why, tone=tone))
    return rows


def _trading(report: RunReport, summary: dict[str, Any]) -> list[Figure]:
    trades, exposed = summary["total_trades"], percent(summary["exposure"], 1, sign=False)
    rows = [Figure(name="trades", value=f"{trades:,}", note=_trades_note(summary))]
    if trades:
        factor = summary["profit_factor"]
        note = "money won by money lost" if factor is not None else "money won by money lost; nothing was lost"
        rows.append(Figure(name="profit factor", value=number(factor), note=note))
        won, lost = number(summary["avg_win"], sign=True), number(summary["avg_loss"], sign=True)
        note = f"average trade, net; winners {won}, losers {lost}"
        expectancy = summary["expectancy"]
        rows.append(Figure(name="expectancy", value=number(expectancy, sign=True), note=note, tone=_tone(expectancy)))
    rows.append(Figure(name="exposure", value=exposed, note="of the bars with a position held at their close"))
    if set(summary["exits"]) - {"signal", "end"}:
        named = {reason.name.lower(): text for reason, text in REASONS.items()}
        most, *others = (f"{times:,} {named[reason]}" for reason, times in summary["exits"].items())
        rows.append(Figure(name="exits", value=f"{trades:,}", note=", ".join([most, *others])))
    if summary["is_ruined"]:
        note = "the account was worth nothing, which ended the run"
        rows.append(Figure(name="ruined", value="yes", note=note, tone="bad"))
    if summary["drilled"]:
        note = "bars that touched stop and target, where finer bars told which came first"
        rows.append(Figure(name="drilled", value=f"{summary['drilled']:,}", note=note))
    if summary["carried"]:
        note = "fills cut by the volume of a bar, the rest left for the next"
        rows.append(Figure(name="carried", value=f"{summary['carried']:,}", note=note))
    ambiguous = summary["ambiguous"]
    if ambiguous:
        note = f"of {trades:,} exits touched stop and target in one bar: stop taken (finer bars can tell)"
        rows.append(Figure(name="ambiguous", value=f"{ambiguous:,}", note=note, tone="bad"))
    if summary["unfilled"]:
        note = "orders for which cash, a free place or the market's minimum left nothing"
        rows.append(Figure(name="not filled", value=f"{summary['unfilled']:,}", note=note))
    return rows


def _trades_note(summary: dict[str, Any]) -> str:
    if not summary["total_trades"]:
        return "the strategy never traded"
    held = summary["avg_trade_duration_bars"]
    note = f"{percent(summary['win_rate'], 1, sign=False)} won, held {number(held, 1)} bars on average"
    ended = summary["closed_at_end"]
    return note + (f"; {ended} closed by the end of data" if ended else "")


def _costs(report: RunReport, summary: dict[str, Any]) -> list[Figure]:
    capital, gross = report.result.cash, summary["gross_profit"]
    rows = [
        Figure(name="before costs", value=number(gross, sign=True), note=f"{percent(gross / capital)} of the capital")
    ]
    for line in cost_lines(report.result):
        of_gross = "" if line.of_gross is None else f", {percent(line.of_gross, 1, sign=False)} of the gross profit"
        note = f"{percent(-line.of_capital)}{of_gross}"
        rows.append(Figure(name=line.kind, value=number(-line.amount, sign=True), note=note))
    net = summary["net_profit"]
    paid = gross - net
    share = f"; costs took {percent(paid / gross, 1, sign=False)} of the gross" if gross > 0.0 and paid > 0.0 else ""
    rows.append(
        Figure(
            name="after costs",
            value=number(net, sign=True),
            note=f"{percent(net / capital)} of the capital{share}",
            tone=_tone(net),
        )
    )
    return rows


def _tone(value: float | None) -> str:
    if value is None or value == 0.0 or number(value) == NOTHING:
        return ""
    return "good" if value > 0.0 else "bad"
