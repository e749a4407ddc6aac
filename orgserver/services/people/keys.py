"""API keys: made and shown once, ended, and checked at every request, so that none outlives its revocation."""

from __future__ import annotations

import hmac
from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum
from typing import NamedTuple

from orgserver.model.access.api_keys import PREFIX, is_api_key, make_api_key
from orgserver.model.access.principals import ApiKey, Principal
from orgserver.model.digests import digest_text
from orgserver.model.errors import PeopleError
from orgserver.model.secret import Secret
from orgserver.services.people.grants import refuse_past
from orgserver.services.people.identities import Identities
from orgserver.services.people.key_uses import KeyUses
from orgserver.services.people.requests import KeyChanges
from orgserver.store.people import keys
from orgserver.store.session import Store
from orgserver.store.transaction import Transaction


class KeyRefusal(Enum):
    """Why a key opens nothing."""

    UNKNOWN = "unknown"
    ENDED = "ended"
    REVOKED = "revoked"
    DISABLED = "disabled"


class ApiKeyOwner(NamedTuple):
    """Whose key a request brought."""

    principal: Principal
    key_id: str


@dataclass(frozen=True, slots=True)
class NewKey:
    """A key that was made just now: the one time that its text can be had."""

    id: str
    text: Secret


def apply_in(tx: Transaction, principal: str, own: Iterable[ApiKey], changes: KeyChanges) -> NewKey | None:
    """Revoke keys and make one. PeopleError for a key that is none of the principal's, or an end in the past."""
    own = tuple(own)
    for beginning in changes.revoked:
        keys.revoke_in(tx, _one_of(own, beginning, principal).id)
    if not changes.new:
        return None
    refuse_past(tx, changes.until)
    text = make_api_key()
    return NewKey(keys.add_in(tx, principal, digest_text(text.reveal()), changes.until), text)


def _one_of(own: tuple[ApiKey, ...], beginning: str, principal: str) -> ApiKey:
    if beginning.startswith(PREFIX):
        raise PeopleError("a key is revoked by its id, not by its text", hint="it was shown, so do revoke it")
    matches = [key for key in own if beginning and key.id.startswith(beginning.lower())]
    if not matches:
        raise PeopleError(
            f"{principal} has no key {beginning}", hint=f"orgserver show-principal {principal} shows them"
        )
    if len(matches) > 1:
        raise PeopleError(f"{len(matches)} keys of {principal} begin with {beginning}", hint="give more of the id")
    if matches[0].revoked_at is not None:
        raise PeopleError(f"the key {matches[0].id} is revoked already")
    return matches[0]


class ApiKeys:
    """Checks keys that requests bring."""

    def __init__(self, store: Store, identities: Identities) -> None:
        self._identities = identities
        self._clock = store.database.clock
        self._uses = KeyUses(store)

    async def identify(self, key: Secret) -> ApiKeyOwner | None:
        """Whose key it is or was, whether or not it opens anything; None where it is nobody's."""
        stored = (await self._identities.current()).keys.get(digest_text(key.reveal()))
        return ApiKeyOwner(Principal(stored.principal), stored.id) if stored is not None else None

    async def check(self, key: Secret) -> ApiKeyOwner | KeyRefusal:
        """Whose key it is, as the store has it now; or why it opens nothing."""
        text = key.reveal()
        digest = digest_text(text)
        if not self._identities.has_key(digest) and not is_api_key(text):
            return KeyRefusal.UNKNOWN
        snapshot = await self._identities.current()
        stored = snapshot.keys.get(digest)
        if stored is None or not hmac.compare_digest(stored.digest, digest):
            return KeyRefusal.UNKNOWN
        now = self._clock()
        if stored.revoked_at is not None:
            return KeyRefusal.REVOKED
        if stored.until is not None and now >= stored.until:
            return KeyRefusal.ENDED
        if stored.principal in snapshot.disabled:
            return KeyRefusal.DISABLED
        self._uses.note(stored, now)
        return ApiKeyOwner(Principal(stored.principal), stored.id)

    async def close(self) -> None:
        """Write down which keys were used."""
        await self._uses.close()
