"""What waits for a person, and how they allow it from the command line."""

from __future__ import annotations

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
from orgserver.store.writer import microseconds


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


class Approving:
    """The requests, for people."""

    def __init__(self, store: Store, access: Access) -> None:
        self._store = store
        self._access = access

    async def waiting(self) -> list[Request]:
        """The requests that have not run out and were not used, the oldest first."""
        aliases = {str(org.row_id): org.alias for org in (await self._access.catalog()).by_alias.values()}
        async with self._store.database.reading() as connection:
            requests = await approvals.waiting(connection, self._store.orgs, microseconds())
        return [_shown(each, aliases[each.wanted.row_id]) for each in requests if each.wanted.row_id in aliases]

    async def one(self, code: str) -> Request:
        """The request with this code, or the only one whose code begins so; ConfigError if none waits, or several."""
        waiting = {each.code: each for each in await self.waiting() if each.approved_at is None}
        typed = code.upper()
        found = [typed] if typed in waiting else [each for each in waiting if typed and each.startswith(typed)]
        if len(found) > 1:
            raise ConfigError(f"{code} is the beginning of several codes", hint="give more of it")  # never naming any
        if not found:
            raise _unknown(code)
        return waiting[found[0]]

    async def approve(self, caller: Caller, request: Request) -> None:
        """Let exactly this call pass once; on record, with the caller's label to say how the yes was given."""
        intent = Intent(
            id=new_id(),
            principal=caller.principal.name,
            transport=caller.transport,
            action=Action.POLICY,
            tool="approve",
            label=caller.label,
            request_id=request.entry_id,
            org=request.org,
            object=request.object,
        )
        change = partial(
            approvals.approve_in, log=self._store.audit, code=request.code, by=caller.principal.name, intent=intent
        )
        if not await self._store.database.write(change):
            raise _unknown(request.code)


def _unknown(code: str) -> ConfigError:
    return ConfigError(
        f"no request waits under {code}",
        hint="orgserver approvals lists those that wait; one that was approved passes once within 15 minutes",
    )


def _shown(approval: Approval, alias: str) -> Request:
    wanted = approval.wanted
    return Request(
        approval.code,
        alias,
        wanted.tool,
        wanted.action,
        wanted.object,
        wanted.count,
        wanted.names,
        wanted.principal,
        _moment(approval.created_at),
        _moment(approval.approved_at) if approval.approved_at is not None else None,
        approval.approved_by,
        _moment(approval.expires_at),
        approval.entry_id,
        approval.client,
    )


def _moment(microseconds_: int) -> datetime:
    return datetime.fromtimestamp(microseconds_ / 1_000_000, UTC)
