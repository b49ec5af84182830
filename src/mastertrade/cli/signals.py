"""Ending by Ctrl-C or SIGTERM what runs until then."""

import asyncio
import signal
from collections.abc import Callable
from typing import Any


class StoppingBySignal:
    """Within the block Ctrl-C and SIGTERM call ``stop``; a second one of the same kind interrupts as usual."""

    def __init__(self, stop: Callable[[], object]) -> None:
        self._stop = stop
        self._before: dict[int, Any] = {}

    def __enter__(self) -> None:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            self._before[number] = signal.getsignal(number)
            loop.add_signal_handler(number, self._on_signal, number)

    def _on_signal(self, number: int) -> None:
        self._give_back(number)
        self._stop()

    def __exit__(self, *error: object) -> None:
        for number in list(self._before):
            self._give_back(number)

    def _give_back(self, number: int) -> None:
        """To whoever had it: the runner, which cancels the command on Ctrl-C, or the system."""
        asyncio.get_running_loop().remove_signal_handler(number)
        signal.signal(number, self._before.pop(number))
