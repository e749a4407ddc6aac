"""``orgserver demo``: everything at work, with nothing of yours: sandbox, server, client, audit log."""

from __future__ import annotations

import json
import os
import signal
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import click

from orgserver.cli.output import Failure, print_json, safe, tell
from orgserver.cli.process import no_core_dumps, run, shell_line
from orgserver.cli.serving.demo_agent import Agent, StepFailed, require

_LOG_LINES = 20


@dataclass(slots=True)
class _Report:
    """The steps so far."""

    as_json: bool
    steps: list[dict[str, Any]] = field(default_factory=list)
    audit: list[dict[str, Any]] = field(default_factory=list)

    @property
    def ok(self) -> bool:
        return bool(self.steps) and all(step["ok"] for step in self.steps)

    async def step(self, name: str, act: Callable[[], Awaitable[str]]) -> None:
        """Take one step and say how it went."""
        start = time.perf_counter()
        try:
            detail, ok = await act(), True
        except StepFailed as error:
            detail, ok = str(error), False
        except Exception as error:  # noqa: BLE001  # whatever a step meets, the others are still shown
            detail, ok = f"{type(error).__name__}: {error}", False
        milliseconds = round((time.perf_counter() - start) * 1_000)
        self.steps.append({"name": name, "ok": ok, "ms": milliseconds, "detail": detail})
        if not self.as_json:
            mark = click.style("✓", fg="green") if ok else click.style("✗", fg="red", bold=True)
            dimmed = click.style(safe(detail), dim=True)
            click.echo(f" {mark} {name:<54} {milliseconds:>5} ms  {dimmed}")

    def heading(self, text: str) -> None:
        """Begin a group of steps."""
        if not self.as_json:
            click.echo(f"\n{click.style(text, bold=True)}")


@click.command(epilog="Example: orgserver demo --json")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def demo(as_json: bool) -> None:
    """Show orgserver at work: two pretend orgs, a real server process, a real MCP client, the audit log."""
    report = _Report(as_json)
    start = time.perf_counter()
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # so that the throwaway home goes in every case
    run(_demo(report))
    seconds = round(time.perf_counter() - start, 2)
    if as_json:
        print_json({"ok": report.ok, "seconds": seconds, "steps": report.steps, "audit": report.audit})
    else:
        passed = sum(step["ok"] for step in report.steps)
        colour = "green" if report.ok else "red"
        click.echo(click.style(f"\n{passed} of {len(report.steps)} steps held, {seconds} s.", fg=colour, bold=True))
        click.echo(f"Next: {safe(shell_line('add-org', 'acme'))}")
        click.echo(f"Then: {safe(shell_line('connect', 'claude-code'))}")
    if not report.ok:
        raise Failure


async def _demo(report: _Report) -> None:
    from mcp.client import Client  # noqa: PLC0415  # the SDK is slow to import
    from mcp.client.stdio import StdioServerParameters, stdio_client  # noqa: PLC0415

    from orgserver.app import open_app  # noqa: PLC0415
    from orgserver.cli.orgs.pretend_orgs import register  # noqa: PLC0415
    from orgserver.config import read_settings  # noqa: PLC0415
    from orgserver.sandbox.server import Sandbox  # noqa: PLC0415

    async with AsyncExitStack() as stack:
        home = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="orgserver-demo-")))
        no_core_dumps()
        settings = read_settings({"home": home}, {})
        sandbox = await stack.enter_async_context(Sandbox.start(2))
        report.heading("Two pretend orgs, registered in a throwaway home")

        async def register_orgs() -> str:
            async with open_app(settings) as app:
                enrolled = await register(app, sandbox)
            require(all(each.rotated for each in enrolled), "the refresh tokens did not rotate")
            return ", ".join(f"{each.org.alias} = {each.org.org_id}" for each in enrolled)

        await report.step("register acme and globex", register_orgs)
        server = StdioServerParameters(
            command=sys.executable, args=["-m", "orgserver", "serve", "--label", "demo"], env=_environment(home)
        )
        errors = stack.enter_context((home / "server.log").open("w+", encoding="utf-8"))
        stack.callback(_show_log, report, home / "server.log")
        report.heading("`orgserver serve` as a process, driven by the MCP SDK's own client")
        agent: Agent | None = None

        async def connect() -> str:
            nonlocal agent
            agent = Agent(await stack.enter_async_context(Client(stdio_client(server, errlog=errors))), sandbox)
            return "a process of its own answers"

        await report.step("start the server and connect", connect)
        if agent is not None:
            await _drive(report, agent)
            await _show_audit(report, settings, home)


async def _drive(report: _Report, agent: Agent) -> None:
    await report.step("list the tools", agent.list_tools)
    await report.step("name the orgs", agent.list_orgs)
    for alias in ("acme", "globex"):
        report.heading(f"Contacts and appointments in {alias}")
        for name, act in agent.round_of(alias):
            await report.step(name, act)
    report.heading("What must not happen")
    for name, act in agent.refusals():
        await report.step(name, act)
    report.heading("An access token ends in the middle")
    await report.step("acme's sessions end; the next call works all the same", agent.outlive_sessions)
    await report.step("deleting what was made", agent.clean_up)


def _show_log(report: _Report, log: Path) -> None:
    """When a step failed, what the server said may tell why."""
    if not report.ok:
        for line in log.read_text("utf-8", "replace").splitlines()[-_LOG_LINES:]:
            tell(f"server: {line}")


async def _show_audit(report: _Report, settings: Any, home: Path) -> None:
    from orgserver.app import open_app  # noqa: PLC0415
    from orgserver.cli.audit.commands import print_entries  # noqa: PLC0415
    from orgserver.cli.audit.export import export_to  # noqa: PLC0415
    from orgserver.model.audit import EntryFilter  # noqa: PLC0415

    report.heading("The audit log")
    async with open_app(settings) as app:
        entries = [entry async for entry in app.audit_log.entries(EntryFilter())]
        report.audit = [entry.as_json() for entry in entries]
        if not report.as_json:
            print_entries(entries)
            click.echo()

        async def export() -> str:
            file = home / "audit.jsonl"
            await export_to(app.audit_log, "jsonl", EntryFilter(), file)
            lines = [json.loads(line) for line in file.read_text("utf-8").splitlines()]
            require(len(lines) == len(entries), "the export is not complete")
            require(all(each["outcome"] != "pending" for each in lines), "an entry has no outcome")
            return f"{len(lines)} entries, each with its outcome"

        async def verify() -> str:
            verification = await app.audit_log.verify()
            require(verification.problem is None, verification.problem or "")
            return f"{verification.events} events: {', '.join(verification.checks)}"

        await report.step("export it as JSON lines", export)
        await report.step("verify the chain", verify)


def _environment(home: Path) -> dict[str, str]:
    """The environment of the server process: ours, without anything of a real orgserver."""
    others = {name: value for name, value in os.environ.items() if not name.startswith("ORGSERVER_")}
    return others | {"ORGSERVER_HOME": str(home)}
