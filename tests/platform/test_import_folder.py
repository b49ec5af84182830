"""The whole folder of recorded market data through one command: what is stored is what its README counted."""

import re
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from tests.platform.command_line import CommandLine, command_line

FOLDERS = ("ohlcv", "perps", "cross_exchange", "trades", "orderbook", "tickers", "metadata")
REJECTED = {"trade_stream_usd_m_futures_trxusdt_04-03-2025.csv.gz": 1, "kraken_BCHEUR_trades.csv": 0}
"""A trade at a price of zero; a row that stands twice in its file is stored once and is no error."""
ROW = re.compile(
    r"^\| (?P<file>[^| ]+\.(?:csv\.gz|parquet|feather)) \| (?P<rows>\d+) \| (?P<first>[-0-9 :]{19}) \| (?P<last>[-0-9 :]{19}) "
    r"\| (?P<step>[^|]+) \| (?P<gaps>\d+)(?: \((?P<missing>\d+), [^)]*\))? \| (?P<zero>\d+|-) \|",
    re.MULTILINE,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Counted:
    rows: int
    first: datetime
    last: datetime
    gaps: int
    missing: int
    without_volume: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Imported:
    reports: dict[str, dict[str, Any]]
    series: list[dict[str, Any]]
    gaps: list[dict[str, Any]]
    without_volume: dict[tuple[str, str, int], int]
    kinds: dict[tuple[str, str], int]


@pytest.fixture(scope="module")
def counted(real_data: Path) -> dict[str, Counted]:
    found = {
        row["file"]: Counted(
            rows=int(row["rows"]),
            first=datetime.fromisoformat(f"{row['first']}+00:00"),
            last=datetime.fromisoformat(f"{row['last']}+00:00"),
            gaps=int(row["gaps"]),
            missing=int(row["missing"] or 0),
            without_volume=None if row["zero"] == "-" else int(row["zero"]),
        )
        for row in ROW.finditer((real_data / "README.md").read_text())
    }
    assert len(found) > 55
    return found


@pytest.fixture(scope="module")
def imported(real_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Imported]:
    with command_line(tmp_path_factory.mktemp("home")) as program:
        yield import_all(program, real_data)


def import_all(mastertrade: CommandLine, real_data: Path) -> Imported:
    answer = mastertrade("data", "import", *(real_data / name for name in FOLDERS), "--venue", "binance", "--json")
    assert answer.code == 1, answer.err
    without_volume = mastertrade(
        "sql",
        "SELECT i.venue, i.symbol, c.interval_s, count(*) AS n FROM candles c JOIN instruments i ON i.id = c.instrument_id"
        " WHERE c.volume = 0 GROUP BY 1, 2, 3",
        "--json",
    ).json()["rows"]
    kinds = mastertrade(
        "sql", "SELECT venue, kind, sum(rows)::int AS n FROM kind_series GROUP BY 1, 2", "--json"
    ).json()
    return Imported(
        reports={str(Path(one["file"]).relative_to(real_data)): one for one in answer.objects()},
        series=mastertrade("data", "list", "--json").array(),
        gaps=mastertrade("data", "gaps", "--json").array(),
        without_volume={(one["venue"], one["symbol"], one["interval_s"]): one["n"] for one in without_volume},
        kinds={(one["venue"], one["kind"]): one["n"] for one in kinds["rows"]},
    )


def of_candles(imported: Imported) -> dict[str, dict[str, Any]]:
    return {name: one for name, one in imported.reports.items() if one["kind"] in ("candles", "mark")}


def series_of(report: dict[str, Any]) -> list[tuple[str, str, str]]:
    venue = f"{report['venue']}.mark" if report["kind"] == "mark" else report["venue"]
    return [(venue, symbol, report["timeframe"]) for symbol in report["symbol"].split(", ")]


def test_every_row_of_every_file_is_read_and_only_the_bad_ones_are_left_out(imported: Imported) -> None:
    assert [one["error"] for one in imported.reports.values() if one.get("error")] == []
    assert len(imported.reports) > 120
    for name, one in imported.reports.items():
        assert one["rejected"] == REJECTED.get(Path(name).name, 0), name
        assert one["quarantined"] == 0, name


def test_rows_of_candles_are_those_that_the_readme_counted(imported: Imported, counted: dict[str, Counted]) -> None:
    reports = of_candles(imported)
    assert len(reports) == 57
    for name, report in reports.items():
        assert report["rows_read"] == counted[Path(name).name].rows, name
        if len(series_of(report)) == 1:
            assert report["rows_stored"] == report["rows_read"], name


def test_gaps_are_those_that_the_readme_counted(imported: Imported, counted: dict[str, Counted]) -> None:
    holes = defaultdict(list)
    for gap in imported.gaps:
        holes[gap["venue"], gap["symbol"], gap["timeframe"]].append(gap)
    for name, report in of_candles(imported).items():
        expected = counted[Path(name).name]
        for series in series_of(report):
            found = [
                gap for gap in holes[series]
                if datetime.fromisoformat(gap["from"]) > expected.first
                and datetime.fromisoformat(gap["to"]) <= expected.last
            ]  # fmt: skip
            assert (len(found), sum(gap["missing"] for gap in found)) == (expected.gaps, expected.missing), name
    listed = {(one["venue"], one["symbol"], one["timeframe"]): one["missing"] for one in imported.series}
    assert listed == {series: sum(gap["missing"] for gap in holes.get(series, [])) for series in listed}, (
        "the list and the gaps say the same"
    )


def test_candles_without_volume_are_stored_as_they_are(imported: Imported, counted: dict[str, Counted]) -> None:
    expected: Counter[tuple[str, str, str]] = Counter()
    unknown = set()
    for name, report in of_candles(imported).items():
        for series in series_of(report):
            zeros = counted[Path(name).name].without_volume
            if zeros is None or report["kind"] == "mark":
                unknown.add(series)
            else:
                expected[series] += zeros
    seconds = {"1m": 60, "5m": 300, "1h": 3_600, "8h": 28_800, "1d": 86_400}
    for venue, symbol, timeframe in expected.keys() - unknown:
        found = imported.without_volume.get((venue, symbol, seconds[timeframe]), 0)
        assert found == expected[venue, symbol, timeframe], (venue, symbol, timeframe)


def test_what_is_of_several_venues_is_kept_apart(imported: Imported, real_data: Path) -> None:
    text = (real_data / "README.md").read_text()
    pairs = dict(re.findall(r"(\w+) (\d+) \(\d+", re.search(r"Pairs \(of these.*?\n", text)[0]))  # type: ignore[index]
    assert len(pairs) == 21
    for venue, count in pairs.items():
        assert imported.reports[f"tickers/2022-11-22/{venue}.json.gz"]["rows_stored"] == int(count), venue
        assert imported.kinds[venue, "tickers"] >= int(count), venue
    venues = {(one["venue"], one["symbol"]) for one in imported.series}
    assert {venue for venue, symbol in venues if symbol == "BTC/USDT"} == {
        "binance", "binanceus", "bybit", "coinbase", "cryptocom", "kraken",
    }  # fmt: skip
    assert ("kraken", "BCH/EUR") not in venues, "trades are no candles"


def test_feeds_trades_and_lists_are_as_long_as_the_readme_says(imported: Imported) -> None:
    stored = {name: one["rows_read"] for name, one in imported.reports.items()}
    expected = {
        "orderbook/binance_spot_feed_20240808/btcusdt_20240808.gz": 41_249,
        "orderbook/binance_spot_feed_20240808/ethusdt_20240808.gz": 33_618,
        "orderbook/binance_usdm_feed_20240808/btcusdt_20240808.gz": 93_954,
        "orderbook/binance_usdm_feed_20240808/ethusdt_20240808.gz": 74_655,
        "orderbook/hyperliquid_feed_20250126/btcusd_20250126.gz": 55,
        "orderbook/binance_spot_triangle_20201101T09/BTCUSDT_trades.json.gz": 18_054,
        "orderbook/binance_spot_triangle_20201101T09/ETHUSDT_trades.json.gz": 4_700,
        "orderbook/binance_spot_triangle_20201101T09/ETHBTC_update.json.gz": 3_600,
        "orderbook/bybit_ob500/XRPUSDT_ob500.jsonl.gz": 50,
        "trades/freqtrade/XRP_ETH-trades.parquet": 12_477,
        "trades/freqtrade/kraken_BCHEUR_trades.csv": 148,
        "trades/nautilus_binance/btcusdt-trades.parquet": 2_001,
        "trades/nautilus_binance/btcusdt-quotes.parquet": 451,
        "tickers/kucoin_2018-01-17_all_tickers.json.gz": 179,
        "tickers/binance_2023-01-12_last_prices.json.gz": 2_139,
        "metadata/lean_symbol_properties.csv.gz": 10_821,
        "metadata/binance_usdm_leverage_tiers.json.gz": 349,
    }
    assert {name: stored[name] for name in expected} == expected


def test_a_span_is_that_of_its_file(imported: Imported, counted: dict[str, Counted]) -> None:
    spans: dict[tuple[str, str, str], list[Counted]] = defaultdict(list)
    for name, report in of_candles(imported).items():
        if len(series := series_of(report)) == 1:
            spans[series[0]].append(counted[Path(name).name])
    listed = {(one["venue"], one["symbol"], one["timeframe"]): one for one in imported.series}
    for series, files in spans.items():
        first, last = listed[series]["first"], listed[series]["last"]
        assert datetime.fromisoformat(first) == min(one.first for one in files), series
        assert datetime.fromisoformat(last) == max(one.last for one in files), series
