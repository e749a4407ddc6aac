"""What each command says of itself, on a terminal of 80 columns: one command, one file."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import click
from click.testing import CliRunner

from orgserver.cli.main import cli

from .shell import WIDTH

FOLDER = Path(__file__).parent / "commands" / "help"


def texts() -> dict[str, str]:
    """The help of each command, by the name of its file."""
    return {f"{'-'.join(words)}.txt": _help(words) for words in _commands(cli, ())}


def _commands(group: click.Group, words: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
    context = click.Context(group)
    yield words or ("orgserver",)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        if isinstance(command, click.Group):
            yield from _commands(command, (*words, name))
        else:
            yield (*words, name)


def _help(words: tuple[str, ...]) -> str:
    line = [*(words if words != ("orgserver",) else ()), "--help"]
    return CliRunner().invoke(cli, line, env={"COLUMNS": WIDTH}, prog_name="orgserver").output
