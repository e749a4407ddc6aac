"""The libraries, installed where orgserver's own environment does not see them."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

PYPI = (
    "openai-agents",
    "pydantic-ai-slim[mcp,openai,anthropic,google]",
    "langchain-mcp-adapters",
    "langchain-openai",
    "langchain-anthropic",
    "langchain-google-genai",
    "mcp-use",
)
NPM = ("ai", "@ai-sdk/mcp", "@ai-sdk/openai", "@ai-sdk/anthropic", "@ai-sdk/google")


@dataclass(frozen=True, slots=True)
class Environments:
    """Where they are."""

    folder: Path

    @property
    def python(self) -> Path:
        """The interpreter of the Python libraries."""
        return self.folder / "python" / "bin" / "python"

    @property
    def packages(self) -> Path:
        """The folder of the npm packages."""
        return self.folder / "npm"

    @property
    def path(self) -> str:
        """A search path with their Node in front."""
        return os.pathsep.join([str(self.packages / "node_modules" / "node" / "bin"), os.environ["PATH"]])

    def versions(self) -> str:
        """What was installed, in one line."""
        names = [name.partition("[")[0] for name in PYPI] + ["mcp"]
        script = (
            "import sys; from importlib.metadata import version; print([f'{n} {version(n)}' for n in sys.argv[1:]])"
        )
        told = subprocess.run([self.python, "-c", script, *names], capture_output=True, text=True, check=True).stdout
        npm = [f"{name} {self._npm_version(name)}" for name in ("node", *NPM)]
        return ", ".join([told.strip("[]\n").replace("'", ""), *npm])

    def _npm_version(self, name: str) -> str:
        package = self.packages / "node_modules" / name / "package.json"
        return str(json.loads(package.read_text("utf-8"))["version"])


async def install(folder: Path) -> Environments:
    """Install what is not there yet."""
    environments = Environments(folder)
    environments.packages.mkdir(parents=True, exist_ok=True)
    if shutil.which("npm") is None:
        raise SystemExit("npm is not on the path")
    if not environments.python.exists():
        await _done(sys.executable, "-m", "venv", str(folder / "python"))
    if not (folder / "installed").exists():
        await _done(str(environments.python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *PYPI)
        # Node first: under an older one npm silently takes older packages.
        await _npm(environments, "node@22")
        await _npm(environments, *(f"{name}@latest" for name in NPM))
        (folder / "installed").touch()
    return environments


async def _npm(environments: Environments, *names: str) -> None:
    await _done("npm", "install", "--no-audit", "--no-fund", "--loglevel=error", *names, environments=environments)


async def _done(*command: str, environments: Environments | None = None) -> None:
    print(f"$ {' '.join(Path(part).name if part.startswith('/') else part for part in command)}", flush=True)
    where = environments.packages if environments else None
    path = {"PATH": environments.path} if environments else {}
    process = await asyncio.create_subprocess_exec(
        *command, cwd=where, env=os.environ | path, stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.PIPE
    )
    async with asyncio.timeout(1_200):
        _, errors = await process.communicate()
    if process.returncode:
        raise SystemExit(f"{command[0]} failed:\n{errors.decode()[-2_000:]}")
