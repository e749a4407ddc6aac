"""A reply is read by msgspec; Python's own reader, which read it before, gives the same value or the same refusal."""

import json
from collections.abc import Iterator
from math import isfinite
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from orgserver.salesforce.protocol import bodies
from orgserver.salesforce.protocol.json_values import MAX_DEPTH, TooDeep
from orgserver.salesforce.protocol.messages import Reply, clean_rows, is_flat, remove_attributes, strip_attributes
from orgserver.salesforce.protocol.rest import read_page

SAMPLES = Path(__file__).parents[2] / "samples"


def refuse(text: str) -> float:
    raise ValueError(f"{text[:20]} is no number of JSON")


def finite(text: str) -> float:
    number = float(text)
    return number if isfinite(number) else refuse(text)


def depth(value: Any) -> int:
    """How deep lists and objects are inside of each other, counted one by one."""
    deepest, level = 0, [value]
    while level := [each for each in level if isinstance(each, dict | list)]:
        deepest += 1
        level = [inner for each in level for inner in (each.values() if isinstance(each, dict) else each)]
    return deepest


def read_by_python(content: bytes) -> Any:
    """What the reader gave that these replies had before; a kind of error where it raised one."""
    try:
        value = json.loads(content, parse_constant=refuse, parse_float=finite)
    except (ValueError, RecursionError):
        return ValueError
    return value if depth(value) <= MAX_DEPTH else TooDeep


def read_by_us(content: bytes) -> Any:
    try:
        return bodies.parse_json(content)
    except ValueError as error:
        return type(error)


def check(content: bytes) -> None:
    """repr tells 1 from 1.0 and from true, 0.0 from -0.0, and the order of names."""
    assert repr(read_by_us(content)) == repr(read_by_python(content))


HOSTILE = [
    b"", b" ", b"\x00", b"[", b"]", b"{}x", b"[1,]", b'{"a":1,}', b"{1:2}", b"tru", b"NaN", b"-Infinity", b"Infinity",
    b"-NaN", b"[1e400]", b"[-1e400]", b"1e-400", b"[1E+5]", b"-0", b"-0.0", b"01", b"1.", b".5", b"+1", b"0x1",
    b"1" * 4_300, b"1" * 4_301, b"-" + b"1" * 4_301, b"1" * 400 + b".0", b"0." + b"3" * 400, b"9" * 30,
    b"18446744073709551615", b"18446744073709551616", b"-9223372036854775809", b"179769313486231580793e289",
    b'"\xff"', b'"\xc0\x80"', b'"\xed\xa0\x80"', b'"\xf4\x90\x80\x80"', b'"\xe2\x82"', b'{"\xff":1}',
    b'"\\ud800"', b'"\\ud83d\\ude00"', b'"\\ude00\\ud83d"', b'"\\ud83dx"', b'"\\u00zz"', b'"\\u+123"', b'"\\u 123"',
    b'"\\q"', b'"\\u0000"', b'"\x00"', b'"\x1f"', b'"\x7f"', b'"a\nb"', b'"\\"', b"'a'", b"[1]\x00", b"\x0c[1]",
    b"\xef\xbb\xbf[1]", b"\xef\xbb\xbf", b"\xef\xbb\xbf\xef\xbb\xbf[1]", '["é😀"]'.encode("utf-16"),
    '{"a":"é"}'.encode("utf-16-le"), '["x"]'.encode("utf-32"), '["x"]'.encode("utf-16-be"), b"\xa0[1]", b"/**/[1]",
    b'{"a":1,"a":2}', b'{"a":1,"b":2,"a":{"c":[]}}', b'{"":""}', b'[{"records":[1,"x",null]}]',
    b"[" * 64 + b"]" * 64, b"[" * 65 + b"]" * 65, b'{"a":' * 64 + b"1" + b"}" * 64, b'{"a":' * 65 + b"1" + b"}" * 65,
    b"[" + b"[]," * 100 + b"[]]", b'["' + b"[" * 200 + b'"]', b"[" * 64 + b'"]]"' + b"]" * 64,
    b'["]",' + b"[" * 64 + b"]" * 64 + b"]", b"[" * 5_000 + b"]" * 5_000, b"[" * 5_000, b"[" * 300 + b"1e400" + b"]" * 300,
]  # fmt: skip


@pytest.mark.parametrize("content", HOSTILE, ids=lambda content: repr(content[:24]))
def test_hostile_bodies_are_read_and_refused_as_before(content: bytes) -> None:
    expected = read_by_python(content)
    if len(content) > 1_000 and expected is ValueError:  # beyond Python's own depth either refusal will do
        assert read_by_us(content) in (ValueError, TooDeep)
        return
    check(content)


def values() -> st.SearchStrategy[Any]:
    texts = st.text(st.characters(exclude_categories=())) | st.text('ab\\"/[]{}:,é\n\x00\ud800😀')
    leaves = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | texts
    return st.recursive(
        leaves, lambda inner: st.lists(inner, max_size=5) | st.dictionaries(texts, inner, max_size=5), max_leaves=30
    )


@given(values(), st.booleans(), st.sampled_from([None, 1]))
def test_any_value_is_read_as_before(value: Any, ascii_only: bool, indent: int | None) -> None:
    check(json.dumps(value, ensure_ascii=ascii_only, indent=indent).encode("utf-8", "surrogatepass"))


@settings(max_examples=500)
@given(st.integers(1, 10**25), st.integers(0, 10**25), st.integers(-345, 345), st.sampled_from("eE"))
@example(1, 0, 308, "e")
@example(179769313486231580793, 0, 289, "e")
def test_any_number_is_read_as_before(whole: int, part: int, exponent: int, sign: str) -> None:
    check(f"[{whole}.{part}{sign}{exponent:+d},{whole}{sign}{exponent},-{whole}.{part}]".encode())


@settings(max_examples=500)
@given(values(), st.data())
def test_a_spoilt_body_is_refused_as_before(value: Any, data: st.DataObject) -> None:
    """Some bytes of a reply are others, are missing, or stand twice."""
    content = bytearray(json.dumps(value, ensure_ascii=False).encode("utf-8", "surrogatepass"))
    for _ in range(data.draw(st.integers(1, 3))):
        place = data.draw(st.integers(0, len(content)))
        length = data.draw(st.integers(0, 3))
        content[place : place + length] = data.draw(
            st.binary(max_size=3)
            | st.sampled_from([b'"', b"\\", b"[", b"}", b",", b"1e400", b"\xed\xa0\x80", b"-", b"."])
        )
    check(bytes(content))


@given(st.binary(max_size=30))
def test_any_bytes_are_read_or_refused_as_before(content: bytes) -> None:
    check(content)


@given(st.lists(st.sampled_from([b"[", b"]", b"{", b"}", b'"a":', b'"["', b'"]"', b'"\\""', b"1", b","]), max_size=200))
def test_depth_is_judged_as_before_whatever_stands_in_texts(parts: list[bytes]) -> None:
    content = b"".join(parts)
    check(content)
    check(b"[" * 60 + content + b"]" * 60)


def recorded() -> Iterator[Path]:
    files = sorted(SAMPLES.rglob("*.json"))
    assert len(files) > 20
    yield from files


def test_recorded_bodies_are_read_as_before() -> None:
    for file in recorded():
        check(file.read_bytes())


def test_the_records_of_a_page_are_those_that_came_without_attributes() -> None:
    rows = [{"attributes": {"type": "A"}, "Id": "1", "B": {"attributes": {}, "C": [{"attributes": 1, "D": None}]}}, {}]
    page = read_page(Reply(200, {}, {"records": rows, "totalSize": 2}))
    assert page.records == [strip_attributes(row) for row in rows] == [{"Id": "1", "B": {"C": [{"D": None}]}}, {}]
    assert page.rows == rows


def nested() -> st.SearchStrategy[Any]:
    names = st.sampled_from(["attributes", "Id", "Account", "records", "done"])
    return st.recursive(
        st.none() | st.integers() | st.text(max_size=3),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(names, inner, max_size=4),
        max_leaves=15,
    )


@given(st.dictionaries(st.sampled_from(["attributes", "Id", "Account", "Contacts"]), nested()))
def test_attributes_go_from_a_row_in_place_as_they_do_from_a_copy(row: dict[str, Any]) -> None:
    expected = strip_attributes(row)
    same = remove_attributes(row)
    assert same is row
    assert repr(same) == repr(expected)


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-32-le", "utf-32-be"])
@pytest.mark.parametrize("end", ["", "\ud83d", "\ude00x", "é"], ids=ascii)
def test_a_large_text_in_another_form_of_unicode_is_read_as_python_reads_it(encoding: str, end: str) -> None:
    """Whatever stands where one of the pieces ends in which it is brought to UTF-8: half a surrogate pair, too."""
    for number in range(4):
        text = json.dumps(["x" * number + "\U0001f600" * 40_000 + end, 1], ensure_ascii=False)
        content = text.encode(encoding, "surrogatepass")
        assert bodies.parse_json(content) == json.loads(content)
        with pytest.raises(ValueError, match="utf-"):
            bodies.parse_json(content[:-1])


@given(st.lists(st.dictionaries(st.sampled_from(["attributes", "Id", "Account", "Contacts"]), nested()), max_size=3))
def test_many_rows_are_cleaned_as_each_of_them_is(rows: list[dict[str, Any]]) -> None:
    expected = [strip_attributes(row) for row in rows]
    has_nothing_inside = clean_rows(rows)
    assert repr(rows) == repr(expected)
    assert has_nothing_inside is is_flat(rows)
    assert has_nothing_inside is not any(isinstance(value, dict | list) for row in rows for value in row.values())
