"""A large JSON text is read in short steps, to the value that Python's own reader gives, or to the same refusal."""

import json
import time
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from orgserver.salesforce.protocol.json_values import TooCostly, TooDeep, read_value
from orgserver.salesforce.protocol.large_json import STEP, LargeReader
from tests.faults import hostile

texts = st.text('ab\\"/[]{}:, é\n\x00😀', max_size=12) | st.text(max_size=60)
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | texts,
    lambda inner: st.lists(inner, max_size=8) | st.dictionaries(texts, inner, max_size=8),
    max_leaves=40,
)
steps = st.integers(40, 120)


def read_by_python(content: bytes) -> str:
    try:
        return repr(read_value(content))
    except ValueError as error:
        return str(error)


def read_in_steps(content: bytes, step: int) -> str:
    try:
        return repr(LargeReader(content, step=step).read())
    except ValueError as error:
        return str(error)


@settings(max_examples=300, deadline=None)
@given(values, st.booleans(), st.sampled_from([None, 1, 30]), steps)
@example(["x" * 39 + "\U0001f600" * 20], True, None, 40)
@example({"😀" * 20: {"é" * 40: ["x" * 50]}, "": []}, False, 1, 40)
def test_any_value_is_read_in_steps(value: Any, ascii_only: bool, indent: int | None, step: int) -> None:
    content = json.dumps(value, ensure_ascii=ascii_only, indent=indent).encode("utf-8", "surrogatepass")

    assert read_in_steps(content, step) == repr(value)


@settings(max_examples=500, deadline=None)
@given(values, steps, st.data())
def test_a_spoilt_text_is_refused_or_read_as_python_does(value: Any, step: int, data: st.DataObject) -> None:
    """Some bytes are others, are missing, or stand twice; none makes a number that is longer than a step."""
    content = bytearray(json.dumps(value, ensure_ascii=False).encode())
    for _ in range(data.draw(st.integers(1, 3))):
        place = data.draw(st.integers(0, len(content)))
        content[place : place + data.draw(st.integers(0, 3))] = data.draw(
            st.sampled_from([b"", b'"', b"\\", b"[", b"]", b"{", b"}", b",", b":", b" ", b"1", b"\xff", b"null", b",,"])
        )

    assert read_in_steps(bytes(content), step) == read_by_python(bytes(content))


@pytest.mark.parametrize(
    "content",
    [
        b"[" + b"1," * 100 + b"]", b"[," + b"1," * 100 + b"1]", b"[" + b"1," * 100 + b"1", b"[" + b"1," * 100 + b"1}",
        b'{"a":' + b"[1]," * 100 + b"1}", b'{"a" 1,' + b'"b":1,' * 100 + b'"c":1}', b"[1]" * 100, b"[[1,2] [3]" * 50,
        b'{"a":[' + b"1," * 100 + b"1],}", b'{"a":[' + b"1," * 100 + b'1]"b":1}', b'["' + b"x" * 200, b'"' + b"\\" * 201,
        b'"' + b"\x80" * 200 + b'"', b"", b" " * 200, b"[" + b" " * 200, b"{" + b" " * 200 + b"}x", b'{"a"' + b" " * 200,
        b"-" * 200, b"1" * 30 + b" " * 200 + b"1", b"tru" + b" " * 100,
    ],
    ids=repr,
)  # fmt: skip
def test_what_is_no_json_is_refused_wherever_a_step_ends(content: bytes) -> None:
    for step in range(40, 80):
        assert read_in_steps(content, step) == "it is not valid JSON"


def test_half_a_surrogate_pair_stays_one_and_two_halves_meet_over_the_end_of_a_step() -> None:
    for number in range(60):
        content = json.dumps(["x" * number + "\U0001f600" * 30, "\ud800" + "y" * 100]).encode()
        assert read_in_steps(content, 40) == repr(json.loads(content))


def test_a_text_that_must_be_gone_through_too_often_is_refused() -> None:
    content = (b"[" * 60 + b"1," * 30 + b"1" + b"]" * 60 + b",") * 2_000

    with pytest.raises(TooDeep):
        LargeReader(b"[" + content + b"1]", step=100).read()


def test_a_long_text_that_is_not_all_ascii_is_too_costly() -> None:
    assert len(LargeReader(b'"' + b"x" * 9_000_000 + b'"').read()) == 9_000_000
    with pytest.raises(TooCostly, match="too long"):
        LargeReader(b'"' + b"x" * 9_000_000 + "é".encode() + b'"').read()


@pytest.mark.parametrize("kind", ["as many tiny records as pass", "blanks", "escapes", "2,000 records of 14 KB"])
def test_no_step_lasts_long(kind: str) -> None:
    """By the processor's time: what others have to wait for."""
    content = hostile.body(kind)
    ends = [time.thread_time()]

    LargeReader(content, lambda: ends.append(time.thread_time())).read()

    steps = sorted(after - before for before, after in pairwise(ends))
    assert len(steps) >= len(content) // STEP
    assert steps[len(steps) * 9 // 10] < 0.02
