"""A table that a terminal does not show at once goes through a pager; everything else is printed."""

import asyncio
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from msgspec import structs

from orgserver.app import open_app
from orgserver.config import read_settings
from orgserver.model.audit import Completion, Intent, Outcome
from orgserver.model.names import new_id
from tests.cli.shells import SECONDS, Shell

if sys.platform == "win32":
    pytest.skip("a pseudo terminal is made the POSIX way", allow_module_level=True)

import fcntl
import struct
import termios

ROWS = 20
PAGER = '#!/bin/sh\necho "LESS=$LESS" > "$SEEN"\ncat >> "$SEEN"\n'


@pytest.fixture
async def pager(shell: Shell, tmp_path: Path) -> Path:
    """Entries to list, and a pager that keeps what it is shown in the file that is returned."""
    act = Intent(id="", principal="agent", transport="stdio", action="read", org="acme", object="Contact", tool="x")
    async with open_app(read_settings({"home": shell.home}, {})) as app:

        def fill(tx: Any) -> None:
            for _ in range(3 * ROWS):
                app.store.audit.record_in(tx, structs.replace(act, id=new_id()), Completion(Outcome.SUCCEEDED))

        await app.store.database.write(fill)
    program, seen = tmp_path / "less", tmp_path / "seen"
    program.write_text(PAGER)
    program.chmod(0o700)
    shell.env |= {"PAGER": str(program), "SEEN": str(seen), "TERM": "xterm"}
    return seen


async def on_terminal(shell: Shell, *args: str, columns: int = 200, **more: str) -> str:
    """Run a command on a terminal of ROWS lines; what the terminal got."""
    here, theirs = os.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", ROWS, columns, 0, 0))
    inherited = ("LINES", "COLUMNS", "NO_COLOR", "LESS")
    environment = {name: value for name, value in shell.environment().items() if name not in inherited} | more
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "orgserver", *args, stdin=theirs, stdout=theirs, stderr=subprocess.PIPE, env=environment
    )
    os.close(theirs)
    reading = asyncio.to_thread(_all_of, here)
    async with asyncio.timeout(SECONDS):
        shown, (_, err) = await asyncio.gather(reading, process.communicate())
    os.close(here)
    assert process.returncode == 0, err
    return shown.replace("\r\n", "\n")


def _all_of(terminal: int) -> str:
    read = b""
    while True:
        try:
            piece = os.read(terminal, 65_536)
        except OSError:  # the other end is closed
            piece = b""
        if not piece:
            return read.decode()
        read += piece


async def test_a_long_list_goes_through_the_pager_in_colours_and_as_git_calls_less(shell: Shell, pager: Path) -> None:
    shown = await on_terminal(shell, "audit", "list", "--limit", str(2 * ROWS))

    first, title, *entries = pager.read_text().split("\n")
    assert shown == ""
    assert first == "LESS=-FRX"
    assert "principal" in title
    assert len([entry for entry in entries if entry]) == 2 * ROWS
    assert "\x1b[32msucceeded" in entries[0]
    assert entries[-1:] == [""] and entries[-2]


async def test_flags_of_ones_own_for_less_are_kept(shell: Shell, pager: Path) -> None:
    await on_terminal(shell, "audit", "list", "--limit", str(2 * ROWS), LESS="-S")

    assert pager.read_text().startswith("LESS=-S\n")


@pytest.mark.parametrize(
    ("options", "environment"),
    [
        (("--limit", str(ROWS - 2)), {}),
        (("--limit", str(2 * ROWS), "--no-pager"), {}),
        (("--limit", str(2 * ROWS)), {"PAGER": ""}),
        (("--limit", str(2 * ROWS), "--json"), {}),
    ],
    ids=["short", "--no-pager", "PAGER is empty", "JSON"],
)
async def test_what_fits_or_is_not_to_be_paged_is_printed(
    shell: Shell, pager: Path, options: tuple[str, ...], environment: dict[str, Any]
) -> None:
    shown = await on_terminal(shell, "audit", "list", *options, **environment)

    assert "agent" in shown
    assert not pager.exists()


async def test_lines_that_the_terminal_breaks_count_as_they_are_shown(shell: Shell, pager: Path) -> None:
    await on_terminal(shell, "audit", "list", "--limit", str(ROWS - 2), columns=30)

    assert pager.exists()


async def test_a_pipe_is_never_paged(shell: Shell, pager: Path) -> None:
    listed = await shell("audit", "list", "--limit", str(2 * ROWS))

    assert len(listed.out.splitlines()) == 2 * ROWS + 1
    assert not pager.exists()
