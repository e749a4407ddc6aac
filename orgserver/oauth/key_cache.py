"""An issuer's keys as last told: asked for once however many wait, anew when they age, and for keys that are new."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable

from orgserver.oauth.key_sets import KeySet, VerificationKey
from orgserver.oauth.loading import Loading, LoadingTexts

FRESH_SECONDS = 600.0
"""After that they are asked for beside the requests that use them, so that a key that was withdrawn ends."""
LONGEST_SECONDS = 6 * 3_600.0
"""After that they count for nothing, whatever the issuer's trouble is."""
UNKNOWN_KEY_SECONDS = 5.0
"""So seldom is the issuer asked because of a key that it has not told of: anybody can name one."""


class KeyCache:
    """Keys of one issuer."""

    def __init__(
        self,
        fetch: Callable[[], Awaitable[KeySet]],
        clock: Callable[[], float] = time.monotonic,
        name: str = "the issuer of access tokens",
    ) -> None:
        texts = LoadingTexts(
            trouble=f"{name} does not tell its keys",
            relief=f"{name} tells its keys again",
            late="the issuer did not tell its keys",
            unforeseen="the issuer's keys could not be read",
        )
        self._loading = Loading(fetch, clock, texts, "the issuer has not been asked yet")
        self._clock = clock
        self._ask_for_unknown_not_before = clock()

    async def find(self, key_id: str | None, algorithm: str) -> VerificationKey | None:
        """The key that a token's header names; None where the issuer has none. IssuerUnavailable without any keys."""
        keys = self._usable()
        if keys is None:
            return (await self.load()).find(key_id, algorithm)
        if self._loading.value_within(FRESH_SECONDS) is None:
            self._loading.start()
        key = keys.find(key_id, algorithm)
        if key is None and self._may_ask_for_unknown():
            await self._loading.ask()
            keys = self._usable()
            key = keys.find(key_id, algorithm) if keys is not None else None
        return key

    async def load(self) -> KeySet:
        """The keys, asked for if there are none; IssuerUnavailable where the issuer does not tell them."""
        if self._usable() is None:
            await self._loading.ask()
        keys = self._usable()
        if keys is None:
            raise self._loading.make_error()
        return keys

    def load_ahead(self) -> None:
        """Ask for the keys before a token needs them: an issuer that is away is in the log at once."""
        self._loading.start()

    async def aclose(self) -> None:
        """Ask no more."""
        await self._loading.aclose()

    def _usable(self) -> KeySet | None:
        return self._loading.value_within(LONGEST_SECONDS)

    def _may_ask_for_unknown(self) -> bool:
        """Whether the issuer is asked for a key that it may have made just now, or is being asked already."""
        if self._loading.task is not None:
            return True
        now = self._clock()
        if now < self._ask_for_unknown_not_before:
            return False
        self._ask_for_unknown_not_before = now + UNKNOWN_KEY_SECONDS
        return True
