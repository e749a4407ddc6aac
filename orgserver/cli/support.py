"""What commands share: settings, the app, and how things are printed."""

from __future__ import annotations

import getpass
import json
import os
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, Any

import click

from orgserver.config import Settings, read_settings, unknown_variables
from orgserver.logs import start_logging
from orgserver.model.orgs import Caller, Principal, Scope
from orgserver.model.text import escape_json, escape_text

if TYPE_CHECKING:
    from orgserver.app import App


class Failure(Exception):
    """A command that has said what went wrong and ends with this exit code."""

    def __init__(self, code: int = 1) -> None:
        super().__init__(code)
        self.code = code


def report(message: str, hint: str | None = None) -> None:
    """Say on standard error what failed, and what to do."""
    click.echo(f"{_red('orgserver: error:')} {safe(message)}", err=True)
    if hint:
        click.echo(f"orgserver: hint: {safe(hint)}", err=True)


def warn(message: str) -> None:
    """Say on standard error what a person should know although the command succeeds."""
    click.echo(f"orgserver: warning: {safe(message)}", err=True)


def tell(message: str) -> None:
    """Say something to a person, on standard error."""
    click.echo(safe(message), err=True)


def safe(text: object) -> str:
    """A text from elsewhere, with everything escaped that could drive a terminal."""
    return escape_text(str(text))


def print_json(value: Any) -> None:
    """Print data for machines."""
    click.echo(escape_json(json.dumps(value, ensure_ascii=False, indent=2)))


def print_json_line(value: Any) -> None:
    """Print one line of data for machines, at once."""
    click.echo(escape_json(json.dumps(value, ensure_ascii=False, separators=(",", ":"))))


def print_facts(facts: Mapping[str, object]) -> None:
    """Print what is known of one thing, a line each."""
    for line in fact_lines(facts):
        click.echo(line)


def fact_lines(facts: Mapping[str, object]) -> list[str]:
    """What is known of one thing, a line each."""
    width = max(map(len, facts))
    return [f"{name.replace('_', ' '):<{width}}  {safe(plain(value))}".rstrip() for name, value in facts.items()]


def plain(value: object) -> str:
    """A value in words: yes and no, and lists with commas; empty where there is none."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, Mapping):
        return ", ".join(f"{name.replace('_', ' ')} {inner}" for name, inner in value.items())
    return ", ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)


def settings_of(**options: Any) -> Settings:
    """Read the settings of a command, which logs nothing by itself unless a log level was chosen.

    From here on it may hold secrets: the master key comes with the settings.
    """
    no_core_dumps()
    settings = read_settings(options)
    start_logging(settings, quiet=True)
    for each in unknown_variables():
        warn(each)
    return settings


def no_core_dumps() -> None:
    """Keep tokens out of core files, and out of reach of other processes of the same user."""
    if sys.platform == "win32":
        return
    import resource  # noqa: PLC0415

    with suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if sys.platform == "linux":
        import ctypes  # noqa: PLC0415

        with suppress(OSError, AttributeError):
            ctypes.CDLL(None).prctl(4, 0, 0, 0, 0)  # PR_SET_DUMPABLE


@asynccontextmanager
async def app_of(settings: Settings, scope: Scope | None = None) -> AsyncIterator[App]:
    """Open everything for one command."""
    from orgserver.app import open_app  # noqa: PLC0415  # the store's and client's imports
    from orgserver.store.processes.lock_holders import Patience  # noqa: PLC0415  # as above

    async with open_app(settings, scope, patience=Patience(tell=tell)) as app:
        yield app


def operator() -> Caller:
    """The person at this command line."""
    return Caller(Principal(local_principal()), "cli")


def local_principal() -> str:
    """``local:`` and the name of the operating system's user."""
    try:
        return f"local:{getpass.getuser()}"
    except (KeyError, OSError):
        return f"local:{os.getuid() if hasattr(os, 'getuid') else 'user'}"


def _red(text: str) -> str:
    return text if os.environ.get("NO_COLOR") else click.style(text, fg="red", bold=True)
