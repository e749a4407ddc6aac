"""Asking an identity provider: once however many wait, in bounded time, and not in floods while it fails."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

from orgserver.oauth.refusals import IssuerUnavailable

T = TypeVar("T")
logger = logging.getLogger("orgserver.oauth")

LOAD_SECONDS = 10.0
"""For all that is asked at a time."""
_MOST_BACK_OFF = 60.0


@dataclass(frozen=True, slots=True)
class LoadingTexts:
    """What the operator reads."""

    trouble: str
    """Before the reason, when nothing comes."""
    relief: str
    """When it comes again."""
    late: str
    """The reason where it takes too long; the seconds follow."""
    unforeseen: str
    """The reason where it fails in a way that nobody thought of."""


class Loading(Generic[T]):
    """What was told last, when, and who asks for it now."""

    def __init__(
        self, fetch: Callable[[], Awaitable[T]], clock: Callable[[], float], texts: LoadingTexts, reason: str
    ) -> None:
        self._fetch = fetch
        self._clock = clock
        self._texts = texts
        self._ask_not_before = clock()
        self._failures = 0
        self._reason = reason
        self._task: asyncio.Task[None] | None = None
        self._value: T | None = None
        self._told_at = clock()

    @property
    def task(self) -> asyncio.Task[None] | None:
        """Asks for it now, if anybody does."""
        return self._task

    def value_within(self, seconds: float) -> T | None:
        """What was told, where that is no longer ago."""
        if self._value is not None and self._clock() - self._told_at > seconds:
            return None
        return self._value

    def make_error(self) -> IssuerUnavailable:
        """Why there is nothing, and when it is asked for again."""
        return IssuerUnavailable(self._reason, max(0.0, self._ask_not_before - self._clock()))

    def start(self) -> asyncio.Task[None] | None:
        """Ask, unless somebody does already or it is too soon; whoever asks now."""
        if self._task is None and self._clock() >= self._ask_not_before:
            self._task = asyncio.create_task(self._run())
        return self._task

    async def ask(self) -> None:
        """Ask, or wait for whoever asks already; nothing where it is too soon."""
        task = self.start()
        if task is not None:
            await asyncio.shield(task)

    async def aclose(self) -> None:
        """Ask no more."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _run(self) -> None:
        try:
            async with asyncio.timeout(LOAD_SECONDS):
                value = await self._fetch()
        except IssuerUnavailable as error:
            self._fail(error.reason)
        except TimeoutError:
            self._fail(f"{self._texts.late} within {LOAD_SECONDS:g} s")
        except Exception:
            logger.exception("%s, in a way that is not foreseen", self._texts.unforeseen)
            self._fail(self._texts.unforeseen)
        else:
            if self._failures:
                logger.warning("%s", self._texts.relief)
            self._failures = 0
            self._value, self._told_at = value, self._clock()
        finally:
            self._task = None

    def _fail(self, reason: str) -> None:
        self._failures += 1
        self._reason = reason
        self._ask_not_before = self._clock() + min(2.0 ** (self._failures - 1), _MOST_BACK_OFF)
        logger.warning("%s: %s", self._texts.trouble, reason)
