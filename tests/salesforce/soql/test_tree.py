"""What is printed parses to the same tree; the analysis sees all that a query reads; no literal survives redaction."""

import re

import pytest
from hypothesis import HealthCheck, given, settings

from orgserver.salesforce import soql
from orgserver.salesforce.soql import Read, tree
from tests.salesforce.soql.soql_texts import SENTINEL, queries, text

slow = settings(deadline=None, max_examples=100, suppress_health_check=[HealthCheck.too_slow])


@slow
@given(queries)
def test_a_query_comes_back_from_its_text(query: tree.Query) -> None:
    assert soql.parse(text(query)) == query


@slow
@given(queries)
def test_redaction_leaves_no_literal_of_any_clause(query: tree.Query) -> None:
    redacted = soql.redact(text(query))

    assert SENTINEL not in redacted
    assert not re.search(r"[0-9]|'", redacted.replace("LAST_N_DAYS", ""))


@slow
@given(queries)
def test_redaction_takes_nothing_but_literals(query: tree.Query) -> None:
    names = re.findall(r"[A-Za-z_][A-Za-z_.]*", soql.redact(text(query)))
    written = re.sub(r"'(?:[^'\\]|\\.)*'", " ", text(query), flags=re.DOTALL)

    assert names == [name for name in re.findall(r"[A-Za-z_][A-Za-z_.]*", written) if name not in ("T", "Z")]


@slow
@given(queries)
def test_the_analysis_sees_every_field_that_is_written(query: tree.Query) -> None:
    seen = {name for read in soql.reads(query) for name in read.fields}
    written = set(re.findall(r"[A-Za-z_.]+", soql.redact(text(query))))

    for name in (name for name in written if "." in name):
        assert any(f".{each}".endswith(f".{name}") for each in seen)  # ELSE fields come behind their relationship
    assert written & {"Amount", "Vip__c", "CreatedDate", "Name"} <= {name.rpartition(".")[2] for name in seen}


def test_what_a_query_reads_is_told_query_by_query() -> None:
    query = soql.parse(
        "SELECT a.Name, FIELDS(CUSTOM), toLabel(a.Industry), (SELECT LastName, (SELECT Subject FROM Events) "
        "FROM a.Contacts WHERE Email != null ORDER BY Title), TYPEOF Parent WHEN Lead THEN Phone ELSE Fax END "
        "FROM Account a WHERE Site = 'x' AND Id NOT IN (SELECT AccountId FROM Contact WHERE Account.Rating = 'Hot') "
        "GROUP BY CALENDAR_YEAR(CreatedDate) HAVING MAX(AnnualRevenue) > 5 ORDER BY Owner.Name"
    )

    assert soql.reads(query) == (
        Read(
            "Account",
            (),
            (
                *("AnnualRevenue", "CreatedDate", "Id", "Industry", "Name", "Owner.Name"),
                *("Parent.Fax", "Parent.Id", "Site"),
            ),
            ("custom",),
            "a",
        ),
        Read("Account", ("Contacts",), ("Email", "LastName", "Title")),
        Read("Account", ("Contacts", "Events"), ("Subject",)),
        Read("Lead", (), ("Phone",)),
        Read("Contact", (), ("Account.Rating", "AccountId")),
    )


@pytest.mark.parametrize(
    ("query", "names"),
    [
        ("SELECT COUNT(Id) n FROM Lead GROUP BY Status HAVING MAX(Rating) > 1", ("Id", "Rating", "Status")),
        ("SELECT Id FROM Account WHERE Id IN (SELECT AccountId FROM Contact)", ("Contact.AccountId", "Id")),
        ("SELECT TYPEOF What WHEN Account THEN Phone END FROM Event", ("Account.Phone", "What.Id")),
        ("SELECT FIELDS(ALL) FROM Lead LIMIT 5", ("FIELDS(ALL)",)),
        ("SELECT Lead.Name FROM Lead", ("Name",)),
    ],
)
def test_the_audit_log_names_what_every_part_of_a_query_reads(query: str, names: tuple[str, ...]) -> None:
    assert soql.summary(query)[1] == names


@pytest.mark.parametrize(
    "query",
    [
        "SELECT " + "(SELECT " * 3_000 + "Id",
        "SELECT Id FROM A WHERE Id IN " + "(SELECT Id FROM A WHERE Id IN " * 3_000,
        "SELECT " + "FORMAT(" * 3_000 + "Id",
    ],
)
def test_queries_and_functions_within_one_another_are_refused_not_suffered(query: str) -> None:
    with pytest.raises(soql.SoqlError):
        soql.parse(query)


@pytest.mark.parametrize(
    ("query", "position"),
    [
        ("SELECT Nope(Id) FROM A", 11),
        ("SELECT FIELDS(SOME) FROM A", 14),
        ("SELECT TYPEOF What END FROM A", 19),
        ("SELECT TYPEOF What WHEN A THEN B FROM A", 33),
        ("SELECT COUNT(), Id FROM A", 14),
        ("SELECT Id FROM A HAVING COUNT(Id) > 1", 17),
        ("SELECT Id FROM A WHERE Id IN (SELECT Id FROM B", 46),
        ("SELECT Id FROM A USING mine", 23),
        ("SELECT (SELECT Id FROM B FROM A", 25),
        ("SELECT Id FROM A GROUP BY", 25),
    ],
)
def test_a_mistake_is_told_where_it_is(query: str, position: int) -> None:
    with pytest.raises(soql.SoqlError) as told:
        soql.parse(query)

    assert told.value.position == position
