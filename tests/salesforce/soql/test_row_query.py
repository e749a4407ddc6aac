"""A query of rows in a total order: where its clauses go, what runs as it is written, and whose fault a refusal is."""

from dataclasses import replace

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from orgserver.salesforce import soql
from orgserver.salesforce.soql import RowQuery, tree
from tests.salesforce.soql.soql_texts import queries, text

BIG = "x" * 99_950


def rows(query: str) -> RowQuery | None:
    understood = soql.understood(query)
    return soql.row_query(understood, query) if understood is not None else None


@pytest.mark.parametrize(
    ("query", "first", "whole", "count"),
    [
        ("SELECT Id FROM Contact", "SELECT Id FROM Contact ORDER BY Id LIMIT 11", "SELECT Id FROM Contact ORDER BY Id", "SELECT COUNT() FROM Contact"),
        (
            "select Name from Account a where a.Name like 'limit 3 offset 2' order by a.Name desc nulls last limit 30 offset 5",
            "select Name from Account a where a.Name like 'limit 3 offset 2' order by a.Name desc nulls last, Id LIMIT 11 offset 5",
            "select Name from Account a where a.Name like 'limit 3 offset 2' order by a.Name desc nulls last, Id LIMIT 30 offset 5",
            "SELECT COUNT() FROM Account a where a.Name like 'limit 3 offset 2'",
        ),
        (
            "SELECT Name, (SELECT Id FROM Contacts ORDER BY Name LIMIT 3) FROM Account\nLIMIT 4\n",
            "SELECT Name, (SELECT Id FROM Contacts ORDER BY Name LIMIT 3) FROM Account ORDER BY Id LIMIT 4",
            "SELECT Name, (SELECT Id FROM Contacts ORDER BY Name LIMIT 3) FROM Account ORDER BY Id LIMIT 4",
            "SELECT COUNT() FROM Account",
        ),
        (
            "SELECT Name FROM Contact USING SCOPE mine ORDER BY Contact.Id, Name",
            "SELECT Name FROM Contact USING SCOPE mine ORDER BY Contact.Id, Name LIMIT 11",
            "SELECT Name FROM Contact USING SCOPE mine ORDER BY Contact.Id, Name",
            "SELECT COUNT() FROM Contact USING SCOPE mine",
        ),
        (
            "SELECT Id FROM Contact ORDER BY Account.Id OFFSET 0",
            "SELECT Id FROM Contact ORDER BY Account.Id, Id LIMIT 11 OFFSET 0",
            "SELECT Id FROM Contact ORDER BY Account.Id, Id OFFSET 0",
            "SELECT COUNT() FROM Contact",
        ),
        (
            "SELECT FIELDS(ALL) FROM Contact LIMIT 200",
            "SELECT FIELDS(ALL) FROM Contact ORDER BY Id LIMIT 11",
            "SELECT FIELDS(ALL) FROM Contact ORDER BY Id LIMIT 200",
            "SELECT COUNT() FROM Contact",
        ),
    ],
)  # fmt: skip
def test_the_clauses_of_a_query_of_rows_go_where_salesforce_takes_them(
    query: str, first: str, whole: str, count: str
) -> None:
    made = rows(query)

    assert made is not None
    assert (made.first(11), made.whole, made.count) == (first, whole, count)


@pytest.mark.parametrize(
    "query",
    [
        "SELECT COUNT() FROM Contact",
        "SELECT COUNT(Id) FROM Contact",
        "SELECT MAX(CreatedDate), MIN(CreatedDate) FROM Contact",
        "SELECT Name, COUNT(Id) FROM Contact GROUP BY Name",
        "SELECT Name FROM Contact GROUP BY Name",
        "SELECT FIELDS(ALL) FROM Contact",
        "SELECT FIELDS(CUSTOM) FROM Contact LIMIT 201",
        "SELECT Id FROM Contact WITH SECURITY_ENFORCED",
        "SELECT Id FROM Contact ALL ROWS",
        "SELECT Id FROM Contact FOR VIEW",
        "SELECT Id FROM Contact c, c.Account a",
        "no query at all",
        f"SELECT Id FROM Contact WHERE LastName = '{BIG}'",
    ],
)
def test_what_sums_up_has_no_room_or_cannot_be_read_runs_as_it_is_written(query: str) -> None:
    assert rows(query) is None


@given(queries, st.integers(1, 2_001))
def test_nothing_of_a_query_changes_but_its_order_and_its_limit(query: tree.Query, limit: int) -> None:
    assume(not query.count and not query.aggregated)
    made = rows(text(query))
    assume(made is not None and not (query.having and not query.group))
    assert made is not None

    whole, first, count = (soql.parse(each) for each in (made.whole, made.first(limit), made.count))

    is_total = any(
        isinstance(term.by, tree.Path) and tree.own(query, term.by.path).lower() == "id" for term in query.order
    )
    order = query.order if is_total else (*query.order, tree.Order(tree.Path("Id")))
    assert whole == replace(soql.parse(text(query)), order=order)
    assert first == replace(whole, limit=limit if query.limit is None else min(limit, query.limit))
    assert count == tree.Query(query.sobject, (), True, whole.alias, whole.scope, whole.where)


@pytest.mark.parametrize(
    ("limit", "offset", "counted", "total"),
    [(None, 0, 40, 40), (10, 0, 40, 10), (100, 0, 40, 40), (None, 15, 40, 25), (10, 35, 40, 5), (10, 50, 40, 0)],
)
def test_a_count_goes_by_the_querys_own_limit_and_offset(
    limit: int | None, offset: int, counted: int, total: int
) -> None:
    assert RowQuery("", "", limit, offset).total(counted) == total


@pytest.mark.parametrize(
    ("query", "refusal", "blamed"),
    [
        ("SELECT Id FROM A", " SELECT Id FROM A ORDER BY Id ^ ERROR at Row:1:Column:27 field 'Id' can not be sorted", True),
        ("SELECT Idd FROM A", " SELECT Idd FROM A ^ ERROR at Row:1:Column:8 No such column 'Idd' on entity 'A'", False),
        ("SELECT Id\nFROM A\nORDER BY B", "ERROR at Row:3:Column:10 No such column 'B' on entity 'A'", False),
        ("SELECT Id\nFROM A\nORDER BY B", "ERROR at Row:3:Column:13 field 'Id' can not be sorted in a query call", True),
        ("SELECT Id FROM A", "The requested operation is not yet supported by this SObject storage type", None),
    ],
)  # fmt: skip
def test_a_refusal_is_blamed_on_what_was_added_by_its_place(query: str, refusal: str, blamed: bool | None) -> None:
    made = rows(query)

    assert made is not None
    assert made.is_to_blame(refusal) is blamed
