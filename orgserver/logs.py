"""What is written to standard error: one line an event, for people or as JSON, and never a secret."""

from __future__ import annotations

import json
import logging
import re
import sys
import threading
import time
from collections import deque
from contextlib import suppress
from datetime import UTC, datetime
from typing import TextIO

from orgserver.config import Settings
from orgserver.model.text import escape_json, escape_text

FIELDS = (
    "request", "org", "tool", "outcome", "source", "method", "path", "status", "ms", "bytes", "principal", "key",
    "entry", "rotated", "count",
)  # fmt: skip
"""What callers may attach with ``extra=``; never values, tokens or record names."""

_LOUD = ("httpx", "httpcore", "sqlalchemy", "alembic", "mcp", "asyncio", "aiosqlite", "uvicorn")
_TOKENS = re.compile(
    r"00D[0-9A-Za-z]{12,15}![0-9A-Za-z._]+"
    r"|5Aep[0-9A-Za-z._=-]{8,}"
    r"|Bearer\s+\S+"
    r"|force://\S+"
    r"|eyJ[0-9A-Za-z_-]{8,}\.[0-9A-Za-z_-]+\.[0-9A-Za-z_-]+"
    r"|os[kcrt]_[0-9A-Za-z]{8,}"
    r"|=(?:(?<=code=)|(?<=state=))(?!-?\d{1,5}(?![\w.-]))[^\s&\"'#<>]{4,}"
)
_UNPLAIN = re.compile(r'[\s="]')
_BATCH_SECONDS = 0.05
_MOST_LINES = 5_000
_encode = json.JSONEncoder(ensure_ascii=False, default=str).encode


def mask_tokens(text: str) -> str:
    """A text without anything that has the shape of a token: the second line of defence, never the first."""
    return _TOKENS.sub("•••", text)


def _quote(value: object) -> object:
    """A field's value in quotes where it could be read as more fields: clients choose some of them."""
    return _encode(value) if isinstance(value, str) and _UNPLAIN.search(value) else value


class _Console(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        fields = " ".join(f"{name}={_quote(value)}" for name, value in _fields(record).items())
        time = _time(record)[11:19]
        line = escape_text(
            f"{time} {record.levelname.lower():7} {record.name}: {record.getMessage()} {fields}".rstrip()
        )
        if record.exc_info:
            lines = self.formatException(record.exc_info).splitlines()
            line += "".join(f"\n  {escape_text(each)}" for each in lines)
        return mask_tokens(line)


class _Json(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        return escape_json(_encode(read_fields(record)))


class _Batches(logging.StreamHandler[TextIO]):
    """Writes what is less than a warning in batches, in a thread of its own: no call waits for who reads the log."""

    def __init__(self, stream: TextIO) -> None:
        super().__init__(stream)
        self._lines: deque[str] = deque()
        self._has_lines = threading.Event()
        self._writing = threading.Lock()
        threading.Thread(target=self._write_on, name="log", daemon=True).start()

    def emit(self, record: logging.LogRecord) -> None:
        """Take a line; a warning is written before this returns, and so are the lines before it."""
        try:
            self._lines.append(self.format(record) + self.terminator)
            self._has_lines.set()
            if record.levelno >= logging.WARNING or len(self._lines) >= _MOST_LINES:
                self.flush()
        except Exception:  # noqa: BLE001  # logging's own rule: a handler never fails its caller
            self.handleError(record)

    def flush(self) -> None:
        """Write what there is."""
        with self._writing:
            lines = [self._lines.popleft() for _ in range(len(self._lines))]
            if lines:
                self.stream.write("".join(lines))
                self.stream.flush()

    def _write_on(self) -> None:
        while self._has_lines.wait():
            time.sleep(_BATCH_SECONDS)
            self._has_lines.clear()
            with suppress(OSError, ValueError):  # nobody reads the log any more
                self.flush()


def read_fields(record: logging.LogRecord) -> dict[str, object]:
    """What a log record says, by name; masked before it takes any form, which a mask could break."""
    fields: dict[str, object] = {
        "time": _time(record),
        "level": record.levelname.lower(),
        "logger": record.name,
        "message": record.getMessage(),
    }
    fields |= _fields(record)
    if record.exc_info:
        fields["exception"] = logging.Formatter().formatException(record.exc_info)
    # One look at all of them, for hardly a line has anything to mask.
    if not _TOKENS.search("\n".join([value for value in fields.values() if isinstance(value, str)])):
        return fields
    return {name: mask_tokens(value) if isinstance(value, str) else value for name, value in fields.items()}


def start_logging(settings: Settings, *, quiet: bool = False, in_batches: bool = False) -> None:
    """Send logs to standard error in the chosen form; other libraries' logs only from warnings on.

    ``quiet`` is for commands, which say themselves how they ended: only errors, unless a level was chosen.
    ``in_batches`` is for servers of many callers, which write many lines; it costs a line a twentieth of a second.
    """
    handler = _Batches(sys.stderr) if in_batches else logging.StreamHandler(sys.stderr)
    logging.logThreads = logging.logProcesses = logging.logMultiprocessing = False  # no line says them
    handler.setFormatter(_Json() if settings.log_format == "json" else _Console())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.WARNING)
    silent = quiet and "log_level" not in settings.model_fields_set
    logging.getLogger("orgserver").setLevel("ERROR" if silent else settings.log_level.upper())
    for name in _LOUD:
        logging.getLogger(name).setLevel(logging.WARNING)
    logging.captureWarnings(capture=True)


def _time(record: logging.LogRecord) -> str:
    return datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")


def _fields(record: logging.LogRecord) -> dict[str, object]:
    return {name: value for name in FIELDS if (value := record.__dict__.get(name)) is not None}
