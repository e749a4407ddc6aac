"""An issuer's keys as last told: asked for once however many wait, anew when they age, and for keys that are new."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable

from orgserver.oauth.key_sets import KeySet, VerificationKey
from orgserver.oauth.refusals import IssuerUnavailable

logger = logging.getLogger("orgserver.oauth")

FRESH_SECONDS = 600.0
"""After that they are asked for beside the requests that use them, so that a key that was withdrawn ends."""
LONGEST_SECONDS = 6 * 3_600.0
"""After that they count for nothing, whatever the issuer's trouble is."""
UNKNOWN_KEY_SECONDS = 5.0
"""So seldom is the issuer asked because of a key that it has not told of: anybody can name one."""
LOAD_SECONDS = 10.0
"""For all that is asked of it at a time."""
_MOST_BACK_OFF = 60.0


class KeyCache:
    """Keys of one issuer."""

    def __init__(
        self,
        fetch: Callable[[], Awaitable[KeySet]],
        clock: Callable[[], float] = time.monotonic,
        name: str = "the issuer of access tokens",
    ) -> None:
        self._fetch = fetch
        self._name = name
        self._clock = clock
        self._keys: KeySet | None = None
        self._fetched_at = 0.0
        self._ask_not_before = self._ask_for_unknown_not_before = clock()
        self._failures = 0
        self._reason = "the issuer has not been asked yet"
        self._loading: asyncio.Task[None] | None = None

    async def find(self, key_id: str | None, algorithm: str) -> VerificationKey | None:
        """The key that a token's header names; None where the issuer has none. IssuerUnavailable without any keys."""
        keys = self._usable()
        if keys is None:
            return (await self.load()).find(key_id, algorithm)
        if self._clock() - self._fetched_at > FRESH_SECONDS:
            self._start_loading()
        key = keys.find(key_id, algorithm)
        if key is None and self._may_ask_for_unknown():
            await self._load()
            keys = self._usable()
            key = keys.find(key_id, algorithm) if keys is not None else None
        return key

    async def load(self) -> KeySet:
        """The keys, asked for if there are none; IssuerUnavailable where the issuer does not tell them."""
        if self._usable() is None:
            await self._load()
        keys = self._usable()
        if keys is None:
            raise IssuerUnavailable(self._reason, max(0.0, self._ask_not_before - self._clock()))
        return keys

    def load_ahead(self) -> None:
        """Ask for the keys before a token needs them: an issuer that is away is in the log at once."""
        self._start_loading()

    async def aclose(self) -> None:
        """Ask no more."""
        if self._loading is not None:
            self._loading.cancel()
            await asyncio.gather(self._loading, return_exceptions=True)

    def _usable(self) -> KeySet | None:
        if self._keys is not None and self._clock() - self._fetched_at > LONGEST_SECONDS:
            self._keys = None
        return self._keys

    def _may_ask_for_unknown(self) -> bool:
        """Whether the issuer is asked for a key that it may have made just now, or is being asked already."""
        if self._loading is not None:
            return True
        now = self._clock()
        if now < self._ask_for_unknown_not_before:
            return False
        self._ask_for_unknown_not_before = now + UNKNOWN_KEY_SECONDS
        return True

    async def _load(self) -> None:
        """Ask the issuer, or wait for whoever asks it already; nothing where it is not to be asked again yet."""
        task = self._start_loading()
        if task is not None:
            await asyncio.shield(task)

    def _start_loading(self) -> asyncio.Task[None] | None:
        if self._loading is None and self._clock() >= self._ask_not_before:
            self._loading = asyncio.create_task(self._run())
        return self._loading

    async def _run(self) -> None:
        try:
            async with asyncio.timeout(LOAD_SECONDS):
                keys = await self._fetch()
        except IssuerUnavailable as error:
            self._fail(error.reason)
        except TimeoutError:
            self._fail(f"the issuer did not tell its keys within {LOAD_SECONDS:g} s")
        except Exception:
            logger.exception("an issuer's keys could not be read, in a way that is not foreseen")
            self._fail("the issuer's keys could not be read")
        else:
            if self._failures:
                logger.warning("%s tells its keys again", self._name)
            self._failures = 0
            self._keys, self._fetched_at = keys, self._clock()
        finally:
            self._loading = None

    def _fail(self, reason: str) -> None:
        self._failures += 1
        self._reason = reason
        self._ask_not_before = self._clock() + min(2.0 ** (self._failures - 1), _MOST_BACK_OFF)
        logger.warning("%s does not tell its keys: %s", self._name, reason)
