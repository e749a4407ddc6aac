"""Large changes through a real server: `python tests/system/large.py 100000` prints what they take."""

import asyncio
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mcp.client import Client
from mcp.client.stdio import StdioServerParameters, stdio_client
from mcp_types import ElicitResult

from orgserver.app import open_app
from orgserver.cli.orgs.pretend_orgs import register
from orgserver.config import read_settings
from orgserver.sandbox.server import Sandbox

TOOL = "salesforce_change_records"
BY_ARGUMENT = 5_000


@dataclass
class Large:
    """What one change took."""

    answer: dict[str, Any] = field(default_factory=dict)
    seconds: float = 0.0
    kilobytes: int = 0
    """The most memory that the server ever held."""
    progress: list[tuple[float, float | None, str | None]] = field(default_factory=list)

    def __str__(self) -> str:
        counts = {name: self.answer[name] for name in ("total", "succeeded", "failed", "unknown")}
        return f"{counts} in {self.seconds:.1f} s, server at most {self.kilobytes / 1_000:.0f} MB"


@asynccontextmanager
async def served(home: Path, questions: list[str], mode: str = "auto") -> AsyncIterator[Client]:
    """A server of its own process, and a client whose person says yes."""

    async def agree(_context: Any, asked: Any) -> ElicitResult:
        questions.append(asked.message)
        return ElicitResult(action="accept", content={"confirm": True})

    parameters = StdioServerParameters(
        command=sys.executable,
        args=["-m", "orgserver", "serve", "--toolset", "bulk"],
        env={"ORGSERVER_HOME": str(home), "ORGSERVER_LOG_LEVEL": "error", "ORGSERVER_NOTIFICATIONS": "off"},
    )
    async with Client(
        stdio_client(parameters),
        mode=mode,
        elicitation_callback=agree,  # type: ignore[arg-type]
        read_timeout_seconds=900,
    ) as client:
        yield client


async def change(client: Client, home: Path, **arguments: Any) -> Large:
    """One call, measured."""
    done = Large()

    async def progress(*told: Any) -> None:
        done.progress.append(told)

    began = time.perf_counter()
    result = await client.call_tool(TOOL, {"org": "acme", "object": "Contact", **arguments}, progress_callback=progress)  # type: ignore[arg-type]
    assert not result.is_error, result.content
    done.answer, done.seconds = result.structured_content or {}, time.perf_counter() - began
    done.kilobytes = high_water(home)
    return done


def high_water(home: Path) -> int:
    """The most memory that this home's server ever held, in kB."""
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            ours = b"\0serve" in (folder / "cmdline").read_bytes()
            if ours and f"ORGSERVER_HOME={home}".encode() in (folder / "environ").read_bytes():
                (line,) = (each for each in (folder / "status").read_text().splitlines() if each.startswith("VmHWM"))
                return int(line.split()[1])
        except (OSError, ValueError):
            continue
    raise ProcessLookupError("no server serves this home")


async def run(count: int, folder: Path, mode: str = "auto") -> tuple[Large, Large, list[str]]:
    """5,000 records created by argument, and everything there is, ``count`` at least, changed through a query."""
    from orgserver.sandbox.state import schema

    home, questions = folder / "home", list[str]()
    async with Sandbox.start(1) as sandbox:
        async with open_app(read_settings({"home": home}, {})) as app:
            await register(app, sandbox)
        acme, contact = sandbox.orgs[0], schema.load("Contact")
        async with served(home, questions, mode) as client:
            records = [{"LastName": f"Given {n}", "Description": '=1+1,"ü"\n\U0001f4a5'} for n in range(BY_ARGUMENT)]
            given = await change(client, home, action="create", records=records)
        for number in range(count - BY_ARGUMENT):
            acme.records.create(contact, {"LastName": f"Seeded {number}"})
        acme.bulk_rows_per_second = max(10_000, count // 8)
        async with served(home, questions, mode) as client:
            found = await change(
                client, home, action="update", soql="SELECT Id FROM Contact", data={"Department": "Moved"}
            )
        moved = sum(each.get("Department") == "Moved" for each in acme.records.tables["Contact"].values())
        assert moved == found.answer["succeeded"]
    verified = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "orgserver", "audit", "verify",
        env=os.environ | {"ORGSERVER_HOME": str(home)}, stdout=subprocess.DEVNULL,
    )  # fmt: skip
    assert await verified.wait() == 0
    return given, found, questions


async def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        given, found, questions = await run(int(sys.argv[1]), Path(folder))
    print(*questions, sep="\n")
    print("by argument:", given)
    print("by query:   ", found)
    for _done, _total, message in found.progress[:: max(1, len(found.progress) // 20)] + found.progress[-1:]:
        print("  ", message)


if __name__ == "__main__":
    asyncio.run(main())
