"""The command line: one file per noun, one function per command."""

import sys

__all__ = ["main"]


def main() -> None:
    """The program. Its parts are loaded here, so that Ctrl-C is taken well from the first moment on."""
    try:
        from mastertrade.cli.commands import main as run

        run()
    except KeyboardInterrupt:
        sys.stderr.write("interrupted\n")
        sys.exit(130)
