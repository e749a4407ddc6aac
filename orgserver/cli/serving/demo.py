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

from orgserver.cli.support import Failure, no_core_dumps, print_json, run, safe, tell
from orgserver.cli.this_command import shell_line
from orgserver.tools import toolsets

_LOG_LINES = 20


class StepFailed(Exception):
    """A step did not show what it should."""


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
        started = time.perf_counter()
        try:
            detail, ok = await act(), True
        except StepFailed as error:
            detail, ok = str(error), False
        except Exception as error:  # noqa: BLE001  # whatever a step meets, the others are still shown
            detail, ok = f"{type(error).__name__}: {error}", False
        taken = round((time.perf_counter() - started) * 1_000)
        self.steps.append({"name": name, "ok": ok, "ms": taken, "detail": detail})
        if not self.as_json:
            mark = click.style("✓", fg="green") if ok else click.style("✗", fg="red", bold=True)
            told = click.style(safe(detail), dim=True)
            click.echo(f" {mark} {name:<54} {taken:>5} ms  {told}")

    def heading(self, text: str) -> None:
        """Begin a group of steps."""
        if not self.as_json:
            click.echo(f"\n{click.style(text, bold=True)}")


@click.command(epilog="Example: orgserver demo --json")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def demo(as_json: bool) -> None:
    """Show orgserver at work: two pretend orgs, a real server process, a real MCP client, the audit log."""
    report = _Report(as_json)
    started = time.perf_counter()
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # so that the throwaway home goes in every case
    run(_demo(report))
    taken = round(time.perf_counter() - started, 2)
    if as_json:
        print_json({"ok": report.ok, "seconds": taken, "steps": report.steps, "audit": report.audit})
    else:
        held = sum(step["ok"] for step in report.steps)
        colour = "green" if report.ok else "red"
        click.echo(click.style(f"\n{held} of {len(report.steps)} steps held, {taken} s.", fg=colour, bold=True))
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

        async def registered() -> str:
            async with open_app(settings) as app:
                enrolled = await register(app, sandbox)
            _hold(all(each.rotated for each in enrolled), "the refresh tokens did not rotate")
            return ", ".join(f"{each.org.alias} = {each.org.org_id}" for each in enrolled)

        await report.step("register acme and globex", registered)
        server = StdioServerParameters(
            command=sys.executable, args=["-m", "orgserver", "serve", "--label", "demo"], env=_environment(home)
        )
        errors = stack.enter_context((home / "server.log").open("w+", encoding="utf-8"))
        stack.callback(_show_log, report, home / "server.log")
        report.heading("`orgserver serve` as a process, driven by the MCP SDK's own client")
        agent: _Agent | None = None

        async def connected() -> str:
            nonlocal agent
            agent = _Agent(await stack.enter_async_context(Client(stdio_client(server, errlog=errors))), sandbox)
            return "a process of its own answers"

        await report.step("start the server and connect", connected)
        if agent is not None:
            await _drive(report, agent)
            await _show_audit(report, settings, home)


async def _drive(report: _Report, agent: _Agent) -> None:
    await report.step("list the tools", agent.tools)
    await report.step("name the orgs", agent.orgs)
    for alias in ("acme", "globex"):
        report.heading(f"Contacts and appointments in {alias}")
        for name, act in agent.round_of(alias):
            await report.step(name, act)
    report.heading("What must not happen")
    for name, act in agent.refusals():
        await report.step(name, act)
    report.heading("An access token ends in the middle")
    await report.step("acme's sessions end; the next call works all the same", agent.expired)
    await report.step("deleting what was made", agent.cleaned)


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

        async def exported() -> str:
            file = home / "audit.jsonl"
            await export_to(app.audit_log, "jsonl", EntryFilter(), file)
            read = [json.loads(line) for line in file.read_text("utf-8").splitlines()]
            _hold(len(read) == len(entries), "the export is not complete")
            _hold(all(each["outcome"] != "pending" for each in read), "an entry has no outcome")
            return f"{len(read)} entries, each with its outcome"

        async def verified() -> str:
            found = await app.audit_log.verify()
            _hold(found.problem is None, found.problem or "")
            return f"{found.events} events: {', '.join(found.checks)}"

        await report.step("export it as JSON lines", exported)
        await report.step("verify the chain", verified)


class _Agent:
    """What an agent does in the demo, and what it checks."""

    def __init__(self, client: Any, sandbox: Any) -> None:
        self._client = client
        self._orgs = {org.alias: org for org in sandbox.orgs}
        self._made: list[tuple[str, str, str, str]] = []
        self._contact: dict[str, str] = {}
        self._event: dict[str, str] = {}

    async def tools(self) -> str:
        listed = await self._client.list_tools()
        size = len(listed.model_dump_json(by_alias=True, exclude_none=True))
        _hold({tool.name for tool in listed.tools} == set(toolsets.chosen(())), f"{len(listed.tools)} tools")
        return f"{len(listed.tools)} tools, {size:,} bytes"

    async def orgs(self) -> str:
        found = await self._ok("salesforce_list_orgs")
        names = [org["org"] for org in found["orgs"]]
        _hold(names == ["acme", "globex"], f"{names}")
        return ", ".join(f"{org['org']} ({org['state']})" for org in found["orgs"])

    def round_of(self, alias: str) -> list[tuple[str, Callable[[], Awaitable[str]]]]:
        """Create, read, update, list and delete, of both kinds."""

        async def create_contact() -> str:
            data = {"FirstName": "Mary", "LastName": "O'Shea", "Email": f"mary@{alias}.example", "Title": "Engineer"}
            made = await self._ok("salesforce_create_contact", org=alias, data=data)
            self._contact[alias] = made["id"]
            self._made.append((alias, "contact", "contact_id", made["id"]))
            return f"{made['id']}"

        async def read_contact() -> str:
            got = await self._ok("salesforce_get_contact", org=alias, contact_id=self._contact[alias])
            _hold(got["record"]["Name"] == "Mary O'Shea", "another record came back")
            return f"{got['record']['Name']}, {got['record']['Email']}"

        async def update_contact() -> str:
            change = {"org": alias, "contact_id": self._contact[alias], "data": {"Title": "Lead Engineer"}}
            shown = await self._ok("salesforce_update_contact", **change, preview=True)
            _hold(shown["changes"][0]["from"] == "Engineer", "the preview shows something else")
            await self._ok("salesforce_update_contact", **change)
            return "Title: Engineer → Lead Engineer (previewed first)"

        async def list_contacts() -> str:
            found = await self._ok("salesforce_list_contacts", org=alias, limit=3, filter={"LastName": "O'Shea"})
            _hold(found["total_size"] == 1, f"{found['total_size']} found")
            everybody = await self._ok("salesforce_list_contacts", org=alias, limit=2, count=True)
            more = await self._ok("salesforce_list_contacts", org=alias, limit=2, cursor=everybody["next_cursor"])
            return f"1 of {everybody['total_size']} by filter, {len(more['records'])} more by cursor"

        async def create_event() -> str:
            data = {
                "Subject": "Demo",
                "StartDateTime": "2030-02-20T09:00:00Z",
                "EndDateTime": "2030-02-20T10:00:00Z",
                "WhoId": self._contact[alias],
            }
            made = await self._ok("salesforce_create_appointment", org=alias, data=data)
            self._event[alias] = made["id"]
            self._made.append((alias, "appointment", "event_id", made["id"]))
            return f"{made['id']}"

        async def move_event() -> str:
            moved = {"StartDateTime": "2030-02-21T09:00:00Z", "EndDateTime": "2030-02-21T10:30:00Z"}
            await self._ok("salesforce_update_appointment", org=alias, event_id=self._event[alias], data=moved)
            got = await self._ok("salesforce_get_appointment", org=alias, event_id=self._event[alias])
            _hold(got["record"]["StartDateTime"].startswith("2030-02-21"), "it was not moved")
            return "moved by a day, read back"

        async def list_events() -> str:
            day = {"start": "2030-02-21", "end": "2030-02-21"}
            found = await self._ok("salesforce_list_appointments", org=alias, **day)
            _hold([each["Id"] for each in found["records"]] == [self._event[alias]], "another day came back")
            return "1 overlaps 2030-02-21"

        async def query() -> str:
            soql = f"SELECT Id, Who.Name FROM Event WHERE WhoId = '{self._contact[alias]}'"  # noqa: S608  # SOQL of the demo
            found = await self._ok("salesforce_query", org=alias, soql=soql)
            _hold(found["records"][0]["Who"]["Name"] == "Mary O'Shea", "another name came back")
            return "SOQL across Event and Contact"

        return [
            ("create a contact", create_contact),
            ("read it", read_contact),
            ("update it", update_contact),
            ("list contacts", list_contacts),
            ("create an appointment with it", create_event),
            ("move the appointment", move_event),
            ("list appointments", list_events),
            ("query", query),
        ]

    def refusals(self) -> list[tuple[str, Callable[[], Awaitable[str]]]]:
        """What is refused, and that nothing was sent."""

        async def other_org() -> str:
            error = await self._refused("salesforce_get_contact", org="globex", contact_id=self._contact["acme"])
            _hold(error["category"] == "not_found", f"{error}")
            _hold(not any(org.counters.foreign_tokens for org in self._orgs.values()), "a token crossed over")
            return f"acme's contact in globex: {error['code']}"

        async def unknown_org() -> str:
            before = [len(org.requests) for org in self._orgs.values()]
            error = await self._refused("salesforce_list_contacts", org="initech")
            _hold(error["category"] == "unknown_org", f"{error}")
            _hold([len(org.requests) for org in self._orgs.values()] == before, "something was sent")
            return f"{error['code']}, nothing was sent"

        async def bad_argument() -> str:
            error = await self._refused("salesforce_create_contact", org="acme", data={"FirstName": "No"})
            _hold(error["fields"] == ["data.LastName"], f"{error}")
            return f"{error['message']}"

        return [
            ("one org cannot see another's record", other_org),
            ("an unknown org is refused", unknown_org),
            ("a missing field is named", bad_argument),
        ]

    async def expired(self) -> str:
        acme = self._orgs["acme"]
        spent = acme.refresh_token
        acme.expire_access_tokens()
        found = await self._ok("salesforce_list_contacts", org="acme")
        _hold(found["total_size"] > 0, "no contacts came back")
        _hold(acme.refresh_token not in ("", spent), "the refresh token did not rotate")
        _hold(acme.counters.reuses == 0, "a spent refresh token was sent again")
        return "one refresh, unseen; the rotated refresh token is kept"

    async def cleaned(self) -> str:
        for alias, kind, argument, identifier in reversed(self._made):
            await self._ok(f"salesforce_delete_{kind}", org=alias, **{argument: identifier})
        return f"{len(self._made)} records, in both orgs"

    async def _ok(self, tool: str, **arguments: Any) -> dict[str, Any]:
        result = await self._client.call_tool(tool, arguments)
        if result.is_error:
            raise StepFailed(result.content[0].text)
        structured: dict[str, Any] = result.structured_content
        return structured

    async def _refused(self, tool: str, **arguments: Any) -> dict[str, Any]:
        result = await self._client.call_tool(tool, arguments)
        _hold(result.is_error, "it was not refused")
        error: dict[str, Any] = json.loads(result.content[0].text)["error"]
        return error


def _hold(condition: bool, otherwise: str) -> None:
    if not condition:
        raise StepFailed(otherwise)


def _environment(home: Path) -> dict[str, str]:
    """The environment of the server process: ours, without anything of a real orgserver."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("ORGSERVER_")}
    return kept | {"ORGSERVER_HOME": str(home)}
