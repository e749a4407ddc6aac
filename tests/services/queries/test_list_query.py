"""Lists cost what they show: the first page asks for its rows and one, later pages lead to the end of the result."""

import asyncio
import json
from collections.abc import Callable
from datetime import timedelta
from urllib.parse import parse_qs

import httpx
import pytest
from msgspec.structs import replace

from orgserver.app import App
from orgserver.model.audit import AuditEntry, EntryFilter
from orgserver.model.errors import InvalidArgument, Rejected
from orgserver.model.names import CONTACT, EVENT
from orgserver.model.orgs import Caller
from orgserver.model.results import Page
from orgserver.sandbox.org import SandboxOrg
from orgserver.sandbox.state import schema
from orgserver.services.queries.list_query import Listing
from orgserver.services.results import cursors
from orgserver.services.results.cursors import Position
from tests import operations
from tests.senders import HttpxSenders
from tests.services.conftest import Scripted

QUERY, LIST = "salesforce_query", "salesforce_list_contacts"
IDS = "SELECT Id FROM Contact"
UNSORTED = "SELECT Id FROM Contact ORDER BY Id LIMIT 3 ^ ERROR at Row:1:Column:33 field 'Id' can not be sorted"


async def query(app: App, caller: Caller, soql: str, limit: int = 50, cursor: str | None = None, **more: bool) -> Page:
    return await operations.query(app, caller, QUERY, "acme", soql, limit=limit, cursor=cursor, **more)


async def every_page(page: Callable[[str | None], object], most: int = 200) -> list[Page]:
    pages: list[Page] = []
    while len(pages) < most:
        pages.append(await page(pages[-1].next_cursor if pages else None))  # type: ignore[misc]
        assert pages[-1].has_more is (pages[-1].next_cursor is not None)
        if not pages[-1].has_more:
            return pages
    raise AssertionError("the result has no end")


async def last_entry(app: App, tool: str = QUERY) -> AuditEntry:
    return [entry async for entry in app.audit_log.entries(EntryFilter(tool=tool))][-1]


def add_contacts(org: SandboxOrg, count: int, **values: object) -> None:
    for number in range(count):
        org.records.add(schema.load("Contact"), {"LastName": f"N{number % 7}"} | values)


def sent(org: SandboxOrg) -> list[str]:
    """The queries that arrived, in their order."""
    return [parse_qs(seen.query)["q"][0] for seen in org.requests if "q=" in seen.query]


def ids(pages: list[Page]) -> list[str]:
    return [record["Id"] for page in pages for record in page.records]


# -- what is asked for, and the way to the end


@pytest.mark.parametrize(
    ("soql", "first", "then", "total"),
    [
        (IDS, f"{IDS} ORDER BY Id LIMIT 11", f"{IDS} ORDER BY Id", 504),
        (
            f"{IDS} ORDER BY LastName DESC",
            f"{IDS} ORDER BY LastName DESC, Id LIMIT 11",
            f"{IDS} ORDER BY LastName DESC, Id",
            504,
        ),
        (f"{IDS} LIMIT 25", f"{IDS} ORDER BY Id LIMIT 11", f"{IDS} ORDER BY Id LIMIT 25", 25),
        (f"{IDS} LIMIT 7", f"{IDS} ORDER BY Id LIMIT 7", None, 7),
        (f"{IDS} LIMIT 10", f"{IDS} ORDER BY Id LIMIT 10", None, 10),
        (
            f"{IDS} ORDER BY Id LIMIT 30 OFFSET 5",
            f"{IDS} ORDER BY Id LIMIT 11 OFFSET 5",
            f"{IDS} ORDER BY Id LIMIT 30 OFFSET 5",
            30,
        ),
        (f"{IDS} LIMIT 0", f"{IDS} ORDER BY Id LIMIT 0", None, 0),
        (
            "SELECT Id, (SELECT Id FROM Contacts LIMIT 2) FROM Account",
            "SELECT Id, (SELECT Id FROM Contacts LIMIT 2) FROM Account ORDER BY Id LIMIT 11",
            None,
            1,
        ),
    ],
)
async def test_a_query_of_rows_asks_for_what_it_shows_and_then_runs_itself(
    app: App, caller: Caller, acme: SandboxOrg, soql: str, first: str, then: str | None, total: int
) -> None:
    add_contacts(acme, 500)
    pages = await every_page(lambda cursor: query(app, caller, soql, 10, cursor))

    queries = sent(acme)
    assert queries[0] == first
    assert set(queries[1:]) == ({then} if then else set())
    assert len(ids(pages)) == len(set(ids(pages))) == total
    assert [page.total_size for page in pages[1:]] == [total] * (len(pages) - 1)
    assert pages[0].total_size == (None if pages[0].has_more else total)


@pytest.mark.parametrize(
    "soql",
    [
        "SELECT COUNT() FROM Contact",
        "SELECT COUNT(Id) FROM Contact",
        "SELECT LastName, COUNT(Id) FROM Contact GROUP BY LastName",
        "SELECT LastName, COUNT(Id) FROM Contact GROUP BY LastName ORDER BY LastName LIMIT 5",
    ],
)
async def test_what_sums_up_runs_as_it_is_written_and_pages_by_skipping(
    app: App, caller: Caller, acme: SandboxOrg, soql: str
) -> None:
    add_contacts(acme, 100)
    pages = await every_page(lambda cursor: query(app, caller, soql, 3, cursor))

    assert set(sent(acme)) == {soql}
    rows = [json.dumps(record) for page in pages for record in page.records]
    assert len(rows) == len(set(rows))
    assert {page.total_size for page in pages} == {{"COUNT()": 104, "COUNT(Id)": 1}.get(soql.split()[1], len(rows))}


async def test_what_the_grammar_cannot_read_runs_as_it_is_written(
    app: App, caller: Caller, host: Scripted, say
) -> None:
    soql = f"{IDS} WITH SECURITY_ENFORCED"
    found = {"totalSize": 3, "done": True, "records": [{"Id": f"003Sb000000000{n}IAA"} for n in range(3)]}
    host.on("GET", "SECURITY_ENFORCED", *[say(200, found) for _ in range(2)])

    pages = await every_page(lambda cursor: query(app, caller, soql, 2, cursor))

    assert host.queries() == [soql, soql]
    assert (len(ids(pages)), [page.total_size for page in pages]) == (3, [3, 3])


@pytest.mark.parametrize("order_by", [None, "LastName", "LastName desc", "Id"])
async def test_a_list_asks_for_what_it_shows_and_every_record_comes_once(
    app: App, caller: Caller, acme: SandboxOrg, order_by: str | None
) -> None:
    add_contacts(acme, 120)
    listing = {"limit": 25, "fields": ["LastName"], "order_by": order_by}
    pages = await every_page(
        lambda cursor: operations.list_(app, caller, LIST, "acme", Listing(CONTACT, cursor=cursor, **listing))  # type: ignore[arg-type]
    )

    queries = sent(acme)
    assert queries[0].endswith(" LIMIT 26")
    assert all("LIMIT" not in each for each in queries[1:])
    assert all(each.partition(" LIMIT")[0].split(", ")[-1].removeprefix("SELECT ").endswith("Id") for each in queries)
    assert len(ids(pages)) == len(set(ids(pages))) == 124
    assert [page.total_size for page in pages] == [None, *[124] * (len(pages) - 1)]


async def test_appointments_from_now_on_go_on_from_the_same_moment(app: App, caller: Caller, acme: SandboxOrg) -> None:
    for hour in range(30):
        start = f"2037-01-{hour % 3 + 1:02}T{hour % 24:02}:00:00.000+0000"
        acme.records.add(schema.load("Event"), {"Subject": "S", "StartDateTime": start, "DurationInMinutes": 5})
    pages = await every_page(
        lambda cursor: operations.list_(
            app, caller, "salesforce_list_appointments", "acme", Listing(EVENT, limit=12, cursor=cursor)
        )
    )

    first, *later = sent(acme)
    assert {f"{each} LIMIT 13" for each in later} == {first}
    assert len(ids(pages)) == len(set(ids(pages))) >= 30


async def test_deleted_records_are_paged_and_counted_too(app: App, caller: Caller, acme: SandboxOrg) -> None:
    add_contacts(acme, 40)
    table = schema.load("Contact")
    for identifier in list(acme.records.tables["Contact"])[:15]:
        acme.records.delete(table, identifier)
    pages = await every_page(
        lambda cursor: query(app, caller, IDS, 20, cursor, include_deleted=True, count=True), most=10
    )

    assert len(set(ids(pages))) == len(ids(pages)) == 44
    assert [page.total_size for page in pages] == [44, 44, 44]
    assert {seen.path.rpartition("/")[2] for seen in acme.requests if "q=" in seen.query} == {"queryAll"}


async def test_a_cursor_of_a_list_is_short_however_long_the_filter(app: App, caller: Caller, acme: SandboxOrg) -> None:
    add_contacts(acme, 60)
    names = [f"N{number}" for number in range(1_000)]
    pages = await every_page(
        lambda cursor: operations.list_(
            app, caller, LIST, "acme", Listing(CONTACT, limit=25, cursor=cursor, filter={"LastName": {"in": names}})
        )
    )

    assert len(set(ids(pages))) == len(ids(pages)) == 60
    assert max(len(page.next_cursor or "") for page in pages) < 400


# -- results that Salesforce no longer keeps


@pytest.mark.parametrize("ended", ["locator", "session"])
async def test_a_result_that_has_expired_starts_again_by_itself_where_its_order_is_total(
    app: App, caller: Caller, acme: SandboxOrg, ended: str
) -> None:
    add_contacts(acme, 2_600)
    acme.locators_end_with_session = True

    async def page(cursor: str | None) -> Page:
        if ended == "session":
            acme.expire_access_tokens()
        else:
            acme.locators.clear()
        return await query(app, caller, f"{IDS} ORDER BY LastName", 400, cursor)

    pages = await every_page(page)

    assert len(ids(pages)) == len(set(ids(pages))) == 2_604
    assert [each.total_size for each in pages[1:]] == [2_604] * 6
    entry = await last_entry(app)
    assert (entry.row_count, entry.outcome.value) == (204, "succeeded")
    assert (entry.api_calls or 0) > 1  # the refused locator, and the way back to its place


async def test_a_result_that_has_expired_is_refused_where_it_ran_as_written(
    app: App, caller: Caller, acme: SandboxOrg, host: Scripted, refuse
) -> None:
    host.on("GET", "ORDER", refuse(400, "MALFORMED_QUERY", UNSORTED))
    acme.page_rows = 2
    cursor = (await query(app, caller, IDS, 2)).next_cursor
    opened = next(iter(acme.locators.values())).opened
    acme.clock = lambda: opened + timedelta(days=2)

    with pytest.raises(Rejected) as told:
        await query(app, caller, IDS, 2, cursor)

    assert (told.value.code, told.value.hint) == (
        "INVALID_QUERY_LOCATOR",
        "the result has expired; start again without a cursor",
    )


@pytest.mark.parametrize("path", [True, False])
async def test_a_cursor_of_the_version_before_goes_on_as_it_was(
    app: App, caller: Caller, acme: SandboxOrg, path: bool
) -> None:
    acme.page_rows = 2
    arguments = {"tool": "query", "soql": IDS, "limit": 2, "include_deleted": False}
    org, _ = await app.access.org(caller, "acme")
    await query(app, caller, f"{IDS} ORDER BY Id LIMIT 4", 4)
    locator = next(iter(acme.locators))
    before = Position(f"/services/data/{org.api_version}/query/{locator}-2" if path else None, 0 if path else 2)
    key, whose = app.store.cursors, {"org": org.row_id, "principal": caller.principal.name}
    old = cursors.write(key, before, arguments=arguments, **whose)

    page = await query(app, caller, IDS, 2, old)

    assert len(page.records) == 2
    assert sent(acme)[1:] == ([] if path else [IDS])
    with pytest.raises(InvalidArgument) as told:
        await operations.list_(app, caller, LIST, "acme", Listing(CONTACT, limit=2, cursor=old))
    assert told.value.fields == ("cursor",)


# -- objects that Salesforce does not sort


async def test_what_cannot_be_ordered_by_id_runs_as_it_is_written(
    app: App, caller: Caller, acme: SandboxOrg, host: Scripted, refuse
) -> None:
    host.on("GET", "ORDER", refuse(400, "MALFORMED_QUERY", UNSORTED))
    pages = await every_page(lambda cursor: query(app, caller, IDS, 3, cursor))

    assert host.queries() == [f"{IDS} ORDER BY Id LIMIT 4", IDS, IDS]
    assert (len(set(ids(pages))), [page.total_size for page in pages]) == (4, [4, 4])
    assert [entry.api_calls async for entry in app.audit_log.entries(EntryFilter(tool=QUERY))] == [2, 1]


@pytest.mark.parametrize("soql", [f"{IDS} WHERE Nickname = 'x'", f"{IDS} ORDER BY Nickname", "SELECT Id FROM Contakt"])
async def test_what_is_wrong_with_a_query_as_written_is_refused_once(
    app: App, caller: Caller, acme: SandboxOrg, soql: str
) -> None:
    with pytest.raises(Rejected):
        await query(app, caller, soql)

    assert len(sent(acme)) == 1


async def test_a_query_with_offset_that_salesforce_cuts_short_says_so(
    app: App, caller: Caller, acme: SandboxOrg
) -> None:
    add_contacts(acme, 2_600)
    pages = await every_page(lambda cursor: query(app, caller, f"{IDS} OFFSET 100", 1_500, cursor))

    assert [len(page.records) for page in pages] == [1_500, 500]
    assert (pages[-1].has_more, pages[-1].total_size) == (False, 2_504)
    assert ["OFFSET" in warning for warning in pages[-1].warnings] == [True]


@pytest.mark.parametrize(
    ("clauses", "total"), [("OFFSET 100", 1_904), ("LIMIT 700 OFFSET 100", 700), ("OFFSET 1900", 104)]
)
async def test_a_query_with_offset_that_is_whole_says_nothing(
    app: App, caller: Caller, acme: SandboxOrg, clauses: str, total: int
) -> None:
    add_contacts(acme, 2_000)
    pages = await every_page(lambda cursor: query(app, caller, f"{IDS} {clauses}", 500, cursor))

    assert len(set(ids(pages))) == len(ids(pages)) == total
    assert {page.warnings for page in pages} == {()}
    assert [page.total_size for page in pages] == [total if len(pages) == 1 else None, *[total] * (len(pages) - 1)]


# -- counts


class Meeting(httpx.AsyncBaseTransport):
    """Holds queries back until so many are there; a count may stay away for good."""

    def __init__(self, real: httpx.AsyncBaseTransport, parties: int, *, counts: bool = True) -> None:
        self._real = real
        self._barrier = asyncio.Barrier(parties)
        self._counts = counts
        self.queries: list[str] = []

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        if "q" in request.url.params:
            soql = request.url.params["q"]
            self.queries.append(soql)
            await self._barrier.wait()
            if "COUNT()" in soql and not self._counts:
                await asyncio.Event().wait()
        return await self._real.handle_async_request(request)

    async def aclose(self) -> None:
        await self._real.aclose()


async def meet(app: App, acme: SandboxOrg, transports: HttpxSenders, *, counts: bool = True) -> Meeting:
    meeting = Meeting(transports.open_real(acme.url), 2, counts=counts)
    await app.access.client.aclose()
    transports.open = lambda _url: meeting
    return meeting


@pytest.mark.parametrize(
    ("soql", "total"),
    [
        (IDS, 104),
        (f"{IDS} WHERE LastName = 'N1'", 15),
        (f"{IDS} ORDER BY LastName LIMIT 30", 30),
        (f"{IDS} LIMIT 200", 104),
        (f"{IDS} LIMIT 30 OFFSET 90", 14),
    ],
)
async def test_a_count_is_asked_at_the_same_time_and_goes_by_the_querys_own_limit(
    app: App, caller: Caller, acme: SandboxOrg, transports: HttpxSenders, soql: str, total: int
) -> None:
    add_contacts(acme, 100)
    meeting = await meet(app, acme, transports)

    async with asyncio.timeout(20):
        page = await query(app, caller, soql, 10, count=True)

    assert (page.total_size, page.has_more, len(page.records)) == (total, True, 10)
    assert sorted("COUNT()" in each for each in meeting.queries) == [False, True]
    assert not any("LIMIT" in each for each in meeting.queries if "COUNT()" in each)
    assert (await last_entry(app)).api_calls == 2


async def test_a_list_is_counted_by_its_filter(app: App, caller: Caller, acme: SandboxOrg) -> None:
    add_contacts(acme, 100)
    listing = Listing(CONTACT, limit=5, filter={"LastName": "N1"})
    counted = await operations.list_(app, caller, LIST, "acme", replace(listing, count=True))
    plain = await operations.list_(app, caller, LIST, "acme", listing)

    assert (counted.total_size, plain.total_size) == (15, None)
    assert ["COUNT()" in each for each in sent(acme)].count(True) == 1  # however often usual fields were refused
    assert sum([entry.api_calls or 0 async for entry in app.audit_log.entries(EntryFilter(tool=LIST))]) == len(
        sent(acme)
    )


async def test_groups_are_not_counted_and_a_warning_says_so(app: App, caller: Caller, acme: SandboxOrg) -> None:
    soql = "SELECT LastName, COUNT(Id) FROM Contact GROUP BY LastName"
    page = await query(app, caller, soql, 2, count=True)
    without = await query(app, caller, soql, 2)
    sums = await query(app, caller, "SELECT COUNT(Id) FROM Contact", 2, count=True)

    assert len(sent(acme)) == 3
    assert ["GROUP BY" in warning for warning in page.warnings] == [True]
    assert without.warnings == sums.warnings == ()


async def test_a_count_that_is_not_needed_is_not_asked(app: App, caller: Caller, acme: SandboxOrg) -> None:
    first = await query(app, caller, f"{IDS} LIMIT 3", 3, count=True)
    page = await query(app, caller, IDS, 2, count=True)
    later = await query(app, caller, IDS, 2, page.next_cursor, count=True)

    assert (first.total_size, page.total_size, later.total_size) == (3, 4, 4)
    assert ["COUNT()" in each for each in sent(acme)].count(True) == 1


@pytest.mark.parametrize("status", [400, 403, 500])
async def test_a_count_that_fails_is_a_warning_and_no_error(
    app: App, caller: Caller, host: Scripted, refuse, status: int
) -> None:
    host.on("GET", r"COUNT", *[refuse(status, "QUERY_TIMEOUT" if status == 400 else "BROKEN") for _ in range(9)])
    page = await query(app, caller, IDS, 2, count=True)

    assert (len(page.records), page.total_size, page.has_more) == (2, None, True)
    assert "total_size is left out" in page.warnings[0]
    entry = await last_entry(app)
    assert (entry.outcome.value, entry.row_count, entry.http_status) == ("succeeded", 2, 200)
    assert entry.api_calls == len([each for each in host.asked if "/query" in each.url.path])


async def test_a_count_that_hangs_holds_the_page_up_no_longer_than_the_call_may_take(
    open_again, app: App, caller: Caller, acme: SandboxOrg, transports: HttpxSenders
) -> None:
    async with open_again(call_timeout=3) as hasty:
        await meet(hasty, acme, transports, counts=False)
        page = await query(hasty, caller, IDS, 2, count=True)

    assert (len(page.records), page.total_size) == (2, None)
    assert "TIMEOUT" in page.warnings[0]
    assert (await last_entry(app)).outcome.value == "succeeded"


async def test_a_count_stops_with_the_page_that_fails(app: App, caller: Caller, host: Scripted, refuse) -> None:
    host.on("GET", r"q=SELECT\+Id", refuse(403, "INSUFFICIENT_ACCESS"))

    with pytest.raises(Rejected) as told:
        await query(app, caller, IDS, 2, count=True)

    assert told.value.code == "INSUFFICIENT_ACCESS"
    assert (await last_entry(app)).error_code == "INSUFFICIENT_ACCESS"


# -- many orgs


async def test_many_orgs_are_asked_for_what_is_shown_and_go_on_by_cursor(
    app: App, caller: Caller, acme: SandboxOrg, globex: SandboxOrg
) -> None:
    add_contacts(acme, 20)
    found = await operations.query_orgs(app, caller, "salesforce_query_orgs", ["*"], IDS, limit=5)
    told = {each["org"]: each for each in found.results}
    rest = await query(app, caller, IDS, 5, told["acme"]["next_cursor"])

    assert sent(acme)[0] == sent(globex)[0] == f"{IDS} ORDER BY Id LIMIT 6"
    assert (told["acme"]["has_more"], told["globex"]["has_more"]) == (True, False)
    assert "total_size" not in told["acme"]
    assert (told["globex"]["total_size"], "next_cursor" in told["globex"]) == (4, False)
    assert (rest.total_size, len(rest.records)) == (24, 5)
    assert not {each["Id"] for each in rest.records} & {each["Id"] for each in told["acme"]["records"]}
