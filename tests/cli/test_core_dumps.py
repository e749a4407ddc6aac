"""No command that opens secrets leaves them in a core file."""

import asyncio
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from orgserver.sandbox.org import SandboxOrg
from tests.cli.shells import SECONDS, Shell

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="limits of another process are read from /proc")


@pytest.fixture(autouse=True)
def _dumps() -> Iterator[None]:
    """Core dumps as large as may be, for what this process starts: or no command had to turn them off."""
    import resource

    before = resource.getrlimit(resource.RLIMIT_CORE)
    resource.setrlimit(resource.RLIMIT_CORE, (before[1], before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_CORE, before)


async def core_limit(process: asyncio.subprocess.Process) -> list[str]:
    """The limits of a running process, once they are no longer those that it began with."""
    limits = Path(f"/proc/{process.pid}/limits")
    async with asyncio.timeout(SECONDS):
        while True:
            (core,) = [line.split()[4:6] for line in limits.read_text().splitlines() if "core file size" in line]
            if core == ["0", "0"]:
                return core
            await asyncio.sleep(0.02)


@pytest.mark.parametrize(
    "command",
    ["add-org other --credentials-stdin", "audit tail --follow", "check-org acme", "import-orgs --csv -", "demo"],
)
async def test_a_command_that_opens_secrets_turns_core_dumps_off(shell: Shell, acme: SandboxOrg, command: str) -> None:
    await shell.add(acme)
    acme.fault("hang", path=".*", times=9)
    process = await shell.start(*command.split())
    try:
        assert await core_limit(process) == ["0", "0"]
    finally:
        process.kill()
        await process.wait()
