"""Whose login a call uses: the caller's own or the shared one as the org says, and never anybody else's."""

from contextlib import suppress
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import delete

from orgserver.app import App
from orgserver.model.access.logins import IDENTITIES, Identity, LoginKey, UsernameFrom
from orgserver.model.access.policies import Policy
from orgserver.model.errors import InvalidArgument, LoginRequired, NeedsLogin, NotSent, PolicyDenied
from orgserver.model.names import CONTACT, Alias, OrgId, RowId, new_id
from orgserver.model.orgs import AccessToken, Caller, Connection, Org, OrgState, OrgUser
from orgserver.sandbox.org import SandboxOrg
from orgserver.services.calls.logins import overlay
from orgserver.services.calls.plan import Call
from orgserver.services.executor import Executor
from orgserver.services.tokens import token_errors
from orgserver.store import tables
from orgserver.store.catalog_version import changed_in
from orgserver.store.transaction import Transaction
from tests import operations
from tests.own_logins import caller_of, connect, newest, set_identity, user_of
from tests.services.calls.test_policies import registration

ADA, BOB = "local:ada", "local:bob"
SOQL = "SELECT Id FROM Contact"
THEN = datetime(2026, 1, 1, tzinfo=UTC)


def bare_org(number: int, identity: Identity) -> Org:
    return Org(
        row_id=RowId(f"org {number}"), alias=Alias(f"org-{number}"), org_id=OrgId("00D000000000001AAA"), name="",
        kind=None, edition=None, login_url="", instance_url="", trusted_hosts=(), api_version="v66.0",
        user=OrgUser("005S", "shared@x.example", "UTC"), state=OrgState.READY, cause=None, problem=None,
        policy=Policy(), tags=(), source="", created_at=THEN, refreshed_at=None, identity=identity,
    )  # fmt: skip


def connection_of(row_id: RowId, principal: str, state: OrgState) -> Connection:
    user = OrgUser(f"005 {principal}", f"{principal}@x.example", "UTC")
    return Connection(RowId(new_id()), row_id, principal, "web", user, user.username, state, None, None, THEN, None)


NAMES = st.sampled_from(["ada", "bob", "", "ada:bob", "Ada"])
HELD = st.sets(st.tuples(st.integers(0, 2), NAMES))


@given(st.sampled_from(IDENTITIES), NAMES, HELD, st.sampled_from(OrgState))
def test_no_overlay_is_another_persons_login(
    identity: Identity, name: str, held: set[tuple[int, str]], state: OrgState
) -> None:
    org = bare_org(1, identity)
    connections = {
        (RowId(f"org {number}"), holder): connection_of(RowId(f"org {number}"), holder, state)
        for number, holder in held
    }

    seen = overlay(org, name, connections)

    own = connections.get((org.row_id, name))
    if identity == "shared" or (identity == "own-or-shared" and own is None):
        assert seen == org
        assert (seen.login, seen.login_owner) == (LoginKey.shared(org.row_id), org.row_id)
        return
    assert seen.login not in {LoginKey.shared(org.row_id)} | {
        each.key for key, each in connections.items() if key != (org.row_id, name)
    }
    assert seen.used_identity == "own"
    assert seen.user == (own.user if own is not None else None)
    assert seen.is_login_missing is (own is None)
    assert (seen.row_id, seen.policy, seen.org_id) == (org.row_id, org.policy, org.org_id)


def users_asked(acme: SandboxOrg) -> list[str]:
    """Whose tokens were shown to the org's data, in order; what was seen is forgotten."""
    users = [each.user_id for each in acme.requests if "/services/data/" in each.path]
    acme.requests.clear()
    return users


@pytest.mark.parametrize(("is_given_anew", "code"), [(False, "LOGIN_REQUIRED"), (True, "TOKEN_RACE")])
async def test_a_login_that_ends_while_its_token_is_got_is_said_as_it_stands_then(
    app: App, acme: SandboxOrg, caller: Caller, monkeypatch: pytest.MonkeyPatch, is_given_anew: bool, code: str
) -> None:
    await set_identity(app, "acme", "own")
    ada, own = caller_of(ADA, caller), await connect(app, acme, ADA)

    async def get_too_late(org: Org, **_: object) -> AccessToken:
        await app.store.database.write(lambda tx: app.store.orgs.connections.end_in(tx, own.key, "it was ended"))
        if is_given_anew:
            await connect(app, acme, ADA)
        raise token_errors.replaced_meanwhile(org)

    current = app.access.tokens.current
    monkeypatch.setattr(app.access.tokens, "current", get_too_late)
    with pytest.raises(NotSent) as refused:
        await operations.query(app, ada, "t", "acme", SOQL)

    monkeypatch.setattr(app.access.tokens, "current", current)
    assert (refused.value.code, refused.value.retryable) == (code, True)
    entry = await newest(app, tool="t")
    assert (entry.outcome, entry.error_code) == ("not_sent", code)
    assert (await refusal_of(app, ada) is None) is is_given_anew


STATES = ("never", "ready", "needs_login", "quarantined", "waits")
ANSWERS: dict[Identity, dict[str, str]] = {
    "shared": dict.fromkeys(STATES, "shared"),
    "own": dict.fromkeys(STATES, "LOGIN_REQUIRED") | {"ready": "own"},
    "own-or-shared": dict.fromkeys(STATES, "LOGIN_REQUIRED") | {"ready": "own", "never": "shared"},
}


async def stand(app: App, acme: SandboxOrg, state: str) -> None:
    """Let Ada's login stand so."""
    connections = app.store.orgs.connections
    if state == "never":
        earlier = (await app.access.reload()).connections
        for each in earlier.values():
            await app.store.database.write(lambda tx, key=each.key: connections.forget_in(tx, key))
    elif state == "waits":
        await connect(app, acme, ADA, kind="jwt")
    else:
        await connect(app, acme, ADA, state=OrgState(state), cause=None if state == "ready" else "it was ended")


async def refusal_of(app: App, caller: Caller) -> NeedsLogin | None:
    """What is said to a query, if it is that its caller must log in."""
    return await refusal_on(app, caller, "acme")


async def refusal_on(app: App, caller: Caller, alias: str) -> NeedsLogin | None:
    """The same by an alias."""
    try:
        await operations.query(app, caller, "salesforce_query", alias, SOQL)
    except NeedsLogin as error:
        return error
    return None


async def test_each_state_of_a_login_has_its_answer_and_none_falls_back(
    app: App, acme: SandboxOrg, caller: Caller
) -> None:
    ada, user = caller_of(ADA, caller), user_of(acme, ADA)
    shared, username = acme.user_id, acme.username
    answers: dict[Identity, dict[str, str]] = {}
    for identity in IDENTITIES:
        await set_identity(app, "acme", identity)
        for state in STATES:
            await stand(app, acme, state)
            acme.requests.clear()
            error = await refusal_of(app, ada)
            if error is None:
                answer = {shared: "shared", user.id: "own"}[users_asked(acme)[-1]]
            else:
                assert (error.category, error.outcome, error.retryable) == ("auth_expired", "not_sent", True)
                is_helped_by_link = isinstance(error, LoginRequired)
                assert is_helped_by_link is (state != "waits")
                row_id = (await app.access.catalog()).by_alias["acme"].row_id
                assert not isinstance(error, LoginRequired) or error.row_id == row_id
                assert acme.requests == []
                answer = error.code
            answers.setdefault(identity, {})[state] = answer
            entry = await newest(app, action="query")
            if answer == "LOGIN_REQUIRED":
                assert (entry.outcome, entry.error_code, entry.identity) == ("not_sent", "LOGIN_REQUIRED", "own")
            else:
                assert (entry.outcome, entry.identity) == ("succeeded", answer)
                assert entry.salesforce_user is not None
                whose = (shared, username) if answer == "shared" else (user.id, user.username)
                assert (entry.salesforce_user.id, entry.salesforce_user.username) == whose

    assert answers == ANSWERS


async def test_two_people_and_who_has_no_login_act_as_themselves(
    app: App, acme: SandboxOrg, caller: Caller, shared_by_two: tuple[Caller, Caller]
) -> None:
    everybody = (*shared_by_two, caller)
    made = [await operations.create(app, who, "t", "acme", CONTACT, {"LastName": "L"}) for who in everybody]

    creators = [acme.records.tables["Contact"][each.id]["CreatedById"] for each in made]
    entries = [await newest(app, record_id=each.id) for each in made]
    assert creators == [user_of(acme, ADA).id, user_of(acme, BOB).id, acme.user_id]
    assert [each.salesforce_user and each.salesforce_user.id for each in entries] == creators
    assert [each.identity for each in entries] == ["own", "own", "shared"]


async def test_a_login_that_dies_in_a_call_is_asked_for_and_nobody_elses_is_used(
    app: App, acme: SandboxOrg, shared_by_two: tuple[Caller, Caller]
) -> None:
    ada, bob = shared_by_two
    await operations.query(app, ada, "t", "acme", SOQL)
    (family,) = [each for each in acme.logins.families if each.user_id == user_of(acme, ADA).id]
    acme.logins.end(family)
    acme.expire_access_tokens()
    acme.requests.clear()

    for _ in range(2):
        with pytest.raises(LoginRequired):
            await operations.query(app, ada, "t", "acme", SOQL)

    assert set(users_asked(acme)) <= {user_of(acme, ADA).id}
    assert (await newest(app, action="query")).error_code == "LOGIN_REQUIRED"
    await operations.query(app, bob, "t", "acme", SOQL)
    assert users_asked(acme)[-1] == user_of(acme, BOB).id
    org = (await app.access.reload()).by_alias["acme"]
    assert org.state is OrgState.READY


async def test_a_login_that_answers_as_another_user_is_used_no_more(
    app: App, acme: SandboxOrg, shared_by_two: tuple[Caller, Caller]
) -> None:
    ada, _ = shared_by_two
    (family,) = [each for each in acme.logins.families if each.user_id == user_of(acme, ADA).id]
    family.user_id = user_of(acme, "eve").id

    with pytest.raises(LoginRequired, match="another Salesforce user"):
        await operations.query(app, ada, "t", "acme", SOQL)

    assert users_asked(acme) == []
    assert (await newest(app, action="refresh")).error_code == "quarantined"


async def test_what_is_refused_anyway_asks_for_no_login(app: App, caller: Caller) -> None:
    await app.registry.update(caller, "acme", policy={"read_only": True})
    await set_identity(app, "acme", "own")

    with pytest.raises(PolicyDenied, match="read-only"):
        await operations.create(app, caller, "t", "acme", CONTACT, {"LastName": "L"})
    with pytest.raises(InvalidArgument):
        await operations.query(app, caller, "t", "acme", SOQL, cursor="x")


async def test_limits_of_fields_are_judged_by_nobody_elses_describes(
    app: App, acme: SandboxOrg, caller: Caller
) -> None:
    await app.registry.update(caller, "acme", policy={"hide_fields": ["Contact.Email"]})
    await operations.query(app, caller, "t", "acme", SOQL)
    await set_identity(app, "acme", "own")
    acme.requests.clear()

    with pytest.raises(LoginRequired):
        await operations.query(app, caller, "t", "acme", SOQL)

    assert acme.requests == []


async def test_an_org_without_a_policy_row_takes_nobody_by_the_shared_login(app: App, caller: Caller) -> None:
    """Somebody has edited the store."""

    def damage(tx: Transaction) -> None:
        tx.connection.execute(delete(tables.policies))
        changed_in(tx)

    await app.store.database.write(damage)

    org = await app.access.current_org(caller, "acme")

    assert org is not None
    assert org.is_login_missing
    assert org.login.is_own


async def test_one_org_that_needs_a_login_hides_no_other(app: App, caller: Caller) -> None:
    await set_identity(app, "acme", "own")

    told = await operations.query_orgs(app, caller, "t", ["acme", "globex"], SOQL)

    of_acme, of_globex = told.results
    assert (of_acme["error"]["code"], of_acme["error"]["outcome"]) == ("LOGIN_REQUIRED", "not_sent")
    assert "alone" in of_acme["error"]["hint"]
    assert of_globex["records"]


class Noting:
    """A mapping that knows Ada, whose login it makes at the first call, and nobody else."""

    def __init__(self, app: App, acme: SandboxOrg) -> None:
        self._app, self._acme = app, acme
        self.entered: list[str] = []

    def is_due(self, _caller: Caller, org: Org) -> bool:
        return org.connection is None

    async def enter(self, caller: Caller, _org: Org) -> None:
        self.entered.append(caller.principal.name)
        if caller.principal.name == ADA:
            await connect(self._app, self._acme, ADA)


@pytest.mark.parametrize(("identity", "told"), [("own", "LOGIN_REQUIRED"), ("own-or-shared", "shared")])
async def test_whom_a_mapping_means_is_noted_once_before_anything_is_sent(
    app: App, acme: SandboxOrg, caller: Caller, identity: Identity, told: str
) -> None:
    await set_identity(app, "acme", identity, UsernameFrom("principal"))
    mapping = Noting(app, acme)
    executor = Executor(app.store, app.access, call_timeout=50, mappings=mapping)
    users = []

    for who in (ADA, ADA, BOB):
        acme.requests.clear()
        with suppress(LoginRequired):
            call = Call(caller_of(who, caller), "salesforce_query", "acme")
            await executor.run(call, app.services.queries.query(SOQL))
        users.append(users_asked(acme)[-1:])
    await executor.close()

    assert mapping.entered == [ADA, BOB]
    assert users == [[user_of(acme, ADA).id]] * 2 + [[acme.user_id] if told == "shared" else []]


async def test_each_person_is_told_of_their_own_login(app: App, acme: SandboxOrg, caller: Caller) -> None:
    await set_identity(app, "acme", "own")
    await connect(app, acme, ADA)

    told = {}
    for name in (ADA, BOB):
        page = await app.services.visible_orgs.page(Call(caller_of(name, caller), "t"), "acme", None)
        told[name] = (page.orgs[0]["state"], (page.orgs[0]["user"] or {}).get("id"))

    assert told == {ADA: ("ready", user_of(acme, ADA).id), BOB: ("needs_login", None)}


async def test_an_other_alias_of_the_org_is_no_way_back_to_the_shared_login(
    app: App, acme: SandboxOrg, caller: Caller
) -> None:
    await set_identity(app, "acme", "own-or-shared")
    await app.enrolment.add(caller, registration(acme, "twin", Policy()))
    ada, bob = caller_of(ADA, caller), caller_of(BOB, caller)
    assert await refusal_on(app, ada, "twin") is None  # never connected
    login = await connect(app, acme, ADA)
    acme.requests.clear()

    for _ in range(2):  # while it lives, and when it has ended
        assert isinstance(await refusal_on(app, ada, "twin"), LoginRequired)
        await app.store.database.write(lambda tx: app.store.orgs.connections.end_in(tx, login.key, "it was ended"))
    assert users_asked(acme) == []

    assert await refusal_on(app, bob, "twin") is None
    assert users_asked(acme)[-1] == acme.user_id


async def test_whoever_was_logged_in_by_a_key_that_is_gone_is_asked_to_log_in(
    app: App, acme: SandboxOrg, caller: Caller
) -> None:
    await set_identity(app, "acme", "own")
    await connect(app, acme, ADA, kind="jwt", state=OrgState.NEEDS_LOGIN, confirmed_at=THEN)

    assert isinstance(await refusal_of(app, caller_of(ADA, caller)), LoginRequired)
