"""A real browser, driven over a pipe (``--remote-debugging-pipe``): messages of JSON, each ended by a NUL.

Nothing listens, and no library stands between.
"""

from __future__ import annotations

import asyncio
import base64
import json
import os
import shutil
import sys
import tempfile
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

NAMES = ("chromium", "chromium-browser", "google-chrome")
SECONDS = 30.0
_FLAGS = (
    "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run", "--hide-scrollbars",
    "--disable-background-networking", "--disable-component-update", "--disable-sync", "--disable-extensions",
    "--disable-features=Translate,OptimizationHints,MediaRouter,AutofillServerCommunication,CertificateTransparencyComponentUpdater",
    "--no-default-browser-check", "--force-color-profile=srgb", "--remote-debugging-pipe",
)  # fmt: skip
_AS_3_AND_4 = """
import fcntl, os, sys
reading, writing = (fcntl.fcntl(int(each), fcntl.F_DUPFD, 100) for each in sys.argv[1:3])
os.dup2(reading, 3), os.dup2(writing, 4)
os.close(reading), os.close(writing)
os.execv(sys.argv[3], sys.argv[3:])
"""
"""The pipe's two ends have the numbers that the browser expects; nothing else knows how to say so."""
_KEYS = {
    "Tab": ("Tab", 9, ""),
    "Enter": ("Enter", 13, "\r"),
    "Space": ("Space", 32, " "),
    "Escape": ("Escape", 27, ""),
}


class NoBrowser(Exception):
    """There is none on this machine."""


def find_chromium() -> str:
    """Where it is; NoBrowser says how to get one."""
    for name in NAMES:
        path = shutil.which(name)
        if path is not None:
            return path
    raise NoBrowser(f"no {' or '.join(NAMES)} is here: apt-get install chromium")


class Chromium:
    """One that runs, with its own profile."""

    def __init__(self, process: asyncio.subprocess.Process, reader: asyncio.StreamReader, writing: int) -> None:
        self._process = process
        self._reader = reader
        self._writing = writing
        self._replies: dict[int, asyncio.Future[dict[str, Any]]] = {}
        self._tabs: dict[str, Tab] = {}
        self._number = 0

    async def call(self, method: str, session: str | None = None, **parameters: Any) -> dict[str, Any]:
        """Have it do something; what it answers."""
        self._number += 1
        message: dict[str, Any] = {"id": self._number, "method": method, "params": parameters}
        if session is not None:
            message["sessionId"] = session
        reply = self._replies[self._number] = asyncio.get_running_loop().create_future()
        data = json.dumps(message).encode() + b"\0"
        await asyncio.to_thread(_write, self._writing, data)
        async with asyncio.timeout(SECONDS):
            answer = await reply
        if "error" in answer:
            raise RuntimeError(f"{method}: {answer['error']}")
        return dict(answer["result"])

    async def open_tab(self, *, dark: bool = False, width: int = 1_024, height: int = 768) -> Tab:
        """A new one, of a size, in light or dark."""
        target = (await self.call("Target.createTarget", url="about:blank"))["targetId"]
        session = (await self.call("Target.attachToTarget", targetId=target, flatten=True))["sessionId"]
        tab = self._tabs[session] = Tab(self, session, target)
        for domain in ("Page", "Runtime", "Network", "Log", "Accessibility", "DOM"):
            await tab.call(f"{domain}.enable")
        await tab.resize(width, height)
        await tab.set_dark(dark)
        return tab

    async def listen(self) -> None:
        """Hand on what it says, until it ends."""
        while True:
            try:
                data = await self._reader.readuntil(b"\0")
            except asyncio.IncompleteReadError:
                break
            message = json.loads(data[:-1])
            if "id" in message:
                reply = self._replies.pop(message["id"])
                if not reply.done():
                    reply.set_result(message)
            elif (tab := self._tabs.get(message.get("sessionId", ""))) is not None:
                tab.note(message["method"], message["params"])
        for reply in self._replies.values():
            reply.cancel()


class Tab:
    """A page in it, and what the page did."""

    def __init__(self, chromium: Chromium, session: str, target: str) -> None:
        self._chromium = chromium
        self._session = session
        self._target = target
        self._loads = asyncio.Event()
        self.requests: list[str] = []
        """Every URL that was asked for."""
        self.complaints: list[str] = []
        """What the console said: violations of the content policy, errors."""
        self.statuses: dict[str, int] = {}
        self.headers: dict[str, dict[str, str]] = {}

    async def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Have it do something."""
        return await self._chromium.call(method, self._session, **parameters)

    def note(self, method: str, parameters: dict[str, Any]) -> None:
        """Remember what happened in it."""
        if method == "Page.loadEventFired":
            self._loads.set()
        elif method == "Network.requestWillBeSent":
            self.requests.append(parameters["request"]["url"])
        elif method == "Network.responseReceived" and parameters["type"] == "Document":
            response = parameters["response"]
            self.statuses[response["url"]] = response["status"]
            self.headers[response["url"]] = {name.lower(): value for name, value in response["headers"].items()}
        elif method == "Log.entryAdded":
            self.complaints.append(parameters["entry"]["text"])
        elif method == "Runtime.consoleAPICalled":
            self.complaints.append(str(parameters["args"]))

    async def resize(self, width: int, height: int = 768) -> None:
        """Make it so wide."""
        await self.call(
            "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False
        )

    async def set_dark(self, dark: bool) -> None:
        """Show what a person sees who likes dark pages."""
        value = "dark" if dark else "light"
        await self.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": value}])

    async def go(self, url: str) -> None:
        """Open a page, and wait until all of it is there."""
        async with self.loading():
            result = await self.call("Page.navigate", url=url)
            if "errorText" in result:
                raise RuntimeError(f"{url}: {result['errorText']}")

    @asynccontextmanager
    async def loading(self) -> AsyncIterator[None]:
        """Wait for the page that what is done in the block leads to."""
        self._loads.clear()
        yield
        async with asyncio.timeout(SECONDS):
            await self._loads.wait()

    async def evaluate(self, expression: str) -> Any:
        """What an expression of JavaScript is here: the browser's own, whatever the page allows its scripts."""
        result = await self.call("Runtime.evaluate", expression=expression, returnByValue=True)
        if "exceptionDetails" in result:
            raise RuntimeError(f"{expression}: {result['exceptionDetails']}")
        return result["result"].get("value")

    @property
    async def url(self) -> str:
        """Where it is."""
        return str(await self.evaluate("location.href"))

    async def text(self) -> str:
        """What stands on the page."""
        return str(await self.evaluate("document.body.innerText"))

    async def click(self, selector: str) -> None:
        """Click on the middle of an element."""
        where = await self.evaluate(
            f"(() => {{ const e = document.querySelector({json.dumps(selector)}); e.scrollIntoView({{block: 'center'}});"
            " const r = e.getBoundingClientRect(); return [r.x + r.width / 2, r.y + r.height / 2]; })()"
        )
        for kind in ("mousePressed", "mouseReleased"):
            await self.call("Input.dispatchMouseEvent", type=kind, x=where[0], y=where[1], button="left", clickCount=1)

    async def press(self, key: str, *, shift: bool = False) -> None:
        """Press a key, as a person without a mouse does."""
        code, number, text = _KEYS[key]
        values = {"key": " " if key == "Space" else key, "code": code, "windowsVirtualKeyCode": number}
        modifiers = 8 if shift else 0
        await self.call(
            "Input.dispatchKeyEvent",
            type="keyDown" if text else "rawKeyDown",
            text=text,
            modifiers=modifiers,
            **values,
        )
        await self.call("Input.dispatchKeyEvent", type="keyUp", modifiers=modifiers, **values)

    async def type(self, text: str) -> None:
        """Type into the field that has the focus."""
        await self.call("Input.insertText", text=text)

    async def tree(self) -> list[tuple[str, str]]:
        """What a screen reader finds: roles and names, in order."""
        nodes = (await self.call("Accessibility.getFullAXTree"))["nodes"]
        return [
            (each["role"]["value"], each.get("name", {}).get("value", ""))
            for each in nodes
            if not each.get("ignored") and "role" in each
        ]

    async def picture(self, file: Path) -> None:
        """The whole page as a PNG."""
        size = (await self.call("Page.getLayoutMetrics"))["cssContentSize"]
        clip = {"x": 0, "y": 0, "width": size["width"], "height": size["height"], "scale": 1}
        shot = await self.call("Page.captureScreenshot", format="png", captureBeyondViewport=True, clip=clip)
        await asyncio.to_thread(file.write_bytes, base64.b64decode(shot["data"]))

    async def close(self) -> None:
        """Close it."""
        await self._chromium.call("Target.closeTarget", targetId=self._target)


@asynccontextmanager
async def open_chromium(*flags: str, say: Callable[[str], None] = lambda _text: None) -> AsyncIterator[Chromium]:
    """Run one with a profile of its own, until the block ends."""
    binary = find_chromium()
    say(binary)
    to_read, to_write = os.pipe()
    from_read, from_write = os.pipe()
    with tempfile.TemporaryDirectory(prefix="chromium-", ignore_cleanup_errors=True) as profile:
        command = [
            sys.executable, "-c", _AS_3_AND_4, str(to_read), str(from_write),
            binary, *_FLAGS, *flags, f"--user-data-dir={profile}",
        ]  # fmt: skip
        process = await asyncio.create_subprocess_exec(
            *command,
            pass_fds=(to_read, from_write),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.DEVNULL,
            env=os.environ | {"HOME": profile},
        )
        os.close(to_read)
        os.close(from_write)
        reader = asyncio.StreamReader(limit=256 * 1024 * 1024)
        loop = asyncio.get_running_loop()
        transport, _ = await loop.connect_read_pipe(
            lambda: asyncio.StreamReaderProtocol(reader), os.fdopen(from_read, "rb")
        )
        chromium = Chromium(process, reader, to_write)
        listening = asyncio.create_task(chromium.listen())
        try:
            yield chromium
            with suppress(TimeoutError, RuntimeError):
                await chromium.call("Browser.close")
        finally:
            with suppress(TimeoutError):
                await asyncio.wait_for(process.wait(), 5)
            if process.returncode is None:
                process.kill()
                await process.wait()
            listening.cancel()
            transport.close()
            os.close(to_write)


def _write(descriptor: int, data: bytes) -> None:
    while data:
        data = data[os.write(descriptor, data) :]
