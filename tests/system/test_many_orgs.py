"""Fifty orgs asked by one call of a real server: five hang, five refuse, and the answer comes within the limit."""

import json
import sys
import time
from pathlib import Path
from typing import Any

from mcp.client import Client
from mcp.client.stdio import StdioServerParameters, stdio_client

from orgserver.app import open_app
from orgserver.cli.orgs.pretend_orgs import register
from orgserver.config import read_settings
from orgserver.model.audit import EntryFilter
from orgserver.sandbox.server import Sandbox
from orgserver.services.fleet.fan_out import SECONDS

ORGS, HANGING, REFUSING = 50, 5, 5


async def test_fifty_orgs_of_which_five_hang_and_five_refuse_answer_within_the_limit(tmp_path: Path) -> None:
    home = tmp_path / "home"
    told: list[float] = []

    async def progress(done: float, _total: float | None, _message: str | None) -> None:
        told.append(done)

    async with Sandbox.start(ORGS) as sandbox:
        async with open_app(read_settings({"home": home}, {})) as app:
            await register(app, sandbox)
        for org in sandbox.orgs[:HANGING]:
            org.fault("hang", path=".*/query.*", seconds=120, times=99)
        refusal = json.dumps([{"errorCode": "INSUFFICIENT_ACCESS", "message": "no"}])
        for org in sandbox.orgs[HANGING : HANGING + REFUSING]:
            org.fault("status", path=".*/query.*", status=403, body=refusal, times=99)
        parameters = StdioServerParameters(
            command=sys.executable,
            args=["-m", "orgserver", "serve", "--toolset", "fleet"],
            env={"ORGSERVER_HOME": str(home)},
        )
        async with Client(stdio_client(parameters)) as client:
            started = time.perf_counter()
            arguments = {"orgs": ["*"], "soql": "SELECT COUNT() FROM Contact", "merge": True}
            result = await client.call_tool("salesforce_query_orgs", arguments, progress_callback=progress)  # type: ignore[arg-type]
            seconds = time.perf_counter() - started

    answer: dict[str, Any] = result.structured_content or {}
    print(
        f"{answer['answered']} of {answer['orgs']} orgs answered, {answer['total_size']} contacts, in {seconds:.1f} s"
    )
    assert seconds < SECONDS + 5
    assert (answer["orgs"], answer["answered"], answer["failed"]) == (ORGS, ORGS - HANGING - REFUSING, 10)
    codes = [each["error"]["code"] for each in answer["results"] if "error" in each]
    assert sorted(codes) == ["INSUFFICIENT_ACCESS"] * REFUSING + ["TIMEOUT"] * HANGING
    assert answer["total_size"] == sum(each["total_size"] for each in answer["results"] if "total_size" in each) > 0
    assert told == [float(number) for number in range(1, ORGS + 1)]
    async with open_app(read_settings({"home": home}, {})) as app:
        outcomes = [e.outcome.value async for e in app.audit_log.entries(EntryFilter(tool="salesforce_query_orgs"))]
    assert {name: outcomes.count(name) for name in set(outcomes)} == {"succeeded": 40, "rejected": 5, "unknown": 5}
