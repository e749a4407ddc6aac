"""``orgserver connect`` and ``disconnect``: our entry in a client's own configuration, put in and taken out."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import click

from orgserver.cli import confirmation
from orgserver.cli.clients import entry as entries
from orgserver.cli.clients.files import ClientFile, read_file, replace_file
from orgserver.cli.clients.programs import PROGRAMS, Machine, Program
from orgserver.cli.output import safe, tell, warn
from orgserver.cli.process import app_of, has_store, run, settings_of, this_command
from orgserver.cli.serving.server_options import arguments_of_offer, offer_options
from orgserver.model.errors import ConfigError, OrgserverError
from orgserver.model.orgs import Scope

_CLIENT = click.argument("client", type=click.Choice(list(PROGRAMS)), metavar="CLIENT")
_PROJECT = click.option("--project", is_flag=True, help="The file of this folder, not your own.")
_YES = click.option("--yes", is_flag=True, help="Do not ask.")


@click.command(
    epilog="CLIENT is claude-code, claude-desktop, codex, gemini, cursor, vscode or windsurf.\n\n"
    "Examples:\n\n  orgserver connect claude-code\n\n  orgserver connect codex --org acme --read-only\n\n"
    "  orgserver connect vscode --print"
)
@_CLIENT
@offer_options
@click.option("--print", "only_print", is_flag=True, help="Print what belongs in the file; change nothing.")
@_PROJECT
@_YES
def connect(client: str, only_print: bool, project: bool, yes: bool, **offer: Any) -> None:
    """Have an MCP client start orgserver: add the entry `orgserver` to its configuration.

    The change is shown first, and a copy of the file kept. The client need not be installed.
    """
    program = PROGRAMS[client]
    variables = frozenset(os.environ)  # before a secret is taken out of them
    _check(offer)
    home = os.environ.get(entries.HOME)
    entry = entries.build_entry(
        program, this_command(), arguments_of_offer(offer), str(Path(home).expanduser().absolute()) if home else None
    )
    path = _path(program, project=project)
    if only_print:
        click.echo(safe_lines(entries.render_entry(program, entry)))
        tell(f"This belongs in {path}")
        _warn_of_the_rest(variables)
        return
    if _change(program, path, lambda text: entries.put_entry(program, text, entry), project=project, yes=yes):
        tell(f"{program.title} is connected. {(project and program.after_project) or program.after}")
    else:
        tell(f"{program.title} is connected already: {path} stays as it is")
    if not project:
        _warn_of_relative_home(program)
    for folder in [] if project else entries.overriding_folders(program, _read(program, path, project=False).text):
        warn(f"in {folder} another entry {entries.NAME} wins: there, run: claude mcp remove -s local {entries.NAME}")
    _warn_of_the_rest(variables)


@click.command(
    epilog="CLIENT is claude-code, claude-desktop, codex, gemini, cursor, vscode or windsurf.\n\n"
    "Example: orgserver disconnect claude-code"
)
@_CLIENT
@click.option("--print", "only_print", is_flag=True, help="Print the change; make none.")
@_PROJECT
@_YES
def disconnect(client: str, only_print: bool, project: bool, yes: bool) -> None:
    """Take the entry `orgserver` out of an MCP client's configuration, and nothing else."""
    program = PROGRAMS[client]
    path = _path(program, project=project)
    if only_print:
        text = _read(program, path, project=project).text
        for line in entries.difference(program, text, entries.drop_entry(program, text), path):
            click.echo(safe(line))
        return
    if _change(program, path, lambda text: entries.drop_entry(program, text), project=project, yes=yes):
        tell(f"{program.title} is disconnected. It lets go of a server that runs when it is started again.")
    else:
        tell(f"{path} has no entry {entries.NAME}: there is nothing to do")


def safe_lines(text: str) -> str:
    """Several lines, each cleaned for a terminal."""
    return "\n".join(safe(line) for line in text.splitlines())


def _check(offer: Mapping[str, Any]) -> None:
    """Refuse here what the server would refuse when the client starts it, out of sight."""
    if offer["toolsets"] or offer["tools"] or offer["exclude_tools"]:
        from orgserver.tools.toolsets import of_scope  # noqa: PLC0415  # the SDK is slow to import

        of_scope(
            Scope(
                read_only=offer["read_only"],
                toolsets=frozenset(offer["toolsets"]),
                tools=frozenset(offer["tools"]),
                exclude_tools=frozenset(offer["exclude_tools"]),
            )
        )
    _warn_of_unknown(offer["orgs"])


def _warn_of_unknown(aliases: tuple[str, ...]) -> None:
    """Name the orgs without which the server will not start. They may come later, so it is no error."""
    if not aliases:
        return
    settings = settings_of()

    async def aliases_there() -> set[str]:
        async with app_of(settings) as app:
            return {org.alias for org in await app.registry.all()}

    try:
        registered = run(aliases_there()) if has_store(settings) else set()
    except OrgserverError as error:
        warn(f"whether {', '.join(aliases)} is registered could not be looked up: {error}")
        return
    for alias in aliases:
        if alias not in registered:
            warn(f"no org is registered as {alias} yet: without it the server does not start")


def _path(program: Program, *, project: bool) -> Path:
    if not project:
        return program.user_file(Machine.this())
    if program.project_file is None:
        raise ConfigError(f"{program.title} has no file of a folder", hint="leave --project out")
    return Path.cwd() / program.project_file


def _warn_of_relative_home(program: Program) -> None:
    folder = os.environ.get(program.home_variable or "", "")
    if folder and not Path(folder).is_absolute():
        warn(
            f"{program.home_variable}={folder} is a relative path: {program.title} reads this file only where it is "
            f"started in {Path.cwd()}"
        )


def _read(program: Program, path: Path, *, project: bool) -> ClientFile:
    try:
        file = read_file(path, shared=project)
        entries.read_entry(program, file.text)
    except ConfigError as error:
        raise _with_path(path, error) from None
    return file


def _change(program: Program, path: Path, edit: Callable[[str], str], *, project: bool, yes: bool) -> bool:
    """Show a change of a file, ask, and make it; whether there was anything to change."""
    before = _read(program, path, project=project)
    after = _apply(path, edit, before.text)
    if after == before.text:
        return False
    lines = entries.difference(program, before.text, after, path)
    for line in lines:
        click.echo(safe(line))
    if not yes:
        confirmation.agree("Write this?", undone=f"{path} was not written")
    # The client may have written meanwhile, as Claude Code often does: what it wrote stays.
    now = _read(program, path, project=project)
    after = _apply(path, edit, now.text)
    if entries.difference(program, now.text, after, path) != lines:
        raise ConfigError(f"{path} was changed meanwhile: nothing was written", hint="run the same command again")
    backup = replace_file(now, after)
    tell(f"{path} is written" + (f"; what it was is kept in {backup}" if backup else ""))
    return True


def _apply(path: Path, edit: Callable[[str], str], text: str) -> str:
    try:
        return edit(text)
    except ConfigError as error:
        raise _with_path(path, error) from None


def _with_path(path: Path, error: ConfigError) -> ConfigError:
    message = str(error)
    if str(path) in message:
        return error
    return ConfigError(f"{path}: {message}; nothing was written", hint=error.hint)


def _warn_of_the_rest(variables: frozenset[str]) -> None:
    """Name settings of this shell that the server would not get: a client starts it with an environment of its own."""
    from orgserver.config import Settings  # noqa: PLC0415

    settings = {f"ORGSERVER_{name.upper()}" for name in Settings.model_fields} - {entries.HOME}
    names = sorted(settings & variables)
    if names:
        warn(
            f"{', '.join(names)} is set here and not carried along: a client starts the server with an environment of "
            "its own; what is no secret can stand in config.toml, in the home folder"
        )
