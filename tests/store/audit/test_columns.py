"""Columns beside events: many at once agree only where each agrees, whatever somebody put there."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from orgserver.model.audit import Action, Completion, Intent, Outcome
from orgserver.store.audit import chain
from orgserver.store.audit.columns import all_agree, columns_agree

PROCESS = "0190a1b2-0000-7000-8000-000000000000"
TEXTS = st.one_of(st.sampled_from(["acme", '"org":"acme"', "back\\slash", "☃", ""]), st.text(max_size=8))
TIMES = st.integers(0, 253_402_300_799_999_999)
EVENTS = st.one_of(
    st.builds(
        lambda time, **parts: intent_row(Intent(transport="stdio", **parts), time),
        time=TIMES, id=st.uuids().map(str), principal=TEXTS.filter(bool), action=st.sampled_from(Action),
        org=st.none() | TEXTS, tool=st.none() | TEXTS, object=st.none() | TEXTS, label=st.none() | TEXTS,
    ),
    st.builds(
        lambda time, id_, outcome: outcome_row(id_, Completion(outcome), time),
        time=TIMES, id_=st.uuids().map(str), outcome=st.sampled_from(Outcome),
    ),
)  # fmt: skip
VALUES = st.one_of(st.none(), st.integers(-2, 1 << 62), st.floats(), TEXTS, st.binary(max_size=4), TIMES)


def intent_row(intent: Intent, time: int) -> list[Any]:
    """An event's row, as the chain appends it."""
    texts = [intent.principal, intent.org or None, intent.tool or None, str(intent.action), intent.object or None]
    canonical = chain.canonical(chain.intent_event(intent, time, PROCESS))
    return [1, intent.id, chain.INTENT, time, *texts, None, canonical, b"", b""]


def outcome_row(entry_id: str, completion: Completion, time: int) -> list[Any]:
    canonical = chain.canonical(chain.outcome_event(entry_id, completion, time))
    return [2, entry_id, chain.OUTCOME, time, *[None] * 5, completion.outcome.value, canonical, b"", b""]


@given(st.lists(EVENTS, min_size=1, max_size=5))
def test_events_as_they_were_written_agree(rows: list[list[Any]]) -> None:
    assert all(map(columns_agree, rows))
    assert all_agree([*zip(*rows, strict=True)])


@given(st.lists(EVENTS, min_size=1, max_size=5), st.data())
def test_many_agree_only_where_each_agrees(rows: list[list[Any]], data: st.DataObject) -> None:
    row = data.draw(st.sampled_from(rows))
    place = data.draw(st.integers(1, 9))
    row[place] = data.draw(VALUES | st.sampled_from(rows).map(lambda other: other[place]))

    assert all(map(columns_agree, rows)) or not all_agree([*zip(*rows, strict=True)])


def test_an_event_that_only_one_reader_can_decode_is_left_to_the_other() -> None:
    half_a_pair = intent_row(Intent(PROCESS, "local:me", "stdio", Action.READ, label="\ud800"), 0)

    assert columns_agree(half_a_pair)
    assert not all_agree([*zip(half_a_pair, strict=True)])
