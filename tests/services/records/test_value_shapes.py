"""Each shape of a value has one meaning for a field's type, or a sentence that says which shape works."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orgserver.model.schema import FieldInfo, PicklistValue
from orgserver.services.records import value_shapes

CHOICES = (
    PicklistValue("Web", "Web site"),
    PicklistValue("PHONE", "Phone Inquiry"),
    PicklistValue("a,b", "With comma"),
    PicklistValue("x1", "Same"),
    PicklistValue("x2", "same"),
    PicklistValue("2024", "Last year"),
)
KINDS = ["boolean", "int", "double", "percent", "date", "datetime", "time", "picklist", "multipicklist", "string"]


def field(kind: str, *, restricted: bool = False) -> FieldInfo:
    return FieldInfo("F__c", "F", kind, 255, restricted=restricted, picklist=CHOICES if "picklist" in kind else ())


@pytest.mark.parametrize(
    ("kind", "value", "found"),
    [
        *[("boolean", value, True) for value in (True, "true", "Yes", " y ", "ON", "1", 1, "checked")],
        *[("boolean", value, False) for value in (False, "FALSE", "no", "off", 0, "0")],
        *[("int", value, 12) for value in (12, 12.0, "12", " 12 ", "+12", "12.0", "1.2e1")],
        ("int", "00012", 12),
        ("double", "-12.5", -12.5),
        ("double", 3, 3),
        ("currency", "12345678901234567.89", "12345678901234567.89"),
        ("percent", "50%", 50),
        ("percent", "12.5 %", 12.5),
        *[
            ("date", value, "2026-12-24")
            for value in (
                "2026-12-24", "2026/12/24", "2026.12.24", "24.12.2026", "12/24/2026", "24-12-2026", "24 December 2026",
                "24. Dec. 2026", "24-Dec-2026", "December 24, 2026", "Dec 24th 2026", "2026-12-24T00:00:00Z",
                "2026-12-24T00:00:00.000+01:00", "2026-12-24T00:00", "2026-12-24T00:00 Europe/Berlin",
            )
        ],
        ("date", "03/03/2026", "2026-03-03"),
        ("datetime", "2026-12-24T10:00:00Z", "2026-12-24T10:00:00Z"),
        ("datetime", "2026-12-24T10:00 Europe/Berlin", "2026-12-24T09:00:00Z"),
        ("datetime", "2026-12-24 10:00:00.1234567+01", "2026-12-24T09:00:00.123Z"),
        ("time", "14:30", "14:30:00.000Z"),
        ("time", "2:30 pm", "14:30:00.000Z"),
        ("time", "12:00 AM", "00:00:00.000Z"),
        ("time", "14:30:15.5Z", "14:30:15.500Z"),
        *[("picklist", value, "Web") for value in ("Web", "web", "WEB SITE", " Web site ", ["web"])],
        ("picklist", 2024, "2024"),
        ("picklist", "Same", "x1"),
        ("picklist", [], None),
        ("picklist", "something else", "something else"),
        *[
            ("multipicklist", value, "Web;PHONE")
            for value in (["Web", "phone inquiry"], "web;PHONE", "Web, Phone", ["web;phone"], ["Web", "Web", "PHONE"])
        ],
        ("multipicklist", "a,b", "a,b"),
        ("multipicklist", [], None),
        ("multipicklist", "x, y", "x, y"),
        *[("string", value, value) for value in ("true", "1,000", "03/04/2026", "a;b", "")],
    ],
)  # fmt: skip
def test_what_has_one_meaning_is_converted(kind: str, value: Any, found: Any) -> None:
    converted = value_shapes.convert(field(kind), value)

    assert converted == found
    assert type(converted) is type(found)


@pytest.mark.parametrize(
    ("kind", "value", "words"),
    [
        *[("boolean", value, "true or false") for value in ("perhaps", "", 2, [], "ja")],
        *[("int", value, "must be a") for value in ("1,000", "1 000", "12.5", 12.5, True, "", "\u0663", "1e999")],
        *[("double", value, "must be a number") for value in ("1,000.50", "1.000,50", "$5", "nan", "inf", "5%", [])],
        *[("date", value, "two days") for value in ("03/04/2026", "3.4.2026", "01-02-2026")],
        *[("date", value, "no calendar") for value in ("2026-02-30", "32/13/2026", "31 Feb 2026")],
        *[("date", value, "2026-02-20") for value in ("tomorrow", "24/12/26", 20261224, "", "24 Foo 2026")],
        ("date", "2026-12-24T10:00:00Z", "without a time of day"),
        *[("datetime", value, "offset or zone") for value in ("2026-12-24", "2026-12-24T10:00", 5, "now")],
        *[("time", value, "14:30:00") for value in ("noon", "13:00 pm", 5, "14:30Z pm")],
        ("time", "24:00", "no clock"),
        ("picklist", ["Web", "PHONE"], "takes one value"),
        ("picklist", "SAME", "may mean x1 or x2"),
        ("picklist", 7, "must be a text"),
        ("multipicklist", {"Web": True}, "list of texts"),
        ("multipicklist", [True], "list of texts"),
        ("string", 7, "must be a text"),
        ("string", ["a"], "must be a text"),
        ("reference", {"Name": "x"}, "must be a record id"),
    ],
)
def test_what_has_none_or_several_says_which_shape_works(kind: str, value: Any, words: str) -> None:
    with pytest.raises(ValueError, match="(?i)" + words):
        value_shapes.convert(field(kind), value)


@pytest.mark.parametrize("kind", ["picklist", "multipicklist"])
def test_a_restricted_picklist_names_what_it_takes(kind: str) -> None:
    with pytest.raises(ValueError, match="takes only Web, PHONE"):
        value_shapes.convert(field(kind, restricted=True), "Carrier pigeon")


@given(
    st.sampled_from(KINDS),
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20) | st.lists(st.text(max_size=5)),
)
def test_a_converted_value_is_converted_to_itself(kind: str, value: Any) -> None:
    try:
        once = value_shapes.convert(field(kind), value)
    except ValueError:
        return
    assert value_shapes.convert(field(kind), once) == once
