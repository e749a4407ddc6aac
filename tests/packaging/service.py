"""The unit of systemd, judged by systemd where it is; and its lines, read."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

from .bundles import run
from .published import PACKAGING
from .saying import Result, failed, not_tried, ok, said

UNIT = PACKAGING / "systemd" / "orgserver.service"
MOST_EXPOSURE = 20
"""Of 100: what systemd itself takes for well protected. A server that speaks to the network cannot come to nothing."""


def read_unit() -> dict[str, dict[str, list[str]]]:
    """Each section's settings; one that stands several times has several values."""
    sections: dict[str, dict[str, list[str]]] = {}
    for line in UNIT.read_text("utf-8").splitlines():
        if line.startswith("["):
            section = sections[line.strip("[]")] = {}
        elif line and not line.startswith("#"):
            name, _, value = line.partition("=")
            section.setdefault(name, []).append(value)
    return sections


async def service(_packages: Path, folder: Path) -> list[Result]:
    """Verify the unit, and let systemd say how exposed it is."""
    if shutil.which("systemd-analyze") is None:
        return [said(not_tried("the unit was read but not verified: systemd-analyze is missing"))]
    program = read_unit()["Service"]["ExecStart"][0].split()[0]
    unit = folder / UNIT.name
    unit.write_text(UNIT.read_text("utf-8").replace(program, sys.executable), "utf-8")  # a program that is there
    results = []
    for words in (("verify", "--man=no"), ("security", "--offline=true", f"--threshold={MOST_EXPOSURE}", "--no-pager")):
        try:
            await run("systemd-analyze", *words, unit)
        except AssertionError as error:
            results.append(said(failed(str(error))))
        else:
            results.append(said(ok(f"systemd-analyze {' '.join(words)}: it finds nothing")))
    return results
