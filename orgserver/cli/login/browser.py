"""Having a person log in: the address is printed, a browser opened where there is one, and the answer awaited.

It comes from the listener or as pasted text, whichever is first: over SSH the browser is on another machine, and the
page it ends at cannot be shown there, but its address holds all that is needed.

The listener is on this machine: one path, one answer. Any page in the browser can send requests to it. So an answer
that is not to this login (its state is another one) gets an error page and ends nothing: otherwise a page that guesses
the port could break every login. Host and path must be the callback's to the letter, so a name that was pointed at this
machine (DNS rebinding) gets nothing either.
"""

from __future__ import annotations

import asyncio
import base64
import errno
import hashlib
import sys
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from http import HTTPStatus

from orgserver.cli.login.pasted_lines import next_line
from orgserver.cli.output import tell, warn
from orgserver.cli.process import has_screen
from orgserver.model.errors import EnrolmentError
from orgserver.model.secret import Secret
from orgserver.services.orgs.registration import Callback, ForeignAnswer, Login, NoAnswer, read_redirect

SECONDS = 300.0
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


async def sign_in(login: Login, *, seconds: float = SECONDS) -> Secret:
    """Have somebody log in, and give the code; EnrolmentError says in one line why there is none."""
    tell("Log in to Salesforce in a browser at this address:", login.url)
    async with AsyncExitStack() as stack:
        answers: set[asyncio.Future[Secret]] = set()
        unavailable = await _listen(login, stack, answers)
        pasted = asyncio.ensure_future(_read_pasted_code(login, unavailable))
        stack.callback(pasted.cancel)
        answers.add(pasted)
        _invite(login, unavailable)
        _open_browser(login.url)
        answered, _ = await asyncio.wait(answers, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        if not answered:
            minutes = f"{seconds / 60:g} minutes" if seconds >= 60 else f"{seconds:g} seconds"  # noqa: PLR2004
            raise EnrolmentError(f"nobody logged in within {minutes}", hint="run the same command again")
        return answered.pop().result()


async def _listen(login: Login, stack: AsyncExitStack, answers: set[asyncio.Future[Secret]]) -> EnrolmentError | None:
    """Listen at the callback if it is on this machine; otherwise why nobody does."""
    callback = login.callback
    if not callback.loopback:
        return EnrolmentError(
            f"{callback.url} is not on this machine, so somebody must paste the address, and standard input has ended",
            hint="run the command on a terminal",
        )
    warned = False

    def warn_once() -> None:
        nonlocal warned
        if not warned:
            warn("an answer to another login came to the callback and was not taken; still waiting")
        warned = True

    try:
        answers.add(await stack.enter_async_context(_serve_callback(login, warn_once)))
    except OSError:
        return EnrolmentError(
            f"port {callback.port} of {callback.host} cannot be listened on: another program has it",
            hint="end that program (perhaps another login), or register another callback with the app and give it "
            "with --callback-url",
        )
    return None


def _invite(login: Login, unavailable: EnrolmentError | None) -> None:
    if unavailable is None:
        tell(
            f"Waiting for the browser at {login.callback.url}.",
            "Is the browser on another machine? Paste the address that it ends at here.",
        )
        return
    if login.callback.loopback:
        warn(str(unavailable))
    tell("Paste the address that the browser ends at here.")


async def _read_pasted_code(login: Login, unavailable: EnrolmentError | None) -> Secret:
    """The code from the first line on standard input that answers this login; a wrong one is told of.

    When the input ends without any line, this waits for ever, unless nothing else can come; after a wrong one it fails.
    """
    wrong: NoAnswer | None = None
    while line := await next_line():
        try:
            return read_redirect(line, login)
        except NoAnswer as error:
            wrong = error
            warn(f"{error}; {error.hint}" if error.hint else str(error))
            tell("Paste the address that the browser ends at here.")
    if failure := wrong or unavailable:
        raise failure
    await asyncio.Event().wait()
    raise AssertionError("nothing sets this event")


def _open_browser(url: str) -> None:
    """Open the browser of this machine's own screen, if somebody sits at it. Never by a shell."""
    if not (sys.stderr.isatty() and has_screen()):
        return
    import webbrowser  # noqa: PLC0415  # only where there is one

    threading.Thread(target=webbrowser.open, args=(url,), name="browser", daemon=True).start()


class _Refused(Exception):
    """A request that gets an error page and changes nothing."""

    def __init__(self, status: HTTPStatus) -> None:
        super().__init__(status.phrase)
        self.status = status


@asynccontextmanager
async def _serve_callback(login: Login, on_foreign: Callable[[], None]) -> AsyncIterator[asyncio.Future[Secret]]:
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
