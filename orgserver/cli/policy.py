"""The options that limit an org, and what this version makes of each."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click

from orgserver.model.errors import ConfigError

F = TypeVar("F", bound=Callable[..., Any])
_FLAGS = ("confirm-deletes",)
_KEEP = "Keep, sealed, what changes replace, so that `audit undo` can restore it."
_LISTS = ("allow-object", "deny-object", "hide-field")
_NUMBERS = ("row-limit", "api-budget")


def policy_options(command: F) -> F:
    """The options of add-org."""
    return _later(
        click.option("--read-only", is_flag=True, help="Refuse every change in this org, for everybody.")(
            click.option("--keep-values/--no-keep-values", default=None, help=_KEEP)(command)
        )
    )


def changed_policy_options(command: F) -> F:
    """The options of update-org, each with its ``--no-…`` form."""
    for name in (*_LISTS, *_NUMBERS):
        command = click.option(f"--no-{name}", is_flag=True, default=None, hidden=True)(command)
    return _later(
        click.option("--read-only/--no-read-only", default=None, help="Refuse every change in this org.")(
            click.option("--keep-values/--no-keep-values", default=None, help=_KEEP)(command)
        )
    )


def _later(command: F) -> F:
    """What the contract names and this version does not enforce: taken, to be refused in one line."""
    for name in _FLAGS:
        command = click.option(f"--{name}/--no-{name}", default=None, hidden=True)(command)
    for name in _LISTS:
        command = click.option(f"--{name}", multiple=True, hidden=True)(command)
    for name in _NUMBERS:
        command = click.option(f"--{name}", hidden=True)(command)
    return command


def policy_of(options: dict[str, Any]) -> dict[str, Any]:
    """What is set; ConfigError for a limit that this version would not hold."""
    for name in (*_FLAGS, *_LISTS, *_NUMBERS, *(f"no-{each}" for each in (*_LISTS, *_NUMBERS))):
        if options.get(name.replace("-", "_")) not in (None, ()):
            raise ConfigError(
                f"--{name} is not enforced by this version, so it is refused",
                hint="--read-only and --keep-values are enforced",
            )
    return {name: options[name] for name in ("read_only", "keep_values") if options.get(name) is not None}
