"""Calls where one key logs everybody in: each is made as its own person, or not at all."""

from dataclasses import replace
from functools import partial

import pytest

from orgserver.app import App
from orgserver.model.access.logins import UsernameFrom
from orgserver.model.audit import EntryFilter
from orgserver.model.errors import CallError, NeedsLogin
from orgserver.model.names import SObjectName
from orgserver.model.orgs import Caller, Connection, Org, OrgState
from orgserver.sandbox.org import SandboxOrg
from orgserver.services.audit.log_reader import AuditLogReader
from orgserver.services.connections.mapping import Mappings
from orgserver.services.orgs.identities import CHANGED
from orgserver.store.orgs import policies
from tests.operations import create
from tests.own_logins import connect, set_identity
from tests.people import OPERATOR, add_principal
from tests.services.connections.ends import ends_on_record, left_of, waiting
from tests.services.connections.steps import let_key_log_in

ALICE, BOB = "alice@acme.example", "bob@acme.example"
BY_MAP, BY_CLAIM = UsernameFrom("map"), UsernameFrom("claim", "email")
CONTACT = SObjectName("Contact")


async def add_contact(app: App, caller: Caller, name: str = "Hare") -> str:
    made = await create(app, caller, "salesforce_create_contact", "acme", CONTACT, {"LastName": name})
    return made.id


async def find(app: App, org: Org, principal: str) -> Connection:
    async with app.store.database.reading() as connection:
        found = await app.store.orgs.connections.find(connection, org.row_id, principal)
    assert found is not None
    return found


def creator(acme: SandboxOrg, record_id: str) -> str:
    return str(acme.records.tables["Contact"][record_id]["CreatedById"])


async def mapped(app: App, acme: SandboxOrg) -> Org:
    return await let_key_log_in(app, acme, BY_MAP, {"alice": ALICE, "bob": BOB})


async def test_each_call_is_made_as_its_own_person(app: App, acme: SandboxOrg) -> None:
    users = {"alice": acme.add_user(ALICE, time_zone="Asia/Tokyo"), "bob": acme.add_user(BOB)}
    org = await mapped(app, acme)
    callers = [await add_principal(app, name, "acme:read,write") for name in users]

    for caller in (*callers, *callers):
        name = caller.principal.name
        assert creator(acme, await add_contact(app, caller)) == users[name].id

    acme.expire_access_tokens()
    assert creator(acme, await add_contact(app, callers[0])) == users["alice"].id
    pinned = (await find(app, org, "alice")).user
    assert pinned is not None
    assert (pinned.id, pinned.username, pinned.time_zone) == (users["alice"].id, ALICE, "Asia/Tokyo")
    assert {each.user_id for each in acme.requests if "/data/" in each.path} == {each.id for each in users.values()}
    log = [entry async for entry in AuditLogReader(app.store).entries(EntryFilter(tool="salesforce_create_contact"))]
    assert {(each.principal, each.identity, each.salesforce_user and each.salesforce_user.username) for each in log} == {
        ("alice", "own", ALICE), ("bob", "own", BOB),
    }  # fmt: skip


async def test_whom_a_map_does_not_name_goes_on_with_the_shared_login_where_it_may_be_used(
    app: App, acme: SandboxOrg
) -> None:
    alice = acme.add_user(ALICE)
    org = await let_key_log_in(app, acme, BY_MAP, {"alice": ALICE}, "own-or-shared")
    callers = [await add_principal(app, name, "acme:read,write") for name in ("alice", "carol")]

    creators = [creator(acme, await add_contact(app, caller)) for caller in (*callers, *callers)]

    assert creators == [alice.id, acme.user_id] * 2
    assert list((await app.access.reload()).connections) == [(org.row_id, "alice")]


async def test_whom_the_map_calls_another_now_loses_the_session_at_salesforce_on_record(
    app: App, acme: SandboxOrg
) -> None:
    users = {"alice": acme.add_user(ALICE), "bob": acme.add_user(BOB)}
    org = await mapped(app, acme)
    callers = [await add_principal(app, name, "acme:read,write") for name in users]
    for caller in callers:
        await add_contact(app, caller)
    ended, kept = await find(app, org, "alice"), await find(app, org, "bob")

    await let_key_log_in(app, acme, BY_MAP, {"alice": "other@acme.example", "bob": BOB})

    (entry,) = await ends_on_record(app)
    assert (entry.tool, entry.object, entry.fields[1]) == ("update-org", "alice", f"why:{CHANGED}")
    assert (await waiting(app), await left_of(app, ended), await find(app, org, "bob")) == (1, [], kept)


async def test_where_a_key_logs_in_from_now_on_logins_by_browser_are_over_and_the_mapping_is_entered(
    app: App, acme: SandboxOrg
) -> None:
    await set_identity(app, "acme", "own")
    before = await connect(app, acme, "alice")

    org = await mapped(app, acme)
    await add_contact(app, await add_principal(app, "alice", "acme:read,write"))

    found = await find(app, org, "alice")
    assert (found.kind, found.id == before.id, await waiting(app)) == ("jwt", False, 1)


async def test_the_first_call_by_a_claim_waits_and_goes_on_when_confirmed(app: App, acme: SandboxOrg) -> None:
    alice = acme.add_user(ALICE)
    acme.add_user(BOB)
    org = await let_key_log_in(app, acme, BY_CLAIM)
    nobody = await add_principal(app, "alice", "acme:read,write")
    caller = replace(nobody, principal=replace(nobody.principal, claims={"email": ALICE}))

    with pytest.raises(NeedsLogin, match="must confirm first"):
        await add_contact(app, caller)
    assert [each for each in acme.requests if "/data/" in each.path or "token" in each.path] == []
    await Mappings(app.store).confirm(OPERATOR, org, "alice", ALICE)

    assert creator(acme, await add_contact(app, caller)) == alice.id
    renamed = replace(nobody, principal=replace(nobody.principal, claims={"email": BOB}))
    sent = len(acme.requests)
    with pytest.raises(NeedsLogin, match=f"must confirm first that you are {BOB}"):
        await add_contact(app, renamed)
    assert (len(acme.requests), (await find(app, org, "alice")).confirmed_at) == (sent, None)


async def test_whoever_has_no_grant_is_entered_nowhere(app: App, acme: SandboxOrg) -> None:
    await mapped(app, acme)
    caller = await add_principal(app, "alice", "globex:read,write")

    with pytest.raises(CallError):
        await add_contact(app, caller)

    assert not (await app.access.reload()).connections


@pytest.mark.parametrize("names_field", [False, True])
async def test_whoever_the_map_does_not_name_is_nobody_whatever_the_policy(
    app: App, acme: SandboxOrg, names_field: bool
) -> None:
    org = await mapped(app, acme)
    if names_field:
        limits = partial(replace, hide_fields=("Contact.Phone",))
        await app.store.database.write(lambda tx: policies.limit_in(tx, org.row_id, limits))
    caller = await add_principal(app, "carol", "acme:read,write")

    with pytest.raises(NeedsLogin, match="does not name you") as refused:
        await add_contact(app, caller)

    assert refused.value.code == "NOT_MAPPED"
    assert [each for each in acme.requests if "/data/" in each.path or "token" in each.path] == []
    (entry,) = [each async for each in AuditLogReader(app.store).entries(EntryFilter(principal="carol"))]
    assert (entry.outcome, entry.error_code) == ("not_sent", "NOT_MAPPED")


@pytest.mark.parametrize("when", ["first", "later"])
async def test_an_answer_for_another_user_is_not_used(app: App, acme: SandboxOrg, when: str) -> None:
    acme.add_user(ALICE)
    other = acme.add_user(BOB)
    org = await mapped(app, acme)
    caller = await add_principal(app, "alice", "acme:read,write")
    if when == "later":
        await add_contact(app, caller)
        acme.expire_access_tokens()
    before = len(acme.records.tables["Contact"])
    acme.answers.fields = {"id": f"{acme.url}/id/{acme.org_id}/{other.id}"}

    with pytest.raises(NeedsLogin):
        await add_contact(app, caller)

    login = await find(app, org, "alice")
    assert (login.state, len(acme.records.tables["Contact"])) == (OrgState.QUARANTINED, before)
    assert "answered for" in (login.cause or "")
    assert login.user is None or login.user.username == ALICE


@pytest.mark.parametrize("how", ["inactive", "not approved", "no such user"])
async def test_a_person_whom_salesforce_does_not_let_in_is_nobody_else(app: App, acme: SandboxOrg, how: str) -> None:
    if how != "no such user":
        acme.add_user(ALICE, active=how != "inactive", approved=how != "not approved")
    bob = acme.add_user(BOB)
    await mapped(app, acme)
    alice, other = [await add_principal(app, name, "acme:read,write") for name in ("alice", "bob")]
    before = len(acme.records.tables["Contact"])

    with pytest.raises(CallError):
        await add_contact(app, alice)

    assert len(acme.records.tables["Contact"]) == before
    assert creator(acme, await add_contact(app, other)) == bob.id


async def test_without_the_orgs_key_nobody_is_logged_in_by_another_grant(app: App, acme: SandboxOrg) -> None:
    acme.add_user(ALICE)
    org = await mapped(app, acme)
    caller = await add_principal(app, "alice", "acme:read,write")
    await add_contact(app, caller)
    async with app.store.database.reading() as connection:
        credential = await app.store.orgs.credentials.credential(connection, replace(org, connection=None).login)
    assert credential is not None
    keyless = replace(credential, private_key=None)
    await app.store.database.write(lambda tx: app.store.orgs.credentials.replace_in(tx, org.row_id, keyless, None))
    acme.expire_access_tokens()
    logins = acme.counters.logins

    with pytest.raises(NeedsLogin, match="key any more"):
        await add_contact(app, caller)

    assert acme.counters.logins == logins


async def test_an_organization_that_does_not_say_who_somebody_is_pins_nobody(app: App, acme: SandboxOrg) -> None:
    alice = acme.add_user(ALICE)
    org = await mapped(app, acme)
    caller = await add_principal(app, "alice", "acme:read,write")
    acme.fault("status", path=f"/id/{acme.org_id}/{alice.id}", status=500, times=9)

    with pytest.raises(CallError):
        await add_contact(app, caller)
    assert (await find(app, org, "alice")).user is None
    acme.faults.clear()

    assert creator(acme, await add_contact(app, caller)) == alice.id
