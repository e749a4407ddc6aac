"""Entries as a Parquet file: a typed column for each public field, a row group for each page.

Only who exports Parquet imports this: pyarrow is an optional extra, and slow to load.
"""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from types import TracebackType
from typing import Any, BinaryIO, Self

import pyarrow as pa
from pyarrow import parquet

from orgserver.model.audit import ENTRY_FIELDS
from orgserver.store.audit import chain

_TYPES = {
    "sequence": pa.int64(),
    "time": pa.timestamp("us", tz="UTC"),
    "duration_ms": pa.float64(),
    "record_ids": pa.list_(pa.string()),
    "fields": pa.list_(pa.string()),
    "row_count": pa.int64(),
    "http_status": pa.int32(),
    "api_calls": pa.int32(),
    "attempts": pa.int32(),
    "salesforce_user": pa.struct([("id", pa.string()), ("username", pa.string())]),
    "outcome_sequence": pa.int64(),
}
_ALWAYS = {"id", "sequence", "time", "principal", "transport", "action", "record_ids", "fields", "outcome", "hash"}
SCHEMA = pa.schema([pa.field(name, _TYPES.get(name, pa.string()), name not in _ALWAYS) for name in ENTRY_FIELDS])
"""The same for every export, whatever is in it; what is not always there may be null."""


def row_group(entries: Iterable[dict[str, Any]]) -> Any:
    """A page of entries by their columns."""
    columns: dict[str, list[Any]] = {name: [] for name in ENTRY_FIELDS}
    for entry in entries:
        for name, value in entry.items():
            columns[name].append(value)
    columns["time"] = [chain.microseconds_of(time) for time in columns["time"]]
    return pa.record_batch([_column(columns[field.name], field.type) for field in SCHEMA], schema=SCHEMA)


def _column(values: list[Any], type_: Any) -> Any:
    try:
        return pa.array(values, type_)
    except UnicodeEncodeError:  # half a character, from a log that somebody edited: shown as in JSON
        return pa.array([_encodable(value) for value in values], type_)


def _encodable(value: Any) -> Any:
    if isinstance(value, list):
        return [_encodable(each) for each in value]
    if isinstance(value, dict):
        return {name: _encodable(each) for name, each in value.items()}
    return value.encode("utf-8", "backslashreplace").decode() if isinstance(value, str) else value


class Writer:
    """Writes row groups to a file or a pipe; what ends in an error is left without its footer."""

    def __init__(self, file: BinaryIO) -> None:
        self._sink = _Sink(file)
        self._writer = parquet.ParquetWriter(self._sink, SCHEMA, compression="zstd")

    def write(self, group: Any) -> None:
        """Add a row group."""
        self._writer.write_batch(group)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        del kind, traceback
        if error is not None:
            self._give_up()
            return
        try:
            self._writer.close()
        except BaseException:
            self._give_up()
            raise

    def _give_up(self) -> None:
        """Close without another byte: the library would write the footer whenever it is collected."""
        self._sink.given_up = True
        with suppress(Exception):
            self._writer.close()


class _Sink:
    """A file as the library wants it; pipes do not know how much went through them, so it is counted here."""

    closed = False

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._written = 0
        self.given_up = False

    def write(self, data: bytes) -> int:
        if not self.given_up:
            self._file.write(data)
        self._written += len(data)
        return len(data)

    def tell(self) -> int:
        return self._written

    def flush(self) -> None:
        if not self.given_up:
            self._file.flush()

    def close(self) -> None:
        """Nothing: whoever opened the file closes it."""
