"""The suite's scenarios for authorization servers: own sign-in is judged, with a person who signs in and consents."""

from __future__ import annotations

import asyncio
import os
import re
import socket
from pathlib import Path

import httpx2

from orgserver.app import open_app
from orgserver.config import read_settings
from orgserver.model.access.principals import Subject
from tests.clients import npm
from tests.people import add_principal
from tests.provider.running import RunningProvider, running_provider
from tests.serving.over_http.served import serving
from tests.serving.over_http.signin.walk import answer_question, browsing, register, settings_of

from .suites import PACKAGE, Findings, Suite, read_results

SUITE = Suite("0.2.0-alpha.12", "authorization servers", (), ())
_LONGEST = 120
_ADDRESS = re.compile(rb"https?://\S+/authorize\?\S+")


async def judge_sign_in(packages: Path, folder: Path) -> Findings:
    """Serve an app with sign-in, and have the set judge it."""
    installed = await npm.install(packages / SUITE.version, (f"{PACKAGE}@{SUITE.version}",))
    with running_provider() as provider:
        settings = read_settings({"home": folder / "signed-in", **settings_of(provider)}, {})
        async with open_app(settings) as app, serving(app, allow_registration=True) as served:
            await provider.set(redirect_uris=[f"{served.url}/signin/callback"])
            await add_principal(app, "ada", subjects=(Subject(provider.issuer, "sub-ada"),))
            port = _find_port()
            client_id = await register(served, "Conformance", f"http://127.0.0.1:{port}/callback")
            options = (
                "--url",
                served.url,
                "--client-id",
                client_id,
                "--resource",
                f"{served.url}/mcp",
                "-p",
                str(port),
            )
            return await _run(installed.path, folder / "authorization", options, served.url, provider)


async def _run(path: str, output: Path, options: tuple[str, ...], url: str, provider: RunningProvider) -> Findings:
    process = await asyncio.create_subprocess_exec(
        "conformance", "authorization", *options, "--output-dir", str(output),
        env=os.environ | {"PATH": path}, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
    )  # fmt: skip
    assert process.stdout is not None
    lines = []
    try:
        async with asyncio.timeout(_LONGEST):
            while line := await process.stdout.readline():
                lines.append(line)
                if (match := _ADDRESS.search(line)) is not None:
                    await _sign_in(match[0].decode(), url, provider)
            await process.wait()
    except TimeoutError:
        process.kill()
        raise SystemExit(f"the suite did not end within {_LONGEST} s:\n{b''.join(lines).decode()}") from None
    checks = list(read_results(output)) if output.exists() else []
    if not checks:
        raise SystemExit(f"the suite judged nothing:\n{b''.join(lines).decode()}")
    return Findings(SUITE, checks)


async def _sign_in(address: str, url: str, provider: RunningProvider) -> None:
    """Go where the suite sends a person, and back to it."""
    async with browsing(url) as browser:
        asked = await browser.get(address)
        back = await provider.sign_in(asked.headers["location"], "ada")
        page = await browser.get((await browser.get(back)).headers["location"])
        allowed = await answer_question(browser, page, "allow", "orgs:read")
    async with httpx2.AsyncClient(trust_env=False) as web:
        await web.get(allowed.headers["location"])


def _find_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])
