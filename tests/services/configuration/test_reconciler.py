"""Files and a store: what is changed, in which order, all or nothing, and what a change from elsewhere does."""

import asyncio
import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from orgserver.app import App
from orgserver.cli.configuration.conversion import convert
from orgserver.cli.configuration.reading import read
from orgserver.model.access.principals import Principal
from orgserver.model.errors import ConfigError
from orgserver.model.orgs import Caller
from orgserver.services.configuration import reconciler
from orgserver.services.configuration.declarations import Configuration
from orgserver.services.configuration.reconciler import Origin
from orgserver.services.people.groups import GroupUpdate
from orgserver.services.people.requests import GroupChanges
from tests.people import add_principal, change_principal

ORIGIN = Origin(Caller(Principal("local:op"), "cli"), "fleet", "3f2c1d0")
EVERYTHING = """\
policies:
  careful: {confirm-deletes: true, row-limit: 50}
orgs:
  acme: {tags: [eu], policy: careful}
  globex: {tags: [us], policy: {read-only: true}}
groups:
  emea:
    members: [ada]
    grants: [tag:eu:read, acme:read until 2037-01-31]
  readers: {claim: Readers, grants: ['*:read']}
principals:
  ada:
    roles: [auditor]
    subjects: [{issuer: https://idp.example, subject: s-1}]
    limits: {row-limit: 5}
    grants: ['acme:read,write']
  nightly: {kind: service}
"""


def configuration(text: str) -> Configuration:
    return convert("fleet", [(read(text.encode(), "fleet.yaml"), Path())])


async def apply(app: App, text: str, *, prune: bool = False) -> int:
    """How many steps it took."""
    files = configuration(text)
    plan = await app.reconciler.plan(files, prune=prune)
    await app.reconciler.rehearse(ORIGIN, plan)
    await app.reconciler.carry_out(ORIGIN, files, plan, prune=prune)
    return len(plan.steps)


async def entries(app: App) -> Sequence[dict[str, Any]]:
    """What the log says of ``apply``."""
    async with app.store.database.reading() as connection:
        rows = await connection.exec_driver_sql("select canonical from audit_events order by sequence")
        events = [json.loads(row[0]) for row in rows]
    return [event for event in events if event.get("tool") == "apply" and event.get("fields")]


async def test_everything_is_made_as_it_says_and_the_second_time_nothing(app: App) -> None:
    assert await apply(app, EVERYTHING) == 6
    recorded = await entries(app)
    assert await apply(app, EVERYTHING) == await apply(app, EVERYTHING, prune=True) == 0

    acme, ada = await app.registry.one("acme"), await app.people.principals.one("ada")
    assert (acme.tags, acme.policy.limits) == (("eu",), ("confirm-deletes", "row-limit 50"))
    assert (ada.roles, ada.limits.row_limit, ada.groups) == ({"auditor"}, 5, ("emea",))
    assert [grant.selector.text for grant in (await app.people.groups.one("emea")).grants] == ["acme", "tag:eu"]
    assert {each["label"] for each in recorded} == {"fleet.yaml at 3f2c1d0"}
    assert recorded == await entries(app)


async def test_without_prune_what_no_file_has_stays_and_is_named(app: App) -> None:
    await apply(app, EVERYTHING)
    await add_principal(app, "eve", "acme:read")
    await change_principal(app, "ada", "globex:read", groups=("emea",))
    await app.people.groups.add(ORIGIN.caller, "old", GroupChanges(members=("ada",)))

    text = EVERYTHING.replace("tags: [eu]", "tags: [north]").replace("  nightly: {kind: service}\n", "")
    files = configuration(text)
    kept = await app.reconciler.plan(files, prune=False)
    assert await apply(app, text) == 1

    assert set(kept.surplus) == {
        "acme: tag eu", "group old", "principal eve", "principal nightly", "ada: grant on globex",
    }  # fmt: skip
    assert (await app.registry.one("acme")).tags == ("eu", "north")

    assert await apply(app, text, prune=True) == 5
    assert (await app.registry.one("acme")).tags == ("north",)
    assert {each.name for each in await app.people.principals.all()} == {"ada"}
    assert {each.name for each in await app.people.groups.all()} == {"emea", "readers"}
    assert [each.selector.text for each in (await app.people.principals.one("ada")).grants] == ["acme"]


async def test_prune_disables_an_org_and_never_removes_one(app: App) -> None:
    assert await apply(app, "orgs: {acme: {}}", prune=True) == 1
    globex = await app.registry.one("globex")
    assert not globex.enabled
    assert await apply(app, "orgs: {acme: {}}", prune=True) == 0

    back = await app.reconciler.plan(configuration("orgs: {acme: {}, globex: {}}"), prune=True)
    said = await app.reconciler.plan(configuration("orgs: {acme: {}, globex: {enabled: false}}"), prune=True)
    assert (back.is_empty, back.notes) == (True, ("org globex is disabled, and no file says enabled: true",))
    assert (said.is_empty, said.notes) == (True, ())
    plan = await app.reconciler.plan(configuration("orgs: {globex: {enabled: true}}"), prune=False)
    assert [step.enables for step in plan.steps] == [True]


async def test_prune_takes_nothing_away_for_want_of_a_section(app: App) -> None:
    await apply(app, EVERYTHING)
    with pytest.raises(ConfigError, match=r"--prune would remove all groups \(2\), for fleet has no groups"):
        await apply(app, "orgs: {acme: {}, globex: {}}", prune=True)
    assert await apply(app, "orgs: {acme: {}, globex: {}}\ngroups: {}\nprincipals: {}", prune=True) == 6


async def test_names_and_subjects_change_hands_in_one_go(app: App) -> None:
    await apply(app, EVERYTHING)
    text = EVERYTHING.replace("  emea:", "  EMEA:").replace("  ada:\n", "  bob:\n").replace("[ada]", "[bob]")
    with pytest.raises(ConfigError, match="fleet.yaml, line 12: s-1 of https://idp.example is ada already"):
        await apply(app, text)

    assert await apply(app, text, prune=True) == 4
    assert (await app.people.groups.one("EMEA")).members == ("bob",)
    assert await apply(app, text, prune=True) == 0


async def test_one_thing_that_cannot_be_done_has_everything_else_undone(app: App) -> None:
    await add_principal(app, "EMEA")
    before = await app.reconciler.inventory()
    with pytest.raises(ConfigError, match="fleet.yaml, line 7: there is a principal EMEA already"):
        await apply(app, EVERYTHING)
    after = await app.reconciler.inventory()
    assert (after.version, after.principals, after.orgs) == (before.version, before.principals, before.orgs)
    assert await entries(app) == []


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("principals: {ada: {grants: ['acne:read']}}", "line 1: no org is registered as acne, and no file has it"),
        ("groups: {ops: {members: [nobody]}}", "line 1: there is no principal nobody"),
        ("orgs: {acme: {client_id: other}}", "line 1: acme is registered with the client_id"),
        ("orgs: {acme: {auth: jwt}}", "line 1: acme is registered with the auth refresh-token, not jwt"),
        ("principals: {osk_abc: {}}", "line 1: this is the text of an API key, not a name"),
    ],
)
async def test_what_the_store_cannot_have_is_one_line_with_its_place(app: App, text: str, reason: str) -> None:
    with pytest.raises(ConfigError) as refused:
        await apply(app, text)
    assert str(refused.value).startswith(f"fleet.yaml, {reason}")


async def test_grants_that_have_ended_are_told_of_and_not_given(app: App) -> None:
    await apply(app, "principals: {ada: {grants: [acme:read]}}")
    files = configuration("principals: {ada: {grants: [acme:read until 2020-01-01, 'globex:read until 2020-01-01']}}")
    plan = await app.reconciler.plan(files, prune=False)
    await app.reconciler.carry_out(ORIGIN, files, plan, prune=False)

    assert len(plan.notes) == 2
    assert (await app.people.principals.one("ada")).grants == ()
    assert (await app.reconciler.plan(files, prune=False)).is_empty


async def test_a_change_from_elsewhere_that_matters_is_not_written_over(app: App) -> None:
    await apply(app, "orgs: {acme: {policy: {row-limit: 50}}}")
    files = configuration("orgs: {acme: {policy: {row-limit: 20}}}")
    plan = await app.reconciler.plan(files, prune=False)
    await app.registry.update(ORIGIN.caller, "acme", policy={"row_limit": 5})

    with pytest.raises(ConfigError, match="the store was changed meanwhile, and the plan is another now"):
        await app.reconciler.carry_out(ORIGIN, files, plan, prune=False)
    assert (await app.registry.one("acme")).policy.row_limit == 5


async def test_what_another_apply_has_added_by_now_is_told_as_a_change(app: App) -> None:
    files = configuration("principals: {ada: {}}")
    plan = await app.reconciler.plan(files, prune=False)
    await add_principal(app, "bob")
    assert [each.step.name for each in await app.reconciler.rehearse(ORIGIN, plan)] == ["ada"]
    await add_principal(app, "ada")

    with pytest.raises(ConfigError, match="meanwhile, and the plan is another now: nothing was changed") as refused:
        await app.reconciler.rehearse(ORIGIN, plan)
    assert refused.value.hint == "apply again"


async def test_a_change_from_elsewhere_that_does_not_matter_stands_beside_it(app: App) -> None:
    files = configuration("orgs: {acme: {policy: {row-limit: 20}}}")
    plan = await app.reconciler.plan(files, prune=False)
    await add_principal(app, "bob", "acme:read")

    await app.reconciler.carry_out(ORIGIN, files, plan, prune=False)
    assert (await app.registry.one("acme")).policy.row_limit == 20


async def test_many_orgs_are_changed_some_at_a_time_and_a_change_from_elsewhere_says_how_far_it_came(
    app: App, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reconciler, "MOST_AT_ONCE", 1)
    files = configuration(EVERYTHING)
    plan = await app.reconciler.plan(files, prune=False)
    await app.registry.update(ORIGIN.caller, "globex", tags=("us",))

    with pytest.raises(ConfigError, match="another now: nothing was changed"):
        await app.reconciler.carry_out(ORIGIN, files, plan, prune=False)
    plan = await app.reconciler.plan(files, prune=False)
    await app.reconciler.carry_out(ORIGIN, files, plan, prune=False)
    assert (await app.reconciler.plan(files, prune=True)).is_empty


async def test_many_changes_of_groups_and_principals_are_made_some_at_a_time_and_what_is_in_the_way_says_how_far_it_came(
    app: App, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reconciler, "MOST_AT_ONCE", 2)
    monkeypatch.setattr(reconciler, "TURN_SECONDS", -1)
    files = configuration("principals: {ada: {}, bob: {}, eve: {}}")
    plan = await app.reconciler.plan(files, prune=False)
    await app.people.groups.add(ORIGIN.caller, "Bob", GroupChanges())
    plan = replace(plan, version=plan.version + 1)  # as if nobody had seen it

    with pytest.raises(ConfigError, match=r"line 1: there is a group Bob already \(1 of 3 changes are done, and no"):
        await app.reconciler.carry_out(ORIGIN, files, plan, prune=False)
    await app.people.groups.remove(ORIGIN.caller, "Bob")
    commits = app.store.database.commits[0]
    assert await apply(app, "principals: {ada: {}, bob: {}, eve: {}, joe: {}}") == 3
    assert app.store.database.commits[0] == commits + 3


@pytest.mark.both_stores
async def test_others_write_while_a_plan_is_rehearsed(app: App, monkeypatch: pytest.MonkeyPatch) -> None:
    loop, add_in, seen = asyncio.get_running_loop(), app.people.groups.add_in, list[str]()

    def add_after_a_write_by_others(*arguments: Any) -> GroupUpdate:
        if not seen:
            written = asyncio.run_coroutine_threadsafe(add_principal(app, "eve", "acme:read"), loop)
            written.result(timeout=60)  # which would never be while the rehearsal had the writer
        seen.append(arguments[3])
        return add_in(*arguments)

    monkeypatch.setattr(app.people.groups, "add_in", add_after_a_write_by_others)
    text = "groups: {" + ", ".join(f"g{number}: {{grants: [tag:t{number}:read]}}" for number in range(300)) + "}"
    results = await app.reconciler.rehearse(ORIGIN, await app.reconciler.plan(configuration(text), prune=False))

    assert (len(results), len(seen)) == (300, 300)
    assert [each.name for each in await app.people.principals.all()] == ["eve"]
    assert await app.people.groups.all() == []


async def test_a_rehearsal_leaves_nothing(app: App) -> None:
    before = await app.reconciler.inventory()
    results = await app.reconciler.rehearse(ORIGIN, await app.reconciler.plan(configuration(EVERYTHING), prune=False))
    assert len(results) == 6
    assert await app.reconciler.inventory() == before
    assert await entries(app) == []
