"""What tests of imports share: orgs as rows of a CSV file, and the plan that is printed."""

import csv
import io
from typing import Any

from orgserver.sandbox.org import SandboxOrg
from tests.cli.shells import Ran, Shell


def host(org: SandboxOrg) -> str:
    return org.url.partition("://")[2]


def row(org: SandboxOrg, **changes: str) -> dict[str, str]:
    given = org.credentials()
    told = {"alias": org.alias, "trust_host": host(org), "tag": "eu pilot", "read_only": "yes"}
    return told | {name: given[name] for name in ("client_id", "client_secret", "refresh_token", "login_url")} | changes


def sheet(*rows: dict[str, str], delimiter: str = ",", end: str = "\r\n") -> str:
    text = io.StringIO(newline="")
    names = list(dict.fromkeys(name for each in rows for name in each))
    writer = csv.DictWriter(text, names, delimiter=delimiter, lineterminator=end)
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def planned(ran: Ran) -> list[list[str]]:
    """The lines of the table, by two spaces."""
    return [[cell.strip() for cell in line.split("  ") if cell.strip()] for line in ran.out.splitlines()]


async def listed(shell: Shell) -> dict[str, Any]:
    return {org["alias"]: org for org in (await shell("list-orgs", "--json")).json}
