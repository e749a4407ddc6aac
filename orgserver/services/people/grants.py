"""Granting and taking back, for a principal or a group, in the transaction of whatever else is changed of it."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from sqlalchemy import select

from orgserver.model.access.principals import Grant, Selector
from orgserver.model.access.standing import Standing
from orgserver.model.errors import PeopleError
from orgserver.model.names import RowId, nearest
from orgserver.model.orgs import Org
from orgserver.services.people.requests import GrantChanges, GrantRequest
from orgserver.store import tables
from orgserver.store.people import grants
from orgserver.store.people.changes import Holder
from orgserver.store.transaction import Transaction, to_datetime


def apply_in(
    tx: Transaction, holder: Holder, name: str, own: Iterable[Grant], changes: GrantChanges, *, by: str
) -> None:
    """Take back and grant. PeopleError for what was not granted, an org that is not there, or an end in the past."""
    by_selector = {grant.selector.text: grant for grant in own}
    for selector in changes.revoked:
        grant = by_selector.pop(selector.text, None)
        if grant is None:
            granted = f"it has {', '.join(by_selector)}" if by_selector else "it has none"
            raise PeopleError(f"{name} has no grant on {selector.text}", hint=f"{granted}; groups have their own")
        grants.remove_in(tx, grant.id)
    refuse_past(tx, changes.until)
    for request in changes.grants:
        refuse_past(tx, request.until)
        until = request.until or changes.until
        _grant_in(tx, holder, name, by_selector.get(request.selector.text), request, until=until, by=by)


def _grant_in(
    tx: Transaction,
    holder: Holder,
    name: str,
    before: Grant | None,
    request: GrantRequest,
    *,
    until: datetime | None,
    by: str,
) -> None:
    if before is None:
        row_id = _bound_org_in(tx, request.selector)
        grants.add_in(tx, holder, name, request.selector, request.permissions, row_id=row_id, until=until, by=by)
    elif (before.permissions, before.until) != (request.permissions, until):
        grants.replace_in(tx, before.id, request.permissions, until=until, by=by)


def refuse_past(tx: Transaction, until: datetime | None) -> None:
    """PeopleError for an end that has come already."""
    if until is not None and until <= to_datetime(tx.now):
        raise PeopleError(f"{until.isoformat(timespec='seconds')} is in the past", hint="give an end that is to come")


def _bound_org_in(tx: Transaction, selector: Selector) -> RowId | None:
    """The org that an alias means now; None for selectors that are judged at each call."""
    if selector.kind != "alias":
        return None
    orgs = tables.orgs
    row_id: str | None = tx.connection.execute(select(orgs.c.row_id).where(orgs.c.alias == selector.text)).scalar()
    if row_id is None:
        near = nearest(selector.text, tx.connection.execute(select(orgs.c.alias)).scalars())
        hint = f"did you mean {near}? " if near else ""
        raise PeopleError(
            f"no org is registered as {selector.text}, so nothing can be granted on it",
            hint=f"{hint}a glob such as {selector.text}* or tag:NAME also selects orgs that are still to come",
        )
    return RowId(row_id)


def selectors_of_nothing(requests: Iterable[GrantRequest], orgs: Iterable[Org]) -> tuple[str, ...]:
    """Selectors that no registered org matches."""
    every = tuple(orgs)
    return tuple(each.selector.text for each in requests if not _selects_any(each, every))


def _selects_any(request: GrantRequest, orgs: tuple[Org, ...]) -> bool:
    if request.selector.kind == "alias":
        return True
    epoch = to_datetime(0)
    grant = Grant("", "", request.selector, request.permissions, epoch)
    standing = Standing("", "person", grants=(grant,))
    return any(standing.grants_in(org, epoch) for org in orgs)
