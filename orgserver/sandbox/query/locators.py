"""Results of queries that are handed out page by page, each under the name of its locator."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime

from orgserver.sandbox.state.records import Record


@dataclass(frozen=True, slots=True)
class Locator:
    """A query result that is handed out in pages."""

    rows: list[Record]
    batch: int
    opened: datetime
    token: str = field(repr=False)
    """The access token of the query."""
    user_id: str
