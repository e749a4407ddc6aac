"""The start of a server whose client is answered before it is made, where nothing stands in the way of making it.

All that refuses a start is looked at first, without the libraries that serve; they are imported behind the answers.
"""

from __future__ import annotations

import asyncio
import importlib
import os
import signal
import sys
import threading
from contextlib import AsyncExitStack, suppress
from functools import partial
from types import TracebackType
from typing import Self

from orgserver.config import Settings
from orgserver.serving.early.answers import EarlyAnswers
from orgserver.serving.early.lines import EarlyLines, open_early_lines
from orgserver.store.readiness import is_ready
from orgserver.vault.sources import open_vault

SIGNALS = (signal.SIGTERM, signal.SIGHUP, signal.SIGINT)
_MODULES = (
    "pydantic.main",
    "mcp_types",
    "mcp.server.lowlevel",
    "sqlalchemy",
    "sqlalchemy.dialects.sqlite",
    "orgserver.store.session",
    "orgserver.salesforce.client",
    "orgserver.services.composition",
    "orgserver.app",
    "orgserver.tools.toolsets",
    "orgserver.serving.server",
    "orgserver.serving.stdio",
)
"""What serving needs, in pieces: between two of them a start can end."""
_SWITCH_SECONDS = 0.0005
"""So that an answer does not wait for the imports."""
_FIRST_SECONDS = 0.5
"""For what a client asks at once; one that asks on and on, or does not read, holds up no start."""


async def answer_early(settings: Settings, principal: str | None, stack: AsyncExitStack) -> EarlyLines | None:
    """Begin to answer a client, and import what serves; None where answers have to wait for the server.

    What is put on the stack ends it well when a signal comes before there is a server.
    """
    answers = _make_answers(settings, principal)
    if answers is None:
        return None
    sys.setswitchinterval(_SWITCH_SECONDS)
    stack.enter_context(_EndBySignal())
    early_lines = await stack.enter_async_context(open_early_lines(answers))
    with suppress(TimeoutError):
        async with asyncio.timeout(_FIRST_SECONDS):
            await early_lines.pause.wait()
    is_wanted = threading.Event()
    is_wanted.set()
    try:
        await asyncio.to_thread(_import, is_wanted)
    finally:
        is_wanted.clear()
    return early_lines


def _make_answers(settings: Settings, principal: str | None) -> EarlyAnswers | None:
    """The answers that are ready; None where a start may be refused, or what would refuse it is not to be told yet."""
    if settings.master_key_command is not None or settings.is_on_server or "opentelemetry" in sys.modules:
        return None  # a program that prints a key runs once, a server is asked once, a trace of the SDK is whole
    answers = EarlyAnswers.of_offer(
        settings.toolsets, settings.tools, settings.exclude_tools, read_only=settings.read_only
    )
    if answers is None or not is_ready(
        settings.database_file, partial(open_vault, settings, create=False), settings.orgs, principal
    ):
        return None
    return answers


def _import(is_wanted: threading.Event) -> None:
    for name in _MODULES:
        if is_wanted.is_set():
            importlib.import_module(name)


class _EndBySignal:
    """Ends well what makes a server, when a signal asks for that; a second one ends the process at once."""

    def __init__(self) -> None:
        self._is_requested = False

    def __enter__(self) -> Self:
        self._task = asyncio.current_task()
        for number in SIGNALS:
            if signal.getsignal(number) is not signal.SIG_IGN:  # which nohup asks for
                asyncio.get_running_loop().add_signal_handler(number, self._end, number)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> bool:
        return self._is_requested and kind is asyncio.CancelledError

    def _end(self, number: int) -> None:
        if self._is_requested or self._task is None:
            signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)
            return
        self._is_requested = True
        self._task.cancel()
