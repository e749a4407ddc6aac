"""The compose file, read as the Compose Specification has it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import compose_spec

from .published import PACKAGING
from .saying import Result, ok, said

FILE = PACKAGING / "compose.yaml"


def read_services(text: str) -> dict[str, dict[str, Any]]:
    """The services of a file that keeps the specification, and whose parts there are; ValueError for another."""
    document = compose_spec.PyCompose.from_yaml(text)
    document.validate()
    return document.to_dict()["services"]


async def compose(_packages: Path, _folder: Path) -> list[Result]:
    """Judge ``compose.yaml``; nothing is started, for that needs an engine and images."""
    services = read_services(FILE.read_text("utf-8"))
    return [said(ok(f"compose.yaml keeps the Compose Specification: {', '.join(services)}; nothing was started"))]
