"""Whose a file or folder is, and who else may write or read it: asked before anything in it is used.

The rule is that of ssh's ``StrictModes``: the owner is this account or root, and nobody else may write.
"""

from __future__ import annotations

import os
import shlex
import stat
from dataclasses import dataclass
from pathlib import Path

POSIX = os.name == "posix"
_WRITE = 0o022
_READ_OR_WRITE = 0o077


@dataclass(frozen=True, slots=True)
class Risk:
    """Why something may not be trusted: a clause for people, and what mends it."""

    reason: str
    mend: str


def risk(path: Path, status: os.stat_result, *, private: bool = False, sticky: bool = False) -> Risk | None:
    """Why what lies at a path may not be trusted; None when it may be, and always on Windows.

    ``private`` refuses readers too. ``sticky`` lets a folder pass in which everybody may make files but nobody may
    touch those of others (mode 1777).
    """
    if not POSIX:
        return None
    name = shlex.quote(str(path))
    if status.st_uid not in (os.geteuid(), 0):
        return Risk(
            f"{path} belongs to another user", f"chown it to the account that runs orgserver, or to root: {name}"
        )
    mode = stat.S_IMODE(status.st_mode)
    if private and mode & _READ_OR_WRITE:
        return Risk(f"{path} can be read or changed by others (mode {mode:o})", f"run: chmod 600 {name}")
    if mode & _WRITE and not (sticky and mode & stat.S_ISVTX):
        return Risk(f"{path} can be changed by others (mode {mode:o})", f"run: chmod go-w {name}")
    return None
