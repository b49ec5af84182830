"""``mastertrade``: every command, registered in one place."""

import re
import sys
from collections.abc import Sequence
from io import TextIOWrapper

import typer

from mastertrade import __version__
from mastertrade.cli.account import account
from mastertrade.cli.application import Interrupted, leave, stop_writing
from mastertrade.cli.backtest import backtest
from mastertrade.cli.book import balance, ledger, position
from mastertrade.cli.data import data
from mastertrade.cli.database import db, sql
from mastertrade.cli.demo import demo
from mastertrade.cli.doctor import doctor
from mastertrade.cli.order import order
from mastertrade.cli.order_reconcile import reconcile
from mastertrade.cli.order_resolve import resolve
from mastertrade.cli.risk import risk
from mastertrade.cli.running import serve, up
from mastertrade.cli.strategy import strategy
from mastertrade.cli.trading import halt, resume, status
from mastertrade.cli.venue import venue
from mastertrade.cli.why import why
from mastertrade.shared.errors import MasterTradeError, UsageError

_EMPTY_OPTION = re.compile(r"--[a-z-]+=\s*")

app = typer.Typer(
    name="mastertrade",
    help="A self-hosted crypto trading platform on one PostgreSQL: nothing lost, nothing twice, every order explained.",
    epilog="Exit codes: 0 done, 1 error, 2 usage, 3 not found, 4 refused, 5 something needed is down, "
    "6 needs confirmation, 130 interrupted.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)


def _version(asked: bool) -> None:
    if asked:
        typer.echo(f"mastertrade {__version__}")
        raise typer.Exit


@app.callback()
def mastertrade(
    version: bool = typer.Option(
        False, "--version", callback=_version, is_eager=True, help="Show the version and leave."
    ),
) -> None:
    """Options of the program itself."""


for command in (demo, up, serve, why, status, halt, resume, ledger, sql, doctor):
    app.command()(command)
app.add_typer(account, name="account")
app.add_typer(backtest, name="backtest")
app.add_typer(data, name="data")
app.add_typer(db, name="db")
order.command("reconcile")(reconcile)
order.command("resolve")(resolve)
app.add_typer(order, name="order")
app.add_typer(position, name="position")
app.add_typer(balance, name="balance")
app.add_typer(risk, name="risk")
app.add_typer(strategy, name="strategy")
app.add_typer(venue, name="venue")


def main() -> None:
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="replace")  # a terminal that cannot show a sign shows another one
    try:
        _refuse_empty(sys.argv[1:])
        sys.exit(app(prog_name="mastertrade", standalone_mode=False))
    except typer.Abort:
        leave(Interrupted(), as_json=False)
    except BrokenPipeError:
        stop_writing()
        sys.exit(1)
    except MasterTradeError as error:  # of a command that reads its arguments further than the parser does
        leave(error, as_json="--json" in sys.argv)
    except Exception as error:  # noqa: BLE001 - what is not the parser's is raised again
        _leave_for_usage(error)


def _refuse_empty(arguments: Sequence[str]) -> None:
    """A variable of the shell that holds nothing would be an option that was not given: a limit order at the market's
    price, a cancel of every market."""
    for place, argument in enumerate(arguments):
        if not argument.strip() or _EMPTY_OPTION.fullmatch(argument):
            before = argument if argument.strip() else arguments[place - 1] if place else "mastertrade"
            raise UsageError(
                f"what stands behind {before.rstrip('= ')} is empty, as a variable of the shell that holds nothing; "
                "give it a value, or leave it out"
            )


def _leave_for_usage(error: Exception) -> None:
    """What the parser has to say about the arguments, as one line like every other error."""
    describe = getattr(error, "format_message", None)
    if describe is None:  # not the parser's, whose classes differ from version to version
        raise error
    context = getattr(error, "ctx", None)
    if type(error).__name__ == "NoArgsIsHelpError":
        typer.echo(describe())
        sys.exit(UsageError.exit_code)
    path = context.command_path if context is not None else "mastertrade"
    message = describe().rstrip(".")
    leave(UsageError(f"{message}; see `{path} --help`"), as_json="--json" in sys.argv)
