"""What the open store says of its own health: its figures and its orgs'."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import and_, func, select, text, update
from sqlalchemy.ext.asyncio import AsyncConnection

from orgserver.model.orgs import REFRESH_TOKEN_KINDS, OrgState
from orgserver.store import tables
from orgserver.store.transaction import Transaction

_DAY_US = 86_400_000_000


@dataclass(frozen=True, slots=True)
class Diagnostics:
    """What the open store says of itself."""

    journal_mode: str | None
    """SQLite's; None on a server."""
    damage: tuple[str, ...]
    """What SQLite's own check found; nothing, as it should be, and on a server."""
    pending: int
    """Acts whose outcome is not written yet."""
    overdue: int
    """Those of them that should have ended long ago."""
    events: int
    missing_events: int
    """Events of the audit log that should be there and are not; fewer than none where there are too many."""
    unfinished: tuple[str, ...]
    """Aliases of enrolments that were begun and not finished."""


@dataclass(frozen=True, slots=True)
class OrgCounts:
    """How many orgs there are, by what matters to whoever looks after them."""

    by_state: dict[OrgState, int]
    problems: int
    """Orgs whose last token answer was a refusal that did not kill the credential."""
    idle: dict[int, int]
    """Refresh tokens that were not used for at least so many days."""
    longest_idle_us: int | None
    """The time for which the refresh token that was idle longest was not used."""


_AUDIT_LOG = select(  # one statement: what is written meanwhile must not look like a gap
    tables.audit_head.c.sequence.label("written"),
    select(tables.audit_base.c.sequence).scalar_subquery().label("pruned"),
    select(func.count()).select_from(tables.audit_events).scalar_subquery().label("stored"),
)


async def read_diagnostics(connection: AsyncConnection, late: int) -> Diagnostics:
    """Ask the open store; ``late`` is the instant before which a deadline is long past."""
    pending = tables.audit_pending
    every = select(func.count()).select_from(pending)
    journal_mode, damage = await _check_file(connection) if connection.dialect.name == "sqlite" else (None, ())
    log = (await connection.execute(_AUDIT_LOG)).one()
    unfinished = await connection.execute(select(tables.enrolments.c.alias).order_by(tables.enrolments.c.alias))
    return Diagnostics(
        journal_mode=journal_mode,
        damage=damage,
        pending=(await connection.execute(every)).scalar_one(),
        overdue=(await connection.execute(every.where(pending.c.deadline < late))).scalar_one(),
        events=log.written,
        missing_events=log.written - (log.pruned or 0) - log.stored,
        unfinished=tuple(unfinished.scalars()),
    )


async def _check_file(connection: AsyncConnection) -> tuple[str, tuple[str, ...]]:
    lines = (await connection.execute(text("PRAGMA quick_check(5)"))).scalars().all()
    journal_mode = str((await connection.execute(text("PRAGMA journal_mode"))).scalar())
    return journal_mode, tuple(str(line) for line in lines if line != "ok")


def write_in(tx: Transaction) -> bytes:
    """Write a page of the store anew without changing what it says; what the master key seals to be known again."""
    tx.connection.execute(update(tables.store).values(catalog_version=tables.store.c.catalog_version))
    return bytes(tx.connection.execute(select(tables.store.c.canary)).scalar_one())


async def find_overdue_holders(connection: AsyncConnection, before: int) -> list[str]:
    """Who has held a lease since before an instant on which it was over, and has not said what became of its refresh.

    The state of an org whose answer was lost says so by itself.
    """
    leases, orgs, credentials = tables.leases, tables.orgs, tables.credentials
    overdue = (
        select(leases.c.holder)
        .join(orgs, orgs.c.row_id == leases.c.row_id)
        .join(credentials, and_(credentials.c.row_id == leases.c.row_id, credentials.c.fencing == leases.c.fencing))
        .where(leases.c.expires_at < before, leases.c.sent_at.is_not(None), orgs.c.state == OrgState.READY.value)
    )
    return list((await connection.execute(overdue)).scalars())


async def count_orgs(connection: AsyncConnection, now: int, days: Sequence[int]) -> OrgCounts:
    """Count the orgs in one look at their table."""
    orgs = tables.orgs
    groups = await connection.execute(
        select(orgs.c.state, orgs.c.enabled, func.count(), func.count(orgs.c.problem)).group_by(
            orgs.c.state, orgs.c.enabled
        )
    )
    by_state, problems = dict.fromkeys(OrgState, 0), 0
    for state, enabled, count, with_problem in groups:
        by_state[OrgState(state) if enabled else OrgState.DISABLED] += count
        problems += with_problem
    last = orgs.c.refreshed_at
    over = [func.count().filter(last <= now - each * _DAY_US) for each in days]
    living = select(func.min(last), *over).where(
        orgs.c.auth.in_(REFRESH_TOKEN_KINDS), orgs.c.state != OrgState.NEEDS_LOGIN.value
    )
    first, *idle = (await connection.execute(living)).one()
    return OrgCounts(by_state, problems, dict(zip(days, idle, strict=True)), None if first is None else now - first)
