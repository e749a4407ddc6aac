"""Runs commands in this process over a home of their own, and writes down what was typed and what came."""

from __future__ import annotations

import asyncio
import json
import os
import shlex
from pathlib import Path
from typing import Any

from click.testing import CliRunner, Result

from orgserver.cli.main import cli
from orgserver.sandbox.org import SandboxOrg

from .stable_text import stable

WIDTH = "80"


class Shell:
    """A person at a machine on which the sandbox's orgs can be reached, without a terminal."""

    def __init__(self, folder: Path, orgs: list[SandboxOrg]) -> None:
        self.folder = folder
        self.home = folder / "home"
        self.values = {"folder": str(folder)}
        self._pages: dict[str, list[str]] = {}
        self._names = {str(folder): "<folder>"}
        for org in orgs:
            address = org.url.partition("//")[2]
            self.values |= {org.alias: address, f"{org.alias}_client": org.client_id}
            self._names[address] = f"<{org.alias}>"

    def environment(self, **more: str) -> dict[str, str | None]:
        """Nothing of ours from outside, and a person and a home that are the same everywhere."""
        ours = {name: None for name in os.environ if name.startswith(("ORGSERVER_", "SALESFORCE_", "XDG_CONFIG"))}
        return ours | {
            "ORGSERVER_HOME": str(self.home),
            "HOME": str(self.folder / "person"),
            "CODEX_HOME": None,
            "DISPLAY": None,
            "WAYLAND_DISPLAY": None,
            "BROWSER": None,
            "LOGNAME": "operator",
            "NO_COLOR": "1",
            "COLUMNS": WIDTH,
        } | more  # fmt: skip

    async def run(self, page: str, line: str, stdin: str = "", **environment: str) -> Result:
        """Run a line, in which names in braces stand for values, and write it down on a page."""
        words = [word.format(**self.values) for word in shlex.split(line)]
        result = await asyncio.to_thread(
            CliRunner().invoke, cli, words, input=stdin, env=self.environment(**environment), prog_name="orgserver"
        )
        errors = "".join(f"! {text}\n" for text in result.stderr.splitlines())
        text = f"$ orgserver {line}\n{result.stdout}{errors}exit {result.exit_code}\n"
        self._pages.setdefault(page, []).append(text)
        return result

    async def data(self, line: str) -> Any:
        """What a line prints as JSON, written down nowhere."""
        result = await self.run("", f"{line} --json")
        del self._pages[""]
        return json.loads(result.stdout)

    def write(self, page: str, text: str) -> None:
        """Write something else down."""
        self._pages.setdefault(page, []).append(text)

    def pages(self) -> dict[str, str]:
        """Every page by its file's name, without what differs from run to run."""
        from orgserver.cli.process import this_command

        names = self._names | {shlex.join(this_command()): "orgserver", this_command()[0]: "orgserver"}
        return {f"{page}.txt": stable("\n".join(texts), names) for page, texts in self._pages.items()}
