"""Probes need no key and say nothing; figures and details are for administrators, or on a port of their own."""

import socket

import httpx2
import pytest

from orgserver.app import App
from orgserver.model.access.principals import Subject
from orgserver.model.errors import ConfigError, StoreBusy
from tests.oauth.issuers import AUDIENCE
from tests.people import add_principal, change_principal
from tests.serving.over_http.issuer import running_issuer
from tests.serving.over_http.served import Served, serving
from tests.telemetry.test_prometheus import read


def find_free_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port: int = taken.getsockname()[1]
        return port


def hold_store(app: App, monkeypatch: pytest.MonkeyPatch) -> None:
    async def refuse(*_: object, **__: object) -> None:
        raise StoreBusy("the store is held by process 7")

    monkeypatch.setattr(app.store.database, "write", refuse)


async def get(served: Served, path: str, key: str | None = None, **headers: str) -> httpx2.Response:
    async with served.raw(key, **headers) as client:
        return await client.get(path)


async def test_probes_answer_without_a_key_and_say_nothing_more(app: App, monkeypatch: pytest.MonkeyPatch) -> None:
    async with serving(app) as served, served.raw(None) as client:
        assert [(r.status_code, r.text) for r in (await client.get("/healthz"), await client.get("/readyz"))] == [
            (200, "ok\n"),
            (200, "ready\n"),
        ]
        head = await client.head("/healthz")
        assert (head.status_code, head.content) == (200, b"")
        assert (await client.post("/healthz")).status_code == 405
        admin = await served.make_key("root", roles=("admin",))
        ada = await served.make_key("ada")

    hold_store(app, monkeypatch)
    async with serving(app) as served:
        plain, of_ada, of_admin = [await get(served, "/readyz", key) for key in (None, ada, admin)]
        assert (await get(served, "/healthz")).status_code == 200
        assert (await get(served, "/readyz", "osk_nonsense")).status_code == 401

    assert (plain.status_code, plain.text) == (of_ada.status_code, of_ada.text) == (503, "not ready\n")
    assert of_admin.status_code == 503
    assert of_admin.json() == {
        "ready": False,
        "problems": ["the store cannot be used: the store is held by process 7"],
    }


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("10.1.2.3:8080", 200),
        ("[fd00::7]:8080", 200),
        ("orgserver:8080", 200),
        ("evil.example:8080", 421),
        ("127.0.0.1:evil.example", 421),
    ],
)
async def test_a_probe_may_name_an_address_and_nothing_else_may(app: App, host: str, status: int) -> None:
    async with serving(app) as served:
        assert (await get(served, "/healthz", host=host)).status_code == status
        assert (await get(served, "/readyz", host=host)).status_code == status
        assert (await get(served, "/metrics", host=host)).status_code == 421
        assert (await get(served, "/mcp", host=host)).status_code == 421


async def test_a_web_page_reads_no_probe(app: App) -> None:
    async with serving(app) as served:
        assert (await get(served, "/readyz", origin="http://evil.example")).status_code == 403


async def test_figures_are_for_administrators_until_they_are_none(app: App) -> None:
    async with serving(app) as served:
        admin, auditor = (
            await served.make_key("root", roles=("admin",)),
            await served.make_key("eve", roles=("auditor",)),
        )
        statuses = [(await get(served, "/metrics", key)).status_code for key in (None, auditor)]
        figures = await get(served, "/metrics", admin)
        await change_principal(app, "root", no_roles=("admin",))
        after = await get(served, "/metrics", admin)

    assert (statuses, figures.status_code, after.status_code) == ([401, 403], 200, 403)
    samples = read(figures.content)
    assert samples["orgserver_http_requests_total", "route=/metrics", "status=401"] == 1
    assert samples["orgserver_auth_failures_total",] == 1
    assert samples["orgserver_orgs", "state=ready"] == 2
    assert b"root" not in figures.content and b"acme" not in figures.content


async def test_an_access_token_reads_no_figures_for_no_scope_is_about_them(app: App) -> None:
    async with running_issuer() as issuer:
        await add_principal(app, "root", "*:read", roles=("admin",), subjects=(Subject(issuer.url, "ada@idp"),))
        async with serving(app, issuer=issuer.url, audience=AUDIENCE) as served:
            token = issuer.token(scope="orgs:read")
            assert (await get(served, "/metrics", token)).status_code == 403
            assert (await get(served, "/readyz", token)).text == "ready\n"
            async with served.client(token) as client:
                assert not (await client.call_tool("salesforce_list_orgs")).is_error


async def test_a_port_of_its_own_tells_figures_and_probes_and_nothing_else(app: App) -> None:
    free_port = find_free_port()
    async with serving(app, metrics=("127.0.0.1", free_port), allowed_hosts=("figures.example",)) as served:
        apart = Served(app, f"http://127.0.0.1:{free_port}", served.ending, served.task)
        replies = [await get(apart, path) for path in ("/metrics", "/healthz", "/readyz", "/mcp")]
        named = await get(apart, "/metrics", host="evil.example")
        allowed = await get(apart, "/metrics", host=f"figures.example:{free_port}")
        with pytest.raises(ConfigError, match=f"--metrics 127.0.0.1:{free_port}: Address already in use"):
            async with serving(app, metrics=("127.0.0.1", free_port)):
                pass

    assert [reply.status_code for reply in replies] == [200, 200, 200, 404]
    assert replies[0].headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    assert ("orgserver_http_requests_total", "route=/mcp", "status=404") not in read(replies[0].content)
    assert (named.status_code, allowed.status_code) == (421, 200)
