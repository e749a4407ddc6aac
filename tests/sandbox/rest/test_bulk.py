"""Bulk API 2.0 jobs that change records run from their sheets to their results."""

import asyncio
import csv
import io
from typing import Any

import httpx
import pytest

from orgserver.sandbox.org import SandboxOrg
from orgserver.sandbox.state import schema

JOBS = "/services/data/v60.0/jobs/ingest"


async def opened(web: httpx.AsyncClient, operation: str, sheet: str | bytes, **told: Any) -> str:
    """A job with its data, not started."""
    body = {"object": "Contact", "operation": operation, "contentType": "CSV", **told}
    job = (await web.post(JOBS, json=body)).json()
    assert (job["state"], job["contentUrl"]) == ("Open", f"{JOBS[1:]}/{job['id']}/batches")
    sent = await web.put(f"{JOBS}/{job['id']}/batches", content=sheet, headers={"Content-Type": "text/csv"})
    assert (sent.status_code, sent.content) == (201, b"")
    return str(job["id"])


async def ended(web: httpx.AsyncClient, job: str) -> dict[str, Any]:
    async with asyncio.timeout(10):
        while True:
            told = (await web.get(f"{JOBS}/{job}")).json()
            if told["state"] in ("JobComplete", "Failed", "Aborted"):
                return dict(told)
            await asyncio.sleep(0.01)


async def started(web: httpx.AsyncClient, operation: str, sheet: str | bytes, **told: Any) -> str:
    job = await opened(web, operation, sheet, **told)
    reply = await web.patch(f"{JOBS}/{job}", json={"state": "UploadComplete"})
    assert (reply.status_code, reply.json()["state"]) == (200, "UploadComplete")
    return job


async def results(web: httpx.AsyncClient, job: str, which: str) -> list[dict[str, str]]:
    reply = await web.get(f"{JOBS}/{job}/{which}")
    assert (reply.status_code, reply.headers["content-type"]) == (200, "text/csv")
    return list(csv.DictReader(io.StringIO(reply.text)))


async def test_every_row_has_its_outcome(web: httpx.AsyncClient, acme: SandboxOrg) -> None:
    sheet = "LastName,Email,Birthdate\nGood,good@x.example,1815-12-10\n,nobody@x.example,\nBad,nonsense,\nUgly,,maybe\n"

    job = await started(web, "insert", sheet)
    told = await ended(web, job)

    assert (told["state"], told["numberRecordsProcessed"], told["numberRecordsFailed"]) == ("JobComplete", 4, 3)
    (good,) = await results(web, job, "successfulResults")
    assert (good["sf__Created"], good["LastName"]) == ("true", "Good")
    assert acme.records.tables["Contact"][good["sf__Id"]]["Birthdate"] == "1815-12-10"
    errors = [row["sf__Error"] for row in await results(web, job, "failedresults")]
    assert errors == [
        "REQUIRED_FIELD_MISSING:Required fields are missing: [LastName]:LastName --",
        "INVALID_EMAIL_ADDRESS:Email: invalid email address: nonsense:Email --",
        "INVALID_TYPE_ON_FIELD_IN_RECORD:Birthdate: value not of required type: maybe:Birthdate --",
    ]
    assert await results(web, job, "unprocessedRecords") == []


async def test_an_empty_cell_leaves_alone_and_na_clears(web: httpx.AsyncClient, acme: SandboxOrg) -> None:
    ids = [acme.records.add(schema.load("Contact"), {"LastName": "A", "Title": "T", "Phone": "1"}) for _ in range(2)]

    job = await started(web, "update", f"id,Title,Phone\n{ids[0][:15]},,#N/A\nnonsense,x,x\n003Sb0000999999IAA,x,x\n")
    await ended(web, job)

    record = acme.records.tables["Contact"][ids[0]]
    assert (record["Title"], record["Phone"]) == ("T", None)
    failed = await results(web, job, "failedResults")
    assert [row["sf__Error"].partition(":")[0] for row in failed] == ["MALFORMED_ID", "INVALID_CROSS_REFERENCE_KEY"]
    assert [row["sf__Id"] for row in failed] == ["nonsense", "003Sb0000999999IAA"]


@pytest.mark.parametrize(
    ("delimiter", "letter"),
    [("BACKQUOTE", "`"), ("CARET", "^"), ("COMMA", ","), ("PIPE", "|"), ("SEMICOLON", ";"), ("TAB", "\t")],
)
@pytest.mark.parametrize(("ending", "end"), [("LF", "\n"), ("CRLF", "\r\n")])
async def test_cells_survive_both_ways(
    web: httpx.AsyncClient, acme: SandboxOrg, delimiter: str, letter: str, ending: str, end: str
) -> None:
    nasty = f'=1+1"quoted"{letter},;|^`\r\n\nnew ünïcode 🎉'
    text = io.StringIO()
    csv.writer(text, delimiter=letter, lineterminator=end).writerows([["LastName", "Description"], ["x", nasty]])

    job = await started(web, "insert", text.getvalue(), columnDelimiter=delimiter, lineEnding=ending)

    assert (await ended(web, job))["numberRecordsFailed"] == 0
    reply = await web.get(f"{JOBS}/{job}/successfulResults")
    (row,) = csv.DictReader(io.StringIO(reply.content.decode(), newline=""), delimiter=letter)
    assert row["Description"] == nasty
    assert acme.records.tables["Contact"][row["sf__Id"]]["Description"] == nasty


async def test_upsert_tells_what_is_new(web: httpx.AsyncClient, acme: SandboxOrg) -> None:
    known = acme.records.add(schema.load("Custom__c"), {"External_Id__c": "1"})
    told = {"object": "Custom__c", "externalIdFieldName": "External_Id__c"}

    job = await started(web, "upsert", "External_Id__c,Amount__c\n1,5\n2,6\n2,7\n,8\n", **told)
    await ended(web, job)

    rows = await results(web, job, "successfulResults")
    assert [row["sf__Created"] for row in rows] == ["false", "true", "false"]
    assert rows[0]["sf__Id"] == known
    assert acme.records.tables["Custom__c"][rows[2]["sf__Id"]]["Amount__c"] == 7
    (failed,) = await results(web, job, "failedResults")
    assert failed["sf__Error"].startswith("MISSING_ARGUMENT:External_Id__c not specified")


async def test_a_parent_is_found_by_its_key(web: httpx.AsyncClient, acme: SandboxOrg) -> None:
    person = acme.records.add(schema.load("Contact"), {"LastName": "A", "Email": "a@x.example"})

    job = await started(web, "insert", "Contact__r.Email\na@x.example\nb@x.example\n", object="Custom__c")
    await ended(web, job)

    (row,) = await results(web, job, "successfulResults")
    assert acme.records.tables["Custom__c"][row["sf__Id"]]["Contact__c"] == person
    assert len(await results(web, job, "failedResults")) == 1


@pytest.mark.parametrize(("operation", "in_bin"), [("delete", True), ("hardDelete", False)])
async def test_records_are_deleted(web: httpx.AsyncClient, acme: SandboxOrg, operation: str, in_bin: bool) -> None:
    identifier = acme.records.add(schema.load("Contact"), {"LastName": "A"})

    job = await started(web, operation, f"Id\n{identifier}\n{identifier}\n")

    assert (await ended(web, job))["numberRecordsFailed"] == 1
    assert identifier not in acme.records.tables["Contact"]
    assert (identifier in acme.records.deleted["Contact"]) is in_bin


async def test_an_aborted_job_keeps_what_it_did_and_tells_the_rest(web: httpx.AsyncClient, acme: SandboxOrg) -> None:
    before = len(acme.records.tables["Contact"])
    await web.post("/sandbox/knobs", json={"bulk_rows_per_second": 500})
    job = await started(web, "insert", "LastName\n" + "".join(f"N{number}\n" for number in range(1_000)))
    async with asyncio.timeout(10):
        while not (await web.get(f"{JOBS}/{job}")).json()["numberRecordsProcessed"]:
            await asyncio.sleep(0.01)
    assert (await web.get(f"{JOBS}/{job}/successfulResults")).status_code == 400

    reply = await web.patch(f"{JOBS}/{job}", json={"state": "Aborted"})

    assert reply.json()["state"] == "Aborted"
    done, rest = [await results(web, job, which) for which in ("successfulResults", "unprocessedRecords")]
    assert 0 < len(done) < 1_000
    assert [row["LastName"] for row in done + rest] == [f"N{number}" for number in range(1_000)]
    assert len(acme.records.tables["Contact"]) - before == len(done)
    again = await web.patch(f"{JOBS}/{job}", json={"state": "Aborted"})
    assert (again.status_code, again.json()[0]["errorCode"]) == (400, "INVALIDJOBSTATE")


async def test_a_job_that_stands_still_goes_on_when_it_may(web: httpx.AsyncClient, acme: SandboxOrg) -> None:
    await web.post("/sandbox/knobs", json={"bulk_rows_per_second": 0})
    job = await started(web, "insert", "LastName\nx\n")
    async with asyncio.timeout(10):
        while (await web.get(f"{JOBS}/{job}")).json()["state"] != "InProgress":
            await asyncio.sleep(0.01)
    assert (await web.delete(f"{JOBS}/{job}")).status_code == 400

    await web.post("/sandbox/knobs", json={"bulk_rows_per_second": None})

    assert (await ended(web, job))["numberRecordsProcessed"] == 1
    listed = (await web.get(JOBS)).json()
    assert (listed["done"], [each["id"] for each in listed["records"]]) == (True, [job])
    assert (await web.delete(f"{JOBS}/{job}")).status_code == 204
    assert (await web.get(f"{JOBS}/{job}")).status_code == 404


@pytest.mark.parametrize(
    ("sheet", "told", "error"),
    [
        ("Nope\nx\n", {}, "InvalidBatch : Field name not found : Nope"),
        ("Nope.Email\nx\n", {}, "InvalidBatch : Field name not found : Nope.Email"),
        ("LastName\r\nx\r\n", {}, "ClientInputError : LineEnding is invalid on user data."),
        ("LastName\nx\n", {"lineEnding": "CRLF"}, "ClientInputError : LineEnding is invalid on user data."),
        ('LastName\n"x\n', {}, "InvalidBatch : Failed to parse CSV"),
        (b"LastName\n\xff\n", {}, "InvalidBatch : Failed to parse CSV"),
        ("LastName\nx,y\n", {}, "InvalidBatch : Row 1 has 2 columns"),
    ],
)
async def test_a_sheet_that_cannot_be_read_fails_the_job(
    web: httpx.AsyncClient, sheet: str, told: dict[str, Any], error: str
) -> None:
    job = await started(web, "insert", sheet, **told)

    ending = await ended(web, job)

    assert ending["state"] == "Failed"
    assert ending["errorMessage"].startswith(error)
    assert await results(web, job, "successfulResults") == []


@pytest.mark.parametrize(
    ("told", "code"),
    [
        ({"object": "Nothing"}, "INVALIDENTITY"),
        ({"operation": "dance"}, "INVALIDJOB"),
        ({"operation": "upsert"}, "INVALIDJOB"),
        ({"operation": "upsert", "externalIdFieldName": "Title"}, "INVALIDJOB"),
        ({"columnDelimiter": "DOT"}, "INVALIDJOB"),
        ({"contentType": "XML"}, "INVALIDJOB"),
    ],
)
async def test_a_job_that_cannot_be_is_refused(web: httpx.AsyncClient, told: dict[str, Any], code: str) -> None:
    reply = await web.post(JOBS, json={"object": "Contact", "operation": "insert", **told})

    assert (reply.status_code, reply.json()[0]["errorCode"]) == (400, code)


async def test_data_is_taken_once_and_as_csv(web: httpx.AsyncClient) -> None:
    job = await opened(web, "insert", "LastName\nx\n")

    again = await web.put(f"{JOBS}/{job}/batches", content="LastName\ny\n", headers={"Content-Type": "text/csv"})
    as_json = await web.put(f"{JOBS}/{job}/batches", json={})

    assert [reply.status_code for reply in (again, as_json)] == [400, 415]
    assert (await web.patch(f"{JOBS}/{job}", json={"state": "JobComplete"})).status_code == 400


async def test_faults_strike_jobs_too(web: httpx.AsyncClient, acme: SandboxOrg) -> None:
    job = await opened(web, "insert", "LastName\nx\n")
    acme.fault("status", method="PATCH", path=".*/jobs/ingest/.*", status=503)

    assert (await web.patch(f"{JOBS}/{job}", json={"state": "UploadComplete"})).status_code == 503
    assert (await web.get(f"{JOBS}/{job}")).json()["state"] == "Open"


async def test_a_hundred_thousand_rows_take_seconds_and_others_are_answered_meanwhile(
    web: httpx.AsyncClient, acme: SandboxOrg
) -> None:
    sheet = "LastName,Email\n" + "".join(f"N{number},n{number}@x.example\n" for number in range(100_000))
    job = await started(web, "insert", sheet)

    async with asyncio.timeout(30):
        told = {"state": ""}
        between = set()
        while told["state"] != "JobComplete":
            told = (await web.get(f"{JOBS}/{job}")).json()
            between.add(told["numberRecordsProcessed"])

    assert len(between) > 3
    assert told["numberRecordsFailed"] == 0
    assert len(acme.records.tables["Contact"]) == 100_004
