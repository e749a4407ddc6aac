"""Which queries can be added up over many orgs, and the adding."""

import pytest

from orgserver.model.errors import InvalidArgument
from orgserver.services.fleet import aggregation


def test_a_bare_count_is_a_number_without_records() -> None:
    assert aggregation.read_merge("SELECT COUNT() FROM Contact WHERE Name LIKE 'a%'").counts_only


def test_counts_sums_least_and_most_merge_by_group_and_in_any_case() -> None:
    how = aggregation.read_merge(
        "select Account.Industry, count(Id) n, Sum(Amount), MIN(CloseDate), max(CloseDate) Latest "
        "from Opportunity group by Account.Industry order by Account.Industry"
    )

    merged = how.add_rows(
        [
            [
                {"Industry": "Media", "n": 2, "expr0": 10, "expr1": "2026-01-02", "Latest": "2026-03-01"},
                {"Industry": None, "n": 1, "expr0": None, "expr1": None, "Latest": None},
            ],
            [{"Industry": "Media", "n": 3, "expr0": 2.5, "expr1": "2026-01-01", "Latest": "2026-02-01"}],
        ]
    )

    assert merged == [
        {"Industry": "Media", "n": 5, "expr0": 12.5, "expr1": "2026-01-01", "Latest": "2026-03-01"},
        {"Industry": None, "n": 1, "expr0": None, "expr1": None, "Latest": None},
    ]
    assert how.warnings == (aggregation.SUMS_WARNING,)


def test_a_function_of_the_group_is_part_of_its_key() -> None:
    how = aggregation.read_merge(
        "SELECT CALENDAR_YEAR(CreatedDate) y, COUNT(Id) FROM Contact GROUP BY CALENDAR_YEAR(CreatedDate)"
    )

    assert how.add_rows([[{"y": 2025, "expr0": 1}, {"y": 2026, "expr0": 2}], [{"y": 2026, "expr0": 5}]]) == [
        {"y": 2025, "expr0": 1},
        {"y": 2026, "expr0": 7},
    ]


def test_an_average_is_weighted_by_the_count_of_the_same_field() -> None:
    how = aggregation.read_merge("SELECT AVG(Amount) a, COUNT(Amount) n FROM Opportunity")

    assert how.add_rows([[{"a": 10.0, "n": 1}], [{"a": 40.0, "n": 3}], [{"a": None, "n": 0}]]) == [{"a": 32.5, "n": 4}]


@pytest.mark.parametrize(
    ("soql", "why"),
    [
        ("SELECT Id FROM Contact", "returns records"),
        ("SELECT AVG(Amount) FROM Opportunity", r"AVG\(amount\) needs COUNT\(amount\)"),
        ("SELECT AVG(Amount), COUNT(Id) FROM Opportunity", "to weigh"),
        ("SELECT COUNT_DISTINCT(Name) FROM Contact", "COUNT_DISTINCT"),
        ("SELECT Name, COUNT(Id) FROM Contact GROUP BY Name HAVING COUNT(Id) > 1", "HAVING"),
        ("SELECT Name, COUNT(Id) FROM Contact GROUP BY Name LIMIT 5", "LIMIT"),
        ("SELECT COUNT() FROM Contact LIMIT 5", "LIMIT"),
        ("SELECT Name, COUNT(Id) FROM Contact GROUP BY ROLLUP(Name)", "ROLLUP"),
        ("SELECT Name,, COUNT(Id) FROM Contact", "nothing between"),
        ("SELECT", "no FROM"),
        ("SELECT # FROM x", "cannot be read"),
        ("", "no FROM"),
    ],
)
def test_what_depends_on_the_whole_is_refused_with_the_reason(soql: str, why: str) -> None:
    with pytest.raises(InvalidArgument, match=why) as refused:
        aggregation.read_merge(soql)

    assert refused.value.fields == ("merge",)


def test_words_in_texts_are_no_clauses() -> None:
    assert aggregation.read_merge(
        "SELECT COUNT() FROM Contact WHERE Name = 'limit' AND City IN ('having', 'from')"
    ).counts_only


@pytest.mark.parametrize("value", [[], {}, "7", True, 10**400, -(10**101)])
def test_a_count_that_is_no_number_is_not_added_up(value: object) -> None:
    assert not aggregation.read_merge("SELECT COUNT(Id) n FROM Contact").accepts([{"n": 1}, {"n": value}])


@pytest.mark.parametrize("value", [[], {}])
def test_a_group_that_is_no_value_is_not_added_up(value: object) -> None:
    assert not aggregation.read_merge("SELECT Name, COUNT(Id) n FROM Contact GROUP BY Name").accepts(
        [{"Name": value, "n": 1}]
    )


@pytest.mark.parametrize("value", [0, 7, 1.5, None])
def test_a_count_that_is_one_is_added_up(value: object) -> None:
    assert aggregation.read_merge("SELECT SUM(Amount) n FROM Opportunity").accepts([{"n": value}])


def test_the_least_of_texts_and_numbers_is_a_number() -> None:
    merge = aggregation.read_merge("SELECT MIN(Level__c) n FROM Contact")

    assert merge.accepts([{"n": "a"}])
    assert merge.add_rows([[{"n": "a"}], [{"n": 3}]]) == [{"n": 3}]
