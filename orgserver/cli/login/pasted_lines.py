"""Lines on standard input that may or may not come: whoever waits for one can stop waiting, and nothing is lost."""

from __future__ import annotations

import asyncio
import os
import sys
import threading
from contextlib import suppress

_MAX_LINE = 16 * 1024


async def next_line() -> str:
    """One line that is not empty; nothing at the end of the input.

    Read by a thread of its own, past Python's buffers: nothing else can wait for a terminal on every system, and a
    thread that is stuck there does not keep the process from ending. When nobody waits any more, it leaves what comes
    next to the next question.
    """
    loop = asyncio.get_running_loop()
    future: asyncio.Future[str] = loop.create_future()
    is_over, over = os.pipe()

    def finish(line: str) -> None:
        if not future.done():
            future.set_result(line)

    def follow() -> None:
        try:
            if not _has_input(0, is_over):
                return
            line = _read_line(0)
        finally:
            os.close(is_over)
        with suppress(RuntimeError):  # the loop has ended meanwhile
            loop.call_soon_threadsafe(finish, line)

    threading.Thread(target=follow, name="pasted address", daemon=True).start()
    try:
        return await future
    finally:
        os.close(over)


def _has_input(descriptor: int, is_over: int) -> bool:
    """Wait until there is something to read; False once nobody waits for it."""
    if sys.platform == "win32":  # whose select knows sockets alone
        return True
    import select  # noqa: PLC0415  # only there

    with suppress(OSError, ValueError):  # a descriptor that cannot be waited for is read
        ready, _, _ = select.select([descriptor, is_over], [], [])
        return is_over not in ready
    return True


def _read_line(descriptor: int) -> str:
    """The next line that is not empty, of which so much is kept; byte by byte, for more than one may come at once."""
    line = b""
    while True:
        try:
            byte = os.read(descriptor, 1)
        except OSError:
            byte = b""
        if byte not in (b"", b"\n"):
            line = (line + byte).lstrip() if len(line) < _MAX_LINE else line
        elif not byte or line:
            return line.decode("utf-8", "replace").strip()
