"""What was read in short steps is given back in steps as short, except what somebody still has."""

import json
import sys
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orgserver.salesforce.protocol.large_containers import LargeContainers
from orgserver.salesforce.protocol.large_json import STEP, LargeReader
from tests.faults import hostile
from tests.salesforce.protocol.test_large_json import steps, values

_MOST_BLOCKS = STEP // 4
"""Blocks of memory that are given back in one go; an object without names takes one, one with names two."""


def blocks_of_steps(free: Callable[[Callable[[], None]], None]) -> list[int]:
    """How many blocks of memory are given back in each step."""
    before = [sys.getallocatedblocks()]
    free(lambda: before.append(sys.getallocatedblocks()))
    return [earlier - later for earlier, later in pairwise([*before, sys.getallocatedblocks()])]


@pytest.mark.parametrize(
    "kind", ["as many tiny records as pass", "as many empty lists as pass", "2,000 records of 100 fields"]
)
def test_no_step_gives_back_more_than_a_step_reads(kind: str) -> None:
    containers = LargeContainers()
    before = sys.getallocatedblocks()
    LargeReader(hostile.body(kind), containers=containers).read()
    taken = sys.getallocatedblocks() - before

    assert containers.are_unused
    freed = blocks_of_steps(containers.free)

    assert not containers.are_unused
    assert sum(freed) > taken * 0.9
    assert max(freed) <= _MOST_BLOCKS


def test_objects_with_very_many_names_and_lists_in_lists_are_given_back_in_steps() -> None:
    names = {f"Field_{number}__c": [number] * (number % 3) for number in range(50_000)}
    content = json.dumps({"a": [names, [names, {"b": [[[list(names)]]]}]]}).encode()
    containers = LargeContainers()
    LargeReader(content, containers=containers).read()

    freed = blocks_of_steps(containers.free)

    assert sum(freed) > 150_000
    assert max(freed) <= _MOST_BLOCKS


def test_what_was_read_of_a_spoilt_text_is_given_back_in_steps() -> None:
    containers = LargeContainers()
    with pytest.raises(ValueError, match="not valid"):
        LargeReader(hostile.body("as many tiny records as pass")[:-2] + b"}}", containers=containers).read()

    freed = blocks_of_steps(containers.free)

    assert sum(freed) > 700_000
    assert max(freed) <= _MOST_BLOCKS


@settings(max_examples=300, deadline=None)
@given(values, steps, st.data())
def test_what_somebody_still_has_stays_as_it_is(value: Any, step: int, data: st.DataObject) -> None:
    containers = LargeContainers()
    body = LargeReader(json.dumps(value).encode(), step=step, containers=containers).read()
    part, expected = body, value
    for _ in range(data.draw(st.integers(0, 3))):
        if not isinstance(part, dict | list) or not part:
            break
        places = list(part) if isinstance(part, dict) else range(len(part))
        place = data.draw(st.sampled_from(places))
        part, expected = part[place], expected[place]
    del body

    containers.free(lambda: None)

    assert part == expected
