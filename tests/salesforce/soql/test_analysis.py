"""A literal ends only at its own last quote; redaction hides every literal of any text; the parser fails by name."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orgserver.salesforce import soql
from orgserver.salesforce.soql import grammar, tree
from orgserver.salesforce.soql.tokens import SoqlError, tokenize, unquote

texts = st.text(st.characters(codec="utf-8"), max_size=40)
hostile = st.text(alphabet="'\\\"%_\n\r\tnubx0 ()=", max_size=20)


@given(st.one_of(texts, hostile))
def test_a_text_comes_back_from_its_literal(text: str) -> None:
    quoted = soql.literal(text)
    tokens = tokenize(f"x = {quoted} AND")

    assert [token.kind for token in tokens] == ["name", "symbol", "string", "name", "end"]
    assert unquote(tokens[2]) == text.replace("%", "%")


@given(st.one_of(texts, hostile), st.one_of(texts, hostile))
def test_nothing_gets_out_of_a_literal(inside: str, behind: str) -> None:
    query = f"SELECT Id FROM Contact WHERE Name = {soql.literal(inside)} AND Title = {soql.literal(behind)}"

    where = grammar.parse(query).where

    assert [comparison.left for comparison in tree.comparisons(where)] == [tree.Path("Name"), tree.Path("Title")]


@given(st.one_of(texts, hostile))
def test_a_like_pattern_keeps_its_own_wildcards_as_characters(text: str) -> None:
    (token, _end) = tokenize(soql.like(text, prefix=True, suffix=True))
    pattern = unquote(token)

    assert pattern.startswith("%") and pattern.endswith("%")
    assert pattern[1:-1].replace("\\%", "%").replace("\\_", "_") == text


@given(st.text(max_size=60))
def test_any_text_can_be_redacted_and_summed_up(text: str) -> None:
    soql.redact(text)
    soql.summary(text)


@given(st.from_regex(r"[a-z][a-z0-9]{3,12}", fullmatch=True))
def test_a_redacted_query_holds_no_literal(secret: str) -> None:
    secret = f"Zq{secret}"
    for query in (
        f"SELECT Id FROM Contact WHERE Name = '{secret}' LIMIT 10",
        f"SELECT Id FROM Contact WHERE Name = '{secret}",
        f"FIND '{secret}\\'{secret}' whatever",
    ):
        assert secret not in soql.redact(query)


def test_redaction_keeps_names_and_hides_values() -> None:
    query = "SELECT Id, Owner.Name FROM Contact WHERE CreatedDate > 2026-01-01T00:00:00Z AND Age__c IN (1, -2.5) AND A = LAST_N_DAYS:7"

    assert soql.redact(query) == (
        "SELECT Id, Owner.Name FROM Contact WHERE CreatedDate > ? AND Age__c IN (?, ?) AND A = LAST_N_DAYS:?"
    )


@given(st.text(alphabet="SELCTFROMWHandorBY idx,.()'=<>:0123456789%", max_size=80))
def test_the_parser_raises_nothing_but_its_own_error(text: str) -> None:
    with contextlib.suppress(SoqlError):
        grammar.parse(text)


def test_deep_nesting_is_refused_not_suffered() -> None:
    with pytest.raises(SoqlError):
        grammar.parse("SELECT Id FROM Contact WHERE " + "(" * 5_000 + "Id = null" + ")" * 5_000)


@pytest.mark.parametrize(
    ("query", "summary"),
    [
        ("SELECT Id FROM Contact", ("Contact", ("Id",))),
        ("select id, name from account where x = 1 order by y", ("account", ("id", "name", "x", "y"))),
        ("SELECT COUNT() FROM Lead", ("Lead", ())),
        ("SELECT Name, (SELECT Id FROM Contacts) FROM Account GROUP BY Name", ("Account", ("Contacts.Id", "Name"))),
        ("SELECT Name, (SELECT Id FROM Contacts) FROM Account WITH x", ("Account", ())),
        ("nonsense", (None, ())),
    ],
)
def test_what_a_query_touches(query: str, summary: tuple[str | None, tuple[str, ...]]) -> None:
    assert soql.summary(query) == summary


@pytest.mark.parametrize("value", [None, True, 5, 2.5])
def test_values_that_are_no_text_are_not_quoted(value: object) -> None:
    assert "'" not in soql.literal(value)
