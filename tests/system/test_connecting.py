"""A person's login from a link to its end, in a real server: no secret of the way is left anywhere, killed or not."""

from __future__ import annotations

import asyncio
import json
import os
import re
import sys
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import httpx2
import pytest

from orgserver.app import App
from orgserver.sandbox.org import SandboxOrg
from orgserver.sandbox.server import Sandbox
from tests.faults.http_process import HttpProcess, serving_http
from tests.serving.over_http.connect.world import page_of, set_org
from tests.serving.over_http.test_ending import result_of
from tests.system.test_canaries import hits
from tests.system.test_http_process import make_key, secrets_of

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such signals")

LIST: dict[str, Any] = {
    "jsonrpc": "2.0",
    "id": 1,
    "method": "tools/call",
    "params": {"name": "salesforce_list_contacts", "arguments": {"org": "acme"}},
}


CODE = "aCodeThatSalesforceNeverGave"


class Person:
    """Somebody with a key and a browser, who keeps what was secret of the way."""

    def __init__(self, url: str, key: str) -> None:
        self.url, self.key = url, key
        self.jar: dict[str, str] = {}
        self.secrets: set[str] = {key}

    async def ask(self, method: str, target: str, **form: str) -> httpx2.Response:
        url = target if target.startswith("http") else f"{self.url}{target}"
        cookie = {"cookie": "; ".join(f"{k}={v}" for k, v in self.jar.items())} if self.jar else {}
        headers = {"origin": self.url} | cookie
        async with httpx2.AsyncClient(trust_env=False, timeout=30) as http:
            reply = await http.request(method, url, data=form or None, headers=headers)
        for each in reply.headers.get_list("set-cookie"):
            name, _, value = each.partition(";")[0].partition("=")
            if url.startswith(self.url) and value:
                self.jar[name] = value
                self.secrets.add(value)
        return reply

    async def link(self, served: HttpProcess) -> str:
        async with served.client(self.key) as client:
            answer = result_of(await client.post("/mcp", json=LIST))
        link: str = json.loads(answer["content"][0]["text"])["error"]["hint"].split()[1]
        self.secrets.add(link.rpartition("/")[2])
        return link

    async def begin(self, link: str) -> str:
        """As far as Salesforce; the answer's address."""
        fields = page_of(await self.ask("GET", link)).fields
        assert (await self.ask("POST", f"{link}/key", csrf=fields["csrf"], key=self.key)).status_code == 303
        fields = page_of(await self.ask("GET", link)).fields
        login = (await self.ask("POST", f"{link}/begin", csrf=fields["csrf"])).headers["location"]
        back: str = (await self.ask("GET", login)).headers["location"]
        self.secrets |= {text for name, text in parse_qsl(urlsplit(back).query) if name in ("state", "code")}
        return back

    async def store(self, result: str) -> httpx2.Response:
        fields = page_of(await self.ask("GET", result)).fields
        return await self.ask("POST", "/connect/store", csrf=fields["csrf"], link=fields["link"])


async def run(home: Path, *command: str) -> bytes:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "orgserver", *command, stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT, env=os.environ | {"ORGSERVER_HOME": str(home)},
    )  # fmt: skip
    return (await process.communicate())[0]


def drain(served: HttpProcess) -> asyncio.Task[None]:
    async def read() -> None:
        assert served.process.stderr is not None
        while line := await served.process.stderr.readline():
            served.lines.append(line.decode())

    return asyncio.create_task(read())


async def test_a_login_from_its_link_to_its_end_leaves_no_secret_also_where_the_server_is_killed(
    app: App, sandbox: Sandbox, acme: SandboxOrg, tmp_path: Path
) -> None:
    home = tmp_path / "home"
    await set_org(app, "acme", identity="own")
    key, root = await make_key(app, "ada", "acme:read,write"), await make_key(app, "root", roles=("admin",))
    settings = {"ORGSERVER_LOG_LEVEL": "debug", "ORGSERVER_LOG_FORMAT": "json"}
    places: dict[str, bytes] = {}
    async with serving_http(home, **settings) as served:
        draining = drain(served)
        acme.callbacks.append(f"{served.url}/connect/callback")
        ada, other = Person(served.url, key), Person(served.url, root)
        link = await ada.link(served)
        csrf = page_of(await other.ask("GET", link)).fields["csrf"]
        places["another's key"] = (await other.ask("POST", f"{link}/key", csrf=csrf, key=root)).content
        back = await ada.begin(link)
        places["another browser"] = (await other.ask("GET", back)).content
        places["another code"] = (await ada.ask("GET", re.sub("code=[^&]*", f"code={CODE}", back))).content
        result = (await ada.ask("GET", await ada.begin(await ada.link(served)))).headers["location"]
        served.process.kill()  # between Salesforce's answer and the person's click
        await draining
    places["first log"] = served.log.encode()
    async with serving_http(home, address=served.url.rpartition("/")[2], **settings) as served:
        draining = drain(served)
        assert page_of(await ada.store(result)).texts("h1") == ["You are connected"]
        async with served.client(key) as client, served.client(root) as admin:
            assert not result_of(await client.post("/mcp", json=LIST)).get("isError")
            places["figures"] = (await admin.get("/metrics")).content
        family = acme.logins.families[-1]
        secrets = secrets_of(sandbox.orgs) | {family.refresh_token or key}
        places["connections"] = await run(home, "connections", "--json")
        places["update-principal"] = await run(home, "update-principal", "ada", "--disable")
        assert not family.alive
        places["events"] = await run(home, "audit", "export", "--format", "events")
        served.process.terminate()
        await draining
    places["second log"] = served.log.encode()

    secrets |= ada.secrets | other.secrets | secrets_of(sandbox.orgs) | {CODE}
    assert b"ada" in places["connections"]
    assert b"Traceback" not in places["first log"] + places["second log"]
    places |= {str(file): file.read_bytes() for file in home.rglob("*") if file.is_file() and file.name != "master.key"}
    assert not hits(secrets, places)
