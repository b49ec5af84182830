"""Days on which markets fell, replayed from recorded candles with the default limits: what was refused, and why."""

import shutil
from pathlib import Path

from tests.platform.command_line import command_line

QUERY = "SELECT count(*) AS n FROM verdict_checks WHERE NOT passed"
SYMBOLS = ("BTC_USDT", "ETH_USDT", "SOL_USDT", "XRP_USDT")


def test_every_refusal_of_the_days_of_march_2023_is_told(tmp_path: Path, real_data: Path) -> None:
    data = tmp_path / "binance"
    data.mkdir()
    for symbol in SYMBOLS:
        shutil.copy(real_data / "ohlcv" / "binance_spot_5m_2022-12" / f"{symbol}-5m.parquet", data)
    with command_line(tmp_path / "home") as mastertrade:
        mastertrade("demo", "--data", data, "--hours", "44", "--json")
        told = mastertrade("risk", "refusals", "--since", "2023-03-13", "--json").json()
        failed = mastertrade("sql", QUERY, "--json").json()["rows"][0]["n"]
        text = mastertrade("risk", "refusals").out
        before = mastertrade("risk", "refusals", "--until", "2020-01-01").out
    assert told["signals"] == told["approved"] + told["reduced"] + told["refused"]
    assert told["approved"] > 0
    checks = {one["name"]: one for one in told["checks"]}
    assert checks, "a rise of 20 % in two days does not go by without a word"
    assert all(one["refused"] + one["cut"] > 0 and one["worst"] for one in told["checks"])
    assert failed == sum(one["refused"] for one in told["checks"])
    assert all(name in text for name in checks)
    assert before.endswith("nothing was refused or cut\n")
