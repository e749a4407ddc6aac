"""``orgserver refresh-idle``: keep the tokens of idle orgs alive, for cron."""

from __future__ import annotations

import click

from orgserver.cli.output import Failure, print_json, safe, tell
from orgserver.cli.process import app_of, run, settings_of
from orgserver.services.orgs.keepalive import Kept


@click.command("refresh-idle", epilog="Example, in a crontab: 0 6 * * * orgserver refresh-idle")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def refresh_idle(as_json: bool) -> None:
    """Refresh the orgs that have been idle for ORGSERVER_KEEP_ALIVE_DAYS. Exits 1 if one could not be refreshed.

    A running server does it by itself; this is for machines where none runs for weeks.
    """

    async def act() -> list[Kept]:
        async with app_of(settings_of()) as app:
            return await app.keep_alive.refresh_idle()

    results = run(act())
    if as_json:
        print_json(
            [
                {
                    "alias": result.org.alias,
                    "ok": result.error is None,
                    "error": str(result.error) if result.error else None,
                }
                | ({"principal": _holder(result)} if _holder(result) is not None else {})
                for result in results
            ]
        )
    else:
        for result in results:
            whose = f" ({safe(_holder(result))})" if _holder(result) is not None else ""
            click.echo(f"{result.org.alias}{whose}: {safe(result.error) if result.error else 'refreshed'}")
        if not results:
            tell("No org has been idle long enough.")
    if any(result.error for result in results):
        raise Failure


def _holder(result: Kept) -> str | None:
    """Whose own login it is; None: the one that all share."""
    connection = result.org.connection
    return connection.principal if connection is not None else None
