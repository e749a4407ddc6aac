"""The end of a login of somebody's own: here at once, and at Salesforce as soon as it can be told.

That it is to be revoked is durable in the transaction that ends it, so neither is forgotten without the other.
"""

from __future__ import annotations

from msgspec import structs

from orgserver.model.audit import Completion, Intent, Outcome, SalesforceUser
from orgserver.model.names import RowId
from orgserver.model.orgs import Caller, Connection, Org
from orgserver.services.orgs.changes import intent_on
from orgserver.store.orgs import rows
from orgserver.store.session import Store
from orgserver.store.transaction import Transaction
from orgserver.vault.ring import retry_behind

DISCONNECT = "disconnect"
"""The tool of the entries."""
BY_ITSELF = "its person ended it"


class Ending:
    """Ends them."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def end_in(self, tx: Transaction, org: Org, connection: Connection, cause: str, caller: Caller) -> None:
        """End one, on record; ``caller`` is whoever ends it."""
        credential = self._store.orgs.connections.end_in(tx, connection.key, cause)
        if credential is not None and credential.refresh_token is not None:
            self._store.revocations.add_in(tx, org, connection.principal, credential.refresh_token)
        self._store.audit.record_in(tx, _make_intent(caller, org, connection), Completion(Outcome.SUCCEEDED))

    async def end_own(self, caller: Caller, row_id: RowId) -> bool:
        """End the caller's own login to an org; False where there is nothing to end."""

        def change(tx: Transaction) -> bool:
            org = rows.one_in(tx, row_id)
            own = self._store.orgs.connections.ends_of_in(tx, principal=caller.principal.name, row_id=row_id)
            if org is None or not own:
                return False
            for connection in own:
                self.end_in(tx, org, connection, BY_ITSELF, caller)
            return True

        return await retry_behind(lambda: self._store.database.write(change))


def _make_intent(caller: Caller, org: Org, connection: Connection) -> Intent:
    intent = structs.replace(intent_on(caller, DISCONNECT, org).about(("connection",)), identity="own")
    user = connection.user
    known = SalesforceUser(user.id, user.username) if user is not None else None
    return structs.replace(intent, salesforce_user=known)
