"""Whose request was it? Whatever is wrong with a line, the id that it carries is found, and never one from inside."""

import json
import random
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orgserver.serving.fragments import KEPT_BYTES, Fragment, LineTooLong, read_fragment
from orgserver.serving.messages import Unreadable, read_message

values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.text(max_size=20)
    | st.sampled_from(["id", "method", '"id":1', "\\"]),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(["id", "method", "name", "params", "x"]) | st.text(max_size=5), inner, max_size=4
        )
    ),
    max_leaves=20,
)
ids = st.integers(-(10**30), 10**30) | st.text(max_size=30)


@st.composite
def requests(draw: st.DrawFn) -> tuple[dict[str, Any], str]:
    arguments = draw(values)
    members = {
        "jsonrpc": "2.0",
        "id": draw(ids),
        "method": "tools/call",
        "params": {"arguments": arguments, "name": "t"},
    }
    order = draw(st.permutations(list(members)))
    request = {name: members[name] for name in order}
    separators = draw(st.sampled_from([(",", ":"), (", ", ": "), (" ,\t", " : ")]))
    return request, json.dumps(request, ensure_ascii=draw(st.booleans()), separators=separators)


@given(requests())
def test_of_a_whole_request_everything_is_read(given: tuple[dict[str, Any], str]) -> None:
    request, line = given

    assert read_fragment(line.encode("utf-8", "surrogatepass")) == Fragment(request["id"], "tools/call", "t")


@given(requests(), st.integers(0, 400))
def test_of_a_request_that_is_cut_no_other_id_is_read(given: tuple[dict[str, Any], str], length: int) -> None:
    request, line = given

    assert read_fragment(line.encode("utf-8", "surrogatepass")[:length]).id in (None, request["id"])


@given(requests(), st.integers(0, 2**32))
def test_a_line_that_is_spoilt_somewhere_is_answered_by_its_id_or_by_none_and_never_breaks_the_reader(
    given: tuple[dict[str, Any], str], seed: int
) -> None:
    line = bytearray(given[1].encode("utf-8", "surrogatepass"))
    chance = random.Random(seed)
    line[chance.randrange(len(line))] = chance.randrange(256)

    with suppress(Unreadable):  # whatever else is raised would end the connection
        read_message(bytes(line))
    assert isinstance(read_fragment(bytes(line)).id, str | int | None)


@pytest.mark.parametrize("line", [b"", b"[", b'["id":1]', b'"id":1', b"{", b'{"id', b'{"id":', b'{"id":1', b'{"id":"a'])
def test_what_carries_no_whole_id_has_none(line: bytes) -> None:
    assert read_fragment(line).id is None


@pytest.mark.parametrize("value", [b"null", b"true", b"1.5", b"1e3", b"01", b"[1]", b'{"id":1}', b"9" * 500])
def test_an_id_that_is_neither_text_nor_integer_is_none(value: bytes) -> None:
    assert read_fragment(b'{"id":' + value + b',"method":"ping",}').id is None


@pytest.mark.parametrize("kind", ["texts", "quotes", "backslashes", "brackets"])
def test_sixteen_mebibytes_of_anything_are_looked_through_at_once(kind: str) -> None:
    filling = {"texts": b'"",', "quotes": b'\\"', "backslashes": b"\\\\", "brackets": b"[],"}[kind]
    line = b'{"params":["' + filling * (16_000_000 // len(filling)) + b'"],"id":7}'

    assert read_fragment(line).id in (None, 7)


def test_the_end_of_a_line_that_is_too_long_is_kept_and_says_whose_it_was() -> None:
    line = LineTooLong()
    for part in (b'{"method":"tools/call","params":{"name":"t","arguments":{"a":"', b"x" * 1_000_000, b'"}},"id":7}\n'):
        line.add(part)

    assert read_fragment(line.head, line.tail) == Fragment(7, "tools/call", "t")
    assert len(line.tail) == KEPT_BYTES


def test_an_id_inside_the_parameters_at_the_end_is_not_taken_for_the_requests() -> None:
    assert read_fragment(b'{"method":"x","params":{"a":"', b'xxx","id":7}}').id is None
