"""Files of an operator that hold secrets, and who else may read them."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from orgserver.cli.support import warn


def warn_if_readable(path: Path | str, mode: int) -> None:
    """Warn of a file that other users of this machine can read."""
    if os.name == "posix" and stat.S_ISREG(mode) and mode & (stat.S_IRGRP | stat.S_IROTH):
        warn(f"{path} holds secrets and can be read by other users of this machine; run: chmod 600 {path}")
