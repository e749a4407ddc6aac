"""How a refresh begins and ends in the store: each step one transaction, so that nobody sees half of it.

Beginning reads the store, takes the lease, and marks it ``sent``, all at once: two processes cannot both find that a
refresh is needed, and none can die between knowing the token and having said that it goes out.

The lease says who may refresh an org's token right now: one holder among all processes on the store. Taking it is a
durable write, which also proves that the store accepts writes before a token is spent. Its row says ``sent`` from
before a refresh token leaves until its answer is stored: whoever comes after a crash, or after an answer that was
lost, knows by it that Salesforce may have rotated that token.

    row: login · holder · expires_at · fencing (of the refresh token that is sent) · sent_at

The lease of a dead holder is over at once. On a server a holder may only seem dead: its session ended, and its request
is under way. So a lease that says ``sent`` is over there when no answer to it can come any more: a holder sends within
``SENDING_SECONDS`` of taking it, or not at all.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Protocol

from sqlalchemy import Connection, Row, delete, insert, select, update

from orgserver.model.access.logins import LoginKey
from orgserver.model.orgs import CLOSED_STATES, REFRESH_TOKEN_KINDS, AccessToken, Credential, Org, OrgState, Problem
from orgserver.model.secret import Secret
from orgserver.store import tables
from orgserver.store.catalog_version import changed_in
from orgserver.store.orgs import rows
from orgserver.store.orgs.login_tables import OWN, SHARED, access_token_of, credential_of, find_app_change
from orgserver.store.orgs.registry import Orgs
from orgserver.store.people import connection_tables
from orgserver.store.transaction import Transaction, to_datetime

SENDING_SECONDS = 5.0
"""How long after it took the lease a holder may still send a refresh token."""


@dataclass(frozen=True, slots=True)
class Lease:
    """A lease that was taken."""

    holder: str
    taken_at: int
    """Microseconds since 1970 UTC."""
    doubted_since: int | None
    """When an earlier holder sent this very refresh token without storing an answer."""


@dataclass(frozen=True, slots=True)
class Granted:
    """The holder may ask Salesforce for a token, until the lease ends."""

    org: Org
    credential: Credential
    taken_at: int
    """Microseconds since 1970 UTC."""
    doubted_since: datetime | None
    """This refresh token was sent before and no answer was stored: this is the one try that proves what became of it.
    """


@dataclass(frozen=True, slots=True)
class Finished:
    """Somebody has got another token meanwhile."""

    token: AccessToken


@dataclass(frozen=True, slots=True)
class Busy:
    """Somebody else holds the lease."""

    holder: str


@dataclass(frozen=True, slots=True)
class Closed:
    """This org must not be asked: its state says why. None: it is gone, or has no credential."""

    org: Org | None


Begun = Granted | Finished | Busy | Closed


class Living(Protocol):
    """Knows which processes live (``engines.engine.ProcessLock``)."""

    @property
    def is_proof(self) -> bool:
        """Whether who does not seem to live is dead."""

    def take(self, connection: Connection) -> None:
        """Let others see that this process lives."""

    def is_alive(self, connection: Connection, holder: str) -> bool:
        """Whether a lease's holder lives."""


class Refreshes:
    """Changes for the writer, each a step of one refresh."""

    def __init__(self, orgs: Orgs, process_lock: Living, token_seconds: float) -> None:
        """``token_seconds``: how long a token request takes at most."""
        self._orgs = orgs
        self._process_lock = process_lock
        self._answer_us = 0 if process_lock.is_proof else int((SENDING_SECONDS + token_seconds) * 1_000_000)

    def begin_in(
        self,
        tx: Transaction,
        login: LoginKey,
        holder: str,
        *,
        life_us: int,
        not_this: int | None,
        prove: bool,
        force: bool,
    ) -> Begun:
        """Take the lease, and mark as sent what its holder is about to send.

        ``not_this`` is the fencing number of the access token that was refused; with None any will do.
        ``prove`` allows the try of a token whose answer was lost; ``force`` that of one in a copy of a store.
        """
        org = rows.login_in(tx, login)
        credential_row = tx.connection.execute(credential_of(login)).first()
        if org is None or credential_row is None:
            return Closed(org if org is not None and login.is_own else None)
        stored = tx.connection.execute(access_token_of(login)).first()
        if stored is not None and stored.fencing != not_this:
            return Finished(self._orgs.credentials.open_access_token(login, stored))
        closed = _find_closed(org, credential_row, force=force)
        if closed is not None:
            return Closed(closed)
        self._process_lock.take(tx.connection)
        fencing, is_alive = credential_row.fencing, self._process_lock.is_alive
        lease = take_lease_in(tx, login.id, holder, life_us, fencing, is_alive, self._answer_us)
        if isinstance(lease, str):
            return Busy(lease)
        if lease.doubted_since is not None and not prove:
            return Closed(self._doubt_in(tx, org, holder, to_datetime(lease.doubted_since)))
        return self._granted_in(tx, org, self._orgs.credentials.open_credential(login, credential_row), lease)

    def _granted_in(self, tx: Transaction, org: Org, credential: Credential, lease: Lease) -> Granted:
        if credential.refresh_token is not None:
            mark_sent_in(tx, org.login.id, lease.holder)
        doubted = to_datetime(lease.doubted_since) if lease.doubted_since is not None else None
        return Granted(org, credential, lease.taken_at, doubted)

    def keep_in(
        self, tx: Transaction, granted: Granted, holder: str, refresh_token: Secret | None, access: AccessToken
    ) -> bool:
        """Keep an answer and give the lease back; False if the credential is another one by now."""
        login = granted.org.login
        stored = self._orgs.store_refresh_in(tx, login, granted.credential.fencing, refresh_token, access)
        audience = granted.credential.audience
        if stored and audience is not None:
            self._orgs.credentials.remember_audience_in(tx, login, audience)
        release_lease_in(tx, login.id, holder)
        return stored

    def keep_rotated_in(
        self, tx: Transaction, granted: Granted, holder: str, rotated: Secret, state: OrgState, cause: str
    ) -> bool:
        """Keep the refresh token of an answer whose access token may not be used, say why, and give the lease back."""
        login, fencing = granted.org.login, granted.credential.fencing
        stored = self._orgs.credentials.rotate_in(tx, login, fencing, rotated, fencing + 1)
        if stored:
            self._orgs.mark_in(tx, login, state=state, cause=cause, problem=None)
        release_lease_in(tx, login.id, holder)
        return stored

    def end_in(
        self,
        tx: Transaction,
        granted: Granted,
        holder: str,
        *,
        state: OrgState | None = None,
        cause: str | None = None,
        problem: Problem | None = None,
        doubted: bool = False,
    ) -> None:
        """Give the lease back without a token, and note what Salesforce said; ``doubted`` when it said nothing."""
        login = granted.org.login
        release_lease_in(tx, login.id, holder, doubted=doubted)
        if self._orgs.credentials.fencing_in(tx, login) == granted.credential.fencing:
            self._orgs.mark_in(tx, login, state=state, cause=cause, problem=problem)

    def _doubt_in(self, tx: Transaction, org: Org, holder: str, since: datetime) -> Org:
        release_lease_in(tx, org.login.id, holder, doubted=True)
        if org.state is OrgState.IN_DOUBT and org.cause:
            return org  # it names what came in place of the answer
        cause = f"a refresh was sent at {moment(since)} and its answer was lost"
        self._orgs.mark_in(tx, org.login, state=OrgState.IN_DOUBT, cause=cause, problem=None)
        return replace(org, state=OrgState.IN_DOUBT, cause=cause)


def _find_closed(org: Org, credential_row: Row[Any], *, force: bool) -> Org | None:
    """The org, with what keeps its login from being asked; None where nothing does."""
    if not force and (org.refresh_suspended or org.state in CLOSED_STATES):
        return org
    useless = find_app_change(org.login, credential_row)
    return replace(org, state=OrgState.NEEDS_LOGIN, cause=useless) if useless is not None else None


def take_lease_in(
    tx: Transaction,
    login_id: str,
    holder: str,
    life_us: int,
    fencing: int = 0,
    is_alive: Callable[[Connection, str], bool] = lambda _connection, _holder: True,
    answer_us: int = 0,
) -> Lease | str:
    """Take the lease for so many microseconds; the name of its holder while somebody else has it.

    ``fencing`` is that of the credential now: what an earlier holder sent of an older one is settled.
    A lease that ends later than any lease can is of a clock that was set back since, and does not count; nor does that
    of a holder who has died, from ``answer_us`` after it sent what it had. What a dead holder had sent is as much in
    doubt as ever.
    """
    leases = tables.leases
    row = tx.connection.execute(select(leases).where(leases.c.row_id == login_id)).first()
    if (
        row is not None
        and row.holder != holder
        and tx.now < row.expires_at <= tx.now + life_us
        and ((row.sent_at is not None and tx.now < row.sent_at + answer_us) or is_alive(tx.connection, row.holder))
    ):
        return str(row.holder)
    doubted = row.sent_at if row is not None and row.fencing == fencing else None
    tx.connection.execute(delete(leases).where(leases.c.row_id == login_id))
    tx.connection.execute(
        insert(leases).values(
            row_id=login_id, holder=holder, expires_at=tx.now + life_us, fencing=fencing, sent_at=doubted
        )
    )
    return Lease(holder, tx.now, doubted)


def mark_sent_in(tx: Transaction, login_id: str, holder: str) -> None:
    """Write down, before it happens, that the refresh token is sent."""
    leases = tables.leases
    tx.connection.execute(
        update(leases).where(leases.c.row_id == login_id, leases.c.holder == holder).values(sent_at=tx.now)
    )


def release_lease_in(tx: Transaction, login_id: str, holder: str, *, doubted: bool = False) -> None:
    """Give the lease up; somebody else's stays. ``doubted`` leaves on record that something was sent."""
    leases = tables.leases
    mine = (leases.c.row_id == login_id, leases.c.holder == holder)
    if doubted:
        tx.connection.execute(update(leases).where(*mine).values(expires_at=tx.now))
    else:
        tx.connection.execute(delete(leases).where(*mine))


def settle_leases_in(tx: Transaction, login_id: str, fencing: int) -> None:
    """End every lease on this or an older refresh token: its answer has been stored after all."""
    leases = tables.leases
    tx.connection.execute(delete(leases).where(leases.c.row_id == login_id, leases.c.fencing <= fencing))


def hold_copied_in(tx: Transaction, cause: Callable[[datetime], str]) -> int | None:
    """In a store that is a copy, hold every refresh token back; the number of logins, None where it is no copy.

    The original may have gone on and rotated them: sending one from here would then revoke it for both.
    """
    copied = tx.connection.execute(select(tables.store.c.copied_at)).scalar()
    if copied is None:
        return None
    values = {"held": True, "state": OrgState.IN_DOUBT.value, "cause": cause(to_datetime(copied))}
    suspended = 0
    for table, kind in ((SHARED.state, SHARED.state.c.auth), (OWN.state, OWN.state.c.kind)):
        has_token = kind.in_(REFRESH_TOKEN_KINDS), table.c.state != OrgState.NEEDS_LOGIN.value
        suspended += tx.connection.execute(update(table).where(*has_token).values(values)).rowcount
    for table in (connection_tables.revocations, connection_tables.connect_links):  # the original's to end
        tx.connection.execute(delete(table))
    tx.connection.execute(update(tables.store).values(copied_at=None))
    changed_in(tx)
    return suspended


def moment(time: datetime) -> str:
    """A time as causes name it."""
    return time.isoformat(timespec="seconds").replace("+00:00", "Z")
