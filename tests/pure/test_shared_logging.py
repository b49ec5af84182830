"""Structured logs: one line each, no secrets, no control characters."""

import io
import json
import logging
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from mastertrade.shared.logging import JsonLines, configure_logging, hide, redact


@pytest.fixture(autouse=True)
def _leave_no_handler() -> Iterator[None]:
    root = logging.getLogger()
    level = root.level
    yield
    for handler in [handler for handler in root.handlers if handler.get_name() == "mastertrade"]:
        root.removeHandler(handler)
        handler.close()
    root.setLevel(level)


def logged(message: str, *args: Any, **options: Any) -> dict[str, Any]:
    stream = io.StringIO()
    configure_logging("INFO", stream)
    logging.getLogger("mastertrade.test").warning(message, *args, **options)
    (line,) = stream.getvalue().splitlines()
    found: dict[str, Any] = json.loads(line)
    return found


def test_a_record_is_one_json_object_in_utc() -> None:
    line = logged("%s orders", 3, extra={"order_id": "o-1", "price": float("nan")})
    assert line["message"] == "3 orders"
    assert (line["level"], line["logger"], line["order_id"], line["price"]) == (
        "WARNING",
        "mastertrade.test",
        "o-1",
        "nan",
    )
    assert line["time"].endswith("+00:00")


def test_control_characters_cannot_forge_a_line_or_paint_a_terminal() -> None:
    stream = io.StringIO()
    configure_logging("INFO", stream)
    logging.getLogger("mastertrade.test").info("a\nb\x1b[31m\x7f\u2028\u202e\x85 %s", "c\r\nd")
    raw = stream.getvalue()
    assert raw.count("\n") == 1
    assert raw.rstrip("\n").isprintable()
    assert raw.isascii()


@pytest.mark.parametrize(
    "text",
    [
        "postgresql://user:hunter2hunter2@host/db",
        "amqp://guest:hunter2hunter2@host:5672/",
        "password=hunter2hunter2 host=x",
        '{"api_key": "hunter2hunter2"}',
        "Authorization: Bearer hunter2hunter2",
        "https://venue/order?symbol=X&signature=hunter2hunter2",
        "{'client_secret': 'hunter2hunter2'}",
    ],
)
def test_what_looks_like_a_secret_is_hidden_wherever_it_stands(text: str) -> None:
    assert "hunter2" not in json.dumps(logged(text))
    assert "hunter2" not in json.dumps(logged("%s", text, extra={"context": {"inner": [text]}}))


def test_fields_named_like_secrets_are_hidden() -> None:
    extra = {"api_key": "hunter2", "inner": {"dbPassword": "hunter2", "count": 1}}
    line = logged("x", extra=extra)
    assert "hunter2" not in json.dumps(line)
    assert line["inner"]["count"] == 1


def test_a_known_secret_is_hidden_in_tracebacks_too() -> None:
    hide("correct horse battery")
    try:
        raise ValueError("refused: correct horse battery")
    except ValueError:
        line = logged("failed", exc_info=True)
    assert "correct horse" not in json.dumps(line)
    assert "ValueError: refused: (hidden)" in line["error"]


def test_addresses_without_password_stay_readable() -> None:
    text = "PostgreSQL at mastertrade@127.0.0.1:5432/mastertrade cannot be reached"
    assert redact(text) == text


def test_a_wrong_placeholder_does_not_lose_the_line() -> None:
    record = logging.makeLogRecord({"msg": "%d orders", "args": ("three",)})
    assert "cannot be formatted" in json.loads(JsonLines().format(record))["message"]


def test_a_log_file_is_private_and_a_second_call_replaces_the_first(tmp_path: Path) -> None:
    path = tmp_path / "logs" / "mastertrade.log"
    configure_logging("INFO", path)
    configure_logging("INFO", path)
    logging.getLogger("mastertrade.test").info("once")
    assert len(path.read_text().splitlines()) == 1
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_text_without_end_is_cut() -> None:
    assert len(redact("x" * 1_000_000)) < 21_000
