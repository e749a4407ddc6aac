"""Desktop notifications: a short text on the person's screen, by the program that the system has for it.

The program is started by its absolute path with an argument list, no shell, an environment of what it needs, and a
time limit, in a thread of its own. That one is missing, hangs or fails is nobody's trouble.
"""

from __future__ import annotations

import html
import os
import queue
import shutil
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from orgserver.model.text import clean_text

SECONDS = 5.0
"""For one notification."""
_TITLE = "orgserver: a person must allow this"
_LONGEST = 200
_MAX_WAITING = 20
_ENVIRONMENT = (
    "PATH", "HOME", "USER", "LOGNAME", "LANG", "LC_ALL", "DISPLAY", "WAYLAND_DISPLAY", "XAUTHORITY", "XDG_RUNTIME_DIR",
    "DBUS_SESSION_BUS_ADDRESS",
)  # fmt: skip
_BUS = "DBUS_SESSION_BUS_ADDRESS"
_SCRIPT = (
    "on run argv",
    "display notification (item 1 of argv) with title (item 2 of argv)",
    "end run",
)


class Notifications:
    """Shows texts one after the other; what waits when there are too many is left out."""

    def __init__(self, program: Sequence[str], environment: Mapping[str, str], *, seconds: float = SECONDS) -> None:
        self._program = tuple(program)
        self._environment = dict(environment)
        self._seconds = seconds
        self._texts: queue.Queue[str] = queue.Queue(_MAX_WAITING)
        self._thread: threading.Thread | None = None

    @classmethod
    def of_system(cls, environ: Mapping[str, str] = os.environ, platform: str = sys.platform) -> Notifications | None:
        """Those of the desktop; None where there is none."""
        environment = {name: environ[name] for name in _ENVIRONMENT if name in environ}
        path = environ.get("PATH")
        if platform == "darwin":
            program = _found("osascript", path)
            return (
                cls((program, *(part for line in _SCRIPT for part in ("-e", line))), environment) if program else None
            )
        program = _found("notify-send", path) if platform.startswith("linux") else None
        if program is None:
            return None
        if _BUS not in environment:  # clients start their servers with little of the session's environment
            bus = Path(f"/run/user/{os.getuid()}/bus")
            if not bus.exists():
                return None
            environment[_BUS] = f"unix:path={bus}"
        return cls((program, "--app-name=orgserver", "--"), environment)

    def show(self, text: str) -> None:
        """Show a text soon; returns at once."""
        with suppress(queue.Full):
            self._texts.put_nowait(clean_text(text, _LONGEST))
        if self._thread is None:
            self._thread = threading.Thread(target=self._work, name="notifications", daemon=True)
            self._thread.start()

    def _work(self) -> None:
        while True:
            text = self._texts.get()
            with suppress(OSError, subprocess.SubprocessError):
                subprocess.run(  # noqa: S603  # an absolute path, arguments of ours, no shell
                    self._arguments(text),
                    env=self._environment,
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,  # standard output carries the protocol
                    stderr=subprocess.DEVNULL,
                    timeout=self._seconds,
                    check=False,
                    start_new_session=True,
                )
            self._texts.task_done()

    def _arguments(self, text: str) -> list[str]:
        if self._program[-1] == "--":  # notify-send: a title, then a body that is read as markup
            return [*self._program, _TITLE, html.escape(text, quote=False)]
        return [*self._program, text, _TITLE]


def _found(name: str, path: str | None) -> str | None:
    """The absolute path of a program; one in a folder that ``PATH`` names relatively could be anybody's."""
    program = shutil.which(name, path=path) if path else None
    return program if program is not None and Path(program).is_absolute() else None
