"""``mastertrade backtest``: its commands, registered in one place."""

import typer

from mastertrade.cli.backtest_generate import generate
from mastertrade.cli.backtest_run import compare, list_all, report, run_one
from mastertrade.cli.backtest_sweep import sweep
from mastertrade.cli.backtest_walk import walk_forward_command

backtest = typer.Typer(help="Try strategies on the past, with costs, and judge them.", no_args_is_help=True)
backtest.command("run")(run_one)
backtest.command("sweep")(sweep)
backtest.command("generate")(generate)
backtest.command("walk-forward")(walk_forward_command)
backtest.command("list")(list_all)
backtest.command("report")(report)
backtest.command("compare")(compare)
