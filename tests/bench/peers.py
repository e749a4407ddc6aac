"""Other servers of Salesforce records, beside ours and the echo: those whose commands are installed; nothing is fetched.

Each lists ten contacts of the same org by its own tool, the way it is set up to. None writes an audit log.
"""

import shutil
import statistics
import sys
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from orgserver.sandbox.tls import certificates
from tests.bench.figures import Ratio, markdown, number
from tests.bench.scenarios import alternations
from tests.bench.world import HERE, LIST, Burst, Contender, World, upstream

SOQL = "SELECT Id, Name, Email FROM Contact LIMIT 10"


@dataclass(frozen=True)
class Origins:
    """Where the org answers, for servers that speak nothing but TLS too, and whose certificate it has."""

    plain: str
    tls: str
    ca_file: Path


@dataclass(frozen=True)
class Peer:
    """One server: how it is started, set up and called."""

    name: str
    command: tuple[str, ...]
    params: Mapping[str, Any]
    variables: Callable[[Origins], Mapping[str, str]]

    def find(self) -> list[str] | None:
        """Its command, where that is installed."""
        program = shutil.which(self.command[0])
        return [program, *self.command[1:]] if program else None


PEERS = (
    Peer(
        "MCPServer and an httpx GET",
        (sys.executable, "-P", str(HERE / "bare.py")),
        {"name": "contacts", "arguments": {"org": "bench"}},
        lambda origins: {"BENCH_UPSTREAM": origins.plain},
    ),
    Peer(
        "@tsmztech/mcp-server-salesforce (Node)",  # logs in anew for each call
        ("salesforce-connector",),
        {
            "name": "salesforce_query_records",
            "arguments": {"objectName": "Contact", "fields": ["Id", "Name", "Email"], "limit": 10},
        },
        lambda origins: {
            "SALESFORCE_CONNECTION_TYPE": "User_Password",
            "SALESFORCE_USERNAME": "bench@example.com",
            "SALESFORCE_PASSWORD": "bench",
            "SALESFORCE_INSTANCE_URL": origins.plain,
        },
    ),
    Peer(
        "mcp-salesforce-connector (Python)",
        ("salesforce",),
        {"name": "run_soql_query", "arguments": {"query": SOQL}},
        lambda origins: {
            "SALESFORCE_ACCESS_TOKEN": "bench",
            "SALESFORCE_INSTANCE_URL": origins.tls,
            "REQUESTS_CA_BUNDLE": str(origins.ca_file),
        },
    ),
)


def table(world: World) -> str:
    """Medians beside the echo, one row for each server."""
    with tempfile.TemporaryDirectory(prefix="orgserver-peers-") as folder:
        ca_file = certificates(Path(folder)).ca_file
        with upstream(packed=world.packed, tls=Path(folder)) as (fast, _slow, tls):
            origins = Origins(f"http://127.0.0.1:{fast}", f"https://127.0.0.1:{tls}", ca_file)
            bursts = measure(world, origins)
    absent = [peer.name for peer in PEERS if peer.name not in bursts]
    return rendered(bursts) + (f"\n\nnot installed: {', '.join(absent)}" if absent else "")


def measure(world: World, origins: Origins) -> dict[str, list[Burst]]:
    """The bursts of the echo, ours, and every peer that is installed."""
    contenders = {"echo": world.echo, "orgserver": world.contender(world.participants[0], LIST)}
    for peer in PEERS:
        if command := peer.find():
            contenders[peer.name] = Contender(command, peer.params, variables=peer.variables(origins))
    bursts: dict[str, list[Burst]] = {name: [] for name in contenders}
    for _ in alternations(world, "peers"):
        for name, contender in contenders.items():
            bursts[name].append(world.burst(contender))
    return bursts


def rendered(bursts: Mapping[str, list[Burst]]) -> str:
    """The table."""
    echo = bursts["echo"]
    rows = [["ten contacts, by", "p50 ms", "by the echo", "calls/s, 64 in flight", "by the echo", "MB"]]
    for name, own in bursts.items():
        pairs = list(zip(echo, own, strict=True))
        rows.append(
            [
                name,
                number(statistics.median(each.p50_ms for each in own)),
                str(Ratio.of((base.p50_ms, each.p50_ms) for base, each in pairs)),
                number(statistics.median(each.calls_s for each in own)),
                str(Ratio.of((base.calls_s, each.calls_s) for base, each in pairs)),
                number(statistics.median(each.rss_mb for each in own)),
            ]
        )
    return markdown(rows)
