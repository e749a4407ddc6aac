"""The pretend org is as unkind as Salesforce: what docs/stand-ins.md lists, asked by a client that knows only HTTP."""

import csv
import io
import re
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from orgserver.sandbox import salesforce_answers
from orgserver.sandbox.java_numbers import double
from orgserver.sandbox.org import SandboxOrg
from orgserver.sandbox.state import schema
from orgserver.sandbox.state.duplicate_rules import Rule

DATA = "/services/data/v60.0"
ROWS = f"{DATA}/sobjects"


def errors(reply: httpx.Response) -> tuple[int, str]:
    return reply.status_code, reply.json()[0]["errorCode"]


async def query(web: httpx.AsyncClient, text: str, **headers: str) -> httpx.Response:
    return await web.get(f"{DATA}/query", params={"q": text}, headers=headers)


def only(org: SandboxOrg, name: str) -> dict[str, Any]:
    return next(iter(org.records.tables[name].values()))


def add_contacts(org: SandboxOrg, count: int, **values: Any) -> None:
    for number in range(count):
        org.records.add(schema.load("Contact"), {"LastName": f"Person {number:04d}"} | values)


# -- bodies and addresses


@pytest.mark.parametrize(
    "kind", ["application/x-www-form-urlencoded", "multipart/related; boundary=x", "text/plain", ""]
)
async def test_a_body_that_is_not_called_json_is_415(web: httpx.AsyncClient, acme: SandboxOrg, kind: str) -> None:
    before = len(acme.records.tables["Contact"])

    reply = await web.post(f"{ROWS}/Contact", content=b'{"LastName": "Byron"}', headers={"Content-Type": kind})

    assert errors(reply) == (415, "UNSUPPORTED_MEDIA_TYPE")
    assert len(acme.records.tables["Contact"]) == before


@pytest.mark.parametrize("kind", ["application/json", "Application/JSON; charset=UTF-8"])
async def test_a_body_that_is_called_json_is_read(web: httpx.AsyncClient, kind: str) -> None:
    reply = await web.post(f"{ROWS}/Contact", content=b'{"LastName": "Byron"}', headers={"Content-Type": kind})

    assert reply.status_code == 201


@pytest.mark.parametrize(("size", "status"), [(16_384, 200), (16_385, 414)])
async def test_an_address_beyond_16384_bytes_is_414_in_html(web: httpx.AsyncClient, size: int, status: int) -> None:
    start = f"{DATA}/query?q=SELECT+Id+FROM+Contact+LIMIT+1"
    target = start + "+" * (size - len(start) + 1)  # the question mark does not count here
    head = {"Authorization": web.headers["Authorization"]}
    if status == 200:  # the headers count too, so that only a shorter address gets through
        target = target[:-1_000]

    reply = await web.get(target, headers=head)

    assert reply.status_code == status
    if status == 414:
        assert reply.headers["content-type"].startswith("text/html")
        assert "Bad Message 414" in reply.text


@pytest.mark.parametrize(("size", "status"), [(15_000, 200), (16_385, 431)])
async def test_headers_beyond_16384_bytes_are_431_in_html(web: httpx.AsyncClient, size: int, status: int) -> None:
    reply = await web.get(f"{DATA}/limits", headers={"X-Long": "x" * size})

    assert reply.status_code == status
    assert (status == 200) is ("json" in reply.headers["content-type"])


@pytest.mark.parametrize(("version", "status"), [("v21.0", 410), ("v30.0", 410), ("v31.0", 200), ("v68.0", 200)])
async def test_retired_versions_are_410(web: httpx.AsyncClient, version: str, status: int) -> None:
    assert (await web.get(f"/services/data/{version}/limits")).status_code == status


# -- conditional requests


async def test_accounts_have_entity_tags_and_nothing_else_has(web: httpx.AsyncClient, acme: SandboxOrg) -> None:
    account = await web.get(f"{ROWS}/Account/{only(acme, 'Account')['Id']}")
    contact = await web.get(f"{ROWS}/Contact/{only(acme, 'Contact')['Id']}")

    assert re.fullmatch(r'"[A-Za-z0-9+/=]+--gzip"', account.headers["etag"])
    assert "etag" not in contact.headers
    assert "last-modified" in contact.headers


async def test_an_account_is_read_and_changed_by_its_entity_tag(web: httpx.AsyncClient, acme: SandboxOrg) -> None:
    path = f"{ROWS}/Account/{only(acme, 'Account')['Id']}"
    tag = (await web.get(path)).headers["etag"]

    assert (await web.get(path, headers={"If-None-Match": f'"other", {tag}'})).status_code == 304
    assert (await web.get(path, headers={"If-None-Match": '"other"'})).status_code == 200
    assert (await web.get(path, headers={"If-Match": '"other"'})).status_code == 412
    assert (await web.patch(path, json={"Phone": "1"}, headers={"If-Match": tag})).status_code == 204
    assert (await web.patch(path, json={"Phone": "2"}, headers={"If-Match": tag})).status_code == 412
    assert only(acme, "Account")["Phone"] == "1"
    assert (await web.patch(path, json={"Phone": "2"}, headers={"If-Match": "no tag"})).status_code == 400


async def test_a_contact_is_changed_whatever_the_entity_tag(web: httpx.AsyncClient, acme: SandboxOrg) -> None:
    path = f"{ROWS}/Contact/{only(acme, 'Contact')['Id']}"

    assert (await web.patch(path, json={"Phone": "1"}, headers={"If-Match": '"other"'})).status_code == 204


async def test_dates_are_conditions_on_every_object_but_not_on_a_delete(
    web: httpx.AsyncClient, acme: SandboxOrg
) -> None:
    path = f"{ROWS}/Contact/{only(acme, 'Contact')['Id']}"
    past, future = "Mon, 01 Jan 2001 00:00:00 GMT", "Fri, 01 Jan 2100 00:00:00 GMT"

    assert (await web.get(path, headers={"If-Modified-Since": future})).status_code == 304
    assert (await web.get(path, headers={"If-Modified-Since": past})).status_code == 200
    assert (await web.get(path, headers={"If-Unmodified-Since": past})).status_code == 412
    assert (await web.patch(path, json={"Phone": "1"}, headers={"If-Unmodified-Since": past})).status_code == 412
    assert (await web.patch(path, json={"Phone": "1"}, headers={"If-Unmodified-Since": "soon"})).status_code == 400
    assert (await web.patch(path, json={"Phone": "1"}, headers={"If-Unmodified-Since": future})).status_code == 204
    assert (await web.delete(path, headers={"If-Unmodified-Since": past})).status_code == 204


# -- queries


@pytest.mark.parametrize(("offset", "code"), [(2_000, None), (2_001, "NUMBER_OUTSIDE_VALID_RANGE")])
async def test_offset_ends_at_2000(web: httpx.AsyncClient, offset: int, code: str | None) -> None:
    reply = await query(web, f"SELECT Id FROM Contact OFFSET {offset}")

    assert reply.status_code == 200 if code is None else errors(reply) == (400, code)


@pytest.mark.parametrize(
    ("clauses", "rows", "done"),
    [("OFFSET 0", 200, True), ("LIMIT 300 OFFSET 3", 200, True), ("LIMIT 150 OFFSET 3", 150, True), ("", 200, False)],
)
async def test_offset_ends_with_the_first_batch(
    web: httpx.AsyncClient, acme: SandboxOrg, clauses: str, rows: int, done: bool
) -> None:
    add_contacts(acme, 500)
    page = (await query(web, f"SELECT Id FROM Contact {clauses}", **{"Sforce-Query-Options": "batchSize=200"})).json()

    assert (len(page["records"]), page["done"]) == (rows, done)
    assert page["totalSize"] == (rows if done else 504)


@pytest.mark.parametrize(("outer", "status"), [("", 400), (" LIMIT 2", 400), (" LIMIT 1", 200)])
async def test_a_subquery_has_an_offset_where_one_record_is_around_it(
    web: httpx.AsyncClient, outer: str, status: int
) -> None:
    text = f"SELECT Id, (SELECT Id FROM Contacts OFFSET 1) FROM Account{outer}"

    assert (await query(web, text)).status_code == status


@pytest.mark.parametrize(("terms", "status"), [(32, 200), (33, 400)])
async def test_a_query_is_ordered_by_32_fields_at_most(web: httpx.AsyncClient, terms: int, status: int) -> None:
    text = f"SELECT Id FROM Contact ORDER BY {', '.join(['LastName'] * terms)}"

    assert (await query(web, text)).status_code == status


async def test_what_sums_up_without_groups_takes_no_limit(web: httpx.AsyncClient) -> None:
    assert errors(await query(web, "SELECT COUNT(Id) FROM Contact LIMIT 5")) == (400, "MALFORMED_QUERY")
    assert (await query(web, "SELECT COUNT(Id) FROM Contact")).json()["records"][0]["expr0"] == 4


async def test_more_than_2000_groups_are_refused(web: httpx.AsyncClient, acme: SandboxOrg) -> None:
    add_contacts(acme, 2_000)
    text = "SELECT LastName, COUNT(Id) FROM Contact GROUP BY LastName"

    assert errors(await query(web, text)) == (400, "EXCEEDED_ID_LIMIT")
    assert (await query(web, f"{text} LIMIT 2000")).json()["totalSize"] == 2_000


async def test_pages_are_smaller_than_asked_where_the_org_wants_it(web: httpx.AsyncClient, acme: SandboxOrg) -> None:
    add_contacts(acme, 500)
    text, options = "SELECT Id FROM Contact", {"Sforce-Query-Options": "batchSize=500"}
    assert len((await query(web, text, **options)).json()["records"]) == 500

    acme.page_rows = 150
    sizes, page = [], (await query(web, text, **options)).json()
    while True:
        sizes.append(len(page["records"]))
        if page["done"]:
            break
        page = (await web.get(page["nextRecordsUrl"])).json()

    assert sizes == [150, 150, 150, 54]


async def test_rows_of_children_come_in_pages_of_their_own(web: httpx.AsyncClient, acme: SandboxOrg) -> None:
    add_contacts(acme, 300, AccountId=only(acme, "Account")["Id"])
    text = "SELECT Name, (SELECT LastName FROM Contacts) FROM Account"

    (whole,) = (await query(web, text)).json()["records"]
    options = {"Sforce-Query-Options": "batchSize=200"}
    (cut,) = (await query(web, text, **options)).json()["records"]

    assert (whole["Contacts"]["done"], len(whole["Contacts"]["records"])) == (True, 304)
    assert (cut["Contacts"]["done"], len(cut["Contacts"]["records"]), cut["Contacts"]["totalSize"]) == (False, 200, 304)
    assert len((await web.get(cut["Contacts"]["nextRecordsUrl"])).json()["records"]) == 104


async def test_two_long_texts_make_pages_of_200(web: httpx.AsyncClient, acme: SandboxOrg) -> None:
    for name in ("Notes__c", "Story__c"):
        acme.objects.change("Contact", name, {"type": "textarea", "length": 32_000})
    add_contacts(acme, 300)

    assert len((await query(web, "SELECT Notes__c FROM Contact")).json()["records"]) == 304
    assert len((await query(web, "SELECT Notes__c, Story__c FROM Contact")).json()["records"]) == 200


async def test_locators_live_for_two_days(web: httpx.AsyncClient, acme: SandboxOrg) -> None:
    add_contacts(acme, 300)
    acme.page_rows = 200
    following = (await query(web, "SELECT Id FROM Contact")).json()["nextRecordsUrl"]
    opened = next(iter(acme.locators.values())).opened

    acme.clock = lambda: opened + timedelta(days=2, seconds=-1)
    assert (await web.get(following)).status_code == 200
    acme.clock = lambda: opened + timedelta(days=2)
    assert errors(await web.get(following)) == (400, "INVALID_QUERY_LOCATOR")


@pytest.mark.parametrize(("ends", "status"), [(False, 200), (True, 401)])
async def test_a_locator_may_end_with_its_session(
    web: httpx.AsyncClient, acme: SandboxOrg, ends: bool, status: int
) -> None:
    add_contacts(acme, 300)
    acme.page_rows, acme.locators_end_with_session = 200, ends
    following = (await query(web, "SELECT Id FROM Contact")).json()["nextRecordsUrl"]

    reply = await web.get(following, headers={"Authorization": f"Bearer {acme.new_session()['access_token']}"})

    assert reply.status_code == status
    assert (await web.get(following)).status_code == 200


async def test_words_for_dates_mean_the_users_zone(web: httpx.AsyncClient, acme: SandboxOrg) -> None:
    acme.records.tables["Event"].clear()
    late = {"Subject": "late", "StartDateTime": "2026-03-01T11:30:00.000+0000", "DurationInMinutes": 1}
    acme.records.add(schema.load("Event"), late)
    acme.clock = lambda: datetime(2026, 3, 1, 12, 0, tzinfo=UTC)  # in Auckland it is 01:00 of the 2nd
    found = []
    for zone in ("Europe/Berlin", "Pacific/Auckland"):
        await web.post("/sandbox/knobs", json={"time_zone": zone})
        found.append((await query(web, "SELECT Id FROM Event WHERE StartDateTime = TODAY")).json()["totalSize"])
        user = (await query(web, "SELECT TimeZoneSidKey FROM User")).json()["records"][0]
        assert user["TimeZoneSidKey"] == zone

    assert found == [1, 1]  # 11:30 UTC is 00:30 of the 2nd in Auckland
    acme.clock = lambda: datetime(2026, 3, 1, 10, 0, tzinfo=UTC)  # and now it is 23:00 of the 1st there
    assert (await query(web, "SELECT Id FROM Event WHERE StartDateTime = TODAY")).json()["totalSize"] == 0
    assert (await query(web, "SELECT Id FROM Event WHERE StartDateTime = TOMORROW")).json()["totalSize"] == 1


async def test_converttimezone_needs_a_date_function_around_it(web: httpx.AsyncClient) -> None:
    for text in (
        "SELECT convertTimezone(CreatedDate) FROM Contact",
        "SELECT Id FROM Contact WHERE convertTimezone(CreatedDate) > 2001-01-01T00:00:00Z",
        "SELECT convertTimezone(CreatedDate), COUNT(Id) FROM Contact GROUP BY convertTimezone(CreatedDate)",
        "SELECT convertTimezone(MAX(CreatedDate)) FROM Contact",
        "SELECT FORMAT(convertTimezone(CreatedDate)) FROM Contact",
    ):
        assert errors(await query(web, text)) == (400, "MALFORMED_QUERY"), text
    hours = "HOUR_IN_DAY(convertTimezone(CreatedDate))"
    assert (await query(web, f"SELECT {hours}, COUNT(Id) FROM Contact GROUP BY {hours}")).status_code == 200


# -- numbers


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (9_999_999.99, "9999999.99"),
        (1e7, "1.0E7"),
        (90_000_000.0, "9.0E7"),
        (99_213_206.0, "9.9213206E7"),
        (-115_056_052.5, "-1.150560525E8"),
        (1e17, "1.0E17"),
        (0.001, "0.001"),
        (0.000_123, "1.23E-4"),
        (0.0, "0.0"),
    ],
)
def test_numbers_are_written_as_java_writes_them(number: float, text: str) -> None:
    assert double(number) == text


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_a_number_written_so_is_the_same_number(number: float) -> None:
    assert float(double(number)) == number


async def test_large_numbers_have_exponents_in_json_and_csv(web: httpx.AsyncClient, acme: SandboxOrg) -> None:
    values = {"Name": "Large 12345678.5", "AnnualRevenue": 90_000_000, "NumberOfEmployees": 12_345_678}
    acme.records.add(schema.load("Account"), values)
    text = "SELECT Name, AnnualRevenue, NumberOfEmployees FROM Account WHERE AnnualRevenue > 1"

    reply = await query(web, text)
    job = (await web.post(f"{DATA}/jobs/query", json={"operation": "query", "query": text})).json()["id"]
    while (await web.get(f"{DATA}/jobs/query/{job}")).json()["state"] != "JobComplete":
        pass
    sheet = (await web.get(f"{DATA}/jobs/query/{job}/results")).text

    assert '"AnnualRevenue":9.0E7,"NumberOfEmployees":12345678' in reply.text
    assert reply.json()["records"][0]["Name"] == "Large 12345678.5"
    assert list(csv.reader(io.StringIO(sheet)))[1] == ["Large 12345678.5", "9.0E7", "12345678"]


# -- several in one


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        ([{"method": "GET", "url": f"{DATA}/limits", "referenceId": f"r{n}"} for n in range(26)], "25 operations"),
        ([{"method": "GET", "url": f"{DATA}/query?q=x", "referenceId": f"r{n}"} for n in range(6)], "5 query"),
        ([{"method": "GET", "url": f"{DATA}/limits", "referenceId": "a-b"}], "must start with a letter or a number"),
    ],
)
async def test_an_unfit_composite_is_200_with_one_part(
    web: httpx.AsyncClient, parts: list[dict[str, Any]], message: str
) -> None:
    reply = await web.post(f"{DATA}/composite", json={"compositeRequest": parts})

    (part,) = reply.json()["compositeResponse"]
    assert (reply.status_code, part["httpStatusCode"], part["referenceId"]) == (200, 400, None)
    assert message in part["body"][0]["message"]


async def test_a_composite_within_the_limits_has_all_its_parts(web: httpx.AsyncClient) -> None:
    parts = [{"method": "GET", "url": f"{DATA}/limits", "referenceId": f"r{n}"} for n in range(20)]
    parts += [
        {"method": "GET", "url": f"{DATA}/query?q=SELECT+Id+FROM+Contact", "referenceId": f"{n}_q"} for n in range(5)
    ]

    reply = await web.post(f"{DATA}/composite", json={"compositeRequest": parts})

    assert [each["httpStatusCode"] for each in reply.json()["compositeResponse"]] == [200] * 25


# -- duplicates


@pytest.mark.parametrize(
    ("version", "allow_save", "header", "status"),
    [
        ("v60.0", True, "allowSave=true", 201),
        ("v60.0", True, "includeRecordDetails=true; allowSave=TRUE", 201),
        ("v60.0", True, "", 400),
        ("v60.0", False, "allowSave=true", 400),
        ("v51.0", True, "allowSave=true", 400),
    ],
)
async def test_the_duplicate_header_passes_alerts_and_never_blocks(  # one row of the table
    web: httpx.AsyncClient, acme: SandboxOrg, version: str, allow_save: bool, header: str, status: int
) -> None:
    acme.duplicate_rule = Rule("Contact", ("LastName",), allow_save)
    path, headers = f"/services/data/{version}/sobjects/Contact", {"Sforce-Duplicate-Rule-Header": header}

    reply = await web.post(path, json={"LastName": only(acme, "Contact")["LastName"]}, headers=headers)

    assert reply.status_code == status
    if status == 400:
        assert reply.json()[0]["duplicateResut"]["allowSave"] is allow_save


# -- field-level security


async def test_hidden_fields_are_nowhere(web: httpx.AsyncClient, acme: SandboxOrg) -> None:
    contact = f"{ROWS}/Contact/{only(acme, 'Contact')['Id']}"
    since = (await web.get(f"{ROWS}/Contact/describe")).headers["last-modified"]

    assert (await web.post("/sandbox/knobs", json={"hidden_fields": {"Contact": ["Phone", "MailingCity"]}})).is_success

    describe = await web.get(f"{ROWS}/Contact/describe", headers={"If-Modified-Since": since})
    assert not {"Phone", "MailingCity"} & {each["name"] for each in describe.json()["fields"]}
    assert not {"Phone", "MailingCity"} & (await web.get(contact)).json().keys()
    assert errors(await web.get(f"{contact}?fields=Phone")) == (400, "INVALID_FIELD")
    assert errors(await query(web, "SELECT Phone FROM Contact")) == (400, "INVALID_FIELD")
    assert errors(await query(web, "SELECT Id FROM Contact WHERE Phone != null")) == (400, "INVALID_FIELD")
    assert "Phone" not in (await query(web, "SELECT FIELDS(ALL) FROM Contact LIMIT 1")).json()["records"][0]
    assert errors(await web.patch(contact, json={"Phone": "1"})) == (400, "INVALID_FIELD")
    assert errors(await web.post(f"{ROWS}/Contact", json={"LastName": "x", "Phone": "1"})) == (400, "INVALID_FIELD")


async def test_what_is_hidden_is_kept_and_seen_again(web: httpx.AsyncClient, acme: SandboxOrg) -> None:
    record = only(acme, "Contact")
    contact, phone = f"{ROWS}/Contact/{record['Id']}", record["Phone"]
    record["MailingCity"] = "Paris"
    await web.post("/sandbox/knobs", json={"hidden_fields": {"Contact": ["Phone", "MailingCity"]}})
    assert (await web.patch(contact, json={"MailingStreet": "Rue 1"})).status_code == 204

    await web.post("/sandbox/knobs", json={"hidden_fields": {}})

    shown = (await web.get(contact)).json()
    assert (shown["Phone"], shown["MailingAddress"]["city"]) == (phone, "Paris")


@pytest.mark.parametrize("names", [{"Contact": ["LastName"]}, {"Contact": ["Id"]}, {"Nothing": ["Id"]}, ["Contact"]])
async def test_what_cannot_be_hidden_is_refused(web: httpx.AsyncClient, names: Any) -> None:
    assert (await web.post("/sandbox/knobs", json={"hidden_fields": names})).status_code == 400


# -- limits


@pytest.mark.parametrize(
    ("form", "pattern"),
    [
        ("plain", r"api-usage=\d+/\d+"),
        ("bursts", r"api-usage=\d+/\d+; api-bursts=1/750"),
        ("per_app", r"per-app-api-usage=17/250\(appName=acme-app\); api-usage=\d+/\d+"),
    ],
)
async def test_limit_info_has_three_forms(web: httpx.AsyncClient, acme: SandboxOrg, form: str, pattern: str) -> None:
    await web.post("/sandbox/knobs", json={"limit_info": form})

    assert re.fullmatch(pattern, (await web.get(f"{DATA}/limits")).headers["sforce-limit-info"])
    assert re.fullmatch(pattern, (await web.get(f"{ROWS}/Nothing")).headers["sforce-limit-info"])


async def test_what_does_not_count_carries_no_limit_info(web: httpx.AsyncClient, acme: SandboxOrg) -> None:
    for path in ("/services/data", "/services/oauth2/userinfo"):
        assert "sforce-limit-info" not in (await web.get(path)).headers, path


# -- at times

_EXPECTED = {
    "maintenance": (503, "down for maintenance"),
    "edge_406": (406, ""),
    "edge_420": (420, ""),
    "edge_502": (502, "<!doctype html>"),
    "server_busy": (503, "SERVER_UNAVAILABLE"),
    "concurrent_limit": (403, "ConcurrentRequests (Concurrent API Requests) Limit exceeded."),
    "daily_limit": (403, "TotalRequests Limit exceeded."),
    "query_timeout": (400, "QUERY_TIMEOUT"),
    "row_locked": (400, "UNABLE_TO_LOCK_ROW"),
    "api_disabled_for_org": (403, "The REST API is not enabled for this Organization."),
    "api_disabled_for_user": (403, "API_CURRENTLY_DISABLED"),
    "session_not_valid": (401, "This session is not valid for use with the REST API"),
    "session_expired": (401, "Session expired or invalid"),
    "unexpected_error": (500, "UNKNOWN_EXCEPTION"),
}


@pytest.mark.parametrize("name", sorted(salesforce_answers.NAMES))
async def test_every_occasion_can_be_ordered(web: httpx.AsyncClient, name: str) -> None:
    await web.post("/sandbox/faults", json={"kind": "salesforce", "occasion": name, "path": ".*/limits"})

    reply = await web.get(f"{DATA}/limits")

    status, text = _EXPECTED[name]
    assert reply.status_code == status
    assert text in reply.text
    assert (await web.get(f"{DATA}/limits")).status_code == 200


@pytest.mark.parametrize("order", [{"kind": "salesforce"}, {"kind": "status", "occasion": "maintenance"}])
async def test_an_occasion_goes_with_its_kind_alone(web: httpx.AsyncClient, order: dict[str, str]) -> None:
    assert (await web.post("/sandbox/faults", json=order)).status_code == 400


async def test_error_ids_differ_each_time(web: httpx.AsyncClient, acme: SandboxOrg) -> None:
    acme.fault("salesforce", occasion="unexpected_error", path=".*/limits", times=2)

    texts = {(await web.get(f"{DATA}/limits")).text for _ in range(2)}

    assert len(texts) == 2
