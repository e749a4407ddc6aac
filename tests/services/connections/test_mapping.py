"""Logins by assertion: noted at the first use, of use when an administrator has seen them, and nobody's twice."""

from dataclasses import replace
from datetime import UTC, datetime
from functools import partial

import pytest

from orgserver.app import App
from orgserver.model.access.logins import UsernameFrom
from orgserver.model.access.principals import Principal
from orgserver.model.audit import EntryFilter
from orgserver.model.errors import EnrolmentError, NeedsLogin
from orgserver.model.orgs import Caller, Connection, Org, OrgState
from orgserver.sandbox.org import SandboxOrg
from orgserver.services.audit.log_reader import AuditLogReader
from orgserver.services.connections.mapping import Mappings
from orgserver.services.connections.operator import overview
from orgserver.services.connections.usernames import find_change
from orgserver.services.doctor.connections import of_connections
from orgserver.services.tokens import login_ends
from tests.people import OPERATOR, add_principal
from tests.services.connections.steps import let_key_log_in
from tests.services.signin.arrivals import Arrivals

ALICE, BOB = "alice@acme.example", "bob@acme.example"
BY_NAME, BY_MAP, BY_CLAIM = UsernameFrom("principal"), UsernameFrom("map"), UsernameFrom("claim", "email")


async def find(app: App, org: Org, principal: str) -> Connection | None:
    async with app.store.database.reading() as connection:
        return await app.store.orgs.connections.find(connection, org.row_id, principal)


async def entries(app: App) -> list[tuple[str | None, str, tuple[str, ...]]]:
    found = [entry async for entry in AuditLogReader(app.store).entries(EntryFilter())]
    return [(each.tool, each.outcome, tuple(each.fields)) for each in found if each.tool in ("connect", "connections")]


def with_claims(caller: Caller, **claims: str) -> Caller:
    return replace(caller, principal=replace(caller.principal, claims=claims))


async def test_the_first_use_waits_until_an_administrator_has_seen_it(app: App, acme: SandboxOrg) -> None:
    org, mappings = await let_key_log_in(app, acme, BY_NAME), Mappings(app.store)
    alice = await add_principal(app, ALICE, "acme:read")

    for _ in range(2):
        await mappings.enter(alice, org)
    waits = await find(app, org, ALICE)
    assert waits is not None
    assert (waits.kind, waits.state, waits.confirmed_at, waits.user) == ("jwt", OrgState.NEEDS_LOGIN, None, None)

    confirmed = await mappings.confirm(OPERATOR, org, ALICE, ALICE)

    await mappings.enter(alice, org)
    assert (confirmed.state, confirmed.confirmed_at is not None, confirmed.id) == (OrgState.READY, True, waits.id)
    assert await entries(app) == [
        ("connect", "succeeded", ("connection", f"username:{ALICE}")),
        ("connections", "succeeded", ("confirmed", f"username:{ALICE}", f"principal:{ALICE}")),
    ]


async def test_whoever_stands_in_the_map_waits_for_nobody_and_whoever_does_not_is_nobody(
    app: App, acme: SandboxOrg
) -> None:
    org, mappings = await let_key_log_in(app, acme, BY_MAP, {"alice": ALICE}), Mappings(app.store)
    alice, bob = await add_principal(app, "alice", "acme:read"), await add_principal(app, BOB, "acme:read")

    await mappings.enter(alice, org)
    with pytest.raises(NeedsLogin, match="does not name you") as refused:
        await mappings.enter(with_claims(bob, email=BOB), org)

    found = await find(app, org, "alice")
    assert found is not None
    assert (found.username, found.state, found.confirmed_at is not None) == (ALICE, OrgState.READY, True)
    assert (refused.value.code, await find(app, org, BOB)) == ("NOT_MAPPED", None)


async def test_a_claim_names_the_user_and_is_not_followed_when_it_becomes_another(app: App, acme: SandboxOrg) -> None:
    org, mappings = await let_key_log_in(app, acme, BY_CLAIM), Mappings(app.store)
    caller = await add_principal(app, "alice", "acme:read")
    alice = with_claims(caller, email=ALICE)
    await mappings.enter(alice, org)
    login = await mappings.confirm(OPERATOR, org, "alice", ALICE)
    over = org.with_connection(login)

    renamed = with_claims(caller, email=BOB)
    assert find_change(over, alice.principal) is None
    assert find_change(over, caller.principal) is None, "a call with an API key says nothing of it"
    assert find_change(over, renamed.principal) == BOB
    await mappings.enter(renamed, org)

    other = await find(app, org, "alice")
    assert other is not None
    assert (other.username, other.confirmed_at, other.id == login.id) == (BOB, None, False)


async def test_without_a_verified_claim_nobody_is_entered(app: App, acme: SandboxOrg) -> None:
    org, mappings = await let_key_log_in(app, acme, BY_CLAIM), Mappings(app.store)
    caller = await add_principal(app, ALICE, "acme:read")

    with pytest.raises(NeedsLogin, match="must be verified"):
        await mappings.enter(caller, org)

    assert await find(app, org, ALICE) is None
    assert await entries(app) == []


async def test_two_principals_are_never_one_salesforce_user(app: App, acme: SandboxOrg) -> None:
    org, mappings = await let_key_log_in(app, acme, BY_CLAIM), Mappings(app.store)
    first = with_claims(await add_principal(app, "first", "acme:read"), email=ALICE)
    second = with_claims(await add_principal(app, "second", "acme:read"), email="ALICE@acme.example")
    await mappings.enter(first, org)

    with pytest.raises(NeedsLogin, match="another person's login already") as refused:
        await mappings.enter(second, org)

    assert (refused.value.code, await find(app, org, "second")) == ("USERNAME_TAKEN", None)
    assert (await mappings.confirm(OPERATOR, org, "first", ALICE)).username == ALICE


async def test_what_is_confirmed_is_what_was_seen(app: App, acme: SandboxOrg) -> None:
    org, mappings = await let_key_log_in(app, acme, BY_NAME), Mappings(app.store)
    alice = await add_principal(app, ALICE, "acme:read")
    await mappings.enter(alice, org)

    with pytest.raises(EnrolmentError, match="no longer bob"):
        await mappings.confirm(OPERATOR, org, ALICE, BOB)
    with pytest.raises(EnrolmentError, match="no login to acme that waits"):
        await mappings.confirm(OPERATOR, org, BOB, BOB)

    waits = await find(app, org, ALICE)
    assert waits is not None and waits.confirmed_at is None


async def test_a_map_that_changes_ends_the_logins_that_it_no_longer_means_and_no_others(
    app: App, acme: SandboxOrg
) -> None:
    org, mappings = (
        await let_key_log_in(app, acme, BY_MAP, {"alice": ALICE, "bob": BOB}),
        Mappings(app.store),
    )
    alice, bob = await add_principal(app, "alice", "acme:read"), await add_principal(app, "bob", "acme:read")
    await mappings.enter(alice, org)
    await mappings.enter(bob, org)
    kept = await find(app, org, "bob")

    org = await let_key_log_in(app, acme, BY_MAP, {"alice": "other@acme.example", "bob": BOB})

    assert (await find(app, org, "alice"), await find(app, org, "bob")) == (None, kept)
    await mappings.enter(alice, org)
    found = await find(app, org, "alice")
    assert found is not None and found.username == "other@acme.example"


async def test_without_a_mapping_logins_by_it_have_ended_for_good(app: App, acme: SandboxOrg) -> None:
    org, mappings = await let_key_log_in(app, acme, BY_MAP, {"alice": ALICE}), Mappings(app.store)
    await mappings.enter(await add_principal(app, "alice", "acme:read"), org)

    org = await let_key_log_in(app, acme, None)

    ended = await find(app, org, "alice")
    assert ended is not None and ended.state is OrgState.NEEDS_LOGIN
    with pytest.raises(EnrolmentError, match="no logins of people by its key any more"):
        await mappings.confirm(OPERATOR, org, "alice", ALICE)


async def test_a_login_that_has_ended_waits_for_nobody_and_goes_on_when_an_administrator_names_it(
    app: App, acme: SandboxOrg
) -> None:
    org, mappings = await let_key_log_in(app, acme, BY_MAP, {"alice": ALICE}), Mappings(app.store)
    alice = await add_principal(app, "alice", "acme:read")
    await mappings.enter(alice, org)
    end = partial(login_ends.end_of_person_in, store=app.store, org=org, principal="alice", cause="", caller=OPERATOR)
    await app.store.database.write(end)

    (ended,) = await overview.read_all(app.store)
    findings = await of_connections(app.store, await app.access.reload(), datetime.now(UTC))
    confirmed = await mappings.confirm(OPERATOR, org, "alice", ALICE)
    (living,) = await overview.read_all(app.store)

    assert [each.text for each in findings] == ["people's own logins to 1 org: 1 ended"]
    assert (ended.is_living, ended.is_waiting, ended.is_confirmable) == (False, False, True)
    assert (ended.standing, ended.needs_somebody) == ("ended", False)
    assert (confirmed.state, living.is_living, living.is_confirmable) == (OrgState.READY, True, False)


async def test_a_login_by_the_key_that_salesforce_refused_needs_somebody(app: App, acme: SandboxOrg) -> None:
    org, mappings = await let_key_log_in(app, acme, BY_MAP, {"alice": ALICE}), Mappings(app.store)
    await mappings.enter(await add_principal(app, "alice", "acme:read"), org)
    login = await find(app, org, "alice")
    assert login is not None
    refuse = partial(
        app.store.orgs.mark_in, login=login.key, state=OrgState.NEEDS_LOGIN, cause="inactive", problem=None
    )
    await app.store.database.write(refuse)

    (refused,) = await overview.read_all(app.store)
    findings = await of_connections(app.store, await app.access.reload(), datetime.now(UTC))

    assert (refused.standing, refused.needs_somebody) == ("needs_login", True)
    assert "alice in acme: the login by the key has ended" in [each.text for each in findings]


@pytest.mark.parametrize(("username_from", "is_let_in"), [(BY_NAME, False), (BY_CLAIM, False), (BY_MAP, True)])
async def test_while_names_or_claims_are_users_sign_in_makes_nobody(
    app: App, acme: SandboxOrg, username_from: UsernameFrom, is_let_in: bool
) -> None:
    await let_key_log_in(app, acme, username_from)

    person = await Arrivals(app.store).sign_in({"email": ALICE, "email_verified": True}, new="create")

    assert isinstance(person, Principal) is is_let_in
