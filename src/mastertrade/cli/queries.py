"""The named statements people's questions are answered with; all of them only read."""

from pathlib import Path

from mastertrade.shared.queries import load_queries

QUERIES = load_queries(Path(__file__).with_name("queries.sql"))
