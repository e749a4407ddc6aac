"""``/me/log``: the audit log for auditors, filtered, and exported as it is from the command line."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlencode

from orgserver.model.audit import Action, EntryFilter, Outcome
from orgserver.model.orgs import Caller
from orgserver.model.times import read_moment
from orgserver.services.audit.export import csv_header
from orgserver.services.audit.log_reader import AuditLogReader
from orgserver.services.signin.options import ME_PATH
from orgserver.services.signin.parameters import Parameters
from orgserver.serving.http.me.visits import Visit, find_nothing
from orgserver.serving.http.people.pages import Pages, make_headers
from orgserver.serving.http.replies import Reply

PATH = f"{ME_PATH}/log"
EXPORT_PATH = f"{PATH}/export"
NEWEST = 100
"""Entries that the page shows."""
TEXT_FILTERS = ("org", "principal", "tool", "object", "record_id", "decision")
_FORMATS = {"jsonl": b"application/jsonl; charset=utf-8", "csv": b"text/csv; charset=utf-8"}


class UnreadableFilter(ValueError):
    """A filter that means nothing; its text says why."""


class LogPages:
    """Shows and exports it."""

    def __init__(self, pages: Pages, log: AuditLogReader) -> None:
        self._pages = pages
        self._log = log

    async def show(self, visit: Visit) -> Reply:
        """The newest entries."""
        if not visit.is_auditor:
            return find_nothing(self._pages)
        problem, entries = None, []
        try:
            entries = await self._log.newest(read_filter(visit.parameters), NEWEST)
        except UnreadableFilter as error:
            problem = str(error)
        values = _values(visit.parameters)
        return await asyncio.to_thread(
            self._pages.render,
            "log.html",
            200 if problem is None else 400,
            me=visit,
            entries=entries,
            most=NEWEST,
            problem=problem,
            values=values,
            actions=[each.value for each in Action],
            outcomes=[each.value for each in Outcome],
            query=urlencode({name: value for name, value in values.items() if value}),
        )

    async def export(self, visit: Visit) -> Reply:
        """All of them, oldest first, while they are read; on record when it is over."""
        format_ = visit.parameters.one("format") or "jsonl"
        if not visit.is_auditor or format_ not in _FORMATS:
            return find_nothing(self._pages)
        try:
            criteria = read_filter(visit.parameters)
        except UnreadableFilter as error:
            return self._pages.fail(400, "This filter cannot be read", f"{error}.", "Open /me/log on this server.")
        name = f"orgserver-audit-{datetime.now(UTC):%Y%m%dT%H%M%SZ}.{format_}"
        disposition = (b"content-disposition", f'attachment; filename="{name}"'.encode())
        chunks = self._read(visit.caller, criteria, format_)
        return Reply(200, b"", _FORMATS[format_], (*make_headers(), disposition), chunks)

    async def _read(self, caller: Caller, criteria: EntryFilter, format_: str) -> AsyncGenerator[bytes, None]:
        written = 0
        try:
            if format_ == "csv":
                yield f"{csv_header()}\n".encode()
            async for lines in self._log.lines(criteria, format_):
                written += len(lines)  # also those of a part that somebody breaks off
                yield "".join(f"{line}\n" for line in lines).encode()
        finally:
            await self._log.record_export(caller, f"audit export --format {format_}", written)


def read_filter(parameters: Parameters) -> EntryFilter:
    """Which entries a page is asked for; UnreadableFilter says what means nothing."""
    now = datetime.now(UTC)
    since, until = (_read_time(name, parameters.one(name), now) for name in ("since", "until"))
    if since is not None and until is not None and until <= since:
        raise UnreadableFilter("Until is not after since")
    texts: dict[str, Any] = {name: (parameters.one(name) or "").strip() or None for name in TEXT_FILTERS}
    return EntryFilter(
        since,
        until,
        action=_read_word("action", parameters.one("action"), Action),
        outcome=_read_word("outcome", parameters.one("outcome"), Outcome),
        **texts,
    )


def _read_time(name: str, text: str | None, now: datetime) -> datetime | None:
    if text is None or not text.strip():
        return None
    try:
        return read_moment(text.strip(), now)
    except ValueError as error:
        raise UnreadableFilter(f"{name.capitalize()}: {error}") from None


def _read_word(name: str, text: str | None, words: type[Action | Outcome]) -> str | None:
    if text is None:
        return None
    try:
        return words(text).value
    except ValueError:
        raise UnreadableFilter(f"There is no {name} of this name") from None


def _values(parameters: Parameters) -> dict[str, str]:
    names = ("since", "until", *TEXT_FILTERS, "action", "outcome")
    return {name: parameters.one(name) or "" for name in names}
