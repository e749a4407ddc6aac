"""On standard input and output nobody is led to an address: the error names the command that logs the caller in."""

import json
from typing import Any

import pytest
from mcp.client import Client
from mcp_types import ElicitRequestParams, ElicitResult

from orgserver.app import App
from orgserver.model.access.principals import Principal
from orgserver.serving.server import build_server
from tests.people import add_principal
from tests.serving.over_http.connect.world import set_org

LIST = "salesforce_list_contacts"


async def never(_context: Any, _params: ElicitRequestParams) -> ElicitResult:
    raise AssertionError("nobody is asked")


@pytest.mark.parametrize("mode", ["legacy", "auto"])
@pytest.mark.parametrize(
    ("name", "command"),
    [
        ("local:ada", "orgserver connect-org acme"),
        ("ada", "orgserver connect-org acme --principal ada"),
    ],
)
async def test_the_hint_is_a_command_for_the_caller(app: App, name: str, command: str, mode: Any) -> None:
    await add_principal(app, "ada", "acme:read")
    server = build_server(app.services, principal=Principal(name))
    async with Client(server, mode=mode, elicitation_callback=never) as client:  # type: ignore[arg-type]
        assert not (await client.call_tool(LIST, {"org": "acme"})).is_error
        await set_org(app, "acme", identity="own")

        result = await client.call_tool(LIST, {"org": "acme"})

    error = json.loads(result.content[0].text)["error"]  # type: ignore[union-attr]
    assert error["code"] == "LOGIN_REQUIRED"
    assert error["hint"] == f"run: {command}, then repeat the call"
