"""People's own logins as an operator sees them: what each is good for, and what is to be done about it."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime

from orgserver.model.access.logins import MOST_APPROVALS
from orgserver.model.names import RowId
from orgserver.model.orgs import Connection, Org, OrgState
from orgserver.services.orgs import keepalive
from orgserver.store.orgs.catalog import OrgSnapshot
from orgserver.store.orgs.connections import ENDED, is_ended, is_waiting
from orgserver.store.orgs.logins import Login, logins
from orgserver.store.session import Store

WAITING = "waiting"


@dataclass(frozen=True, slots=True)
class OwnConnection:
    """One of them, with its org."""

    org: Org
    """As calls by this login meet it."""
    connection: Connection
    approvals: int
    """Logins of the same Salesforce user by the same app that are kept here."""
    is_ended: bool = False
    """Whether it was ended on purpose: by its person, by an administrator, or with what let them use it."""

    @property
    def is_waiting(self) -> bool:
        """Whether an administrator is to say that it may be used."""
        return is_waiting(self.connection)

    @property
    def standing(self) -> str:
        """Its state, in a word that also says why there is nothing to use."""
        if self.is_waiting:
            return WAITING
        return ENDED if self.is_ended else self.connection.state.value

    @property
    def is_confirmable(self) -> bool:
        """Whether an administrator who names it may say so: also of one that has ended, which goes on then."""
        return self.connection.kind == "jwt" and not self.is_living

    @property
    def is_living(self) -> bool:
        """Whether calls can use it."""
        return self.connection.state is OrgState.READY

    @property
    def needs_somebody(self) -> bool:
        """Whether somebody is to do something about it."""
        if self.is_ended:
            return False
        return not self.is_living or self.connection.problem is not None or self.approvals > MOST_APPROVALS

    @property
    def dies_at(self) -> datetime | None:
        """When its refresh token would die if nobody used it."""
        return keepalive.dies_at(self.org) if self.is_living else None


async def read_all(store: Store) -> list[OwnConnection]:
    """Every one, read anew."""
    async with store.database.reading() as connection:
        holders = set(await store.orgs.connections.read_living(connection))
        return list_connections(await store.orgs.catalog(connection), await logins(connection), holders)


def list_connections(
    catalog: OrgSnapshot, apps: Mapping[RowId, Login], holders: Collection[tuple[RowId, str]]
) -> list[OwnConnection]:
    """Every one, also those that have ended, by alias and principal."""
    connections = [(catalog.by_row[each.row_id], each) for each in catalog.connections.values()]
    approvals = Counter(_approvals(catalog, apps))
    approvals[None] = 0
    every = [
        OwnConnection(
            org.with_connection(each),
            each,
            approvals[_key(org, each, apps)],
            is_ended=is_ended(each, holders),
        )
        for org, each in connections
    ]
    return sorted(every, key=lambda each: (each.org.alias, each.connection.principal))


def count_states(connections: Iterable[OwnConnection]) -> dict[str, dict[str, int]]:
    """How many can be used, wait for an administrator, were ended or need a login, by the alias of their org."""
    counts: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for each in connections:
        counts[each.org.alias][each.standing] += 1
    return {alias: dict(states) for alias, states in counts.items()}


def _approvals(catalog: OrgSnapshot, apps: Mapping[RowId, Login]) -> Iterable[tuple[str, str] | None]:
    """The app and user of each login that holds a refresh token."""
    for org in catalog.by_alias.values():
        if org.holds_refresh_token and org.user is not None and org.row_id in apps:
            yield apps[org.row_id].client_id, org.user.id
    for connection in catalog.connections.values():
        if connection.state is not OrgState.NEEDS_LOGIN:
            yield _key(catalog.by_row[connection.row_id], connection, apps)


def _key(org: Org, connection: Connection, apps: Mapping[RowId, Login]) -> tuple[str, str] | None:
    """The app and user of a login; None where there is no refresh token, or no user yet."""
    if connection.kind != "web" or connection.user is None or org.row_id not in apps:
        return None
    return apps[org.row_id].client_id, connection.user.id
