"""Which entries of the audit log a command is about: the options that commands share, and how people write times.

A time is ISO 8601, or ``7d``, ``12h``, ``30m`` before now.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, TypeVar

import click

from orgserver.cli import completion
from orgserver.cli.output import warn
from orgserver.model import names
from orgserver.model.audit import Action, EntryFilter
from orgserver.model.times import read_moment

if TYPE_CHECKING:
    from orgserver.app import App

F = TypeVar("F", bound=Callable[..., Any])
_ACTIONS = tuple(each.value for each in Action)
_BEGINNING = re.compile(r"(?=\D{0,2}\d)[0-9A-Za-z]{4,14}")
"""Of a record's id; its first three characters, one of them a digit, say only of which object it is."""
_OUTCOMES = ("pending", "succeeded", "rejected", "denied", "not_sent", "unknown")


def parse_time(_ctx: click.Context, option: click.Parameter, text: str | None) -> datetime | None:
    """Read a time; a time without an offset is UTC. Wrong usage names the option."""
    if text is None:
        return None
    try:
        return read_moment(text, datetime.now(UTC))
    except ValueError as error:
        raise click.BadParameter(str(error), param=option) from None


org_option = click.option("--org", metavar="ALIAS", help="Only this org.", shell_complete=completion.aliases)
principal_option = click.option(
    "--principal", metavar="NAME", help="Only this principal.", shell_complete=completion.principals
)
decision_option = click.option(
    "--decision",
    metavar="RULE",
    help="Only what this rule denied, or one that begins so: policy:, policy:hide-field Contact.Email.",
)


def filters(command: F) -> F:
    """Give a command the options that choose entries."""
    options = (
        click.option(
            "--since",
            callback=parse_time,
            metavar="TIME",
            help="From then on: ISO 8601, or 7d, 12h, 30m ago.",
        ),
        click.option("--until", callback=parse_time, metavar="TIME", help="Before then."),
        org_option,
        principal_option,
        click.option("--tool", metavar="NAME", help="Only this tool."),
        click.option(
            "--action",
            type=click.Choice(_ACTIONS, case_sensitive=False),
            metavar="NAME",
            help="Only this action, such as create, update, delete or query.",
        ),
        click.option("--object", "object_", metavar="NAME", help="Only this Salesforce object."),
        click.option("--record-id", metavar="ID", help="Only entries that touched this record."),
        click.option("--outcome", type=click.Choice(_OUTCOMES), help="Only this outcome."),
        decision_option,
    )
    for option in reversed(options):
        command = option(command)
    return command


class OneName(click.Option):
    """An option that is shown by its first name and still taken by those it had before."""

    def get_help_record(self, ctx: click.Context) -> tuple[str, str] | None:
        """The line of the help."""
        every, self.opts = self.opts, self.opts[:1]
        try:
            return super().get_help_record(ctx)
        finally:
            self.opts = every


def record_id(text: str | None) -> str | None:
    """A record's id, or the beginning of one; BadParameter for anything else."""
    if text is None or _BEGINNING.fullmatch(text):
        return text
    try:
        return names.record_id(text)
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="--record-id") from None


async def resolve(app: App, criteria: EntryFilter) -> EntryFilter:
    """The filter with a whole record id; an alias that no org has is told of."""
    warn_of_alias(criteria.org, (await app.access.catalog()).by_alias)
    return replace(criteria, record_id=await whole_record(app, criteria.record_id))


async def whole_record(app: App, text: str | None) -> str | None:
    """The one record id in the log that begins so; OperatorError if there is none, or several are."""
    if text is None or not _BEGINNING.fullmatch(text):
        return text
    return await app.audit_log.find_record_id(text)


def warn_of_alias(alias: str | None, aliases: Collection[str]) -> None:
    """Say that no org is called so, which may be why little or nothing is found."""
    if alias is None or alias.lower() in aliases:
        return
    near = names.nearest(alias.lower(), aliases)
    warn(f"no org is registered as {alias}" + (f"; did you mean {near}?" if near else ""))


def read_criteria(options: dict[str, Any]) -> EntryFilter:
    """The filter that such options say."""
    if options["since"] and options["until"] and options["until"] <= options["since"]:
        raise click.UsageError("--until is not after --since")
    return EntryFilter(
        since=options["since"],
        until=options["until"],
        org=options["org"],
        principal=options["principal"],
        tool=options["tool"],
        action=options["action"],
        object=options["object_"],
        record_id=record_id(options["record_id"]),
        outcome=options["outcome"],
        decision=options["decision"],
    )
