"""Many records changed by one call: every record's fate is told and on record, whatever comes between."""

import asyncio
import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest

from orgserver.app import App
from orgserver.model.access.policies import Policy, read_object_rule
from orgserver.model.access.principals import Principal
from orgserver.model.audit import AuditEntry, EntryFilter
from orgserver.model.bulk import BulkResult
from orgserver.model.errors import (
    CallError,
    Forbidden,
    InvalidArgument,
    NotSent,
    PolicyDenied,
    Rejected,
    Unanswered,
    UnknownOrg,
)
from orgserver.model.names import CONTACT
from orgserver.model.orgs import Caller, Scope
from orgserver.sandbox.org import SandboxOrg
from orgserver.sandbox.state import schema
from orgserver.services.bulk import recovery_hint
from orgserver.services.bulk.request import BulkArguments
from orgserver.services.bulk.run import Pace
from tests import operations
from tests.people import add_principal, change_principal

TOOL = "salesforce_change_records"
GONE = "003000000000000AAA"
QUICK = Pace(sheet_rows=300, first_pause=0.02, longest_pause=0.05, still_seconds=1.0, request_seconds=5.0)
HOSTILE = [
    '=HYPERLINK("http://x")',
    'say "hi", you',
    "two\nlines",
    "three\r\nlines",
    "\U0001f4a5 emoji",
    "a,b;c\td",
    "'",
    '"',
]


@pytest.fixture
def told() -> list[tuple[float, float | None, str | None]]:
    return []


@pytest.fixture
def person(told: list[Any]) -> Caller:
    """Somebody at a terminal, who has said yes by typing the command."""

    async def listen(*said: Any) -> None:
        told.append(said)

    return Caller(Principal("local:tester"), "cli", progress=listen)


@pytest.fixture
def quick(app: App) -> App:
    app.services.bulk.pace = QUICK
    return app


async def change(app: App, caller: Caller, action: Any, records: Any = None, **more: Any) -> BulkResult:
    return await operations.change(app, caller, TOOL, "acme", BulkArguments(CONTACT, action, records, **more))


async def entries(app: App) -> list[AuditEntry]:
    return [entry async for entry in app.audit_log.entries(EntryFilter(tool=TOOL))]


def contacts(org: SandboxOrg) -> dict[str, dict[str, Any]]:
    return org.records.tables["Contact"]


def new(count: int, **more: Any) -> list[dict[str, Any]]:
    return [{"LastName": f"Number {number}", **more} for number in range(count)]


def seeded(org: SandboxOrg, count: int) -> list[str]:
    return [org.records.create(schema.load("Contact"), each) for each in new(count)]


# -- up to 200


async def test_up_to_200_records_travel_in_one_request_and_each_has_its_verdict(
    app: App, caller: Caller, acme: SandboxOrg
) -> None:
    made = await change(app, caller, "create", [{"LastName": "Byron"}, {"FirstName": "Nameless"}, {"LastName": "King"}])

    assert (made.counts.succeeded, made.counts.failed, made.counts.unknown) == (2, 1, 0)
    assert made.results[0]["index"] == 1
    assert made.results[0]["error"]["code"] == "REQUIRED_FIELD_MISSING"
    assert [each["index"] for each in made.results[1:]] == [0, 2]
    assert contacts(acme)[made.results[1]["id"]]["LastName"] == "Byron"
    assert [seen.method for seen in acme.requests] == ["POST"]
    (entry,) = await entries(app)
    assert (entry.action, entry.outcome.value, entry.error_code, entry.row_count) == (
        "bulk",
        "succeeded",
        "SOME_FAILED",
        2,
    )
    assert entry.id == made.audit_id
    assert await app.audit_log.counts(entry) == {"succeeded": 2, "failed": 1, "unknown": 0, "parts": 1}


async def test_records_are_updated_upserted_and_deleted_by_what_they_are_known_by(
    app: App, caller: Caller, acme: SandboxOrg
) -> None:
    first, second = seeded(acme, 2)

    await change(app, caller, "update", [{"id": first[:15], "Email": "a@b.co"}, {"Id": second, "Email": None}])
    assert contacts(acme)[first]["Email"] == "a@b.co"
    await change(app, caller, "upsert", [{"Email": "a@b.co", "LastName": "Known"}], external_id_field="Email")
    assert contacts(acme)[first]["LastName"] == "Known"
    gone = await change(app, caller, "delete", [{"Id": first}, {"Id": "003000000000000AAA"}])

    assert first not in contacts(acme)
    assert (gone.counts.succeeded, gone.counts.failed) == (1, 1)
    assert gone.results[0]["id"] == "003000000000000AAA"


async def test_all_or_none_leaves_everything_as_it_was(app: App, caller: Caller, acme: SandboxOrg) -> None:
    before = len(contacts(acme))
    made = await change(app, caller, "create", [{"LastName": "A"}, {"FirstName": "B"}], all_or_none=True)

    assert (made.counts.succeeded, made.counts.failed) == (0, 2)
    assert {each["error"]["code"] for each in made.results} == {
        "REQUIRED_FIELD_MISSING",
        "ALL_OR_NONE_OPERATION_ROLLED_BACK",
    }
    assert len(contacts(acme)) == before
    assert (await entries(app))[0].outcome.value == "rejected"


async def test_a_lost_answer_is_unknown_and_the_hint_has_the_query(app: App, caller: Caller, acme: SandboxOrg) -> None:
    acme.fault("close", path=".*/composite/sobjects", work=True)
    with pytest.raises(Unanswered) as lost:
        await change(app, caller, "create", new(3))

    assert "SELECT Id, CreatedDate FROM Contact WHERE CreatedDate >= " in (lost.value.hint or "")
    assert lost.value.retryable is False
    assert (await entries(app))[0].outcome.value == "unknown"
    assert len([seen for seen in acme.requests if "composite" in seen.path]) == 1


# -- more than 200


async def test_more_than_200_travel_in_bulk_jobs_and_come_back_to_their_rows(
    quick: App, person: Caller, acme: SandboxOrg, told: list[Any]
) -> None:
    records = [*new(700, Description="same"), {"FirstName": "Nameless"}, *[{"LastName": "Twin"}] * 3]
    made = await change(quick, person, "create", records)

    assert (made.counts.succeeded, made.counts.failed, made.counts.unknown) == (703, 1, 0)
    assert made.results[0] == {
        "index": 700,
        "error": {
            "code": "REQUIRED_FIELD_MISSING",
            "outcome": "rejected",
            "message": made.results[0]["error"]["message"],
            "fields": ["LastName"],
        },
    }
    for each in made.results[1:]:
        assert contacts(acme)[each["id"]]["LastName"] == records[each["index"]]["LastName"]
    assert len({each["id"] for each in made.results[1:]}) == 49
    assert told == sorted(told)
    assert told[-1][:2] == (704, 704)
    (entry,) = await entries(quick)
    assert await quick.audit_log.counts(entry) == {"succeeded": 703, "failed": 1, "unknown": 0, "parts": 3}


async def test_the_other_results_follow_by_cursor_each_once_and_failures_first(
    quick: App, person: Caller, acme: SandboxOrg
) -> None:
    records: list[dict[str, Any]] = [
        {"LastName": f"Number {number}"} if number % 3 else {"FirstName": "Nameless"} for number in range(900)
    ]
    page = await change(quick, person, "create", records)
    found, cursor = list(page.results), page.next_cursor
    while cursor is not None:
        acme.requests.clear()
        page = await quick.services.bulk.page(person, "acme", BulkArguments(CONTACT, "create"), cursor)
        assert acme.requests == []
        assert page.counts.total == 900
        found, cursor = found + page.results, page.next_cursor

    assert [each["index"] for each in found] == [
        *(number for number in range(900) if number % 3 == 0),
        *(number for number in range(900) if number % 3),
    ]
    assert all(("error" in each) == (each["index"] % 3 == 0) for each in found)
    assert all(contacts(acme)[each["id"]]["LastName"] == f"Number {each['index']}" for each in found[300:])


async def test_a_cursor_belongs_to_its_principal_org_and_change(quick: App, caller: Caller, person: Caller) -> None:
    made = await change(quick, caller, "create", new(60))
    assert made.next_cursor
    stranger = replace(person, principal=Principal("local:other"))
    for who, org, action in ((stranger, "acme", "create"), (caller, "globex", "create"), (caller, "acme", "delete")):
        with pytest.raises(InvalidArgument):
            await quick.services.bulk.page(who, org, BulkArguments(CONTACT, action), made.next_cursor)  # type: ignore[arg-type]


async def test_the_other_results_are_for_whoever_may_still_make_the_change(quick: App) -> None:
    ada = await add_principal(quick, "ada", "acme:read,write")
    made = await change(quick, ada, "create", new(60))
    assert made.next_cursor
    same = BulkArguments(CONTACT, "create")
    assert len((await quick.services.bulk.page(ada, "acme", same, made.next_cursor)).results) == 10

    for grants, limits, refusal in (
        ("acme:read,write", Policy(read_only=True), PolicyDenied),
        ("acme:read,write", Policy(deny_objects=(read_object_rule("Contact:create"),)), PolicyDenied),
        ("acme:read", Policy(), Forbidden),
    ):
        await change_principal(quick, "ada", grants, limits=limits)
        with pytest.raises(refusal):
            await quick.services.bulk.page(ada, "acme", same, made.next_cursor)
    await change_principal(quick, "ada", enabled=False)
    with pytest.raises(UnknownOrg):
        await quick.services.bulk.page(ada, "acme", same, made.next_cursor)


async def test_what_is_given_beside_a_cursor_is_what_the_change_was_given(quick: App, caller: Caller) -> None:
    records = new(60)
    made = await change(quick, caller, "create", records)
    assert made.next_cursor
    same, other = BulkArguments(CONTACT, "create", records), BulkArguments(CONTACT, "create", new(59))
    others = (other, BulkArguments(CONTACT, "create", soql="SELECT Id FROM Contact"), replace(same, preview=True))

    page = await quick.services.bulk.page(caller, "acme", same, made.next_cursor)

    assert [each["index"] for each in page.results] == list(range(50, 60))
    for wrong in others:
        with pytest.raises(InvalidArgument, match="another call"):
            await quick.services.bulk.page(caller, "acme", wrong, made.next_cursor)


async def test_hostile_texts_survive_a_sheet_both_ways(quick: App, person: Caller, acme: SandboxOrg) -> None:
    records = [{"LastName": f"{number}", "Description": HOSTILE[number % len(HOSTILE)]} for number in range(240)]
    made = await change(quick, person, "create", records)

    assert made.counts.succeeded == 240
    for each in made.results:
        assert contacts(acme)[each["id"]]["Description"] == records[each["index"]]["Description"]


async def test_null_and_an_empty_text_empty_a_field_and_what_is_left_out_stays(
    quick: App, person: Caller, acme: SandboxOrg
) -> None:
    ids = [
        acme.records.create(schema.load("Contact"), {"LastName": "Old", "Email": "a@b.co", "Phone": "1"})
        for _ in range(201)
    ]
    records = [
        {"Id": ids[0], "Email": None},
        {"Id": ids[1], "Email": ""},
        *({"Id": each, "Phone": "2"} for each in ids[2:]),
    ]
    done = await change(quick, person, "update", records)

    assert done.counts.succeeded == 201
    assert [contacts(acme)[each].get("Email") for each in ids[:3]] == [None, None, "a@b.co"]
    assert [contacts(acme)[each]["Phone"] for each in ids[:3]] == ["1", "1", "2"]


async def test_all_that_a_query_finds_is_changed_and_then_deleted(
    quick: App, person: Caller, acme: SandboxOrg, told: list[Any]
) -> None:
    seeded(acme, 2_500)
    soql = "SELECT Id FROM Contact WHERE LastName LIKE 'Number%'"
    done = await change(quick, person, "update", soql=soql, data={"Department": "Moved"})

    assert (done.counts.succeeded, done.counts.total) == (2_500, 2_500)
    assert sum(each.get("Department") == "Moved" for each in contacts(acme).values()) == 2_500
    assert any("records found" in said[2] for said in told)
    assert told == sorted(told)
    gone = await change(quick, person, "delete", soql=soql)
    assert gone.counts.succeeded == 2_500
    assert not any(each["LastName"].startswith("Number") for each in contacts(acme).values())
    first = (await entries(quick))[0]
    assert (first.soql, first.fields) == ("SELECT Id FROM Contact WHERE LastName LIKE ?", ("Department", "Id"))
    assert len(first.record_ids) == 200


async def test_a_query_that_finds_few_or_none_needs_no_job(app: App, caller: Caller, acme: SandboxOrg) -> None:
    ids = seeded(acme, 3)
    few = await change(
        app, caller, "update", soql="SELECT Id FROM Contact WHERE LastName LIKE 'Number%'", data={"Phone": "7"}
    )
    none = await change(app, caller, "delete", soql="SELECT Id FROM Contact WHERE LastName = 'Nobody'")

    assert (few.counts.succeeded, none.counts.total) == (3, 0)
    assert {contacts(acme)[each]["Phone"] for each in ids} == {"7"}
    assert not any("/jobs/" in seen.path for seen in acme.requests)


async def test_every_touched_record_finds_the_entry(quick: App, person: Caller, acme: SandboxOrg) -> None:
    ids = seeded(acme, 650)
    done = await change(quick, person, "update", [{"Id": each, "Phone": "5"} for each in ids])

    for each in (ids[0], ids[400], ids[-1]):
        found = [entry async for entry in quick.audit_log.entries(EntryFilter(record_id=each))]
        assert [entry.id for entry in found] == [done.audit_id]
    assert (await quick.audit_log.verify()).problem is None


# -- what comes between


async def test_a_person_is_asked_about_more_than_200(app: App, caller: Caller, acme: SandboxOrg) -> None:
    seeded(acme, 201)
    with pytest.raises(PolicyDenied) as refused:
        await change(app, caller, "create", new(201))
    assert refused.value.code == "CONFIRMATION_REQUIRED"
    with pytest.raises(PolicyDenied):
        await change(app, caller, "delete", soql="SELECT Id FROM Contact")

    assert not any(seen.method != "GET" for seen in acme.requests)


async def test_a_cancelled_call_aborts_its_job_and_tells_what_was_done(
    quick: App, person: Caller, acme: SandboxOrg
) -> None:
    ids = seeded(acme, 900)
    acme.bulk_rows_per_second = 400
    changing = asyncio.create_task(change(quick, person, "update", [{"Id": each, "Phone": "9"} for each in ids]))
    while not any("/jobs/ingest/" in seen.path and seen.method == "GET" for seen in acme.requests):
        await asyncio.sleep(0.01)
    await asyncio.sleep(0.2)
    changing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await changing
    await quick.services.executor.close()

    changed = sum(contacts(acme)[each].get("Phone") == "9" for each in ids)
    (entry,) = await entries(quick)
    counts = await quick.audit_log.counts(entry)
    assert 0 < changed < 900
    assert (counts["succeeded"], counts["failed"], counts["unknown"]) == (changed, 900 - changed, 0)
    assert (entry.outcome.value, entry.error_code) == ("succeeded", "CANCELLED")
    assert [job.state for job in acme.jobs.by_id.values()][-1] == "Aborted"


async def test_a_lost_answer_to_the_start_of_a_job_is_looked_up(quick: App, person: Caller, acme: SandboxOrg) -> None:
    acme.fault("close", path=".*/jobs/ingest/[^/]+", method="PATCH", work=True)
    acme.fault("close", path=".*/jobs/ingest/[^/]+", method="GET", times=2)
    made = await change(quick, person, "create", new(250))

    assert made.counts.succeeded == 250
    assert sum(each["LastName"].startswith("Number") for each in contacts(acme).values()) == 250


async def test_a_job_that_cannot_be_made_changes_nothing_and_says_so(
    quick: App, person: Caller, acme: SandboxOrg
) -> None:
    acme.fault("close", path=".*/jobs/ingest.*", method="PUT", work=True)
    with pytest.raises(NotSent):
        await change(quick, person, "create", new(250))
    body = json.dumps([{"errorCode": "FEATURENOTENABLED", "message": "no bulk"}])
    acme.fault("status", path=".*/jobs/ingest", status=403, body=body)
    with pytest.raises(Rejected) as refused:
        await change(quick, person, "create", new(250))

    assert refused.value.code == "FEATURENOTENABLED"
    assert not any(each["LastName"].startswith("Number") for each in contacts(acme).values())
    assert [entry.outcome.value for entry in await entries(quick)] == ["not_sent", "rejected"]


async def test_a_failed_job_fails_its_rows_with_salesforces_reason(quick: App, person: Caller) -> None:
    made = await change(quick, person, "create", new(250, Nothing__c="x"))

    assert (made.counts.failed, made.counts.succeeded) == (250, 0)
    assert "Nothing__c" in made.results[0]["error"]["message"]


async def test_a_job_that_stands_still_is_stopped(quick: App, person: Caller, acme: SandboxOrg) -> None:
    acme.bulk_rows_per_second = 0
    made = await change(quick, person, "create", new(250))

    assert made.counts.failed == 250
    assert made.error_code == "JOB_STALLED"


async def test_a_long_change_renews_its_deadline_and_is_not_taken_for_dead(
    open_again, app: App, person: Caller, acme: SandboxOrg
) -> None:
    acme.bulk_rows_per_second = 150
    async with open_again(abandoned_seconds=0.2, heartbeat_seconds=0.1, call_timeout=1) as other:
        other.services.bulk.pace = replace(QUICK, request_seconds=0.5)
        made = await change(other, person, "create", new(450))

    assert made.counts.succeeded == 450
    assert (await entries(app))[-1].outcome.value == "succeeded"


async def test_an_entry_that_others_took_for_dead_takes_no_more_results(
    quick: App, person: Caller, acme: SandboxOrg
) -> None:
    acme.bulk_rows_per_second = 200
    changing = asyncio.create_task(change(quick, person, "create", new(400)))
    while not any("/jobs/ingest/" in seen.path and seen.method == "GET" for seen in acme.requests):
        await asyncio.sleep(0.01)
    log = quick.store.audit
    log._heartbeat.abandoned_us = -3_600_000_000  # an hour ahead of every deadline
    assert await log.adopt() == 1
    with pytest.raises(Unanswered) as lost:
        await changing

    assert lost.value.code == "OUTCOME_NOT_RECORDED"
    assert [job.state for job in acme.jobs.by_id.values()] == ["Aborted"]
    (entry,) = await entries(quick)
    assert (entry.outcome.value, entry.error_code) == ("unknown", "ABANDONED")
    assert (await quick.audit_log.verify()).problem is None


# -- repetition, preview, rights


async def test_the_same_key_answers_from_memory(quick: App, caller: Caller, acme: SandboxOrg) -> None:
    first = await change(quick, caller, "create", new(3), idempotency_key="k")
    acme.requests.clear()
    again = await change(quick, caller, "create", new(3), idempotency_key="k")

    assert again == first
    assert acme.requests == []
    with pytest.raises(CallError) as clash:
        await change(quick, caller, "create", new(4), idempotency_key="k")
    assert clash.value.category == "conflict"


async def test_a_preview_shows_the_change_field_by_field_and_sends_only_reads(
    app: App, caller: Caller, acme: SandboxOrg
) -> None:
    ids = seeded(acme, 2)
    shown = await change(app, caller, "update", [{"Id": each, "LastName": "New"} for each in ids], preview=True)
    found = await change(
        app,
        caller,
        "update",
        soql="SELECT Id FROM Contact WHERE LastName = 'Number 1'",
        data={"LastName": "New"},
        preview=True,
    )

    assert shown.results == [
        {"index": place, "id": each, "changes": [{"field": "LastName", "from": f"Number {place}", "to": "New"}]}
        for place, each in enumerate(ids)
    ]
    assert [each["id"] for each in found.results] == [ids[1]]
    assert {seen.method for seen in acme.requests} == {"GET"}
    assert {entry.action for entry in await entries(app)} == {"preview"}


async def test_a_preview_puts_the_ids_that_it_read_on_record(app: App, caller: Caller, acme: SandboxOrg) -> None:
    ids = seeded(acme, 2)
    soql = "SELECT Id FROM Contact WHERE LastName LIKE 'Number %'"
    await change(app, caller, "update", soql=soql, data={"LastName": "New"}, preview=True)

    (entry,) = await entries(app)
    assert sorted(entry.record_ids) == sorted(ids)


async def test_a_field_that_is_not_there_is_named_with_its_record_before_anybody_is_asked(
    app: App, caller: Caller, acme: SandboxOrg
) -> None:
    await operations.describe(app, caller, "salesforce_describe_object", "acme", CONTACT)
    agent = replace(caller, transport="stdio")
    acme.requests.clear()
    with pytest.raises(InvalidArgument, match="no field 'Mail' on Contact; did you mean Email") as wrong:
        await change(app, agent, "create", [*new(200), {"LastName": "X", "Mail": "a@b.co"}])
    with pytest.raises(InvalidArgument, match="no field 'Key__c' on Contact") as no_key:
        await change(app, agent, "upsert", [{"LastName": "X", "Key__c": "1"}], external_id_field="Key__c")

    assert (wrong.value.fields, wrong.value.code) == (("records[200].Mail",), "INVALID_FIELD")
    assert no_key.value.fields == ("external_id_field",)
    assert {seen.path.rpartition("/")[2] for seen in acme.requests} == {"describe"}  # it was made sure of


async def test_a_preview_of_some_says_of_how_many(app: App, caller: Caller, acme: SandboxOrg) -> None:
    seeded(acme, 51)
    some = await change(app, caller, "create", new(60), preview=True)
    soql = "SELECT Id FROM Contact WHERE LastName LIKE 'Number %'"
    found = await change(app, caller, "delete", soql=soql, preview=True)
    whole = await change(app, caller, "create", new(2), preview=True)

    assert (len(some.results), some.warnings) == (50, ("this shows the first 50 of 60 records",))
    assert (len(found.results), found.warnings) == (50, ("this shows the first 50 of 51 records",))
    assert whole.warnings == ()


@pytest.mark.parametrize("action", ["update", "delete"])
async def test_a_preview_says_which_records_are_not_there(
    app: App, caller: Caller, acme: SandboxOrg, action: str
) -> None:
    (there,) = seeded(acme, 1)
    values = {"LastName": "New"} if action == "update" else {}
    shown = await change(app, caller, action, [{"Id": each} | values for each in (GONE, there)], preview=True)

    gone, kept = shown.results
    assert (gone["id"], gone["error"]["code"]) == (GONE, "NOT_FOUND")
    assert "changes" not in gone
    assert kept["id"] == there
    assert "error" not in kept


@pytest.mark.parametrize("preview", [False, True])
@pytest.mark.parametrize("soql", ["SELECT LastName FROM Contact", "SELECT COUNT() FROM Contact"])
async def test_a_query_without_ids_is_refused_before_anybody_is_asked(
    app: App, caller: Caller, acme: SandboxOrg, soql: str, preview: bool
) -> None:
    seeded(acme, 201)
    agent = replace(caller, transport="stdio")
    with pytest.raises(InvalidArgument, match="must select Id"):
        await change(app, agent, "update", soql=soql, data={"LastName": "New"}, preview=preview)

    assert {seen.method for seen in acme.requests} == {"GET"}


async def test_what_is_unknown_comes_with_a_query_that_reaches_back_to_the_beginning(
    quick: App, person: Caller, acme: SandboxOrg
) -> None:
    before = datetime.now(UTC)
    acme.fault("status", path=".*successfulResults.*", status=500, times=50)
    made = await change(quick, person, "create", new(201))

    (told,) = [warning for warning in made.warnings if "SELECT" in warning]
    assert made.counts.unknown == 201
    since = datetime.fromisoformat(told.partition("CreatedDate >= ")[2].split(" ")[0])
    assert since <= before


def test_a_change_is_looked_for_from_its_beginning_by_the_clock_of_the_org() -> None:
    moment = datetime.now(UTC) - timedelta(minutes=30)
    entry_id = f"{int(moment.timestamp() * 1_000):012x}-7000-8000-000000000000"
    entry_id = f"{entry_id[:8]}-{entry_id[8:]}"
    ahead = datetime.now(UTC) + timedelta(hours=1)
    connection: Any = SimpleNamespace(entry_id=entry_id, trace=SimpleNamespace(server_date=ahead))

    assert abs(recovery_hint.started_at(connection) - moment - timedelta(hours=1)) < timedelta(seconds=2)


async def test_a_read_only_server_changes_nothing(open_again, app: App, caller: Caller, acme: SandboxOrg) -> None:
    async with open_again(Scope(read_only=True)) as other:
        with pytest.raises(CallError) as refused:
            await change(other, caller, "create", new(2))

    assert refused.value.category == "forbidden"
    assert acme.requests == []


async def test_an_org_that_keeps_values_says_that_this_cannot_be_undone(app: App, caller: Caller) -> None:
    await app.registry.update(caller, "acme", policy={"keep_values": True})
    made = await change(app, caller, "create", new(1))

    assert any("undo" in warning for warning in made.warnings)


@pytest.mark.parametrize(
    ("action", "given", "field"),
    [
        ("create", {}, "records"),
        ("create", {"records": [], "soql": "SELECT Id FROM Contact"}, "records"),
        ("create", {"records": []}, "records"),
        ("create", {"soql": "SELECT Id FROM Contact"}, "soql"),
        ("create", {"records": [{"LastName": "A"}], "external_id_field": "Email"}, "external_id_field"),
        ("create", {"records": [{"LastName": "A"}, {"Id": "x"}]}, "records[1].Id"),
        ("create", {"records": [{"LastName": "A", "lastname": "B"}]}, "records[0].LastName"),
        ("create", {"records": [{"LastName": "\ud800"}]}, "records[0].LastName"),
        ("create", {"records": [{"LastName": 5}]}, "records[0].LastName"),
        ("create", {"records": [{"LastName": "#N/A"}] * 201}, "records[0].LastName"),
        ("create", {"records": [{"LastName": "A"}] * 201, "all_or_none": True}, "all_or_none"),
        ("create", {"records": [{"LastName": "A"}], "idempotency_key": ""}, "idempotency_key"),
        ("update", {"records": [{"LastName": "A"}]}, "records[0].Id"),
        ("update", {"records": [{"Id": "003000000000000AAA"}]}, "records[0]"),
        ("update", {"records": [{"Id": "001000000000000AAA", "LastName": "A"}]}, "records[0].Id"),
        ("update", {"records": [{"Id": "003000000000000AAA", "LastName": "A"}, {"Id": "003000000000000", "LastName": "B"}]}, "records[1].Id"),
        ("update", {"records": [{"Id": "003000000000000AAA", "LastName": "A"}], "data": {"LastName": "B"}}, "data"),
        ("update", {"soql": "SELECT Id FROM Contact"}, "data"),
        ("update", {"soql": "SELECT Id FROM Account", "data": {"LastName": "A"}}, "soql"),
        ("update", {"soql": "SELECT Name FROM Contact", "data": {"LastName": "A"}}, "soql"),
        ("update", {"soql": "SELECT Id FROM Contact FOR VIEW", "data": {"LastName": "A"}}, "soql"),
        ("delete", {"soql": "SELECT Id FROM Contact", "data": {"LastName": "A"}}, "data"),
        ("delete", {"records": [{"Id": "003000000000000AAA", "LastName": "A"}]}, "records[0]"),
        ("upsert", {"records": [{"LastName": "A"}]}, "external_id_field"),
        ("upsert", {"records": [{"LastName": "A"}], "external_id_field": "Email"}, "records[0].Email"),
        ("upsert", {"records": [{"Email": "a@b.co"}, {"Email": "A@b.co "}], "external_id_field": "Email"}, "records[1].Email"),
    ],
)  # fmt: skip
async def test_wrong_arguments_are_named_and_nothing_is_changed(
    app: App, person: Caller, acme: SandboxOrg, action: str, given: dict[str, Any], field: str
) -> None:
    with pytest.raises(InvalidArgument) as refused:
        await change(app, person, action, **given)

    assert refused.value.fields[0] == field
    assert not any(seen.method != "GET" for seen in acme.requests)
    assert [entry.outcome.value for entry in await entries(app)] == ["denied"]
