"""simple-salesforce with an access token."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import Any

from simple_salesforce import Salesforce

from .npm import Packages
from .sandbox import Served


async def simple_salesforce(served: Served, _packages: Packages, _folder: Path) -> None:
    """Get a session by the app's own credentials and work with it."""
    org = served.org
    form = {"grant_type": "client_credentials", "client_id": org["client_id"], "client_secret": org["client_secret"]}
    answer = (await served.control.post("/services/oauth2/token", data=form)).json()
    # It goes before what a session of requests is told.
    os.environ["REQUESTS_CA_BUNDLE"] = served.ca_file
    await asyncio.to_thread(_work, answer["access_token"], org)


def _work(token: str, org: dict[str, Any]) -> None:
    client = Salesforce(instance_url=org["url"], session_id=token)
    made = client.Contact.create({"LastName": "O'Hara"})
    assert client.Contact.update(made["id"], {"Title": "CTO"}) == 204
    found = client.query("SELECT Id, Title FROM Contact WHERE LastName = 'O\\'Hara'")
    titles = [record["Title"] for record in found["records"]]
    assert titles == ["CTO"]
    assert client.Contact.delete(made["id"]) == 204
    print(f"create, update, query, delete: {titles}")
    print(f"describe: {len(client.Contact.describe()['fields'])} fields; limits: {min(client.limits())}")
    client.session.close()
