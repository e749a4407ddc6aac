"""Running a client's command."""

from __future__ import annotations

import asyncio
import os
from dataclasses import dataclass
from pathlib import Path

_LONGEST = 120


@dataclass(frozen=True, slots=True)
class Ran:
    """How it ended."""

    code: int | None
    stdout: str
    stderr: str


async def run(*command: str, environment: dict[str, str], folder: Path | None = None) -> Ran:
    """Run it to its end, without anything of the caller's own in its environment."""
    process = await asyncio.create_subprocess_exec(
        *command,
        cwd=folder,
        env={"LANG": os.environ.get("LANG", "C.UTF-8")} | environment,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        async with asyncio.timeout(_LONGEST):
            stdout, stderr = await process.communicate()
    except TimeoutError:
        process.kill()
        await process.communicate()
        raise
    return Ran(process.returncode, stdout.decode(), stderr.decode())
