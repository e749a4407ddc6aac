"""The listener that a browser comes back to after a login: on this machine, one path, one answer.

Any page in the browser can send requests here. So an answer that is not to this login (its state is another one) gets
an error page and ends nothing: otherwise a page that guesses the port could break every login. Host and path must be
the callback's to the letter, so a name that was pointed at this machine (DNS rebinding) gets nothing either.
"""

from __future__ import annotations

import asyncio
import base64
import errno
import hashlib
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from http import HTTPStatus

from orgserver.model.errors import EnrolmentError
from orgserver.model.secret import Secret
from orgserver.services.orgs.registration import Callback, ForeignAnswer, Login, read_redirect

_MAX_HEAD = 16 * 1024
_HEAD_SECONDS = 10.0
_NOT_HERE = (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT)
_STYLE = (
    ":root{color-scheme:light dark}"
    "body{font:1.1rem/1.5 system-ui,sans-serif;max-width:32rem;margin:20vh auto;padding:0 1rem}"
    "h1{font-size:1.4rem}"
)
_PAGES: dict[HTTPStatus, tuple[str, str]] = {
    HTTPStatus.OK: ("Salesforce has answered", "The terminal says how it goes on. You can close this window."),
    HTTPStatus.FORBIDDEN: ("Salesforce refused the login", "The terminal says why. You can close this window."),
    HTTPStatus.BAD_REQUEST: (
        "This answer was not taken",
        "It is not to the login that orgserver waits for. Use the address that the terminal printed last.",
    ),
    HTTPStatus.NOT_FOUND: ("Nothing is here", "orgserver waits for Salesforce's answer at another address."),
    HTTPStatus.METHOD_NOT_ALLOWED: ("Not this way", "orgserver waits for a browser that Salesforce sends here."),
    HTTPStatus.CONFLICT: ("It is answered already", "orgserver takes one answer. You can close this window."),
}


class _Refused(Exception):
    """A request that gets an error page and changes nothing."""

    def __init__(self, status: HTTPStatus) -> None:
        super().__init__(status.phrase)
        self.status = status


@asynccontextmanager
async def listen(login: Login, on_foreign: Callable[[], None]) -> AsyncIterator[asyncio.Future[Secret]]:
    """Wait at the callback; the future gets the code, or what Salesforce refused.

    ``on_foreign`` is called for each answer to another login. OSError if the port is taken.
    """
    listener = _Listener(login, on_foreign)
    async with AsyncExitStack() as stack:
        for host in await _addresses(login.callback):
            server = await asyncio.start_server(listener.serve, host, login.callback.port, limit=_MAX_HEAD)
            stack.callback(server.close)
        try:
            yield listener.answer
        finally:
            if not listener.answer.cancel() and not listener.answer.cancelled():
                listener.answer.exception()  # seen, even where the pasted address came first


async def _addresses(callback: Callback) -> list[str]:
    """``localhost`` is 127.0.0.1 or ::1, as the browser likes; where there is no IPv6, only the first."""
    if callback.host != "localhost":
        return [callback.host]
    try:
        probe = await asyncio.start_server(lambda _reader, _writer: None, "::1", 0)
    except OSError as error:
        if error.errno in _NOT_HERE:
            return ["127.0.0.1"]
        raise
    probe.close()
    return ["127.0.0.1", "::1"]


class _Listener:
    """Serves one request a connection."""

    def __init__(self, login: Login, on_foreign: Callable[[], None]) -> None:
        self.answer: asyncio.Future[Secret] = asyncio.get_running_loop().create_future()
        self._login = login
        self._on_foreign = on_foreign
        self._taken = False

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Read a request's head, answer with a page, and only then pass on what it answered."""
        answer: Secret | EnrolmentError | None = None
        try:
            async with asyncio.timeout(_HEAD_SECONDS):
                head = await reader.readuntil(b"\r\n\r\n")
            status, answer = self._read(head.decode("latin-1"))
        except _Refused as refused:
            status = refused.status
        except (TimeoutError, asyncio.IncompleteReadError, asyncio.LimitOverrunError, OSError):
            status = HTTPStatus.BAD_REQUEST
        with suppress(OSError):
            writer.write(_page(status))
            await writer.drain()
            writer.close()
            await writer.wait_closed()
        if isinstance(answer, Secret) and not self.answer.done():
            self.answer.set_result(answer)
        elif isinstance(answer, EnrolmentError) and not self.answer.done():
            self.answer.set_exception(answer)

    def _read(self, head: str) -> tuple[HTTPStatus, Secret | EnrolmentError]:
        query = _query(head, self._login.callback)
        if self._taken:
            raise _Refused(HTTPStatus.CONFLICT)
        try:
            code = read_redirect(query, self._login)
        except ForeignAnswer:
            self._on_foreign()
            raise _Refused(HTTPStatus.BAD_REQUEST) from None
        except EnrolmentError as error:
            self._taken = True
            return HTTPStatus.FORBIDDEN, error
        self._taken = True
        return HTTPStatus.OK, code


def _query(head: str, callback: Callback) -> str:
    """The query of a request to the callback itself."""
    request, *lines = head.split("\r\n")
    method, _, rest = request.partition(" ")
    target, _, version = rest.partition(" ")
    hosts = [line.partition(":")[2].strip().lower() for line in lines if line.lower().startswith("host:")]
    if not version.startswith("HTTP/1.") or hosts != [callback.netloc]:
        raise _Refused(HTTPStatus.BAD_REQUEST)
    path, _, query = target.partition("?")
    if path != callback.path:
        raise _Refused(HTTPStatus.NOT_FOUND)
    if method != "GET":
        raise _Refused(HTTPStatus.METHOD_NOT_ALLOWED)
    return f"?{query}"


def _page(status: HTTPStatus) -> bytes:
    """A page of its own: nothing is loaded, kept or passed on."""
    title, text = _PAGES[status]
    body = (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{title}</title>'
        f"<style>{_STYLE}</style><h1>{title}</h1><p>{text}</p></html>"
    ).encode()
    style = base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()
    head = (
        f"HTTP/1.1 {status.value} {status.phrase}",
        "Content-Type: text/html; charset=utf-8",
        f"Content-Length: {len(body)}",
        "Cache-Control: no-store",
        f"Content-Security-Policy: default-src 'none'; style-src 'sha256-{style}'; frame-ancestors 'none'",
        "Referrer-Policy: no-referrer",
        "X-Content-Type-Options: nosniff",
        "Connection: close",
    )
    return "\r\n".join(head).encode() + b"\r\n\r\n" + body
