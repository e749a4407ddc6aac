"""The sandbox is close enough to Salesforce for a client that nobody here wrote."""

import asyncio
from pathlib import Path

import pytest
from simple_salesforce import Salesforce
from simple_salesforce.exceptions import SalesforceMalformedRequest, SalesforceResourceNotFound

from orgserver.sandbox import schema
from orgserver.sandbox.server import Sandbox


async def test_simple_salesforce_works_unmodified(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with Sandbox.start(1, tls_folder=tmp_path) as sandbox:
        acme = sandbox.orgs[0]
        for number in range(4_300):
            acme.records.add(schema.load("Contact"), {"LastName": f"Many{number}"})
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(sandbox.ca_file))
        monkeypatch.delenv("CURL_CA_BUNDLE", raising=False)
        session = acme.new_session()["access_token"]

        def work() -> None:
            client = Salesforce(instance_url=acme.url, session_id=session)
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
            client.session.close()

        await asyncio.to_thread(work)
        assert acme.counters.foreign_tokens == 0
