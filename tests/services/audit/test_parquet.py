"""Parquet exports: every field with its type, whatever is in the log."""

import errno
import io
import secrets
import subprocess
import sys
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from msgspec import structs
from pyarrow import parquet

from orgserver.app import App, open_app
from orgserver.config import read_settings
from orgserver.model.audit import ENTRY_FIELDS, EntryFilter
from orgserver.model.names import new_id
from orgserver.services.audit import export
from orgserver.services.audit.parquet import Writer, row_group
from tests.services.audit import kinds

WANTED = {
    "id": "string not null", "sequence": "int64 not null", "time": "timestamp[us, tz=UTC] not null",
    "duration_ms": "double", "principal": "string not null", "client": "string", "transport": "string not null",
    "request_id": "string", "label": "string", "org": "string", "org_id": "string", "tool": "string",
    "action": "string not null", "object": "string", "record_ids": "list<element: string> not null",
    "fields": "list<element: string> not null", "row_count": "int64", "outcome": "string not null",
    "error_code": "string", "http_status": "int32", "api_calls": "int32", "attempts": "int32",
    "salesforce_request_id": "string", "undoes": "string",
    "salesforce_user": "struct<id: string, username: string>", "identity": "string", "decision": "string", "hash": "string not null", "outcome_sequence": "int64",
    "outcome_hash": "string",
}  # fmt: skip


async def exported(app: App, wanted: EntryFilter | None = None) -> parquet.ParquetFile:
    file = io.BytesIO()
    with Writer(file) as writer:
        async for group in app.audit_log.pages(wanted or EntryFilter(), row_group):
            writer.write(group)
    return parquet.ParquetFile(file)


def columns(file: parquet.ParquetFile) -> dict[str, str]:
    return {field.name: f"{field.type}{'' if field.nullable else ' not null'}" for field in file.schema_arrow}


def as_public(row: dict[str, Any]) -> dict[str, Any]:
    """A row as the contract's JSON says it."""
    time: datetime = row["time"]
    return row | {"time": time.isoformat(timespec="microseconds").replace("+00:00", "Z")}


async def test_every_field_of_every_kind_of_entry_comes_back(tmp_path: Path) -> None:
    async with open_app(read_settings({"home": tmp_path}, {})) as app:
        count = await kinds.fill(app)
        listed = [entry.as_json() async for entry in app.audit_log.entries(EntryFilter())]
        file = await exported(app)

    rows = file.read().to_pylist()
    assert len(rows) == count
    assert [as_public(row) for row in rows] == listed
    assert all(any(row[name] not in (None, []) for row in rows) for name in ENTRY_FIELDS)
    assert all(any(row[name] in (None, []) for row in rows) for name in (*kinds.LACKING, "outcome_hash", "row_count"))


async def test_the_columns_are_the_same_whether_or_not_anything_is_in_them(tmp_path: Path) -> None:
    async with open_app(read_settings({"home": tmp_path}, {})) as app:
        empty = await exported(app)
        await kinds.fill(app)
        full = await exported(app)
        some = await exported(app, EntryFilter(action="verify", outcome="unknown"))
        none = await exported(app, EntryFilter(org="nobody"))

    assert tuple(WANTED) == ENTRY_FIELDS
    assert columns(empty) == columns(full) == columns(some) == columns(none) == WANTED
    assert (empty.metadata.num_rows, none.metadata.num_rows) == (0, 0)
    assert some.metadata.num_rows > 0


async def test_each_page_is_a_row_group_of_its_own(tmp_path: Path) -> None:
    async with open_app(read_settings({"home": tmp_path}, {})) as app:
        count = 2 * export.PAGE + 1

        def fill(tx: Any) -> None:
            for number in range(count):
                act = structs.replace(kinds.FULL, id=new_id(), action="read", request_id=str(number))
                app.store.audit.record_in(tx, act, kinds.ENDED)

        await app.store.database.write(fill)
        file = await exported(app)

    groups = [file.metadata.row_group(each) for each in range(file.metadata.num_row_groups)]
    assert [group.num_rows for group in groups] == [export.PAGE, export.PAGE, 1]
    assert {group.column(0).compression for group in groups} == {"ZSTD"}
    assert file.read(["request_id"])["request_id"].to_pylist() == [str(number) for number in range(count)]


async def test_what_is_no_text_is_shown_as_in_json(tmp_path: Path) -> None:
    """JSON can spell half a character, as a log that somebody edited may."""
    async with open_app(read_settings({"home": tmp_path}, {})) as app:
        act = structs.replace(kinds.FULL, id=new_id(), action="read", label="caf\udce9", fields=("caf\udce9",))
        await app.store.audit.record(act, kinds.ENDED)
        (row,) = (await exported(app)).read(["label", "fields"]).to_pylist()

    assert row == {"label": "caf\\udce9", "fields": ["caf\\udce9"]}


def some(count: int) -> Any:
    """A row group of entries that are nothing but there."""
    always = dict.fromkeys(ENTRY_FIELDS) | {
        "sequence": 1, "time": "2026-01-01T00:00:00.000000Z", "principal": "p", "transport": "stdio", "action": "read",
        "record_ids": [], "fields": [], "outcome": "denied",
    }  # fmt: skip
    return row_group(always | {"id": new_id(), "hash": secrets.token_hex()} for _ in range(count))


def test_an_export_that_was_broken_off_does_not_look_whole() -> None:
    file = io.BytesIO()

    with suppress(KeyboardInterrupt), Writer(file) as writer:
        writer.write(some(10))
        raise KeyboardInterrupt

    assert len(file.getvalue()) > 100
    with pytest.raises(pa.ArrowInvalid):
        parquet.ParquetFile(file)


@pytest.mark.parametrize("allowed", [0, 3_000], ids=["from the beginning", "later"])
def test_a_file_that_takes_no_more_fails_as_it_says_and_gets_no_footer(allowed: int) -> None:
    class Full(io.BytesIO):
        def write(self, data: Any) -> int:
            room = allowed - self.tell()
            super().write(data[:room])
            if len(data) > room:
                raise OSError(errno.ENOSPC, "No space left on device")
            return len(data)

    file, group = Full(), some(1_000)

    with pytest.raises(OSError, match="No space left"), Writer(file) as writer:
        writer.write(group)

    assert len(file.getvalue()) == allowed
    assert not file.getvalue()[4:].endswith(b"PAR1")


def test_pyarrow_is_loaded_by_nothing_but_a_parquet_export() -> None:
    script = (
        "import sys, orgserver.cli.audit.commands, orgserver.app, orgserver.serving.server, orgserver.cli.serving.serve\n"
        "print([m for m in sys.modules if m.startswith('pyarrow')])"
    )

    shown = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)

    assert shown.stdout == "[]\n"
