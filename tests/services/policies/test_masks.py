"""A masked value shows so much that whoever knows it recognises it, and never all of it."""

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from orgserver.services.policies.masks import CUT, mask


@pytest.mark.parametrize(
    ("value", "masked"),
    [
        ("ada@example.com", "a…@e….com"),
        ("a@b", "…@…"),
        ("ada.lovelace+x@mail.example.co.uk", "a…@m….uk"),
        ("+49 (30) 123-4567", "…67"),
        ("555.0100", "…00"),
        ("Lovelace", "L…"),
        ("12", "…"),
        ("x", "…"),
        ("", ""),
        ("2026-02-20", None),
        ("2026-02-20T18:00:00.000+0000", None),
        ("18:00:00.000Z", None),
        ("003A000001abcdEIAQ", "0…"),
        (12.5, None),
        (True, None),
        (None, None),
        ({"street": "1 Main St"}, None),
        (["a"], None),
    ],
)
def test_values_are_masked_by_what_they_look_like(value: object, masked: object) -> None:
    assert mask(value) == masked


@given(st.one_of(st.text(min_size=1), st.emails(), st.from_regex(r"[+(]?[0-9 ()./-]{4,20}", fullmatch=True)))
def test_no_mask_holds_its_value(value: str) -> None:
    assume(value.strip(CUT))
    masked = mask(value)

    assert masked is None or value not in masked
    assert (
        masked is None
        or sum(letter in value for letter in masked.replace(CUT, "")) <= 6 + len(value) / 3
        or "@" in value
    )
