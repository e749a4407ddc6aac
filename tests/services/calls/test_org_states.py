"""A state that forbids calls stops them before anything leaves; every other state lets them through."""

import json
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

import pytest
from mcp.client.client import Client
from mcp.shared.exceptions import MCPError
from mcp_types import ResourceTemplateReference

from orgserver.app import App
from orgserver.model.access.principals import Principal
from orgserver.model.audit import EntryFilter
from orgserver.model.errors import CallError, NeedsLogin
from orgserver.model.names import CONTACT, alias
from orgserver.model.orgs import Caller, OrgState, Scope
from orgserver.model.secret import Secret
from orgserver.sandbox.org import SandboxOrg
from orgserver.services.bulk.request import BulkArguments
from orgserver.services.orgs.enrolment import Registration
from orgserver.services.queries.list_query import Listing
from orgserver.serving.server import build_server
from tests import operations

TOOL = "a test"
SOQL = "SELECT Id FROM Contact"
CLOSED = [OrgState.QUARANTINED, OrgState.NEEDS_LOGIN]
CODES = {OrgState.QUARANTINED: "QUARANTINED", OrgState.NEEDS_LOGIN: "NEEDS_LOGIN"}
Verb = Callable[[App, Caller], Awaitable[Any]]
VERBS: dict[str, Verb] = {
    "create": lambda app, who: operations.create(app, who, TOOL, "acme", CONTACT, {"LastName": "Lovelace"}),
    "read": lambda app, who: operations.read(app, who, TOOL, "acme", CONTACT, "003000000000000AAA"),
    "update": lambda app, who: operations.update(app, who, TOOL, "acme", CONTACT, "003000000000000AAA", {"Email": ""}),
    "delete": lambda app, who: operations.delete(app, who, TOOL, "acme", CONTACT, "003000000000000AAA"),
    "list": lambda app, who: operations.list_(app, who, TOOL, "acme", Listing(CONTACT)),
    "query": lambda app, who: operations.query(app, who, TOOL, "acme", SOQL),
    "describe": lambda app, who: operations.describe(app, who, TOOL, "acme", CONTACT),
    "objects": lambda app, who: operations.objects(app, who, TOOL, "acme", None, None),
    "bulk": lambda app, who: operations.change(
        app, who, TOOL, "acme", BulkArguments(CONTACT, "create", records=[{"LastName": "Byron"}])
    ),
}


async def put(app: App, name: str, state: OrgState, cause: str | None = "a test says so") -> None:
    """Set an org's state as another process would."""
    login = (await app.registry.one(name)).login
    mark = partial(app.store.orgs.mark_in, login=login, state=state, cause=cause, problem=None)
    await app.store.database.write(mark)


def again(org: SandboxOrg) -> Registration:
    """Another login of the same org."""
    given = org.credentials()
    return Registration(
        alias=alias("acme"),
        client_id=given["client_id"],
        client_secret=Secret(given["client_secret"]),
        refresh_token=Secret(given["refresh_token"]),
        login_url=given["login_url"],
        source="a test",
        trusted_hosts=tuple(given["trust_hosts"]),
        replace=True,
    )


@pytest.mark.parametrize("state", CLOSED)
@pytest.mark.parametrize("verb", VERBS)
async def test_a_closed_org_is_sent_nothing_and_says_what_to_do(
    app: App, open_again, caller: Caller, acme: SandboxOrg, state: OrgState, verb: str
) -> None:
    await VERBS["list"](app, caller)  # its access token works, and is at hand
    async with open_again() as other:
        await put(other, "acme", state)
    acme.requests.clear()

    with pytest.raises(CallError) as refused:
        await VERBS[verb](app, caller)

    assert acme.requests == []
    error = refused.value
    assert (error.outcome, error.category, error.code, error.retryable) == (
        "not_sent", "auth_expired", CODES[state], False,
    )  # fmt: skip
    assert "orgserver update-org acme --auth web" in (error.hint or "")
    (entry,) = await app.audit_log.newest(EntryFilter(org="acme", tool=TOOL), 1)
    assert (entry.outcome.value, entry.error_code, entry.api_calls) == ("not_sent", CODES[state], 0)


@pytest.mark.parametrize("verb", sorted(set(VERBS) - {"read", "update", "delete"}))
@pytest.mark.parametrize("state", [OrgState.READY, OrgState.IN_DOUBT])
async def test_an_open_org_goes_on_with_its_working_access_token(
    app: App, open_again, caller: Caller, acme: SandboxOrg, state: OrgState, verb: str
) -> None:
    async with open_again() as other:
        await put(other, "acme", state)

    await VERBS[verb](app, caller)

    assert acme.requests
    assert not any(seen.path.endswith("/token") for seen in acme.requests)


async def test_a_disabled_org_is_refused_as_before(app: App, open_again, caller: Caller, acme: SandboxOrg) -> None:
    async with open_again() as other:
        await other.registry.update(caller, "acme", enabled=False)
        await put(other, "acme", OrgState.QUARANTINED)

    with pytest.raises(CallError) as refused:
        await VERBS["query"](app, caller)

    assert (refused.value.code, refused.value.outcome) == ("ORG_DISABLED", "denied")
    assert acme.requests == []


@pytest.mark.parametrize("state", CLOSED)
async def test_one_closed_org_never_hides_the_others(
    app: App, caller: Caller, acme: SandboxOrg, state: OrgState
) -> None:
    await put(app, "acme", state)

    found = await operations.query_orgs(app, caller, TOOL, ["*"], SOQL)

    told = {each["org"]: each for each in found.results}
    assert (told["acme"]["error"]["code"], told["acme"]["error"]["outcome"]) == (CODES[state], "not_sent")
    assert told["globex"]["records"]
    assert acme.requests == []


@pytest.mark.parametrize("state", CLOSED)
async def test_a_closed_org_is_not_shown_by_address_nor_completed(
    app: App, caller: Caller, acme: SandboxOrg, state: OrgState
) -> None:
    await VERBS["objects"](app, caller)
    server = build_server(app.services, principal=Principal("local:ada"), label=None, scope=Scope())
    where = ResourceTemplateReference(uri="salesforce://{org}/{object}/{id}")
    async with Client(server, raise_exceptions=True) as client:
        before = await client.complete(where, {"name": "object", "value": "Con"}, {"org": "acme"})
        await put(app, "acme", state)
        acme.requests.clear()

        after = await client.complete(where, {"name": "object", "value": "Con"}, {"org": "acme"})
        with pytest.raises(MCPError, match="acme"):
            await client.read_resource("salesforce://acme/Contact/describe")

    assert "Contact" in before.completion.values
    assert after.completion.values == []
    assert acme.requests == []


@pytest.mark.parametrize("state", CLOSED)
async def test_nothing_is_undone_in_a_closed_org(app: App, caller: Caller, acme: SandboxOrg, state: OrgState) -> None:
    await app.registry.update(caller, "acme", policy={"keep_values": True})
    await VERBS["create"](app, caller)
    (made,) = await app.audit_log.newest(EntryFilter(action="create"), 1)
    restorer = app.restorer()
    undo = await restorer.preview_entry(caller, made.id)
    await put(app, "acme", state)
    acme.requests.clear()

    with pytest.raises(NeedsLogin):
        await restorer.restore(caller, undo, force=False, moved={})
    with pytest.raises(NeedsLogin):
        await restorer.preview_entry(caller, made.id)

    assert acme.requests == []


@pytest.mark.parametrize("state", CLOSED)
async def test_a_new_login_heals_at_the_very_next_call(
    app: App, open_again, caller: Caller, acme: SandboxOrg, state: OrgState
) -> None:
    await VERBS["list"](app, caller)
    async with open_again() as other:
        await put(other, "acme", state)
        with pytest.raises(CallError):
            await VERBS["list"](app, caller)
        acme.expire_access_tokens()
        await other.enrolment.add(caller, again(acme))
    acme.requests.clear()

    assert (await VERBS["list"](app, caller)).records

    assert [seen.status for seen in acme.requests] == [200], "the dead token was sent once more"
    assert (await app.registry.one("acme")).state is OrgState.READY


@pytest.mark.parametrize("state", CLOSED)
async def test_a_check_tells_the_state_and_only_an_operators_word_tries_the_token(
    app: App, caller: Caller, acme: SandboxOrg, state: OrgState
) -> None:
    await put(app, "acme", state)

    told = await app.registry.check("acme")
    asked = len(acme.requests)
    tried = await app.registry.check("acme", try_token=True)

    assert told.error is not None and told.error.code == CODES[state]
    assert asked == 0
    assert tried.error is None and tried.org.state is OrgState.READY
    assert (await VERBS["list"](app, caller)).records


async def test_a_token_that_died_during_a_call_is_not_sent_by_the_next(
    app: App, caller: Caller, acme: SandboxOrg
) -> None:
    await VERBS["list"](app, caller)
    acme.refresh_token = ""
    acme.expire_access_tokens()
    with pytest.raises(NeedsLogin):
        await VERBS["list"](app, caller)
    acme.requests.clear()

    with pytest.raises(NeedsLogin):
        await VERBS["list"](app, caller)

    assert acme.requests == []
    assert json.dumps((await operations.orgs(app, caller, TOOL, "acme", None)).orgs[0]["state"]) == '"needs_login"'
