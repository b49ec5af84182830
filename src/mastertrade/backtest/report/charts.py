"""Drawings without a script: shapes in SVG that stretch to any width, their labels in HTML beside them, so that text
keeps its size on a phone."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from mastertrade.backtest.report.decimate import bucket_starts, curve_places, nice_ticks
from mastertrade.backtest.report.markup import Child, Safe, tag
from mastertrade.backtest.report.wording import day
from mastertrade.quant.bars import Bars, FloatArray

WIDTH, HEIGHT = 1000.0, 300.0
BUCKETS = 500
"""Parts of a curve that a static drawing tells apart."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Scale:
    """Where a value stands, 0 at the top."""

    low: float
    high: float
    height: float = HEIGHT

    def y(self, values: FloatArray) -> FloatArray:
        return (self.high - values) / (self.high - self.low) * self.height


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    values: FloatArray
    class_: str


def curves(
    time: FloatArray,
    lines: Sequence[Line],
    label: str,
    format_value: Callable[[float], str],
    *,
    fill: bool = False,
    kind: str = "tall",
    zero_at_top: bool = False,
) -> Safe:
    """Curves over one time; ``fill`` shades below the first, ``zero_at_top`` is for losses."""
    low = min(float(line.values.min()) for line in lines)
    high = 0.0 if zero_at_top else max(float(line.values.max()) for line in lines)
    ticks = nice_ticks(low, high, 3 if zero_at_top else 5)
    scale = Scale(low=ticks[0], high=ticks[-1])
    shapes: list[Child] = [_grid(len(ticks))]
    for place, line in enumerate(lines):
        kept = curve_places(line.values, BUCKETS)
        points = _points(_x(time[kept], time), scale.y(line.values[kept]))
        if fill and place == 0:
            floor = 0.0 if zero_at_top else HEIGHT
            shapes.append(tag("path", d=f"M0 {floor:g}L{points}L{WIDTH:g} {floor:g}Z", class_=f"area {line.class_}"))
        shapes.append(tag("path", d=f"M{points}", class_=f"line {line.class_}"))
    return framed(shapes, label, [format_value(tick) for tick in reversed(ticks)], time_labels(time), kind=kind)


def candle_band(
    bars: Bars, entries: Sequence[tuple[int, float]], exits: Sequence[tuple[int, float, bool]], label: str,
    format_value: Callable[[float], str],
) -> Safe:  # fmt: skip
    """The range of prices in each part of the time, with every entry and exit; what falls on one spot is drawn once."""
    starts = bucket_starts(len(bars), BUCKETS)
    high, low = np.maximum.reduceat(bars.high, starts), np.minimum.reduceat(bars.low, starts)
    ends = np.append(starts[1:], len(bars)) - 1
    time = np.array([bars.time[0], bars.time[-1] + bars.interval_s * 1000], dtype=np.float64)
    ticks = nice_ticks(float(low.min()), float(high.max()))
    scale = Scale(low=ticks[0], high=ticks[-1])
    x = _x((bars.time[starts] + bars.time[ends] + bars.interval_s * 1000) / 2.0, time)
    band = f"M{_points(x, scale.y(high))}L{_points(x[::-1], scale.y(low)[::-1])}Z"
    shapes = [
        _grid(len(ticks)),
        tag("path", d=band, class_="band"),
        tag("path", d=f"M{_points(x, scale.y(bars.close[ends]))}", class_="line price"),
        _dots([(at, price) for at, price in entries], time, scale, "dot entry"),
        _dots([(at, price) for at, price, won in exits if won], time, scale, "dot won"),
        _dots([(at, price) for at, price, won in exits if not won], time, scale, "dot lost"),
    ]
    return framed(shapes, label, [format_value(tick) for tick in reversed(ticks)], time_labels(time))


def bars_chart(
    heights: Sequence[float], classes: Sequence[str], titles: Sequence[str], label: str,
    x_labels: Sequence[str], format_value: Callable[[float], str], kind: str = "low",
) -> Safe:  # fmt: skip
    """Upright bars from 0, each with its title on pointing at it."""
    ticks = nice_ticks(min(0.0, *heights), max(0.0, *heights), 4)
    scale = Scale(low=ticks[0], high=ticks[-1])
    zero = float(scale.y(np.zeros(1))[0])
    width = WIDTH / max(len(heights), 1)
    tops = scale.y(np.array(heights, dtype=np.float64)).tolist()
    shapes: list[Child] = [_grid(len(ticks))]
    for place, (top, class_, title) in enumerate(zip(tops, classes, titles, strict=True)):
        shapes.append(
            tag(
                "g",
                tag("title", title),
                tag("rect", x=place * width, y=0.0, width=width, height=HEIGHT, class_="hit"),
                tag("rect", x=place * width + width * 0.08, y=min(top, zero), width=width * 0.84,
                    height=abs(zero - top), class_=f"bar {class_}"),
            )
        )  # fmt: skip
    return framed(shapes, label, [format_value(tick) for tick in reversed(ticks)], x_labels, kind=kind)


def dots_chart(
    columns: Sequence[tuple[str, Sequence[float]]], label: str, x_labels: Sequence[str],
    format_value: Callable[[float], str],
) -> Safe:  # fmt: skip
    """Lines with dots over places of equal distance."""
    values = [value for _, line in columns for value in line]
    ticks = nice_ticks(min(values), max(values), 4)
    scale = Scale(low=ticks[0], high=ticks[-1])
    shapes: list[Child] = [_grid(len(ticks))]
    for class_, line in columns:
        x: FloatArray = (np.arange(len(line), dtype=np.float64) + 0.5) * (WIDTH / len(line))
        points = _points(x, scale.y(np.array(line, dtype=np.float64)))
        shapes.append(tag("path", d=f"M{points}", class_=f"line {class_}"))
        dots = "".join(f"M{point}h0" for point in points.split("L"))
        shapes.append(tag("path", d=dots, class_=f"dot {class_}"))
    return framed(shapes, label, [format_value(tick) for tick in reversed(ticks)], x_labels, kind="low")


def framed(
    shapes: Sequence[Child], label: str, y_labels: Sequence[str], x_labels: Sequence[str], *, kind: str = "tall"
) -> Safe:
    drawing = tag(
        "svg", shapes, viewBox=f"0 0 {WIDTH:g} {HEIGHT:g}", preserveAspectRatio="none", role="img", aria_label=label
    )
    return tag(
        "div",
        drawing,
        tag("div", [tag("span", text) for text in y_labels], class_="y-axis", aria_hidden="true"),
        tag("div", [tag("span", text) for text in x_labels], class_="x-axis", aria_hidden="true"),
        class_=f"plot {kind}",
    )


def time_labels(time: FloatArray, count: int = 5) -> list[str]:
    return [day(at) for at in np.linspace(float(time[0]), float(time[-1]), count).tolist()]


def _grid(count: int) -> Safe:
    heights = np.linspace(0.0, HEIGHT, count).tolist()
    return tag("path", d="".join(f"M0 {height:.1f}H{WIDTH:g}" for height in heights), class_="grid")


def _x(at: FloatArray, time: FloatArray) -> FloatArray:
    span = float(time[-1] - time[0]) or 1.0
    placed: FloatArray = (at - time[0]) / span * WIDTH
    return placed


def _points(x: FloatArray, y: FloatArray) -> str:
    return "L".join(f"{one:.1f} {other:.1f}" for one, other in zip(x.tolist(), y.tolist(), strict=True))


def _dots(marks: Sequence[tuple[float, float]], time: FloatArray, scale: Scale, class_: str) -> Child:
    """Points of zero length with round ends stay round however the drawing is stretched."""
    if not marks:
        return None
    x = _x(np.array([at for at, _ in marks], dtype=np.float64), time)
    y = scale.y(np.array([price for _, price in marks], dtype=np.float64))
    spots = dict.fromkeys(f"M{round(one)} {round(other)}h0" for one, other in zip(x.tolist(), y.tolist(), strict=True))
    return tag("path", d="".join(spots), class_=class_)


def curves_path(values: FloatArray, width: float, height: float) -> str:
    """One curve from edge to edge."""
    kept = curve_places(values, int(width) // 4)
    low, span = float(values.min()), float(values.max() - values.min()) or 1.0
    x: FloatArray = kept.astype(np.float64) * (width / max(len(values) - 1, 1))
    return f"M{_points(x, (1.0 - (values[kept] - low) / span) * height)}"
