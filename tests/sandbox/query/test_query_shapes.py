"""What sums up, nests or chooses by type is answered in Salesforce's shapes, and refused in its words."""

import json
import time
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import httpx
import pytest

from orgserver.sandbox.errors import Refusal
from orgserver.sandbox.org import SandboxOrg
from orgserver.sandbox.query.execution import Runner
from orgserver.sandbox.state import schema

REPLIES = Path(__file__).parents[2] / "samples" / "replies"
QUERY = "/services/data/v60.0/query"


def run(org: SandboxOrg, text: str) -> list[dict[str, Any]]:
    runner = Runner(org.records, text, org.clock(), ZoneInfo(org.time_zone), deleted=False)
    row = runner.projection()
    return [row(record, "v60.0") for record in runner.rows()]


def shape(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: shape(inner) for name, inner in value.items()}
    return type(value).__name__


async def test_an_aggregate_is_shaped_like_the_recorded_one(web: httpx.AsyncClient, acme: SandboxOrg) -> None:
    acme.records.add(schema.load("Contact"), {"LastName": "Alone", "MailingLatitude": 400.0})
    query = "SELECT AccountId, SUM(MailingLatitude) FROM Contact WHERE MailingLatitude != null GROUP BY AccountId"

    ours = (await web.get(QUERY, params={"q": query})).json()
    real = json.loads((REPLIES / "query_aggregate_success_response.json").read_text("utf-8"))

    assert ours.keys() == real.keys()
    row, recorded = ours["records"][0], real["records"][0]
    assert row == {"attributes": {"type": "AggregateResult"}, "AccountId": None, "expr0": 400.0}
    assert (row["attributes"], shape(row["expr0"])) == (recorded["attributes"], shape(recorded["expr0"]))


async def test_children_are_shaped_like_the_recorded_ones(web: httpx.AsyncClient, acme: SandboxOrg) -> None:
    acme.records.add(schema.load("Account"), {"Name": "Zero"})
    query = "SELECT Name, (SELECT Name FROM Contacts ORDER BY Name LIMIT 1) FROM Account ORDER BY Name"

    full, empty = (await web.get(QUERY, params={"q": query})).json()["records"]
    real = json.loads((REPLIES / "query_success_response.json").read_text("utf-8"))["records"][0]["Whizbangs__r"]

    assert shape(full["Contacts"]) == shape(real)
    assert full["Contacts"]["totalSize"] == 1
    assert [shape(child) for child in full["Contacts"]["records"]] == [shape(child) for child in real["records"]]
    # A parent without children: "Opportunities": null in exchanges/test_simple_upsert__rest.json.
    assert empty["Contacts"] is None


async def test_what_is_not_named_is_numbered(acme: SandboxOrg) -> None:
    (row,) = run(acme, "SELECT COUNT(Id), MIN(LastName) low, COUNT_DISTINCT(AccountId), MAX(LastName) FROM Contact")

    assert row == {
        "attributes": {"type": "AggregateResult"},
        "expr0": 4,
        "low": "Hopper",
        "expr1": 1,
        "expr2": "Perlman",
    }


async def test_an_overall_sum_of_nothing_is_one_row(acme: SandboxOrg) -> None:
    (row,) = run(acme, "SELECT COUNT(Id), SUM(DurationInMinutes), AVG(DurationInMinutes) FROM Event WHERE Id = null")

    assert (row["expr0"], row["expr1"], row["expr2"]) == (0, None, None)
    assert run(acme, "SELECT IsAllDayEvent, COUNT(Id) FROM Event WHERE Id = null GROUP BY IsAllDayEvent") == []


async def test_groups_go_by_parents_and_are_ordered_by_sums(acme: SandboxOrg) -> None:
    for number in range(5):
        acme.records.add(schema.load("Contact"), {"LastName": f"L{number}", "Title": "x" if number else None})

    rows = run(
        acme,
        "SELECT Account.Name, Title, COUNT(Id) FROM Contact GROUP BY Account.Name, Title "
        "HAVING COUNT(Id) > 1 AND (NOT Title = 'y') ORDER BY COUNT(Id) DESC, Account.Name NULLS LAST LIMIT 5",
    )

    assert [(row["Name"], row["Title"], row["expr0"]) for row in rows] == [
        ("Acme Corporation", None, 4),
        (None, "x", 4),
    ]


async def test_date_functions_count_in_utc_unless_converted(acme: SandboxOrg) -> None:
    acme.records.tables["Event"].clear()
    acme.records.add(
        schema.load("Event"),
        {"Subject": "Late", "StartDateTime": "2026-02-28T23:30:00.000+0000", "DurationInMinutes": 5},
    )
    functions = [
        *("CALENDAR_YEAR", "CALENDAR_QUARTER", "CALENDAR_MONTH", "DAY_IN_MONTH", "DAY_IN_WEEK", "DAY_IN_YEAR"),
        *("WEEK_IN_MONTH", "WEEK_IN_YEAR", "HOUR_IN_DAY", "DAY_ONLY", "FISCAL_YEAR"),
    ]

    def parts(of: str) -> list[Any]:
        terms = ", ".join(f"{name}({of})" for name in functions)
        (row,) = run(acme, f"SELECT {terms} FROM Event GROUP BY {terms}")
        return [row[f"expr{number}"] for number in range(len(functions))]

    assert parts("StartDateTime") == [2026, 1, 2, 28, 7, 59, 4, 9, 23, "2026-02-28", 2026]
    assert parts("convertTimezone(StartDateTime)") == [2026, 1, 3, 1, 1, 60, 1, 9, 0, "2026-03-01", 2026]
    assert run(acme, "SELECT Id FROM Event WHERE CALENDAR_MONTH(StartDateTime) = 3") == []
    assert len(run(acme, "SELECT Id FROM Event WHERE CALENDAR_MONTH(convertTimezone(StartDateTime)) IN (3, 4)")) == 1
    assert len(run(acme, "SELECT Id FROM Event WHERE DAY_ONLY(StartDateTime) = 2026-02-28")) == 1


async def test_typeof_shows_what_its_case_says(acme: SandboxOrg) -> None:
    rows = run(
        acme,
        "SELECT Subject, TYPEOF What WHEN Account THEN Name, Owner.Name END, "
        "TYPEOF Who WHEN Lead THEN Id ELSE FirstName, Type END FROM Event WHERE Subject = 'Review'",
    )

    (event,) = rows
    assert event["What"]["attributes"]["type"] == "Account"
    assert (event["What"]["Name"], event["What"]["Owner"]["Name"]) == ("Acme Corporation", "Agent Smith")
    assert (event["Who"]["FirstName"], event["Who"]["Type"]) == ("Grace", "Contact")
    assert list(event) == ["attributes", "Subject", "What", "Who"]


async def test_all_fields_are_those_of_describe(acme: SandboxOrg) -> None:
    (row, *_) = run(acme, "SELECT FIELDS(ALL) FROM Contact LIMIT 200")

    assert set(row) == {"attributes"} | {field["name"] for field in schema.load("Contact").describe["fields"]}
    standard = run(acme, "SELECT FIELDS(STANDARD) FROM Contact")[0]
    custom = run(acme, "SELECT FIELDS(CUSTOM) FROM Contact LIMIT 1")[0]
    assert set(standard) | set(custom) == set(row)
    assert not any(name.endswith("__c") for name in standard)


async def test_children_of_children_are_found_below_their_own_parent(acme: SandboxOrg) -> None:
    (account,) = run(
        acme,
        "SELECT (SELECT Contact.LastName, (SELECT Subject FROM Events) FROM a.Contacts ORDER BY LastName DESC) "
        "FROM Account a WHERE a.Name LIKE 'acme%'",
    )

    events = {row["LastName"]: row["Events"] for row in account["Contacts"]["records"]}
    assert list(events) == ["Perlman", "Lovelace", "Johnson", "Hopper"]
    assert events["Perlman"] is None
    assert [row["Subject"] for row in events["Lovelace"]["records"]] == ["Kick-off"]


async def test_no_reference_is_no_match_of_no_reference(acme: SandboxOrg) -> None:
    acme.records.add(schema.load("Contact"), {"LastName": "Alone"})
    times = {"StartDateTime": "2026-02-28T23:30:00.000+0000", "DurationInMinutes": 5}
    alone = acme.records.add(schema.load("Event"), {"Subject": "Alone", **times})

    joined = run(acme, "SELECT Id FROM Event WHERE AccountId IN (SELECT AccountId FROM Contact)")
    others = run(acme, "SELECT Id FROM Event WHERE AccountId NOT IN (SELECT AccountId FROM Contact)")

    assert len(joined) == 2
    assert [row["Id"] for row in others] == [alone]


async def test_deleted_children_show_in_query_all_only(acme: SandboxOrg) -> None:
    acme.records.delete(schema.load("Contact"), next(iter(acme.records.tables["Contact"])))

    def count(*, deleted: bool) -> int:
        text = "SELECT (SELECT Id FROM Contacts) FROM Account"
        runner = Runner(acme.records, text, acme.clock(), ZoneInfo("UTC"), deleted=deleted)
        return len(runner.projection()(runner.rows()[0], "v60.0")["Contacts"]["records"])

    assert (count(deleted=False), count(deleted=True)) == (3, 4)


async def test_formatted_values_are_texts(acme: SandboxOrg) -> None:
    values = {"LastName": "F", "MailingLatitude": 1234.5, "Birthdate": "1999-12-31", "LeadSource": "Web"}
    acme.records.add(schema.load("Contact"), values | {"CreatedDate": "2026-02-20T13:05:00.000+0000"})

    (row,) = run(
        acme,
        "SELECT FORMAT(CreatedDate) made, FORMAT(Birthdate), FORMAT(MailingLatitude), toLabel(LeadSource) "
        "FROM Contact WHERE toLabel(LeadSource) = 'web' AND LastName = 'F'",
    )

    assert (row["made"], row["Birthdate"], row["MailingLatitude"], row["LeadSource"]) == (
        "2/20/2026, 2:05 PM",
        "12/31/1999",
        "1,234.5",
        "Web",
    )


async def test_more_groups_than_a_page_are_refused(acme: SandboxOrg) -> None:
    for number in range(2_001):
        acme.records.add(schema.load("Contact"), {"LastName": f"N{number}"})

    with pytest.raises(Refusal, match="does not support queryMore") as refused:
        run(acme, "SELECT LastName, COUNT(Id) FROM Contact GROUP BY LastName")

    assert refused.value.body[0]["errorCode"] == "EXCEEDED_ID_LIMIT"
    assert len(run(acme, "SELECT LastName FROM Contact GROUP BY LastName LIMIT 2000")) == 2_000


GROUPED = "Field must be grouped or aggregated: "


@pytest.mark.parametrize(
    ("query", "code", "message"),
    [
        ("SELECT Name, COUNT(Id) FROM Contact", "MALFORMED_QUERY", GROUPED + "Name"),
        ("SELECT FIELDS(ALL), COUNT(Id) FROM Contact GROUP BY Id LIMIT 9", "MALFORMED_QUERY", GROUPED),
        ("SELECT Name FROM Contact GROUP BY Name ORDER BY Email", "MALFORMED_QUERY", GROUPED + "Email"),
        ("SELECT Name FROM Contact GROUP BY Name HAVING Email = 'x'", "MALFORMED_QUERY", GROUPED + "Email"),
        ("SELECT CALENDAR_YEAR(CreatedDate) FROM Contact", "MALFORMED_QUERY", GROUPED),
        ("SELECT Nope FROM Contact GROUP BY Name", "INVALID_FIELD", "No such column 'Nope' on entity 'Contact'"),
        ("SELECT SUM(Name) FROM Contact", "MALFORMED_QUERY", "field Name does not support aggregate operator SUM"),
        ("SELECT MAX(IsDeleted) FROM Contact", "MALFORMED_QUERY", "does not support aggregate operator MAX"),
        ("SELECT MAX(MIN(Name)) FROM Contact", "MALFORMED_QUERY", "unexpected token"),
        ("SELECT COUNT(Id) FROM Contact LIMIT 1", "MALFORMED_QUERY", "cannot also use LIMIT"),
        ("SELECT COUNT(Id) n, MAX(Name) N FROM Contact", "MALFORMED_QUERY", "duplicate alias: N"),
        ("SELECT Name, Account.Name FROM Contact GROUP BY Name, Account.Name", "MALFORMED_QUERY", "duplicate alias"),
        ("SELECT CreatedDate FROM Contact GROUP BY CreatedDate", "MALFORMED_QUERY", "can not be grouped in a query"),
        ("SELECT Name FROM Contact GROUP BY ROLLUP(Name)", "MALFORMED_QUERY", "unexpected token: 'ROLLUP'"),
        ("SELECT Id FROM Contact WHERE COUNT(Id) > 1", "MALFORMED_QUERY", "Aggregate functions can not be used here"),
        ("SELECT COUNT() FROM Contact GROUP BY Name", "MALFORMED_QUERY", "COUNT() can not be used with GROUP BY"),
        (
            "SELECT (SELECT Id FROM Contacts) FROM Account GROUP BY Id",
            "MALFORMED_QUERY",
            "cannot use child relationships",
        ),
        (
            "SELECT (SELECT COUNT() FROM Contacts) FROM Account",
            "MALFORMED_QUERY",
            "only root queries support aggregate",
        ),
        (
            "SELECT (SELECT Id FROM Nope) FROM Account",
            "INVALID_TYPE",
            "Didn't understand relationship 'Nope' in FROM part",
        ),
        (
            "SELECT (SELECT Nope FROM Contacts) FROM Account",
            "INVALID_FIELD",
            "No such column 'Nope' on entity 'Contact'",
        ),
        ("SELECT (SELECT FIELDS(ALL) FROM Contacts) FROM Account LIMIT 1", "MALFORMED_QUERY", "at most 200"),
        ("SELECT FIELDS(CUSTOM) FROM Contact LIMIT 201", "MALFORMED_QUERY", "must have a LIMIT of at most 200"),
        ("SELECT FIELDS(STANDARD), Name FROM Contact", "INVALID_FIELD", "duplicate field selected: Name"),
        ("SELECT Name n FROM Contact", "MALFORMED_QUERY", "only aggregate expressions use field aliasing"),
        ("SELECT TYPEOF Account WHEN Account THEN Id END FROM Contact", "MALFORMED_QUERY", "polymorphic"),
        ("SELECT TYPEOF Who WHEN Account THEN Id END FROM Event", "MALFORMED_QUERY", "Who is never of type Account"),
        (
            "SELECT TYPEOF What WHEN Account THEN Id END, What.Name FROM Event",
            "INVALID_FIELD",
            "duplicate field selected",
        ),
        ("SELECT Id FROM Contact USING SCOPE mine", "INVALID_QUERY_SCOPE", "invalid query scope: mine"),
        ("SELECT Id FROM Contact WHERE CALENDAR_YEAR(Name) = 1", "MALFORMED_QUERY", "does not support function"),
        ("SELECT Id FROM Contact WHERE HOUR_IN_DAY(Birthdate) = 1", "MALFORMED_QUERY", "does not support function"),
        (
            "SELECT Id FROM Contact WHERE DISTANCE(MailingAddress, GEOLOCATION(1, 2), 'km') < 5",
            "MALFORMED_QUERY",
            "DISTANCE is not supported here",
        ),
        ("SELECT Id FROM Contact WHERE Name INCLUDES ('x')", "INVALID_QUERY_FILTER_OPERATOR", "on string field"),
        (
            "SELECT Id FROM Account WHERE Id IN (SELECT AccountId FROM Contact) OR Name = 'x'",
            "MALFORMED_QUERY",
            "Semi join sub-selects are not allowed with the 'OR' operator",
        ),
        (
            "SELECT Id FROM Account WHERE Name = 'x' AND (NOT Id IN (SELECT AccountId FROM Contact))",
            "MALFORMED_QUERY",
            "only allowed at the top level WHERE expressions",
        ),
        (
            "SELECT AccountId FROM Contact GROUP BY AccountId HAVING AccountId IN (SELECT Id FROM Account)",
            "MALFORMED_QUERY",
            "only allowed at the top level WHERE expressions",
        ),
        (
            "SELECT Id FROM Account WHERE Id IN (SELECT AccountId FROM Contact WHERE Id IN (SELECT WhoId FROM Event))",
            "MALFORMED_QUERY",
            "Nesting of semi join sub-selects is not supported",
        ),
        (
            "SELECT Id FROM Account WHERE Id IN (SELECT Id FROM Account)",
            "MALFORMED_QUERY",
            "The inner and outer selects should not be on the same object type",
        ),
        (
            "SELECT Id FROM Account WHERE Id IN (SELECT OwnerId FROM Contact)",
            "MALFORMED_QUERY",
            "should point to the same object type",
        ),
        (
            "SELECT Id FROM Account WHERE Name IN (SELECT AccountId FROM Contact)",
            "MALFORMED_QUERY",
            "outer query should be an id field, cannot use: 'Name'",
        ),
        (
            "SELECT Id FROM Account WHERE Id IN (SELECT Name FROM Contact)",
            "MALFORMED_QUERY",
            "can only query id fields, cannot use: 'Name'",
        ),
        (
            "SELECT Id FROM Account WHERE Id IN (SELECT AccountId FROM Contact ORDER BY Name)",
            "MALFORMED_QUERY",
            "missing value at 'ORDER'",
        ),
        (
            "SELECT Id FROM Account WHERE Id IN (SELECT AccountId, Id FROM Contact)",
            "MALFORMED_QUERY",
            "exactly one id field",
        ),
        (
            "SELECT Id FROM Contact WHERE AccountId IN (SELECT Id FROM Account) "
            "AND OwnerId IN (SELECT Id FROM User) AND Id NOT IN (SELECT WhoId FROM Event)",
            "EXCEEDED_MAX_SEMIJOIN_SUBSELECTS",
            "Maximum 2 semi join sub-selects are allowed",
        ),
    ],
)
async def test_what_salesforce_refuses_is_refused_so(acme: SandboxOrg, query: str, code: str, message: str) -> None:
    with pytest.raises(Refusal) as refused:
        run(acme, query)

    assert refused.value.body[0]["errorCode"] == code
    assert message in refused.value.body[0]["message"]
    assert "\nERROR at Row:1:Column:" in refused.value.body[0]["message"]


async def test_a_hundred_thousand_records_are_read_within_a_second_or_two(acme: SandboxOrg) -> None:
    account = next(iter(acme.records.tables["Account"]))
    record = next(iter(acme.records.tables["Contact"].values()))
    acme.records.tables["Contact"].update(
        (f"003{number:015d}", record | {"Id": f"003{number:015d}", "LastName": f"N{number % 900}"})
        for number in range(100_000)
    )
    queries = [
        "SELECT Id, Name, Account.Name FROM Contact WHERE LastName LIKE 'N%' AND CreatedDate >= TODAY",
        "SELECT LastName, COUNT(Id), MAX(CreatedDate) FROM Contact GROUP BY LastName HAVING COUNT(Id) > 1",
        f"SELECT Id, (SELECT Id FROM Contacts ORDER BY LastName LIMIT 9) FROM Account WHERE Id = '{account}'",
    ]

    started = time.process_time()
    sizes = [len(run(acme, query)) for query in queries]

    assert sizes == [100_000, 900, 1]
    assert time.process_time() - started < 6  # three queries on a slow machine; a fifth of this here
