"""The official MCP conformance suite: ``python -m tests.conformance``.

It serves orgserver over two pretend orgs, and a server with the suite's own test tools, each behind the SDK's
streamable HTTP app on loopback, and has the npm package ``@modelcontextprotocol/conformance`` judge them. The exit code
is 0 if every scenario is green. npm must be on the path and its registry within reach, or ``--packages FOLDER`` must
hold what an earlier run installed. It is no part of the test suite, which reaches no network and makes the same
assertions in ``tests/conformance/test_real_server.py``.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import re
import shutil
import sys
import tempfile
import warnings
from pathlib import Path

from orgserver.app import open_app
from orgserver.cli.orgs.pretend_orgs import register
from orgserver.config import read_settings
from orgserver.model.access.principals import Principal
from orgserver.sandbox.server import Sandbox
from orgserver.serving.server import build_server

from .http_serving import serving
from .suite_server import suite_server

PACKAGES = ("node@22", "@modelcontextprotocol/conformance")
REAL = (
    "server-initialize",
    "ping",
    "logging-set-level",
    "tools-list",
    "resources-list",
    "prompts-list",
    "completion-complete",
    "dns-rebinding-protection",
    "server-sse-multiple-streams",
)
"""What any real server should pass; the others want the suite's own tools."""
_LONGEST = 120


def main() -> int:
    """Judge both servers."""
    parser = argparse.ArgumentParser(prog="python -m tests.conformance", description=__doc__)
    parser.add_argument("--packages", type=Path, help="a folder for the npm packages; a temporary one if not given")
    told = parser.parse_args()
    warnings.simplefilter("ignore")  # the suite tests what newer protocols deprecate
    with tempfile.TemporaryDirectory(prefix="orgserver-conformance-") as folder:
        return asyncio.run(_judge((told.packages or Path(folder) / "packages").resolve(), Path(folder)))


async def _judge(packages: Path, folder: Path) -> int:
    environment = await _installed(packages)
    async with (
        Sandbox.start(2) as sandbox,
        open_app(read_settings({"home": folder / "home"}, {})) as app,
    ):
        await register(app, sandbox)
        server = build_server(app.services, principal=Principal("local:conformance"))
        async with serving(server) as url:
            print("== orgserver", flush=True)
            real = [await _passes(environment, folder, url, name) for name in REAL]
    async with serving(suite_server()) as url:
        print("== a server with the suite's own tools", flush=True)
        active = await _active(environment, folder, url)
    print(f"orgserver: {sum(real)} of {len(real)} scenarios; the suite's own tools: {sum(active)} of {len(active)}")
    return 0 if all(real) and active and all(active) else 1


async def _installed(packages: Path) -> dict[str, str]:
    modules = packages / "node_modules"
    path = os.pathsep.join([str(modules / "node" / "bin"), str(modules / ".bin"), os.environ["PATH"]])
    environment = os.environ | {"PATH": path}
    if not (modules / ".bin" / "conformance").exists():
        if shutil.which("npm") is None:
            raise SystemExit("npm is not on the path")
        packages.mkdir(parents=True, exist_ok=True)
        process = await asyncio.create_subprocess_exec(
            "npm", "install", "--no-audit", "--no-fund", "--loglevel=error", *PACKAGES,
            cwd=packages, env=environment, stdout=asyncio.subprocess.DEVNULL,
        )  # fmt: skip
        if await process.wait() != 0:
            raise SystemExit("npm could not install the suite")
    return environment


async def _passes(environment: dict[str, str], folder: Path, url: str, scenario: str) -> bool:
    code, told = await _run(environment, folder, "server", "--url", url, "--scenario", scenario)
    print(f"{'✓' if code == 0 else '✗'} {scenario}", flush=True)
    if code != 0:
        print(told)
    return code == 0


async def _active(environment: dict[str, str], folder: Path, url: str) -> list[bool]:
    code, told = await _run(environment, folder, "server", "--url", url)
    lines = re.findall(r"^(✓|✗) ([\w-]+): (\d+) passed, (\d+) failed", told, re.MULTILINE)
    for mark, name, passed, failed in lines:
        print(f"{mark} {name}: {passed} passed, {failed} failed")
    if code != 0 or not lines:
        print(told)
    return [mark == "✓" for mark, *_ in lines]


async def _run(environment: dict[str, str], folder: Path, *arguments: str) -> tuple[int, str]:
    process = await asyncio.create_subprocess_exec(
        "conformance", *arguments, cwd=folder, env=environment,
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
    )  # fmt: skip
    async with asyncio.timeout(_LONGEST):
        told, _ = await process.communicate()
    return process.returncode or 0, told.decode()


if __name__ == "__main__":
    sys.exit(main())
