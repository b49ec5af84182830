"""HTML put together from parts that are escaped unless they are markup already, so that no name can become a tag."""

from collections.abc import Iterable
from html import escape as escaped

VOID = frozenset({"meta", "br", "hr", "rect", "path", "line", "circle", "col"})


class Safe(str):
    """Text that is markup already. Only this file makes it out of other text."""

    __slots__ = ()


Child = str | Safe | None | Iterable["Child"]


def tag(name: str, /, *children: Child, **attributes: str | float | bool | None) -> Safe:
    """An element. ``class_`` is class, ``data_key`` is data-key; None and False leave an attribute out."""
    written = "".join(_attribute(key, value) for key, value in attributes.items())
    if name in VOID:
        return Safe(f"<{name}{written}/>")
    return Safe(f"<{name}{written}>{join(children)}</{name}>")


def join(children: Child) -> Safe:
    if children is None:
        return Safe()
    if isinstance(children, Safe):
        return children
    if isinstance(children, str):
        return Safe(escaped(_printable(children)))
    return Safe("".join(map(join, children)))


def script_data(json_text: str, identity: str) -> Safe:
    """JSON for the page's script. Nothing in it can end the element or begin a comment."""
    harmless = json_text.replace("&", r"\u0026").replace("<", r"\u003c").replace(">", r"\u003e")
    return Safe(f'<script type="application/json" id="{escaped(identity)}">{harmless}</script>')


def asset(name: str, text: str, **attributes: str) -> Safe:
    """A style or script of ours, as it is; never anything that came from outside."""
    written = "".join(_attribute(key, value) for key, value in attributes.items())
    return Safe(f"<{name}{written}>{text}</{name}>")


def _attribute(key: str, value: str | float | bool | None) -> str:
    name = key.rstrip("_").replace("_", "-")
    if value is None or value is False:
        return ""
    if value is True:
        return f" {name}"
    text = f"{value:g}" if isinstance(value, float) else _printable(str(value))
    return f' {name}="{escaped(text)}"'


def _printable(text: str) -> str:
    """HTML has no way to write most control characters."""
    return "".join(letter if letter.isprintable() or letter in "\n\t" else "\ufffd" for letter in text)
