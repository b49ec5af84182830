"""Every kind of candle file is read as the same candles, and a name is never read wrong in silence."""

import gzip
import io
import json
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from mastertrade.market_data_service.importing.candle_files import Reading, read_candles
from mastertrade.market_data_service.importing.findings import Findings
from mastertrade.market_data_service.importing.naming import Kind, Understood, read_name
from mastertrade.market_data_service.importing.opening import Damage

ROWS = 300
START_MS = 1_631_916_600_000
NOW_MS = START_MS + 10**12
MINUTE_MS = 60_000


def sample() -> pd.DataFrame:
    close = np.round(100 + np.cumsum(np.random.default_rng(5).normal(0, 0.05, ROWS)), 4)
    open_ = np.concatenate(([100.0], close[:-1]))
    return pd.DataFrame({
        "timestamp_ms": START_MS + np.arange(ROWS) * MINUTE_MS,
        "open": open_, "high": np.round(np.maximum(open_, close) + 0.01, 4),
        "low": np.round(np.minimum(open_, close) - 0.01, 4), "close": close,
        "volume": np.round(np.arange(ROWS) * 1.25 + 1, 3),
    })  # fmt: skip


def archive_lines(frame: pd.DataFrame, factor: int) -> str:
    """Twelve columns, as in the public archives of Binance."""
    rows = [
        f"{row.timestamp_ms * factor:.0f},{row.open},{row.high},{row.low},{row.close},{row.volume},"
        f"{row.timestamp_ms * factor + 59_999 * factor:.0f},1,2,3,4,0"
        for row in frame.itertuples()
    ]
    return "\n".join(rows) + "\n"


ARCHIVE_HEADER = (
    "open_time,open,high,low,close,volume,close_time,quote_volume,count,taker_buy_volume,"
    "taker_buy_quote_volume,ignore\n"
)


def zipped(path: Path, text: str) -> None:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(path.stem + ".csv", text)


def with_dates(frame: pd.DataFrame) -> pd.DataFrame:
    dates = pd.to_datetime(frame["timestamp_ms"], unit="ms", utc=True)
    return frame.drop(columns="timestamp_ms").assign(date=dates)


def lists(frame: pd.DataFrame) -> str:
    return json.dumps(frame.to_numpy().tolist())


def csv_text(frame: pd.DataFrame, separator: str = ",") -> str:
    return frame.to_csv(index=False, sep=separator)


WRITERS: dict[str, Callable[[Path, pd.DataFrame], object]] = {
    "BTC_USDT-1m.csv": lambda path, frame: path.write_text(csv_text(frame)),
    "BTC-USDT-1m.csv.gz": lambda path, frame: path.write_bytes(gzip.compress(csv_text(frame).encode())),
    "BTCUSDT-1m-semicolons.csv": lambda path, frame: path.write_text("# a note\n" + csv_text(frame, ";")),
    "BTCUSDT-1m-2021-09.zip": lambda path, frame: zipped(path, archive_lines(frame, 1)),
    "BTCUSDT-1m-2025-01.zip": lambda path, frame: zipped(path, ARCHIVE_HEADER + archive_lines(frame, 1000)),
    "kraken_BTC-USDT-1m.csv": lambda path, frame: path.write_text(
        csv_text(frame.assign(timestamp_ms=frame["timestamp_ms"] // 1000)).partition("\n")[2]
    ),
    "BTC_USDT-1m.parquet": lambda path, frame: with_dates(frame).to_parquet(path, row_group_size=100),
    "BTC_USDT-1m.feather": lambda path, frame: with_dates(frame).to_feather(path, chunksize=100),
    "BTC_USDT-1m.json": lambda path, frame: path.write_text(lists(frame)),
    "BTC_USDT-1m.json.gz": lambda path, frame: path.write_bytes(gzip.compress(lists(frame).encode())),
    "BTC_USDT-1m.jsonl": lambda path, frame: frame.to_json(path, orient="records", lines=True),
    "BTC_USDT-1m.objects.json": lambda path, frame: path.write_text(
        json.dumps({"result": {"list": json.loads(frame.to_json(orient="records"))}})
    ),
    "BTCUSDT_1m_iso.csv": lambda path, frame: with_dates(frame).to_csv(path, index=False),
    "BTCUSDT_1m_zone.csv": lambda path, frame: (
        with_dates(frame)
        .assign(date=lambda one: one["date"].dt.tz_convert("Asia/Tokyo").astype(str))
        .to_csv(path, index=False)
    ),
}


@pytest.mark.parametrize("name", WRITERS)
def test_every_kind_of_file_holds_the_same_candles(name: str, tmp_path: Path) -> None:
    path, frame = tmp_path / name, sample()
    WRITERS[name](path, frame)
    understood = read_name(path)
    assert (understood.kind, understood.symbol, understood.interval_s) == (Kind.CANDLES, "BTC/USDT", 60)
    rejected: list[tuple[int, str, str]] = []
    reading = Reading(findings=Findings(), damage=Damage())
    parts = list(
        read_candles(path, understood, now_ms=NOW_MS, reject=lambda *row: rejected.append(row), reading=reading)
    )
    assert not rejected
    assert reading.read == ROWS
    found = pd.DataFrame(
        {
            column: np.concatenate([getattr(part.bars, field) for part in parts])
            for column, field in zip(frame.columns, ("time", "open", "high", "low", "close", "volume"), strict=True)
        }
    )
    pd.testing.assert_frame_equal(found, frame, check_exact=True)


@pytest.mark.parametrize(
    ("name", "kind", "venue", "symbol", "interval_s"),
    [
        ("BTC_USDT_USDT-5m-futures.feather", Kind.CANDLES, None, "BTC/USDT:USDT", 300),
        ("BTC_USDT_USDT-8h-mark.feather", Kind.MARK, None, "BTC/USDT:USDT", 28_800),
        ("WIF_USDT_USDT-8h-funding_rate.feather", Kind.FUNDING, None, "WIF/USDT:USDT", None),
        ("binanceus_BTC-USDC-1m.parquet", Kind.CANDLES, "binanceus", "BTC/USDC", 60),
        ("coinbase_BTCUSD_1d_2014-2018.csv.gz", Kind.CANDLES, "coinbase", "BTC/USD", 86_400),
        ("ETHUSDT-aggTrades-2021-09.zip", Kind.TRADES, None, "ETH/USDT", None),
        ("BTCUSDT-fundingRate-2024-10.zip", Kind.FUNDING, None, "BTC/USDT", None),
        ("XRP_ETH-trades.parquet", Kind.TRADES, None, "XRP/ETH", None),
        ("kraken_BCHEUR_trades.csv", Kind.TRADES, "kraken", "BCH/EUR", None),
        ("btcusdt-quotes.parquet", Kind.TICKERS, None, "BTC/USDT", None),
        ("kraken_instruments.jsonl.gz", Kind.INSTRUMENTS, "kraken", None, None),
        ("bitmex_trades_XBTUSD.csv", Kind.TRADES, "bitmex", "BTC/USD", None),
        ("deribit_incremental_book_L2_BTC-PERPETUAL.csv", Kind.BOOK, "deribit", "BTC/USD:BTC", None),
        ("trade_stream_usd_m_futures_trxusdt_04-03-2025.csv.gz", Kind.TRADES, None, "TRX/USDT:USDT", None),
        ("notes-2021.csv", None, None, None, None),
    ],
)
def test_a_name_says_what_is_in_the_file_or_nothing(
    name: str, kind: Kind | None, venue: str | None, symbol: str | None, interval_s: int | None, tmp_path: Path
) -> None:
    found = read_name(tmp_path / name)
    assert (found.kind, found.venue, found.symbol, found.interval_s) == (kind, venue, symbol, interval_s)


def test_an_option_beats_the_name() -> None:
    said = read_name(Path("BTC_USDT-1m-futures.csv")).but(kind=None, venue="okx", symbol="ethusdc", interval_s=300)
    assert said == Understood(kind=Kind.CANDLES, venue="okx", symbol="ETH/USDC", interval_s=300)


def test_a_json_array_is_read_in_pieces_however_it_is_cut() -> None:
    from mastertrade.market_data_service.importing import json_values

    rows = [[1631916600000 + place, "ä€" * 50, 0.1 + place, None, {"a": [place]}] for place in range(3_000)]
    text = json.dumps(rows, ensure_ascii=False).encode()
    found = list(json_values.values(io.BytesIO(text), where="x"))
    assert len(found) == len(rows)
    assert found[-1] == [str(rows[-1][0]), "ä€" * 50, "2999.1", None, {"a": ["2999"]}]
