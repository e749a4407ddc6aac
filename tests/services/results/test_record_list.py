"""Records whose size is certain are not measured, and the result is the same as if each had been."""

import json
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from orgserver.model.names import EVENT
from orgserver.model.results import FieldValues
from orgserver.salesforce.protocol import bodies
from orgserver.services.records import appointments
from orgserver.services.results import result_size
from orgserver.services.results.record_list import GROWTH, RecordList

SHORT = [{"Id": str(number), "Name": "é" * 5} for number in range(10)]
LONG = [{"Id": str(number), "Text__c": "x" * 20_000} for number in range(5)]


def measured(*pages: list[FieldValues]) -> RecordList:
    """Each record is measured when it is added."""
    records = RecordList()
    assert all(records.add(record) for page in pages for record in page)
    return records


def size_of(records: list[FieldValues]) -> int:
    return sum(map(result_size.size, records))


def test_what_fits_for_certain_is_there_and_counts_when_others_are_measured() -> None:
    records = RecordList()
    assert records.add_all(iter(SHORT), GROWTH * size_of(SHORT))
    assert records.add_all(SHORT, GROWTH * size_of(SHORT))
    assert records.records == SHORT * 2
    room = result_size.MAX_BYTES - result_size.FRAME_BYTES - 2 * size_of(SHORT)
    overhead = result_size.size({"T": ""})
    assert not records.add({"T": "x" * (room - overhead + 1)})
    assert records.add({"T": "x" * (room - overhead)})
    assert not records.add({})


def test_what_may_not_fit_is_not_added() -> None:
    records = RecordList()
    assert not records.add_all(LONG, GROWTH * size_of(LONG))
    assert records.records == []
    assert measured(LONG[:2]).records == LONG[:2]


@given(st.lists(st.integers(0, 30_000), max_size=8), st.integers(0, 8))
def test_the_same_records_fit_as_if_each_were_measured(lengths: list[int], first: int) -> None:
    rows: list[FieldValues] = [{"T": "x" * length} for length in lengths]
    plain, quick = RecordList(), RecordList()
    for row in rows:
        if not plain.add(row):
            break
    some = rows[:first]
    rest = rows[first:] if quick.add_all(some, GROWTH * size_of(some)) else rows
    for row in rest:
        if not quick.add(row):
            break
    assert (quick.records, quick.warnings) == (plain.records, plain.warnings)


def numbers() -> st.SearchStrategy[str]:
    """Numbers as JSON may spell them: a short spelling may stand for a long number."""
    exponents = st.integers(-20, 20).map(lambda power: f"e{power}")
    return st.builds(lambda whole, exponent: f"{whole}{exponent}", st.integers(-99, 99), exponents) | st.integers().map(
        str
    )


def texts() -> st.SearchStrategy[str]:
    spelled = st.text().map(lambda text: json.dumps(text, ensure_ascii=False)) | st.text().map(json.dumps)
    return spelled | st.just('"\\/"') | st.just('"\\u0001"') | st.just('"\\ud800"')


@settings(max_examples=300)
@given(
    st.recursive(
        numbers() | texts() | st.sampled_from(["true", "null"]),
        lambda inner: (
            st.lists(inner, max_size=6).map(lambda items: f"[{','.join(items)}]")
            | st.lists(st.tuples(st.text(max_size=3).map(json.dumps), inner), max_size=5).map(
                lambda items: "{" + ",".join(f"{name}:{value}" for name, value in items) + "}"
            )
        ),
        max_leaves=20,
    )
)
@example("[1e15,1e15,9E15]")
@example('{"":1e15}')
@example("[" + ",".join(["1e15"] * 100) + "]")
def test_no_value_takes_more_than_so_many_times_the_bytes_that_it_came_in(text: str) -> None:
    value: Any = bodies.parse_json(f'[{{"a":{text}}}]'.encode("utf-8", "surrogatepass"))
    assert size_of(value) <= GROWTH * len(f'[{{"a":{text}}}]'.encode("utf-8", "surrogatepass"))


@pytest.mark.parametrize("count", [1, 10, 200])
def test_so_many_numbers_with_an_exponent_still_take_no_more(count: int) -> None:
    text = json.dumps([{"N__c": None}] * count).replace("null", "1e15").encode()
    assert size_of(bodies.parse_json(text)) <= GROWTH * len(text)


@given(
    st.fixed_dictionaries(
        {},
        optional={
            "Id": st.text(max_size=18),
            "StartDateTime": st.sampled_from(["2026-02-20T18:00:00.000+0000", "9999-12-31T23:59:59Z", None]),
            "EndDateTime": st.sampled_from(["2026-02-20T19:00:00.123456+00:00", "0001-01-01T00:00:00Z", None]),
            "IsAllDayEvent": st.booleans() | st.none(),
            "DurationInMinutes": st.sampled_from([0, 60, 10**6, None]),
            "IsRecurrence": st.booleans(),
            "RecurrenceActivityId": st.text(max_size=18) | st.none(),
        },
    ),
    st.sampled_from(["UTC", "Europe/Berlin", "America/Argentina/ComodRivadavia", "\x00" * 40, "😀" * 40]),
    st.booleans(),
)
def test_an_event_takes_no_more_than_what_is_said_of_its_shape(event: FieldValues, zone: str, every: bool) -> None:
    came = len(json.dumps(event, ensure_ascii=False, separators=(",", ":")).encode())
    told = appointments.show_event(event, zone, None if every else ("Id", "StartDateTime", "EndDateTime"))
    assert size_of([told]) <= GROWTH * came + appointments.added_bytes(EVENT, zone)
