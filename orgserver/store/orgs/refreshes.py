"""How a refresh begins and ends in the store: each step one transaction, so that nobody sees half of it.

Beginning reads the store, takes the lease, and marks it ``sent``, all at once: two processes cannot both find that a
refresh is needed, and none can die between knowing the token and having said that it goes out.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime

from sqlalchemy import select, update

from orgserver.model.names import RowId
from orgserver.model.orgs import AccessToken, Credential, Org, OrgState, Problem
from orgserver.model.secret import Secret
from orgserver.store import tables
from orgserver.store.orgs import leases, rows
from orgserver.store.orgs.registry import Orgs
from orgserver.store.orgs.sealed_values import access_token_of, credential_of
from orgserver.store.processes.liveness import Lives
from orgserver.store.times import to_datetime
from orgserver.store.transaction import Transaction


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


class Refreshes:
    """Changes for the writer, each a step of one refresh."""

    def __init__(self, orgs: Orgs, lives: Lives) -> None:
        self._orgs = orgs
        self._lives = lives

    def begin_in(
        self,
        tx: Transaction,
        row_id: RowId,
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
        org = rows.one_in(tx, row_id)
        found = tx.connection.execute(credential_of(row_id)).first()
        if org is None or found is None:
            return Closed(None)
        stored = tx.connection.execute(access_token_of(row_id)).first()
        if stored is not None and stored.fencing != not_this:
            return Finished(self._orgs.opened_access(row_id, stored))
        if not force and (org.held or org.is_closed):
            return Closed(org)
        self._lives.prove()
        lease = leases.take_in(tx, row_id, holder, life_us, found.fencing, self._lives.is_alive)
        if isinstance(lease, str):
            return Busy(lease)
        if lease.doubted_since is not None and not prove:
            return Closed(self._doubt_in(tx, org, holder, to_datetime(lease.doubted_since)))
        return self._granted_in(tx, org, self._orgs.opened(row_id, found), lease)

    def _granted_in(self, tx: Transaction, org: Org, credential: Credential, lease: leases.Lease) -> Granted:
        if credential.refresh_token is not None:
            leases.sending_in(tx, org.row_id, lease.holder)
        doubted = to_datetime(lease.doubted_since) if lease.doubted_since is not None else None
        return Granted(org, credential, lease.taken_at, doubted)

    def keep_in(
        self, tx: Transaction, granted: Granted, holder: str, refresh_token: Secret | None, access: AccessToken
    ) -> bool:
        """Keep an answer and give the lease back; False if the credential is another one by now."""
        row_id = granted.org.row_id
        kept = self._orgs.refreshed_in(tx, row_id, granted.credential.fencing, refresh_token, access)
        audience = granted.credential.audience
        if kept and audience is not None:
            self._orgs.remember_audience_in(tx, row_id, audience)
        leases.release_in(tx, row_id, holder)
        return kept

    def keep_rotated_in(
        self, tx: Transaction, granted: Granted, holder: str, rotated: Secret, state: OrgState, cause: str
    ) -> bool:
        """Keep the refresh token of an answer whose access token may not be used, say why, and give the lease back."""
        row_id, fencing = granted.org.row_id, granted.credential.fencing
        kept = self._orgs.rotated_in(tx, row_id, fencing, rotated, fencing + 1)
        if kept:
            self._orgs.mark_in(tx, row_id, state=state, cause=cause, problem=None)
        leases.release_in(tx, row_id, holder)
        return kept

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
        row_id = granted.org.row_id
        leases.release_in(tx, row_id, holder, doubted=doubted)
        if self._orgs.fencing_in(tx, row_id) == granted.credential.fencing:
            self._orgs.mark_in(tx, row_id, state=state, cause=cause, problem=problem)

    def _doubt_in(self, tx: Transaction, org: Org, holder: str, since: datetime) -> Org:
        leases.release_in(tx, org.row_id, holder, doubted=True)
        if org.state is OrgState.IN_DOUBT and org.cause:
            return org  # it names what came in place of the answer
        cause = f"a refresh was sent at {moment(since)} and its answer was lost"
        self._orgs.mark_in(tx, org.row_id, state=OrgState.IN_DOUBT, cause=cause, problem=None)
        return replace(org, state=OrgState.IN_DOUBT, cause=cause)


def hold_copied_in(tx: Transaction, cause: Callable[[datetime], str]) -> int | None:
    """In a store that is a copy, hold every refresh token back; the number of orgs, None where it is no copy.

    The original may have gone on and rotated them: sending one from here would then revoke it for both.
    """
    copied = tx.connection.execute(select(tables.store.c.copied_at)).scalar()
    if copied is None:
        return None
    orgs = tables.orgs
    held = tx.connection.execute(
        update(orgs)
        .where(orgs.c.auth.in_(("web", "refresh-token")), orgs.c.state != OrgState.NEEDS_LOGIN.value)
        .values(held=True, state=OrgState.IN_DOUBT.value, cause=cause(to_datetime(copied)))
    )
    tx.connection.execute(
        update(tables.store).values(copied_at=None, catalog_version=tables.store.c.catalog_version + 1)
    )
    return held.rowcount


def moment(time: datetime) -> str:
    """A time as causes name it."""
    return time.isoformat(timespec="seconds").replace("+00:00", "Z")
