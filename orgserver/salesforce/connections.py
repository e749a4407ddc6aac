"""The connections to orgs, each org's its own, with what is counted of them: calls under way, failures, retries."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import httpx

from orgserver.model.errors import NoConnection, RateLimited
from orgserver.salesforce.exchange import OrgReplyMemory

if TYPE_CHECKING:
    import ssl


OpenTransport = Callable[[str], httpx.AsyncBaseTransport]
"""Opens the connections to the host of a URL."""
_TOKENS = 500
_RETRY_COST, _TIMEOUT_COST, _SUCCESS_GAIN = 5, 10, 1
_FAILURES_TO_OPEN = 10
_OPEN_SECONDS = 5.0


@dataclass(slots=True)
class Budget:
    """How many repetitions an org still has: a burst of trouble must not become a storm."""

    tokens: int = _TOKENS

    def spend(self, *, timeout: bool = False) -> bool:
        """Take what a repetition costs; False if it is not there."""
        cost = _TIMEOUT_COST if timeout else _RETRY_COST
        if self.tokens < cost:
            return False
        self.tokens -= cost
        return True

    def succeeded(self) -> None:
        """A success earns a little."""
        self.tokens = min(_TOKENS, self.tokens + _SUCCESS_GAIN)


@dataclass(slots=True)
class Breaker:
    """Leaves an org alone after many failures in a row; then one probe finds out whether it is back."""

    failures: int = 0
    open_until: float = 0.0

    def admits(self, now: float) -> bool:
        """Tell whether a request may go; after the pause one may, as a probe, and starts the next pause."""
        if self.failures < _FAILURES_TO_OPEN:
            return True
        if now < self.open_until:
            return False
        self.open_until = now + _OPEN_SECONDS
        return True

    def failed(self, now: float) -> None:
        """The org could not be reached, or did not answer."""
        self.failures += 1
        if self.failures >= _FAILURES_TO_OPEN:
            self.open_until = now + _OPEN_SECONDS

    def answered(self) -> None:
        """The org answered, whatever it said."""
        self.failures = 0


@dataclass(slots=True)
class OrgConnections:
    """One org's connections and what is under way on them."""

    transport: httpx.AsyncBaseTransport
    slots: asyncio.Semaphore
    calls: int = 0
    """Those under way, waiting ones too."""
    memory: OrgReplyMemory = field(default_factory=OrgReplyMemory)
    budget: Budget = field(default_factory=Budget)
    breaker: Breaker = field(default_factory=Breaker)

    def admit(self, max_calls: int) -> Callable[[], None]:
        """Count one more call; the function that comes back counts it off again.

        Raises RateLimited when there are too many, NoConnection while the org is left alone.
        """
        if self.calls >= max_calls:
            raise RateLimited(
                "too many calls to this org are under way",
                hint="wait for some to end; ORGSERVER_ORG_CONCURRENCY and ORGSERVER_ORG_QUEUE set the limits",
            )
        if not self.breaker.admits(asyncio.get_running_loop().time()):
            raise NoConnection("this org has not answered lately and is left alone for a few seconds", code="ORG_DOWN")
        self.calls += 1
        return self._leave

    def _leave(self) -> None:
        self.calls -= 1

    def succeeded(self) -> None:
        """The org did what it was asked for."""
        self.breaker.answered()
        self.budget.succeeded()


class ConnectionPool:
    """The connections of every org, opened with its first request."""

    def __init__(
        self,
        *,
        concurrency: int,
        proxy: str | None,
        ca_file: Path | None,
        transport: OpenTransport | None,
    ) -> None:
        self._concurrency = concurrency
        self._proxy = proxy
        self._ca_file = ca_file
        self._transport = transport or self._open_transport
        self._orgs: dict[str, OrgConnections] = {}
        self._tls: ssl.SSLContext | None = None

    def admit(self, key: str, url: str, max_calls: int) -> Callable[[], None]:
        """Count one more call through the connections of this key, as ``OrgConnections.admit``."""
        return self.get(key, url).admit(max_calls)

    def get(self, key: str, url: str) -> OrgConnections:
        """The connections of this key, to the host of this URL."""
        connections = self._orgs.get(key)
        if connections is None:
            slots = asyncio.Semaphore(self._concurrency)
            connections = self._orgs[key] = OrgConnections(self._transport(url), slots)
        return connections

    async def close(self, key: str) -> None:
        """Close the connections of a key, if there are any."""
        connections = self._orgs.pop(key, None)
        if connections is not None:
            await connections.transport.aclose()

    async def close_all(self) -> None:
        """Close everything."""
        for key in list(self._orgs):
            await self.close(key)

    def _open_transport(self, url: str) -> httpx.AsyncBaseTransport:
        from orgserver.salesforce import transport  # noqa: PLC0415  # aiohttp is imported with the first request

        if url.startswith("https") and self._tls is None:
            self._tls = transport.tls_context(self._ca_file)
        tls = self._tls if url.startswith("https") else None
        return transport.AiohttpTransport(connections=self._concurrency, tls=tls, proxy=self._proxy)
