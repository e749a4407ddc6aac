"""A policy's row limit ends every query where it says, over all pages, whatever the query looks like; counts go on."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orgserver.app import App
from orgserver.model.audit import EntryFilter
from orgserver.model.errors import InvalidArgument, PolicyDenied
from orgserver.model.names import CONTACT, SObjectName
from orgserver.model.orgs import Caller
from orgserver.model.results import Page
from orgserver.salesforce import soql
from orgserver.sandbox.org import SandboxOrg
from orgserver.sandbox.state import schema
from orgserver.services.bulk.request import BulkArguments
from orgserver.services.calls.plan import Call
from orgserver.services.queries.list_query import Listing
from orgserver.services.queries.row_quota import RowQuota
from orgserver.services.queries.search import Search, find_records
from orgserver.services.results import cursors
from orgserver.services.results.cursors import Position
from tests import operations
from tests.services.conftest import Scripted
from tests.services.queries.test_list_query import UNSORTED, every_page, sent

QUERY, LIST = "salesforce_query", "salesforce_list_contacts"
IDS = "SELECT Id FROM Contact"
LAST_NAMES = "SELECT LastName, COUNT(Id) FROM Contact GROUP BY LastName ORDER BY LastName"


@pytest.fixture
def people(acme: SandboxOrg) -> int:
    """How many contacts there are."""
    for number in range(20):
        acme.records.add(schema.load("Contact"), {"LastName": f"N{number:02}"})
    return len(acme.records.tables["Contact"])


async def limit(app: App, caller: Caller, rows: int | None, alias: str = "acme") -> None:
    await app.registry.update(caller, alias, policy={"row_limit": rows})


async def query(app: App, caller: Caller, text: str, most: int = 50, cursor: str | None = None, **more: Any) -> Page:
    return await operations.query(app, caller, QUERY, "acme", text, limit=most, cursor=cursor, **more)


def is_ended_by_policy(page: Page) -> bool:
    return page.is_limited and any("the org's policy lets one query give" in each for each in page.warnings)


@pytest.mark.parametrize(
    "text", [IDS, f"{IDS} ORDER BY LastName", f"{IDS} LIMIT 1000", "SELECT FIELDS(STANDARD) FROM Contact"]
)
@pytest.mark.parametrize(("row_limit", "most"), [(7, 3), (7, 7), (7, 50), (1, 1), (6, 3), (19, 2)])
async def test_all_pages_together_give_no_more_rows_than_the_limit(
    app: App, caller: Caller, acme: SandboxOrg, people: int, text: str, row_limit: int, most: int
) -> None:
    whole = [record["Id"] for record in (await query(app, caller, text, 200)).records]
    await limit(app, caller, row_limit)

    pages = await every_page(lambda cursor: query(app, caller, text, most, cursor))

    assert [record["Id"] for page in pages for record in page.records] == whole[:row_limit]
    assert [is_ended_by_policy(page) for page in pages] == [False] * (len(pages) - 1) + [True]
    assert all(page.total_size is None for page in pages)
    assert all(str(row_limit + 1) in each or int(each.rsplit(" ", 1)[1]) <= row_limit for each in sent(acme)[1:])


@pytest.mark.parametrize("row_limit", [20, 21, 500, None])
async def test_a_result_that_fits_is_whole_and_says_nothing(
    app: App, caller: Caller, people: int, row_limit: int | None
) -> None:
    await limit(app, caller, row_limit)
    text = "SELECT Id FROM Contact WHERE LastName LIKE 'N%'"

    pages = await every_page(lambda cursor: query(app, caller, text, 6, cursor))

    assert sum(len(page.records) for page in pages) == 20
    assert (pages[-1].total_size, pages[-1].warnings, pages[-1].is_limited) == (20, (), False)


async def test_lists_end_there_too_and_a_count_tells_the_whole(app: App, caller: Caller, people: int) -> None:
    await limit(app, caller, 5)

    async def page(cursor: str | None) -> Page:
        return await operations.list_(app, caller, LIST, "acme", Listing(CONTACT, 4, cursor, count=True))

    pages = await every_page(page)

    assert [len(page.records) for page in pages] == [4, 1]
    assert pages[0].total_size == people
    assert is_ended_by_policy(pages[1])


async def test_groups_are_rows_and_a_count_is_none(app: App, caller: Caller, people: int) -> None:
    await limit(app, caller, 3)

    pages = await every_page(lambda cursor: query(app, caller, LAST_NAMES, 2, cursor))
    count = await query(app, caller, "SELECT COUNT() FROM Contact")
    total = await query(app, caller, "SELECT COUNT(Id) n FROM Contact")
    counted = await query(app, caller, IDS, 2, count=True)

    assert [len(page.records) for page in pages] == [2, 1]
    assert is_ended_by_policy(pages[1])
    assert (count.records, count.total_size, count.warnings) == ([], people, ())
    assert (total.records, total.warnings) == ([{"n": people}], ())
    assert (len(counted.records), counted.total_size) == (2, people)


async def test_rows_of_subqueries_are_rows(app: App, caller: Caller, acme: SandboxOrg) -> None:
    accounts = [acme.records.add(schema.load("Account"), {"Name": f"A{number}"}) for number in range(3)]
    for account in accounts:
        for number in range(3):
            acme.records.add(schema.load("Contact"), {"LastName": f"C{number}", "AccountId": account})
    text = "SELECT Name, (SELECT LastName FROM Contacts) FROM Account WHERE Name LIKE 'A_' ORDER BY Name"
    await limit(app, caller, 6)

    page = await query(app, caller, text)
    small = await every_page(lambda cursor: query(app, caller, text, 1, cursor))

    shown = [(record["Name"], len(record["Contacts"]["records"])) for record in page.records]
    assert shown == [("A0", 3), ("A1", 1)]
    assert [record["Contacts"]["done"] for record in page.records] == [True, False]
    assert is_ended_by_policy(page)
    assert page.has_more is False
    assert [(r["Name"], len(r["Contacts"]["records"])) for each in small for r in each.records] == shown
    assert is_ended_by_policy(small[-1])


async def test_what_the_grammar_cannot_read_and_what_cannot_be_ordered_end_there_too(
    app: App, caller: Caller, acme: SandboxOrg, people: int, host: Scripted, refuse: Callable[..., Any]
) -> None:
    await limit(app, caller, 5)
    host.on("GET", "ORDER", refuse(400, "MALFORMED_QUERY", UNSORTED))

    pages = await every_page(lambda cursor: query(app, caller, IDS, 3, cursor))
    odd = await every_page(lambda cursor: query(app, caller, f"{IDS} USING SCOPE everything", 3, cursor))

    assert [len(page.records) for page in pages] == [len(page.records) for page in odd] == [3, 2]
    assert is_ended_by_policy(pages[-1])
    assert is_ended_by_policy(odd[-1])


async def test_a_limit_that_is_lowered_holds_for_cursors_of_before(app: App, caller: Caller, people: int) -> None:
    first = await query(app, caller, IDS, 4)
    await limit(app, caller, 6)
    second = await query(app, caller, IDS, 4, first.next_cursor)
    await limit(app, caller, 3)
    third = await query(app, caller, IDS, 4, first.next_cursor)

    assert (len(second.records), second.has_more, is_ended_by_policy(second)) == (2, False, True)
    assert (third.records, third.has_more, is_ended_by_policy(third)) == ([], False, True)
    (entry,) = [each async for each in app.audit_log.entries(EntryFilter(tool=QUERY)) if each.api_calls == 0]
    assert (entry.outcome.value, entry.row_count) == ("succeeded", 0)


async def test_a_cursor_that_does_not_say_how_many_rows_there_were_is_refused(app: App, caller: Caller) -> None:
    arguments = {"tool": "query", "soql": IDS, "limit": 2, "include_deleted": False}
    org, _ = await app.access.org(caller, "acme")
    whose = {"org": org.row_id, "principal": caller.principal.name}
    old = cursors.write(app.store.cursors, Position(None, 2, 2), arguments=arguments, **whose)
    free = await query(app, caller, IDS, 2, old)
    await limit(app, caller, 50)

    with pytest.raises(InvalidArgument) as refused:
        await query(app, caller, IDS, 2, old)

    assert len(free.records) == 2
    assert refused.value.fields == ("cursor",)


@pytest.mark.parametrize(("row_limit", "shown", "more"), [(2, 2, True), (20, 20, True), (21, 21, False), (0, 0, True)])
async def test_a_search_gives_no_more_than_the_limit(
    app: App, caller: Caller, acme: SandboxOrg, row_limit: int, shown: int, more: bool
) -> None:
    for _ in range(21):
        acme.records.add(schema.load("Contact"), {"LastName": "Quetzalcoatl"})
    await limit(app, caller, row_limit)
    search = find_records(Search("Quetzalcoatl", ["Contact"], 50))

    found = await app.services.executor.run(Call(caller, "salesforce_search", "acme"), search)

    assert len(found.records) == shown
    assert any("policy" in each for each in found.warnings) is more


async def test_in_a_fleet_each_org_has_its_own_limit_and_groups_that_are_cut_are_not_merged(
    app: App, caller: Caller, people: int
) -> None:
    await limit(app, caller, 3)

    side = await operations.query_orgs(app, caller, "t", ["acme", "globex"], IDS, limit=4)
    merged = await operations.query_orgs(
        app, caller, "t", ["acme", "globex"], LAST_NAMES.partition(" ORDER")[0], merge=True
    )
    counted = await operations.query_orgs(
        app, caller, "t", ["acme", "globex"], "SELECT COUNT() FROM Contact", merge=True
    )

    acme, globex = side.results
    assert (len(acme["records"]), acme["has_more"], len(globex["records"])) == (3, False, 4)
    assert any(each.startswith("acme: this is where it ends") for each in side.warnings)
    assert merged.answered == 1
    assert (merged.results[0]["error"]["code"], merged.results[0]["error"]["category"]) == ("ROW_LIMIT", "policy")
    assert counted.results[0]["total_size"] == people


@pytest.mark.parametrize("preview", [False, True])
async def test_a_change_of_more_records_than_one_query_may_give_is_refused(
    app: App, caller: Caller, acme: SandboxOrg, people: int, preview: bool
) -> None:
    await limit(app, caller, 5)
    text = "SELECT Id FROM Contact WHERE LastName LIKE 'N0%'"
    change = BulkArguments(SObjectName("Contact"), "update", soql=text, data={"Title": "x"}, preview=preview)

    with pytest.raises(PolicyDenied) as refused:
        await operations.change(app, caller, "t", "acme", change)
    fewer = replace(change, soql=f"{text} LIMIT 5")
    done = await operations.change(app, caller, "t", "acme", fewer)

    assert (refused.value.code, refused.value.category, refused.value.outcome) == ("ROW_LIMIT", "policy", "denied")
    assert "10 records" in str(refused.value)
    assert done.counts.total == 5
    titled = [each for each in acme.records.tables["Contact"].values() if each.get("Title") == "x"]
    assert len(titled) == (0 if preview else 5)


# -- the count itself


@st.composite
def trees(draw: st.DrawFn, depth: int = 2) -> dict[str, Any]:
    record: dict[str, Any] = {"Id": "x", "Owner": {"Name": "y"}}
    if depth and draw(st.booleans()):
        rows = draw(st.lists(trees(depth - 1), max_size=4))
        record["Rows"] = {"totalSize": len(rows), "done": True, "records": rows}
    return record


def row_count(records: list[dict[str, Any]]) -> int:
    return sum(1 + row_count(record.get("Rows", {}).get("records", [])) for record in records)


@given(st.lists(trees(), max_size=6), st.integers(0, 40), st.integers(0, 10))
def test_rows_are_counted_as_a_model_counts_them(records: list[dict[str, Any]], most: int, before: int) -> None:
    whole, left = row_count(records), max(most - before, 0)

    kept, count, is_cut = RowQuota.at(most, Position(row_count=before)).take(records)

    assert count == row_count(kept) == min(whole, left)
    assert is_cut is (whole > left)


@given(st.integers(0, 5_000), st.one_of(st.none(), st.integers(0, 5_000)))
def test_a_query_never_asks_for_more_than_one_row_beyond_the_limit(most: int, own: int | None) -> None:
    text = f"SELECT Id FROM Contact{'' if own is None else f' LIMIT {own}'}"
    rows = soql.row_query(soql.parse(text), text)

    cut = RowQuota.at(most, Position()).cut_query(rows)

    assert cut is not None
    assert cut.limit == (most + 1 if own is None else min(own, most + 1))
