"""API keys: made and shown once, ended, and checked at every request, so that none outlives its revocation."""

from __future__ import annotations

import hmac
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from enum import Enum
from functools import partial

from orgserver.model.access.api_keys import PREFIX, is_api_key, make_api_key
from orgserver.model.access.principals import ApiKey, Principal
from orgserver.model.digests import digest_text
from orgserver.model.errors import PeopleError, StoreError
from orgserver.model.secret import Secret
from orgserver.services.people.grants import refuse_past
from orgserver.services.people.requests import KeyChanges
from orgserver.store.people import keys
from orgserver.store.session import Store
from orgserver.store.transaction import Transaction, to_datetime

LAST_USE_PAUSE = timedelta(minutes=1)
"""The last use of a key is written down at most so often."""


class KeyRefusal(Enum):
    """Why a key opens nothing."""

    UNKNOWN = "unknown"
    ENDED = "ended"
    REVOKED = "revoked"
    DISABLED = "disabled"


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

    def __init__(self, store: Store) -> None:
        self._store = store

    async def check(self, key: Secret) -> Principal | KeyRefusal:
        """Whose key it is, asked of the store each time; or why it opens nothing."""
        text = key.reveal()
        if not is_api_key(text):
            return KeyRefusal.UNKNOWN
        digest = digest_text(text)
        async with self._store.database.reading() as connection:
            stored = await keys.by_digest(connection, digest)
        if stored is None or not hmac.compare_digest(stored.digest, digest):
            return KeyRefusal.UNKNOWN
        refusal = self._refusal(stored)
        if refusal is not None:
            return refusal
        await self._note_use(stored.key)
        return Principal(stored.key.principal)

    def _refusal(self, stored: keys.StoredKey) -> KeyRefusal | None:
        if stored.key.revoked_at is not None:
            return KeyRefusal.REVOKED
        if stored.key.is_over(to_datetime(self._store.database.clock())):
            return KeyRefusal.ENDED
        return None if stored.is_enabled else KeyRefusal.DISABLED

    async def _note_use(self, key: ApiKey) -> None:
        now = to_datetime(self._store.database.clock())
        if key.last_used_at is not None and now - key.last_used_at < LAST_USE_PAUSE:
            return
        pause_us = LAST_USE_PAUSE // timedelta(microseconds=1)
        with suppress(StoreError):  # when it was used last is a courtesy: no request fails for it
            await self._store.database.write(partial(keys.touch_in, key_id=key.id, pause_us=pause_us))
