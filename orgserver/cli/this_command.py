"""How this very orgserver is started from anywhere: clients and people have other search paths than this process."""

from __future__ import annotations

import os
import shlex
import shutil
import site
import subprocess
import sys
import sysconfig
from collections.abc import Iterable
from pathlib import Path


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
    path = Path(shutil.which(script.name) or "")
    return path if path.is_absolute() and path.samefile(script) else None


def shell_line(*words: str) -> str:
    """A line for people to type, with this command in front."""
    line = [*this_command(), *words]
    return subprocess.list2cmdline(line) if sys.platform == "win32" else shlex.join(line)
