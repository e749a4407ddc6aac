"""The options that say whose login the calls to an org use, and the change that they make."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import click

from orgserver.config import Settings
from orgserver.model.access.logins import IDENTITIES, UsernameFrom
from orgserver.model.errors import ConfigError
from orgserver.model.orgs import Org
from orgserver.services.orgs.identities import IdentityChange

F = TypeVar("F", bound=Callable[..., Any])
_OPTION = "--username-from"
_MAP = "map"


class IdentityCommand(click.Command):
    """A command with ``--username-from``, of which one form has two words."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Read ``map FILE`` as one word."""
        return super().parse_args(ctx, _join_map(args))


def identity_options(command: F) -> F:
    """The options that say whose login calls use."""
    options = (
        click.option(
            "--identity",
            type=click.Choice(IDENTITIES),
            help="Whose login calls use: the org's, which all share, or each principal's own (connect-org); "
            "own-or-shared: the org's for who never connected. [default: shared]",
        ),
        click.option(
            _OPTION,
            metavar="principal|claim:NAME|map FILE",
            help="Who each principal is in an org with --auth jwt and logins of their own: its own name, a claim of "
            "its verified token, or as a file (YAML: PRINCIPAL: USERNAME, or CSV) says.",
        ),
    )
    for option in reversed(options):
        command = option(command)
    return command


def read_identity(options: Mapping[str, Any], settings: Settings, org: Org | None = None) -> IdentityChange | None:
    """The change that the options name for a registered org or a new one; None: nothing changes."""
    username_from, usernames = _read_source(options["username_from"])
    if username_from is not None:
        refuse_created_people(settings, username_from)
    before = org.identity if org is not None else "shared"
    moves = options["auth"] and before != "shared"  # another way to log in may not go together with it
    if options["identity"] is None and username_from is None and not moves:
        return None
    return IdentityChange(options["identity"] or before, username_from, usernames, seen=before)


def refuse_created_people(settings: Settings, username_from: UsernameFrom) -> None:
    """ConfigError where whoever signs in makes a principal, whose name would then say which user it is."""
    if settings.signin_new == "create" and username_from.kind != _MAP:
        raise ConfigError(
            f"--username-from {username_from} and ORGSERVER_SIGNIN_NEW=create exclude each other: whoever signs in "
            "would become a Salesforce user",
            hint="set ORGSERVER_SIGNIN_NEW=refuse, or name the users in a file: --username-from map FILE",
        )


def _read_source(text: str | None) -> tuple[UsernameFrom | None, Mapping[str, str] | None]:
    if text is None:
        return None, None
    kind, colon, rest = text.partition(":")
    if text == "principal":
        return UsernameFrom("principal"), None
    if kind == "claim" and rest:
        return UsernameFrom("claim", rest), None
    if kind == _MAP and rest:
        from orgserver.cli.orgs import username_maps  # noqa: PLC0415  # only who has such a file waits for PyYAML

        return UsernameFrom("map"), username_maps.read_file(Path(rest))
    if text == _MAP or (kind == _MAP and colon):
        raise click.UsageError(f"{_OPTION} map takes a file: {_OPTION} map users.yaml")
    raise click.UsageError(f"{_OPTION} is principal, claim:NAME or map FILE")


def _join_map(args: list[str]) -> list[str]:
    words: list[str] = []
    rest = iter(args)
    for word in rest:
        is_map = word == f"{_OPTION}={_MAP}" or (word == _MAP and words[-1:] == [_OPTION])
        file = next(rest, None) if is_map else None
        words.append(f"{word}:{file}" if file is not None and not file.startswith("--") else word)
        if file is not None and file.startswith("--"):
            words.append(file)
    return words
