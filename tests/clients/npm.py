"""The npm packages of the clients, in a folder of their own."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
from dataclasses import dataclass
from pathlib import Path

NEEDED = ("@salesforce/cli", "jsforce")


@dataclass(frozen=True, slots=True)
class Packages:
    """Where they are."""

    folder: Path

    @property
    def node(self) -> Path:
        """The Node that the sf command needs."""
        return self.folder / "node_modules" / "node" / "bin"

    @property
    def commands(self) -> Path:
        """The commands that the packages bring."""
        return self.folder / "node_modules" / ".bin"

    @property
    def path(self) -> str:
        """A search path with both in front."""
        return os.pathsep.join([str(self.node), str(self.commands), os.environ["PATH"]])

    def version(self, name: str) -> str:
        """The version of a package that was installed."""
        told = json.loads((self.folder / "node_modules" / name / "package.json").read_text("utf-8"))
        return f"{name} {told['version']}"


async def install(folder: Path, needed: tuple[str, ...] = NEEDED) -> Packages:
    """Install what is not there yet: the latest, or the version that a name is pinned to (``name@1.2.3``)."""
    packages = Packages(folder)
    folder.mkdir(parents=True, exist_ok=True)
    if shutil.which("npm") is None:
        raise SystemExit("npm is not on the path")
    # Node first: under an older one npm silently takes an older sf command, which loses rotated refresh tokens.
    if not packages.node.exists():
        await _npm(packages, "node@22")
    pins = dict(_split(each) for each in needed)
    if not all((packages.folder / "node_modules" / name).exists() for name in pins):
        await _npm(packages, *(f"{name}@{version}" for name, version in pins.items()))
    print(", ".join(packages.version(name) for name in ("node", *pins)))
    return packages


def _split(needed: str) -> tuple[str, str]:
    """A package's name, which may begin with a scope, and its version."""
    name, at, version = needed.rpartition("@")
    return (name, version) if at and name else (needed, "latest")


async def _npm(packages: Packages, *names: str) -> None:
    print(f"$ npm install {' '.join(names)}", flush=True)
    process = await asyncio.create_subprocess_exec(
        "npm", "install", "--no-audit", "--no-fund", "--loglevel=error", *names,
        cwd=packages.folder, env=os.environ | {"PATH": packages.path}, stdout=asyncio.subprocess.DEVNULL,
    )  # fmt: skip
    async with asyncio.timeout(600):
        if await process.wait() != 0:
            raise SystemExit("npm could not install them")
