"""The sections of one run."""

from collections.abc import Sequence

import numpy as np

from mastertrade.backtest.report.charts import Line, bars_chart, candle_band, curves
from mastertrade.backtest.report.figures import drawdowns, equity_times, histogram, holding_curve, month_grid
from mastertrade.backtest.report.markup import Child, Safe, tag
from mastertrade.backtest.report.model import RunReport
from mastertrade.backtest.report.overview import Figure, Overview
from mastertrade.backtest.report.parts import data_table, figure_table, section, shade, tiles, toned
from mastertrade.backtest.report.terminal import MONTHS
from mastertrade.backtest.report.trades import TradeColumns
from mastertrade.backtest.report.wording import NOTHING, count, minute, number, percent, significant
from mastertrade.quant.bars import FloatArray

STATIC_TRADES = 100
"""Rows of the table of trades that are there without a script."""
TRADE_HEADERS = ("#", "side", "entered", "left", "in at", "out at", "bars", "costs", "net", "return", "why left")


def headline(seen: Overview) -> Safe:
    """The five figures one asks for first."""
    by_name = {figure.name: figure for figure in seen.figures}
    wanted = [
        by_name[name] for name in ("return", "buy and hold", "max drawdown", "Sharpe", "trades") if name in by_name
    ]
    last = seen.costs[-1]
    paid = seen.summary["net_profit"] - seen.summary["gross_profit"]
    costs = Figure(
        name="costs",
        value=percent(paid / seen.summary["initial_capital"]),
        note=last.note.partition("; ")[2] or "of the capital, nothing was earned to pay them",
        tone="bad" if paid < 0.0 else "",
    )
    return tiles([*wanted, costs])


def equity_section(report: RunReport) -> Child:
    result = report.result
    if not len(result.time):
        return section("equity", "Equity", tag("p", "There were no bars.", class_="note"))
    time, curve = equity_times(result), np.concatenate(([result.cash], result.equity))
    held = holding_curve(result, report.bars)
    lines = [Line(values=curve, class_="equity"), *([] if held is None else [Line(values=held, class_="hold")])]
    falls = drawdowns(curve)
    legend = tag(
        "p",
        key("equity", "strategy"),
        key("hold", "buy and hold, same costs") if held is not None else None,
        key("fall", "below the peak before"),
        class_="legend",
    )
    return section(
        "equity",
        "Equity and drawdown",
        legend,
        tag(
            "div",
            curves(time, lines, _curve_label("equity", curve), lambda value: number(value, 0), fill=True),
            curves(
                time,
                [Line(values=falls, class_="fall")],
                f"drawdown, at most {percent(-float(falls.min()), sign=False)}",
                lambda value: percent(value, 0, sign=False),
                fill=True,
                kind="short",
                zero_at_top=True,
            ),
            class_="chart",
            data_chart="equity",
        ),
    )


def candles_section(report: RunReport, trades: TradeColumns) -> Child:
    """One drawing a market; the script makes one chart of them, with a choice."""
    drawn = [_market(symbol, report, trades) for symbol, bars in report.bars.items() if len(bars)]
    if not drawn:
        return None
    legend = tag(
        "p",
        key("entry", "entry"),
        key("won", "exit with a profit"),
        key("lost", "exit with a loss"),
        class_="legend",
    )
    return section("candles", "Trades on the candles", legend, tag("div", drawn, class_="chart", data_chart="candles"))


def _market(symbol: str, report: RunReport, trades: TradeColumns) -> Safe:
    bars = report.bars[symbol]
    ours = [place for place, name in enumerate(trades.symbol) if name == symbol]
    entries = [(int(trades.entry_time[place]), float(trades.entry_price[place])) for place in ours]
    exits = [
        (int(trades.exit_time[place]), float(trades.exit_price[place]), float(trades.net[place]) > 0.0)
        for place in ours
    ]
    label = f"{symbol or 'price'}: {count(len(bars), 'bar')}, {count(len(ours), 'trade')}"
    band = candle_band(bars, entries, exits, label, lambda value: significant(value, 5))
    return tag("div", tag("h3", symbol) if len(report.bars) > 1 else None, band)


def figures_section(seen: Overview) -> Safe:
    return section(
        "figures",
        "Figures",
        tag(
            "div",
            figure_table(seen.figures, "Figures of the run"),
            tag("div", tag("h3", "From gross to net"), _cost_bar(seen), figure_table(seen.costs, "Costs")),
            class_="columns",
        ),
        note="Returns are after all costs. Times are UTC; ratios use daily returns and a year of 365 days.",
    )


def _cost_bar(seen: Overview) -> Child:
    """Gross profit, and what each cost took of it, to one scale."""
    parts = [(figure.name, _amount(figure)) for figure in seen.costs]
    largest = max((abs(amount) for _, amount in parts), default=0.0)
    if largest <= 0.0:
        return None
    rows = [
        tag(
            "tr",
            tag("th", name, scope="row"),
            tag(
                "td",
                tag(
                    "svg",
                    tag("rect", x=0.0, y=0.0, width=abs(amount) / largest * 100, height=8.0,
                        class_="bar " + ("good" if amount > 0.0 else "bad")),
                    viewBox="0 0 100 8", preserveAspectRatio="none", aria_hidden="true",
                ),
            ),
        )
        for name, amount in parts
    ]  # fmt: skip
    return tag("table", tag("tbody", rows), class_="cost-bars", aria_hidden="true")


def _amount(figure: Figure) -> float:
    return float(figure.value.replace(",", "")) if figure.value != NOTHING else 0.0


def months_section(monthly: dict[str, float]) -> Child:
    if not monthly:
        return None
    largest = max(abs(value) for value in monthly.values())
    rows = [
        [str(year), *(_month(value, largest) for value in months), toned(percent(whole, 1), _tone(whole))]
        for year, months, whole in month_grid(monthly)
    ]
    table = data_table(("year", *MONTHS, "all"), rows, "Return of each month", class_="months")
    return section("months", "Months", table, note="In percent; the first and the last month as far as the data go.")


def _month(value: float | None, largest: float) -> Safe:
    if value is None:
        return tag("td", "·", class_="figure none")
    shown = number(value * 100, 1, sign=True).replace("-", "\N{MINUS SIGN}")
    return tag("td", shown, class_=f"figure {shade(value, largest)}")


def distribution_section(trades: TradeColumns) -> Child:
    found = histogram(trades.value_return)
    if found is None:
        return None
    lows, highs = found.edges[:-1].tolist(), found.edges[1:].tolist()
    classes = ["good" if low >= 0.0 else "bad" for low in lows]
    digits = 2 if highs[0] - lows[0] < 0.01 else 1
    titles = [
        f"{percent(low, digits)} to {percent(high, digits)}: {count(times, 'trade')}"
        for low, high, times in zip(lows, highs, found.counts, strict=True)
    ]
    middle = f"half of the trades made more than {percent(float(np.median(trades.value_return)))}"
    outside = [
        f"{count(times, 'trade')} lies {side} it" if times == 1 else f"{times:,} trades lie {side} it"
        for times, side in ((found.below, "below"), (found.above, "above"))
        if times
    ]
    chart = bars_chart(
        [float(times) for times in found.counts], classes, titles, f"returns of trades; {middle}",
        [percent(value, digits) for value in np.linspace(found.edges[0], found.edges[-1], 5).tolist()],
        lambda value: number(value, 0),
    )  # fmt: skip
    note = "; ".join([f"Trades by their return, net of costs: {middle}", *outside]) + "."
    return section("distribution", "Distribution of trades", tag("div", chart, class_="chart"), note=note)


def trades_section(trades: TradeColumns, several: bool) -> Child:
    if not len(trades):
        return section("trades", "Trades", tag("p", "The strategy never traded.", class_="note"))
    headers = ("#", "market", *TRADE_HEADERS[1:]) if several else TRADE_HEADERS
    shown = range(min(len(trades), STATIC_TRADES))
    rows = [_trade(place, trades, several) for place in shown]
    table = data_table(headers, rows, "Trades", left=0, class_="trades", words=("market", "side", "why left"))
    more = f"The first {len(shown):,} of {len(trades):,} trades." if len(shown) < len(trades) else ""
    return section("trades", "Trades", tag("p", more, class_="note", id="trades-shown"), table)


def _trade(place: int, trades: TradeColumns, several: bool) -> Sequence[Child]:
    net = float(trades.net[place])
    why = trades.reason[place] + (" (ambiguous)" if trades.ambiguous[place] else "")
    cells: list[Child] = [str(place + 1), *([word(trades.symbol[place])] if several else [])]
    return [
        *cells,
        word(trades.side[place]),
        minute(int(trades.entry_time[place])),
        minute(int(trades.exit_time[place])),
        significant(float(trades.entry_price[place])),
        significant(float(trades.exit_price[place])),
        f"{int(trades.bars_held[place]):,}",
        number(float(trades.costs[place])),
        toned(number(net, sign=True), _tone(net)),
        toned(percent(float(trades.value_return[place])), _tone(net)),
        word(why),
    ]


def word(text: str) -> Safe:
    return tag("td", text)


def key(class_: str, text: str) -> Safe:
    return tag("span", tag("i", class_=f"key {class_}"), text)


def _curve_label(name: str, curve: FloatArray) -> str:
    return (
        f"{name}: from {number(float(curve[0]))} to {number(float(curve[-1]))}, lowest {number(float(curve.min()))},"
        f" highest {number(float(curve.max()))}"
    )


def _tone(value: float) -> str:
    return "good" if value > 0.0 else "bad" if value < 0.0 else ""
