"""What real orgs do at times ends in a contract error with the right outcome and a hint, and costs no more than it must.

docs/stand-ins.md names where each is from; tests/sandbox/test_behaviour.py sees that the sandbox does the same.
"""

from datetime import timedelta

import pytest

from orgserver.app import App
from orgserver.model.errors import CallError, Rejected, Unanswered
from orgserver.model.names import CONTACT, EVENT
from orgserver.model.orgs import Caller, OrgHosts
from orgserver.model.results import Page
from orgserver.model.secret import Secret
from orgserver.salesforce.exchange import Trace, unwrap_read
from orgserver.salesforce.http1.failures import ReplyLost
from orgserver.salesforce.outgoing import build_request
from orgserver.salesforce.protocol.messages import Reply, Request
from orgserver.sandbox.org import SandboxOrg
from orgserver.sandbox.state import schema
from orgserver.sandbox.state.duplicate_rules import Rule
from orgserver.services.queries.list_query import Listing
from orgserver.services.records.upsert import Upsert
from tests import operations

API = r"/services/data/v.*"
ALL = 1_000


async def query(app: App, caller: Caller, soql: str, limit: int = 50, cursor: str | None = None) -> Page:
    return await operations.query(app, caller, "salesforce_query", "acme", soql, limit=limit, cursor=cursor)


async def create(app: App, caller: Caller, **values: object) -> str:
    created = await operations.create(app, caller, "salesforce_create_contact", "acme", CONTACT, dict(values))
    return created.id


def contacts(org: SandboxOrg) -> int:
    return len(org.records.tables["Contact"])


# -- refusals and accidents

_TROUBLES = [
    # occasion, code of a read, category, retryable, outcome of a write, a word of the hint
    ("maintenance", "HTTP_503", "upstream", True, "unknown", "status.salesforce.com"),
    ("edge_502", "HTTP_502", "upstream", True, "unknown", "maintenance"),
    ("edge_406", "HTTP_406", "upstream", True, "rejected", "edge"),
    ("edge_420", "HTTP_420", "upstream", True, "rejected", "My Domain"),
    ("server_busy", "SERVER_UNAVAILABLE", "upstream", True, "unknown", "busy"),
    ("concurrent_limit", "REQUEST_LIMIT_EXCEEDED", "rate_limited", True, "rejected", "at once"),
    ("daily_limit", "REQUEST_LIMIT_EXCEEDED", "rate_limited", False, "rejected", "24 hours"),
    ("query_timeout", "QUERY_TIMEOUT", "upstream", False, "rejected", "narrow the query"),
    ("row_locked", "UNABLE_TO_LOCK_ROW", "conflict", True, "rejected", "somebody else"),
    ("api_disabled_for_org", "API_DISABLED_FOR_ORG", "forbidden", False, "rejected", "administrator"),
    ("api_disabled_for_user", "API_CURRENTLY_DISABLED", "forbidden", False, "rejected", "API Enabled"),
    ("session_not_valid", "INVALID_SESSION_ID", "auth_expired", False, "rejected", "high assurance"),
    ("unexpected_error", "UNKNOWN_EXCEPTION", "upstream", True, "unknown", ""),
]


@pytest.mark.parametrize(("occasion", "code", "category", "retryable", "outcome", "words"), _TROUBLES)
async def test_a_read_in_trouble_is_told_with_what_to_do(  # one row of the table
    app: App,
    caller: Caller,
    acme: SandboxOrg,
    occasion: str,
    code: str,
    category: str,
    retryable: bool,
    outcome: str,
    words: str,
) -> None:
    del outcome
    acme.fault("salesforce", occasion=occasion, path=API, times=ALL)

    with pytest.raises(Rejected) as told:
        await query(app, caller, "SELECT Id FROM Contact")

    error = told.value
    assert (error.code, error.category, error.retryable, error.outcome) == (code, category, retryable, "rejected")
    assert words in (error.hint or "")
    assert acme.counters.refreshes <= 1


@pytest.mark.parametrize(("occasion", "code", "category", "retryable", "outcome", "words"), _TROUBLES)
async def test_a_create_in_trouble_is_unknown_only_where_it_may_have_happened(  # the same row
    app: App,
    caller: Caller,
    acme: SandboxOrg,
    occasion: str,
    code: str,
    category: str,
    retryable: bool,
    outcome: str,
    words: str,
) -> None:
    del category, retryable, words
    before = contacts(acme)
    acme.fault("salesforce", occasion=occasion, path=f"{API}/sobjects/.*", method="POST", times=ALL)

    with pytest.raises(CallError) as told:
        await create(app, caller, LastName="Trouble")

    assert (told.value.code, told.value.outcome) == (code, outcome)
    assert contacts(acme) == before
    if outcome == "unknown":
        assert isinstance(told.value, Unanswered)
        assert not told.value.retryable
        assert "SELECT Id" in (told.value.hint or "")


@pytest.mark.parametrize("occasion", ["maintenance", "edge_406", "server_busy", "concurrent_limit", "unexpected_error"])
async def test_a_read_outlives_trouble_that_passes(app: App, caller: Caller, acme: SandboxOrg, occasion: str) -> None:
    acme.fault("salesforce", occasion=occasion, path=API, times=2)

    assert (await query(app, caller, "SELECT Id FROM Contact")).total_size == 4


@pytest.mark.parametrize("occasion", ["row_locked", "concurrent_limit"])
async def test_a_create_that_was_refused_before_work_is_sent_again(
    app: App, caller: Caller, acme: SandboxOrg, occasion: str
) -> None:
    before = contacts(acme)
    acme.fault("salesforce", occasion=occasion, path=f"{API}/sobjects/.*", method="POST", times=2)

    await create(app, caller, LastName="Locked")

    assert contacts(acme) == before + 1


# -- sessions that no new token cures


async def test_a_session_that_no_new_token_cures_costs_one_refresh_however_often_it_is_met(
    app: App, caller: Caller, acme: SandboxOrg
) -> None:
    await query(app, caller, "SELECT Id FROM Contact")
    acme.counters.refreshes = 0
    acme.fault("salesforce", occasion="session_expired", path=API, times=ALL)

    for _ in range(5):
        with pytest.raises(Rejected) as told:
            await query(app, caller, "SELECT Id FROM Contact")

        assert (told.value.code, told.value.category) == ("INVALID_SESSION_ID", "auth_expired")
        assert not told.value.retryable
        assert "administrator" in (told.value.hint or "")
    assert (acme.counters.refreshes, acme.counters.reuses) == (1, 0)


async def test_a_session_that_is_not_valid_for_rest_costs_no_refresh(
    app: App, caller: Caller, acme: SandboxOrg
) -> None:
    await query(app, caller, "SELECT Id FROM Contact")
    acme.counters.refreshes = 0
    acme.fault("salesforce", occasion="session_not_valid", path=API, times=ALL)

    for _ in range(3):
        with pytest.raises(Rejected, match="not valid for use with the REST API"):
            await query(app, caller, "SELECT Id FROM Contact")
    assert acme.counters.refreshes == 0


async def test_a_session_is_refreshed_as_ever_once_the_org_takes_tokens_again(
    app: App, caller: Caller, acme: SandboxOrg
) -> None:
    await query(app, caller, "SELECT Id FROM Contact")
    acme.counters.refreshes = 0
    acme.fault("salesforce", occasion="session_expired", path=API, times=2)
    with pytest.raises(Rejected):
        await query(app, caller, "SELECT Id FROM Contact")

    assert (await query(app, caller, "SELECT Id FROM Contact")).total_size == 4  # the same token works now
    for _ in range(2):
        acme.expire_access_tokens()
        assert (await query(app, caller, "SELECT Id FROM Contact")).total_size == 4
    assert acme.counters.refreshes == 3


# -- queries


@pytest.mark.parametrize("rows", [None, 1, 3, 150])
async def test_pages_of_any_size_make_the_same_result(
    app: App, caller: Caller, acme: SandboxOrg, rows: int | None
) -> None:
    acme.page_rows = rows
    text = "SELECT LastName FROM Contact ORDER BY LastName"
    found, cursor = [], None
    while True:
        page = await query(app, caller, text, 3, cursor)
        assert len(page.records) <= 3
        found += [each["LastName"] for each in page.records]
        cursor = page.next_cursor
        if cursor is None:
            break

    assert found == ["Hopper", "Johnson", "Lovelace", "Perlman"]


@pytest.mark.parametrize("count", [10, 300])
async def test_rows_of_children_that_are_missing_are_told_of(
    app: App, caller: Caller, acme: SandboxOrg, count: int
) -> None:
    account = next(iter(acme.records.tables["Account"]))
    for number in range(count):
        acme.records.add(schema.load("Contact"), {"LastName": f"Person {number}", "AccountId": account})

    page = await query(app, caller, "SELECT Name, (SELECT LastName FROM Contacts) FROM Account", 10)

    children = page.records[0]["Contacts"]
    assert "nextRecordsUrl" not in children
    assert children["done"] is (count < 200)
    assert len(children["records"]) == min(count + 4, 200)
    assert [("Contacts" in each) for each in page.warnings] == ([] if count < 200 else [True])


async def _begun(app: App, caller: Caller, acme: SandboxOrg) -> str:
    """A cursor into a result that Salesforce keeps, of a query that it did not sort, so that none can begin again."""
    acme.page_rows = 2
    unsorted = '[{"errorCode": "MALFORMED_QUERY", "message": "field Id can not be sorted in a query call"}]'
    acme.fault("status", path=".*/query", status=400, body=unsorted)
    cursor = (await query(app, caller, "SELECT Id FROM Contact", 2)).next_cursor
    assert cursor is not None
    return cursor


async def test_a_locator_that_ended_after_two_days_says_start_again(app: App, caller: Caller, acme: SandboxOrg) -> None:
    cursor = await _begun(app, caller, acme)
    opened = next(iter(acme.locators.values())).opened
    acme.clock = lambda: opened + timedelta(days=2)

    with pytest.raises(Rejected) as told:
        await query(app, caller, "SELECT Id FROM Contact", 2, cursor)

    assert (told.value.code, told.value.hint) == (
        "INVALID_QUERY_LOCATOR",
        "the result has expired; start again without a cursor",
    )


async def test_a_locator_that_ended_after_two_days_is_no_matter_where_the_order_is_total(
    app: App, caller: Caller, acme: SandboxOrg
) -> None:
    acme.page_rows = 1
    seen, cursor = [], None
    for _ in range(4):
        page = await query(app, caller, "SELECT Id FROM Contact", 1, cursor)
        seen, cursor = [*seen, page.records[0]["Id"]], page.next_cursor
        now = acme.clock()
        acme.clock = lambda now=now: now + timedelta(days=2)

    assert cursor is None
    assert seen == sorted(acme.records.tables["Contact"])


async def test_a_locator_that_ended_with_its_session_says_start_again_and_stops_no_other_call(
    app: App, caller: Caller, acme: SandboxOrg
) -> None:
    cursor = await _begun(app, caller, acme)
    acme.locators_end_with_session = True
    acme.expire_access_tokens()
    acme.counters.refreshes = 0

    for _ in range(2):
        with pytest.raises(Rejected) as told:
            await query(app, caller, "SELECT Id FROM Contact", 2, cursor)
        assert (told.value.code, told.value.category) == ("INVALID_QUERY_LOCATOR", "invalid_argument")
    assert acme.counters.refreshes == 1
    acme.expire_access_tokens()
    assert (await query(app, caller, "SELECT Id FROM Contact", 4)).total_size == 4


async def test_a_cursor_goes_on_in_a_new_session_where_the_org_lets_it(
    app: App, caller: Caller, acme: SandboxOrg
) -> None:
    cursor = await _begun(app, caller, acme)
    acme.expire_access_tokens()

    assert len((await query(app, caller, "SELECT Id FROM Contact", 2, cursor)).records) == 2


@pytest.mark.parametrize(
    ("soql", "code", "words"),
    [
        ("SELECT Id FROM Contact LIMIT 1 OFFSET 2001", "NUMBER_OUTSIDE_VALID_RANGE", "cursor"),
        ("SELECT LastName, COUNT(Id) FROM Contact GROUP BY LastName", "EXCEEDED_ID_LIMIT", "2,000"),
        ("SELECT COUNT(Id) FROM Contact LIMIT 5", "MALFORMED_QUERY", ""),
    ],
)
async def test_the_limits_of_queries_are_told(
    app: App, caller: Caller, acme: SandboxOrg, soql: str, code: str, words: str
) -> None:
    for number in range(2_001):
        acme.records.add(schema.load("Contact"), {"LastName": f"Person {number:04d}"})

    with pytest.raises(Rejected) as told:
        await query(app, caller, soql)

    assert (told.value.code, told.value.category) == (code, "invalid_argument")
    assert words in (told.value.hint or "")


async def test_an_aggregate_without_groups_is_asked_without_a_limit(app: App, caller: Caller) -> None:
    page = await query(app, caller, "SELECT COUNT(Id) FROM Contact", 1)

    assert page.records == [{"expr0": 4}]


@pytest.mark.parametrize("count", [10, 400])
async def test_a_long_query_goes_through_a_composite_and_a_short_one_does_not(
    app: App, caller: Caller, acme: SandboxOrg, count: int
) -> None:
    names = [f"Somebody with a long name {number:04d}" for number in range(count)]
    listing = Listing(CONTACT, filter={"LastName": {"in": [*names, "Lovelace"]}})
    acme.requests.clear()

    page = await operations.list_(app, caller, "salesforce_list_contacts", "acme", listing)

    assert [record["LastName"] for record in page.records] == ["Lovelace"]
    ways = {seen.path.rpartition("/")[2] for seen in acme.requests} & {"query", "composite"}
    assert ways == {"composite" if count > 100 else "query"}


async def test_a_long_query_is_refused_and_refreshed_as_any_other(app: App, caller: Caller, acme: SandboxOrg) -> None:
    names = ", ".join(["'Lovelace'", *["'nobody at all'"] * 800])
    text = f"SELECT Id FROM Contact WHERE LastName IN ({names})"
    acme.expire_access_tokens()

    assert (await query(app, caller, text)).total_size == 1
    with pytest.raises(Rejected) as told:
        await query(app, caller, text.replace("SELECT Id", "SELECT Idd"))
    assert (told.value.code, told.value.http_status) == ("INVALID_FIELD", 400)


@pytest.mark.parametrize(
    "body",
    [
        None,
        [],
        {},
        {"compositeResponse": []},
        {"compositeResponse": [1]},
        {"compositeResponse": [{"body": {}}, {}]},
        {"compositeResponse": [{"httpStatusCode": True}]},
        {"compositeResponse": [{"httpStatusCode": 99}]},
        {"compositeResponse": [{"httpStatusCode": "200"}]},
    ],
)
def test_what_is_no_answer_to_a_composite_is_said_to_be_none(body: object) -> None:
    with pytest.raises(ReplyLost, match="composite"):
        unwrap_read(Reply(200, {}, body), Trace())


def test_only_long_reads_of_records_and_queries_are_wrapped() -> None:
    def is_wrapped(method: str, path: str, length: int = 9_000) -> bool:
        request = Request(method, f"/services/data/v60.0/{path}", (("q", "x" * length),))
        host = "https://acme.my.salesforce.com"
        outgoing = build_request(OrgHosts("row", host, host), Secret("00Dx!y"), request)
        return outgoing.target == "/services/data/v60.0/composite"

    assert is_wrapped("GET", "queryAll")
    assert is_wrapped("GET", "sobjects/Contact/003")
    assert not is_wrapped("GET", "search")
    assert not is_wrapped("POST", "query")
    assert not is_wrapped("GET", "query", 7_900)


async def test_large_numbers_are_numbers(app: App, caller: Caller, acme: SandboxOrg) -> None:
    acme.records.add(schema.load("Account"), {"Name": "Large", "AnnualRevenue": 90_000_000})

    page = await query(app, caller, "SELECT AnnualRevenue FROM Account WHERE AnnualRevenue >= 90000000")

    assert page.records == [{"AnnualRevenue": 90_000_000}]


# -- field-level security


@pytest.mark.parametrize("hidden", [(), ("Phone",), ("Phone", "Title", "Email", "AccountId")])
async def test_usual_fields_that_the_user_may_not_see_are_left_out(
    app: App, caller: Caller, acme: SandboxOrg, hidden: tuple[str, ...]
) -> None:
    acme.hidden_fields = {"Contact": frozenset(hidden)}

    page = await operations.list_(app, caller, "salesforce_list_contacts", "acme", Listing(CONTACT))
    record = await operations.read(
        app, caller, "salesforce_get_contact", "acme", CONTACT, str(page.records[0]["Id"]), None
    )

    for row in (*page.records, record.values):
        assert {"Id", "LastName", "FirstName"} <= row.keys()
        assert not {*hidden} & row.keys()
        assert ("Account" in row) is ("AccountId" not in hidden)
    acme.requests.clear()
    await operations.list_(app, caller, "salesforce_list_contacts", "acme", Listing(CONTACT))
    assert len(acme.requests) == 1  # what is hidden is remembered


async def test_usual_fields_of_appointments_are_left_out_too(app: App, caller: Caller, acme: SandboxOrg) -> None:
    acme.hidden_fields = {"Event": frozenset({"Location"})}

    listing = Listing(EVENT, start="2000-01-01", end="2100-01-01")
    page = await operations.list_(app, caller, "salesforce_list_appointments", "acme", listing)

    assert len(page.records) == 2


async def test_a_field_that_is_named_and_hidden_is_refused_by_its_name(
    app: App, caller: Caller, acme: SandboxOrg
) -> None:
    acme.hidden_fields = {"Contact": frozenset({"Phone"})}

    with pytest.raises(CallError) as told:
        await query(app, caller, "SELECT Phone FROM Contact")
    with pytest.raises(CallError) as told_too:
        await create(app, caller, LastName="x", Phone="1")

    assert "Phone" in str(told.value)
    assert "Phone" in str(told_too.value)


# -- keys and duplicates


async def test_several_records_of_one_key_are_named(app: App, caller: Caller, acme: SandboxOrg) -> None:
    acme.objects.change("Contact", "Key__c", {"externalId": True, "idLookup": True, "unique": False})
    ids = {acme.records.add(acme.objects.find("Contact"), {"LastName": "Twin", "Key__c": "k"}) for _ in range(2)}

    wanted = Upsert(CONTACT, "Key__c", "k", {"LastName": "Other"})
    with pytest.raises(Rejected) as told:
        await operations.upsert(app, caller, "salesforce_upsert_record", "acme", wanted)

    assert (told.value.code, told.value.category) == ("MULTIPLE_CHOICES", "conflict")
    assert all(each in (told.value.hint or "") for each in ids)
    assert not any(each["LastName"] == "Other" for each in acme.records.tables["Contact"].values())


@pytest.mark.parametrize("allow_save", [True, False])
async def test_a_duplicate_is_refused_with_the_records_it_resembles(
    app: App, caller: Caller, acme: SandboxOrg, allow_save: bool
) -> None:
    acme.duplicate_rule = Rule("Contact", ("LastName",), allow_save)

    with pytest.raises(Rejected) as told:
        await create(app, caller, LastName="Lovelace")

    assert (told.value.code, told.value.category) == ("DUPLICATES_DETECTED", "conflict")
    assert "look the same: 003" in (told.value.hint or "")


async def test_a_retired_version_names_what_to_do(app: App, caller: Caller, acme: SandboxOrg) -> None:
    acme.fault("status", status=410, path=API, body="")

    with pytest.raises(Rejected) as told:
        await query(app, caller, "SELECT Id FROM Contact")

    assert (told.value.code, told.value.outcome) == ("HTTP_410", "rejected")
    assert "--api-version" in (told.value.hint or "")


@pytest.mark.parametrize("form", ["plain", "bursts", "per_app"])
async def test_an_org_nearly_out_of_calls_says_so_in_every_form(
    app: App, caller: Caller, acme: SandboxOrg, form: str
) -> None:
    acme.limit_info = form  # type: ignore[assignment]  # one of its three values
    quiet = await query(app, caller, "SELECT Id FROM Contact")
    acme.daily_limit = acme.counters.api_calls + 1

    page = await query(app, caller, "SELECT Id FROM Contact")

    assert quiet.warnings == ()
    assert f"{acme.daily_limit:,} of its {acme.daily_limit:,} API calls" in page.warnings[0]
