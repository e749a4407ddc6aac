"""Whether somebody sits at a screen of this machine, where a browser can be shown."""

from __future__ import annotations

import os
import sys


def has_screen() -> bool:
    """Not over SSH, and on Linux only where a display is named."""
    if os.environ.get("SSH_CONNECTION") or os.environ.get("SSH_TTY"):
        return False
    return sys.platform in ("darwin", "win32") or bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))
