"""The requests that wait for a person, and their approval from the command line."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial

from orgserver.model.audit import Action, Intent
from orgserver.model.errors import ConfigError
from orgserver.model.names import new_id
from orgserver.model.orgs import Caller
from orgserver.services.calls.access import Access
from orgserver.store import approvals
from orgserver.store.approvals import Approval
from orgserver.store.session import Store
from orgserver.store.transaction import read_clock


@dataclass(frozen=True, slots=True)
class Request:
    """A call that waits for a person, or that one has allowed and nobody made yet."""

    code: str
    org: str
    tool: str
    action: str
    object: str | None
    count: int
    names: tuple[str, ...]
    """Of some of the records, quoted: data from the org."""
    principal: str
    asked_at: datetime
    approved_at: datetime | None
    approved_by: str | None
    expires_at: datetime
    entry_id: str | None
    """The audit entry of the call that was refused."""
    client: str | None
    """What the client that asked calls itself."""
    session_id: str | None
    """Of the person's sign-in by which that client called."""


class Approving:
    """The requests, for people."""

    def __init__(self, store: Store, access: Access) -> None:
        self._store = store
        self._access = access

    async def waiting(self) -> list[Request]:
        """The requests that have not run out and were not used, the oldest first."""
        aliases = {str(org.row_id): org.alias for org in (await self._access.catalog()).by_alias.values()}
        async with self._store.database.reading() as connection:
            requests = await approvals.list_requests(connection, self._store.orgs, read_clock())
        return [_shown(each, aliases[each.request.row_id]) for each in requests if each.request.row_id in aliases]

    async def one(self, code: str) -> Request:
        """The request with this code, or the only one whose code begins so; ConfigError if none waits, or several."""
        requests = {each.code: each for each in await self.waiting()}
        typed = code.upper()
        codes = [typed] if typed in requests else [each for each in requests if typed and each.startswith(typed)]
        open_codes = [each for each in codes if requests[each].approved_at is None]
        if len(open_codes) > 1:
            raise ConfigError(f"{code} is the beginning of several codes", hint="give more of it")  # never naming any
        if not open_codes:
            raise _no_request(code, [requests[each] for each in codes])
        return requests[open_codes[0]]

    async def approve(self, caller: Caller, request: Request) -> None:
        """Let exactly this call pass once; on record, with the caller's label to say how the yes was given."""
        org = (await self._access.catalog()).by_alias.get(request.org)
        intent = Intent(
            id=new_id(),
            principal=caller.principal.name,
            transport=caller.transport,
            action=Action.POLICY,
            tool="approve",
            label=caller.label,
            request_id=request.entry_id,
            org=request.org,
            org_row=org.row_id if org is not None else None,
            org_id=org.org_id if org is not None else None,
            object=request.object,
        )
        change = partial(
            approvals.approve_in, log=self._store.audit, code=request.code, by=caller.principal.name, intent=intent
        )
        if not await self._store.database.write(change):
            raise _no_request(request.code, [each for each in await self.waiting() if each.code == request.code])


def _no_request(code: str, approved: Sequence[Request]) -> ConfigError:
    """The refusal of a code under which nothing waits any more, or never did."""
    if approved:
        until = approved[0].expires_at
        return ConfigError(
            f"{code} is approved already, until {until:%Y-%m-%d %H:%M:%S} UTC",
            hint="the agent repeats its call until then; it passes once",
        )
    return ConfigError(
        f"no request waits under {code}",
        hint="orgserver approvals lists those that wait; one that was approved passes once within 15 minutes",
    )


def _shown(approval: Approval, alias: str) -> Request:
    request = approval.request
    return Request(
        approval.code,
        alias,
        request.tool,
        request.action,
        request.object,
        request.count,
        request.names,
        request.principal,
        _time(approval.created_at),
        _time(approval.approved_at) if approval.approved_at is not None else None,
        approval.approved_by,
        _time(approval.expires_at),
        approval.entry_id,
        approval.client,
        request.session_id,
    )


def _time(microseconds_: int) -> datetime:
    return datetime.fromtimestamp(microseconds_ / 1_000_000, UTC)
