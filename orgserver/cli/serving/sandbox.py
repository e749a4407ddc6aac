"""``orgserver sandbox``: pretend orgs for trying things out."""

from __future__ import annotations

import asyncio
import os
import shlex
import stat
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Any

import click

from orgserver.cli.output import print_json, tell
from orgserver.cli.process import run, shell_line, until_signal

_SHOWN = 3
"""Orgs whose registration is shown."""


@click.command(epilog="Example: orgserver sandbox --orgs 3 --port 8900 > sandbox.json")
@click.option(
    "--port", default=0, show_default="free ports", type=click.IntRange(0, 65_535), help="Org i listens at PORT+i."
)
@click.option("--orgs", default=2, show_default=True, type=click.IntRange(1, 2_000), help="How many orgs.")
@click.option("--tls", is_flag=True, help="Serve https with a throwaway certificate authority.")
@click.option("--plain", is_flag=True, help="Reply without packing, chunks and Salesforce's headers: for benches.")
@click.option("--no-rotation", is_flag=True, help="Let refresh tokens stay the same.")
@click.option(
    "--callback",
    multiple=True,
    metavar="URL",
    help="Where a log-in in the browser may lead back to, besides that of the sf command; may be repeated.",
)
@click.option(
    "--jwt-public-key",
    type=click.File(encoding="utf-8", errors="replace"),
    metavar="FILE",
    help="The public key or certificate (PEM) whose signed assertions each org takes.",
)
@click.option(
    "--first-org",
    default=1,
    show_default=True,
    type=click.IntRange(1, 8_000),
    metavar="N",
    help="The number of the first org, which its ids and alias are made from: two sandboxes at once need others each.",
)
def sandbox(**options: Any) -> None:
    """Serve pretend Salesforce orgs on 127.0.0.1 until Ctrl-C; prints their URLs and credentials as JSON.

    Each org takes log-ins in the browser at once and without asking, refresh tokens, its app's own credentials, and
    with --jwt-public-key signed assertions. POST /sandbox/knobs changes how it behaves, one of them is jwt_public_key;
    GET /sandbox/state and /sandbox/tokens tell what it saw.
    """
    run(until_signal(_serve(options)))


async def _serve(options: dict[str, Any]) -> None:
    from orgserver.sandbox.org import CALLBACK  # noqa: PLC0415  # only here
    from orgserver.sandbox.server import Sandbox  # noqa: PLC0415  # only here

    key_file = options["jwt_public_key"]
    with tempfile.TemporaryDirectory(prefix="orgserver-sandbox-") as folder:
        async with Sandbox.start(
            options["orgs"],
            port=options["port"],
            tls_folder=Path(folder) if options["tls"] else None,
            rotation=not options["no_rotation"],
            callbacks=(CALLBACK, *options["callback"]),
            plain=options["plain"],
            first_org=options["first_org"],
            jwt_public_key=key_file.read() if key_file is not None else None,
        ) as served:
            print_json(served.described())
            tell("The sandbox is up. Ctrl-C ends it.")
            _say_how_to_register([org.alias for org in served.orgs], served.ca_file)
            await asyncio.Event().wait()


def _say_how_to_register(aliases: list[str], ca_file: Path | None) -> None:
    """Commands that register the first of its orgs, from what was printed."""
    file = _output()
    place = "its output, printed above, in sandbox.json" if file is None else "its output"
    tell(f"Register its orgs in another terminal, from {place}:")
    trusted = f"ORGSERVER_CA_FILE={shlex.quote(str(ca_file))} " if ca_file is not None else ""
    for alias in aliases[:_SHOWN]:
        line = shell_line("add-org", alias, "--credentials-stdin")
        tell(f"  {trusted}{line} < {shlex.quote(file or 'sandbox.json')}")
    if len(aliases) > _SHOWN:
        tell(f"  and so on, to {aliases[-1]}")


def _output() -> str | None:
    """The file that standard output goes to, where it is one and the system says which."""
    with suppress(OSError):
        if stat.S_ISREG(os.fstat(1).st_mode):
            return str(Path("/proc/self/fd/1").readlink())
    return None
