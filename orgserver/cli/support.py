"""What commands share: settings, the app, and how things are printed."""

from __future__ import annotations

import asyncio
import getpass
import json
import os
import re
import sys
from collections.abc import AsyncIterator, Coroutine, Sequence
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, TypeVar

import click

from orgserver.config import Settings, read_settings
from orgserver.model.orgs import Caller, Principal, Scope

if TYPE_CHECKING:
    from orgserver.app import App

T = TypeVar("T")
_UNSAFE = re.compile(r"[\x00-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff]")


class Failure(Exception):
    """A command that has said what went wrong and ends with this exit code."""

    def __init__(self, code: int = 1) -> None:
        super().__init__(code)
        self.code = code


def report(message: str, hint: str | None = None) -> None:
    """Say on standard error what failed, and what to do."""
    click.echo(f"orgserver: error: {safe(message)}", err=True)
    if hint:
        click.echo(f"orgserver: hint: {safe(hint)}", err=True)


def tell(message: str) -> None:
    """Say something to a person, on standard error."""
    click.echo(safe(message), err=True)


def safe(text: object) -> str:
    """A text from elsewhere, without anything that could drive a terminal."""
    return _UNSAFE.sub("\N{REPLACEMENT CHARACTER}", str(text))


def print_json(value: Any) -> None:
    """Print data for machines."""
    click.echo(json.dumps(value, ensure_ascii=False, indent=2))


def print_table(titles: Sequence[str], rows: Sequence[Sequence[object]], *, caption: str | None = None) -> None:
    """Print a table for people; colours only on terminals, and never with NO_COLOR."""
    from rich.console import Console  # noqa: PLC0415  # only where something is drawn
    from rich.table import Table  # noqa: PLC0415
    from rich.text import Text  # noqa: PLC0415

    table = Table(box=None, header_style="bold", pad_edge=False, caption=caption, caption_justify="left")
    for title in titles:
        table.add_column(title, overflow="fold")
    for row in rows:
        table.add_row(*(Text(safe("" if cell is None else cell), style=_style(cell)) for cell in row))
    width = None if sys.stdout.isatty() else 200
    Console(highlight=False, width=width, soft_wrap=False).print(table)


def _style(cell: object) -> str:
    good = ("ready", "succeeded", "✓")
    bad = ("needs_login", "quarantined", "in_doubt", "unknown", "✗")
    return "green" if cell in good else "red" if cell in bad else "yellow" if cell in ("denied", "rejected") else ""


def settings_of(**given: Any) -> Settings:
    """Read the settings and start logging."""
    from orgserver.logs import start_logging  # noqa: PLC0415

    settings = read_settings(given)
    start_logging(settings)
    return settings


@asynccontextmanager
async def app_of(settings: Settings, scope: Scope | None = None) -> AsyncIterator[App]:
    """Open everything for one command."""
    from orgserver.app import open_app  # noqa: PLC0415  # the store's and client's imports

    async with open_app(settings, scope) as app:
        yield app


def run(action: Coroutine[Any, Any, T]) -> T:
    """Run a command's action; Ctrl-C cancels it, so that it can leave things in order."""
    return asyncio.run(action)


def operator() -> Caller:
    """The person at this command line."""
    return Caller(Principal(local_principal()), "cli")


def local_principal() -> str:
    """``local:`` and the name of the operating system's user."""
    try:
        return f"local:{getpass.getuser()}"
    except (KeyError, OSError):
        return f"local:{os.getuid() if hasattr(os, 'getuid') else 'user'}"
