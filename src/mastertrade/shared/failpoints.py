"""Failpoints: named moments where a test makes this process die or lose an answer. Off unless asked for."""

import os

from mastertrade.shared.errors import ConfigurationError

ACTIONS = ("exit", "silence")


class Silence(TimeoutError):
    """The answer never came."""


class Failpoints:
    """``name=action@n`` parts, comma-separated: at the n-th pass of ``name``, ``exit`` ends the process at once (as
    kill −9 would), ``silence`` raises a time-out as if the answer were lost. ``@n`` left out means the first pass;
    ``@*`` means every pass."""

    def __init__(self, text: str = "") -> None:
        self._plan: dict[str, tuple[str, int | None]] = {}
        self._passes: dict[str, int] = {}
        for part in filter(None, (piece.strip() for piece in text.split(","))):
            name, _, rest = part.partition("=")
            action, _, count = rest.partition("@")
            if action not in ACTIONS or not (count in ("", "*") or count.isdigit()):
                raise ConfigurationError(
                    f"failpoint {part!r}: expected name=action@n with action one of {', '.join(ACTIONS)}"
                )
            self._plan[name] = (action, None if count == "*" else int(count or 1))

    def reach(self, name: str) -> None:
        if name not in self._plan:
            return
        self._passes[name] = self._passes.get(name, 0) + 1
        action, at = self._plan[name]
        if at is not None and self._passes[name] != at:
            return
        if action == "exit":
            os._exit(137)
        raise Silence(f"failpoint {name}: no answer")
