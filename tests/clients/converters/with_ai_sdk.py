"""Vercel's AI SDK: drives the script beside this file, which a Node runs where the packages are."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
from pathlib import Path
from typing import Any

from reporting import play

from orgserver.tools.toolsets import EVERY

LONGEST = 60
PROVIDERS = ("OpenAI", "Anthropic", "Google")


class Script:
    """The Node process, a line to it and a line from it."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    async def ask(self, provider: str, tool: str, arguments: dict[str, Any]) -> dict[str, Any]:
        """Have a provider's model call a tool: its answer, and the schemas that were sent to the provider."""
        assert self._process.stdin is not None and self._process.stdout is not None
        line = json.dumps({"provider": provider, "tool": tool, "arguments": arguments})
        self._process.stdin.write(line.encode() + b"\n")
        async with asyncio.timeout(LONGEST):
            while answer := await self._process.stdout.readline():
                if answer.startswith(b"@"):
                    return dict(json.loads(answer[1:]))
        raise RuntimeError("the script ended")


async def main() -> None:
    packages = Path(os.environ["CONVERTER_PACKAGES"])
    script = packages / "with_ai_sdk.mjs"  # where Node finds the packages
    shutil.copyfile(Path(__file__).with_suffix(".mjs"), script)
    process = await asyncio.create_subprocess_exec(
        "node", str(script), stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, limit=1 << 22
    )
    listed = {name: spec.listed().input_schema for name, spec in EVERY.items()}
    asking = Script(process)
    for provider in PROVIDERS:
        shown = (await asking.ask(provider, "salesforce_list_orgs", {}))["shown"]

        async def call(tool: str, arguments: dict[str, Any], provider: str = provider) -> str:
            return str((await asking.ask(provider, tool, arguments))["answer"])

        await play(f"AI SDK, {provider}", listed, shown, call)
    assert process.stdin is not None
    process.stdin.close()
    await process.wait()


asyncio.run(main())
