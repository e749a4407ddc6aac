"""``orgserver open``: an org in the browser, where people log in as themselves (docs/adr/0019-opening-an-org.md)."""

from __future__ import annotations

import os

import click

from orgserver.cli import completion
from orgserver.cli.output import safe, tell, warn
from orgserver.cli.process import app_to_read, has_screen, run, settings_of
from orgserver.model import names
from orgserver.model.orgs import Org


@click.command(epilog="Examples:\n\n  orgserver open acme\n\n  orgserver open acme 003xx000004TmiQAAS")
@click.argument("alias", shell_complete=completion.aliases)
@click.argument("record", required=False)
def open(alias: str, record: str | None) -> None:  # noqa: A001  # the command's name, by which it is found
    """Open an org in the browser, or the record with an id, and print the address.

    You log in there as yourself, or are logged in already: the browser gets no token of orgserver's.
    """
    try:
        path = names.record_id(record) if record is not None else ""
    except ValueError as error:
        raise click.UsageError(str(error)) from None
    settings = settings_of()

    async def act() -> Org:
        async with app_to_read(settings) as app:
            return await app.registry.one(alias)

    url = f"{run(act()).instance_url}/{path}"
    click.echo(safe(url))
    if not (os.environ.get("BROWSER") or has_screen()):
        tell("There is no screen here: open the address in a browser of yours.")
        return
    import webbrowser  # noqa: PLC0415  # only where there is one

    if not webbrowser.open(url):
        warn("no browser could be started; open the address yourself")
