"""An agent looks a field up, and is helped with wrong names, through a real server process."""

import json
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from mcp.client.client import Client
from mcp.client.stdio import StdioServerParameters, stdio_client

from orgserver.app import App
from orgserver.sandbox.org import SandboxOrg


@asynccontextmanager
async def client(home: Path) -> AsyncIterator[Client]:
    environment = {**os.environ, "ORGSERVER_HOME": str(home)}
    parameters = StdioServerParameters(command=sys.executable, args=["-m", "orgserver", "serve"], env=environment)
    with open(os.devnull, "w") as nowhere:
        async with Client(stdio_client(parameters, errlog=nowhere)) as connected:
            yield connected


def told(result: Any) -> Any:
    return json.loads(result.content[0].text)


async def test_a_field_is_looked_up_and_a_wrong_one_named_in_two_server_processes(
    app: App, acme: SandboxOrg, tmp_path: Path
) -> None:
    asked = {"org": "acme", "object": "Contact"}
    async with client(tmp_path / "home") as first:
        compact = await first.call_tool("salesforce_describe_object", asked)
        objects = await first.call_tool("salesforce_list_objects", {"org": "acme", "match": "cont"})
    assert len(compact.content[0].text.encode()) <= 6_144
    assert compact.structured_content == told(compact)
    assert {"name": "Contact"} in told(objects)["objects"]

    async with client(tmp_path / "home") as second:
        again = await second.call_tool("salesforce_describe_object", asked | {"fields": ["Email"]})
        before = list(acme.requests)
        wrong = await second.call_tool(
            "salesforce_create_contact", {"org": "acme", "data": {"LastName": "B", "Mail": "x"}}
        )
        query = await second.call_tool("salesforce_query", {"org": "acme", "soql": "SELECT Mail FROM Contact"})
    assert [field["name"] for field in told(again)["fields"]] == ["Email"]
    looks = acme.requests[len(before) :]
    assert sum(seen.path.endswith("/describe") for seen in before) == 1
    assert [(seen.path.rpartition("/")[2], seen.status) for seen in looks] == [("describe", 304)] * 2  # once more each
    for result, field in ((wrong, "data.Mail"), (query, "soql")):
        assert result.is_error
        error = told(result)["error"]
        assert error["message"] == "no field 'Mail' on Contact; did you mean Email?"
        assert (error["code"], error["outcome"], error["fields"]) == ("INVALID_FIELD", "denied", [field])
    assert (await app.audit_log.verify()).problem is None
