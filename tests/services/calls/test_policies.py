"""A policy binds the org, whatever it is called: no alias, name or new registration loosens it."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any

import pytest
from sqlalchemy import text

from orgserver.app import App
from orgserver.config import read_settings
from orgserver.model.access.policies import Policy
from orgserver.model.audit import AuditEntry, EntryFilter
from orgserver.model.errors import CallError, NotSent, PolicyDenied
from orgserver.model.names import CONTACT, alias
from orgserver.model.orgs import Caller, OrgState
from orgserver.model.secret import Secret
from orgserver.sandbox.org import SandboxOrg
from orgserver.services.orgs.enrolment import Enrolled, Registration
from orgserver.services.orgs.import_plan import Candidate
from orgserver.services.undo.restorer import Restorer
from orgserver.store.backup.copy import backup, restore
from orgserver.vault.sources import open_vault
from tests import operations

TOOL = "a test"
LOCKED = Policy(read_only=True)
STRICT = Policy(read_only=True, confirm_deletes=True, keep_values=True)
Add = Callable[..., Awaitable[Enrolled]]


@pytest.fixture
async def empty(open_again: Any) -> Any:
    async with open_again() as opened:
        yield opened


@pytest.fixture
def add(caller: Caller) -> Add:
    async def adding(app: App, org: SandboxOrg, name: str, policy: Policy | None = None, **more: Any) -> Enrolled:
        return await app.enrolment.add(caller, registration(org, name, policy or Policy(), **more))

    return adding


def registration(org: SandboxOrg, name: str, policy: Policy, **more: Any) -> Registration:
    """A login of its own: two aliases must not share a refresh token."""
    given = org.credentials()
    login = org.logins.begin(org.client_id, org.logins.seeded.scope)
    return Registration(
        alias=alias(name),
        client_id=given["client_id"],
        client_secret=Secret(given["client_secret"]),
        refresh_token=Secret(str(login.refresh_token)),
        login_url=given["login_url"],
        source="a test",
        trusted_hosts=tuple(given["trust_hosts"]),
        policy=policy,
        **more,
    )


async def limits(app: App) -> dict[str, Policy]:
    return {org.alias: org.policy for org in await app.registry.all()}


async def entries(app: App, action: str = "policy") -> list[tuple[str | None, str | None, tuple[str, ...]]]:
    found: list[AuditEntry] = [entry async for entry in app.audit_log.entries(EntryFilter(action=action))]
    return sorted(((entry.org, entry.tool, entry.fields) for entry in found), key=str)


async def create(app: App, caller: Caller, name: str) -> str:
    return (await operations.create(app, caller, TOOL, name, CONTACT, {"LastName": "Lovelace"})).id


async def refused(app: App, caller: Caller, org: SandboxOrg, name: str) -> None:
    """Writing under this alias is denied, and nothing but questions for a token was sent."""
    org.requests.clear()
    with pytest.raises(PolicyDenied, match="read-only"):
        await create(app, caller, name)
    assert [seen.path for seen in org.requests if not seen.path.endswith("/token")] == []


# -- hostile: another name for the same org


async def test_a_second_alias_cannot_loosen_and_is_told(empty: App, add: Add, caller: Caller, acme: SandboxOrg) -> None:
    await add(empty, acme, "acme", STRICT)

    second = await add(empty, acme, "loose")

    assert second.known_limits == ("read-only", "confirm-deletes", "keep-values")
    assert (second.also_known_as, second.tightened) == (("acme",), ())
    assert await limits(empty) == {"acme": STRICT, "loose": STRICT}
    await refused(empty, caller, acme, "loose")
    assert (await entries(empty, "enrol"))[-1][1:] == ("add-org", ("read_only", "confirm_deletes", "keep_values"))


async def test_a_stricter_alias_tightens_every_other_on_record(
    empty: App, add: Add, caller: Caller, acme: SandboxOrg, open_again
) -> None:
    await add(empty, acme, "acme")
    await create(empty, caller, "acme")
    async with open_again() as other:
        second = await add(other, acme, "strict", LOCKED)

    assert second.tightened == ("acme",)
    await refused(empty, caller, acme, "acme")
    assert await entries(empty) == [("acme", "add-org", ("read_only",))]


async def test_renaming_takes_no_limit_away(empty: App, add: Add, caller: Caller, acme: SandboxOrg) -> None:
    await add(empty, acme, "acme", LOCKED)

    await empty.registry.update(caller, "acme", rename=alias("free"))

    await refused(empty, caller, acme, "free")


async def test_the_policy_outlives_the_last_alias(empty: App, add: Add, caller: Caller, acme: SandboxOrg) -> None:
    await add(empty, acme, "acme", Policy(confirm_deletes=True, read_only=True))
    await empty.registry.remove(caller, "acme", keep_token=True)
    assert await empty.registry.all() == []

    again = await add(empty, acme, "other-name")

    assert again.org.policy == Policy(confirm_deletes=True, read_only=True), "exactly the old policy"
    assert again.known_limits == ("read-only", "confirm-deletes")
    assert again.also_known_as == ()
    await refused(empty, caller, acme, "other-name")


async def test_an_unpinned_twin_is_bound_before_its_first_call_is_sent(
    empty: App, add: Add, caller: Caller, acme: SandboxOrg
) -> None:
    await add(empty, acme, "acme", LOCKED)
    await add(empty, acme, "unpinned", verify=False)
    assert (await limits(empty))["unpinned"] == Policy()

    await refused(empty, caller, acme, "unpinned")

    org = await empty.registry.one("unpinned")
    assert (org.org_id, org.policy) == (acme.org_id, LOCKED)
    assert await entries(empty) == [("unpinned", "refresh", ("read_only",))]


async def test_an_unpinned_twin_with_limits_binds_the_others_once_it_is_pinned(
    empty: App, add: Add, caller: Caller, acme: SandboxOrg
) -> None:
    await add(empty, acme, "acme")
    await add(empty, acme, "unpinned", LOCKED, verify=False)
    await create(empty, caller, "acme")

    await empty.registry.check("unpinned")

    await refused(empty, caller, acme, "acme")
    assert await entries(empty) == [("acme", "refresh", ("read_only",))]


async def test_an_unpinned_org_that_gets_no_token_is_sent_nothing_and_asked_once(
    empty: App, add: Add, caller: Caller, acme: SandboxOrg
) -> None:
    await add(empty, acme, "unpinned", verify=False)
    acme.fault("status", path=".*/token", status=400, body='{"error":"invalid_client"}', times=9)

    with pytest.raises(NotSent) as failed:
        await create(empty, caller, "unpinned")

    assert failed.value.code == "invalid_client"
    assert [seen.path.rpartition("/")[2] for seen in acme.requests] == ["token"]
    (entry,) = await empty.audit_log.newest(EntryFilter(tool=TOOL), 5)
    assert (entry.outcome.value, entry.error_code) == ("not_sent", "invalid_client")


async def test_a_policy_that_was_changed_for_an_unpinned_org_is_merged_when_it_is_pinned(
    empty: App, add: Add, caller: Caller, acme: SandboxOrg
) -> None:
    await add(empty, acme, "acme", LOCKED)
    await add(empty, acme, "unpinned", LOCKED, verify=False)

    loosened = await empty.registry.update(caller, "unpinned", policy={"read_only": False})

    assert loosened.policy == Policy()
    assert (await limits(empty))["acme"] == LOCKED
    await refused(empty, caller, acme, "unpinned")


async def test_an_id_of_15_characters_is_the_same_org(empty: App, add: Add, caller: Caller, acme: SandboxOrg) -> None:
    await add(empty, acme, "acme", LOCKED)
    await add(empty, acme, "unpinned", verify=False)
    acme.answers.org_id = acme.org_id[:15]

    await refused(empty, caller, acme, "unpinned")

    assert (await empty.registry.one("unpinned")).org_id == acme.org_id
    assert (await empty.registry.one("unpinned")).state is OrgState.READY


async def test_new_credentials_take_no_limit_away(empty: App, add: Add, caller: Caller, acme: SandboxOrg) -> None:
    await add(empty, acme, "acme", STRICT)
    await add(empty, acme, "unpinned", verify=False)

    await add(empty, acme, "acme", replace=True)
    await add(empty, acme, "unpinned", replace=True)

    assert await limits(empty) == {"acme": STRICT, "unpinned": STRICT}


@pytest.mark.parametrize("order", [("acme", "twin"), ("twin", "acme")])
async def test_two_processes_that_add_twins_at_once_end_with_the_strictest(
    empty: App, add: Add, caller: Caller, acme: SandboxOrg, open_again, order: tuple[str, str]
) -> None:
    async with open_again() as other:
        first, second = order
        await asyncio.gather(add(empty, acme, first, LOCKED), add(other, acme, second, Policy(keep_values=True)))

    both = Policy(read_only=True, keep_values=True)
    assert await limits(empty) == {"acme": both, "twin": both}
    await refused(empty, caller, acme, "twin")


async def test_limits_bind_undo_approvals_and_large_changes_by_every_alias(
    empty: App, add: Add, caller: Caller, acme: SandboxOrg
) -> None:
    await add(empty, acme, "acme", Policy(keep_values=True))
    await add(empty, acme, "twin")
    made = await create(empty, caller, "twin")
    (entry,) = await empty.audit_log.newest(EntryFilter(action="create"), 1)
    undo = await Restorer(empty.store, empty.access, empty.services.executor, empty.audit_log).preview_entry(
        caller, entry.id
    )
    assert undo.is_possible(force=False), "what the twin changed was kept, too"

    await empty.registry.update(caller, "acme", policy={"confirm_deletes": True})
    with pytest.raises(CallError) as asked:
        await operations.delete(empty, caller, TOOL, "twin", CONTACT, made)

    assert asked.value.code == "CONFIRMATION_REQUIRED"


async def test_a_store_without_the_policy_of_a_known_org_is_strict(
    empty: App, add: Add, caller: Caller, acme: SandboxOrg
) -> None:
    await add(empty, acme, "acme")
    await empty.store.database.write(lambda tx: tx.connection.execute(text("DELETE FROM policies")))

    assert await limits(empty) == {"acme": replace(STRICT, allow_objects=())}


# -- friendly: what is another org, or said plainly


async def test_different_orgs_keep_different_policies(
    empty: App, add: Add, caller: Caller, acme: SandboxOrg, globex: SandboxOrg
) -> None:
    await add(empty, acme, "acme", LOCKED)
    free = await add(empty, globex, "globex")

    assert (free.known_limits, free.also_known_as) == ((), ())
    assert await limits(empty) == {"acme": LOCKED, "globex": Policy()}
    await create(empty, caller, "globex")
    assert await entries(empty) == []


async def test_an_org_without_limits_is_added_again_without_limits(
    empty: App, add: Add, caller: Caller, acme: SandboxOrg
) -> None:
    await add(empty, acme, "acme")
    await empty.registry.remove(caller, "acme", keep_token=True)

    again = await add(empty, acme, "acme")

    assert (again.org.policy, again.known_limits) == (Policy(), ())
    await create(empty, caller, "acme")


async def test_update_org_loosens_for_every_alias_and_each_is_on_record(
    empty: App, add: Add, caller: Caller, acme: SandboxOrg
) -> None:
    await add(empty, acme, "acme", LOCKED)
    await add(empty, acme, "twin")

    org = await empty.registry.update(caller, "twin", policy={"read_only": False})

    assert await empty.registry.twins(org) == ("acme",)
    assert await limits(empty) == {"acme": Policy(), "twin": Policy()}
    assert await entries(empty) == [
        ("acme", "update-org", ("no_read_only",)),
        ("twin", "update-org", ("no_read_only",)),
    ]
    await create(empty, caller, "acme")


async def test_a_first_call_pins_an_org_that_nobody_limits_and_goes_through(
    empty: App, add: Add, caller: Caller, acme: SandboxOrg
) -> None:
    await add(empty, acme, "unpinned", verify=False)

    await create(empty, caller, "unpinned")

    assert (await empty.registry.one("unpinned")).org_id == acme.org_id
    assert [seen.path.endswith("/token") for seen in acme.requests].count(True) == 1
    assert await entries(empty) == []


# -- copies and imports


async def test_a_backup_brings_the_policies_of_removed_orgs_back(
    empty: App, add: Add, caller: Caller, acme: SandboxOrg, tmp_path, open_again
) -> None:
    await add(empty, acme, "acme", LOCKED)
    await empty.registry.remove(caller, "acme", keep_token=True)
    await backup(empty.store, tmp_path / "copy.db", caller)
    key = (tmp_path / "home" / "master.key").read_bytes()
    home = tmp_path / "other"
    home.mkdir(mode=0o700)
    (home / "master.key").write_bytes(key)
    (home / "master.key").chmod(0o600)
    settings = read_settings({"home": home}, {})
    await restore(tmp_path / "copy.db", settings.database_file, lambda: open_vault(settings, create=False), caller)

    async with open_again(home=home) as restored:
        again = await add(restored, acme, "acme")

    assert again.org.policy == LOCKED


async def test_an_import_adds_no_looser_twin(empty: App, add: Add, caller: Caller, acme: SandboxOrg) -> None:
    await add(empty, acme, "acme", LOCKED)

    async def prepare(name: Any) -> Registration:
        return registration(acme, name, Policy(confirm_deletes=True))

    importing = empty.org_import
    planned = await importing.plan([Candidate("row 1", "row 1", "imported", prepare)])
    (done,) = await importing.carry_out(caller, planned, lambda _done: None)

    assert done.enrolled is not None and done.enrolled.known_limits == ("read-only",)
    both = Policy(read_only=True, confirm_deletes=True)
    assert await limits(empty) == {"acme": both, "imported": both}
