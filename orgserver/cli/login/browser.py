"""Having a person log in: the address is printed, a browser opened where there is one, and the answer awaited.

It comes from the listener or as pasted text, whichever is first: over SSH the browser is on another machine, and the
page it ends at cannot be shown there, but its address holds all that is needed.
"""

from __future__ import annotations

import asyncio
import os
import sys
import threading
from contextlib import AsyncExitStack, suppress

from orgserver.cli.login.callback import listen
from orgserver.cli.screen import has_screen
from orgserver.cli.support import tell, warn
from orgserver.model.errors import EnrolmentError
from orgserver.model.secret import Secret
from orgserver.services.orgs.registration import Login, NoAnswer, read_redirect

SECONDS = 300.0
_MAX_LINE = 16 * 1024


async def sign_in(login: Login, *, seconds: float = SECONDS) -> Secret:
    """Have somebody log in, and give the code; EnrolmentError says in one line why there is none."""
    tell("Log in to Salesforce in a browser at this address:")
    tell(login.url)
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
        answers.add(await stack.enter_async_context(listen(login, warn_once)))
    except OSError:
        return EnrolmentError(
            f"port {callback.port} of {callback.host} cannot be listened on: another program has it",
            hint="end that program (perhaps another login), or register another callback with the app and give it "
            "with --callback-url",
        )
    return None


def _invite(login: Login, unavailable: EnrolmentError | None) -> None:
    if unavailable is None:
        tell(f"Waiting for the browser at {login.callback.url}.")
        tell("Is the browser on another machine? Paste the address that it ends at here.")
        return
    if login.callback.loopback:
        warn(str(unavailable))
    tell("Paste the address that the browser ends at here.")


async def _read_pasted_code(login: Login, unavailable: EnrolmentError | None) -> Secret:
    """The code from the first line on standard input that answers this login; a wrong one is told of.

    When the input ends without any line, this waits for ever, unless nothing else can come; after a wrong one it fails.
    """
    wrong: NoAnswer | None = None
    while line := await _next_line():
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


async def _next_line() -> str:
    """One line that is not empty; nothing at the end of the input.

    Read by a thread of its own, past Python's buffers: nothing else can wait for a terminal on every system, and a
    thread that is stuck there does not keep the process from ending.
    """
    loop = asyncio.get_running_loop()
    future: asyncio.Future[str] = loop.create_future()

    def finish(line: str) -> None:
        if not future.done():
            future.set_result(line)

    def follow() -> None:
        line = _read_line(0)
        with suppress(RuntimeError):  # the loop has ended meanwhile
            loop.call_soon_threadsafe(finish, line)

    threading.Thread(target=follow, name="pasted address", daemon=True).start()
    return await future


def _read_line(descriptor: int) -> str:
    """The next line that is not empty, of which so much is kept; byte by byte, for more than one may come at once."""
    line = b""
    while True:
        try:
            byte = os.read(descriptor, 1)
        except OSError:
            byte = b""
        if byte not in (b"", b"\n"):
            line = (line + byte).lstrip() if len(line) < _MAX_LINE else line
        elif not byte or line:
            return line.decode("utf-8", "replace").strip()


def _open_browser(url: str) -> None:
    """Open the browser of this machine's own screen, if somebody sits at it. Never by a shell."""
    if not (sys.stderr.isatty() and has_screen()):
        return
    import webbrowser  # noqa: PLC0415  # only where there is one

    threading.Thread(target=webbrowser.open, args=(url,), name="browser", daemon=True).start()
