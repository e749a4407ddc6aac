"""Who is in a group because an identity provider says so: written at a sign-in, gone with the last session."""

from __future__ import annotations

from collections.abc import Iterable

from sqlalchemy import delete, insert, select

from orgserver.store.catalog_version import changed_in
from orgserver.store.people import tables
from orgserver.store.transaction import Transaction

_members = tables.claim_members


def set_groups_in(tx: Transaction, principal: str, values: Iterable[str]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Put a principal into exactly the groups whose claim is one of these values; its groups before and after."""
    before = groups_in(tx, principal)
    after = _groups_of_in(tx, frozenset(values))
    _leave_in(tx, principal, set(before) - set(after))
    new = [{"group": group, "principal": principal} for group in after if group not in before]
    if new:
        tx.connection.execute(insert(_members), new)
    if before != after:
        changed_in(tx, "principal", principal)
    return before, after


def clear_in(tx: Transaction, principal: str) -> None:
    """Take a principal out of every group that a claim fills."""
    set_groups_in(tx, principal, ())


def groups_in(tx: Transaction, principal: str) -> tuple[str, ...]:
    """The groups that a principal is in by claim, by name."""
    own = select(_members.c.group).where(_members.c.principal == principal).order_by(_members.c.group)
    return tuple(tx.connection.execute(own).scalars())


def _groups_of_in(tx: Transaction, values: frozenset[str]) -> tuple[str, ...]:
    """Of all groups that a claim fills, those of some values; compared here, to the letter."""
    groups = tables.groups
    filled = select(groups.c.name, groups.c.claim).where(groups.c.claim.is_not(None)).order_by(groups.c.name)
    return tuple(row.name for row in tx.connection.execute(filled) if row.claim in values) if values else ()


def _leave_in(tx: Transaction, principal: str, groups: set[str]) -> None:
    for group in groups:
        tx.connection.execute(delete(_members).where(_members.c.principal == principal, _members.c.group == group))
