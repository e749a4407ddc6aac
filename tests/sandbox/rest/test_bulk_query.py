"""Bulk API 2.0 jobs that read records hand them out in pages of CSV."""

import asyncio
import csv
import io
from typing import Any

import httpx
import pytest

from orgserver.sandbox.org import SandboxOrg
from orgserver.sandbox.state import schema

JOBS = "/services/data/v60.0/jobs/query"


async def finished(web: httpx.AsyncClient, query: str, operation: str = "query", **told: Any) -> str:
    job = (await web.post(JOBS, json={"operation": operation, "query": query, **told})).json()
    assert job["state"] == "UploadComplete"
    async with asyncio.timeout(10):
        while (await web.get(f"{JOBS}/{job['id']}")).json()["state"] != "JobComplete":
            await asyncio.sleep(0.01)
    return str(job["id"])


async def test_rows_come_in_pages(web: httpx.AsyncClient, acme: SandboxOrg) -> None:
    for number in range(25):
        acme.records.add(schema.load("Contact"), {"LastName": f"N{number:02d}", "Email": f"n{number}@x.example"})
    job = await finished(web, "SELECT Id, LastName FROM Contact WHERE LastName LIKE 'N%' ORDER BY LastName")

    names, locator, pages = [], "", 0
    while locator != "null":
        reply = await web.get(f"{JOBS}/{job}/results", params={"maxRecords": 10, "locator": locator})
        rows = list(csv.DictReader(io.StringIO(reply.text)))
        assert len(rows) == int(reply.headers["sforce-numberofrecords"])
        names += [row["LastName"] for row in rows]
        locator, pages = reply.headers["sforce-locator"], pages + 1

    assert (pages, names) == (3, [f"N{number:02d}" for number in range(25)])
    lost = await web.get(f"{JOBS}/{job}/results", params={"locator": "!"})
    assert (lost.status_code, lost.json()[0]["errorCode"]) == (400, "INVALID_QUERY_LOCATOR")


async def test_parents_nulls_times_and_flags_are_written_as_bulk_writes_them(
    web: httpx.AsyncClient, acme: SandboxOrg
) -> None:
    alone = acme.records.add(schema.load("Contact"), {"LastName": "Zed"})
    job = await finished(
        web,
        "SELECT Id, Account.Name, Account.Owner.Email, IsDeleted, CreatedDate FROM Contact ORDER BY LastName DESC",
        columnDelimiter="PIPE",
        lineEnding="CRLF",
    )

    rows = list(csv.DictReader(io.StringIO((await web.get(f"{JOBS}/{job}/results")).text), delimiter="|"))

    assert rows[0].keys() == {"Id", "Account.Name", "Account.Owner.Email", "IsDeleted", "CreatedDate"}
    assert (rows[0]["Id"], rows[0]["Account.Name"], rows[0]["IsDeleted"]) == (alone, "", "false")
    assert rows[0]["CreatedDate"].endswith(".000Z")
    assert rows[1]["Account.Name"] == "Acme Corporation"


async def test_query_all_includes_the_recycle_bin_and_nothing_found_is_a_header(
    web: httpx.AsyncClient, acme: SandboxOrg
) -> None:
    acme.records.delete(schema.load("Contact"), next(iter(acme.records.tables["Contact"])))

    everything = await finished(web, "SELECT Id FROM Contact", "queryAll")
    nothing = await finished(web, "SELECT Id, LastName FROM Contact WHERE LastName = 'nobody'")

    assert (await web.get(f"{JOBS}/{everything}/results")).headers["sforce-numberofrecords"] == "4"
    reply = await web.get(f"{JOBS}/{nothing}/results")
    assert (reply.text, reply.headers["sforce-locator"]) == ('"Id","LastName"\n', "null")


async def test_results_belong_to_the_version_of_the_job(web: httpx.AsyncClient) -> None:
    job = await finished(web, "SELECT Id FROM Contact")

    assert (await web.get(f"{JOBS.replace('v60', 'v61')}/{job}/results")).status_code == 409


async def test_a_slow_query_can_be_aborted(web: httpx.AsyncClient, acme: SandboxOrg) -> None:
    await web.post("/sandbox/knobs", json={"bulk_rows_per_second": 0})
    job = (await web.post(JOBS, json={"operation": "query", "query": "SELECT Id FROM Contact"})).json()["id"]

    assert (await web.get(f"{JOBS}/{job}/results")).status_code == 400
    assert (await web.patch(f"{JOBS}/{job}", json={"state": "Aborted"})).json()["state"] == "Aborted"


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ("SELECT Nope FROM Contact", "INVALID_FIELD"),
        ("SELECT Id FROM", "MALFORMED_QUERY"),
        ("SELECT COUNT() FROM Contact", "INVALIDJOB"),
        ("SELECT COUNT(Id) FROM Contact GROUP BY LastName", "INVALIDJOB"),
        ("SELECT Id, (SELECT Id FROM Contacts) FROM Account", "INVALIDJOB"),
        ("SELECT Id FROM Contact OFFSET 5", "INVALIDJOB"),
    ],
)
async def test_what_bulk_cannot_do_is_refused_at_once(web: httpx.AsyncClient, query: str, code: str) -> None:
    reply = await web.post(JOBS, json={"operation": "query", "query": query})

    assert (reply.status_code, reply.json()[0]["errorCode"]) == (400, code)
