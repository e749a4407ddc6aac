"""Queries over REST: the first page, and the pages after it (REST guide ``headers_queryoptions``)."""

from __future__ import annotations

import re
import secrets
from datetime import timedelta

from orgserver.sandbox.answers import Answer, Request
from orgserver.sandbox.errors import Refusal
from orgserver.sandbox.org import SandboxOrg
from orgserver.sandbox.query.locators import Locator
from orgserver.sandbox.query.scan import whole_page
from orgserver.sandbox.state.records import Record

_LOCATOR = re.compile(r"(0r8[0-9A-Za-z]{15})-(\d{1,10})")
_BATCH = re.compile(r"batchSize\s*=\s*(\d{1,9})", re.IGNORECASE)
_LARGEST, _SMALLEST = 2_000, 200
_LIFE = timedelta(days=2)
_LONG_TEXTS = 2
"""So many custom long texts make pages as small as can be asked for."""


class Queries:
    """Answers for one org."""

    def __init__(self, org: SandboxOrg) -> None:
        self._org = org

    def first(self, request: Request, version: str, *, deleted: bool) -> Answer:
        """``/query`` or ``/queryAll``."""
        org = self._org

        def children(rows: list[Record], version: str) -> Record:
            return self._page(request, rows, self._batch(request), version)

        runner = org.query(request.query.get("q", ""), deleted=deleted, page=children)
        rows = runner.rows()
        if request.query.get("columns") == "true":
            return Answer(200, runner.columns())
        if runner.query.count:
            return Answer(200, {"totalSize": len(rows), "done": True, "records": []})
        batch = self._batch(request, runner.long_texts())
        if runner.has_offset:  # the first batch is all there is, and is said to be (SG ``soql_select_offset``)
            rows = rows[:batch]
        row = runner.projection()
        page_rows = [row(record, version) for record in rows]
        return Answer(200, self._page(request, page_rows, batch, version))

    def more(self, request: Request, text: str, version: str) -> Answer:
        """A page at a locator; it lives for two days (limits cheat sheet ``platform-apicursors``)."""
        match = _LOCATOR.fullmatch(text)
        locator = self._org.locators.get(match[1]) if match else None
        if match is None or locator is None or int(match[2]) >= len(locator.rows):
            raise _invalid()
        if locator.user_id != self._org.users.current.id:
            raise _invalid()
        if self._org.clock() - locator.opened >= _LIFE:
            del self._org.locators[match[1]]
            raise _invalid()
        if self._org.locators_end_with_session and request.access_token != locator.token:
            raise Refusal(401, "INVALID_SESSION_ID", "Session expired or invalid")
        return Answer(200, _cut(match[1], locator, int(match[2]), version))

    def _page(self, request: Request, rows: list[Record], batch: int, version: str) -> Record:
        """The first page of a result, whose rest waits at a locator."""
        if len(rows) <= batch:
            return whole_page(rows, version)
        name = f"0r8{secrets.token_hex(8)[:15]}"
        locator = self._org.locators[name] = Locator(
            rows, batch, self._org.clock(), request.access_token, self._org.users.current.id
        )
        return _cut(name, locator, 0, version)

    def _batch(self, request: Request, long_texts: int = 0) -> int:
        """How many rows a page has: what was asked for is a wish."""
        match = _BATCH.search(request.headers.get("sforce-query-options", ""))
        batch = min(max(int(match[1]), _SMALLEST), _LARGEST) if match else _LARGEST
        if long_texts >= _LONG_TEXTS:
            batch = _SMALLEST
        return min(batch, self._org.page_rows or batch)


def _cut(name: str, locator: Locator, start: int, version: str) -> Record:
    end = start + locator.batch
    page: Record = {"totalSize": len(locator.rows), "done": end >= len(locator.rows)}
    if not page["done"]:  # under /query/ for queryAll, too
        page["nextRecordsUrl"] = f"/services/data/{version}/query/{name}-{end}"
    return page | {"records": locator.rows[start:end]}


def _invalid() -> Refusal:
    return Refusal(400, "INVALID_QUERY_LOCATOR", "invalid query locator")
