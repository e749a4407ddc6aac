"""The records that a query names, by their ids: what a large change with ``soql`` goes through."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from msgspec import structs

from orgserver.model import names
from orgserver.model.errors import InvalidArgument, PolicyDenied
from orgserver.model.results import FieldValues
from orgserver.salesforce.protocol import rest
from orgserver.salesforce.protocol.messages import Reply
from orgserver.salesforce.protocol.rest import QueryPage
from orgserver.services.bulk.request import ID
from orgserver.services.bulk.run import BulkRun
from orgserver.services.calls.access import OrgSession
from orgserver.services.calls.snapshot import read_first

MAX_RECORDS = 1_000_000
"""Records that one query may name: their ids are kept in memory, 18 bytes each."""
_PAGE = 2_000
_LENGTH = 18


@dataclass(slots=True)
class FirstPage:
    """The first page of a query, which may be read before a person is asked; the change goes on from there."""

    page: QueryPage | None = None

    async def read(self, session: OrgSession, soql: str) -> QueryPage:
        """Read it; InvalidArgument if its records cannot be told by their ids."""
        request = rest.query(session.org.api_version, soql, _PAGE)
        page = await read_first(session, request, _read_ids)
        if page.total_size and not page.rows:  # SELECT COUNT() tells a number and no records
            raise _no_ids()
        _check_row_limit(session, page.total_size)
        for record in page.records:
            _id_of(record)
        self.page = page
        return page


class RecordIds:
    """Ids one behind the other in few bytes."""

    def __init__(self) -> None:
        self._bytes = bytearray()

    def add(self, record: FieldValues) -> None:
        """Add the id of a record."""
        self._bytes += _id_of(record)

    def __len__(self) -> int:
        return len(self._bytes) // _LENGTH

    def __iter__(self) -> Iterator[str]:
        for start in range(0, len(self._bytes), _LENGTH):
            yield self._bytes[start : start + _LENGTH].decode("ascii")


async def read_ids(run: BulkRun, soql: str, first_page: FirstPage) -> RecordIds:
    """Read the whole query; PolicyDenied if it names more records than a person has allowed."""
    max_count = first_page.page.total_size if first_page.page is not None else None
    page = first_page.page or await first_page.read(run.session, soql)
    ids = RecordIds()
    while True:
        for record in page.records:
            ids.add(record)
        if max(len(ids), page.total_size) > MAX_RECORDS:
            raise InvalidArgument(f"soql names more than {MAX_RECORDS:,} records; divide it", fields=["soql"])
        if max_count is not None and len(ids) > max_count:
            raise PolicyDenied(
                "there are more records now than a moment ago, so nothing was changed", code="CONFIRMATION_OUTDATED"
            )
        _check_row_limit(run.session, len(ids))
        message = f"{len(ids):,} of {page.total_size:,} records found"
        await run.report_progress(len(ids), 2 * page.total_size, message)
        if page.next_path is None:
            return ids
        await run.extend_deadline()
        page = await read_first(run.session, rest.next_page(page.next_path), _read_ids)


def _read_ids(reply: Reply) -> QueryPage:
    """A page with nothing but the ids of its records: whatever else was selected is let go with the reply."""
    page = rest.read_page(reply)
    return structs.replace(page, rows=[{ID: each[ID]} if ID in each else {} for each in page.rows])


def _check_row_limit(session: OrgSession, count: int) -> None:
    """A change of what a query names goes to no more records than the query might give."""
    row_limit = session.policy.row_limit
    if row_limit is not None and count > row_limit:
        raise PolicyDenied(
            f"soql names {count:,} records, and this org's policy lets one query give {row_limit:,}",
            code="ROW_LIMIT",
            hint="narrow soql",
        )


def _id_of(record: FieldValues) -> bytes:
    try:
        return names.record_id(str(record["Id"])).encode("ascii")
    except (KeyError, ValueError):
        raise _no_ids() from None


def _no_ids() -> InvalidArgument:
    return InvalidArgument("soql must select Id, so that its records can be changed", fields=["soql"])
