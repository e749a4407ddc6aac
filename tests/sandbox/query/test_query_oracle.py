"""Generated queries over generated records give what a few lines of Python give."""

import contextlib
from typing import Any
from zoneinfo import ZoneInfo

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from orgserver.salesforce import soql
from orgserver.salesforce.soql import tree
from orgserver.sandbox.errors import Refusal
from orgserver.sandbox.org import SandboxOrg
from orgserver.sandbox.query.execution import Runner
from orgserver.sandbox.state import schema
from tests.salesforce.soql.soql_texts import queries
from tests.salesforce.soql.soql_texts import text as text_of

Row = dict[str, Any]
words = st.sampled_from(["ada", "Ada", "Bob", "bo", "x_y", "50%"])
rows = st.fixed_dictionaries(
    {
        "LastName": words,
        "Title": st.none() | words,
        "MailingLatitude": st.none() | st.sampled_from([-1.5, 0.0, 2.0, 7.25]),
        "Birthdate": st.none() | st.sampled_from(["1999-12-31", "2000-02-29", "2026-02-20"]),
        "AccountId": st.none() | st.integers(0, 2),
    }
)
tables = st.lists(rows, max_size=12)
slow = settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow], deadline=None, max_examples=150
)
_FIELDS = ("LastName", "Title", "MailingLatitude", "Birthdate")


def fold(value: Any) -> Any:
    return value.casefold() if isinstance(value, str) else value


@st.composite
def conditions(draw: st.DrawFn, depth: int = 2) -> tuple[str, Any]:
    """A WHERE clause, and what it means."""
    if depth and draw(st.booleans()):
        kind = draw(st.sampled_from(["and", "or", "not"]))
        text, test = draw(conditions(depth=depth - 1))
        if kind == "not":
            return f"NOT ({text})", lambda row: not test(row)
        other, second = draw(conditions(depth=depth - 1))
        joined = all if kind == "and" else any
        return f"({text}) {kind} ({other})", lambda row: joined((test(row), second(row)))
    field = draw(st.sampled_from(_FIELDS))
    kinds: dict[str, Any] = {"MailingLatitude": st.sampled_from([-1.5, 0.0, 2.0]), "Birthdate": st.just("2000-02-29")}
    operand = draw(kinds.get(field, words))
    shown = operand if field == "Birthdate" else soql.literal(operand)
    operator = draw(st.sampled_from(["=", "!=", "<", ">=", "in", "not in", "null"]))
    if operator == "null":
        return f"{field} = null", lambda row: row[field] is None
    if operator in ("in", "not in"):
        inside = operator == "in"
        return f"{field} {operator} ({shown}, null)", lambda row: (fold(row[field]) in (fold(operand), None)) is inside
    tests: dict[str, Any] = {
        "=": lambda row: fold(row[field]) == fold(operand),
        "!=": lambda row: fold(row[field]) != fold(operand),
        "<": lambda row: row[field] is not None and fold(row[field]) < fold(operand),
        ">=": lambda row: row[field] is not None and fold(row[field]) >= fold(operand),
    }
    return f"{field} {operator} {shown}", tests[operator]


def filled(org: SandboxOrg, table: list[Row]) -> list[Row]:
    """Put the rows in, in the place of whatever contacts there were; the rows with their ids."""
    org.records.tables["Contact"].clear()
    org.records.tables["Account"].clear()
    accounts = [org.records.add(schema.load("Account"), {"Name": f"Account {number}"}) for number in range(4)]
    made = []
    for row in table:
        number = row["AccountId"]
        account = None if number is None else accounts[number]
        made.append({**row, "AccountId": account})
        made[-1]["Id"] = org.records.add(schema.load("Contact"), dict(made[-1]))
    return made


def run(org: SandboxOrg, text: str) -> list[Row]:
    runner = Runner(org.records, text, org.clock(), ZoneInfo("UTC"), deleted=False)
    row = runner.projection()
    return [row(record, "v60.0") for record in runner.rows()]


@slow
@given(tables, conditions())
def test_where_lets_through_what_it_says(acme: SandboxOrg, table: list[Row], condition: tuple[str, Any]) -> None:
    made = filled(acme, table)
    text, test = condition

    found = run(acme, f"SELECT Id FROM Contact WHERE {text}")

    assert [row["Id"] for row in found] == [row["Id"] for row in made if test(row)]


@slow
@given(
    tables,
    st.lists(st.tuples(st.sampled_from(_FIELDS), st.booleans(), st.booleans()), min_size=1, max_size=3),
    st.integers(0, 3),
    st.integers(0, 5),
)
def test_order_limit_and_offset_do_what_they_say(
    acme: SandboxOrg, table: list[Row], terms: list[tuple[str, bool, bool]], offset: int, limit: int
) -> None:
    expected = filled(acme, table)
    for field, descending, last in reversed(terms):
        nulls = [row for row in expected if row[field] is None]
        others = [row for row in expected if row[field] is not None]
        others.sort(key=lambda row, field=field: fold(row[field]), reverse=descending)
        expected = others + nulls if last else nulls + others
    order = ", ".join(f"{f} {'DESC' if d else 'ASC'} NULLS {'LAST' if n else 'FIRST'}" for f, d, n in terms)

    found = run(acme, f"SELECT Id FROM Contact ORDER BY {order} LIMIT {limit} OFFSET {offset}")

    assert [row["Id"] for row in found] == [row["Id"] for row in expected][offset : offset + limit]


@slow
@given(tables, st.lists(st.sampled_from(["LastName", "Title", "AccountId"]), min_size=1, max_size=2, unique=True))
def test_groups_sum_up_what_belongs_together(acme: SandboxOrg, table: list[Row], by: list[str]) -> None:
    groups: dict[tuple[Any, ...], list[Row]] = {}
    for row in filled(acme, table):
        groups.setdefault(tuple(fold(row[name]) for name in by), []).append(row)
    sums = "COUNT(Id) n, COUNT(Title) t, COUNT_DISTINCT(LastName) d, SUM(MailingLatitude) s, AVG(MailingLatitude) a, "
    sums += "MIN(Birthdate) low, MAX(Birthdate) high"

    found = run(acme, f"SELECT {', '.join(by)}, {sums} FROM Contact GROUP BY {', '.join(by)} HAVING COUNT(Id) > 1")

    expected = []
    for rows in groups.values():
        numbers = [row["MailingLatitude"] for row in rows if row["MailingLatitude"] is not None]
        days = [row["Birthdate"] for row in rows if row["Birthdate"] is not None]
        if len(rows) > 1:
            expected.append(
                {
                    "attributes": {"type": "AggregateResult"},
                    **{name: rows[0][name] for name in by},
                    "n": len(rows),
                    "t": sum(row["Title"] is not None for row in rows),
                    "d": len({row["LastName"].casefold() for row in rows}),
                    "s": sum(numbers) if numbers else None,
                    "a": sum(numbers) / len(numbers) if numbers else None,
                    "low": min(days, default=None),
                    "high": max(days, default=None),
                }
            )
    assert found == expected


@slow
@given(tables, conditions(), st.integers(0, 3))
def test_children_and_joins_find_the_same_records(
    acme: SandboxOrg, table: list[Row], condition: tuple[str, Any], limit: int
) -> None:
    made = filled(acme, table)
    text, test = condition
    wanted = [row for row in made if test(row) and row["AccountId"]]

    nested = run(acme, f"SELECT Id, (SELECT Id FROM Contacts WHERE {text} LIMIT {limit}) FROM Account")
    joined = run(acme, f"SELECT Id FROM Account WHERE Id IN (SELECT AccountId FROM Contact WHERE {text})")
    others = run(acme, f"SELECT Id FROM Account WHERE Id NOT IN (SELECT AccountId FROM Contact WHERE {text})")

    for account in nested:
        children = [row["Id"] for row in wanted if row["AccountId"] == account["Id"]][:limit]
        page = account["Contacts"]
        assert (page and [child["Id"] for child in page["records"]]) == (children or None)
        assert page is None or (page["totalSize"], page["done"]) == (len(children), True)
    assert {row["Id"] for row in joined} == {row["AccountId"] for row in wanted}
    assert len(joined) + len(others) == len(nested) == 4


@slow
@given(queries)
def test_any_query_is_answered_or_refused(acme: SandboxOrg, query: tree.Query) -> None:
    with contextlib.suppress(Refusal):
        run(acme, text_of(query))
