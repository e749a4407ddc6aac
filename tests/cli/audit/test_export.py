"""Exports as files, through pipes, and onto disks that are full."""

import asyncio
import errno
import io
import os
import resource
import stat
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from msgspec import structs
from pyarrow import parquet

from orgserver.app import open_app
from orgserver.cli.audit.export import export_to
from orgserver.config import read_settings
from orgserver.model.audit import ENTRY_FIELDS, Completion, EntryFilter, Intent, Outcome
from orgserver.model.errors import OperatorError, StoreAway
from orgserver.model.names import new_id
from orgserver.model.orgs import Caller
from orgserver.services.audit.log_reader import AuditLogReader
from tests.cli.shells import SECONDS, Ran, Shell

if sys.platform != "linux":
    pytest.skip("full disks are made with Linux's limits", allow_module_level=True)

MANY = 6_000
"""More than a page."""
ROOM = 200_000
"""So large may a file become, in bytes; each export is larger."""
FORMATS = {
    "log.jsonl": "jsonl", "log.jsonl.gz": "jsonl", "log.csv": "csv", "log.ocsf": "ocsf", "log.events": "events",
    "log.parquet": "parquet",
}  # fmt: skip


@pytest.fixture
async def long_log(shell: Shell) -> None:
    """A home whose audit log has many entries."""
    act = Intent(id="", principal="agent", transport="stdio", action="read", org="acme", object="Contact", tool="x")

    async with open_app(read_settings({"home": shell.home}, {})) as app:

        def fill(tx: Any) -> None:
            for _ in range(MANY):
                app.store.audit.record_in(tx, structs.replace(act, id=new_id()), Completion(Outcome.SUCCEEDED))

        await app.store.database.write(fill)
        await app.store.audit.catch_up()


async def export(shell: Shell, *options: str, room: int | None = None, stdout: int = asyncio.subprocess.PIPE) -> Ran:
    """Run an export on a disk on which no file may become larger than that."""

    def limit() -> None:
        if room is not None:
            resource.setrlimit(resource.RLIMIT_FSIZE, (room, room))

    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "orgserver", "audit", "export", *options, env=shell.environment(),
        stdout=stdout, stderr=asyncio.subprocess.PIPE, preexec_fn=limit,
    )  # fmt: skip
    async with asyncio.timeout(SECONDS):
        out, err = await process.communicate()
    return Ran(process.returncode or 0, (out or b"").decode("latin-1"), err.decode())


async def test_parquet_appears_whole_and_only_for_its_owner(shell: Shell, used: str, tmp_path: Path) -> None:
    file = tmp_path / "audit.parquet"

    exported = await shell("audit", "export", "--format", "parquet", "--output", str(file), "--record-id", used)
    again = await shell("audit", "export", "--format", "parquet", "--output", str(file))

    table = parquet.read_table(file)
    assert (exported.code, exported.out, exported.err) == (0, "", f"1 entry written to {file}\n")
    assert table.column_names == list(ENTRY_FIELDS)
    assert table["record_ids"].to_pylist() == [[used]]
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert list(tmp_path.glob(".audit*")) == []
    assert (again.code, "exists" in again.err) == (1, True)
    (recorded,) = (await shell("audit", "list", "--json", "--action", "export")).json
    assert (recorded["tool"], recorded["row_count"]) == ("audit export --format parquet", 1)


async def test_parquet_goes_into_a_pipe_and_not_onto_a_terminal(shell: Shell, long_log: None) -> None:
    here, theirs = os.openpty()

    piped = await export(shell, "--format", "parquet")
    shown = await export(shell, "--format", "parquet", stdout=theirs)

    os.close(theirs)
    os.set_blocking(here, False)
    with pytest.raises(OSError):
        os.read(here, 1)
    os.close(here)
    assert parquet.read_table(io.BytesIO(piped.out.encode("latin-1"))).num_rows == MANY
    assert (piped.code, piped.err) == (0, "")
    assert shown.code == 1
    assert shown.lines[0].startswith("orgserver: error: Parquet is nothing for a terminal")


async def test_a_reader_of_parquet_that_goes_away_is_no_noise(shell: Shell, long_log: None) -> None:
    command = f"'{sys.executable}' -m orgserver audit export --format parquet | head -c 9"
    process = await asyncio.create_subprocess_shell(
        command, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE, env=shell.environment()
    )

    out, err = await process.communicate()

    assert out.startswith(b"PAR1")
    assert err == b""


async def test_without_the_extra_parquet_says_what_to_install_and_the_rest_works(
    shell: Shell, used: str, tmp_path: Path
) -> None:
    (tmp_path / "pyarrow.py").write_text("raise ModuleNotFoundError(\"No module named 'pyarrow'\", name='pyarrow')\n")
    without = {"PYTHONPATH": os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")])}
    file = tmp_path / "audit.parquet"

    refused = await shell("audit", "export", "--format", "parquet", "--output", str(file), **without)
    lines = await shell("audit", "export", **without)

    assert refused.code == 1
    assert refused.lines == [
        "orgserver: error: --format parquet needs pyarrow, which is not installed",
        "orgserver: hint: pip install 'orgserver[parquet]'",
    ]
    assert not file.exists()
    assert lines.code == 0
    assert used in lines.out


@pytest.mark.parametrize("name", FORMATS)
async def test_an_export_that_fills_the_disk_fails_in_one_line_and_leaves_nothing(
    shell: Shell, long_log: None, tmp_path: Path, name: str
) -> None:
    folder = tmp_path / "out"
    folder.mkdir()
    options = ("--format", FORMATS[name], "--output", str(folder / name))

    full = await export(shell, *options, room=ROOM)
    left = list(folder.iterdir())
    roomy = await export(shell, *options)

    assert (full.code, full.out) == (1, "")
    assert full.lines == [f"orgserver: error: {folder / name} cannot be written: File too large"]
    assert left == []
    assert roomy.code == 0
    assert (folder / name).stat().st_size > ROOM
    recorded = (await shell("audit", "list", "--json", "--action", "export")).json
    assert len(recorded) == 2


@pytest.mark.parametrize("format_", sorted(set(FORMATS.values())))
async def test_standard_output_on_a_full_disk_fails_in_one_line(shell: Shell, long_log: None, format_: str) -> None:
    full = os.open("/dev/full", os.O_WRONLY)

    exported = await export(shell, "--format", format_, stdout=full)

    os.close(full)
    assert exported.code == 1
    assert exported.lines == ["orgserver: error: the output cannot be written: no space left on device"]


async def test_where_the_full_disk_is_the_store_s_too_the_file_is_named_first(tmp_path: Path) -> None:
    class OnFullDisk(AuditLogReader):
        def __init__(self) -> None:
            pass

        async def lines(self, criteria: EntryFilter, format_: str) -> AsyncIterator[list[str]]:
            yield ["{}"]
            raise OSError(errno.ENOSPC, "No space left on device")

        async def record_export(self, caller: Caller, what: str, rows: int) -> None:
            raise StoreAway("the audit log cannot be written")

    with pytest.raises(OperatorError, match=r"log\.jsonl cannot be written: No space left on device"):
        await export_to(OnFullDisk(), "jsonl", EntryFilter(), tmp_path / "log.jsonl")

    assert list(tmp_path.iterdir()) == []
