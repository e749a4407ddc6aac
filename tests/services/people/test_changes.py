"""Principals, groups and their grants are changed whole or not at all, and each change says what it was and is."""

from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import insert, select

from orgserver.app import App
from orgserver.model.access.policy_edits import PolicyEdit
from orgserver.model.access.principals import Permission, Selector, Subject
from orgserver.model.audit import AuditEntry, EntryFilter
from orgserver.model.errors import PeopleError
from orgserver.model.names import alias
from orgserver.model.orgs import Caller
from orgserver.services.people.keys import KeyRefusal
from orgserver.services.people.requests import (
    GrantChanges,
    GroupChanges,
    KeyChanges,
    PrincipalChanges,
    read_grants,
)
from orgserver.store.calls import tables as call_tables

NOW = datetime.now(UTC)


def granting(*texts: str, until: datetime | None = None, revoked: tuple[str, ...] = ()) -> GrantChanges:
    return GrantChanges(read_grants(texts), until, tuple(map(Selector, revoked)))


async def entries(app: App, action: str) -> list[AuditEntry]:
    await app.store.audit.catch_up()
    return [entry async for entry in app.audit_log.entries(EntryFilter(action=action))]


async def permitted(app: App, name: str, org: str, now: datetime = NOW) -> set[Permission]:
    catalog = await app.access.reload()
    return set(catalog.standings[name].permissions_in(catalog.by_alias[alias(org)], now))


async def test_grants_of_a_principal_and_of_its_groups_add_up(app: App, caller: Caller) -> None:
    people = app.people
    await people.principals.add(caller, "ada", PrincipalChanges(grants=granting("acme:read")))
    await people.groups.add(caller, "ops", GroupChanges(members=("ada",), grants=granting("*:write")))

    assert await permitted(app, "ada", "acme") == {"read", "write"}
    assert await permitted(app, "ada", "globex") == {"write"}


async def test_a_grant_on_an_alias_is_of_its_org(app: App, caller: Caller) -> None:
    await app.people.principals.add(caller, "ada", PrincipalChanges(grants=granting("acme:read", "glo*:read")))

    await app.registry.update(caller, "acme", rename=alias("north"))
    await app.registry.update(caller, "globex", rename=alias("acme"))

    assert await permitted(app, "ada", "north") == {"read"}
    assert await permitted(app, "ada", "acme") == set()
    assert [grant.selector.text for grant in (await app.people.principals.one("ada")).grants] == ["glo*", "north"]


async def test_a_grant_on_an_alias_ends_with_its_org_and_on_record(app: App, caller: Caller) -> None:
    await app.people.principals.add(caller, "ada", PrincipalChanges(grants=granting("acme:read,write")))

    await app.registry.remove(caller, "acme", keep_token=True)
    await app.registry.update(caller, "globex", rename=alias("acme"))

    assert await permitted(app, "ada", "acme") == set()
    ended = (await entries(app, "grant"))[-1]
    assert (ended.tool, ended.object, ended.org, ended.fields) == (
        "remove-org", "ada", "acme", ("acme:read,write->none",),
    )  # fmt: skip


async def test_a_grant_on_the_same_selector_replaces_what_it_was(app: App, caller: Caller) -> None:
    principals, end = app.people.principals, NOW + timedelta(days=1)
    await principals.add(caller, "ada", PrincipalChanges(grants=granting("acme:read", "acme:write")))

    update = await principals.update(caller, "ada", PrincipalChanges(grants=granting("acme:delete", until=end)))

    ends = end.isoformat(timespec="seconds")
    assert [(each.field, each.before, each.after) for each in update.differences] == [
        ("grant acme", "read,write", f"delete until {ends}")
    ]
    assert await permitted(app, "ada", "acme") == {"delete"}
    assert await permitted(app, "ada", "acme", end) == set()
    assert (await entries(app, "grant"))[-1].fields == (f"acme:read,write->delete until {ends}",)


async def test_every_change_is_an_entry_with_what_it_was_and_what_it_became(app: App, caller: Caller) -> None:
    principals, issuer = app.people.principals, "https://id.example"
    await app.people.groups.add(caller, "ops", GroupChanges())
    key = KeyChanges(new=True)
    added = await principals.add(caller, "ada", PrincipalChanges(groups=("ops",), roles=("auditor",), keys=key))
    assert added.key is not None
    changes = PrincipalChanges(
        enabled=False,
        no_roles=("auditor",),
        no_groups=("ops",),
        subjects=(Subject(issuer, "1"),),
        limits=PolicyEdit({"read_only": True}),
        keys=KeyChanges(revoked=(added.key.id,)),
    )
    await principals.update(caller, "ada", changes)
    await principals.remove(caller, "ada")

    grants, keys = await entries(app, "grant"), await entries(app, "key")
    assert [(entry.tool, entry.object, entry.fields) for entry in grants] == [
        ("add-group", "ops", ("group:none->exists",)),
        ("add-principal", "ada", ("kind:none->person", "state:none->enabled", "roles:none->auditor", "groups:none->ops")),
        (
            "update-principal",
            "ada",
            (
                "state:enabled->disabled", "roles:auditor->none", "groups:ops->none", f"subjects:none->{issuer} 1",
                "limits:none->read-only",
            ),
        ),
        (
            "remove-principal",
            "ada",
            ("kind:person->none", "state:disabled->none", f"subjects:{issuer} 1->none", "limits:read-only->none"),
        ),
    ]  # fmt: skip
    key_id = added.key.id
    assert [entry.fields for entry in keys] == [
        (f"{key_id}:none->active",), (f"{key_id}:active->revoked",), (f"{key_id}:revoked->none",),
    ]  # fmt: skip
    assert {entry.principal for entry in (*grants, *keys)} == {"local:tester"}


async def test_a_change_of_which_a_part_is_wrong_does_nothing(app: App, caller: Caller) -> None:
    await app.people.principals.add(caller, "ada", PrincipalChanges(grants=granting("*:read")))
    before = await app.people.principals.one("ada"), await entries(app, "grant")

    for wrong in (
        PrincipalChanges(enabled=False, groups=("nobody",)),
        PrincipalChanges(roles=("admin",), grants=granting("acme:read", "acne:read")),
        PrincipalChanges(grants=granting("acme:write", revoked=("emea-*",))),
        PrincipalChanges(kind="service", keys=KeyChanges(new=True, until=NOW - timedelta(days=1))),
        PrincipalChanges(grants=granting("acme:write", until=NOW - timedelta(seconds=1))),
    ):
        with pytest.raises(PeopleError):
            await app.people.principals.update(caller, "ada", wrong)

    assert (await app.people.principals.one("ada"), await entries(app, "grant")) == before


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("local:ada", "names that begin with local:"), ("a\x1b[31mda", "a name has 1 to 127 letters"),
        ("ADA", "there is a principal ada already"), ("Ops", "there is a group ops already"), ("", "a name has"),
    ],
)  # fmt: skip
async def test_a_name_that_may_not_be_had_is_refused(app: App, caller: Caller, name: str, words: str) -> None:
    await app.people.principals.add(caller, "ada", PrincipalChanges())
    await app.people.groups.add(caller, "ops", GroupChanges())

    for adding in (
        app.people.principals.add(caller, name, PrincipalChanges()),
        app.people.groups.add(caller, name, GroupChanges()),
    ):
        with pytest.raises(PeopleError, match=words):
            await adding


async def test_groups_hold_principals_only_and_by_hand_only_where_no_claim_fills_them(app: App, caller: Caller) -> None:
    people = app.people
    await people.principals.add(caller, "ada", PrincipalChanges())
    await people.groups.add(caller, "ops", GroupChanges(members=("ada",)))
    await people.groups.add(caller, "staff", GroupChanges(claim="Staff"))

    for refused, words in (
        (people.groups.update(caller, "ops", GroupChanges(members=("staff",))), "staff is a group, and groups hold"),
        (people.groups.update(caller, "ops", GroupChanges(claim="Ops")), "has no members by hand"),
        (people.groups.update(caller, "staff", GroupChanges(members=("ada",))), "has no members by hand"),
        (people.principals.update(caller, "ada", PrincipalChanges(groups=("staff",))), "is filled by the claim Staff"),
        (people.principals.update(caller, "ada", PrincipalChanges(groups=("ada",))), "ada is a principal, not a group"),
        (people.principals.update(caller, "ops", PrincipalChanges()), "ops is a group, not a principal"),
        (people.groups.add(caller, "odd", GroupChanges(claim="\x07")), "a claim is a text of visible characters"),
    ):
        with pytest.raises(PeopleError, match=words):
            await refused
    await people.groups.update(caller, "ops", GroupChanges(claim="Ops", no_members=("ada",)))
    await people.groups.update(caller, "staff", GroupChanges(claim="", members=("ada",)))

    assert [(group.name, group.claim, group.members) for group in await people.groups.all()] == [
        ("ops", "Ops", ()), ("staff", None, ("ada",)),
    ]  # fmt: skip


async def test_a_subject_is_one_principal(app: App, caller: Caller) -> None:
    subject = Subject("https://id.example", "1")
    await app.people.principals.add(caller, "ada", PrincipalChanges(subjects=(subject,)))

    with pytest.raises(PeopleError, match="is ada already"):
        await app.people.principals.add(caller, "bob", PrincipalChanges(subjects=(subject,)))


async def test_a_selector_of_nothing_is_told_of(app: App, caller: Caller) -> None:
    await app.registry.update(caller, "acme", tags=("eu",))

    update = await app.people.principals.add(
        caller, "ada", PrincipalChanges(grants=granting("acme:read", "tag:eu:read", "tag:us:read", "x*:read", "*:read"))
    )

    assert update.selectors_of_nothing == ("tag:us", "x*")


async def test_a_name_used_again_takes_up_nothing_that_it_had(app: App, caller: Caller) -> None:
    principals = app.people.principals
    changes = PrincipalChanges(grants=granting("*:read"), keys=KeyChanges(new=True))
    key = (await principals.add(caller, "ada", changes)).key
    repeat = {
        "row_id": "r", "key_digest": b"k", "arguments_digest": b"a", "outcome": "succeeded", "expires_at": 2**62,
    }  # fmt: skip
    rows = [repeat | {"principal": name, "entry_id": name} for name in ("ada", "bob")]
    await app.store.database.write(lambda tx: tx.connection.execute(insert(call_tables.idempotency), rows))

    await principals.remove(caller, "ada")
    await principals.add(caller, "ada", PrincipalChanges())

    assert await permitted(app, "ada", "acme") == set()
    assert key is not None
    assert await app.people.api_keys.check(key.text) is KeyRefusal.UNKNOWN
    async with app.store.database.reading() as connection:
        left = (await connection.execute(select(call_tables.idempotency.c.principal))).scalars().all()
    assert left == ["bob"]
