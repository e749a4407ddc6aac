"""The HTTP client for orgs: it bounds time and size, and repeats only what certainly did not happen."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from functools import partial
from typing import Any, NamedTuple, TypeVar

from orgserver.model.errors import NoConnection, NotSent, Unanswered
from orgserver.model.orgs import OrgHosts
from orgserver.model.secret import Secret
from orgserver.salesforce import clock_difference
from orgserver.salesforce.auth import oauth
from orgserver.salesforce.connections import ConnectionPool, OrgConnections, Senders
from orgserver.salesforce.exchange import (
    INLINE_BYTES,
    ReadBody,
    ReplyTooLarge,
    Reservation,
    Trace,
    send_once,
    unwrap_read,
)
from orgserver.salesforce.http1.failures import NeverSent, ReplyLost
from orgserver.salesforce.http1.requests import HttpRequest
from orgserver.salesforce.outgoing import build_date_request, build_form, build_request
from orgserver.salesforce.protocol import bodies
from orgserver.salesforce.protocol.messages import Reply, Request
from orgserver.salesforce.retry import READ_TRIES, may_repeat, read_refusal
from orgserver.time_limits import TimeLimits

T = TypeVar("T")

READ_SECONDS = 45.0
TOKEN_SECONDS = 30.0
"""The whole time of a token request: shorter than any lease on it."""
BASE_SECONDS = 0.2
CAP_SECONDS = 20.0
NEVER_SENT_TRIES = 3
_ERROR = 300
_NOT_MODIFIED = 304


class FormReply(NamedTuple):
    """What a login host answered to a form."""

    status: int
    body: Any
    """JSON; None if it is none."""
    date: datetime | None
    """What time it is there, by its ``Date`` header."""

    def ahead(self, here: float) -> timedelta | None:
        """How far our clock (seconds since 1970, as it came) is ahead of the host's; None if that is not known."""
        return None if self.date is None else timedelta(seconds=here - self.date.timestamp())


class SalesforceClient:
    """Sends requests to orgs, each through connections of its own."""

    def __init__(
        self,
        *,
        concurrency: int = 10,
        queue: int = 500,
        senders: Senders | None = None,
        pause: Callable[[float], Awaitable[None]] = asyncio.sleep,
        random: Callable[[], float] = random.random,
        read_seconds: float = READ_SECONDS,
        token_seconds: float = TOKEN_SECONDS,
    ) -> None:
        self._max_calls = concurrency + queue
        self._pool = ConnectionPool(concurrency=concurrency, senders=senders or Senders(concurrency=concurrency))
        self.count_calls = self._pool.count_calls
        self._time_limits = TimeLimits()
        self._pause = pause
        self._random = random
        self._read_seconds = read_seconds
        self.token_seconds = token_seconds

    # -- records

    def admit(self, key: str, caller: str = "") -> Callable[[], None]:
        """Take a place for one call to the org of this key; the function that comes back gives it up again.

        Refuses at once what could not be sent: before the audit log is written. ``caller``: who shares an org.
        Raises RateLimited when too much is under way, NoConnection while the org is left alone.
        """
        return self._pool.admit(key, self._max_calls, caller)

    async def send(self, hosts: OrgHosts, token: Secret, request: Request, *, deadline: float, trace: Trace) -> Reply:
        """Send a request and return its successful reply.

        Raises StaleToken, Rejected, NotSent, or Unanswered when a change may have happened.
        """
        return await self.call(hosts, token, request, lambda reply: reply, deadline=deadline, trace=trace)

    def call(
        self,
        hosts: OrgHosts,
        token: Secret,
        request: Request,
        read: Callable[[Reply], T],
        *,
        deadline: float,
        trace: Trace,
        caller: str = "",
    ) -> Awaitable[T]:
        """Send a request and read its successful reply; a large one is read in a thread, and is gone afterwards.

        The callers of an org take turns. Raises what ``send`` and ``read`` raise.
        """
        return self._call(self._pool.get(hosts.key), hosts, token, request, read, deadline, trace, caller)

    async def _call(
        self,
        connections: OrgConnections,
        hosts: OrgHosts,
        token: Secret,
        request: Request,
        read: Callable[[Reply], T],
        deadline: float,
        trace: Trace,
        caller: str = "",
    ) -> T:
        outgoing = build_request(hosts, token, request)
        try:
            with self._time_limits.until(deadline):
                return await self._send_and_read(connections, caller, outgoing, request, read, trace, deadline)
        except ReplyTooLarge as error:
            connections.breaker.answered()
            raise Unanswered(
                f"the org's answer is too large: {error}",
                code="REPLY_TOO_LARGE",
                hint=None if request.writes else "ask for fewer fields, or for fewer records at a time",
            ) from None
        except TimeoutError:
            if trace.sent:
                raise Unanswered("no answer came in time", code="TIMEOUT") from None
            raise NotSent("there was no time left to send this", code="TIMEOUT") from None

    async def _send_and_read(
        self,
        connections: OrgConnections,
        caller: str,
        outgoing: HttpRequest,
        request: Request,
        read: Callable[[Reply], T],
        trace: Trace,
        deadline: float,
    ) -> T:
        reservation = Reservation(self._pool.memory, connections.memory)
        await connections.slots.take(caller)
        try:
            reply = await self._send_until_answered(connections, reservation, outgoing, request, trace, deadline)
            if reply.size <= INLINE_BYTES:
                return read(reply)
            reading = reservation.read(reply.size, partial(read, reply))
            del reply  # an error would keep it
            return await reading
        finally:
            reservation.release()
            connections.slots.give_back()

    async def _send_until_answered(
        self,
        connections: OrgConnections,
        reservation: Reservation,
        outgoing: HttpRequest,
        request: Request,
        trace: Trace,
        deadline: float,
    ) -> Reply:
        loop = asyncio.get_running_loop()
        budget, breaker = connections.budget, connections.breaker
        tries = 0
        while True:
            tries += 1
            trace.attempts += 1
            sent_before = trace.sent
            try:
                reply = await send_once(
                    connections.sender, outgoing, self._read_seconds, reservation, trace, request.accept
                )
                if outgoing.method != request.method:  # it was sent within another one
                    reply = unwrap_read(reply, trace)
            except NeverSent as error:
                breaker.failed(loop.time())
                if tries >= NEVER_SENT_TRIES or not budget.spend():
                    raise NoConnection(f"the org could not be reached: {error}") from error.__cause__
            except ReplyLost as error:
                breaker.failed(loop.time())
                if request.writes or tries >= READ_TRIES or not budget.spend(timeout=True):
                    raise Unanswered(f"the org's answer was lost: {error}") from error.__cause__
            else:
                if reply.status < _ERROR or (reply.status == _NOT_MODIFIED and request.conditional):
                    connections.succeeded()
                    return reply
                breaker.answered()
                reading = reservation.read(reply.size, partial(read_refusal, reply, writes=request.writes))
                del reply  # an error would keep it
                refusal = await reading
                trace.sent = sent_before or isinstance(refusal.error, Unanswered)
                in_time = loop.time() + refusal.wait < deadline  # waiting longer would only hide this answer
                if not in_time or not may_repeat(refusal, request, tries) or not budget.spend():
                    try:
                        raise refusal.error
                    finally:
                        del refusal  # with its traceback it would be a circle of objects
                await self._pause(refusal.wait)
            reservation.release()
            # full jitter: anything up to a bound that doubles with each try
            await self._pause(self._random() * min(CAP_SECONDS, BASE_SECONDS * 2.0 ** (tries - 1)))

    # -- tokens

    async def request_token(self, hosts: OrgHosts, form: oauth.Form) -> FormReply:
        """Ask the login host's token endpoint, once: a refresh token must not be sent twice."""
        reply = await self.post_form(hosts, oauth.TOKEN_PATH, form, bodies.read_token_reply)
        # Said a moment later: between an answer and its way to the store nothing happens that could fail.
        asyncio.get_running_loop().call_soon(clock_difference.warn, reply.ahead, hosts.login_url)
        return reply

    async def post_form(self, hosts: OrgHosts, path: str, form: oauth.Form, read: ReadBody = bodies.read) -> FormReply:
        """Post a form to the login host, once.

        Raises NoConnection or another NotSent if nothing was sent, Unanswered if no answer came.
        """
        outgoing = build_form(hosts, path, form)
        trace = Trace()
        try:
            reply = await self._send_to_login_host(hosts, outgoing, trace, self.token_seconds, read)
        except NeverSent as error:
            raise NoConnection(f"no connection: {error}", hint="check the network and the host's name") from error
        except (ReplyLost, ReplyTooLarge, TimeoutError) as error:
            raise Unanswered("the login host did not answer") from error
        return FormReply(reply.status, reply.body, trace.server_date)

    async def request_date(self, hosts: OrgHosts, *, seconds: float) -> datetime | None:
        """What time it is at the login host, by any answer of it; no token is shown.

        Raises NoConnection or Unanswered.
        """
        trace = Trace()
        try:
            await self._send_to_login_host(hosts, build_date_request(hosts), trace, seconds, bodies.read)
        except NeverSent as error:
            raise NoConnection(f"no connection: {error}") from error
        except (ReplyLost, ReplyTooLarge, TimeoutError) as error:
            if trace.server_date is None:
                raise Unanswered("the login host did not answer") from error
        return trace.server_date

    async def _send_to_login_host(
        self, hosts: OrgHosts, outgoing: HttpRequest, trace: Trace, seconds: float, read: ReadBody
    ) -> Reply:
        connections = self._pool.get_login_host(hosts.key)
        reservation = Reservation(self._pool.memory, connections.memory)
        try:
            async with asyncio.timeout(seconds):
                return await send_once(connections.sender, outgoing, seconds, reservation, trace, read=read)
        finally:
            reservation.release()

    async def send_to_login_host(self, hosts: OrgHosts, token: Secret, request: Request, *, deadline: float) -> Reply:
        """Ask an org's login host, with the access token that it has just made; CallError as ``send``."""
        connections = self._pool.get_login_host(hosts.key)
        login = OrgHosts(hosts.key, hosts.login_url, hosts.login_url, hosts.trusted)
        return await self._call(connections, login, token, request, lambda reply: reply, deadline, Trace())

    # -- connections

    async def close_org(self, key: str) -> None:
        """Close an org's connections."""
        await self._pool.close(key)

    async def aclose(self) -> None:
        """Close everything."""
        await self._pool.close_all()
