"""The process of a command: its settings and app, its event loop and signals, whose it is, and how it is started.

Commands that only read open the store in a way that makes none: a store, and a master key for it, that came of looking
would stand in the way of restoring a backup, and would make the right key look like a wrong one.
"""

from __future__ import annotations

import asyncio
import gc
import getpass
import os
import shlex
import signal
import site
import sys
import sysconfig
import threading
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self, TypeVar

from orgserver.cli.output import tell, warn
from orgserver.config import Settings, read_settings, unknown_variables
from orgserver.logs import start_logging

if TYPE_CHECKING:
    from orgserver.app import App
    from orgserver.model.orgs import Caller, Scope

T = TypeVar("T")
_LOOK_SECONDS = 1.0
_MOST_HEAPS = -8
"""``M_ARENA_MAX`` of ``malloc.h``."""
_GARBAGE_THRESHOLD = 5_000
"""Objects made between two looks for garbage: a call makes hundreds, and almost none of them in circles."""


def settings_of(**options: Any) -> Settings:
    """Read the settings of a command, which logs nothing by itself unless a log level was chosen.

    From here on it may hold secrets: the master key comes with the settings.
    """
    no_core_dumps()
    settings = read_settings(options)
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


def share_one_heap() -> None:
    """Let all threads allocate from one heap: glibc gives each its own, which is full of holes after the imports."""
    if sys.platform == "linux":
        import ctypes  # noqa: PLC0415

        with suppress(OSError, AttributeError):  # another C library has no such thing
            ctypes.CDLL(None).mallopt(_MOST_HEAPS, 1)


@asynccontextmanager
async def app_of(settings: Settings, scope: Scope | None = None) -> AsyncIterator[App]:
    """Open everything for one command."""
    from orgserver.app import open_app  # noqa: PLC0415  # the store's and client's imports
    from orgserver.store.processes.lock_holders import Patience  # noqa: PLC0415  # as above

    async with open_app(settings, scope, patience=Patience(tell=tell), warn=warn) as app:
        yield app


@asynccontextmanager
async def app_to_read(settings: Settings) -> AsyncIterator[App]:
    """Open everything for one command; where there is no store, over an empty one elsewhere that is thrown away."""
    if has_store(settings):
        async with app_of(settings) as app:
            yield app
        return
    from tempfile import TemporaryDirectory  # noqa: PLC0415  # only where there is no store

    with TemporaryDirectory(prefix="orgserver-") as folder:
        elsewhere: dict[str, Any] = {"home": Path(folder), "database_url": None}
        async with app_of(settings.model_copy(update=elsewhere | _own_key(settings))) as app:
            yield app


@asynccontextmanager
async def app_to_follow(settings: Settings) -> AsyncIterator[App]:
    """The same for a command that goes on with what is written: it waits until there is a store."""
    while not has_store(settings):  # noqa: ASYNC110  # another process makes it
        await asyncio.sleep(_LOOK_SECONDS)
    async with app_of(settings) as app:
        yield app


def _own_key(settings: Settings) -> dict[str, Any]:
    """A key in place of one that would be made; what the operator has set is read, for it may be wrong."""
    from pydantic import SecretStr  # noqa: PLC0415  # only where there is no store

    from orgserver.vault import system_keyring  # noqa: PLC0415  # as above
    from orgserver.vault.keys import Key  # noqa: PLC0415  # as above
    from orgserver.vault.ring import write_ring  # noqa: PLC0415  # as above

    prints_key = settings.master_key_command not in (None, system_keyring.COMMAND)
    if settings.master_key is not None or settings.master_key_file is not None or prints_key:
        return {}
    return {"master_key": SecretStr(write_ring([Key.new()]))}


def has_store(settings: Settings) -> bool:
    """Whether there is a store, in whatever state."""
    if not settings.is_on_server:
        return os.path.lexists(settings.database_file)
    from orgserver.store.engines.open_engine import require_driver  # noqa: PLC0415  # the store's imports
    from orgserver.store.location import find_server  # noqa: PLC0415  # as above

    require_driver()
    from orgserver.store.server_facts import has_tables  # noqa: PLC0415  # needs the driver

    return has_tables(find_server(settings))


def operator() -> Caller:
    """The person at this command line."""
    from orgserver.model.access.principals import Principal  # noqa: PLC0415  # a start says its first word without it
    from orgserver.model.orgs import Caller  # noqa: PLC0415

    return Caller(Principal(local_principal()), "cli")


def local_principal() -> str:
    """``local:`` and the name of the operating system's user."""
    try:
        return f"local:{getpass.getuser()}"
    except (KeyError, OSError):
        return f"local:{os.getuid() if hasattr(os, 'getuid') else 'user'}"


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
    gc.set_threshold(_GARBAGE_THRESHOLD)
    gc.enable()


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


async def until_signal(action: Coroutine[Any, Any, None]) -> None:
    """Run something that has no end of its own until SIGTERM or Ctrl-C, which end it well."""
    task = asyncio.ensure_future(action)
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        with suppress(NotImplementedError):  # Windows
            loop.add_signal_handler(number, task.cancel)
    with suppress(asyncio.CancelledError):
        await task


def this_command(folders: Iterable[Path] | None = None) -> tuple[str, ...]:
    """The script that was installed for this Python, by its full path, or that Python and the module.

    ``folders`` are where scripts are installed. ``-P`` keeps the folder that a client starts in off the module path: a
    package called ``orgserver`` may lie there.
    """
    name = "orgserver.exe" if sys.platform == "win32" else "orgserver"
    for folder in _script_folders() if folders is None else folders:
        script = folder / name
        if script.is_file() and os.access(script, os.X_OK):
            return (str(_link(script) or script),)
    return (sys.executable, "-P", "-m", "orgserver")


def _script_folders() -> list[Path]:
    schemes = [sysconfig.get_default_scheme()]
    if site.ENABLE_USER_SITE:
        schemes.append(sysconfig.get_preferred_scheme("user"))
    return [Path(sysconfig.get_path("scripts", scheme)) for scheme in schemes]


def _link(script: Path) -> Path | None:
    """The shorter name of the same script that an installer has put on the search path."""
    import shutil  # noqa: PLC0415  # only for a line that people type

    path = Path(shutil.which(script.name) or "")
    return path if path.is_absolute() and path.samefile(script) else None


def shell_line(*words: str) -> str:
    """A line for people to type, with this command in front."""
    line = [*this_command(), *words]
    if sys.platform != "win32":
        return shlex.join(line)
    import subprocess  # noqa: PLC0415  # only there

    return subprocess.list2cmdline(line)


def has_screen() -> bool:
    """Tell whether somebody sits at this machine's screen: not over SSH, and on Linux only where a display is named."""
    if os.environ.get("SSH_CONNECTION") or os.environ.get("SSH_TTY"):
        return False
    return sys.platform in ("darwin", "win32") or bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))
