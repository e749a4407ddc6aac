"""The only sender: checks the host, bounds time and size, repeats only what certainly did not happen."""

from __future__ import annotations

import asyncio
import json
import logging
import random
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from functools import lru_cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar
from urllib.parse import urlencode

import httpx

from orgserver.model.errors import CallError, NoConnection, NotSent, RateLimited, Rejected, StaleToken, Unanswered
from orgserver.model.secret import Secret
from orgserver.model.text import clean_text
from orgserver.salesforce import clock, retry
from orgserver.salesforce import hosts as host_rules
from orgserver.salesforce.auth import oauth
from orgserver.salesforce.protocol import bodies, composite_read, refusals
from orgserver.salesforce.protocol.messages import Reply, Request
from orgserver.salesforce.reply_memory import Hold, OrgRoom, Room

if TYPE_CHECKING:
    import ssl

T = TypeVar("T")
logger = logging.getLogger("orgserver.salesforce")

CONNECT_SECONDS = 5.0
READ_SECONDS = 45.0
TOKEN_SECONDS = 30.0
"""The whole time of a token request: shorter than any lease on it."""
_ERROR = 300
_NOT_MODIFIED = 304
ReadBody = Callable[[int, Mapping[str, str], bytes, str], Any]
"""Reads a body by its status, headers and the kind that was asked for; ValueError if it cannot be understood."""
_REQUEST_ID_HEADERS = ("x-request-id", "x-sfdc-request-id", "sforce-request-id")


@dataclass(frozen=True, slots=True)
class OrgHosts:
    """Where one org's token and credential may go, and the key of its connections."""

    key: str
    instance_url: str
    login_url: str
    trusted: tuple[str, ...] = ()


@dataclass(slots=True)
class Trace:
    """What one call cost and met; filled while it runs."""

    api_calls: int = 0
    attempts: int = 0
    http_status: int | None = None
    salesforce_request_id: str | None = None
    limit_info: str | None = None
    server_date: datetime | None = None
    sent: bool = False
    """Whether Salesforce may have worked on anything: not on what never left, nor on what it refused."""


class FormReply(NamedTuple):
    """What a login host answered to a form."""

    status: int
    body: Any
    """JSON; None if it is none."""
    date: datetime | None
    """What time it is there, by its ``Date`` header."""


class _NeverSent(Exception):
    """No byte left."""


class _Lost(Exception):
    """The request left, and its reply did not come, or cannot be understood."""


class _TooCostly(Exception):
    """The reply came, and is more than we take in."""


@dataclass(slots=True)
class _Gate:
    """One org's connections and what is under way on them."""

    transport: httpx.AsyncBaseTransport
    slots: asyncio.Semaphore
    under_way: int = 0
    room: OrgRoom = field(default_factory=OrgRoom)
    budget: retry.Budget = field(default_factory=retry.Budget)
    breaker: retry.Breaker = field(default_factory=retry.Breaker)

    def leave(self) -> None:
        """One call less is under way."""
        self.under_way -= 1


class SalesforceClient:
    """Sends requests to orgs, each through connections of its own."""

    def __init__(
        self,
        *,
        concurrency: int = 10,
        queue: int = 500,
        proxy: str | None = None,
        ca_file: Path | None = None,
        transport: Callable[[str], httpx.AsyncBaseTransport] | None = None,
        pause: Callable[[float], Awaitable[None]] = asyncio.sleep,
        random: Callable[[], float] = random.random,
        read_seconds: float = READ_SECONDS,
        token_seconds: float = TOKEN_SECONDS,
    ) -> None:
        self._concurrency = concurrency
        self._queue = queue
        self._proxy = proxy
        self._ca_file = ca_file
        self._transport = transport or self._aiohttp
        self._pause = pause
        self._random = random
        self._read_seconds = read_seconds
        self.token_seconds = token_seconds
        self._gates: dict[str, _Gate] = {}
        self._room = Room()
        self._tls: ssl.SSLContext | None = None

    # -- records

    def admit(self, hosts: OrgHosts) -> Callable[[], None]:
        """Take a place for one call; the function that comes back gives it up again.

        Refuses at once what could not be sent anyway: before the audit log is written, not after.
        Raises RateLimited when too much is under way, NoConnection while the org is left alone.
        """
        gate = self._gate(hosts.key, hosts.instance_url)
        if gate.under_way >= self._concurrency + self._queue:
            raise RateLimited(
                "too many calls to this org are under way",
                hint="wait for some to end; ORGSERVER_ORG_CONCURRENCY and ORGSERVER_ORG_QUEUE set the limits",
            )
        if not gate.breaker.admits(asyncio.get_running_loop().time()):
            raise NoConnection("this org has not answered lately and is left alone for a few seconds", code="ORG_DOWN")
        gate.under_way += 1
        return gate.leave

    async def send(self, hosts: OrgHosts, token: Secret, request: Request, *, deadline: float, trace: Trace) -> Reply:
        """Send a request and return its successful reply.

        Raises StaleToken, Rejected, NotSent, or Unanswered when a change may have happened.
        """
        return await self.ask(hosts, token, request, lambda reply: reply, deadline=deadline, trace=trace)

    async def ask(
        self,
        hosts: OrgHosts,
        token: Secret,
        request: Request,
        read: Callable[[Reply], T],
        *,
        deadline: float,
        trace: Trace,
    ) -> T:
        """Send a request and read its successful reply; a large one is read in a thread, and is gone afterwards.

        Raises what ``send`` and ``read`` raise.
        """
        wrapped = composite_read.wrap(request) if composite_read.is_long(request) else request
        outgoing = self._request(hosts, token, wrapped)
        gate = self._gate(hosts.key, hosts.instance_url)
        try:
            async with asyncio.timeout_at(deadline), gate.slots, Hold(self._room, gate.room) as hold:
                reply = await self._attempts(gate, hold, outgoing, request, trace, deadline)
                reading = hold.read(reply.size, partial(read, reply))
                del reply  # an error would keep it
                return await reading
        except _TooCostly as error:
            gate.breaker.answered()
            raise Unanswered(
                f"the org's answer is too large: {error}",
                code="REPLY_TOO_LARGE",
                hint=None if request.writes else "ask for fewer fields, or for fewer records at a time",
            ) from None
        except TimeoutError:
            if trace.sent:
                raise Unanswered("no answer came in time", code="TIMEOUT") from None
            raise NotSent("there was no time left to send this", code="TIMEOUT") from None

    async def _attempts(
        self, gate: _Gate, hold: Hold, outgoing: httpx.Request, request: Request, trace: Trace, deadline: float
    ) -> Reply:
        loop = asyncio.get_running_loop()
        tries = 0
        while True:
            tries += 1
            trace.attempts += 1
            before = trace.sent
            try:
                reply = await self._once(gate, hold, outgoing, trace, request.accept)
                if composite_read.is_long(request):
                    reply = _unwrapped(reply, trace)
            except _NeverSent as error:
                gate.breaker.failed(loop.time())
                if tries >= retry.NEVER_SENT_TRIES or not gate.budget.spend():
                    raise NoConnection(f"the org could not be reached: {error}") from error.__cause__
            except _Lost as error:
                gate.breaker.failed(loop.time())
                if request.writes or tries >= retry.READ_TRIES or not gate.budget.spend(timeout=True):
                    raise Unanswered(f"the org's answer was lost: {error}") from error.__cause__
            else:
                gate.breaker.answered()
                if reply.status < _ERROR or (reply.status == _NOT_MODIFIED and request.conditional):
                    gate.budget.succeeded()
                    return reply
                wait = retry.after(reply.headers)
                refused = refusals.refusal(reply.status, reply.body, writes=request.writes, retry_after=wait)
                trace.sent = before or isinstance(refused, Unanswered)
                in_time = loop.time() + (wait or 0.0) < deadline  # waiting longer would only hide this answer
                if not in_time or not _repeatable(refused, reply, request, tries, wait) or not gate.budget.spend():
                    raise refused
                await self._pause(wait or 0.0)
            hold.release()
            await self._pause(retry.pause(tries, self._random))

    async def _once(
        self,
        gate: _Gate,
        hold: Hold,
        outgoing: httpx.Request,
        trace: Trace,
        accept: str = bodies.JSON,
        read: ReadBody = bodies.read,
    ) -> Reply:
        """One attempt. What is not proven to have stayed here counts as sent."""
        before, trace.sent = trace.sent, True
        outgoing.extensions["grow"] = hold.grow
        try:
            response = await gate.transport.handle_async_request(outgoing)
            content = await response.aread()
        except (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout) as error:
            trace.sent = before
            raise _NeverSent(str(error)) from error
        except httpx.HTTPError as error:
            trace.api_calls += 1
            raise _Lost(str(error)) from error
        except asyncio.CancelledError:  # out of time, or nobody wants it any more: Salesforce may count it all the same
            trace.api_calls += 1
            raise
        trace.api_calls += 1
        trace.http_status = response.status_code
        headers = {name.lower(): value for name, value in response.headers.items()}
        _note(trace, headers)
        status, size = response.status_code, len(content)
        # what has a reader of its own, a token reply, is small or not read, and must not wait for anything
        waits = size if read is bodies.read else 0
        reading = hold.read(waits, partial(read, status, headers, content, accept))
        del response, content  # an error would keep them
        try:
            body = await reading
        except bodies.TooCostly as error:
            raise _TooCostly(str(error)) from None
        except ValueError as error:
            raise _Lost(str(error)) from None
        return Reply(status, headers, body, size)

    # -- tokens

    async def token(self, hosts: OrgHosts, form: oauth.Form) -> FormReply:
        """Ask the login host's token endpoint, once: a refresh token must not be sent twice."""
        reply = await self.post_form(hosts, oauth.TOKEN_PATH, form, bodies.read_token_reply)
        # Said a moment later: between an answer and its way to the store nothing happens that could fail.
        asyncio.get_running_loop().call_soon(_note_clock, hosts.login_url, reply.date)
        return reply

    async def post_form(self, hosts: OrgHosts, path: str, form: oauth.Form, read: ReadBody = bodies.read) -> FormReply:
        """Post a form to the login host, once.

        Raises NoConnection or another NotSent if nothing was sent, Unanswered if no answer came.
        """
        origin = _origin(hosts.login_url, hosts.trusted)
        fields = {name: value.reveal() if isinstance(value, Secret) else value for name, value in form.items()}
        outgoing = httpx.Request(
            "POST",
            origin + path,
            headers={
                "Content-Type": "application/x-www-form-urlencoded",
                "Accept": "application/json",
                "Accept-Encoding": "identity",
            },
            content=_form(fields),
            extensions=_limits(self.token_seconds),
        )
        gate = self._gate(f"{hosts.key} login", origin)
        trace = Trace()
        try:
            async with asyncio.timeout(self.token_seconds), Hold(self._room, gate.room) as hold:
                reply = await self._once(gate, hold, outgoing, trace, read=read)
        except _NeverSent as error:
            raise NoConnection(f"no connection: {error}", hint="check the network and the host's name") from error
        except (_Lost, _TooCostly, TimeoutError) as error:
            raise Unanswered("the login host did not answer") from error
        return FormReply(reply.status, reply.body, trace.server_date)

    async def date(self, hosts: OrgHosts, *, seconds: float) -> datetime | None:
        """What time it is at the login host, by any answer of it; no token is shown.

        Raises NoConnection or Unanswered.
        """
        origin = _origin(hosts.login_url, hosts.trusted)
        outgoing = httpx.Request(
            "GET", origin + "/services/data", headers={"Accept-Encoding": "identity"}, extensions=_limits(seconds)
        )
        gate = self._gate(f"{hosts.key} login", origin)
        trace = Trace()
        try:
            async with asyncio.timeout(seconds), Hold(self._room, gate.room) as hold:
                await self._once(gate, hold, outgoing, trace)
        except _NeverSent as error:
            raise NoConnection(f"no connection: {error}") from error
        except (_Lost, _TooCostly, TimeoutError) as error:
            if trace.server_date is None:
                raise Unanswered("the login host did not answer") from error
        return trace.server_date

    async def ask_login_host(self, hosts: OrgHosts, token: Secret, request: Request, *, deadline: float) -> Reply:
        """Ask an org's login host, with the access token that it has just made; CallError as ``send``."""
        where = OrgHosts(f"{hosts.key} login", hosts.login_url, hosts.login_url, hosts.trusted)
        return await self.send(where, token, request, deadline=deadline, trace=Trace())

    # -- connections

    async def forget(self, key: str) -> None:
        """Close an org's connections."""
        for each in (key, f"{key} login"):
            gate = self._gates.pop(each, None)
            if gate is not None:
                await gate.transport.aclose()

    async def aclose(self) -> None:
        """Close everything."""
        for key in list(self._gates):
            await self.forget(key)

    def _gate(self, key: str, url: str) -> _Gate:
        gate = self._gates.get(key)
        if gate is None:
            gate = self._gates[key] = _Gate(self._transport(url), asyncio.Semaphore(self._concurrency))
        return gate

    def _aiohttp(self, url: str) -> httpx.AsyncBaseTransport:
        from orgserver.salesforce import transport  # noqa: PLC0415  # aiohttp is imported with the first request

        if url.startswith("https") and self._tls is None:
            self._tls = transport.tls_context(self._ca_file)
        tls = self._tls if url.startswith("https") else None
        return transport.AiohttpTransport(connections=self._concurrency, tls=tls, proxy=self._proxy)

    def _request(self, hosts: OrgHosts, token: Secret, request: Request) -> httpx.Request:
        """Build what is sent: here, and nowhere else, a token meets a URL, and the URL is the pinned one."""
        origin = _origin(hosts.instance_url, hosts.trusted)
        if not request.path.startswith(("/services/", "/id/")):
            raise NotSent("a request left the API's paths", code="INTERNAL", category="internal", retryable=False)
        if len(origin) + len(request.target) > composite_read.MOST:
            raise NotSent(
                f"the request's address would be longer than the {composite_read.MOST:,} bytes that Salesforce takes",
                code="REQUEST_TOO_LONG",
                category="invalid_argument",
                retryable=False,
                hint="name fewer fields, objects or values",
            )
        headers = [
            ("Authorization", f"Bearer {token.reveal()}"),
            ("Accept", request.accept),
            ("Accept-Encoding", "gzip"),
            *request.headers,
        ]
        content = request.body if isinstance(request.body, bytes) else None
        if request.body is not None and content is None:
            headers.append(("Content-Type", "application/json"))
            content = _encoded(request.body)
        outgoing = httpx.Request(
            request.method,
            origin + request.target,
            headers=headers,
            content=content,
            extensions=_limits(self._read_seconds),
        )
        sent_to = outgoing.url
        if f"{sent_to.scheme}://{sent_to.netloc.decode('ascii')}" != origin:
            raise NotSent("a request left its org's host", code="INTERNAL", category="internal", retryable=False)
        return outgoing


_checked = lru_cache(maxsize=4_096)(host_rules.check_url)  # a pure function of two texts, asked at every call


def _origin(url: str, trusted: tuple[str, ...]) -> str:
    try:
        return _checked(url, trusted)
    except ValueError as error:
        raise NotSent(f"this org's host may not be called: {error}", code="UNTRUSTED_HOST", retryable=False) from None


def _encoded(body: Any) -> bytes:
    try:
        return json.dumps(body, ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode()
    except (ValueError, UnicodeEncodeError):
        raise NotSent(
            "a value cannot be written as JSON", code="INVALID_VALUE", category="invalid_argument", retryable=False
        ) from None


def _note_clock(login_url: str, date: datetime | None) -> None:
    """Say when our clock is off, by the date of a token reply."""
    ahead = clock.difference(time.time(), date) if date is not None else None
    if ahead is not None and abs(ahead) > clock.NOTICEABLE:
        logger.warning("%s, by the answer of %s", clock.describe(ahead), login_url)


def _form(fields: Mapping[str, str]) -> bytes:
    try:
        return urlencode(fields).encode()
    except UnicodeEncodeError:  # half a surrogate: the message must not show it, it may be a secret's
        raise NotSent("a value cannot be written as a form", code="INVALID_VALUE", retryable=False) from None


def _limits(read: float) -> dict[str, Any]:
    return {"timeout": {"connect": CONNECT_SECONDS, "pool": CONNECT_SECONDS, "read": read, "write": read}}


def _note(trace: Trace, headers: dict[str, str]) -> None:
    trace.limit_info = headers.get("sforce-limit-info", trace.limit_info)
    for name in _REQUEST_ID_HEADERS:
        if name in headers:
            trace.salesforce_request_id = clean_text(headers[name], 100)
            break
    if "date" in headers:
        trace.server_date = clock.read_date(headers["date"])


def _unwrapped(reply: Reply, trace: Trace) -> Reply:
    """The answer to a long read, out of that of the request it was sent in."""
    try:
        inner = composite_read.unwrap(reply)
    except ValueError as error:
        raise _Lost(str(error)) from None
    trace.http_status = inner.status
    return inner


def _repeatable(refused: CallError, reply: Reply, request: Request, tries: int, wait: float | None) -> bool:
    """The retry table for answers that came."""
    if isinstance(refused, StaleToken):
        return False
    if refused.code == "UNABLE_TO_LOCK_ROW":  # the change was rolled back
        return tries < retry.LOCK_TRIES
    if tries >= retry.READ_TRIES:
        return False
    if request.writes:
        return refusals.rejected_before_work(reply.status, reply.body, retry_after=wait)
    return isinstance(refused, Rejected) and refused.retryable
