"""API budgets and hours: what agents may use up in a day, when they may work, and until when they are refused."""

import asyncio
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest

from orgserver.app import App
from orgserver.model.access.hours import DAYS, Hours
from orgserver.model.access.policies import Policy
from orgserver.model.access.policy_edits import PolicyEdit
from orgserver.model.access.principals import Principal
from orgserver.model.audit import AuditEntry, EntryFilter
from orgserver.model.bulk import BulkResult
from orgserver.model.errors import CallError
from orgserver.model.names import CONTACT, SObjectName
from orgserver.model.orgs import Caller
from orgserver.sandbox.org import SandboxOrg
from orgserver.sandbox.state import schema
from orgserver.services.bulk.request import BulkArguments
from orgserver.services.calls.plan import Call
from orgserver.services.people.requests import GrantChanges, PrincipalChanges, read_grants
from orgserver.store.transaction import to_datetime
from tests import operations
from tests.conftest import Clock, OpenApp
from tests.services.calls.test_policies import registration

READ = "salesforce_get_contact"


@pytest.fixture
def contact(acme: SandboxOrg) -> str:
    return acme.records.add(schema.load("Contact"), {"LastName": "Lovelace"})


async def call(app: App, caller: Caller, record_id: str, alias: str = "acme") -> None:
    await operations.read(app, caller, READ, alias, CONTACT, record_id, ["LastName"])


async def refusal(app: App, caller: Caller, record_id: str, alias: str = "acme") -> CallError:
    with pytest.raises(CallError) as refused:
        await call(app, caller, record_id, alias)
    return refused.value


async def entries(app: App, **criteria: Any) -> list[AuditEntry]:
    return [entry async for entry in app.audit_log.entries(EntryFilter(**criteria))]


async def add(app: App, caller: Caller, name: str, grant: str = "*:read,write", limits: Policy | None = None) -> Caller:
    """A principal, as its client calls."""
    changes = PrincipalChanges(
        grants=GrantChanges(read_grants([grant])), limits=PolicyEdit.replacing(limits or Policy())
    )
    await app.people.principals.add(caller, name, changes)
    return replace(caller, principal=Principal(name))


async def budget(app: App, caller: Caller, calls: int | None, alias: str = "acme") -> None:
    await app.registry.update(caller, alias, policy={"api_budget": calls})


def used(app: App, alias: str = "acme") -> Any:
    async def read() -> dict[str, int]:
        return await app.registry.calls_today(await app.registry.one(alias))

    return read()


# -- budgets


async def test_calls_are_refused_when_the_budget_of_the_day_is_used_up_and_go_on_at_midnight_utc(
    app: App, caller: Caller, acme: SandboxOrg, contact: str, clock: Clock
) -> None:
    now = to_datetime(clock())
    midnight = now.replace(hour=0, minute=0, second=0, microsecond=0) + timedelta(days=1)
    clock.advance((midnight - now).total_seconds() - 60)
    await budget(app, caller, 3)
    for _ in range(3):
        await call(app, caller, contact)
    acme.requests.clear()

    refused = await refusal(app, caller, contact)

    assert (refused.code, refused.category, refused.outcome) == ("API_BUDGET_USED", "rate_limited", "denied")
    assert refused.retryable is False
    berlin = midnight.astimezone(Hours.read("Mon 08:00-09:00 Europe/Berlin")._zone)  # the zone of the org's user
    assert refused.hint == f"they are counted anew from {midnight:%Y-%m-%dT%H:%MZ} ({berlin:%a %H:%M} Europe/Berlin)"
    assert acme.requests == []
    last = (await entries(app, tool=READ))[-1]
    assert (last.outcome.value, last.error_code, last.api_calls) == ("denied", "API_BUDGET_USED", 0)
    assert last.decision == "policy:api-budget"
    assert await used(app) == {"local:tester": 3}

    clock.advance(61)
    await call(app, caller, contact)

    assert await used(app) == {"local:tester": 1}


async def test_a_budget_is_of_the_org_whoever_calls_and_by_whatever_alias(
    app: App, caller: Caller, acme: SandboxOrg, contact: str, open_again: OpenApp
) -> None:
    await app.enrolment.add(caller, registration(acme, "twin", Policy()))
    await budget(app, caller, 4)
    ada, bob = await add(app, caller, "ada"), await add(app, caller, "bob")
    async with open_again() as other:
        await call(app, ada, contact)
        await call(other, bob, contact, "twin")
        await call(app, caller, contact)
        await call(other, ada, contact)
        every = [
            (each, who, alias) for each in (app, other) for who in (ada, bob, caller) for alias in ("acme", "twin")
        ]
        codes = [(await refusal(each, who, contact, alias)).code for each, who, alias in every]

    assert codes == ["API_BUDGET_USED"] * 12
    assert await used(app) == await used(app, "twin") == {"ada": 2, "bob": 1, "local:tester": 1}


async def test_a_principals_own_budget_counts_its_calls_in_each_org(
    app: App, caller: Caller, globex: SandboxOrg, contact: str
) -> None:
    elsewhere = globex.records.add(schema.load("Contact"), {"LastName": "Hopper"})
    ada, bob = await add(app, caller, "ada", limits=Policy(api_budget=2)), await add(app, caller, "bob")

    for _ in range(2):
        await call(app, ada, contact)
        await call(app, ada, elsewhere, "globex")
        await call(app, bob, contact)
    mine, theirs = await refusal(app, ada, contact), await refusal(app, ada, elsewhere, "globex")
    await call(app, bob, contact)

    assert (mine.code, mine.rule, theirs.code) == ("API_BUDGET_USED", "principal:api-budget", "API_BUDGET_USED")
    assert await used(app) == {"ada": 2}  # nothing limits bob's, so they are not counted


async def test_what_would_be_decided_knows_of_the_budget_and_uses_up_nothing(
    app: App, caller: Caller, contact: str
) -> None:
    await budget(app, caller, 1)
    executor, operation = app.services.executor, app.services.reading.read(contact, ["LastName"])

    before = await executor.authorization.judge(Call(caller, READ, "acme", CONTACT), operation, caller)
    await call(app, caller, contact)
    after = await executor.authorization.judge(Call(caller, READ, "acme", CONTACT), operation, caller)

    assert (before.allowed, after.allowed, after.rule) == (True, False, "policy:api-budget")
    assert after.error is not None
    assert after.error.code == "API_BUDGET_USED"
    assert await used(app) == {"local:tester": 1}


async def test_a_person_at_a_terminal_is_no_agent(app: App, caller: Caller, contact: str) -> None:
    await budget(app, caller, 0)
    person = replace(caller, transport="cli")

    await call(app, person, contact)

    assert (await refusal(app, caller, contact)).code == "API_BUDGET_USED"
    assert await used(app) == {}


async def test_what_is_under_way_may_go_beyond_the_budget_and_nothing_else(
    app: App, caller: Caller, acme: SandboxOrg, contact: str, open_again: OpenApp
) -> None:
    await budget(app, caller, 5)
    acme.fault("delay", path=".*/sobjects/Contact.*", seconds=0.3, times=50)
    async with open_again() as other:
        calls = [call(app if number % 2 else other, caller, contact) for number in range(8)]
        under_way = await asyncio.gather(*calls, return_exceptions=True)
        late = [(await refusal(each, caller, contact)).code for each in (app, other)]

    assert [error for error in under_way if error is not None] == []
    assert late == ["API_BUDGET_USED"] * 2
    assert await used(app) == {"local:tester": 8}


async def test_a_replay_costs_nothing_and_a_refused_key_is_free(app: App, caller: Caller, acme: SandboxOrg) -> None:
    await budget(app, caller, 1)
    values = {"LastName": "Lovelace"}

    async def create(key: str) -> str:
        made = await operations.create(app, caller, "t", "acme", CONTACT, values, idempotency_key=key)
        return made.id

    first = await create("one")
    again = await create("one")
    with pytest.raises(CallError, match="used up"):
        await create("two")
    await budget(app, caller, 2)
    other = await create("two")

    assert first == again != other
    assert await used(app) == {"local:tester": 2}


async def test_every_call_of_a_bulk_job_counts_and_the_job_goes_on(app: App, caller: Caller, acme: SandboxOrg) -> None:
    for number in range(250):
        acme.records.add(schema.load("Contact"), {"LastName": f"N{number}"})
    await app.registry.update(caller, "acme", policy={"api_budget": 1, "confirm_above": 1_000})
    arguments = BulkArguments(SObjectName("Contact"), "update", soql="SELECT Id FROM Contact", data={"Title": "x"})

    done: BulkResult = await operations.change(app, caller, "t", "acme", arguments)
    with pytest.raises(CallError, match="used up"):
        await operations.change(app, caller, "t", "acme", arguments)

    (entry,) = await entries(app, action="bulk", outcome="succeeded")
    assert done.counts.succeeded == done.counts.total >= 250
    assert entry.api_calls is not None and entry.api_calls > 1
    assert await used(app) == {"local:tester": entry.api_calls}


async def test_where_no_budget_is_set_nothing_is_asked_or_counted(
    app: App, caller: Caller, contact: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from orgserver.store.people import api_usage

    def fail(*_arguments: object) -> None:
        raise AssertionError

    monkeypatch.setattr(api_usage, "use_in", fail)
    monkeypatch.setattr(api_usage, "count_in", fail)

    await call(app, caller, contact)

    assert await used(app) == {}


# -- hours


def span(now: datetime, since: int, until: int) -> str:
    """Hours that begin and end so many hours from now, today (UTC)."""
    return f"{DAYS[now.weekday()]} {now.hour + since:02}:00-{now.hour + until:02}:00 UTC"


@pytest.fixture
def noon(clock: Clock) -> datetime:
    """The store's time is noon."""
    now = to_datetime(clock())
    clock.advance((now.replace(hour=12, minute=30, second=0) + timedelta(days=1) - now).total_seconds())
    return to_datetime(clock())


async def set_hours(app: App, caller: Caller, *texts: str) -> None:
    await app.registry.update(caller, "acme", policy={"hours": tuple(map(Hours.read, texts))})


async def test_outside_of_its_hours_an_org_is_closed_to_agents_and_says_when_it_opens(
    app: App, caller: Caller, acme: SandboxOrg, contact: str, clock: Clock, noon: datetime
) -> None:
    await set_hours(app, caller, span(noon, 2, 4))
    acme.requests.clear()

    refused = await refusal(app, caller, contact)
    await call(app, replace(caller, transport="cli"), contact)
    sent = len(acme.requests)
    clock.advance(2 * 3_600)
    await call(app, caller, contact)
    clock.advance(2 * 3_600)
    again = await refusal(app, caller, contact)

    assert (refused.code, refused.category, refused.outcome) == ("OUTSIDE_HOURS", "policy", "denied")
    assert refused.rule == "policy:hours"
    assert refused.hint == f"they may work {span(noon, 2, 4)}: next from {noon + timedelta(hours=2):%Y-%m-%dT%H:00Z}"
    assert f"next from {noon + timedelta(days=7, hours=2):%Y-%m-%dT%H:00Z}" in (again.hint or "")
    assert sent == 1
    assert [entry.error_code for entry in await entries(app, tool=READ, outcome="denied")] == ["OUTSIDE_HOURS"] * 2


async def test_a_principals_own_hours_close_every_org_to_it_alone(
    app: App, caller: Caller, contact: str, noon: datetime
) -> None:
    ada = await add(app, caller, "ada", limits=Policy(hours=(Hours.read(span(noon, 2, 4)),)))

    refused = await refusal(app, ada, contact)
    await call(app, caller, contact)

    assert (refused.code, refused.rule) == ("OUTSIDE_HOURS", "principal:hours")


async def test_hours_that_exclude_each_other_say_so(app: App, caller: Caller, contact: str, noon: datetime) -> None:
    await set_hours(app, caller, span(noon, 2, 3), span(noon, 4, 5))

    refused = await refusal(app, caller, contact)

    assert "at no time in the next two weeks" in (refused.hint or "")


async def test_a_bulk_job_that_runs_into_closing_time_goes_on_and_the_next_call_is_refused(
    app: App, caller: Caller, acme: SandboxOrg, contact: str, clock: Clock, noon: datetime
) -> None:
    for number in range(250):
        acme.records.add(schema.load("Contact"), {"LastName": f"N{number}"})
    await app.registry.update(caller, "acme", policy={"hours": (Hours.read(span(noon, 0, 1)),), "confirm_above": 1_000})
    arguments = BulkArguments(SObjectName("Contact"), "update", soql="SELECT Id FROM Contact", data={"Title": "x"})

    async def close(_done: float, _total: float | None, _text: str | None) -> None:
        clock.advance(1_800)

    done = await operations.change(app, replace(caller, progress=close), "t", "acme", arguments)
    refused = await refusal(app, caller, contact)

    assert done.counts.succeeded == done.counts.total
    assert refused.code == "OUTSIDE_HOURS"
