"""A date of HTTP is an instant; what is no date is none. Whoever goes through many records rests now and then."""

from datetime import UTC, datetime

import pytest

from orgserver.model.errors import Rejected
from orgserver.salesforce.protocol import rest
from orgserver.salesforce.protocol.messages import Reply, read_date, read_records

NOON = datetime(2026, 11, 28, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    "text",
    [None, "", "now", "Sat, 28 Nov 99999 12:00:00 GMT", "Sat, 31 Feb 2026 12:00:00 GMT", "1", "\x00", "Sat, 28 Nov"],
)
def test_what_is_no_date_is_none(text: str | None) -> None:
    assert read_date(text) is None


def test_a_date_without_its_zone_is_utc() -> None:
    assert read_date("Sat, 28 Nov 2026 12:00:00 -0000") == NOON


def test_a_date_is_an_instant() -> None:
    assert read_date("Sat, 28 Nov 2026 12:00:00 GMT") == NOON


def test_many_records_are_looked_at_a_few_thousand_at_a_time() -> None:
    records = [{"Id": number} for number in range(50_000)]
    rests = list[None]()
    reply = Reply(200, {}, {"records": records, "searchRecords": records}, rest=lambda: rests.append(None))

    assert rest.read_page(reply).rows is records
    assert 10 <= len(rests) <= 50
    assert rest.read_search_results(reply)[-1] == {"object": None, "Id": 49_999}
    assert len(rests) > len(records)


@pytest.mark.parametrize("place", [0, 1, 4_095, 4_096, 9_999])
def test_one_record_that_is_no_object_is_found_among_many(place: int) -> None:
    records: list[object] = [{"Id": "1"} for _ in range(10_000)]
    records[place] = ["no", "object"]

    with pytest.raises(Rejected, match="no objects"):
        read_records(records)
