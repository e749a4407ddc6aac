"""What a page of a list costs: requests, bytes and records that come in for ten that are shown: `python -m tests.bench.pages`.

A sandbox with 1,000 contacts in this process. Bytes are those of the JSON, unpacked; values are everything that a
reader of JSON builds: objects, lists, texts, numbers.
"""

import argparse
import asyncio
import json
import tempfile
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from orgserver.app import App, open_app
from orgserver.cli.orgs.pretend_orgs import register
from orgserver.config import read_settings
from orgserver.model.access.principals import Principal
from orgserver.model.names import CONTACT
from orgserver.model.orgs import Caller
from orgserver.model.results import Page
from orgserver.sandbox.server import Sandbox
from orgserver.sandbox.state import schema
from orgserver.services.queries.list_query import Listing
from tests import operations
from tests.senders import HttpxSenders
from tests.wire.spoiling import again

CALLER = Caller(Principal("local:bench"), "stdio")
GetPage = Callable[[str | None], Awaitable[Page]]


@dataclass
class Counted(httpx.AsyncBaseTransport):
    """Passes replies on, and counts what is in them."""

    real: httpx.AsyncBaseTransport
    requests: int = 0
    bytes: int = 0
    records: int = 0
    values: int = 0

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        response = await self.real.handle_async_request(request)
        content = await response.aread()
        body = json.loads(content or b"null")
        self.requests += 1
        self.bytes += len(content)
        self.records += len(body.get("records", ())) if isinstance(body, dict) else 0
        self.values += values_in(body)
        return again(response)

    def take(self) -> tuple[int, int, int, int]:
        """The numbers since they were last taken."""
        told = (self.requests, self.bytes, self.records, self.values)
        self.requests = self.bytes = self.records = self.values = 0
        return told

    async def aclose(self) -> None:
        await self.real.aclose()


def values_in(value: Any) -> int:
    if isinstance(value, dict):
        return 1 + sum(1 + values_in(inner) for inner in value.values())
    return 1 + sum(map(values_in, value)) if isinstance(value, list) else 1


async def show(name: str, get_page: GetPage, counted: Counted, pages: int) -> None:
    cursor = None
    for number in range(1, pages + 1):
        counted.take()
        page = await get_page(cursor)
        requests, size, records, values = counted.take()
        if number <= 3 or number == pages:  # the first ones, and the last
            shown = f"{name}, page {number}"
            print(f"{shown:<44}{len(page.records):>6}{requests:>9}{size:>10,}{records:>9,}{values:>9,}")
        cursor = page.next_cursor
        if cursor is None:
            return


def list_contacts(app: App, **arguments: Any) -> GetPage:
    async def get_page(cursor: str | None) -> Page:
        return await operations.list_(
            app, CALLER, "salesforce_list_contacts", "acme", Listing(CONTACT, cursor=cursor, **arguments)
        )

    return get_page


def run_query(app: App, soql: str, limit: int) -> GetPage:
    async def get_page(cursor: str | None) -> Page:
        return await operations.query(app, CALLER, "salesforce_query", "acme", soql, limit=limit, cursor=cursor)

    return get_page


async def run(contacts: int) -> None:
    with tempfile.TemporaryDirectory(prefix="orgserver-bench-") as home:
        counted = Counted(HttpxSenders.open_real(""))
        settings = read_settings({"home": Path(home)}, {})
        async with Sandbox.start(1) as sandbox, open_app(settings, senders=HttpxSenders(lambda _url: counted)) as app:
            await register(app, sandbox)
            records = sandbox.orgs[0].records
            for number in range(contacts - len(records.tables["Contact"])):
                records.add(schema.load("Contact"), {"LastName": f"Person {number}", "Email": f"p{number}@example.com"})
            await list_contacts(app)(None)  # learns which fields the org has
            print(f"{contacts:,} contacts{'':<31}{'shown':>6}{'requests':>9}{'bytes':>10}{'records':>9}{'values':>9}")
            await show("list_contacts, limit 10", list_contacts(app), counted, contacts // 10)
            await show("query of Id, limit 10", run_query(app, "SELECT Id FROM Contact", 10), counted, contacts // 10)
            await show("query of Id, limit 50", run_query(app, "SELECT Id FROM Contact", 50), counted, contacts // 50)
            await show("query of Id, limit 2,000", run_query(app, "SELECT Id FROM Contact", 2_000), counted, 1)
            if "count" in Listing.__dataclass_fields__:
                await show("list_contacts, limit 10, count", list_contacts(app, count=True), counted, 1)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m tests.bench.pages", description=__doc__)
    parser.add_argument("--contacts", type=int, default=1_000)
    asyncio.run(run(parser.parse_args().contacts))
