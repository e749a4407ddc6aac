"""Make a store with the commands of today, to be opened by those of later: ``python -m tests.samples.stores NAME``.

With ``--record`` in place of a name, what is read from the stores that are there is written down anew.
"""

from __future__ import annotations

import asyncio
import sys
import tempfile
from pathlib import Path

from . import sample


def main() -> None:
    """Make one under a new name, or write down what is read from each."""
    with tempfile.TemporaryDirectory(prefix="orgserver-sample-") as work:
        match sys.argv[1:]:
            case ["--record"]:
                for folder in sample.folders():
                    for line in asyncio.run(sample.record(folder, Path(work) / folder.name)):
                        print(f"{folder.name}: {line}")
            case [name] if not name.startswith("-") and not (folder := sample.FOLDER / name).exists():
                asyncio.run(sample.make(folder, Path(work)))
                print(f"made {folder.name}")
            case _:
                sys.exit("usage: python -m tests.samples.stores NAME (a new store), or --record")


if __name__ == "__main__":
    main()
