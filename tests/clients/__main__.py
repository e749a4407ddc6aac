"""Clients that nobody here wrote log in at the sandbox and work: ``python -m tests.clients``.

It installs jsforce, the sf command and the Node it needs into a temporary folder, starts ``orgserver sandbox --tls`` and
prints a transcript. The exit code is 0 if every step went well. ``--packages FOLDER`` uses, or fills, a folder that
stays. npm must be on the path and its registry within reach; nothing else leaves the machine.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
from collections.abc import Awaitable, Callable
from pathlib import Path

from .npm import Packages, install
from .sandbox import Served, serving
from .with_jsforce import jsforce
from .with_sf import sf
from .with_simple_salesforce import simple_salesforce

Client = Callable[[Served, Packages, Path], Awaitable[None]]
CLIENTS: tuple[Client, ...] = (simple_salesforce, jsforce, sf)


def main() -> int:
    """Play every client against a sandbox of its own."""
    parser = argparse.ArgumentParser(prog="python -m tests.clients", description=__doc__)
    parser.add_argument("--packages", type=Path, help="a folder for the npm packages; a temporary one if not given")
    told = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="orgserver-clients-") as folder:
        return asyncio.run(_play(told.packages or Path(folder) / "packages", Path(folder)))


async def _play(where: Path, folder: Path) -> int:
    packages = await install(where)
    failed = 0
    for client in CLIENTS:
        print(f"\n== {client.__name__}")
        place = folder / client.__name__
        place.mkdir()
        try:
            async with serving() as served:
                await client(served, packages, place)
                await served.sum_up()
        except (AssertionError, OSError, TimeoutError) as error:
            failed += 1
            print(f"FAILED: {error!r}")
    print(f"\n{len(CLIENTS) - failed} of {len(CLIENTS)} clients went through")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
