"""Whether this machine's clock agrees with those of its orgs' login hosts, by the ``Date`` of their replies."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from orgserver.model.errors import CallError
from orgserver.model.orgs import Org, OrgState
from orgserver.model.text import count_of
from orgserver.salesforce.client import SalesforceClient
from orgserver.services.doctor.machine import Finding

_MOST_HOSTS = 8
"""How many login hosts are asked for the time."""
_SECONDS = 5.0
_FINE = timedelta(seconds=5)
_LIMIT = timedelta(seconds=60)
_NOT_COMPARED = "not compared with Salesforce's: "

Reading = tuple[datetime, datetime, str]
"""What time it was here, what time it was there, and where."""


async def check_clock(client: SalesforceClient, orgs: Sequence[Org]) -> list[Finding]:
    """Ask login hosts for the time, and name those that do not answer. No token is shown, so a check costs none."""
    ready = [org for org in orgs if org.enabled and not org.refresh_suspended and org.state is OrgState.READY]
    hosts = list({org.login_url: org for org in ready}.values())[:_MOST_HOSTS]
    if not hosts:
        return [Finding("clock", "note", f"{_NOT_COMPARED}no org is ready to be asked")]
    readings = await asyncio.gather(*(_read(client, org) for org in hosts))
    silent = [_host_name(org) for org, reading in zip(hosts, readings, strict=True) if reading is None]
    answers = [reading for reading in readings if reading is not None]
    clock = summary(answers) if answers else Finding("clock", "note", f"{_NOT_COMPARED}no login host answered")
    return [clock, *([_silence(silent)] if silent else [])]


def _silence(hosts: Sequence[str]) -> Finding:
    todo = "check the network and these names; an org is not lost while its login host is away"
    return Finding("login hosts", "warning", f"no answer with the time from {', '.join(hosts)}", todo)


def _host_name(org: Org) -> str:
    return org.login_url.partition("://")[2]


def summary(readings: Sequence[Reading]) -> Finding:
    """One finding for all hosts; where they disagree, it may be a host's clock that is wrong, not ours."""
    worst = max(readings, key=lambda each: abs(each[0] - each[1]))
    finding = clock_of(*worst)
    fine = sum(abs(here - there) <= _FINE for here, there, _ in readings)
    if finding.level == "ok":
        return finding if len(readings) == 1 else Finding("clock", "ok", f"agrees with {len(readings)} login hosts")
    if not fine:
        return finding
    others = count_of(fine, "other login host")
    return replace(finding, level="warning", text=f"{finding.text}, but agrees with {others}", todo=None)


def clock_of(here: datetime, there: datetime, host: str) -> Finding:
    """Salesforce refuses assertions that are minutes off; and the audit log is as right as the clock."""
    off = abs(here - there)
    if off <= _FINE:
        return Finding("clock", "ok", f"agrees with {host}")
    text = f"{off.total_seconds():,.0f} s {'ahead of' if here > there else 'behind'} {host}"
    todo = "let this machine's clock be set by NTP"
    return Finding("clock", "problem" if off > _LIMIT else "warning", text, todo)


async def _read(client: SalesforceClient, org: Org) -> Reading | None:
    before = time.time()
    try:
        there = await client.request_date(org.hosts_with(org.instance_url), seconds=_SECONDS)
    except CallError:
        return None
    here = datetime.fromtimestamp((before + time.time()) / 2, UTC)
    return (here, there, _host_name(org)) if there is not None else None
