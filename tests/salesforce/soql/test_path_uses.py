"""A query's uses: no field that it names is left out, and none by which it chooses is taken for one that it shows."""

from __future__ import annotations

import pytest
from hypothesis import given

from orgserver.model.access.acts import PathUse
from orgserver.salesforce import soql
from orgserver.salesforce.soql import tree
from tests.salesforce.soql import soql_texts


def uses(text: str) -> tuple[PathUse, ...]:
    return soql.path_uses(soql.parse(text))


def first(text: str) -> tuple[set[str], set[str]]:
    """What the outermost query shows, and compares."""
    use = uses(text)[0]
    return set(use.shown), set(use.compared)


@pytest.mark.parametrize(
    ("text", "shown", "compared"),
    [
        ("SELECT Id, Email FROM Contact", {"Id", "Email"}, set()),
        ("SELECT COUNT() FROM Contact", set(), set()),
        ("SELECT COUNT() FROM Contact WHERE Email = 'a'", set(), {"Email"}),
        ("SELECT Id FROM Contact WHERE NOT (Email LIKE 'a%' OR Account.Name = 'b')", {"Id"}, {"Email", "Account.Name"}),
        ("SELECT Id FROM Contact ORDER BY Email DESC NULLS LAST, Id", {"Id"}, {"Email", "Id"}),
        ("SELECT COUNT(Email) FROM Contact", {"Email"}, {"Email"}),
        ("SELECT MIN(Email) Phone FROM Contact", {"Email"}, {"Email"}),
        ("SELECT LeadSource, COUNT(Id) n FROM Contact GROUP BY LeadSource", {"LeadSource", "Id"}, {"LeadSource", "Id"}),
        ("SELECT COUNT(Id) FROM Contact GROUP BY ROLLUP(Email, Title)", {"Id"}, {"Id", "Email", "Title"}),
        ("SELECT COUNT(Id) FROM Contact GROUP BY Title HAVING MAX(Email) > 'a'", {"Id"}, {"Id", "Title", "Email"}),
        (
            "SELECT CALENDAR_YEAR(Birthdate) FROM Contact GROUP BY CALENDAR_YEAR(Birthdate)",
            {"Birthdate"},
            {"Birthdate"},
        ),
        ("SELECT toLabel(LeadSource), FORMAT(convertCurrency(Fee__c)) FROM Contact", {"LeadSource", "Fee__c"}, set()),
        ("SELECT FORMAT(Email) Title FROM Contact", {"Email"}, {"Email"}),
        ("SELECT Id FROM Contact WHERE CALENDAR_YEAR(Birthdate) = 1980", {"Id"}, {"Birthdate"}),
        (
            "SELECT Id FROM Contact ORDER BY DISTANCE(Spot__c, GEOLOCATION(1, 2), 'km')",
            {"Id"},
            {"Spot__c"},
        ),
        ("SELECT Id FROM Contact USING SCOPE mine", {"Id"}, {"OwnerId"}),
        ("SELECT Id FROM Contact USING SCOPE everything", {"Id"}, set()),
        ("SELECT TYPEOF What WHEN Account THEN Phone ELSE Name END FROM Event", {"What.Id", "What.Name"}, set()),
    ],
)
def test_what_is_shown_and_what_compared(text: str, shown: set[str], compared: set[str]) -> None:
    assert first(text) == (shown, compared)


def test_a_semi_join_compares_what_it_selects() -> None:
    _, inner = uses("SELECT Id FROM Account WHERE Id IN (SELECT AccountId FROM Contact WHERE Email = 'a')")
    assert (inner.object, set(inner.compared)) == ("Contact", {"AccountId", "Email"})


def test_children_are_of_their_relationships() -> None:
    found = uses("SELECT Id, (SELECT Email, (SELECT Id FROM Events) FROM a.Contacts c) FROM Account a")
    assert [use.children for use in found] == [(), ("Contacts",), ("Contacts", "Events")]
    assert {use.object for use in found} == {"Account"}
    assert found[1].alias == "c"


def test_typeof_shows_fields_of_each_object_and_fields_are_groups() -> None:
    found = uses("SELECT TYPEOF What WHEN Account THEN Phone, Owner.Email END FROM Event")
    assert found[1] == PathUse("Account", "read", shown=frozenset({"Phone", "Owner.Email"}))
    assert uses("SELECT FIELDS(ALL), Id FROM Contact LIMIT 5")[0].groups == {"all"}


@given(soql_texts.queries)
def test_every_field_that_a_query_reads_is_in_its_uses(query: tree.Query) -> None:
    by_use = [(use.object, use.children, use) for use in soql.path_uses(query)]
    for read, (sobject, children, use) in zip(soql.reads(query), by_use, strict=True):
        assert (read.sobject, read.children, set(read.groups)) == (sobject, children, set(use.groups))
        prefixes = {read.source.lower(), (use.alias or "").lower()}
        paths = {_own(path, prefixes) for path in use.shown | use.compared}
        assert set(read.fields) <= paths | use.shown | use.compared


@given(soql_texts.queries)
def test_whatever_stands_outside_of_select_is_compared(query: tree.Query) -> None:
    compared = soql.path_uses(query)[0].compared
    comparisons = tree.comparisons(query.where) + tree.comparisons(query.having)
    outside = [*(each.left for each in comparisons), *query.group, *(term.by for term in query.order)]
    assert {path.path for expression in outside for path in tree.paths(expression)} <= compared


def _own(path: str, prefixes: set[str]) -> str:
    head, _, rest = path.partition(".")
    return rest if rest and head.lower() in prefixes else path
