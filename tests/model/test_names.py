"""Ids and names are read strictly."""

import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orgserver.model import names

ids = st.text(alphabet=string.ascii_letters + string.digits, min_size=15, max_size=15)


@given(ids)
def test_short_and_long_forms_of_an_id_agree(short: str) -> None:
    long = names.to_18(short)

    assert len(long) == 18
    assert names.record_id(short) == names.record_id(long) == long
    assert names.record_id(short + long[15:].lower()) == long


@given(ids, st.integers(0, 14))
def test_an_id_copied_in_another_case_is_noticed(short: str, position: int) -> None:
    letter = short[position]
    other = short[:position] + letter.swapcase() + short[position + 1 :] + names.to_18(short)[15:]

    if letter.isalpha():
        with pytest.raises(ValueError, match="do not fit"):
            names.record_id(other)


def test_a_known_id_has_its_known_checksum() -> None:
    assert names.to_18("001D000000IRFma") == "001D000000IRFmaIAH"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "003",
        "003D000000QV9n",
        "003D000000QV9n2I",
        "003D000000QV9n2IA/",
        "../../../../etc",
        "003D000000QV9n2?fields=x",
    ],
)
def test_what_is_no_id_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="record id"):
        names.record_id(text)


def test_an_id_of_another_object_is_refused() -> None:
    with pytest.raises(ValueError, match="begin with 003"):
        names.record_id("001D000000IRFma", "003")


@pytest.mark.parametrize("text", ["acme", "a", "0_0", "a" * 63, "a-b_c"])
def test_an_alias_is_taken(text: str) -> None:
    assert names.alias(text) == text


@pytest.mark.parametrize("text", ["", "Acme", "-a", "_a", "a" * 64, "a b", "a/b", "ä", "a\n"])
def test_what_is_no_alias_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="an alias is"):
        names.alias(text)


@given(st.text(max_size=30))
def test_a_field_path_never_holds_more_than_names_and_dots(text: str) -> None:
    if names.is_field_path(text):
        assert set(text) <= set(string.ascii_letters + string.digits + "_.")


def test_new_ids_are_uuids_of_version_seven_in_order() -> None:
    import uuid

    made = [names.new_id() for _ in range(1000)]

    assert all(uuid.UUID(each).version == 7 and uuid.UUID(each).variant == uuid.RFC_4122 for each in made)
    assert [each[:13] for each in made] == sorted(each[:13] for each in made)
    assert len(set(made)) == 1000


@pytest.mark.parametrize(("text", "version"), [("v66.0", "v66.0"), ("66.0", "v66.0"), ("v100.0", "v100.0")])
def test_an_api_version_is_read_with_or_without_its_letter(text: str, version: str) -> None:
    assert names.api_version(text) == version


@pytest.mark.parametrize("text", ["", "66", "v66.1", "v6.0", "latest", "v66.0/../"])
def test_what_is_no_api_version_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="looks like"):
        names.api_version(text)
