"""Our log records for the collector, masked as on standard error; and what the SDK logs of itself, seldom."""

from __future__ import annotations

import logging
import re
import time

from opentelemetry._logs import LoggerProvider, LogRecord, SeverityNumber

from orgserver.logs import read_fields

_NUMBERS = {
    logging.DEBUG: SeverityNumber.DEBUG,
    logging.INFO: SeverityNumber.INFO,
    logging.WARNING: SeverityNumber.WARN,
    logging.ERROR: SeverityNumber.ERROR,
    logging.CRITICAL: SeverityNumber.FATAL,
}
_BODY = ("time", "level", "logger", "message")
_SELDOM_SECONDS = 600.0
_USER = re.compile(r"//[^/@\s]+@")
"""A name and password in a URL."""

logger = logging.getLogger("orgserver.telemetry")


class RecordHandler(logging.Handler):
    """Gives records to the SDK, which batches them.

    The SDK's own handler is deprecated, and sends whatever is attached to a record, and exceptions, as they are.
    """

    def __init__(self, provider: LoggerProvider) -> None:
        super().__init__()
        self._provider = provider

    def emit(self, record: logging.LogRecord) -> None:
        """Send one record."""
        try:
            self._emit(record)
        except Exception:  # noqa: BLE001  # logging's own rule: a handler never fails its caller
            self.handleError(record)

    def _emit(self, record: logging.LogRecord) -> None:
        says = read_fields(record)
        attributes = {f"orgserver.{name}": value for name, value in says.items() if name not in _BODY}
        if "orgserver.exception" in attributes:
            attributes["exception.stacktrace"] = attributes.pop("orgserver.exception")
        self._provider.get_logger(record.name).emit(
            LogRecord(
                timestamp=int(record.created * 1e9),
                observed_timestamp=time.time_ns(),
                severity_text=record.levelname,
                severity_number=_NUMBERS.get(record.levelno, SeverityNumber.UNSPECIFIED),
                body=str(says["message"]),
                attributes={name: v if isinstance(v, bool | int | float) else str(v) for name, v in attributes.items()},
            )
        )


class Seldom(logging.Handler):
    """One line of ours for all that the SDK says while its collector is away."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self._said = float("-inf")

    def emit(self, record: logging.LogRecord) -> None:
        """Say it, unless something was said a while ago."""
        if record.created - self._said < _SELDOM_SECONDS:
            return
        self._said = record.created
        # Only the exporters' texts are shown whole: others quote settings, and headers of an exporter hold keys.
        text = record.getMessage() if record.name.startswith("opentelemetry.exporter.") else str(record.msg)
        logger.warning("telemetry may be incomplete; calls go on: %s", _USER.sub("//", text))
