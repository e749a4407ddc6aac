"""Where the program begins."""

from __future__ import annotations

import gc
import sys


def main() -> None:
    """Run the command line."""
    # Imports make many objects and no garbage: collecting meanwhile costs a tenth of the start.
    gc.disable()
    # httpx brings its own command line along wherever click, rich and pygments are installed: 25 ms for nothing.
    sys.modules["httpx._main"] = None  # type: ignore[assignment]  # Python's own way to say "not installed"
    from orgserver.cli.main import cli  # noqa: PLC0415  # after the line above

    cli(prog_name="orgserver")


if __name__ == "__main__":
    main()
