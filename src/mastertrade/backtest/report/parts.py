"""Pieces every page is made of: sections, tiles, tables of figures."""

from collections.abc import Iterable, Sequence

from mastertrade.backtest.report.luck import figures as luck_figures
from mastertrade.backtest.report.luck import verdict
from mastertrade.backtest.report.markup import Child, Safe, tag
from mastertrade.backtest.report.model import Luck, Provenance
from mastertrade.backtest.report.overview import Figure
from mastertrade.backtest.report.wording import parameter


def section(identity: str, title: str, *children: Child, note: str = "") -> Safe:
    head = tag("header", tag("h2", title, id=f"{identity}-title"), tag("p", note, class_="note") if note else None)
    return tag("section", head, children, id=identity, aria_labelledby=f"{identity}-title", class_="card")


def tiles(figures: Iterable[Figure]) -> Safe:
    return tag("dl", [_tile(figure) for figure in figures], class_="tiles")


def _tile(figure: Figure) -> Safe:
    return tag(
        "div",
        tag("dt", figure.name),
        tag("dd", signed(figure.value), class_=f"big {figure.tone}".strip()),
        tag("dd", figure.note, class_="note"),
        class_="tile",
    )


def figure_table(figures: Iterable[Figure], caption: str) -> Safe:
    """Name, figure, what it means."""
    body = [
        tag(
            "tr",
            tag("th", figure.name, scope="row"),
            tag("td", signed(figure.value), class_=f"figure {figure.tone}".strip()),
            tag("td", figure.note, class_="note"),
        )
        for figure in figures
    ]
    return tag("table", tag("caption", caption, class_="unseen"), tag("tbody", body), class_="figures")


def data_table(
    headers: Sequence[str],
    rows: Iterable[Sequence[Child]],
    caption: str,
    *,
    left: int = 1,
    class_: str = "",
    words: Sequence[str] = (),
) -> Safe:
    """A table that scrolls by itself where it is wider than the screen; the first ``left`` columns hold words, and so
    do those named in ``words``."""
    head = tag("tr", [tag("th", name, scope="col", class_=None if name in words else _side(place, left))
                      for place, name in enumerate(headers)])  # fmt: skip
    body = [tag("tr", [_cell(cell, place, left) for place, cell in enumerate(row)]) for row in rows]
    return scrolling(
        tag(
            "table",
            tag("caption", caption, class_="unseen"),
            tag("thead", head),
            tag("tbody", body),
            class_=f"data {class_}".strip(),
        ),
        caption,
    )


def scrolling(table: Safe, label: str) -> Safe:
    return tag("div", table, class_="scroll", tabindex="0", role="region", aria_label=label)


def _side(place: int, left: int) -> str | None:
    return None if place < left else "figure"


def _cell(cell: Child, place: int, left: int) -> Child:
    if isinstance(cell, Safe) and cell.startswith(("<td", "<th")):
        return cell
    return tag("td", signed(cell) if isinstance(cell, str) and place >= left else cell, class_=_side(place, left))


def toned(text: str, tone: str) -> Safe:
    return tag("td", signed(text), class_=f"figure {tone}".strip())


def signed(text: str) -> str | Safe:
    """A number with a minus as wide as its plus."""
    if isinstance(text, Safe):
        return text
    return "\N{MINUS SIGN}" + text[1:] if text[:1] == "-" and text[1:2].isdigit() else text


def banner(luck: Luck) -> Safe:
    tone = "" if luck.deflated_sharpe is None else "good" if luck.deflated_sharpe >= 0.95 else "bad"
    return tag("p", tag("strong", "Luck. "), verdict(luck), class_=f"banner {tone}".strip())


def luck_section(luck: Luck) -> Child:
    known = [Figure(name=name, value=value, note=note) for name, value, note in luck_figures(luck)]
    if not known:
        return None
    return section("luck", "How much of it may be luck", figure_table(known, "Luck"))


def rules_section(rules: Iterable[str]) -> Safe:
    return section("rules", "How orders were filled", tag("ul", [tag("li", rule) for rule in rules], class_="rules"))


def provenance_section(provenance: Provenance, costs: str, of: str = "") -> Safe:
    rows = [
        ("strategy", provenance.strategy),
        *((name, parameter(value)) for name, value in provenance.parameters.items()),
        ("run", provenance.run_id),
        ("data", provenance.data_source),
        ("data snapshot", provenance.snapshot_hash),
        ("code", provenance.code_hash),
        ("seed", None if provenance.seed is None else str(provenance.seed)),
        ("costs", costs),
        *((name, parameter(value)) for name, value in provenance.settings.items()),
    ]
    body = [tag("tr", tag("th", name, scope="row"), tag("td", tag("code", text))) for name, text in rows if text]
    note = "What it takes to make this result again."
    title = f"Where {of} comes from" if of else "Where it comes from"
    identity = "provenance" if not of else f"provenance-{of.partition('.')[0]}"
    return section(identity, title, tag("table", tag("tbody", body), class_="figures plain"), note=note)


def shade(value: float | None, largest: float) -> str:
    """One of eleven classes, from the deepest loss to the highest gain."""
    if value is None:
        return "none"
    if largest <= 0.0:
        return "q0"
    place = round(max(-1.0, min(1.0, value / largest)) * 5)
    return f"q{'m' if place < 0 else ''}{abs(place)}"
