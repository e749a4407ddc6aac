"""Sessions end at once and on record, and groups by claim with the last of them."""

from datetime import UTC, datetime
from pathlib import Path

import pytest
from sqlalchemy import update

from orgserver.app import App
from orgserver.model.access.principals import Principal, Subject
from orgserver.model.audit import AuditEntry, EntryFilter
from orgserver.model.digests import digest_text
from orgserver.model.errors import PeopleError
from orgserver.model.orgs import Caller
from orgserver.services.audit.access_report import Question, report_access
from orgserver.services.people.principals import DISABLED, NO_SUBJECT
from orgserver.services.people.requests import GrantChanges, GroupChanges, PrincipalChanges, read_grants
from orgserver.services.signin.entries import SIGN_OUT
from orgserver.services.signin.people.sessions import SIGNED_OUT, SignInSessions
from orgserver.store.backup import copy
from orgserver.store.people import claims
from orgserver.store.signin import tables, tokens
from orgserver.store.signin.requests import RequestRefusal
from tests.conftest import OpenApp
from tests.store.signin.world import BROWSER, HOUR, ISSUER, World

OPERATOR = Caller(Principal("local:op"), "cli")


@pytest.fixture
async def world(app: App) -> World:
    opened = World(app.store)
    subject = Subject(ISSUER, "ada")
    await app.people.principals.add(OPERATOR, "ada", PrincipalChanges(subjects=(subject,)))
    await app.people.principals.add(OPERATOR, "bob", PrincipalChanges())
    await app.people.groups.add(OPERATOR, "ops", GroupChanges(claim="group-ops"))
    return opened


async def entries(app: App, tool: str) -> list[AuditEntry]:
    await app.store.audit.catch_up()
    return [entry async for entry in app.audit_log.entries(EntryFilter(tool=tool))]


async def groups(app: App, name: str = "ada") -> tuple[str, ...]:
    return (await app.people.principals.one(name)).claim_groups


async def test_a_session_ends_once_and_on_record(app: App, world: World) -> None:
    sessions = SignInSessions(app.store)
    first, second = await world.sign_in("1"), await world.sign_in("2", "bob")

    assert [each.id for each in await sessions.all()] == [first, second]
    assert [each.id for each in await sessions.all("bob")] == [second]
    assert await sessions.end(OPERATOR, first)
    assert not await sessions.end(OPERATOR, first)
    assert not await sessions.end(OPERATOR, "of nobody")
    assert [each.id for each in await sessions.all()] == [second]
    assert {each.id for each in await sessions.all(ended=True)} == {first, second}
    (entry,) = await entries(app, "revoke-session")
    assert (entry.action, entry.principal, entry.object) == ("key", "local:op", "ada")
    assert entry.fields == (f"session:{first}", "why:revoked")


async def test_one_is_found_by_the_beginning_of_its_id_that_no_other_has(app: App, world: World) -> None:
    sessions = SignInSessions(app.store)
    first, second = await world.sign_in("1"), await world.sign_in("2")

    assert (await sessions.one(second.upper())).id == second
    for beginning, words in (
        (first[:4], "several sessions begin with"),
        ("", "there is no session"),
        ("zz", "no session zz"),
    ):
        with pytest.raises(PeopleError, match=words):
            await sessions.one(beginning)
    await sessions.end(OPERATOR, first)
    with pytest.raises(PeopleError, match="there is no session"):
        await sessions.one(first)


async def test_groups_go_with_the_last_session_on_record(app: App, world: World) -> None:
    sessions = SignInSessions(app.store)
    first, second = await world.sign_in("1"), await world.sign_in("2")
    await world.write(lambda tx: claims.set_groups_in(tx, "ada", ["group-ops"]))

    await sessions.end(OPERATOR, first, tool=SIGN_OUT, why=SIGNED_OUT)
    assert await groups(app) == ("ops",)
    await sessions.end(OPERATOR, second, tool=SIGN_OUT, why=SIGNED_OUT)
    assert await groups(app) == ()
    assert sorted((each.action, each.fields) for each in await entries(app, "sign-out")) == sorted(
        [
            ("key", (f"session:{first}", "why:signed out")),
            ("key", (f"session:{second}", "why:signed out")),
            ("grant", ("claim_groups:ops->none",)),
        ]
    )


async def test_groups_of_whoever_let_their_session_run_out_go_with_the_sweep(app: App, world: World) -> None:
    await world.sign_in()
    await world.write(lambda tx: claims.set_groups_in(tx, "ada", ["group-ops"]))
    await world.write(lambda tx: claims.set_groups_in(tx, "bob", ["group-ops"]))
    await world.await_consent("2", "bob")  # who is being asked has just come with them
    sessions = SignInSessions(app.store)

    await sessions.sweep()
    assert (await groups(app), await groups(app, "bob")) == (("ops",), ("ops",))
    await world.write(lambda tx: tx.connection.execute(update(tables.sessions).values(expires_at=tx.now)))
    await sessions.sweep()
    assert (await groups(app), await groups(app, "bob")) == ((), ("ops",))
    assert [each.fields for each in await entries(app, "sign-in")] == [("claim_groups:ops->none",)]
    (session,) = await sessions.all(ended=True)
    assert (session.ended_why, session.has_provider_token) == ("expired", False)


async def test_disabling_a_principal_ends_its_sessions(app: App, world: World) -> None:
    first, second = await world.sign_in("1"), await world.sign_in("2")
    others = await world.sign_in("3", "bob")
    await world.write(lambda tx: claims.set_groups_in(tx, "ada", ["group-ops"]))

    update = await app.people.principals.update(OPERATOR, "ada", PrincipalChanges(enabled=False))

    assert set(update.ended_sessions) == {first, second}
    assert [each.id for each in await SignInSessions(app.store).all()] == [others]
    assert await groups(app) == ()
    written = {each.fields for each in await entries(app, "update-principal")}
    assert (f"session:{first}", f"why:{DISABLED}") in written
    assert ("state:enabled->disabled", "claim_groups:ops->none") in written


async def test_taking_a_subject_back_ends_what_it_signed_in_with(app: App, world: World) -> None:
    first = await world.sign_in("1")
    stranger = Subject(ISSUER, "somebody else")
    with pytest.raises(PeopleError):
        await app.people.principals.update(OPERATOR, "ada", PrincipalChanges(no_subjects=(stranger,)))

    update = await app.people.principals.update(
        OPERATOR, "ada", PrincipalChanges(no_subjects=(Subject(ISSUER, "ada"),))
    )

    assert update.ended_sessions == (first,)
    assert (f"session:{first}", f"why:{NO_SUBJECT}") in {each.fields for each in await entries(app, "update-principal")}


@pytest.mark.parametrize("change", ["disable", "subject", "remove"])
async def test_nobody_consents_for_a_principal_that_they_are_no_longer(app: App, world: World, change: str) -> None:
    request_id = await world.await_consent()
    if change == "remove":
        await app.people.principals.remove(OPERATOR, "ada")
    elif change == "disable":
        await app.people.principals.update(OPERATOR, "ada", PrincipalChanges(enabled=False))
    else:
        changes = PrincipalChanges(no_subjects=(Subject(ISSUER, "ada"),))
        await app.people.principals.update(OPERATOR, "ada", changes)

    finish = world.requests.finish_in
    assert await world.write(lambda tx: finish(tx, request_id, BROWSER)) is RequestRefusal.UNKNOWN


async def test_an_update_that_is_refused_ends_no_session(app: App, world: World) -> None:
    session_id = await world.sign_in()
    with pytest.raises(PeopleError):
        await app.people.principals.update(OPERATOR, "ada", PrincipalChanges(enabled=False, groups=("ops",)))

    assert [each.id for each in await SignInSessions(app.store).all()] == [session_id]


async def test_removing_a_principal_ends_its_sessions(app: App, world: World) -> None:
    await world.sign_in()
    await app.people.principals.remove(OPERATOR, "ada")

    assert await SignInSessions(app.store).all(ended=True) == []


async def test_a_restored_copy_revives_nobody(app: App, world: World, tmp_path: Path, open_again: OpenApp) -> None:
    session_id = await world.sign_in()
    digest = digest_text("access token")
    await world.write(lambda tx: tokens.add_in(tx, "access", digest, session_id, ["orgs:read"], tx.now + HOUR))
    await world.write(lambda tx: claims.set_groups_in(tx, "ada", ["group-ops"]))
    await world.begin("under way")
    target = tmp_path / "copy.db"
    await copy.backup(app.store, target, OPERATOR)

    content = target.read_bytes()
    assert digest not in content
    assert session_id.encode() not in content
    async with open_again(database_url=f"sqlite:///{target}") as restored:
        assert await SignInSessions(restored.store).all(ended=True) == []
        assert (await restored.people.principals.one("ada")).claim_groups == ()
        assert (await restored.people.principals.one("ada")).subjects == (Subject(ISSUER, "ada"),)
    assert [each.id for each in await SignInSessions(app.store).all()] == [session_id]


async def test_a_group_by_claim_gives_its_grants_and_is_told_apart(app: App, world: World) -> None:
    await app.people.groups.update(OPERATOR, "ops", GroupChanges(grants=GrantChanges(read_grants(["acme:read"]))))
    await world.sign_in()
    await world.write(lambda tx: claims.set_groups_in(tx, "ada", ["group-ops"]))

    caller = Caller(Principal("ada"), "http")
    assert [org.alias for org in await app.access.visible(caller)] == ["acme"]
    report = await report_access(app.store, Question(principal="ada"), "local:op", datetime.now(UTC))
    assert [(each.principal, each.group) for each in report.access] == [("ada", "ops")]
    update = await app.people.groups.update(OPERATOR, "ops", GroupChanges(claim="others"))
    assert [(each.field, each.before, each.after) for each in update.differences] == [
        ("claim", "group-ops", "others"), ("claim_members", "ada", "none"),
    ]  # fmt: skip
    assert await app.access.visible(caller) == []


async def test_sessions_are_found_and_counted_by_the_store(app: App, world: World) -> None:
    sessions = SignInSessions(app.store)
    ids = [await world.sign_in(str(each), "ada" if each else "bob") for each in range(4)]
    await sessions.end(OPERATOR, ids[3])

    newest, count = await sessions.newest(2)
    assert ([each.id for each in newest], count) == ([ids[2], ids[1]], 3)
    assert [each.id for each in (await sessions.newest(9, "bob"))[0]] == [ids[0]]
    assert await sessions.count() == 3
    found = await sessions.find(ids[1])
    assert found is not None
    assert found.id == ids[1]
    assert await sessions.find(ids[1][:-1]) is None
    assert await sessions.find(ids[3]) is None, "it is over"
    assert await sessions.names() == {"ada": "Ada", "bob": "Bob"}
    for wildcard in ("%", "_"):
        with pytest.raises(PeopleError, match="there is no session"):
            await sessions.one(wildcard)
