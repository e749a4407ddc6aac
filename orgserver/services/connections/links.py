"""Links that lead a person to a login of their own in one org: made for who was asked, and found again.

What a link's address holds is a secret of which the store has the digest. Looking at one changes nothing: mail scanners
and previews of messages open them, too.
"""

from __future__ import annotations

import re
import secrets
from dataclasses import dataclass

from orgserver.model.digests import digest_text
from orgserver.model.names import RowId
from orgserver.model.orgs import Caller, Org
from orgserver.model.secret import Secret
from orgserver.services.calls.access import Access
from orgserver.store.orgs.connect_links import ConnectLink
from orgserver.store.session import Store
from orgserver.store.transaction import Transaction

PATH = "/connect/"
CALLBACK_PATH = f"{PATH}callback"
MAX_OPEN = 5
"""Of one principal and org, that nobody has begun with: the oldest makes room."""
_BYTES = 32
_NONCE = re.compile(r"[A-Za-z0-9_-]{43}")


@dataclass(frozen=True, slots=True)
class OfferedLink:
    """A link that was made just now: the one time that its address can be had."""

    id: str
    url: str


class ConnectLinks:
    """Makes and finds them. ``url`` is how people reach the server; None: not at all."""

    def __init__(self, store: Store, access: Access, url: str | None) -> None:
        self._store = store
        self._access = access
        self._links = store.connect_links
        self._url = url

    @property
    def callback_url(self) -> str:
        """Where Salesforce sends people back to: the org's app must know it."""
        return f"{self._url}{CALLBACK_PATH}"

    async def offer(self, caller: Caller, row_id: str) -> OfferedLink | None:
        """A link to an org for who calls; None where they cannot be led anywhere."""
        org = (await self._access.catalog()).by_row.get(RowId(row_id))
        can_log_in = org is not None and org.username_from is None and org.org_id is not None
        if org is None or not can_log_in or self._url is None or caller.transport != "http":
            return None
        return await self.make(caller.principal.name, org)

    async def make(self, principal: str, org: Org, *, replace: bool = False) -> OfferedLink:
        """A link for a principal; with ``replace`` another Salesforce user may follow the one that is pinned."""
        nonce = secrets.token_urlsafe(_BYTES)
        link = ConnectLink.to_org(org, principal, self._store.database.clock(), replace=replace)

        def add(tx: Transaction) -> None:
            self._links.add_in(tx, link, digest_text(nonce))
            self._links.limit_in(tx, org.row_id, principal, MAX_OPEN)

        await self._store.database.write(add)
        return OfferedLink(link.id, f"{self._url}{PATH}{nonce}")

    async def find(self, nonce: Secret | None) -> ConnectLink | None:
        """The link of an address, if it is new; None too for one that is late."""
        link = await self.find_any(nonce)
        is_new = link is not None and link.stage == "asked" and link.expires_at > self._store.database.clock()
        return link if is_new else None

    async def find_any(self, nonce: Secret | None) -> ConnectLink | None:
        """The same, also of one that is late or under way; None once it has led to a login."""
        if nonce is None or not _NONCE.fullmatch(nonce.reveal()):
            return None
        async with self._store.database.reading() as connection:
            return await self._links.find(connection, nonce_digest=digest_text(nonce.reveal()))
