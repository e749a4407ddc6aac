"""The connections to orgs, each org's its own, with what is counted of them: calls under way, failures, retries."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from orgserver.model.errors import NoConnection, RateLimited
from orgserver.salesforce.exchange import OrgReplyMemory, ReplyMemory
from orgserver.salesforce.fair_slots import FairSlots
from orgserver.salesforce.http1.requests import Sender

if TYPE_CHECKING:
    import ssl

    from orgserver.salesforce.http1.addresses import AddressLookup

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

    sender: Sender
    slots: FairSlots
    calls: dict[str, int] = field(default_factory=dict)
    """How many calls of each caller are under way, waiting ones too."""
    call_count: int = 0
    """All of them."""
    memory: OrgReplyMemory = field(default_factory=OrgReplyMemory)
    budget: Budget = field(default_factory=Budget)
    breaker: Breaker = field(default_factory=Breaker)

    def admit(self, max_calls: int, caller: str) -> Callable[[], None]:
        """Count one more call; the function that comes back counts it off again.

        A caller without any is let in also when others' floods take every place, as long as there are fewer callers
        than places. Raises RateLimited when there are too many, NoConnection while the org is left alone.
        """
        if self.call_count >= max_calls and (caller in self.calls or len(self.calls) >= max_calls):
            raise RateLimited(
                "too many calls to this org are under way",
                hint="wait for some to end; ORGSERVER_ORG_CONCURRENCY and ORGSERVER_ORG_QUEUE set the limits",
            )
        if not self.breaker.admits(asyncio.get_running_loop().time()):
            raise NoConnection("this org has not answered lately and is left alone for a few seconds", code="ORG_DOWN")
        self.calls[caller] = self.calls.get(caller, 0) + 1
        self.call_count += 1
        return partial(self._leave, caller)

    def _leave(self, caller: str) -> None:
        self.call_count -= 1
        self.calls[caller] -= 1
        if not self.calls[caller]:
            del self.calls[caller]

    def succeeded(self) -> None:
        """The org did what it was asked for."""
        self.breaker.answered()
        self.budget.succeeded()


class Senders:
    """Opens what sends to orgs and to their login hosts, by the operator's proxy and trust."""

    def __init__(self, *, concurrency: int = 10, proxy: str | None = None, ca_file: Path | None = None) -> None:
        self._concurrency = concurrency
        self._proxy = proxy
        self._ca_file = ca_file
        self._tls: ssl.SSLContext | None = None
        self._addresses: AddressLookup | None = None

    def open_org(self) -> Sender:
        """What sends the requests of one org's calls."""
        from orgserver.salesforce.http1.sender import HttpSender  # noqa: PLC0415  # imported with the first request

        return HttpSender(tls_context=self._get_tls, proxy=self._proxy)

    def open_login_host(self) -> Sender:
        """What sends to one org's login host."""
        from orgserver.salesforce.http1.addresses import AddressLookup  # noqa: PLC0415  # as above
        from orgserver.salesforce.httpx_sender import HttpxSender, open_transport  # noqa: PLC0415  # as above

        self._addresses = self._addresses or AddressLookup()
        return HttpxSender(
            lambda: open_transport(self._get_tls(), self._proxy, self._concurrency),
            self._addresses if self._proxy is None else None,
        )

    def _get_tls(self) -> ssl.SSLContext:
        if self._tls is None:
            self._tls = build_tls_context(self._ca_file)
        return self._tls


def build_tls_context(ca_file: Path | None) -> ssl.SSLContext:
    """Verify as the system does, and trust the operator's own certificates too; for HTTP/1.1."""
    from orgserver import tls  # noqa: PLC0415  # only where an org is reached by https

    context = tls.build_tls_context(ca_file)
    context.set_alpn_protocols(["http/1.1"])
    return context


class ConnectionPool:
    """The connections of every org, and of their login hosts, opened with the first request."""

    def __init__(self, *, concurrency: int, senders: Senders) -> None:
        self._concurrency = concurrency
        self._senders = senders
        self._orgs: dict[str, OrgConnections] = {}
        self._login_hosts: dict[str, OrgConnections] = {}
        self.memory = ReplyMemory()

    def admit(self, key: str, max_calls: int, caller: str) -> Callable[[], None]:
        """Count one more call to the org of this key, as ``OrgConnections.admit``."""
        leave = self.get(key).admit(max_calls, caller)
        self.memory.calls += 1
        return partial(self._leave, leave)

    def _leave(self, leave: Callable[[], None]) -> None:
        self.memory.calls -= 1
        leave()

    def get(self, key: str) -> OrgConnections:
        """The connections to the org of this key."""
        connections = self._orgs.get(key)
        if connections is None:
            connections = self._orgs[key] = self._make(self._senders.open_org())
        return connections

    def get_login_host(self, key: str) -> OrgConnections:
        """The connections to the login host of the org of this key."""
        connections = self._login_hosts.get(key)
        if connections is None:
            connections = self._login_hosts[key] = self._make(self._senders.open_login_host())
        return connections

    def count_calls(self) -> tuple[int, int]:
        """How many calls to all orgs have a place, and how many wait for one."""
        calls = [connections.call_count for connections in self._orgs.values()]
        waiting = sum(max(0, each - self._concurrency) for each in calls)
        return sum(calls) - waiting, waiting

    async def close(self, key: str) -> None:
        """Close the connections of a key, if there are any."""
        for connections in (self._orgs.pop(key, None), self._login_hosts.pop(key, None)):
            if connections is not None:
                await connections.sender.aclose()

    async def close_all(self) -> None:
        """Close everything."""
        for key in [*self._orgs, *self._login_hosts]:
            await self.close(key)

    def _make(self, sender: Sender) -> OrgConnections:
        return OrgConnections(sender, FairSlots(self._concurrency))
