"""What is long arrives whole, up to what Salesforce takes, and beyond that is refused before anything is sent."""

import pytest

from orgserver.app import App
from orgserver.model.audit import Completion, Outcome
from orgserver.model.errors import InvalidArgument, NotSent
from orgserver.model.names import CONTACT, SObjectName
from orgserver.model.orgs import Caller
from orgserver.salesforce.protocol import rest
from orgserver.sandbox.org import SandboxOrg
from orgserver.sandbox.state import schema
from orgserver.services.calls.access import OrgSession
from orgserver.services.calls.plan import Plan
from orgserver.services.queries.list_query import Listing
from tests import operations

MOST = 100_000


async def test_a_filter_of_a_thousand_ids_gives_every_record_page_by_page(
    app: App, caller: Caller, acme: SandboxOrg
) -> None:
    ids = [acme.records.add(schema.load("Contact"), {"LastName": f"P{number:04}"}) for number in range(1_000)]
    found: list[str] = []
    cursor = None
    while True:
        listing = Listing(CONTACT, 400, cursor, ["LastName"], {"Id": {"in": ids}})
        page = await operations.list_(app, caller, "t", "acme", listing)
        assert page.warnings == ()
        found += [record["Id"] for record in page.records]
        cursor = page.next_cursor
        if cursor is None:
            break

    assert sorted(found) == sorted(ids)


async def test_a_query_has_up_to_100000_characters(app: App, caller: Caller, acme: SandboxOrg) -> None:
    values = ", ".join(["'Lovelace'", *[f"'{'x' * 90}'"] * 1_050])
    text = f"SELECT LastName FROM Contact WHERE LastName IN ({values})".ljust(MOST)

    page = await operations.query(app, caller, "t", "acme", text)
    acme.requests.clear()
    with pytest.raises(InvalidArgument, match="100,000"):
        await operations.query(app, caller, "t", "acme", f"{text} ")
    with pytest.raises(InvalidArgument, match="100,000") as refused:
        await operations.list_(
            app,
            caller,
            "t",
            "acme",
            Listing(CONTACT, filter={"LastName": {"in": [f"{'y' * 200}{n}" for n in range(600)]}}),
        )

    assert page.records == [{"LastName": "Lovelace"}]
    assert refused.value.fields == ("filter",)
    assert acme.requests == []


async def test_an_address_that_salesforce_takes_from_nobody_is_not_tried(
    app: App, caller: Caller, acme: SandboxOrg
) -> None:
    org = (await app.access.catalog()).by_alias["acme"]  # type: ignore[index]
    await operations.query(app, caller, "t", "acme", "SELECT Id FROM Contact")
    acme.requests.clear()

    async def send(session: OrgSession) -> object:
        request = rest.search(org.api_version, "FIND {Ada}" + " " * 17_000)
        return await session.call(request, rest.read_search_results)

    plan = Plan("read", send, lambda _found: Completion(Outcome.SUCCEEDED))
    with pytest.raises(NotSent) as refused:
        await operations.perform(app, caller, "t", "search", "acme", SObjectName("Contact"), lambda _org: plan)

    assert (refused.value.code, refused.value.category) == ("REQUEST_TOO_LONG", "invalid_argument")
    assert not refused.value.retryable
    assert acme.requests == []
