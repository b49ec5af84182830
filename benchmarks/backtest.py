"""How fast are backtests, compared with a hand-written C loop and with other engines?

Takes about a minute and a half, three with ``--peers PYTHON``: the interpreter of an environment of yours in which
raptorbt, vectorbt and backtesting.py are installed (``pip install raptorbt vectorbt backtesting``). Each question is
asked of each engine in a process of its own, in rounds, one engine after the other; rates are per CPU-second of the
process and its children, warm, medians of the rounds. All get the same seeded input and trade the same rules: a cross
of two simple averages, long only, one unit, 0.1 % a side, a stop of 2 % and a target of 4 %.

run        one run on a million one-minute bars, from the arrays to equity and trades.
sweep      a thousand pairs of averages on 130,000 five-minute bars, with exact drawdown and Sharpe ratio.
two cores  the same on two workers: seconds of one worker by seconds of two; and of ten thousand pairs, where starting
           the workers weighs less.
memory     what the sweep's largest process holds, for 100 and for 1,000 strategies.
portfolio  ten markets of 100,000 bars, one account, at most three positions.
on_bar     a strategy of your own in Python that does nothing, called at each of 200,000 closes.
start      seconds of CPU until the first result on 20,000 bars in a new process, and in the first one ever.

The C loop walks every bar once, compiled here by the system's compiler; without one it is left out. What the others
simulate differs: backtesting.py sets stops before the fill is known, vectorbt looks at them from the bar after the
entry, raptorbt buys for a part of the account. Their trades are printed beside ours.
"""

import argparse
import ctypes
import json
import multiprocessing
import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "src"))
sys.path.insert(0, str(Path(__file__).resolve().parent / "engines"))

import numpy as np
from backtest_data import CASH, DAY, FAST, FEE, SLOW, STOP, TARGET, load, pairs, write

ENGINES = Path(__file__).resolve().parent / "engines"
ROUNDS, REPEATS, SWEEP = 3, 3, 1_000
PEERS = ("raptorbt", "vectorbt", "backtesting.py")
LIMITS = {
    "sweep, strategies per core-second": (1_400, ">="),
    "two cores": (1.8, ">="),
    "two cores, 10,000 pairs": (1.8, ">="),
    "memory, MB": (200, "<="),
    "memory of 1,000 by that of 100": (1.1, "<="),
    "run, M bars per CPU-second": (80, ">="),
    "portfolio, M bars per CPU-second": (45, ">="),
    "on_bar, calls per CPU-second": (500_000, ">="),
    "start, CPU s": (0.9, "<="),
    "first start ever, CPU s": (12, "<="),
}
ON_BAR = """
class Idle:
    def on_bar(self, bar):
        return None
"""


# --- ours, each in a process of its own ---


def options() -> dict[str, Any]:
    import mastertrade as mt

    costs = mt.Costs(taker_fee=FEE, maker_fee=FEE, half_spread=0.0, slippage=0.0, impact=0.0)
    return {
        "costs": costs, "cash": CASH, "sizing": mt.Sizing.quantity(1.0), "stop_loss": STOP, "take_profit": TARGET,
    }  # fmt: skip


def bars_of(folder: Path, name: str) -> Any:
    import mastertrade as mt

    return mt.Bars(interval_s=300 if name == "sweep" else 60, **load(folder, name))


def grid(count: int) -> dict[str, list[int]]:
    chosen = pairs(count)
    return {"fast": sorted({fast for fast, _ in chosen}), "slow": sorted({slow for _, slow in chosen})}


def ask_run(folder: Path) -> dict[str, Any]:
    import mastertrade as mt

    bars, chosen = bars_of(folder, "run"), options()

    def work() -> Any:
        return mt.backtest(bars, "ma_cross", fast=FAST, slow=SLOW, **chosen)

    found = work()
    return timed(work, len(bars)) | {"trades": len(found.trades), "equity": float(found.equity[-1])}


def ask_sweep(folder: Path, count: int = SWEEP, workers: int = 1) -> dict[str, Any]:
    import mastertrade as mt

    bars, chosen = bars_of(folder, "sweep"), options()

    def work() -> Any:
        return mt.sweep(bars, "ma_cross", grid(count), workers=workers, **chosen)

    rows = work().to_rows()
    assert all(row["status"] == "done" for row in rows), rows[0]
    return timed(work, len(rows)) | {"trades": int(sum(row["total_trades"] for row in rows))}


def ask_large_sweep(folder: Path) -> dict[str, Any]:
    """Seconds of one worker and of two, in turn."""
    import mastertrade as mt

    bars, chosen = bars_of(folder, "sweep"), options()
    many = {"fast": list(range(5, 105)), "slow": list(range(120, 320, 2))}
    walls: dict[int, list[float]] = {1: [], 2: []}
    for _ in range(REPEATS):
        for workers, seconds in walls.items():
            began = time.perf_counter()
            mt.sweep(bars, "ma_cross", many, workers=workers, **chosen)
            seconds.append(time.perf_counter() - began)
    ratio = statistics.median(one / two for one, two in zip(walls[1], walls[2], strict=True))
    return {"cpu_s": walls[1], "units": 10_000, "ratio": ratio}


def ask_portfolio(folder: Path) -> dict[str, Any]:
    import mastertrade as mt

    bars = {f"C{n}/USDT": bars_of(folder, f"symbol{n}") for n in range(10)}
    chosen = options() | {"max_positions": 3}

    def work() -> Any:
        return mt.backtest(bars, "ma_cross", fast=FAST, slow=SLOW, **chosen)

    found = work()
    return timed(work, sum(map(len, bars.values()))) | {"trades": len(found.trades)}


def ask_on_bar(folder: Path) -> dict[str, Any]:
    import mastertrade as mt

    bars, file = bars_of(folder, "slow"), folder / "idle.py"
    file.write_text(ON_BAR, encoding="utf-8")

    def work() -> Any:
        return mt.backtest(bars, str(file), **options())

    work()
    return timed(work, len(bars))


def ask_start(folder: Path) -> dict[str, Any]:
    import mastertrade as mt

    found = mt.backtest(bars_of(folder, "start"), "ma_cross", fast=FAST, slow=SLOW, **options())
    return {"cpu_s": [cpu()], "units": 1, "trades": len(found.trades)}


OURS: dict[str, Callable[[Path], dict[str, Any]]] = {
    "run": ask_run,
    "sweep": ask_sweep,
    "sweep on two": lambda folder: ask_sweep(folder, workers=2),
    "sweep of 100": lambda folder: ask_sweep(folder, count=100),
    "large sweep": ask_large_sweep,
    "portfolio": ask_portfolio,
    "on_bar": ask_on_bar,
    "start": ask_start,
}


def cpu() -> float:
    for (
        worker
    ) in multiprocessing.active_children():  # the system counts who is gone, and a sweep does not wait for that
        worker.join()
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time() + children.ru_utime + children.ru_stime


def timed(work: Callable[[], Any], units: int) -> dict[str, Any]:
    seconds, walls = [], []
    for _ in range(REPEATS):
        before, began = cpu(), time.perf_counter()
        work()
        walls.append(time.perf_counter() - began)
        seconds.append(cpu() - before)
    held = max(resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return {"cpu_s": seconds, "wall_s": walls, "units": units, "rss_mb": held / 1024}


# --- the C loop ---


def compile_limit(folder: Path) -> Path | None:
    compiler = shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
    if compiler is None:
        return None
    library, source = folder / "limit.so", ENGINES / "limit.c"
    command: list[str | Path] = [
        compiler,
        "-O3",
        "-march=native",
        "-ffp-contract=off",
        "-shared",
        "-fPIC",
        "-o",
        library,
        source,
        "-lm",
    ]
    subprocess.run(command, check=True, timeout=60)
    return library


def ask_limit(folder: Path, question: str) -> dict[str, Any]:
    library = ctypes.CDLL(str(folder / "limit.so"))
    library.cross.restype = ctypes.c_long
    bars = load(folder, question)
    count = len(bars["close"])
    out = np.zeros(5)

    def pointer(values: np.ndarray) -> Any:
        return values.ctypes.data_as(ctypes.POINTER(ctypes.c_double))

    def one(sums: np.ndarray, fast: int, slow: int) -> int:
        columns = [pointer(bars[name]) for name in ("open", "high", "low", "close")]
        numbers = [ctypes.c_double(number) for number in (STOP, TARGET, FEE, CASH)]
        sizes = [ctypes.c_long(number) for number in (count, fast, slow)]
        made: int = library.cross(*columns, pointer(sums), *sizes, *numbers, ctypes.c_long(DAY[question]), pointer(out))
        return made

    def work() -> int:
        sums = np.concatenate(([0.0], np.cumsum(bars["close"])))
        chosen = [(FAST, SLOW)] if question == "run" else pairs(SWEEP)
        return sum(one(sums, *pair) for pair in chosen)

    trades = work()
    units = count if question == "run" else SWEEP
    return timed(work, units) | {"trades": trades, "equity": float(out[0])}


# --- asking everybody ---


def ask(command: list[str], environment: dict[str, str] | None = None) -> dict[str, Any]:
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=900, check=False, env={**os.environ, **(environment or {})}
    )
    if done.returncode:
        raise SystemExit(f"{' '.join(command)} failed:\n{done.stderr[-2000:]}")
    answer: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    return answer


def ask_everybody(folder: Path, peers: Path | None) -> dict[tuple[str, str], list[dict[str, Any]]]:
    has_compiler = compile_limit(folder) is not None
    found: dict[tuple[str, str], list[dict[str, Any]]] = {}
    own = [sys.executable, __file__, "--folder", str(folder), "--ask"]
    other = [str(peers), str(ENGINES / "peers.py")]
    for number in range(ROUNDS):
        for question in OURS if number == 0 else [one for one in OURS if one != "large sweep"]:
            found.setdefault(("ours", question), []).append(ask([*own, question]))
            if has_compiler and question in ("run", "sweep"):
                found.setdefault(("C loop", question), []).append(ask([*own, f"C {question}"]))
            if peers is not None and question in ("run", "sweep", "start"):
                for name in PEERS if number == 0 else PEERS[:2]:
                    found.setdefault((name, question), []).append(ask([*other, name, question, str(folder)]))
    with tempfile.TemporaryDirectory() as cache:  # nothing compiled yet
        found["ours", "first start"] = [ask([*own, "start"], {"NUMBA_CACHE_DIR": cache})]
    return found


def rate(answers: list[dict[str, Any]]) -> float:
    """Units a CPU-second: the median of the rounds' medians."""
    return float(statistics.median(one["units"] / statistics.median(one["cpu_s"]) for one in answers))


def benchmark(as_json: bool, peers: Path | None) -> None:
    with tempfile.TemporaryDirectory(prefix="mastertrade-") as name:
        folder = Path(name)
        write(folder)
        found = ask_everybody(folder, peers)
    walls = {
        question: statistics.median(min(one["wall_s"]) for one in found["ours", question])
        for question in ("sweep", "sweep on two")
    }
    held = {question: max(one["rss_mb"] for one in found["ours", question]) for question in ("sweep", "sweep of 100")}
    measured = {
        "sweep, strategies per core-second": rate(found["ours", "sweep"]),
        "two cores": walls["sweep"] / walls["sweep on two"],
        "two cores, 10,000 pairs": found["ours", "large sweep"][0]["ratio"],
        "memory, MB": held["sweep"],
        "memory of 1,000 by that of 100": held["sweep"] / held["sweep of 100"],
        "run, M bars per CPU-second": rate(found["ours", "run"]) / 1e6,
        "portfolio, M bars per CPU-second": rate(found["ours", "portfolio"]) / 1e6,
        "on_bar, calls per CPU-second": rate(found["ours", "on_bar"]),
        "start, CPU s": min(one["cpu_s"][0] for one in found["ours", "start"]),
        "first start ever, CPU s": found["ours", "first start"][0]["cpu_s"][0],
    }
    engines = list(dict.fromkeys(engine for engine, _ in found))
    rows = [
        {
            "question": question,
            "engine": engine,
            "rate": rate(found[engine, question]) if question != "start" else None,
            "ours_by_theirs": rate(found["ours", question]) / rate(found[engine, question])
            if question != "start" and engine != "ours"
            else None,
            "first_cpu_s": min(one.get("first_cpu_s") or one["cpu_s"][0] for one in found[engine, question]),
            "trades": found[engine, question][0].get("trades"),
            "units": found[engine, question][0]["units"],
        }
        for question in ("run", "sweep", "start")
        for engine in engines
        if (engine, question) in found
    ]  # fmt: skip
    agrees = {
        question: found["C loop", question][0]["trades"] == found["ours", question][0]["trades"]
        for question in ("run", "sweep")
        if ("C loop", question) in found
    }
    summary = {
        "facts": {"cores": os.cpu_count(), "load": round(os.getloadavg()[0], 2), "same trades as the C loop": agrees},
        "engines": rows,
        "results": {
            name: {
                "measured": round(measured[name], 3),
                "limit": limit,
                "is_met": measured[name] >= limit if sign == ">=" else measured[name] <= limit,
            }
            for name, (limit, sign) in LIMITS.items()
        },
    }
    print(json.dumps(summary) if as_json else table(summary))


def table(summary: dict[str, Any]) -> str:
    lines = [", ".join(f"{name} {value}" for name, value in summary["facts"].items()), ""]
    lines.append(f"{'question':<10}{'engine':<16}{'a CPU-second':>16}{'ours by it':>12}{'trades':>12}{'units':>10}")
    for one in summary["engines"]:
        speed = f"{one['rate']:,.0f}" if one["rate"] else f"{one['first_cpu_s']:.2f} s"
        ratio = f"{one['ours_by_theirs']:.2f}" if one["ours_by_theirs"] else ""
        lines.append(
            f"{one['question']:<10}{one['engine']:<16}{speed:>16}{ratio:>12}{one['trades']:>12,}{one['units']:>10,}"
        )
    lines += ["", f"{'':<36}{'measured':>12}{'limit':>12}"]
    for name, one in summary["results"].items():
        met = "met" if one["is_met"] else "MISSED"
        lines.append(f"{name:<36}{one['measured']:>12,.2f}{LIMITS[name][1]:>4}{one['limit']:>8,}  {met}")
    return "\n".join(lines)


def answer(question: str, folder: Path) -> dict[str, Any]:
    if question.startswith("C "):
        return ask_limit(folder, question.removeprefix("C "))
    return OURS[question](folder)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--json", action="store_true", help="one JSON object instead of the table")
    parser.add_argument("--peers", type=Path, help="the Python of an environment that has the other engines")
    parser.add_argument("--ask", help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.ask:
        print(json.dumps(answer(arguments.ask, arguments.folder)))
    else:
        benchmark(arguments.json, arguments.peers)
