"""What other people's converters make of the tools: ``python -m tests.clients.converters``.

The libraries that agents are built with turn a tool's schema into their own form, some of it lossy, and check or
rebuild the arguments by it on the way back. Each converts every tool of every toolset here, and a create, an update
with a field that no schema lists, a filter and a change of many records go **through** it, over its own MCP client, to
``orgserver serve`` and a sandbox. No model is called: what a model that is held to the converted schema could write is
built from it (``written.py``). The Python libraries live in a virtual environment of their own, for many of them need
``mcp<2``; Vercel's AI SDK comes from npm with the Node it needs. ``--packages FOLDER`` uses, or fills, a folder that
stays. The exit code is 0 if every call but those that are known to be lost (``KNOWN``) went through whole.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import sys
import tempfile
from pathlib import Path
from typing import Any

from orgserver.app import open_app
from orgserver.cli.orgs.pretend_orgs import register
from orgserver.cli.process import operator
from orgserver.config import read_settings
from orgserver.model.names import CONTACT
from orgserver.sandbox.server import Sandbox
from tests import operations

from .environments import Environments, install

HERE = Path(__file__).parent
PYTHON = ("with_openai_agents.py", "with_pydantic_ai.py", "with_langchain.py", "with_mcp_use.py")
NODE = "with_ai_sdk.py"
CASES = ("create", "create+", "record", "update", "filter", "bulk")
KNOWN = {
    # a strict mode that is asked for closes every object, whatever the schema says
    "langchain, OpenAI, strict": frozenset(CASES),
    "langchain, Anthropic, strict": frozenset(CASES),
    # no word for objects that list keys and take more: google's Schema, and models that ignore what they do not list
    "langchain, Google": frozenset({"create+"}),
    "mcp-use, its agent": frozenset({"create+"}),
}
"""What the libraries lose, and a model is told by ``created_fields`` or a refusal."""
LONGEST = 300


def main() -> int:
    """Play every converter against one sandbox, and print the table."""
    parser = argparse.ArgumentParser(prog="python -m tests.clients.converters", description=__doc__)
    parser.add_argument("--packages", type=Path, help="a folder for the packages; a temporary one if not given")
    parser.add_argument("--only", help="run the scripts whose name holds this")
    told = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="orgserver-converters-") as folder:
        return asyncio.run(_play((told.packages or Path(folder) / "packages").resolve(), Path(folder), told.only or ""))


async def _play(packages: Path, folder: Path, only: str) -> int:
    environments = await install(packages)
    print(environments.versions())
    home = folder / "home"
    rows: list[dict[str, Any]] = []
    failed: list[str] = []
    async with Sandbox.start(2) as sandbox:
        async with open_app(read_settings({"home": home}, {})) as app:
            await register(app, sandbox)
            made = await operations.create(app, operator(), "t", "acme", CONTACT, {"LastName": "Conversion"})
        for script in (*PYTHON, NODE):
            if only in script:
                python = environments.python if script in PYTHON else Path(sys.executable)
                code = await _run(python, script, _environment(environments, home, made.id), rows)
                failed += [script] if code else []
    _show(rows)
    lost = {row["converter"]: {case for case in CASES if row["verdicts"][case] != "yes"} for row in rows}
    print(f"\n{len(rows) - sum(map(bool, lost.values()))} of {len(rows)} converters carry every call whole")
    failed += [f"{name}: {', '.join(sorted(new))}" for name in lost if (new := lost[name] - KNOWN.get(name, set()))]
    for each in failed:
        print(f"FAILED: {each}")
    return 1 if failed else 0


def _environment(environments: Environments, home: Path, contact: str) -> dict[str, str]:
    """What a script needs to know, and nothing of orgserver's own settings."""
    plain = {name: value for name, value in os.environ.items() if not name.startswith(("ORGSERVER_", "PYTHON"))}
    server = {
        "command": sys.executable,
        "args": ["-m", "orgserver", "serve", "--toolset", "all"],
        "env": {"ORGSERVER_HOME": str(home), "ORGSERVER_LOG_LEVEL": "error", "PATH": plain.get("PATH", "")},
    }
    return plain | {
        "CONVERTER_SERVER": json.dumps(server),
        "CONVERTER_CONTACT": contact,
        "CONVERTER_PACKAGES": str(environments.packages),
        "PATH": environments.path,
        "OPENAI_AGENTS_DISABLE_TRACING": "1",
        "MCP_USE_ANONYMIZED_TELEMETRY": "false",
        "LANGSMITH_TRACING": "false",
    }


async def _run(python: Path, script: str, environment: dict[str, str], rows: list[dict[str, Any]]) -> int:
    print(f"\n== {script}", flush=True)
    process = await asyncio.create_subprocess_exec(
        str(python), str(HERE / script), env=environment, stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE, limit=1 << 22,
    )  # fmt: skip
    try:
        async with asyncio.timeout(LONGEST):
            stdout, stderr = await process.communicate()
    except TimeoutError:
        process.kill()
        await process.communicate()
        print("it did not end")
        return 1
    for line in stdout.decode().splitlines():
        if line.startswith("@"):
            rows.append(json.loads(line[1:]))
            _tell(rows[-1])
    if process.returncode:
        print(stderr.decode()[-3_000:])
    return process.returncode or 0


def _tell(row: dict[str, Any]) -> None:
    print(f"-- {row['converter']}: {row['tools']} tools")
    for each in row["broken"]:
        print(f"   {each}")
    for case, verdict in row["verdicts"].items():
        if verdict != "yes":
            print(f"   {case}: {verdict}")


def _show(rows: list[dict[str, Any]]) -> None:
    print(f"\n{'converter':<29}{'tools':>6}{'open':>8}  " + "".join(f"{case:<9}" for case in CASES))
    for row in rows:
        whole = f"{row['places'] - len(row['broken'])}/{row['places']}"
        verdicts = "".join(f"{_word(row['verdicts'][case]):<9}" for case in CASES)
        print(f"{row['converter']:<29}{row['tools']:>6}{whole:>8}  {verdicts}")
    print("open: objects of the schemas that take any key, and still do in what a model is shown")
    print("create: fields that the schema lists; create+: one more that it does not; record: of any object")


def _word(verdict: str) -> str:
    if verdict == "yes":
        return "yes"
    return "lost" if verdict.startswith("lost") else "NO"


if __name__ == "__main__":
    sys.exit(main())
