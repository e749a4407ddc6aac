"""A server over HTTP is ended under load, again and again: whatever it began is answered, on record, and nothing is lost.

Callers create records through connections that they keep. At random moments the server gets SIGTERM, access tokens end
now and then, and the next server starts. Every call that is on record was answered to its caller with what is on
record; a connection that closes without an answer had nothing begun on it.
"""

import asyncio
import json
import random
import signal
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import httpx2

from orgserver.app import App, open_app
from orgserver.cli.orgs.pretend_orgs import register
from orgserver.config import read_settings
from orgserver.sandbox.server import Sandbox
from orgserver.services.people.requests import KeyChanges
from tests.people import OPERATOR, principal_changes

from .http_process import HttpProcess, serving_http
from .servers import LIMITS, Killed, judge
from .store_places import IN_FILE, StorePlace

CALLERS = 12
PAUSE_SECONDS = (0.05, 0.6)
MOST_SECONDS = 10.0
NO_LIMITS = {"ORGSERVER_HTTP_RATE": "100000", "ORGSERVER_HTTP_IN_FLIGHT": "1000"}


@dataclass
class Ended(Killed):
    """What the ends did."""

    closed: int = 0
    """Connections that were closed or refused without an answer."""
    slowest: float = 0.0
    """The longest that an end took, in seconds."""

    @property
    def holds(self) -> bool:
        if self.intents != len(self.answered) + sum(self.refused.values()):
            self.wrong.append(f"{self.intents} calls on record")
        return not self.wrong and not self.unknown and len(self.answered) > self.kills and self.slowest < MOST_SECONDS

    def __str__(self) -> str:
        return (
            f"{self.kills} ends, the longest {self.slowest:.2f} s; {len(self.answered)} answered calls, "
            f"{self.changes} changes at Salesforce, {self.intents} intents, {self.unknown} unknown, "
            f"{dict(self.refused) or 'none'} refused, {self.closed} found it closed, "
            f"{len(self.wrong)} wrong {self.wrong[:8] or ''}"
        )


async def ended(ends: int, *, seed: int, place: StorePlace = IN_FILE) -> Ended:
    """End so many servers, one after the other, and judge."""
    done, chance = Ended(seed), random.Random(seed)
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder) / "home"
        async with Sandbox.start(1) as sandbox:
            async with open_app(read_settings(place.settings(home), {})) as app:
                await register(app, sandbox)
                key = await _make_key(app)
            for life in range(ends):
                limits = LIMITS | {"ORGSERVER_LOG_LEVEL": "info"} | NO_LIMITS | place.environment
                async with serving_http(home, **limits) as served:
                    await _end_under_load(done, served, key, life, chance, sandbox)
            settings = place.settings(home, abandoned_seconds=1, heartbeat_seconds=0.2)
            async with open_app(read_settings(settings, {})) as app:
                await judge(done, app, sandbox.orgs[0])
    return done


async def _make_key(app: App) -> str:
    changes = principal_changes("*:read,write", keys=KeyChanges(new=True))
    update = await app.people.principals.add(OPERATOR, "ada", changes)
    assert update.key is not None
    return update.key.text.reveal()


async def _end_under_load(
    done: Ended, served: HttpProcess, key: str, life: int, chance: random.Random, sandbox: Sandbox
) -> None:
    async with served.client(key) as client:
        callers = [asyncio.create_task(_call_on(done, client, f"K{life}-{n}")) for n in range(CALLERS)]
        await asyncio.sleep(chance.uniform(*PAUSE_SECONDS))  # the fault itself: its moments are random
        org = sandbox.orgs[0]
        org.fault("delay", path=".*/sobjects/Contact", seconds=0.5, times=CALLERS // 2)
        if life % 2:
            org.expire_access_tokens()
        await asyncio.sleep(0.1)
        served.process.send_signal(signal.SIGTERM)
        began = time.monotonic()
        code = await served.read_end()
        done.slowest = max(done.slowest, time.monotonic() - began)
        await asyncio.gather(*callers)
    done.kills += 1
    if code != 0 or "Traceback" in served.log:
        done.wrong.append(f"exit code {code}: {served.log[-2_000:]}")


async def _call_on(done: Ended, client: httpx2.AsyncClient, name: str) -> None:
    """Create one record after the other until the server takes no more."""
    for number in range(1 << 30):
        arguments = {"org": "acme", "data": {"LastName": f"{name}-{number}"}}
        params = {"name": "salesforce_create_contact", "arguments": arguments}
        message = {"jsonrpc": "2.0", "id": number, "method": "tools/call", "params": params}
        try:
            reply = await client.post("/mcp", json=message)
        except httpx2.TransportError:
            done.closed += 1
            return
        result = json.loads(reply.text.rpartition("data: ")[2])["result"]
        if result.get("isError"):
            done.refused[json.loads(result["content"][0]["text"])["error"]["code"]] += 1
        else:
            done.answered[f"{name}-{number}"] = result["structuredContent"]["id"]
