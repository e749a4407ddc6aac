"""JSON in a text is read where it has one meaning."""

import json

import pytest

from orgserver.model.json_text import MAX_CHARACTERS, MAX_DEPTH, MAX_VALUES, is_deeper, read_json_text

DEEPEST = "[" * MAX_DEPTH + "]" * MAX_DEPTH


@pytest.mark.parametrize(
    "content",
    [{}, [], {"a": [1, 2.0, "3", None, True]}, [{"a": {"b": "ü\n\u202e"}}, {"a": 1}], 10**30, "x", None, 1e300],
)
def test_json_with_one_meaning_is_read(content) -> None:
    for text in (json.dumps(content), f" {json.dumps(content, ensure_ascii=False, indent=2)}\n"):
        assert repr(read_json_text(text)) == repr(content)


def test_json_as_deep_as_allowed_is_read() -> None:
    assert not is_deeper(read_json_text(DEEPEST), MAX_DEPTH)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "x",
        "'x'",
        "{'a': 1}",
        '{"a": 1,}',
        '{"a": 1} {"a": 1}',
        '{"a": 1, "a": 1}',
        '[{"b": {"a": 1, "a": 2}}]',
        "NaN",
        '{"a": Infinity}',
        "[-Infinity]",
        "9" * 5_000,
        "\ufeff{}",
        f"[{DEEPEST}]",
        '{"a":' * 100_000,
        '"' + "x" * MAX_CHARACTERS + '"',
        f"[{'{},' * MAX_VALUES}{{}}]",
    ],
    ids=range(18),
)
def test_what_is_no_json_or_has_more_than_one_meaning_is_refused(text) -> None:
    with pytest.raises(ValueError):
        read_json_text(text)
