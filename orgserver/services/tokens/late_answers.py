"""What is done with the refresh token of an answer that came when its login had ended: nobody will use it."""

from __future__ import annotations

from collections.abc import Callable

from orgserver.model.orgs import Org
from orgserver.model.secret import Secret
from orgserver.store.session import Store
from orgserver.store.transaction import Transaction


def keep_or_revoke_in(
    store: Store, org: Org, rotated: Secret | None, change: Callable[[Transaction], bool], tx: Transaction
) -> bool:
    """Store an answer by ``change``; where a person's login is gone, have Salesforce told that its token is over.

    An answer that is merely late, since another is stored, is left alone: it may be the very same one.
    """
    is_stored, login = change(tx), org.login
    if is_stored or rotated is None or login.principal is None:
        return is_stored
    if store.orgs.credentials.fencing_in(tx, login) is None:
        store.revocations.add_in(tx, org, login.principal, rotated)
    return False
