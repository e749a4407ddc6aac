"""An org that moves is followed once its login host has proven it, and its token goes nowhere else until then.

Friendly: ``test_a_move_…``; its hostile twins: ``test_a_lie_…`` and ``test_a_move_that_cannot_be_confirmed_…``.
"""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from msgspec import structs

from orgserver.app import App
from orgserver.model.audit import EntryFilter
from orgserver.model.errors import CallError, NeedsLogin
from orgserver.model.names import CONTACT, alias
from orgserver.model.orgs import AccessToken, Caller, Org, OrgState
from orgserver.model.secret import Secret
from orgserver.sandbox.org import SandboxOrg
from orgserver.services.doctor import store
from orgserver.services.orgs.enrolment import Registration
from orgserver.services.queries.list_query import Listing
from orgserver.services.tokens import instance_moves
from tests import operations

OTHER_ORG = "00DSb0009000001MAA"


def new_home(acme: SandboxOrg) -> str:
    return acme.url.replace("127.0.0.1", "localhost")


def host(url: str) -> str:
    return url.partition("://")[2]


async def org(app: App) -> Org:
    return await app.registry.one("acme")


async def stored(app: App) -> AccessToken | None:
    async with app.store.database.reading() as connection:
        return await app.store.orgs.credentials.access_token(connection, (await org(app)).login)


async def read(app: App, caller: Caller) -> int:
    return (await operations.list_(app, caller, "salesforce_list_contacts", "acme", Listing(CONTACT))).total_size or 0


def asked(acme: SandboxOrg, path: str) -> list[str]:
    """Which hosts were asked for such a path, in order."""
    return [seen.host for seen in acme.requests if path in seen.path]


@pytest.fixture(autouse=True)
async def _trusted(app: App, acme: SandboxOrg) -> None:
    """Both places of the org may be trusted, as two of Salesforce's own hosts are."""

    def trusting(known: Org) -> Org:
        return replace(known, trusted_hosts=(*known.trusted_hosts, host(new_home(acme))))

    row_id = (await org(app)).row_id
    await app.store.database.write(lambda tx: app.store.orgs.change_in(tx, row_id, trusting))
    await app.access.reload()
    acme.expire_access_tokens()
    acme.counters.reuses = 0


async def entries(app: App) -> list[tuple[str, str | None, tuple[str, ...], str | None]]:
    found = [entry async for entry in app.audit_log.entries(EntryFilter(action="enrol"))]
    mine = [entry for entry in found if entry.principal == "orgserver"]
    return [(entry.outcome.value, entry.object, tuple(entry.fields), entry.error_code) for entry in mine]


# -- friendly


async def test_a_move_is_followed_once_the_login_host_confirms_it(app: App, caller: Caller, acme: SandboxOrg) -> None:
    acme.moved = True

    assert await read(app, caller) == 4

    found, access = await org(app), await stored(app)
    old, new = host(acme.url), host(new_home(acme))
    assert asked(acme, "/token") == asked(acme, "/id/") == [old]
    first, *others = asked(acme, "/query")
    assert (first, set(others)) == (old, {new})  # with the token that had ended, and with the new one
    assert (found.state, found.instance_url, found.login_url) == (OrgState.READY, new_home(acme), acme.url)
    assert access is not None and access.instance_url == new_home(acme)
    assert found.move is not None and (found.move.proven, found.move.before, found.move.after) == (
        True, acme.url, new_home(acme),
    )  # fmt: skip
    assert await entries(app) == [("succeeded", new, ("instance_url",), None)]


async def test_a_move_is_seen_by_other_processes_and_proven_once(
    app: App, open_again: Any, caller: Caller, acme: SandboxOrg
) -> None:
    acme.moved = True
    await read(app, caller)
    acme.requests.clear()

    async with open_again() as other:
        assert await read(other, caller) == 4
        acme.expire_access_tokens()
        assert await read(other, caller) == 4

    assert asked(acme, "/id/") == []
    assert set(asked(acme, "/query")) == {host(new_home(acme))}


async def test_a_move_is_told_of_for_a_month(app: App, caller: Caller, acme: SandboxOrg) -> None:
    acme.moved = True
    await read(app, caller)
    found, now = await org(app), datetime.now(UTC)

    news = instance_moves.describe_move(found, now)
    checked = store.of_org(found, now)

    assert news is not None and f"moved from {host(acme.url)} to {host(new_home(acme))}" in news
    assert (checked.level, news in checked.text) == ("warning", True)
    assert instance_moves.describe_move(found, now + instance_moves.NEWS + timedelta(days=1)) is None


async def test_an_org_that_stays_is_not_asked_who_it_is(app: App, caller: Caller, acme: SandboxOrg) -> None:
    assert await read(app, caller) == 4

    assert asked(acme, "/id/") == []
    assert ((await org(app)).move, await entries(app)) == (None, [])


async def test_the_first_answer_of_an_org_that_was_not_verified_pins_its_instance(
    app: App, caller: Caller, globex: SandboxOrg
) -> None:
    await app.registry.remove(caller, "globex", keep_token=True)
    given, new = globex.credentials(), new_home(globex)
    registration = Registration(
        alias("globex"), given["client_id"], Secret(given["client_secret"]), given["login_url"], "a test",
        refresh_token=Secret(given["refresh_token"]), trusted_hosts=(host(globex.url), host(new)), verify=False,
    )  # fmt: skip
    await app.enrolment.add(caller, registration)
    globex.moved = True
    globex.requests.clear()

    token = await app.access.tokens.current(await app.registry.one("globex"))

    assert token.instance_url == (await app.registry.one("globex")).instance_url == new
    assert asked(globex, "/id/") == []


# -- it cannot be confirmed


@pytest.mark.parametrize(
    "fault",
    [
        {"kind": "status", "status": 503, "body": "", "times": 9},
        {"kind": "html", "status": 200, "times": 9},
        {"kind": "status", "status": 403, "body": "Bad_OAuth_Token", "content_type": "text/plain"},
        {"kind": "status", "status": 200, "body": '{"organization_id": "00DSb0000000001MAA"}'},
        {"kind": "status", "status": 200, "body": '{"organization_id": 5, "urls": {"rest": "x"}}'},
        {"kind": "status", "status": 200, "body": '{"organization_id": "00DSb0000000001MAA", "urls": {"rest": 5}}'},
        {"kind": "redirect", "location": "https://acme2.my.salesforce.com/id"},
        {"kind": "reset", "times": 9},
    ],
    ids=lambda fault: f"{fault['kind']}-{fault.get('body', '')[:40]}",
)
async def test_a_move_that_cannot_be_confirmed_leaves_the_old_host_and_is_asked_about_again(
    app: App, caller: Caller, acme: SandboxOrg, fault: dict[str, Any]
) -> None:
    acme.moved = True
    order = acme.fault(path="/id/.*", **fault)

    assert await read(app, caller) == 4

    found, access, old = await org(app), await stored(app), host(acme.url)
    assert (found.state, found.instance_url) == (OrgState.READY, acme.url)
    assert access is not None and access.instance_url == acme.url
    assert found.move is not None and not found.move.proven and found.move.after == new_home(acme)
    news = instance_moves.describe_move(found, datetime.now(UTC))
    assert news is not None and "could not be confirmed" in news
    assert {seen.host for seen in acme.requests} == {old}
    assert await entries(app) == []

    order.times = 0
    acme.expire_access_tokens()
    assert await read(app, caller) == 4
    assert (await org(app)).instance_url == new_home(acme)
    assert acme.counters.reuses == 0


async def test_a_move_that_is_taken_back_leaves_no_warning(app: App, caller: Caller, acme: SandboxOrg) -> None:
    acme.moved = True
    acme.fault("status", path="/id/.*", status=403, body="")
    await read(app, caller)
    assert (await org(app)).move is not None
    acme.moved = False
    acme.expire_access_tokens()

    assert await read(app, caller) == 4

    assert (await org(app)).move is None


@pytest.mark.parametrize("named", ["https://evil.my.salesforce.com", "http://localhost:1", "https://evil.example"])
async def test_an_identity_url_of_another_host_is_not_asked(
    app: App, caller: Caller, acme: SandboxOrg, named: str
) -> None:
    acme.moved = True
    acme.answers.fields = {"id": f"{named}/id/{acme.org_id}/{acme.user_id}"}

    assert await read(app, caller) == 4

    found = await org(app)
    assert (found.state, found.instance_url) == (OrgState.READY, acme.url)
    assert asked(acme, "/id/") == []
    assert {seen.host for seen in acme.requests} == {host(acme.url)}


async def test_an_identity_url_of_salesforces_shared_host_is_asked_at_the_login_host_that_is_pinned(
    app: App, caller: Caller, acme: SandboxOrg
) -> None:
    acme.moved = True
    acme.answers.fields = {"id": f"https://login.salesforce.com/id/{acme.org_id}/{acme.user_id}"}

    assert await read(app, caller) == 4

    assert asked(acme, "/id/") == [host(acme.url)]
    assert (await org(app)).instance_url == new_home(acme)


# -- it is a lie


@pytest.mark.parametrize(
    ("lie", "told"),
    [
        ({"instance_url": "new"}, "says it lives at"),
        ({"instance_url": "new", "identity_url": "https://acme3.my.salesforce.com"}, "says it lives at acme3"),
        ({"instance_url": "new", "identity_url": "https://evil.example"}, "says it lives at .*evil"),
        ({"instance_url": "new", "identity_url": "new", "identity_org_id": OTHER_ORG}, f"of another org .{OTHER_ORG}"),
        ({"instance_url": "new", "identity_url": "new", "identity_org_id": "nobody"}, "of another org .nobody"),
    ],
    ids=["home_stays", "a_third_host", "a_foreign_host", "another_org", "no_org"],
)
async def test_a_lie_about_a_move_quarantines_and_no_host_but_the_login_host_sees_the_token(
    app: App, caller: Caller, acme: SandboxOrg, lie: dict[str, str], told: str
) -> None:
    for name, value in lie.items():
        setattr(acme.answers, name, new_home(acme) if value == "new" else value)
    acme.requests.clear()

    with pytest.raises(NeedsLogin, match=told) as refused:
        await read(app, caller)

    found, old = await org(app), host(acme.url)
    assert refused.value.code == "QUARANTINED"
    assert (found.state, found.instance_url) == (OrgState.QUARANTINED, acme.url)
    assert await stored(app) is None
    assert {seen.host for seen in acme.requests} == {old}
    assert asked(acme, "/query") == [old]  # with the token that had ended; never with the new one
    assert await entries(app) == [("denied", None, (), "quarantined")]
    acme.requests.clear()
    with pytest.raises(CallError):
        await read(app, caller)
    assert acme.requests == []


async def test_after_a_lie_the_rotated_token_is_kept_and_goes_on_when_an_operator_says_so(
    app: App, caller: Caller, acme: SandboxOrg
) -> None:
    acme.answers.instance_url = new_home(acme)
    with pytest.raises(NeedsLogin):
        await read(app, caller)
    acme.answers.instance_url = None

    checked = await app.registry.check("acme", try_token=True)

    assert (checked.error, checked.org.state) == (None, OrgState.READY)
    assert acme.counters.reuses == 0
    assert await read(app, caller) == 4


async def test_a_host_outside_the_trusted_ones_quarantines_without_asking(
    app: App, caller: Caller, acme: SandboxOrg
) -> None:
    acme.answers.instance_url = "https://acme.example"

    with pytest.raises(NeedsLogin, match="may not be trusted"):
        await read(app, caller)

    assert asked(acme, "/id/") == []
    assert (await org(app)).state is OrgState.QUARANTINED


async def test_the_login_host_is_asked_at_its_own_address_alone(app: App, acme: SandboxOrg) -> None:
    from orgserver.salesforce.protocol.messages import Request

    where = structs.replace((await org(app)).hosts_with(acme.url), login_url="https://evil.example")

    with pytest.raises(CallError, match="may not be called"):
        await app.access.client.send_to_login_host(where, Secret("x"), Request("GET", "/id/x/y"), deadline=1e9)
