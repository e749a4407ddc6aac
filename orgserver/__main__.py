"""Where the program begins."""

from __future__ import annotations

import gc


def main() -> None:
    """Run the command line."""
    # Imports make many objects and no garbage: collecting meanwhile costs a tenth of the start.
    gc.disable()
    from orgserver.cli.main import cli  # noqa: PLC0415  # after the line above

    cli()


if __name__ == "__main__":
    main()
