"""What commands share: settings, the app, and how things are printed."""

from __future__ import annotations

import asyncio
import gc
import getpass
import json
import math
import os
import signal
import sys
import threading
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from typing import TYPE_CHECKING, Any, Self, TypeVar

import click

from orgserver.config import Settings, read_settings, unknown_variables
from orgserver.logs import start_logging
from orgserver.model.orgs import Caller, Principal, Scope
from orgserver.model.text import escape_json, escape_text

if TYPE_CHECKING:
    from rich.table import Table

    from orgserver.app import App

T = TypeVar("T")
F = TypeVar("F", bound=Callable[..., Any])
SHORT_ID = 18
"""Of a UUIDv7: its millisecond, and enough to tell it from most others of the same one."""


class Failure(Exception):
    """A command that has said what went wrong and ends with this exit code."""

    def __init__(self, code: int = 1) -> None:
        super().__init__(code)
        self.code = code


def report(message: str, hint: str | None = None) -> None:
    """Say on standard error what failed, and what to do."""
    click.echo(f"{_red('orgserver: error:')} {safe(message)}", err=True)
    if hint:
        click.echo(f"orgserver: hint: {safe(hint)}", err=True)


def warn(message: str) -> None:
    """Say on standard error what a person should know although the command succeeds."""
    click.echo(f"orgserver: warning: {safe(message)}", err=True)


def tell(message: str) -> None:
    """Say something to a person, on standard error."""
    click.echo(safe(message), err=True)


def safe(text: object) -> str:
    """A text from elsewhere, with everything escaped that could drive a terminal."""
    return escape_text(str(text))


def print_json(value: Any) -> None:
    """Print data for machines."""
    click.echo(escape_json(json.dumps(value, ensure_ascii=False, indent=2)))


def print_json_line(value: Any) -> None:
    """Print one line of data for machines, at once."""
    click.echo(escape_json(json.dumps(value, ensure_ascii=False, separators=(",", ":"))))


def print_facts(facts: Mapping[str, object]) -> None:
    """Print what is known of one thing, a line each."""
    for line in fact_lines(facts):
        click.echo(line)


def fact_lines(facts: Mapping[str, object]) -> list[str]:
    """What is known of one thing, a line each."""
    width = max(map(len, facts))
    return [f"{name.replace('_', ' '):<{width}}  {safe(plain(value))}".rstrip() for name, value in facts.items()]


def plain(value: object) -> str:
    """A value in words: yes and no, and lists with commas; empty where there is none."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, Mapping):
        return ", ".join(f"{name.replace('_', ' ')} {inner}" for name, inner in value.items())
    return ", ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)


def wide_option(command: F) -> F:
    """The option of every command that prints a table."""
    return click.option("--wide", is_flag=True, help="Show every column and whole ids, however narrow the terminal.")(
        command
    )


def print_table(
    titles: Sequence[str],
    rows: Sequence[Sequence[object]],
    *,
    spare: Sequence[str] = (),
    ids: Sequence[str] = (),
    paged: bool = False,
    wide: bool = False,
) -> None:
    """Print a table for people; colours only on terminals, and never with NO_COLOR.

    Columns with nothing in them are left out. On a narrow terminal those in ``ids`` are shortened, and those in
    ``spare`` left out, one after the other, and named on standard error; unless it is to be ``wide``.
    What is still too wide is left to the terminal to break: what is cut anywhere cannot be copied.
    What is ``paged`` goes through a pager when a terminal would not show it at once.
    """
    from rich.console import Console  # noqa: PLC0415  # only where something is drawn

    columns = [i for i, title in enumerate(titles) if not title or any(row[i] not in (None, "") for row in rows)]
    console = Console(highlight=False, color_system=None if os.environ.get("NO_COLOR") else "auto")
    fits = wide or not console.is_terminal
    table, width = _table(titles, rows, columns)
    if ids and not fits and width > console.width:
        rows = _shortened(titles, rows, ids)
        table, width = _table(titles, rows, columns)
    omitted = []
    for title in spare:
        if fits or width <= console.width:
            break
        if (place := titles.index(title)) in columns:
            columns.remove(place)
            omitted.append(title)
            table, width = _table(titles, rows, columns)
    room = console.width
    lines = (len(rows) + 1) * max(1, math.ceil(width / room))
    too_long = console.is_terminal and lines >= console.height
    console.width = max(width, 1)
    if paged and too_long and os.environ.get("PAGER") != "":  # empty: none is wanted
        with console.capture() as shown:
            console.print(table, soft_wrap=True)
        os.environ.setdefault("LESS", "-FRX")  # colours, and nothing that clears the screen: as git does
        click.echo_via_pager(shown.get().removesuffix("\n"))  # which ends it with one
    else:
        console.print(table, soft_wrap=True)
    if named := [title for title in omitted if title]:
        click.echo(click.wrap_text(f"Not shown here: {', '.join(named)}. --wide shows every column.", room), err=True)


def _shortened(
    titles: Sequence[str], rows: Sequence[Sequence[object]], ids: Sequence[str]
) -> Sequence[Sequence[object]]:
    """The rows with ids that still differ from each other, and which commands take for the whole."""
    places = [titles.index(title) for title in ids]
    length = SHORT_ID
    for i in places:
        whole = {str(row[i]) for row in rows}
        while len({each[:length] for each in whole}) < len(whole):
            length += 1
    return [[str(cell)[:length] if i in places and cell else cell for i, cell in enumerate(row)] for row in rows]


def _table(titles: Sequence[str], rows: Sequence[Sequence[object]], columns: Sequence[int]) -> tuple[Table, int]:
    from rich.cells import cell_len  # noqa: PLC0415
    from rich.table import Table  # noqa: PLC0415
    from rich.text import Text  # noqa: PLC0415

    table = Table(box=None, header_style="bold", pad_edge=False)
    width = 2 * (len(columns) - 1)
    texts = [[safe("" if row[i] is None else row[i]) for i in columns] for row in rows]
    for place, i in enumerate(columns):
        table.add_column(titles[i], no_wrap=True)
        width += max(cell_len(text) for text in (titles[i], *(line[place] for line in texts)))
    for line, row in zip(texts, rows, strict=True):
        table.add_row(*(Text(text, style=_style(row[i])) for text, i in zip(line, columns, strict=True)))
    return table, width


def _style(cell: object) -> str:
    good = ("ready", "succeeded", "✓")
    bad = ("needs_login", "quarantined", "in_doubt", "unknown", "✗")
    return "green" if cell in good else "red" if cell in bad else "yellow" if cell in ("denied", "rejected") else ""


def settings_of(**given: Any) -> Settings:
    """Read the settings of a command, which logs nothing by itself unless a log level was chosen.

    From here on it may hold secrets: the master key comes with the settings.
    """
    no_core_dumps()
    settings = read_settings(given)
    start_logging(settings, quiet=True)
    for each in unknown_variables():
        warn(each)
    return settings


def no_core_dumps() -> None:
    """Keep tokens out of core files, and out of reach of other processes of the same user."""
    if sys.platform == "win32":
        return
    import resource  # noqa: PLC0415

    with suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if sys.platform == "linux":
        import ctypes  # noqa: PLC0415

        with suppress(OSError, AttributeError):
            ctypes.CDLL(None).prctl(4, 0, 0, 0, 0)  # PR_SET_DUMPABLE


@asynccontextmanager
async def app_of(settings: Settings, scope: Scope | None = None) -> AsyncIterator[App]:
    """Open everything for one command."""
    from orgserver.app import open_app  # noqa: PLC0415  # the store's and client's imports
    from orgserver.store.processes.lock_holders import Patience  # noqa: PLC0415  # as above

    async with open_app(settings, scope, patience=Patience(tell=tell)) as app:
        yield app


def run(action: Coroutine[Any, Any, T]) -> T:
    """Run a command's action; Ctrl-C cancels it, so that it can leave things in order."""
    collect_again()
    return run_in_loop(action)


def run_in_loop(
    action: Coroutine[Any, Any, T], loop_factory: Callable[[], asyncio.AbstractEventLoop] | None = None
) -> T:
    """Run an action in an event loop of its own; KeyboardInterrupt once Ctrl-C has cancelled it."""
    with asyncio.Runner(loop_factory=loop_factory) as runner, CtrlC(runner.get_loop()) as ctrl_c:
        try:
            return runner.run(ctrl_c.cancelling(action))
        except asyncio.CancelledError:
            if ctrl_c.pressed:
                raise KeyboardInterrupt from None
            raise


class CtrlC:
    """Ctrl-C cancels the action of a loop between two of its steps; a second one interrupts whatever runs.

    ``asyncio.Runner`` cancels from within the signal's handler, which Python may enter in the middle of any step:
    ``asyncio``'s own hand-over between futures then finds a future cancelled that it has just seen waiting, and logs
    a traceback.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.pressed = False
        self._loop = loop
        self._task: asyncio.Task[Any] | None = None

    async def cancelling(self, action: Coroutine[Any, Any, T]) -> T:
        """The action as the task that is cancelled."""
        self._task = asyncio.current_task()
        return await action

    def __enter__(self) -> Self:
        self._ours = (
            threading.current_thread() is threading.main_thread()
            and signal.getsignal(signal.SIGINT) is signal.default_int_handler  # not where Ctrl-C is ignored
        )
        if self._ours:
            signal.signal(signal.SIGINT, self._press)
        return self

    def __exit__(self, *_: object) -> None:
        if self._ours:
            signal.signal(signal.SIGINT, signal.default_int_handler)

    def _press(self, *_: object) -> None:
        if self.pressed or self._task is None:
            raise KeyboardInterrupt
        self.pressed = True
        self._loop.call_soon_threadsafe(self._task.cancel)


def collect_again() -> None:
    """End the start, during which garbage is not collected (see ``__main__``)."""
    gc.freeze()
    gc.enable()


def agreed(question: str) -> bool:
    """Ask yes or no. Ctrl-C ends the question at once; left to the event loop, it would wait for an answer."""
    with interruptible():
        return click.confirm(question, err=True)


@contextmanager
def interruptible() -> Iterator[None]:
    """Let Ctrl-C end at once what blocks in here, such as a question."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


async def until_told(action: Coroutine[Any, Any, None]) -> None:
    """Run something that has no end of its own until SIGTERM or Ctrl-C, which end it well."""
    task = asyncio.ensure_future(action)
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        with suppress(NotImplementedError):  # Windows
            loop.add_signal_handler(number, task.cancel)
    with suppress(asyncio.CancelledError):
        await task


def operator() -> Caller:
    """The person at this command line."""
    return Caller(Principal(local_principal()), "cli")


def local_principal() -> str:
    """``local:`` and the name of the operating system's user."""
    try:
        return f"local:{getpass.getuser()}"
    except (KeyError, OSError):
        return f"local:{os.getuid() if hasattr(os, 'getuid') else 'user'}"


def _red(text: str) -> str:
    return text if os.environ.get("NO_COLOR") else click.style(text, fg="red", bold=True)
