"""People end their own sessions at /me, admins everybody's."""

from functools import partial

import pytest

from orgserver.model.access.people import OAuthClient
from orgserver.model.access.principals import Subject
from orgserver.model.audit import EntryFilter
from orgserver.model.names import new_id
from orgserver.model.secret import Secret
from orgserver.store.signin.requests import SignInRequest
from tests.people import add_principal, change_principal
from tests.serving.over_http.me.site import Site

HOSTILE = "<script>alert(1)</script>\u202e"


async def add_client(site: Site, principal: str, name: str = "Claude") -> str:
    """The session of a client; its id."""
    store = site.app.store
    sessions = store.signin_sessions
    request = SignInRequest(
        new_id(), "client", "nonce", Secret("verifier"), client_id="https://claude.ai/client", scopes=("orgs:read",),
        redirect_uri="https://claude.ai/api/mcp/auth_callback", principal=principal, person_name="Ada Lovelace",
        subject=Subject("https://login.example.com", principal),
    )  # fmt: skip
    client = OAuthClient("https://claude.ai/client", "document", name, ("https://claude.ai/api/mcp/auth_callback",))

    def add(tx):
        session_id = sessions.add_client_in(tx, request, client)
        sessions.redeem_in(tx, session_id, tx.now + 3_600 * 1_000_000)
        return session_id

    return await store.database.write(partial(add))


async def test_a_person_ends_their_own(site: Site) -> None:
    session_id = await add_client(site, "ada")
    ada = await site.sign_in("ada")

    shown = await ada.get()
    answer = await ada.post(f"/me/sessions/{session_id}/end")

    assert "Claude claude.ai" in shown.text
    assert (answer.status, answer.headers["location"]) == (303, "/me")
    assert [each.id for each in await site.sessions.all("ada")] == [ada.session_id]
    assert (await ada.post(f"/me/sessions/{session_id}/end")).status == 404


async def test_nobody_ends_or_sees_another_ones(site: Site) -> None:
    await add_principal(site.app, "grace", roles=("auditor",))
    session_id = await add_client(site, "ada")
    grace = await site.sign_in("grace")

    answer = await grace.post(f"/me/sessions/{session_id}/end")
    page = await grace.get("/me/sessions")

    assert (answer.status, page.status) == (404, 404)
    assert "Claude" not in (await grace.get()).text
    assert len(await site.sessions.all("ada")) == 1


async def test_an_admin_sees_and_ends_everybodys_as_long_as_they_are_one(site: Site) -> None:
    await add_principal(site.app, "grace", roles=("admin",))
    first, second = await add_client(site, "ada"), await add_client(site, "ada", HOSTILE)
    grace = await site.sign_in("grace")

    shown = await grace.get("/me/sessions")
    answer = await grace.post(f"/me/sessions/{first}/end", **{"from": "sessions"})
    await change_principal(site.app, "grace", no_roles=("admin",))
    late = await grace.post(f"/me/sessions/{second}/end", **{"from": "sessions"})

    assert shown.page.one("h1").text.strip() == "Everybody's sessions"
    assert "3 are live" in shown.text
    assert r"<script>alert(1)</script>\u202e" in shown.text
    assert (answer.status, answer.headers["location"]) == (303, "/me/sessions")
    assert late.status == 404
    (entry,) = await site.app.audit_log.newest(EntryFilter(tool="revoke-session"), 10)
    assert (entry.principal, entry.action, entry.transport, entry.label) == ("grace", "key", "http", "me")
    assert f"session:{first}" in entry.fields
    assert [each.id for each in await site.sessions.all("ada")] == [second]


@pytest.mark.parametrize("ending", ["", "%2e%2e/end", "../end", "0192/end/end", "0192/END", f"{'0' * 65}/end"])
async def test_other_paths_lead_nowhere(site: Site, ending: str) -> None:
    ada = await site.sign_in("ada")

    assert (await ada.post(f"/me/sessions/{ending}")).status == 404
