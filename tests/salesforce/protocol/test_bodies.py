"""A reply's JSON is read at a bounded cost: as Python's own reader would, or not at all."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orgserver.salesforce.protocol import bodies
from orgserver.salesforce.protocol.bodies import PIECE
from orgserver.salesforce.protocol.json_values import TooCostly, TooDeep
from tests.faults import hostile

MIB = 1 << 20
texts = st.text(st.characters(), max_size=30)  # halves of surrogate pairs among them
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | texts,
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(texts, inner, max_size=5),
    max_leaves=20,
)
fillers = st.sampled_from(["", "x" * PIECE, '\\"{[,' * PIECE, "\U0001f600" * PIECE, "é\n" * PIECE])


@pytest.mark.parametrize("inner", [{"\ud800": None}, ["\ud800"], [{"a": "\udfff"}], {"a": {"\ud800": 1}}])
@pytest.mark.parametrize("wrap", [lambda *parts: list(parts), lambda *parts: dict(zip("abc", parts, strict=False))])
def test_halves_of_surrogate_pairs_are_read_at_any_depth_of_a_large_text(inner: Any, wrap: Callable[..., Any]) -> None:
    value = wrap(inner, "x" * PIECE, wrap("y" * PIECE, inner))

    assert bodies.parse_json(json.dumps(value).encode()) == value


@settings(max_examples=60, deadline=None)
@given(
    st.lists(values, max_size=6),
    fillers,
    st.booleans(),
    st.sampled_from([None, 1]),
    st.sampled_from(["object", "list"]),
)
def test_any_json_is_read_as_pythons_own_reader_reads_it(inner, filler, ascii_, indent, kind) -> None:
    value = (
        {"long": filler, "inner": inner, "many": list(range(20_000))} if kind == "object" else [filler, *inner, filler]
    )
    content = json.dumps(value, ensure_ascii=ascii_, indent=indent).encode("utf-8", "surrogatepass")

    assert bodies.parse_json(content) == json.loads(content)


@pytest.mark.parametrize("large", [False, True], ids=["small", "large"])
@pytest.mark.parametrize(
    "content",
    [
        b'"\xff"',
        b'"\xf5\x80\x80\x80"',
        b"[1,]",
        b"{1:2}",
        b"[01]",
        b"tru",
        b'"\n"',
        b"[1 2]",
        b'{"a":1,}',
        b"1" * 5_000,
        b"[[]",
        b"NaN",
        b"-Infinity",
        b"1e400",
    ],
    ids=repr,
)
def test_what_is_no_json_is_refused_however_large(content: bytes, *, large: bool) -> None:
    if large:
        content = b'{"long":"' + b"x" * (2 * PIECE) + b'","value":' + content + b"}"

    with pytest.raises(ValueError, match="not valid JSON"):
        bodies.parse_json(content)


@pytest.mark.parametrize("large", [False, True], ids=["small", "large"])
def test_sixty_four_levels_are_read_and_one_more_is_refused(*, large: bool) -> None:
    core = b'"' + b"x" * (PIECE if large else 1) + b'"'

    assert bodies.parse_json(b"[" * 64 + core + b"]" * 64) is not None
    with pytest.raises(TooDeep):
        bodies.parse_json(b"[" * 65 + core + b"]" * 65)
    with pytest.raises(TooDeep):
        bodies.parse_json(b'{"a":' * 65 + core + b"}" * 65)
    with pytest.raises(ValueError, match="JSON"):
        bodies.parse_json(b"[" * MIB + b"]" * MIB)


@pytest.mark.parametrize("large", [False, True], ids=["small", "large"])
def test_the_last_of_two_equal_names_counts_and_a_byte_order_mark_is_no_part(*, large: bool) -> None:
    long = b"x" * (2 * PIECE if large else 1)

    assert bodies.parse_json(b'\xef\xbb\xbf {"a":"' + long + b'","b":1,"a":2}\n') == {"a": 2, "b": 1}


TOO_COSTLY = (
    "empty lists, 5 MiB", "empty lists", "empty records", "a million records", "many names",
)  # fmt: skip
PASS = ("as many empty lists as pass", "as many tiny records as pass", "one text of 20 MiB", *hostile.HONEST)


@pytest.mark.parametrize("kind", TOO_COSTLY)
def test_a_reply_that_would_take_too_much_memory_is_refused_before_it_is_read(kind: str) -> None:
    with pytest.raises(TooCostly, match="128 MiB"):
        bodies.read(200, {"content-type": "application/json"}, hostile.body(kind))


@pytest.mark.parametrize("kind", PASS)
def test_large_honest_replies_and_what_costs_no_more_are_read(kind: str) -> None:
    content = hostile.body(kind)

    assert bodies.read(200, {"content-type": "application/json"}, content) == json.loads(content)


def test_signs_within_a_text_cost_nothing() -> None:
    text = '{"level":"info","items":[1,2,3]},\\' * 600_000  # 19 MiB, with a million signs that begin a value

    assert bodies.parse_json(json.dumps({"Log__c": text}).encode()) == {"Log__c": text}


@settings(max_examples=200, deadline=None)
@given(values, st.integers(1, 40))
def test_what_stands_outside_of_texts_is_found_whatever_they_hold(value: object, step: int) -> None:
    content = json.dumps(value).encode()

    outside = b"".join(bodies.outside_texts(content, step))

    assert outside == _outside(content)


def _outside(content: bytes) -> bytes:
    found, inside, escaped = bytearray(), False, False
    for byte in content:
        if escaped:
            escaped = False
        elif inside and byte == ord("\\"):
            escaped = True
        elif byte == ord('"'):
            inside = not inside
        elif not inside:
            found.append(byte)
    return bytes(found)


def test_a_refusal_that_is_too_large_has_no_words() -> None:
    content = json.dumps([{"errorCode": "X", "message": "m" * 2 * MIB}]).encode()

    assert bodies.read(400, {"content-type": "application/json"}, content) is None
    assert bodies.read(400, {"content-type": "application/json"}, content[:10]) is None


@pytest.mark.parametrize(
    ("sign", "width"), [(r"\ud83d\ude00", 4), ("\U0001f600", 4), (r"\u00e9", 2), ("é", 2), ("x", 1)]
)
@pytest.mark.parametrize("offset", range(8))
def test_how_wide_a_text_is_is_seen_also_where_two_parts_of_it_meet(sign: str, width: int, offset: int) -> None:
    step = 256 * 1024
    content = b"x" * (step - offset) + sign.encode() + b"x" * step

    assert bodies._width(content) == width
