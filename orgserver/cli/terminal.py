"""The terminal that controls this process: where a question is shown to a person and answered by one.

It is not standard input and output, which whoever starts a command may have tied to anything.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TextIO

from orgserver.cli.output import safe
from orgserver.cli.process import interruptible


class NoTerminal(Exception):
    """Nobody sits at a terminal of this process."""


class Terminal:
    """Shows and asks; nothing of it goes to standard output."""

    def __init__(self, reader: TextIO, writer: TextIO) -> None:
        self._reader = reader
        self._writer = writer

    @property
    def encoding(self) -> str:
        """How texts are written to it."""
        return self._writer.encoding

    def show(self, text: str) -> None:
        """Show one line, of which nothing drives the terminal."""
        self._write(f"{safe(text)}\n")

    def draw(self, picture: str) -> None:
        """Show several lines of our own as they are."""
        self._write(picture)

    @property
    def gets_stdout(self) -> bool:
        """Whether what goes to standard output is seen here, too."""
        if sys.platform == "win32":
            return sys.stdout is not None and sys.stdout.isatty()
        try:
            os.tcgetpgrp(1)  # which only the terminal that controls this process knows
        except OSError:
            return False
        return True

    def ask(self, question: str) -> str:
        """Ask, and give the line that was typed; empty at the end of input. Ctrl-C ends it at once."""
        with interruptible():  # from before the question can be seen: whoever sees it may press Ctrl-C
            self._write(f"{safe(question)} ")
            line = self._reader.readline()
        if not line.endswith("\n"):
            self._write("\n")
        return line.strip()

    def _write(self, text: str) -> None:
        self._writer.write(text)
        self._writer.flush()


@contextmanager
def controlling_terminal() -> Iterator[Terminal]:
    """Open it; NoTerminal if there is none, or if standard input comes from elsewhere."""
    if sys.stdin is None or not sys.stdin.isatty():
        raise NoTerminal
    try:
        reader, writer = _console() if sys.platform == "win32" else _tty()
    except OSError as error:
        raise NoTerminal from error
    with reader, writer:
        yield Terminal(reader, writer)


def _tty() -> tuple[TextIO, TextIO]:
    descriptor = os.open("/dev/tty", os.O_RDWR | os.O_NOCTTY)
    encoding = sys.stdin.encoding
    writer = os.fdopen(os.dup(descriptor), "w", encoding=encoding, errors="backslashreplace")
    return os.fdopen(descriptor, encoding=encoding, errors="replace"), writer


def _console() -> tuple[TextIO, TextIO]:
    return open("CONIN$", encoding="utf-8"), open("CONOUT$", "w", encoding="utf-8")  # noqa: PTH123  # devices
