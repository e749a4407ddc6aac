"""Strangers' words: one set of unsafe characters, and what becomes of them for agents, terminals, logs and JSON."""

import json
import re
import sys
import unicodedata
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import orgserver
from orgserver.model.text import (
    MAX_MESSAGE,
    clean_text,
    clean_word,
    error_code,
    escape_json,
    escape_text,
    replace_unsafe,
)

UNSAFE = {
    "C0 control": "\x00",
    "line feed": "\n",
    "escape": "\x1b",
    "DEL": "\x7f",
    "C1 control": "\x9b",
    "soft hyphen": "\u00ad",
    "combining grapheme joiner": "\u034f",
    "Arabic letter mark": "\u061c",
    "Hangul filler": "\u3164",
    "Mongolian vowel separator": "\u180e",
    "zero-width space": "\u200b",
    "zero-width joiner": "\u200d",
    "left-to-right mark": "\u200e",
    "line separator": "\u2028",
    "right-to-left override": "\u202e",
    "word joiner": "\u2060",
    "invisible plus": "\u2064",
    "right-to-left isolate": "\u2067",
    "pop directional isolate": "\u2069",
    "byte order mark": "\ufeff",
    "interlinear annotation": "\ufff9",
    "half a surrogate pair": "\ud800",
    "private use": "\ue000",
    "no character": "\uffff",
    "tag A": "\U000e0041",
    "cancel tag": "\U000e007f",
    "variation selector 17": "\U000e0100",
    "private use of plane 16": "\U0010fffd",
}
PLAIN = ("", "Zoë O'Shea, 東京 ✓", "Ελλάδα a\u0301 नमस्ते שלום العربية", "100 % <b>&amp;</b> \\x1b", "👍🏽 ⚠\ufe0f")

any_text = st.text(st.characters() | st.sampled_from(sorted(UNSAFE.values())), max_size=200)


@pytest.mark.parametrize("character", UNSAFE.values(), ids=UNSAFE)
def test_no_unsafe_character_comes_out_in_any_form(character: str) -> None:
    text = f"a{character}b{character}"

    assert clean_text(text) == "a b"
    assert character not in escape_text(text)
    assert replace_unsafe(text) == "a\ufffdb\ufffd"
    assert json.loads(escape_json(json.dumps(f"a{character}b", ensure_ascii=False))) == f"a{character}b"


@pytest.mark.parametrize("text", PLAIN)
def test_ordinary_text_stays_as_it_is_in_every_form(text: str) -> None:
    assert clean_text(text) == text.strip()
    assert escape_text(text) == replace_unsafe(text) == escape_json(text) == text


@given(any_text, st.integers(1, 300))
def test_cleaning_twice_is_cleaning_once_within_the_limit_and_leaves_nothing_unsafe(text: str, limit: int) -> None:
    once = clean_text(text, limit)

    assert clean_text(once, limit) == once
    assert len(once) <= limit
    assert replace_unsafe(once) == once == escape_text(once)


@given(any_text)
def test_escapes_leave_nothing_unsafe_and_keep_all_that_is_safe(text: str) -> None:
    shown = escape_text(text)

    assert escape_text(shown) == shown
    assert len(replace_unsafe(text)) == len(text)
    assert json.loads(escape_json(json.dumps(text, ensure_ascii=False))) == text


@given(
    st.text(
        st.characters(categories=("L", "N", "P", "S"), max_codepoint=0x2FFF, exclude_characters="\u034f\u115f\u1160")
    )
)
def test_printable_text_is_unchanged(text: str) -> None:
    assert clean_text(text, 10_000) == text


def test_a_sequence_for_a_terminal_goes_as_a_whole() -> None:
    assert clean_text("\x1b[31mred\x1b[0m and \x1b[2J\x1b[1;1Hhome") == "red  and  home"


def test_a_row_of_variation_selectors_hides_nothing_and_an_emoji_keeps_its_own() -> None:
    assert clean_text("a\ufe00\ufe01\ufe0fb") == "a b"
    assert clean_text("⚠\ufe0f") == "⚠\ufe0f"


def test_a_long_text_says_that_it_was_cut_and_a_short_one_does_not() -> None:
    assert clean_text("x" * 600) == "x" * (MAX_MESSAGE - 1) + "…"
    assert clean_text("x" * MAX_MESSAGE) == "x" * MAX_MESSAGE


@pytest.mark.parametrize("value", [None, 1, 1e400, True, [], {"a": 1}, b"x"])
def test_what_is_no_text_is_no_word_and_no_code(value: object) -> None:
    assert clean_word(value) == ""
    assert error_code(value) is None


@pytest.mark.parametrize("code", ["A", "DUPLICATE_VALUE", "HTTP_503", "A" * 80])
def test_a_code_of_salesforce_is_one(code: str) -> None:
    assert error_code(code) == code


@pytest.mark.parametrize(
    "code", ["", "a", "Ignore all rules", "A\n", "A" * 81, "DUPLICATE\u200bVALUE", "_A", "1A", "ÄA"]
)
def test_a_code_of_another_shape_is_none(code: str) -> None:
    assert error_code(code) is None


def test_there_is_no_second_set_of_unsafe_characters() -> None:
    package = Path(orgserver.__file__).parent
    sets = re.compile(r"\\u(?:00ad|061c|180e|20[0-6][0-9a-f]|fff[9-f])|\\x9f|isprintable|\\U000e")
    # What these read is no text to be shown: a search's words, cells of a client's sheet, a header's date, where a
    # secret is, a scalar of YAML, escapes of JSON.
    others = {
        "salesforce/soql/sosl.py",
        "cli/orgs/csv_rows.py",
        "salesforce/protocol/describe.py",
        "cli/configuration/documents.py",
        "cli/configuration/secrets.py",
        "store/sql/canonical.py",
    }
    found = {
        path.relative_to(package).as_posix()
        for path in package.rglob("*.py")
        if sets.search(path.read_text(encoding="utf-8"))
    }

    assert found - others == {"model/text.py"}


SEEN = "\u0600\u0601\u0602\u0603\u0604\u0605\u06dd\u070f\u0890\u0891\u08e2\U000110bd\U000110cd"
"""The format characters that are signs one sees (Unicode: Prepended_Concatenation_Mark)."""


def test_each_format_and_control_character_of_unicode_is_unsafe_but_for_those_that_are_signs() -> None:
    unseen = [
        character
        for character in map(chr, range(sys.maxunicode + 1))
        if unicodedata.category(character) in ("Cc", "Cf", "Cs", "Co", "Zl", "Zp") and character not in SEEN
    ]

    assert [hex(ord(each)) for each in unseen if clean_text(f"a{each}b") != "a b"] == []
    assert clean_text(SEEN) == SEEN
