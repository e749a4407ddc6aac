"""Many orgs asked at once: side by side, each in its own time, and what one does never hides another."""

import asyncio
import json
import time
from typing import Any

import pytest

from orgserver.app import App
from orgserver.model.access.principals import Principal
from orgserver.model.audit import AuditEntry, EntryFilter
from orgserver.model.errors import InvalidArgument
from orgserver.model.names import alias
from orgserver.model.orgs import Caller, Scope
from orgserver.model.secret import Secret
from orgserver.sandbox.org import SandboxOrg
from orgserver.sandbox.state import schema
from orgserver.services.calls.plan import Call, Operation
from orgserver.services.executor import Executor
from orgserver.services.fleet.fan_out import Fleet
from orgserver.services.orgs.registration import Registration
from tests import operations

TOOL = "salesforce_query_orgs"
COUNT = "SELECT COUNT() FROM Contact"
IDS = "SELECT Id FROM Contact"


async def entries(app: App) -> list[AuditEntry]:
    return [entry async for entry in app.audit_log.entries(EntryFilter(tool=TOOL))]


def by_org(results: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    return {each["org"]: each for each in results}


async def test_more_orgs_than_one_call_may_ask_are_refused_before_any_is_asked(
    app: App, caller: Caller, acme: SandboxOrg, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("orgserver.services.fleet.fan_out.MAX_ORGS", 2)
    assert (await operations.query_orgs(app, caller, TOOL, ["*"], COUNT)).orgs == 2
    acme.requests.clear()
    monkeypatch.setattr("orgserver.services.fleet.fan_out.MAX_ORGS", 1)
    with pytest.raises(InvalidArgument, match="more than 1 orgs"):
        await operations.query_orgs(app, caller, TOOL, ["*"], COUNT)
    assert acme.requests == []


async def test_results_and_errors_stand_side_by_side_with_an_entry_each(
    app: App, caller: Caller, globex: SandboxOrg
) -> None:
    globex.fault("status", path=".*/query.*", status=400, body=json.dumps([{"errorCode": "NOPE", "message": "no"}]))
    found = await operations.query_orgs(app, caller, TOOL, ["acme", "globex", "nowhere", "acme"], IDS)

    assert (found.orgs, found.answered) == (3, 1)
    told = by_org(found.results)
    assert len(told["acme"]["records"]) == told["acme"]["total_size"] > 0
    assert (told["globex"]["error"]["code"], told["globex"]["error"]["outcome"]) == ("NOPE", "rejected")
    assert told["nowhere"]["error"]["code"] == "UNKNOWN_ORG"
    assert sorted((e.org, e.outcome.value) for e in await entries(app)) == [
        ("acme", "succeeded"),
        ("globex", "rejected"),
        ("nowhere", "denied"),
    ]


async def test_an_org_outside_the_scope_is_neither_asked_nor_told_from_none(
    open_again, app: App, caller: Caller, globex: SandboxOrg
) -> None:
    async with open_again(Scope(orgs=frozenset({alias("acme")}))) as scoped:
        every = await operations.query_orgs(scoped, caller, TOOL, ["*"], COUNT)
        named = await operations.query_orgs(scoped, caller, TOOL, ["globex", "nowhere"], COUNT)

    assert [each["org"] for each in every.results] == ["acme"]
    hidden, absent = (each["error"] for each in named.results)
    assert hidden == absent
    assert globex.requests == []


async def test_an_org_that_hangs_holds_the_answer_no_longer_than_its_limit(
    app: App, caller: Caller, acme: SandboxOrg
) -> None:
    acme.fault("hang", path=".*/query.*", seconds=30, times=9)
    fleet = Fleet(app.services.executor, app.services.queries, app.access, seconds=0.5)

    started = time.perf_counter()
    found = await fleet.query(Call(caller, TOOL), ["*"], COUNT)

    assert time.perf_counter() - started < 3
    told = by_org(found.results)
    assert told["acme"]["error"]["code"] == "TIMEOUT"
    assert "error" not in told["globex"]
    assert {(e.org, e.outcome.value) for e in await entries(app)} == {("acme", "unknown"), ("globex", "succeeded")}


class Counting(Executor):
    """Counts the calls that are under way at once."""

    def __init__(self, executor: Executor) -> None:
        self._executor = executor
        self.under_way = self.most = 0

    async def run(self, call: Call, operation: Operation[Any]) -> Any:
        self.under_way += 1
        self.most = max(self.most, self.under_way)
        try:
            await asyncio.sleep(0.01)
            return await self._executor.run(call, operation)
        finally:
            self.under_way -= 1


async def test_no_more_orgs_are_asked_at_once_than_allowed(app: App, caller: Caller) -> None:
    counting = Counting(app.services.executor)
    fleet = Fleet(counting, app.services.queries, app.access, at_once=3)
    await fleet.query(Call(caller, TOOL), ["acme", "globex", *(f"none-{number}" for number in range(8))], COUNT)

    assert counting.most == 3


async def test_counts_are_merged_and_each_orgs_part_is_told(app: App, caller: Caller) -> None:
    found = await operations.query_orgs(app, caller, TOOL, ["acme", "globex", "nowhere"], COUNT, merge=True)

    parts = [each["total_size"] for each in found.results if "total_size" in each]
    assert len(parts) == 2
    assert (found.total_size, found.merged, found.answered) == (sum(parts), [{"expr0": sum(parts)}], 2)


@pytest.mark.parametrize("soql", [COUNT, "SELECT Title, COUNT(Id) n FROM Contact GROUP BY Title"])
async def test_an_org_of_two_aliases_is_counted_once_and_both_are_named(
    app: App, caller: Caller, acme: SandboxOrg, soql: str
) -> None:
    credentials = acme.credentials()
    login = acme.logins.begin(acme.client_id, acme.logins.seeded.scope)
    second = Registration(
        alias=alias("acme_2"),
        client_id=credentials["client_id"],
        client_secret=Secret(credentials["client_secret"]),
        refresh_token=Secret(login.refresh_token or ""),
        login_url=credentials["login_url"],
        source="a test",
        trusted_hosts=tuple(credentials["trust_hosts"]),
    )
    await app.enrolment.add(caller, second)
    single = await operations.query_orgs(app, caller, TOOL, ["acme"], soql, merge=True)

    twice = await operations.query_orgs(app, caller, TOOL, ["acme", "acme_2"], soql, merge=True)

    assert (twice.merged, twice.total_size) == (single.merged, single.total_size)
    assert twice.warnings == ("acme and acme_2 are one org: it is counted once, as acme told",)
    assert [each["org"] for each in twice.results] == ["acme", "acme_2"]
    acme.fault("status", path=".*/query.*", status=400, body=json.dumps([{"errorCode": "NOPE", "message": "no"}]))
    rest = await operations.query_orgs(app, caller, TOOL, ["acme", "acme_2"], soql, merge=True)
    assert (rest.merged, rest.answered, rest.warnings) == (single.merged, 1, ())  # one of them answered


async def test_a_query_that_cannot_be_merged_asks_nobody_and_is_on_record(
    app: App, caller: Caller, acme: SandboxOrg
) -> None:
    with pytest.raises(InvalidArgument, match="returns records"):
        await operations.query_orgs(app, caller, TOOL, ["acme"], IDS, merge=True)

    assert acme.requests == []
    assert [e.outcome.value for e in await entries(app)] == ["denied"]


async def test_all_and_some_cannot_be_named_together(app: App, caller: Caller) -> None:
    with pytest.raises(InvalidArgument) as refused:
        await operations.query_orgs(app, caller, TOOL, ["*", "acme"], COUNT)

    assert refused.value.fields == ("orgs",)


async def test_progress_grows_with_each_org_that_is_done(app: App) -> None:
    told: list[tuple[float, float | None, str | None]] = []

    async def listen(*said: Any) -> None:
        told.append(said)

    caller = Caller(Principal("local:tester"), "stdio", progress=listen)
    await operations.query_orgs(app, caller, TOOL, ["acme", "globex"], COUNT)

    assert told == [(1, 2, "1 of 2 orgs have answered"), (2, 2, "2 of 2 orgs have answered")]


async def test_a_cancelled_call_stops_asking_and_every_question_has_its_outcome(
    app: App, caller: Caller, acme: SandboxOrg, globex: SandboxOrg
) -> None:
    for org in (acme, globex):
        org.fault("hang", path=".*/query.*", seconds=30, times=9)
    asking = asyncio.create_task(operations.query_orgs(app, caller, TOOL, ["*"], COUNT))
    while not (acme.requests and globex.requests):
        await asyncio.sleep(0.01)
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking
    await app.services.executor.close()

    assert {(e.org, e.outcome.value, e.error_code) for e in await entries(app)} == {
        ("acme", "unknown", "CANCELLED"),
        ("globex", "unknown", "CANCELLED"),
    }


async def test_a_result_ends_at_its_size_with_records_of_every_org_and_says_so(
    app: App, caller: Caller, acme: SandboxOrg, globex: SandboxOrg
) -> None:
    for org in (acme, globex):
        for number in range(300):
            org.records.create(schema.load("Contact"), {"LastName": f"{number}" + "x" * 70, "Description": "y" * 150})
    found = await operations.query_orgs(
        app, caller, TOOL, ["*"], "SELECT Id, LastName, Description FROM Contact", limit=2_000
    )

    first, second = found.results
    assert len(json.dumps(found.results).encode()) <= 60 * 1024
    assert abs(len(first["records"]) - len(second["records"])) <= 1
    for each in (first, second):
        assert 0 < len(each["records"]) < 304
        assert each["has_more"] is True
        assert "next_cursor" not in each  # it would pass over what was left out
    assert any("60 KB" in warning for warning in found.warnings)
