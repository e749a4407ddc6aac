"""The sandbox is close enough to Salesforce for a client that nobody here wrote."""

import asyncio
import csv
import io
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from simple_salesforce import Salesforce
from simple_salesforce.exceptions import SalesforceMalformedRequest, SalesforceResourceNotFound

from orgserver.sandbox.org import SandboxOrg
from orgserver.sandbox.server import Sandbox
from orgserver.sandbox.state import schema


@asynccontextmanager
async def _client(folder: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[tuple[Salesforce, SandboxOrg]]:
    """The client, logged in to an org; it is to be used from another thread."""
    async with Sandbox.start(1, tls_folder=folder) as sandbox:
        acme = sandbox.orgs[0]
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(sandbox.ca_file))
        monkeypatch.delenv("CURL_CA_BUNDLE", raising=False)
        client = Salesforce(instance_url=acme.url, session_id=acme.new_session()["access_token"])
        try:
            yield client, acme
        finally:
            client.session.close()
        assert acme.counters.foreign_tokens == 0


async def test_simple_salesforce_works_unmodified(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def work(client: Salesforce) -> None:
        made = client.Contact.create({"LastName": "O'Hara", "Email": "ohara@example.com"})
        assert made["success"]
        assert client.Contact.get(made["id"])["Name"] == "O'Hara"
        assert client.Contact.update(made["id"], {"Title": "CTO"}) == 204
        found = client.query("SELECT Id, Title FROM Contact WHERE LastName = 'O\\'Hara'")
        assert [record["Title"] for record in found["records"]] == ["CTO"]
        assert client.Contact.delete(made["id"]) == 204
        with pytest.raises(SalesforceResourceNotFound):
            client.Contact.delete(made["id"])
        with pytest.raises(SalesforceMalformedRequest, match="INVALID_FIELD"):
            client.query("SELECT Nonsense FROM Contact")
        everything = client.query_all("SELECT Id FROM Contact WHERE LastName LIKE 'Many%'")
        assert len({record["Id"] for record in everything["records"]}) == 4_300
        assert client.Contact.describe()["name"] == "Contact"

    async with _client(tmp_path, monkeypatch) as (client, acme):
        for number in range(4_300):
            acme.records.add(schema.load("Contact"), {"LastName": f"Many{number}"})
        await asyncio.to_thread(work, client)


async def test_its_describe_upsert_search_and_composite_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def work(client: Salesforce) -> None:
        assert {each["name"] for each in client.describe()["sobjects"]} == set(schema.NAMES)
        for name in schema.NAMES:
            assert getattr(client, name).describe()["name"] == name
        assert client.Custom__c.upsert("External_Id__c/k%2F1", {"Amount__c": 1}) == 201
        assert client.Custom__c.upsert("External_Id__c/k%2F1", {"Amount__c": 2}) == 200
        assert client.Custom__c.get_by_custom_id("External_Id__c", "k/1")["Amount__c"] == 2
        hits = client.search("FIND {lovelace} RETURNING Contact(Id, Name)")["searchRecords"]
        assert [hit["Name"] for hit in hits] == ["Ada Lovelace"]
        assert client.limits()["DailyApiRequests"]["Remaining"] > 0
        requests = [
            {"method": "POST", "url": f"/services/data/v59.0/sobjects/{name}", "referenceId": name, "body": body}
            for name, body in (("Account", {"Name": "A"}), ("Contact", {"LastName": "C", "AccountId": "@{Account.id}"}))
        ]
        told = client.restful("composite", method="POST", json={"allOrNone": True, "compositeRequest": requests})
        assert [each["httpStatusCode"] for each in told["compositeResponse"]] == [201, 201]
        records = [{"attributes": {"type": "Contact"}, "LastName": name} for name in ("x", "")]
        outcomes = client.restful("composite/sobjects", method="POST", json={"records": records})
        assert [each["success"] for each in outcomes] == [True, False]

    async with _client(tmp_path, monkeypatch) as (client, _acme):
        await asyncio.to_thread(work, client)


async def test_its_bulk_jobs_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def work(client: Salesforce) -> None:
        bulk = client.bulk2.Contact
        text = 'a "quoted", =1+1\nnew line 🎉'
        wrote = [{"LastName": f"Bulk{number}", "Description": text} for number in range(300)] + [
            {"LastName": "", "Description": "nobody"}
        ]
        (made,) = bulk.insert(records=wrote, wait=0)
        assert (made["numberRecordsTotal"], made["numberRecordsFailed"]) == (301, 1)
        assert "REQUIRED_FIELD_MISSING" in bulk.get_failed_records(made["job_id"])
        assert bulk.get_unprocessed_records(made["job_id"]).count("\n") == 1
        rows = list(csv.DictReader(io.StringIO(bulk.get_successful_records(made["job_id"]), newline="")))
        # Without a charset in the answer, requests takes a text for Latin-1.
        assert [row["Description"].encode("latin-1").decode() for row in rows] == [text] * 300
        ids = [row["sf__Id"] for row in rows]
        (changed,) = bulk.update(records=[{"Id": each, "Title": "T", "Description": "#N/A"} for each in ids], wait=0)
        assert changed["numberRecordsFailed"] == 0
        read = "SELECT Id, Title, Description FROM Contact WHERE LastName LIKE 'Bulk%'"
        pages = [list(csv.DictReader(io.StringIO(page))) for page in bulk.query(read, max_records=200, wait=0)]
        assert [len(page) for page in pages] == [200, 100]
        assert {(row["Title"], row["Description"]) for page in pages for row in page} == {("T", "")}
        keyed = [{"External_Id__c": str(number % 5)} for number in range(10)]
        client.bulk2.Custom__c.upsert(records=keyed, external_id_field="External_Id__c", wait=0)
        assert client.query("SELECT COUNT() FROM Custom__c")["totalSize"] == 5
        (gone,) = bulk.delete(records=[{"Id": each} for each in ids], wait=0)
        assert gone["numberRecordsFailed"] == 0
        assert client.query(f"SELECT COUNT() FROM Contact WHERE Id = '{ids[0]}'")["totalSize"] == 0

    async with _client(tmp_path, monkeypatch) as (client, _acme):
        await asyncio.to_thread(work, client)
