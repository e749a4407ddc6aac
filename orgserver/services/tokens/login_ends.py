"""The end of people's own logins: here at once, and at Salesforce as soon as it can be told.

That a token is to be revoked is durable in the transaction that ends its login, so neither is forgotten without the
other. A login ends with the last permission of its person in the org, whatever took that away.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from orgserver.model.access.principals import Principal
from orgserver.model.access.standing import Standing
from orgserver.model.audit import Action, Completion, Intent, Outcome, org_facts
from orgserver.model.names import RowId, new_id
from orgserver.model.orgs import Caller, Connection, Org
from orgserver.model.secret import Secret
from orgserver.store.orgs import rows
from orgserver.store.people.standings import standing_in
from orgserver.store.session import Store
from orgserver.store.transaction import Transaction, to_datetime
from orgserver.vault.keys import Unsealable

DISCONNECT = "disconnect"
"""The tool of the entries."""
NO_PERMISSION = "its person may do nothing in the org any more"
NOW_SHARED = "all calls to the org use one login now"
ORG_REMOVED = "the org was removed"
BY_ITSELF = "its person ended it"
PERSON_REMOVED = "its person was removed"


def end_in(
    tx: Transaction,
    store: Store,
    org: Org,
    connection: Connection,
    cause: str,
    caller: Caller,
    *,
    tool: str = DISCONNECT,
    forget: bool = False,
) -> None:
    """End one, on record; ``caller`` is whoever ends it. ``forget``: as if its person had never had one."""
    connections = store.orgs.connections
    session = _find_session_in(tx, store, connection)
    ended = connections.forget_in(tx, connection.key) if forget else connections.end_in(tx, connection.key, cause)
    token = ended.refresh_token if ended is not None and ended.refresh_token is not None else session
    if token is not None and not connection.refresh_suspended:  # a copy would cut off its original
        store.revocations.add_in(tx, org, connection.principal, token)
    intent = Intent(
        new_id(),
        caller.principal.name,
        caller.transport,
        Action.ENROL,
        tool=tool,
        label=caller.label,
        object=connection.principal,
        fields=("connection", f"why:{cause}"),
        **org_facts(org.with_connection(connection)),
    )
    store.audit.record_in(tx, intent, Completion(Outcome.SUCCEEDED))


def end_unreachable_in(
    tx: Transaction,
    store: Store,
    caller: Caller,
    tool: str,
    *,
    principals: Iterable[str] = (),
    row_ids: Iterable[RowId] = (),
) -> int:
    """End the logins of some principals, and those to some orgs, that nobody may use any more; how many."""
    connections, standings = store.orgs.connections, _Standings(tx)
    of_people = [each for name in principals for each in connections.ends_of_in(tx, principal=name)]
    of_orgs = [each for row_id in row_ids for each in connections.ends_of_in(tx, row_id=row_id)]
    count = 0
    for each in {each.id: each for each in (*of_people, *of_orgs)}.values():
        org = rows.one_in(tx, each.row_id)
        cause = _find_cause_in(tx, standings, org, each) if org is not None else None
        if org is not None and cause is not None:
            end_in(tx, store, org, each, cause, caller, tool=tool)
            count += 1
    return count


def end_of_person_in(
    tx: Transaction,
    store: Store,
    org: Org,
    principal: str,
    cause: str,
    caller: Caller,
    *,
    tool: str = DISCONNECT,
    forget: bool = False,
) -> int:
    """End a principal's login to an org; how many there were. ``forget`` takes one too that has ended already."""
    connections = store.orgs.connections
    find = connections.of_in if forget else connections.ends_of_in
    every = find(tx, principal=principal, row_id=org.row_id)
    for each in every:
        end_in(tx, store, org, each, cause, caller, tool=tool, forget=forget)
    return len(every)


def end_of_org_in(tx: Transaction, store: Store, org: Org, cause: str, caller: Caller, tool: str) -> int:
    """End every login to an org, and every one that is being given; how many there were."""
    ended = store.orgs.connections.ends_of_in(tx, row_id=org.row_id)
    for each in ended:
        end_in(tx, store, org, each, cause, caller, tool=tool)
    _end_links_in(tx, store, row_id=org.row_id)
    return len(ended)


def forget_person_in(tx: Transaction, store: Store, name: str, caller: Caller, tool: str) -> int:
    """End and forget every login of a person who is no longer there, and what one key would log them in as."""
    connections = store.orgs.connections
    every = connections.of_in(tx, principal=name)
    for each in every:
        org = rows.one_in(tx, each.row_id)
        if org is not None:
            end_in(tx, store, org, each, PERSON_REMOVED, caller, tool=tool, forget=True)
    _end_links_in(tx, store, principal=name)
    connections.unmap_in(tx, name)
    return len(every)


def find_cause(standing: Standing | None, org: Org, principal: str, now: datetime) -> str | None:
    """Why a principal's login to an org ends, if it does; ``standing`` is what the store says of the principal."""
    if org.identity == "shared":
        return NOW_SHARED
    if Principal(principal).is_local:
        return None
    has_any = standing is not None and standing.permissions_in(org, now)
    return None if has_any else NO_PERMISSION


def _find_cause_in(tx: Transaction, standings: _Standings, org: Org, connection: Connection) -> str | None:
    standing = standings.find(connection.principal)
    return find_cause(standing, org, connection.principal, to_datetime(tx.now))


class _Standings:
    """What the store says of principals in one change, each read once."""

    def __init__(self, tx: Transaction) -> None:
        self._tx = tx
        self._known: dict[str, Standing | None] = {}

    def find(self, name: str) -> Standing | None:
        if name not in self._known:
            self._known[name] = standing_in(self._tx, name)
        return self._known[name]


def _find_session_in(tx: Transaction, store: Store, connection: Connection) -> Secret | None:
    """The access token of a login by assertion, which has no refresh token whose end would end it, too."""
    if connection.kind != "jwt":
        return None
    try:
        access = store.orgs.credentials.access_token_in(tx, connection.key)
    except Unsealable:  # it is ended all the same
        return None
    return access.token if access is not None else None


def _end_links_in(tx: Transaction, store: Store, *, principal: str | None = None, row_id: RowId | None = None) -> None:
    for link, answer in store.connect_links.end_of_in(tx, principal=principal, row_id=row_id):
        token, org = answer.get("refresh_token"), rows.one_in(tx, link.row_id)
        if token is not None and org is not None:
            store.revocations.add_in(tx, org, link.principal, Secret(token))
