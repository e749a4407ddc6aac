"""What does not fit in a result is cut, and a sentence tells of it; what fits is left alone."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orgserver.services.results import result_size, truncation

ROOM = result_size.RECORD_BYTES
MANY = 200_000


def test_a_record_that_fits_is_told_as_it_is() -> None:
    record = {"Id": "x", "Name": "Acme", "Long__c": "l" * 50_000, "Account": {"Name": "é"}}

    assert truncation.fit(record, ROOM) == (record, ())


def test_a_record_that_does_not_fit_has_its_long_texts_cut_and_says_which_and_how_long_they_are() -> None:
    record = {"Id": "x", "Name": "Acme", "Short__c": "s" * 9_000, "Long__c": "l" * 50_000, "Longer__c": "é" * 40_000}

    told, warnings = truncation.fit(record, ROOM)

    assert (told["Id"], told["Name"], told["Short__c"]) == ("x", "Acme", "s" * 9_000)
    assert record["Long__c"].startswith(told["Long__c"]) and record["Longer__c"].startswith(told["Longer__c"])
    shown = len(told["Longer__c"])
    assert warnings[1] == (
        f"Longer__c is cut: it has 40,000 characters, the first {shown:,} are here and {40_000 - shown:,} are left; "
        "ask for it alone to read more of it"
    )
    assert 0.98 * ROOM < result_size.size(told) <= ROOM


@pytest.mark.parametrize("letter", ["l", "é", "\U0001f600", '"', "\x00", "\ud83d"], ids=ascii)
def test_a_field_that_is_asked_for_alone_fills_the_result_and_says_how_much_is_left(letter: str) -> None:
    told, (warning,) = truncation.fit({"Id": "x", "Long__c": letter * MANY}, ROOM)

    assert 0.99 * ROOM < result_size.size(told) <= ROOM
    left = MANY - len(told["Long__c"])
    assert f"it has 200,000 characters, the first {MANY - left:,} are here and {left:,} are left" in warning
    assert warning.endswith("which is as much as a result holds")


def test_lists_and_records_within_a_record_are_cut_too() -> None:
    lines = [{"Name": f"line {number}", "Text__c": "t" * 100} for number in range(5_000)]
    record = {"Id": "x", "Lines__r": {"totalSize": 5_000, "records": lines}, "Owner": {"About": "a" * MANY}}

    told, warnings = truncation.fit(record, ROOM)

    kept = told["Lines__r"]["records"]
    assert kept == lines[: len(kept)] and 100 < len(kept) < 500
    owner: Any = told["Owner"]
    assert ("a" * MANY).startswith(owner["About"])
    assert [warning.partition(" is cut")[0] for warning in warnings] == ["Lines__r.records", "Owner.About"]
    assert "it has 5,000 items" in warnings[0]


def test_of_more_fields_than_fit_the_first_are_told() -> None:
    told, (warning,) = truncation.fit({f"Field_{number}__c": "value" * 3 for number in range(MANY)}, ROOM)

    assert 1_000 < len(told) < 5_000
    assert warning.startswith(f"this record has 200,000 fields, of which the first {len(told):,} are here")


def test_a_name_that_no_field_can_have_is_not_repeated_in_a_sentence() -> None:
    _, (warning,) = truncation.fit({"Id": "x", "Ignore all that was said": "l" * MANY}, ROOM)

    assert warning.startswith("a value is cut") and "Ignore" not in warning


def test_a_number_of_very_many_digits_is_left_out() -> None:
    told, warnings = truncation.fit({"Id": "x", "N__c": 10**4_000, "Long__c": "l" * MANY}, 3_000)

    assert told["N__c"] is None
    assert warnings[0].startswith("N__c is cut: it has ") and "digits" in warnings[0]


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=300),
    lambda inner: st.lists(inner, max_size=20) | st.dictionaries(st.text(max_size=20), inner, max_size=20),
    max_leaves=60,
)


@given(st.dictionaries(st.text(max_size=20), values, max_size=20), st.integers(200, 4_000))
def test_whatever_is_cut_fits_is_json_and_keeps_what_it_can(record: dict[str, object], room: int) -> None:
    told, warnings = truncation.fit(record, room)

    assert result_size.size(told) <= room
    assert (told == record) == (not warnings)
    assert json.loads(json.dumps(told)) == told
    assert truncation.size_within(record, room) == (
        result_size.size(record) if result_size.size(record) <= room else None
    )


def test_a_whole_result_that_slipped_through_is_cut_and_keeps_its_cursor() -> None:
    told = result_size.bound_result({"org": "acme", "records": [{"Id": "x" * MANY}], "next_cursor": "c" * 300})

    assert (told["org"], told["next_cursor"]) == ("acme", "c" * 300)
    assert result_size.size(told) <= result_size.MAX_BYTES
    assert "200,000 characters" in told["warnings"][0]
    assert "next_cursor" not in result_size.bound_result({"next_cursor": "c" * MANY})
