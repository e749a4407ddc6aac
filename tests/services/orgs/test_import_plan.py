"""What will become of each candidate is planned before anything is sent, and a failure of one stops no other."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any

import pytest

from orgserver.app import App
from orgserver.model.errors import ConfigError
from orgserver.model.names import Alias, OrgId
from orgserver.model.orgs import Caller
from orgserver.model.secret import Secret
from orgserver.sandbox.org import SandboxOrg
from orgserver.services.orgs.import_plan import AT_ONCE, Candidate, Fate, OrgImport, PlannedOrg, made_alias
from orgserver.services.orgs.registration import Registration

Prepare = Callable[[Alias], Awaitable[Registration]]


async def nothing(_alias: Alias) -> Registration:
    raise ConfigError("there is nothing")


def candidate(called: str, prepare: Prepare = nothing, **more: Any) -> Candidate:
    return Candidate(f"the test ({called})", called, called, prepare, **more)


def found(planned: list[PlannedOrg]) -> list[tuple[str, str, str]]:
    return [(each.alias, each.fate.value, each.note) for each in planned]


@pytest.fixture
def importing(app: App) -> OrgImport:
    return app.org_import


@pytest.mark.parametrize(
    ("text", "alias"),
    [
        ("acme", "acme"),
        ("Acme Prod", "acme-prod"),
        ("ada@acme.example", "ada-acme-example"),
        ("Übermut & Söhne", "ubermut-sohne"),
        ("__x__", "x__"),
        ("日本", "org"),
        ("", "org"),
        ("a" * 100, "a" * 63),
    ],
)
def test_an_alias_is_made_from_what_others_call_an_org(text: str, alias: str) -> None:
    assert made_alias(text) == alias


async def test_made_aliases_give_way_and_chosen_ones_do_not(importing: OrgImport) -> None:
    planned = await importing.plan(
        [
            candidate("acme", exact=False),
            candidate("New", exact=False),
            candidate("new", exact=False),
            candidate("new-2"),
            candidate("x" * 63, exact=False),
            candidate("x" * 70, exact=False),
            candidate("globex"),
        ]
    )

    assert found(planned) == [
        ("acme-2", "new", "acme is taken"),
        ("new", "new", "from New"),
        ("new-3", "new", "new is taken"),
        ("new-2", "new", ""),
        ("x" * 63, "new", ""),
        ("x" * 61 + "-2", "new", f"{'x' * 63} is taken"),
        ("globex", "refused", "globex is registered with another credential; choose another alias"),
    ]


async def test_registered_orgs_are_known_by_org_and_user_or_by_their_token_spent_or_not(
    app: App, importing: OrgImport, acme: SandboxOrg, globex: SandboxOrg
) -> None:
    (spent,) = acme.spent
    org_id = OrgId(acme.org_id)

    planned = await importing.plan(
        [
            candidate("one", exact=False, org_id=org_id, username=acme.username, problem="of no matter then"),
            candidate("two", exact=False, org_id=org_id, username="other@acme.example"),
            candidate("acme", token=Secret(spent)),
            candidate("four", token=Secret(globex.refresh_token)),
        ]
    )

    assert found(planned) == [
        ("acme", "registered", ""),
        ("two", "new", ""),
        ("acme", "registered", ""),
        ("globex", "registered", "four calls it four"),
    ]


async def test_an_org_that_needs_a_login_is_told_as_such(
    app: App, importing: OrgImport, acme: SandboxOrg, caller: Caller
) -> None:
    acme.expire_access_tokens()
    acme.refresh_token = "5AepOther"
    await app.registry.check("acme")

    (planned,) = await importing.plan([candidate("x", exact=False, org_id=OrgId(acme.org_id), username=acme.username)])

    assert planned.note == "needs a login: orgserver update-org acme --auth web"


async def test_the_same_alias_or_token_twice_is_refused_at_both_places(importing: OrgImport) -> None:
    planned = await importing.plan(
        [
            candidate("a"),
            candidate("a"),
            candidate("b", token=Secret("5A")),
            candidate("c", token=Secret("5A")),
            candidate("d"),
        ]
    )

    assert [(each.fate, each.note) for each in planned] == [
        (Fate.REFUSED, "its alias is also that of a"),
        (Fate.REFUSED, "its alias is also that of a"),
        (Fate.REFUSED, "its refresh token is also that of c"),
        (Fate.REFUSED, "its refresh token is also that of b"),
        (Fate.NEW, ""),
    ]


async def test_a_few_are_proven_at_once_and_no_failure_stops_the_others(
    app: App, importing: OrgImport, acme: SandboxOrg, caller: Caller
) -> None:
    running = most = 0
    full = asyncio.Event()

    async def prepare(alias: Alias) -> Registration:
        nonlocal running, most
        running += 1
        most = max(most, running)
        if running == AT_ONCE:
            full.set()
        await full.wait()
        running -= 1
        if alias == "a1":
            raise RuntimeError("CANARY")
        if alias == "a2":
            raise ConfigError("it is not to be had", hint="leave it")
        given = Registration(
            alias, acme.client_id, None, "https://login.salesforce.com", "the test", refresh_token=Secret(f"5A{alias}")
        )
        return replace(given, verify=False)

    heard: list[str] = []
    planned = await importing.plan([candidate(f"a{number}", prepare) for number in range(AT_ONCE + 5)])

    async with asyncio.timeout(30):
        done = await importing.carry_out(caller, planned, lambda each: heard.append(each.planned.alias))

    assert most == AT_ONCE
    assert (
        sorted(heard)
        == sorted(each.planned.alias for each in done)
        == sorted(f"a{number}" for number in range(AT_ONCE + 5))
    )
    assert [str(each.error) for each in done if each.error] == [
        "something unforeseen went wrong (RuntimeError)",
        "it is not to be had",
    ]
    assert not await app.access.changed()  # the catalog was read again after the last
    assert len(await app.registry.all()) == 2 + AT_ONCE + 3
