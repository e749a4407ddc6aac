"""What is put on record of people's logins: each that was stored or discarded, and each that came to nothing."""

from __future__ import annotations

from msgspec import structs

from orgserver.model.access.principals import Principal
from orgserver.model.audit import Action, Completion, Intent, Outcome, SalesforceUser
from orgserver.model.names import new_id
from orgserver.model.orgs import Caller, OrgUser
from orgserver.services.connections.checks import COMMAND
from orgserver.services.connections.refusals import Refusal
from orgserver.services.people.auth_failures import AuthFailure, AuthFailures
from orgserver.store.orgs.connect_links import ConnectLink
from orgserver.store.session import Store
from orgserver.store.transaction import Transaction

CONNECT = "connect"
"""The tool of these entries."""
LABEL = "connect"
"""Of what people do with a link."""
DISCARDED = "DISCARDED"


def caller_of(link: ConnectLink) -> Caller:
    """Whoever goes on with a link."""
    return Caller(Principal(link.principal), "http", label=LABEL)


def make_intent(link: ConnectLink, user: OrgUser | None = None) -> Intent:
    """What a link is for; a command's says who gave it, and whose it becomes."""
    kind, _, operator = (link.proof or "").partition(":")
    by_command = kind == COMMAND
    whose = (f"principal:{link.principal}",) if by_command and operator != link.principal else ()
    intent = Intent(
        new_id(),
        operator if by_command else link.principal,
        "cli" if by_command else "http",
        Action.ENROL,
        tool=f"{CONNECT}-org" if by_command else CONNECT,
        label=None if by_command else LABEL,
        org=link.alias,
        org_row=link.row_id,
        org_id=link.org_id,
        fields=("connection", *whose),
        identity="own",
    )
    if user is None:
        return intent
    return structs.replace(intent, salesforce_user=SalesforceUser(user.id, user.username))


def record_in(
    tx: Transaction,
    store: Store,
    link: ConnectLink,
    outcome: Outcome,
    code: str | None = None,
    user: OrgUser | None = None,
) -> None:
    """Put on record what came of a link."""
    store.audit.record_in(tx, make_intent(link, user), Completion(outcome, error_code=code))


def record_refusal_in(tx: Transaction, store: Store, link: ConnectLink, refusal: Refusal) -> None:
    """Put on record why nothing came of it, where that is no failure to show who somebody is."""
    if isinstance(refusal.kind.record, Outcome):
        record_in(tx, store, link, refusal.kind.record, refusal.kind.code)


class Refusals:
    """Puts refusals on record: those that any stranger can cause in groups, all others one by one."""

    def __init__(self, store: Store, failures: AuthFailures) -> None:
        self._store = store
        self._failures = failures

    async def record(self, refusal: Refusal, source: str, link: ConnectLink | None) -> None:
        """Put one on record, which came from an address."""
        kind, principal = refusal.kind, link.principal if link is not None else None
        if isinstance(kind.record, Outcome) and link is not None:
            await self._store.database.write(lambda tx: record_refusal_in(tx, self._store, link, refusal))
            return
        await self._failures.record(AuthFailure(source, kind.code, kind.status, principal, reason=refusal.reason))
