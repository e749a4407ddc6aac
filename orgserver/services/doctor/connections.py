"""The checks of ``doctor`` on people's own logins: which need their person, which die soon, what is left to revoke."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from datetime import datetime, timedelta

from orgserver.model.access.logins import MOST_APPROVALS, Approvals
from orgserver.model.names import RowId
from orgserver.model.orgs import Connection, Org, OrgState
from orgserver.model.text import count_of
from orgserver.services.doctor.machine import Finding
from orgserver.services.orgs.keepalive import LIFE, WARN_FROM
from orgserver.store.orgs.catalog import OrgSnapshot
from orgserver.store.orgs.connections import ENDED, is_ended, is_waiting
from orgserver.store.session import Store
from orgserver.store.transaction import to_datetime

_NAME = "connections"
_MOST_NAMES = 5
_Holder = tuple[RowId, str]
"""Of a login: its org and its principal."""
_LATE = timedelta(hours=1)


async def of_connections(store: Store, catalog: OrgSnapshot, now: datetime) -> list[Finding]:
    """Every finding; none in a store without own logins."""
    async with store.database.reading() as connection:
        holders = set(await store.orgs.connections.read_living(connection))
        count, oldest = await store.revocations.waiting(connection)
        crowded = await store.orgs.connections.read_approvals(connection, MOST_APPROVALS)
    findings = [_standing(catalog, holders)] if catalog.connections or _owned(catalog) else []
    findings += _of_people(catalog, holders, now)
    findings += [_crowded(each) for each in crowded]
    if count:
        findings.append(_waiting(count, to_datetime(oldest or 0), now))
    return findings


def _owned(catalog: OrgSnapshot) -> list[Org]:
    """Orgs that people log in to themselves."""
    return [org for org in catalog.by_alias.values() if org.identity != "shared"]


def _standing(catalog: OrgSnapshot, holders: Collection[_Holder]) -> Finding:
    every = catalog.connections.values()
    states = Counter(ENDED if is_ended(each, holders) else each.state.value for each in every)
    text = ", ".join(f"{count:,} {state}" for state, count in sorted(states.items())) or "none yet"
    return Finding(_NAME, "ok", f"people's own logins to {count_of(len(_owned(catalog)), 'org')}: {text}")


def _of_people(catalog: OrgSnapshot, holders: Collection[_Holder], now: datetime) -> list[Finding]:
    in_use = (each for each in catalog.connections.values() if not is_ended(each, holders))
    every = sorted(in_use, key=lambda each: (each.principal, each.row_id))
    waits = [each for each in every if is_waiting(each)]
    sick = [each for each in every if each not in waits and each.state is not OrgState.READY]
    dying = [each for each in every if each.state is OrgState.READY and each.kind == "web" and _idle(each, now)]
    by_key = [each for each in sick if each.kind == "jwt"]
    by_browser = [each for each in sick if each.kind == "web"]
    findings = []
    if by_browser:
        todo = "each of these people connects again when they next call: orgserver connections --problems"
        findings.append(Finding(_NAME, "warning", f"{_named(by_browser, catalog)}: a new login is needed", todo))
    if by_key:
        todo = "look why (orgserver connections --problems), and: orgserver connections --confirm ORG PRINCIPAL"
        findings.append(Finding(_NAME, "warning", f"{_named(by_key, catalog)}: the login by the key has ended", todo))
    if waits:
        todo = "look whose it is, and: orgserver connections --confirm ORG PRINCIPAL"
        findings.append(Finding(_NAME, "warning", f"{_named(waits, catalog)}: nobody has confirmed the user yet", todo))
    if dying:
        todo = "orgserver refresh-idle, and let a server or cron do it from now on"
        days = (LIFE - WARN_FROM).days
        findings.append(Finding(_NAME, "warning", f"{_named(dying, catalog)}: dies within {days} days unused", todo))
    return findings


def _idle(connection: Connection, now: datetime) -> bool:
    return now - (connection.refreshed_at or connection.created_at) >= WARN_FROM


def _named(connections: Sequence[Connection], catalog: OrgSnapshot) -> str:
    """Some of them by principal and org, and how many there are."""
    names = [_name(each, catalog) for each in connections[:_MOST_NAMES]]
    more = len(connections) - len(names)
    return _join(names) + (f" and {more:,} more" if more else "")


def _name(connection: Connection, catalog: OrgSnapshot) -> str:
    org = catalog.by_row.get(connection.row_id)
    return f"{connection.principal} in {org.alias if org is not None else connection.row_id}"


def _join(names: Iterable[str]) -> str:
    return ", ".join(names)


def _crowded(approvals: Approvals) -> Finding:
    text = f"{approvals.username} has {approvals.count} logins by one app in {approvals.alias}"
    todo = f"Salesforce lets {MOST_APPROVALS} live: with the next the oldest ends; end one that nobody needs"
    return Finding(_NAME, "warning", text, todo)


def _waiting(count: int, oldest: datetime, now: datetime) -> Finding:
    text = f"Salesforce is still to be told that {count_of(count, 'login')} ended here"
    if now - oldest < _LATE:
        return Finding(_NAME, "note", text)
    todo = "a running server tries it for a day; the log says why it does not succeed"
    return Finding(_NAME, "warning", f"{text}, the first since {oldest:%Y-%m-%d %H:%M} UTC", todo)
