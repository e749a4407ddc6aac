"""Which path of sign-in goes where, by which methods, how often, and under which name of the server."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Protocol
from urllib.parse import urlsplit

from starlette.types import Receive

from orgserver.model.errors import StoreError
from orgserver.model.hosts import DEFAULT_PORTS, find_network
from orgserver.serving.http.door import Admitted
from orgserver.serving.http.exchange import Exchange
from orgserver.serving.http.limits import Limits, Refusal
from orgserver.serving.http.replies import Headers, Reply, make_not_found_reply, make_text_reply, retry_after
from orgserver.serving.http.signin.forms import ClientGone
from orgserver.serving.http.signin.machines import make_refusal_reply

logger = logging.getLogger("orgserver.http")

RATE, IN_FLIGHT = 10.0, 20
"""Of each source, be it an address or a network of IPv6: requests a second, and at once."""
RETRY_SECONDS = 2.0
_READING = ("GET", "HEAD")
_GONE = make_text_reply(400, "the request ended before all of it was there")

Answer = Callable[[Exchange, Admitted, Receive], Awaitable[Reply]]


class FailurePages(Protocol):
    """Makes pages for people."""

    def fail(self, status: int, title: str, text: str, todo: str, *, headers: Headers = ()) -> Reply:
        """One that says what happened, and what to do."""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """What answers at a path, or below one that ends with a slash."""

    answer: Answer
    methods: tuple[str, ...]
    """HEAD comes with GET, where clients read the answers."""
    is_page: bool
    """Whether people read its answers; else clients do."""


class Endpoints:
    """Everything that people and their clients reach to sign in, and what people have at ``/me`` and ``/connect``."""

    def __init__(self, url: str, endpoints: Mapping[str, Endpoint], pages: FailurePages) -> None:
        self._url = url
        self._host = _split(url)
        self._exact = {path: each for path, each in endpoints.items() if not path.endswith("/")}
        self._below = {path: each for path, each in endpoints.items() if path.endswith("/")}
        self._pages = pages
        self._limits = Limits(RATE, IN_FLIGHT)

    def serves(self, path: str) -> bool:
        """Whether a path is one of them."""
        return self._find(path) is not None

    async def answer(self, exchange: Exchange, admitted: Admitted, receive: Receive) -> Reply:
        """Answer a request to one."""
        endpoint = self._find(exchange.scope["path"])
        if endpoint is None:
            return make_not_found_reply()
        if _split(admitted.url) != self._host:
            return self._answer_elsewhere(endpoint, exchange)
        refusal = self._refuse_method(endpoint, exchange.scope["method"])
        if refusal is not None:
            return refusal
        leave = self._limits.admit(find_network(exchange.source), None)
        if isinstance(leave, Refusal):
            exchange.is_limited = True
            return self._put_off(
                endpoint, 429, "too many requests came from your address in a short time", leave.seconds
            )
        try:
            return await self._answer(endpoint, exchange, admitted, receive)
        finally:
            leave()

    async def _answer(self, endpoint: Endpoint, exchange: Exchange, admitted: Admitted, receive: Receive) -> Reply:
        try:
            return await endpoint.answer(exchange, admitted, receive)
        except ClientGone:
            return _GONE
        except StoreError as error:
            logger.warning("sign-in cannot use the store: %s", error)
            return self._put_off(endpoint, 503, "orgserver cannot use its store now; nothing was done", RETRY_SECONDS)

    def _find(self, path: str) -> Endpoint | None:
        exact = self._exact.get(path)
        if exact is not None:
            return exact
        return next((each for prefix, each in self._below.items() if path.startswith(prefix)), None)

    def _answer_elsewhere(self, endpoint: Endpoint, exchange: Exchange) -> Reply:
        """Under another of the server's names: people are sent to the one that is meant, clients know it."""
        scope = exchange.scope
        if not endpoint.is_page or scope["method"] not in _READING:
            return make_not_found_reply()
        query = b"?" + scope["query_string"] if scope["query_string"] else b""
        return Reply(302, headers=((b"location", self._url.encode() + scope["raw_path"].partition(b"?")[0] + query),))

    def _refuse_method(self, endpoint: Endpoint, method: str) -> Reply | None:
        has_head = "GET" in endpoint.methods and not endpoint.is_page  # whoever looks at a page's head begins nothing
        methods = endpoint.methods + (("HEAD",) if has_head else ())
        if method in methods:
            return None
        allowed = ", ".join(methods)
        return make_text_reply(405, f"only {allowed} is answered here", ((b"allow", allowed.encode()),))

    def _put_off(self, endpoint: Endpoint, status: int, text: str, seconds: float) -> Reply:
        pause = retry_after(seconds)
        if not endpoint.is_page:
            return make_refusal_reply(status, "temporarily_unavailable", text, pause)
        text = f"{text[0].upper()}{text[1:]}."
        return self._pages.fail(status, "Not now", text, "Wait a moment, then load this page again.", headers=pause)


def _split(url: str) -> tuple[str, str | None, int | None]:
    """Scheme, host and port, by which two ways to write a URL are one."""
    parts = urlsplit(url)
    return parts.scheme, parts.hostname, parts.port or DEFAULT_PORTS.get(parts.scheme)
