"""``orgserver migrate``: bring the store to the newest schema."""

from __future__ import annotations

import click

from orgserver.cli.process import app_of, run, settings_of
from orgserver.store.files import SCHEMA


@click.command(epilog="Example: orgserver migrate")
def migrate() -> None:
    """Bring the store to the newest schema. Other commands do it by themselves."""

    async def act() -> str:
        settings = settings_of()
        async with app_of(settings) as app:
            return str(app.store.database.address)

    click.echo(f"{run(act())} has schema {SCHEMA}")
