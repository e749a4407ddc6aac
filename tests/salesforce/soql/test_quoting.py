"""What has no literal is refused; what was meant as a value is hidden, quoted or not; LIKE is never ambiguous."""

from datetime import date, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orgserver.salesforce import soql
from orgserver.salesforce.soql import grammar, tokens, tree
from orgserver.salesforce.soql.analysis import names
from orgserver.salesforce.soql.tokens import SoqlError, tokenize

WHERE = "SELECT Id FROM Contact WHERE "
hostile = st.text(alphabet="ab'\\\"%_\n\r\tnu0 ()=", max_size=20)
values = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(10**17), 10**17),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(st.characters(codec="utf-8"), max_size=30),
    hostile,
)


@given(values)
def test_a_value_comes_back_from_a_query(value: object) -> None:
    where = grammar.parse(f"{WHERE}A = {soql.literal(value)} LIMIT 1").where

    assert isinstance(where, tree.Comparison)
    assert isinstance(where.right, tree.Value)
    assert where.right.value == value


@given(hostile)
def test_every_letter_of_a_like_pattern_means_itself(text: str) -> None:
    (token, _end) = tokenize(soql.like(text, prefix=False, suffix=True))

    meant, letters = "", iter(tokens.pattern(token))
    wildcards = 0
    for letter in letters:
        wildcards += letter in "%_"
        meant += next(letters) if letter == "\\" else letter

    assert (meant, wildcards) == (f"{text}%", 1)


@given(st.timedeltas(timedelta(days=-100_000), timedelta(days=700_000)))
def test_an_instant_is_written_in_utc(since: timedelta) -> None:
    moment = datetime(1980, 1, 1, tzinfo=timezone(timedelta(hours=5, minutes=30))) + since
    written = soql.literal(moment)

    assert tokenize(written)[0].kind == "datetime"
    assert abs(datetime.fromisoformat(written) - moment) < timedelta(milliseconds=1)


def test_a_day_is_a_day() -> None:
    assert soql.literal(date(2026, 2, 20)) == "2026-02-20"


@pytest.mark.parametrize("value", [float("nan"), float("inf"), datetime(2026, 2, 20)])  # noqa: DTZ001
def test_what_has_no_literal_is_refused(value: object) -> None:
    with pytest.raises(ValueError):
        soql.literal(value)


@pytest.mark.parametrize("value", [b"x", ["x"], {"x": 1}, object()])
def test_another_type_is_refused(value: object) -> None:
    with pytest.raises(TypeError):
        soql.literal(value)


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ('Name = "Ada Lovelace" AND Title = null', "Name = ? AND Title = null"),
        ("Name = “Ada”", "Name = ?"),
        ("Name = `Ada FOR", "Name = ?"),
        ("Name = Ada Lovelace ORDER BY Name", "Name = ? ? ORDER BY Name"),
        ("Name LIKE Ada%", "Name LIKE ??"),
        ("Name IN (Ada, 'Grace') AND Age__c > TODAY", "Name IN (?, ?) AND Age__c > TODAY"),
        ("Id IN (SELECT ContactId FROM Case WHERE X = y)", "Id IN (SELECT ContactId FROM Case WHERE X = ?)"),
        ("D > 2026-02-20T18:00:00", "D > ??:?:?"),
        ("A = true AND D = LAST_N_DAYS:30 FOR VIEW", "A = true AND D = LAST_N_DAYS:? FOR VIEW"),
        ("A = x UPDATE TRACKING", "A = ? UPDATE TRACKING"),
        ("A__c = 5 AND (B = -1.5e3 OR NOT C != false) LIMIT 5", "A__c = ? AND (B = ? OR NOT C != false) LIMIT ?"),
    ],
)
def test_what_stands_for_a_value_is_hidden(given: str, kept: str) -> None:
    assert soql.redact(WHERE + given) == WHERE + kept


@given(st.text(alphabet="abc'\"\\ \n()", max_size=20), st.sampled_from(["'{}'", '"{}"', "{}", "'{}", "”{}”", "({})"]))
def test_a_value_is_hidden_however_it_is_quoted(around: str, quotes: str) -> None:
    secret = "Zq9Xw7"

    assert secret not in soql.redact(f"{WHERE}{quotes.format(around)} = {quotes.format(secret)}")
    assert secret not in soql.redact(f"{WHERE}Name = {quotes.format(secret)} {around}")


@pytest.mark.parametrize(
    "text",
    [
        "SELECT Id FROM Contact LIMIT " + "9" * 5_000,
        "SELECT Id FROM Contact LIMIT ٣",
        "SELECT Id FROM Contact LIMIT 1.5",
        WHERE + "A = 'x\\q'",
        WHERE + "A = 'x\\_'",
        WHERE + "A = Ada",
        WHERE + "A LIKE 5",
        WHERE + "A = ",
        WHERE + "A IN ()",
        WHERE + "NOT NOT A = 1",
        WHERE + "A = 1 AND B = 2 OR C = 3",
        "SELECT Id FROM Contact; DELETE",
        "SELECT Id FROM Contact -- comment",
    ],
)
def test_what_salesforce_would_not_take_is_refused(text: str) -> None:
    with pytest.raises(SoqlError) as refused:
        grammar.parse(text)

    assert 0 <= refused.value.position <= len(text)


@given(st.text(max_size=60))
def test_the_parser_fails_by_name_on_any_text(text: str) -> None:
    for query in (text, WHERE + text, f"{WHERE}A = {text}", f"SELECT Id FROM Contact LIMIT {text}"):
        try:
            grammar.parse(query)
        except SoqlError as error:
            assert 0 <= error.position <= len(query)  # noqa: PT017


def test_a_number_may_be_long_but_not_a_limit() -> None:
    where = grammar.parse(WHERE + "A = " + "9" * 5_000).where

    assert isinstance(where, tree.Comparison)


def test_every_clause_is_read_for_names() -> None:
    query = grammar.parse(
        "SELECT Id, Account.Name FROM Contact WHERE (A = 1 OR NOT B IN (1, 2)) AND C LIKE 'x' ORDER BY D.E DESC NULLS LAST"
    )

    assert names(query) == ("A", "Account.Name", "B", "C", "D.E", "Id")
