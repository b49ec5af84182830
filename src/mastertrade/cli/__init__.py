"""The command line: one file per noun, one function per command."""

import os
import sys

__all__ = ["main"]


def main() -> None:
    """The program. Its parts are loaded here, so that Ctrl-C is taken well from the first moment on."""
    try:
        from mastertrade.cli.commands import main as run

        run()
    except KeyboardInterrupt:
        sys.stderr.write("interrupted\n")
        sys.stderr.flush()
        # Not sys.exit: an interrupt inside an exec() of the standard library, as making a dataclass is, leaves a mark
        # for which the interpreter would end itself by SIGINT instead of with this code. Nothing is open yet.
        os._exit(130)
