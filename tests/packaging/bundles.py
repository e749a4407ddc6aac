"""Both bundles, from packing to a call through the SDK's client."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import sys
from pathlib import Path
from typing import Any

from mcp.client.client import Client
from mcp.client.stdio import StdioServerParameters

from .published import PACKAGING, content
from .saying import Result, failed, not_tried, ok, said

MCPB = "@anthropic-ai/mcpb@2"
_LONGEST = 900
_NEEDS = {"uv": "uv", "python": "python3"}
_AS_A_HOST = """
import { readFileSync } from "node:fs";
import { getMcpConfigForManifest } from "@anthropic-ai/mcpb/node";
const [folder, home] = process.argv.slice(2);
const manifest = JSON.parse(readFileSync(folder + "/manifest.json", "utf8"));
const config = await getMcpConfigForManifest({
  manifest, extensionPath: folder, systemDirs: { HOME: home }, userConfig: {}, pathSeparator: "/",
});
console.log(JSON.stringify(config));
"""


async def bundles(packages: Path, folder: Path) -> list[Result]:
    """Pack, validate, unpack, start."""
    if shutil.which("npm") is None:
        return [said(not_tried("bundles: npm is not on the path, and packs them (@anthropic-ai/mcpb)"))]
    packages.mkdir(parents=True, exist_ok=True)
    if not (packages / "node_modules" / ".bin" / "mcpb").exists():
        await run("npm", "install", "--no-audit", "--no-fund", "--loglevel=error", MCPB, cwd=packages)
    mcpb = str((packages / "node_modules" / ".bin" / "mcpb").resolve())
    return [said(result) for kind in _NEEDS for result in await _bundle(kind, mcpb, packages, folder)]


async def _bundle(kind: str, mcpb: str, packages: Path, folder: Path) -> list[Result]:
    made = await run(sys.executable, PACKAGING / "mcpb" / "bundle.py", kind, "--mcpb", mcpb, "--output", folder)
    bundle, place = Path(made.strip().splitlines()[-1]), folder / kind
    await run(mcpb, "unpack", bundle, place)
    told = await run(mcpb, "validate", place / "manifest.json")
    if "passes" not in told:
        return [failed(f"{bundle.name}: {told}")]
    valid = ok(f"{bundle.name}: packed ({bundle.stat().st_size / 1e6:.1f} MB), its manifest validates")
    if shutil.which(_NEEDS[kind]) is None:
        return [valid, not_tried(f"{bundle.name} was not started: {_NEEDS[kind]} is not on the path")]
    tools, orgs = await spoken_to(
        await _config(place, packages, folder), {"ORGSERVER_HOME": str(folder / f"{kind}-home")}
    )
    return [valid, ok(f"{bundle.name}: started as a host does; {tools} tools, {orgs} orgs")]


async def _config(place: Path, packages: Path, folder: Path) -> dict[str, Any]:
    """How a host starts it, by the package's own code."""
    script = packages / "host.mjs"
    script.write_text(_AS_A_HOST)
    config: dict[str, Any] = json.loads(await run("node", script.resolve(), place, folder, cwd=packages))
    if config["command"] == "python3":  # the manifest asks for the Python that it was made on
        config["command"] = sys.executable
    return config


async def spoken_to(config: dict[str, Any], environment: dict[str, str]) -> tuple[int, int]:
    """Start a server and call it; the numbers of its tools and orgs."""
    kept = {name: text for name, text in os.environ.items() if not name.startswith("ORGSERVER_")}
    kept |= {"ORGSERVER_LOG_LEVEL": "error"} | environment | config.get("env", {})
    server = StdioServerParameters(command=config["command"], args=config["args"], env=kept)
    async with asyncio.timeout(_LONGEST), Client(server) as client:
        tools = (await client.list_tools()).tools
        orgs = await client.call_tool("salesforce_list_orgs", {})
    assert orgs.structured_content is not None
    declared = {tool["name"] for tool in content(PACKAGING / "mcpb" / "manifest-uv.json")["tools"]}
    assert {tool.name for tool in tools} == declared
    return len(tools), len(orgs.structured_content["orgs"])


async def run(*command: object, cwd: Path | None = None, **environment: str) -> str:
    """Run it to its end; its standard output, or AssertionError with all that it said."""
    process = await asyncio.create_subprocess_exec(
        *map(str, command), cwd=cwd, env=os.environ | environment,
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    async with asyncio.timeout(_LONGEST):
        out, err = await process.communicate()
    assert process.returncode == 0, f"{' '.join(map(str, command))}: {out.decode()}{err.decode()}"
    return out.decode()
