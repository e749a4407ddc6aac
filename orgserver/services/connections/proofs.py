"""What shows who opens a link, where they are not signed in: their API key, in one browser from then on."""

from __future__ import annotations

from functools import partial

from orgserver.model.digests import digest_text
from orgserver.model.secret import Secret
from orgserver.services.connections.checks import KEY
from orgserver.services.connections.refusals import Refusal, RefusalKind
from orgserver.services.people.keys import ApiKeys, KeyRefusal
from orgserver.store.orgs.connect_links import ConnectLink
from orgserver.store.session import Store
from orgserver.store.transaction import Transaction

MAX_ATTEMPTS = 5
"""Keys that are not the right one; then the link is over."""


class Proofs:
    """Takes keys."""

    def __init__(self, store: Store, api_keys: ApiKeys) -> None:
        self._store = store
        self._links = store.connect_links
        self._api_keys = api_keys

    async def take_key(self, link: ConnectLink, key: Secret, browser: Secret) -> Refusal | None:
        """Have this browser go on with a link; wrong keys end it, and one of somebody else leaves it as it is."""
        owner = await self._api_keys.check(key)
        if isinstance(owner, KeyRefusal):
            await self._store.database.write(partial(self._count_in, link=link))
            return Refusal(RefusalKind.WRONG_KEY, reason=f"the key is {owner.value}")
        if owner.principal.name != link.principal:
            return Refusal(RefusalKind.OTHER_PERSON, reason="a key of somebody else")
        proof, digest = f"{KEY}:{owner.key_id}", digest_text(browser.reveal())
        is_bound = await self._store.database.write(
            lambda tx: self._links.step_in(tx, link, "asked", "asked", proof=proof, browser_digest=digest)
        )
        return None if is_bound else Refusal(RefusalKind.OVER)

    def _count_in(self, tx: Transaction, link: ConnectLink) -> None:
        if self._links.count_attempt_in(tx, link.id) >= MAX_ATTEMPTS:
            self._links.remove_in(tx, link, "asked")
