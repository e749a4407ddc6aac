"""Which entries of the audit log a command is about: the options that commands share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click

from orgserver.cli import spans
from orgserver.model import names
from orgserver.model.audit import Action, EntryFilter

F = TypeVar("F", bound=Callable[..., Any])
_ACTIONS = (*(each.value for each in Action), "grant", "auth_failed")
_OUTCOMES = ("pending", "succeeded", "rejected", "denied", "not_sent", "unknown")


def filters(command: F) -> F:
    """Give a command the options that choose entries."""
    options = (
        click.option(
            "--since", callback=spans.moment, metavar="TIME", help="From then on: ISO 8601, or 7d, 12h, 30m ago."
        ),
        click.option("--until", callback=spans.moment, metavar="TIME", help="Before then."),
        click.option("--org", metavar="ALIAS", help="Only this org."),
        click.option("--principal", metavar="NAME", help="Only this principal."),
        click.option("--tool", metavar="NAME", help="Only this tool."),
        click.option(
            "--action",
            type=click.Choice(_ACTIONS, case_sensitive=False),
            metavar="NAME",
            help="create, read, update, delete, list, query, …",
        ),
        click.option("--object", "object_", metavar="NAME", help="Only this Salesforce object."),
        click.option("--record-id", metavar="ID", help="Only entries that touched this record."),
        click.option("--outcome", type=click.Choice(_OUTCOMES), help="Only this outcome."),
    )
    for option in reversed(options):
        command = option(command)
    return command


def wanted_of(given: dict[str, Any]) -> EntryFilter:
    """The filter that such options say."""
    if given["since"] and given["until"] and given["until"] <= given["since"]:
        raise click.UsageError("--until is not after --since")
    record_id = given["record_id"]
    if record_id is not None:
        try:
            record_id = names.record_id(record_id)
        except ValueError as error:
            raise click.BadParameter(str(error), param_hint="--record-id") from None
    return EntryFilter(
        since=given["since"],
        until=given["until"],
        org=given["org"],
        principal=given["principal"],
        tool=given["tool"],
        action=given["action"],
        object=given["object_"],
        record_id=record_id,
        outcome=given["outcome"],
    )
