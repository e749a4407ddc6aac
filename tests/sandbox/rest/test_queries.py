"""Queries are answered, paged and refused as Salesforce does."""

import contextlib
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from orgserver.salesforce import soql
from orgserver.sandbox.errors import Refusal
from orgserver.sandbox.org import SandboxOrg
from orgserver.sandbox.query import date_literals
from orgserver.sandbox.query.execution import Runner
from orgserver.sandbox.state import schema

DATA = "/services/data/v60.0"


async def query(web: httpx.AsyncClient, text: str, **headers: str) -> dict[str, Any]:
    reply = await web.get(f"{DATA}/query/", params={"q": text}, headers=headers)
    assert reply.status_code == 200, reply.text
    return dict(reply.json())


async def refused(web: httpx.AsyncClient, text: str) -> tuple[str, str]:
    reply = await web.get(f"{DATA}/query", params={"q": text})
    assert reply.status_code == 400, reply.text
    (error,) = reply.json()
    return error["errorCode"], error["message"]


def run(org: SandboxOrg, text: str) -> list[dict[str, Any]]:
    runner = Runner(org.records, text, org.clock(), ZoneInfo(org.time_zone), deleted=False)
    row = runner.projection()
    return [row(record, "v60.0") for record in runner.rows()]


async def test_the_org_tells_about_itself_in_one_row(web: httpx.AsyncClient, acme: SandboxOrg) -> None:
    names = "Name, InstanceName, IsSandbox, TrialExpirationDate, NamespacePrefix, OrganizationType"

    page = await query(web, f"SELECT {names} FROM Organization")

    assert page["totalSize"] == 1
    assert page["records"][0]["Name"] == acme.name


async def test_parents_are_nested_and_missing_ones_null(web: httpx.AsyncClient, acme: SandboxOrg) -> None:
    acme.records.add(schema.load("Contact"), {"LastName": "Alone"})

    page = await query(
        web, "SELECT Name, Account.Name, Account.Owner.Name, Account.Owner.Username FROM Contact ORDER BY Account.Name"
    )

    assert page["records"][0]["Account"] is None
    account = page["records"][1]["Account"]
    assert account["attributes"]["type"] == "Account"
    assert account["Owner"]["Name"] == "Agent Smith"
    assert account["Owner"]["Username"] == acme.username


async def test_relations_to_several_objects_show_what_all_have(web: httpx.AsyncClient) -> None:
    page = await query(
        web, "SELECT Subject, Who.Name, Who.Type, What.Name, What.Type FROM Event WHERE Who.Type = 'Contact' LIMIT 1"
    )

    (event,) = page["records"]
    assert (event["Who"]["Type"], event["What"]["Type"]) == ("Contact", "Account")
    assert event["Who"]["attributes"]["type"] == "Name"
    assert (await refused(web, "SELECT What.BillingCity FROM Event"))[0] == "INVALID_FIELD"


async def test_the_same_thing_twice_is_refused(web: httpx.AsyncClient) -> None:
    assert "duplicate field selected: id" in (await refused(web, "SELECT Id, id FROM Contact"))[1]
    assert "duplicate" in (await refused(web, "SELECT Account.Name, Account.Name FROM Contact"))[1]


async def test_an_error_is_framed_as_salesforce_frames_it(web: httpx.AsyncClient) -> None:
    # The text is the recorded one of exchanges/test_count_sobjects__errors.json.
    code, message = await refused(web, "select count() from XYZZY")

    assert code == "INVALID_TYPE"
    assert message == (
        "\nselect count() from XYZZY\n                    ^\nERROR at Row:1:Column:21\n"
        "sObject type 'XYZZY' is not supported. If you are attempting to use a custom object, be sure to append the "
        "'__c' after the entity name. Please reference your WSDL or the describe call for the appropriate names."
    )


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("", "MALFORMED_QUERY"),
        ("SELECT Id FROM Contact FOR VIEW", "MALFORMED_QUERY"),
        ("SELECT Name, COUNT(Id) FROM Contact GROUP BY Email", "MALFORMED_QUERY"),
        ("SELECT Id, (SELECT Id FROM Contact) FROM Account", "INVALID_TYPE"),
        ("SELECT Id FROM Contact WHERE Name = Ada", "MALFORMED_QUERY"),
        ("SELECT Id FROM Contact WHERE Name = 'a\\%'", "MALFORMED_QUERY"),
        ("SELECT Id FROM Contact WHERE Name = 'a\\x'", "MALFORMED_QUERY"),
        ("SELECT Id FROM Contact WHERE Birthdate = 2026-02-30", "MALFORMED_QUERY"),
        ("SELECT Id FROM Contact WHERE CreatedDate > 2026-02-20T25:00:00Z", "MALFORMED_QUERY"),
        ("SELECT Id FROM Contact WHERE CreatedDate > LAST_N_DAYS", "MALFORMED_QUERY"),
        ("SELECT Id FROM Contact WHERE CreatedDate > LAST_N_DAYS:99999999999", "MALFORMED_QUERY"),
        ("SELECT Id FROM Contact LIMIT 99999999999999999999999", "MALFORMED_QUERY"),
        ("SELECT Id FROM Contact ORDER BY Description", "MALFORMED_QUERY"),
        ("SELECT Id FROM Contact WHERE CreatedDate > 2026-02-20", "INVALID_FIELD"),
        ("SELECT Id FROM Contact WHERE Birthdate > 2026-02-20T00:00:00Z", "INVALID_FIELD"),
        ("SELECT Id FROM Contact WHERE Name = TODAY", "INVALID_FIELD"),
        ("SELECT Id FROM Contact WHERE Account.Nope = 'x'", "INVALID_FIELD"),
        ("SELECT Account.Nope FROM Contact WHERE Name = 'nobody'", "INVALID_FIELD"),
        ("SELECT Nope.Name FROM Contact", "INVALID_FIELD"),
        ("SELECT Id FROM Contact WHERE Description LIKE 'x%'", "INVALID_FIELD"),
        ("SELECT Id FROM Contact WHERE Id = 'nobody'", "INVALID_QUERY_FILTER_OPERATOR"),
        ("SELECT Id FROM Contact WHERE CreatedDate LIKE '2026%'", "INVALID_QUERY_FILTER_OPERATOR"),
        ("SELECT Id FROM Contact WHERE Name > null", "INVALID_QUERY_FILTER_OPERATOR"),
        ("SELECT Id FROM ScratchOrgInfo LIMIT 1", "INVALID_TYPE"),
    ],
)
async def test_what_is_not_understood_is_refused(web: httpx.AsyncClient, text: str, code: str) -> None:
    assert (await refused(web, text))[0] == code


async def test_texts_compare_without_regard_to_case_and_null_is_no_text(acme: SandboxOrg) -> None:
    acme.records.add(schema.load("Contact"), {"LastName": "Zzz", "Title": None})
    acme.records.add(schema.load("Contact"), {"LastName": "Yyy", "Title": "Chief"})

    def names(where: str) -> list[str]:
        return [row["LastName"] for row in run(acme, f"SELECT LastName FROM Contact WHERE LastName > 'x' AND {where}")]

    assert names("Title = 'CHIEF'") == ["Yyy"]
    assert names("Title != 'x'") == ["Zzz", "Yyy"]
    assert names("Title NOT IN ('chief')") == ["Zzz"]
    assert names("Title IN ('chief', null)") == ["Zzz", "Yyy"]
    assert names("NOT Title LIKE 'ch%'") == ["Zzz"]
    assert names("Title = null") == ["Zzz"]
    assert names("(Title < 'd' OR Title > 'd')") == ["Yyy"]


async def test_nulls_come_first_unless_told_otherwise(acme: SandboxOrg) -> None:
    for name, title in (("A", None), ("B", "x"), ("C", "y")):
        acme.records.add(schema.load("Contact"), {"LastName": f"Sort {name}", "Title": title})

    def order(by: str) -> str:
        rows = run(acme, f"SELECT LastName FROM Contact WHERE LastName LIKE 'sort _' ORDER BY {by}")
        return "".join(row["LastName"][-1] for row in rows)

    assert [order("Title"), order("Title DESC"), order("Title NULLS LAST"), order("Title DESC NULLS LAST")] == [
        "ABC",
        "ACB",
        "BCA",
        "CBA",
    ]
    assert order("Title, LastName LIMIT 1 OFFSET 1") == "B"


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.text(alphabet="ab'\\%_\n", min_size=1, max_size=8), st.text(alphabet="ab'\\%_\n", min_size=1, max_size=8))
def test_like_finds_what_begins_with_the_text_and_nothing_else(acme: SandboxOrg, wanted: str, other: str) -> None:
    table = acme.records.tables["Contact"]
    table.clear()
    for name in (wanted + "ab", other + "ab"):
        acme.records.add(schema.load("Contact"), {"LastName": name})

    rows = run(acme, f"SELECT LastName FROM Contact WHERE LastName LIKE {soql.like(wanted, prefix=False, suffix=True)}")

    assert {row["LastName"] for row in rows} == {
        name for name in (wanted + "ab", other + "ab") if name.startswith(wanted)
    }


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.text(alphabet="SELECTidFROMContactWHERElastname =<>'()0123456789-:_,.%\\TZ", max_size=60))
def test_no_condition_brings_the_sandbox_down(acme: SandboxOrg, text: str) -> None:
    with contextlib.suppress(Refusal):
        run(acme, f"SELECT Id FROM Contact WHERE {text}")


async def test_a_long_result_is_paged_under_query(web: httpx.AsyncClient, acme: SandboxOrg, globex: SandboxOrg) -> None:
    for number in range(450):
        acme.records.add(schema.load("Contact"), {"LastName": f"N{number:03}"})
    acme.records.delete(schema.load("Contact"), next(iter(acme.records.tables["Contact"])))

    reply = await web.get(
        f"{DATA}/queryAll",
        params={"q": "SELECT Id, IsDeleted FROM Contact"},
        headers={"Sforce-Query-Options": "batchSize=1"},
    )
    page = reply.json()
    seen, locators = list(page["records"]), []
    while not page["done"]:
        locators.append(page["nextRecordsUrl"])
        page = (await web.get(page["nextRecordsUrl"])).json()
        seen += page["records"]

    assert page["totalSize"] == len({row["Id"] for row in seen}) == 454
    assert len(seen) == 454
    assert sum(row["IsDeleted"] for row in seen) == 1
    assert all(each.startswith(f"{DATA}/query/0r8") for each in locators)
    token = globex.new_session()["access_token"]
    elsewhere = await web.get(globex.url + locators[0], headers={"Authorization": f"Bearer {token}"})
    assert (elsewhere.status_code, elsewhere.json()[0]["errorCode"]) == (400, "INVALID_QUERY_LOCATOR")


@pytest.mark.parametrize("locator", ["0r8000000000000000-200", "nonsense", "0r8000000000000000"])
async def test_an_unknown_locator_is_refused(web: httpx.AsyncClient, locator: str) -> None:
    reply = await web.get(f"{DATA}/query/{locator}")

    assert reply.status_code == 400
    assert reply.json() == [{"message": "invalid query locator", "errorCode": "INVALID_QUERY_LOCATOR"}]


@pytest.mark.parametrize(
    ("word", "amount", "first", "last"),
    [
        ("TODAY", None, "2026-02-20", "2026-02-21"),
        ("YESTERDAY", None, "2026-02-19", "2026-02-20"),
        ("THIS_WEEK", None, "2026-02-15", "2026-02-22"),
        ("LAST_MONTH", None, "2026-01-01", "2026-02-01"),
        ("NEXT_QUARTER", None, "2026-04-01", "2026-07-01"),
        ("LAST_FISCAL_YEAR", None, "2025-01-01", "2026-01-01"),
        ("LAST_90_DAYS", None, "2025-11-22", "2026-02-21"),
        ("LAST_N_DAYS", 7, "2026-02-13", "2026-02-21"),
        ("NEXT_N_DAYS", 7, "2026-02-21", "2026-02-28"),
        ("LAST_N_MONTHS", 3, "2025-11-01", "2026-02-01"),
        ("NEXT_N_FISCAL_QUARTERS", 2, "2026-04-01", "2026-10-01"),
        ("N_DAYS_AGO", 3, "2026-02-17", "2026-02-18"),
        ("N_YEARS_AGO", 2, "2024-01-01", "2025-01-01"),
    ],
)
def test_a_date_word_means_a_span_of_days(word: str, amount: int | None, first: str, last: str) -> None:
    span = date_literals.span(word, amount, datetime(2026, 2, 20, tzinfo=UTC).date())

    assert span is not None
    assert tuple(day.isoformat() for day in span) == (first, last)


@pytest.mark.parametrize(("word", "amount"), [("TODAY", 1), ("LAST_N_DAYS", None), ("N_YEARS_AGO", 99_999), ("X", 1)])
def test_what_is_no_date_word_means_nothing(word: str, amount: int | None) -> None:
    assert date_literals.span(word, amount, datetime(2026, 2, 20, tzinfo=UTC).date()) is None


async def test_a_day_begins_where_the_user_lives(acme: SandboxOrg) -> None:
    acme.clock = lambda: datetime(2026, 2, 20, 23, 30, tzinfo=UTC)  # past midnight in Berlin
    acme.records.add(
        schema.load("Event"),
        {"Subject": "Early", "StartDateTime": "2026-02-20T23:15:00.000+0000", "DurationInMinutes": 5},
    )

    assert [row["Subject"] for row in run(acme, "SELECT Subject FROM Event WHERE StartDateTime = TODAY")] == ["Early"]
