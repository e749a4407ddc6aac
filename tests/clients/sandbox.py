"""A sandbox of its own process, served with https as the clients insist on."""

from __future__ import annotations

import asyncio
import json
import ssl
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import httpx


@dataclass(frozen=True, slots=True)
class Served:
    """What ``orgserver sandbox --tls`` printed, and its control."""

    org: dict[str, Any]
    ca_file: str
    callback: str
    control: httpx.AsyncClient

    @property
    def auth_url(self) -> str:
        """The org as ``sf org login sfdx-url`` takes it."""
        org = self.org
        return f"force://{org['client_id']}:{org['client_secret']}:{org['refresh_token']}@{org['trust_hosts'][0]}"

    async def sum_up(self) -> None:
        """Say what the sandbox saw; no token was used twice, and none was another org's."""
        counters = (await self.control.get("/sandbox/state")).json()["counters"]
        print(f"-- the sandbox saw {', '.join(f'{number} {name}' for name, number in counters.items())}")
        assert counters["reuses"] == counters["foreign_tokens"] == 0, "a token was used that must not be"


@asynccontextmanager
async def serving() -> AsyncIterator[Served]:
    """Start one, and end it."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "orgserver", "sandbox", "--orgs", "1", "--tls",
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    try:
        assert process.stdout is not None and process.stderr is not None
        async with asyncio.timeout(60):
            assert b"is up" in await process.stderr.readline(), "the sandbox did not start"
            printed = json.loads(await _object(process.stdout))
        (org,), ca_file = printed["orgs"], printed["ca_file"]
        trusting = ssl.create_default_context(cafile=ca_file)
        async with httpx.AsyncClient(base_url=org["url"], verify=trusting, trust_env=False) as control:
            yield Served(org, ca_file, printed["callbacks"][0], control)
    finally:
        process.terminate()
        await process.communicate()


async def _object(stream: asyncio.StreamReader) -> str:
    """The JSON object that is printed over several lines."""
    lines = [(await stream.readline()).decode()]
    while lines[-1].rstrip("\n") != "}":
        lines.append((await stream.readline()).decode())
    return "".join(lines)
