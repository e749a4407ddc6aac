"""What is written to standard error: one line an event, for people or as JSON, and never a secret."""

from __future__ import annotations

import json
import logging
import re
import sys
from datetime import UTC, datetime

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
    r"|osk_[0-9A-Za-z]{8,}"
)
_encode = json.JSONEncoder(ensure_ascii=False, default=str).encode


def mask_tokens(text: str) -> str:
    """A text without anything that has the shape of a token: the second line of defence, never the first."""
    return _TOKENS.sub("•••", text)


class _Console(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        fields = " ".join(f"{name}={value}" for name, value in _fields(record).items())
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
    return {name: mask_tokens(value) if isinstance(value, str) else value for name, value in fields.items()}


def start_logging(settings: Settings, *, quiet: bool = False) -> None:
    """Send logs to standard error in the chosen form; other libraries' logs only from warnings on.

    ``quiet`` is for commands, which say themselves how they ended: only errors, unless a level was chosen.
    """
    handler = logging.StreamHandler(sys.stderr)
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
