"""Orgs as we know them, their credentials and tokens, and who may use them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum
from typing import Literal, Protocol

import msgspec

from orgserver.model.access.logins import ConnectionKind, Identity, LoginKey, UsedIdentity, UsernameFrom
from orgserver.model.access.policies import Policy
from orgserver.model.access.principals import Permission, Principal
from orgserver.model.names import Alias, OrgId, RowId
from orgserver.model.secret import Secret

OrgKind = Literal["production", "sandbox", "scratch", "developer"]
AuthKind = Literal["web", "refresh-token", "jwt", "client-credentials"]
"""How an org is logged in to, in the words of ``--auth``."""
HOLDS_REFRESH_TOKEN: Mapping[AuthKind, bool] = {
    "web": True,
    "refresh-token": True,
    "jwt": False,
    "client-credentials": False,
}
"""Whether a way to log in leaves a token that rotates, dies of idleness and must never be sent twice."""
REFRESH_TOKEN_KINDS = tuple(auth for auth, holds in HOLDS_REFRESH_TOKEN.items() if holds)
Progress = Callable[[float, float | None, str | None], Awaitable[None]]
"""Tells the client how far a call has come: so much of how much, and in words. It never raises."""


class OrgState(StrEnum):
    """What can be done with an org right now."""

    READY = "ready"
    NEEDS_LOGIN = "needs_login"
    IN_DOUBT = "in_doubt"
    QUARANTINED = "quarantined"
    DISABLED = "disabled"


CLOSED_STATES = (OrgState.NEEDS_LOGIN, OrgState.QUARANTINED)
"""Of orgs to which nothing is sent, whatever access token is at hand, until somebody has logged in again."""


@dataclass(frozen=True, slots=True)
class Problem:
    """The last token answer was a refusal that did not kill the credential."""

    code: str
    since: datetime
    hint: str


@dataclass(frozen=True, slots=True)
class Move:
    """A token answer named another instance of an org than the one that is pinned."""

    before: str
    """URLs of both instances."""
    after: str
    since: datetime
    proven: bool
    """Whether the org is pinned to the new one; else it stays with the old one."""
    reason: str | None = None
    """Why it could not be proven."""


@dataclass(frozen=True, slots=True)
class OrgUser:
    """The Salesforce user that an org's credential acts as."""

    id: str
    username: str
    time_zone: str


@dataclass(frozen=True, slots=True)
class Connection:
    """One principal's own login to one org; it stays on record when it has ended."""

    id: RowId
    row_id: RowId
    """The org."""
    principal: str
    kind: ConnectionKind
    user: OrgUser | None
    """Pinned; None until the first token of an assertion."""
    username: str
    state: OrgState
    cause: str | None
    problem: Problem | None
    created_at: datetime
    refreshed_at: datetime | None
    confirmed_at: datetime | None = None
    """When an administrator said that the username is this principal's; only ``jwt`` waits for that."""
    refresh_suspended: bool = False

    @property
    def key(self) -> LoginKey:
        """Which login it is."""
        return LoginKey(self.row_id, self.id, self.principal)


class OrgHosts(msgspec.Struct, frozen=True):
    """Where one org's token and credential may go, and the key of its connections."""

    key: str
    instance_url: str
    login_url: str
    trusted: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Org:
    """One registered Salesforce org."""

    row_id: RowId
    alias: Alias
    org_id: OrgId | None
    """None only after ``--no-verify``, until the first refresh names it."""
    name: str
    kind: OrgKind | None
    edition: str | None
    login_url: str
    instance_url: str
    trusted_hosts: tuple[str, ...]
    """Hosts with their ports that the operator allows beside Salesforce's own."""
    api_version: str
    user: OrgUser | None
    state: OrgState
    cause: str | None
    """Why the state is not ``ready``, in Salesforce's words."""
    problem: Problem | None
    policy: Policy
    tags: tuple[str, ...]
    source: str
    """Where the credential was taken from; never a secret."""
    created_at: datetime
    refreshed_at: datetime | None
    """When a token was last got for it; a refresh token that is not used for 30 days dies."""
    enabled: bool = True
    auth: AuthKind = "refresh-token"
    refresh_suspended: bool = False
    """This store is a copy, or was one: another may have rotated the refresh token since, so none is sent until an
    operator says so (``check-org --try-token``)."""
    move: Move | None = None
    """The last one that was named since the last login."""
    identity: Identity = "shared"
    username_from: UsernameFrom | None = None
    connection: Connection | None = None
    """Whose login lies over the org's own: ``user``, ``state`` and what else is said of a login are this one's."""
    is_login_missing: bool = False
    """Whoever calls must log in first."""

    @property
    def login(self) -> LoginKey:
        """The login that calls use."""
        if self.connection is not None:
            return self.connection.key
        return LoginKey.missing(self.row_id) if self.is_login_missing else LoginKey.shared(self.row_id)

    @property
    def used_identity(self) -> UsedIdentity:
        """Whose login that is, as the audit log says it."""
        return "own" if self.connection is not None or self.is_login_missing else "shared"

    @property
    def login_owner(self) -> str:
        """What notes are bound to that only this login may use again; for the shared one as it always was."""
        return f"{self.row_id}:{self.login.id}" if self.login.is_own else self.row_id

    def with_connection(self, connection: Connection) -> Org:
        """The same org, as the calls of this connection's principal meet it."""
        return replace(
            self,
            connection=connection,
            user=connection.user,
            state=connection.state,
            cause=connection.cause,
            problem=connection.problem,
            refreshed_at=connection.refreshed_at,
            refresh_suspended=connection.refresh_suspended,
            auth=connection.kind,
            is_login_missing=False,
        )

    def without_login(self) -> Org:
        """The same org for who has no login to it."""
        return replace(self, connection=None, user=None, state=OrgState.NEEDS_LOGIN, is_login_missing=True)

    def hosts_with(self, instance_url: str) -> OrgHosts:
        """Where its token and credential may be sent, as long as it lives at this URL."""
        return OrgHosts(self.row_id, instance_url, self.login_url, self.trusted_hosts)

    @property
    def visible_state(self) -> OrgState:
        """The state as people see it: an operator's ``disabled`` covers what lies under it."""
        return self.state if self.enabled else OrgState.DISABLED

    @property
    def holds_refresh_token(self) -> bool:
        """Whether there is a token that rotates, dies of idleness and must never be sent twice."""
        return self.auth in REFRESH_TOKEN_KINDS


@dataclass(frozen=True, slots=True)
class StateChange:
    """An org's state, as people see it, has become another."""

    org: Org
    """As it is now."""
    before: OrgState
    since: datetime


@dataclass(frozen=True, slots=True)
class Credential:
    """What gets access tokens for an org: a refresh token, a private key, or a client secret alone."""

    client_id: str
    client_secret: Secret | None
    refresh_token: Secret | None
    private_key: Secret | None = None
    """PEM, of the certificate that the app knows (``jwt``)."""
    username: str | None = None
    """Whom a ``jwt`` credential acts as."""
    audience: str | None = None
    """Whom a ``jwt`` assertion is meant for: the one that worked last; None while none has."""
    explicit_audience: bool = False
    """An operator chose it, so no other is tried."""
    fencing: int = 0
    """Grows by one with each refresh that was stored."""
    given_digest: str = ""
    """SHA-256 of the refresh token as the operator gave it: after a rotation, its copies elsewhere are spent."""


@dataclass(frozen=True, slots=True)
class AccessToken:
    """A short-lived token and the only URL it may be sent to."""

    token: Secret
    instance_url: str
    fencing: int
    """The credential's fencing number when this token was stored: two tokens differ when it differs."""


class Elicitor(Protocol):
    """The person at the client, who can be asked."""

    @property
    def answer(self) -> tuple[str, str] | None:
        """The state and the answer (``accept`` or not) to an earlier question, which this call brings."""

    async def ask(self, question: str, state: str) -> str | None:
        """Ask, and give the answer; None if the client cannot ask after all.

        Raises Unconfirmed where the answer comes with a repeated call, which brings ``state`` back.
        """


@dataclass(frozen=True, slots=True)
class Caller:
    """One call's circumstances, as the transport knows them; never taken from arguments."""

    principal: Principal
    transport: Literal["stdio", "http", "cli"]
    client: str | None = None
    request_id: str | None = None
    label: str | None = None
    elicitor: Elicitor | None = field(default=None, compare=False, repr=False)
    """None where the client cannot ask anybody."""
    progress: Progress | None = field(default=None, compare=False, repr=False)
    scopes: frozenset[Permission] | None = None
    """What its access token is narrowed to; None: nothing but the grants limits it."""
    session_id: str | None = None
    """Of own sign-in, where the person came by it."""
    approval_url: str | None = None
    """Where that person allows what waits for them."""

    async def tell(self, done: float, total: float | None, message: str) -> None:
        """Say how far the call has come, if anybody listens. What is said must grow from one time to the next."""
        if self.progress is not None:
            await self.progress(done, total, message)


@dataclass(frozen=True, slots=True)
class Scope:
    """What this server process was started for: it can only take away."""

    orgs: frozenset[Alias] | None = None
    read_only: bool = False
    toolsets: frozenset[str] = field(default_factory=frozenset)
    """The default ones where neither these nor ``tools`` are named."""
    tools: frozenset[str] = field(default_factory=frozenset)
    """Offered beside those of the toolsets that are named."""
    exclude_tools: frozenset[str] = field(default_factory=frozenset)
