"""Every recorded reply with something wrong in it, given to every reader: an error of the contract, or what it says."""

import json
from collections.abc import Callable
from contextlib import suppress
from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orgserver.model.errors import CallError, Rejected
from orgserver.salesforce.protocol import bodies, bulk, describe, refusals, rest
from orgserver.salesforce.protocol.messages import Reply
from tests.wire.mutations import encoded, mutated
from tests.wire.recordings import Recording, exchanges, replies

RECORDED = [each for each in (*replies(), *exchanges()) if "json" in each.kind]
READERS: dict[str, Callable[[Reply], Any]] = {
    "create": rest.read_created,
    "read": rest.read_record,
    "update": rest.read_changed,
    "upsert": rest.read_upserted,
    "search": rest.read_search_results,
    "limits": rest.read_limits,
    "query": rest.read_page,
    "versions": rest.read_versions,
    "userinfo": rest.read_userinfo,
    "describe": describe.read_schema,
    "objects": describe.read_objects,
    "job": bulk.read_job,
    "collection": lambda reply: bulk.read_collection(reply, 1),
}
REFUSED = (300, 400, 401, 403, 404, 409, 412, 429, 500, 503)


@pytest.mark.parametrize("recorded", RECORDED, ids=lambda each: each.name)
@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**32))
def test_a_spoilt_reply_is_read_or_refused(recorded: Recording, seed: int) -> None:
    headers = {"content-type": recorded.kind}
    content = encoded(mutated(recorded.body, Random(seed)))
    for status in (200, *REFUSED):
        try:
            body = bodies.read(status, headers, content)
        except ValueError:
            assert status == 200
            continue
        for read in READERS.values() if status == 200 else ():
            with suppress(CallError):  # whatever else is raised would be INTERNAL
                read(Reply(status, headers, body))
        if status != 200:
            error = refusals.refusal(status, body, writes=True, retry_after=1.0)
            assert error.code != "INTERNAL"
            json.dumps(error.as_json("acme"))


def page(**members: Any) -> Reply:
    return Reply(200, {}, {"totalSize": 1, "done": True, "records": [{"Id": "x"}]} | members)


@pytest.mark.parametrize("total", [-1, 1.0, 1.5, True, "1", None, [], {}, 10**30])
def test_a_total_size_that_is_no_count_is_refused_as_that(total: Any) -> None:
    with pytest.raises(Rejected, match="totalSize that is no count") as refused:
        rest.read_page(page(totalSize=total))

    assert (refused.value.code, refused.value.category) == ("BAD_REPLY", "upstream")


@pytest.mark.parametrize("total", [0, 1, 50_000_000])
def test_a_total_size_that_is_a_count_is_told(total: int) -> None:
    assert rest.read_page(page(totalSize=total)).total_size == total


@pytest.mark.parametrize("record", [None, 1, "x", True, [], [{}]])
@pytest.mark.parametrize("read", ["query", "search"])
def test_records_that_are_no_objects_are_refused_as_that(record: Any, read: str) -> None:
    body = {"totalSize": 2, "records": [{"Id": "x"}, record], "searchRecords": [{"Id": "x"}, record]}

    with pytest.raises(Rejected, match="records that are no objects") as refused:
        READERS[read](Reply(200, {}, body))

    assert (refused.value.code, refused.value.category) == ("BAD_REPLY", "upstream")


@pytest.mark.parametrize("name", ["query_success", "query_paginated_first_page", "query_empty"])
def test_the_records_of_a_real_page_are_told(name: str) -> None:
    (recorded,) = (each for each in RECORDED if each.name == name)

    told = rest.read_page(Reply(200, {}, {**recorded.body, "nextRecordsUrl": None}))

    assert (len(told.records), told.total_size) == (len(recorded.body["records"]), recorded.body["totalSize"])


@pytest.mark.parametrize("number", ["1e400", "-1e400", "NaN", "Infinity", "-Infinity", "9" * 5_000])
def test_a_number_beyond_json_is_no_answer(number: str) -> None:
    content = b'{"Amount": ' + number.encode() + b"}"
    headers = {"content-type": "application/json"}

    with pytest.raises(ValueError, match="JSON"):
        bodies.read(200, headers, content)
    assert bodies.read(400, headers, content) is None


@pytest.mark.parametrize("number", ["1e300", "-0.5", "1E5", "0", "123456789012345678901234567890"])
def test_a_number_of_json_is_read(number: str) -> None:
    content = b'{"Amount": ' + number.encode() + b"}"

    assert bodies.read(200, {"content-type": "application/json"}, content) == {"Amount": json.loads(number)}


@pytest.mark.parametrize("version", [["x"], 7, None, "9" * 30, "-1", "60", "60.0.1"])
def test_a_version_that_is_none_is_refused(version: Any) -> None:
    with pytest.raises(Rejected):
        rest.read_versions(Reply(200, {}, [{"version": "60.0"}, {"version": version}]))


def test_versions_come_oldest_first() -> None:
    told = rest.read_versions(Reply(200, {}, [{"version": "100.0"}, {"version": "20.0"}, {"version": "60.0"}]))

    assert told == ["v20.0", "v60.0", "v100.0"]
