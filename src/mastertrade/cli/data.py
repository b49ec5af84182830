"""``mastertrade data``: market data in, out and looked at. Each bunch of commands has a file of its own."""

import typer

from mastertrade.cli.data_archive import archive, restore
from mastertrade.cli.data_catalogue import list_gaps, list_series
from mastertrade.cli.data_download import download
from mastertrade.cli.data_export import export_files
from mastertrade.cli.data_import import import_files
from mastertrade.cli.data_instruments import instruments
from mastertrade.cli.data_quality import quality, quarantine
from mastertrade.cli.data_record import record
from mastertrade.cli.data_retention import retention
from mastertrade.cli.data_rollup import rollup
from mastertrade.cli.data_snapshot import snapshot

data = typer.Typer(help="Market data: import, export, look at what there is.", no_args_is_help=True)
data.command("import")(import_files)
data.command("export")(export_files)
data.command("list")(list_series)
data.command("gaps")(list_gaps)
data.command("rollup")(rollup)
data.command("quality")(quality)
data.add_typer(quarantine, name="quarantine")
data.add_typer(snapshot, name="snapshot")
data.command("download")(download)
data.command("record")(record)
data.command("instruments")(instruments)
data.add_typer(retention, name="retention")
data.command("archive")(archive)
data.command("restore")(restore)
