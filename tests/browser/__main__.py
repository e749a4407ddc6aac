"""``python -m tests.browser [--pictures FOLDER]``: the walks of people in a real browser; exit 1 if anything is wrong."""

from __future__ import annotations

import argparse
import asyncio
import sys
from pathlib import Path

from tests.browser.chromium import NoBrowser, find_chromium, open_chromium
from tests.browser.connecting import ConnectingWalk
from tests.browser.walk import Walk
from tests.browser.world import open_world


async def run(pictures: Path | None) -> list[str]:
    """Go it; what was wrong."""
    async with open_world() as world, open_chromium() as chromium:
        walk = Walk(world, chromium, pictures, print)
        await walk.run()
        connecting = ConnectingWalk(world, chromium, pictures, print, walk.count)
        await connecting.run()
        return walk.problems + connecting.problems


def main() -> int:
    """Do what the command line says."""
    parser = argparse.ArgumentParser(prog="python -m tests.browser", description=__doc__)
    parser.add_argument("--pictures", type=Path, metavar="FOLDER", help="where pictures of all pages go")
    options = parser.parse_args()
    try:
        find_chromium()
    except NoBrowser as error:
        print(error, file=sys.stderr)
        return 1
    if options.pictures is not None:
        options.pictures.mkdir(parents=True, exist_ok=True)
    problems = asyncio.run(run(options.pictures))
    print("\n".join(problems) or "Nothing is wrong.")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
