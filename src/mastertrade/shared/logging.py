"""Structured logs: one JSON object a line, times in UTC, no secrets, no control characters."""

import base64
import json
import logging
import os
import re
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from logging.handlers import RotatingFileHandler
from pathlib import Path
from typing import Any, TextIO
from urllib.parse import quote, quote_plus

HIDDEN = "(hidden)"
FILE_BYTES, FILES_KEPT = 10_000_000, 5
TEXT_LIMIT = 20_000
"""Characters of one text: a traceback fits, a dumped payload does not."""

_SECRET_NAME = re.compile(
    r"pass(word|wd|phrase)|secret|token|api_?key|private|credential|authorization|cookie|\bdsn\b|webhook", re.IGNORECASE
)
_SECRET_TEXT = (
    (re.compile(r"(//[^/@:\s]*:)[^@\s]*(?=@)"), rf"\1{HIDDEN}"),  # the password in an address
    (re.compile(r"\b((?:Bearer|Basic)\s+)[\w.~+/=-]{8,}", re.IGNORECASE), rf"\1{HIDDEN}"),
    (
        re.compile(
            r"""(["']?\b[\w-]*(?:password|passwd|passphrase|secret|token|api_?key|signature)["']?\s*[=:]\s*["']?)[^\s"',;&}\])]+""",
            re.IGNORECASE,
        ),
        rf"\1{HIDDEN}",
    ),
)
_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}
_known_secrets: set[str] = set()
SHORTEST_SECRET, LONG_LINE = 6, 20


def hide(secret: str) -> None:
    """Never show this text in a log again. Texts shorter than six characters are left: hiding them would hide words."""
    if len(secret) >= SHORTEST_SECRET:
        _known_secrets.update(forms_of(secret))


def forms_of(secret: str) -> set[str]:
    """What a stranger's error makes of a secret: as it is, in an address, in JSON, as base64 of either kind, in hex,
    and each of its lines where it has several."""
    data = secret.encode()
    forms = {
        secret,
        quote(secret, safe=""),
        quote_plus(secret),
        json.dumps(secret)[1:-1],
        data.hex(),
        data.hex().upper(),
    }
    forms |= {encode(data).decode().rstrip("=") for encode in (base64.b64encode, base64.urlsafe_b64encode)}
    forms |= {line for line in secret.splitlines() if len(line) >= LONG_LINE}
    return forms


def redact(text: str) -> str:
    """``text`` without the secrets that are known or look like some."""
    for secret in sorted(_known_secrets, key=len, reverse=True):  # the longer first: a part would leave the rest
        text = text.replace(secret, HIDDEN)
    for pattern, replacement in _SECRET_TEXT:
        text = pattern.sub(replacement, text)
    return text if len(text) <= TEXT_LIMIT else f"{text[:TEXT_LIMIT]}… ({len(text)} characters)"


class JsonLines(logging.Formatter):
    """A record as one line. What a call passes in ``extra`` becomes fields of the object."""

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "logger": record.name,
            "message": redact(_message(record)),
        }
        for name, value in vars(record).items():
            if name not in _STANDARD and not name.startswith("_"):
                line[name if name not in line else f"{name}_"] = _clean(name, value)
        if record.exc_info and record.exc_info[0] is not None:
            line["error"] = redact(self.formatException(record.exc_info))
        if record.stack_info:
            line["stack"] = redact(record.stack_info)
        # ASCII only, so no line break, escape sequence or direction mark of any alphabet reaches a terminal.
        return json.dumps(line, ensure_ascii=True, separators=(", ", ": ")).replace("\x7f", "\\u007f")


def configure_logging(level: str = "INFO", target: Path | TextIO | None = None) -> None:
    """Send everything at or above ``level`` to a file (rotated, readable by its owner only) or a stream, by default
    stderr. A second call replaces the first."""
    handler: logging.Handler
    if isinstance(target, Path):
        target.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        os.close(os.open(target, os.O_CREAT | os.O_APPEND | os.O_WRONLY, 0o600))
        handler = RotatingFileHandler(target, maxBytes=FILE_BYTES, backupCount=FILES_KEPT, encoding="utf-8")
    else:
        handler = logging.StreamHandler(target or sys.stderr)
    handler.setFormatter(JsonLines())
    handler.set_name("mastertrade")
    root = logging.getLogger()
    for old in [old for old in root.handlers if old.get_name() == "mastertrade"]:
        root.removeHandler(old)
        old.close()
    root.addHandler(handler)
    root.setLevel(level)


def _message(record: logging.LogRecord) -> str:
    try:
        return record.getMessage()
    except (TypeError, ValueError) as error:  # a wrong placeholder must not lose the line
        return f"{record.msg} {record.args!r} (cannot be formatted: {error})"


def _clean(name: str, value: Any) -> Any:
    if _SECRET_NAME.search(name):
        return HIDDEN
    if value is None or isinstance(value, bool | int):
        return value
    if isinstance(value, float):
        return value if abs(value) < float("inf") else str(value)
    if isinstance(value, Mapping):
        return {redact(str(key)): _clean(str(key), item) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_clean(name, item) for item in value]
    return redact(str(value))
