"""The options that limit an org, and which of them this version refuses because it cannot enforce them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click

from orgserver.model.errors import ConfigError

F = TypeVar("F", bound=Callable[..., Any])
_KEEP = "Keep, sealed, what changes replace, so that `audit undo` can restore it."
_CONFIRM = "Let a person confirm every delete: at the client, or by `orgserver approve`."
_ENFORCED = ("read_only", "keep_values", "confirm_deletes")
_LISTS = ("allow-object", "deny-object", "hide-field")
_NUMBERS = ("row-limit", "api-budget")


def policy_options(command: F) -> F:
    """The options of add-org."""
    return _later(click.option("--read-only", is_flag=True, help="Refuse every change in this org.")(_shared(command)))


def changed_policy_options(command: F) -> F:
    """The options of update-org, each with its ``--no-…`` form."""
    for name in (*_LISTS, *_NUMBERS):
        command = click.option(f"--no-{name}", is_flag=True, default=None, hidden=True)(command)
    read_only = click.option("--read-only/--no-read-only", default=None, help="Refuse every change in this org.")
    return _later(read_only(_shared(command)))


def _shared(command: F) -> F:
    command = click.option("--keep-values/--no-keep-values", default=None, help=_KEEP)(command)
    return click.option("--confirm-deletes/--no-confirm-deletes", default=None, help=_CONFIRM)(command)


def _later(command: F) -> F:
    """What the contract names and this version does not enforce: taken, to be refused in one line."""
    for name in _LISTS:
        command = click.option(f"--{name}", multiple=True, hidden=True)(command)
    for name in _NUMBERS:
        command = click.option(f"--{name}", hidden=True)(command)
    return command


def policy_of(options: dict[str, Any]) -> dict[str, Any]:
    """What is set; ConfigError for a limit that this version would not hold."""
    for name in (*_LISTS, *_NUMBERS, *(f"no-{each}" for each in (*_LISTS, *_NUMBERS))):
        if options.get(name.replace("-", "_")) not in (None, ()):
            raise ConfigError(
                f"--{name} is not enforced by this version, so it is refused",
                hint="--read-only, --confirm-deletes and --keep-values are enforced",
            )
    return {name: options[name] for name in _ENFORCED if options.get(name) is not None}
