"""Runs many command lines in one process, and tells of each what a person would have seen: its code, and both outputs.

Standard input holds a JSON array of argument lists; standard output gets one of answers."""

import contextlib
import io
import json
import sys
import traceback

from mastertrade.cli.commands import main


def answer(arguments: list[str]) -> dict[str, object]:
    out, err, code = io.StringIO(), io.StringIO(), 0
    sys.argv = ["mastertrade", *arguments]
    sys.stdin = io.StringIO("k" * 64 + "\n" + "s" * 64 + "\n")
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            main()
        except SystemExit as leaving:
            code = leaving.code if isinstance(leaving.code, int) else int(bool(leaving.code))
        except BaseException:  # noqa: BLE001 - what a person would have seen as a traceback
            code = -1
            err.write(traceback.format_exc())
    return {"code": code, "out": out.getvalue(), "err": err.getvalue()}


if __name__ == "__main__":
    asked = [[one.encode("utf-8", "surrogatepass").decode("utf-8", "surrogateescape") for one in line]
             for line in json.load(sys.stdin)]  # fmt: skip
    answers = [answer(line) for line in asked]
    print(json.dumps(answers))  # noqa: T201 - its answer
