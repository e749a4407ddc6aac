"""The commands about groups."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from orgserver.cli import completion
from orgserver.cli.confirmation import agree
from orgserver.cli.output import print_json, safe, tell
from orgserver.cli.people.details import (
    change_details,
    grant_lines,
    group_details,
    names_and_by_claim,
    warn_of_nothing,
)
from orgserver.cli.people.options import grant_options, read_grant_changes, revoke_option, split_names
from orgserver.cli.process import app_of, app_to_read, operator, run, settings_of
from orgserver.cli.tables import print_table, wide_option

if TYPE_CHECKING:
    from orgserver.services.people.groups import GroupUpdate
    from orgserver.services.people.requests import GroupChanges
    from orgserver.store.people.records import GroupRecord

_CLAIM = "Let the identity provider fill it: with those whose groups claim holds this value."
_MEMBER = "A principal in it. Repeatable."


@click.command(
    "add-group",
    epilog="Examples:\n\n  orgserver add-group emea --member ada,bob --grant 'emea-*:read,write'\n\n"
    "  orgserver add-group readers --claim Salesforce-Readers --grant '*:read'",
)
@click.argument("name")
@click.option("--claim", metavar="VALUE", help=_CLAIM)
@click.option(
    "--member", "members", multiple=True, metavar="NAME", callback=split_names, help=_MEMBER,
    shell_complete=completion.registered_principals,
)  # fmt: skip
@grant_options
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def add_group(name: str, as_json: bool, **options: Any) -> None:
    """Add a group: principals that share grants. It holds principals only, never groups."""
    changes = _changes(options)

    async def act() -> GroupUpdate:
        async with app_of(settings_of()) as app:
            return await app.people.groups.add(operator(), name, changes)

    update = run(act())
    if as_json:
        print_json(_after(update))
    else:
        click.echo(f"{name}: added")
        _print_grants(_after(update))
    warn_of_nothing(update.selectors_of_nothing)


@click.command("list-groups", epilog="Example: orgserver list-groups --json")
@wide_option
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def list_groups(wide: bool, as_json: bool) -> None:
    """List the groups, their members and what they are granted."""

    async def act() -> list[GroupRecord]:
        async with app_to_read(settings_of()) as app:
            return await app.people.groups.all()

    every = [group_details(record) for record in run(act())]
    if as_json:
        print_json(every)
        return
    if not every:
        tell("There is no group yet. Add one with: orgserver add-group NAME")
        return
    rows = [
        (
            each["name"],
            each["claim"],
            names_and_by_claim(each["members"], each["claim_members"]),
            "; ".join(grant_lines(each)),
            each["created_at"],
        )
        for each in every
    ]
    print_table(("group", "claim", "members", "grants", "since"), rows, spare=("since", "claim"), wide=wide)


@click.command(
    "update-group",
    epilog="Examples:\n\n  orgserver update-group emea --member carol --no-member bob\n\n"
    "  orgserver update-group emea --grant 'emea-*:read' --revoke acme",
)
@click.argument("name", shell_complete=completion.groups)
@click.option("--claim", metavar="VALUE", help=_CLAIM)
@click.option("--no-claim", is_flag=True, help="Fill it by hand from now on.")
@click.option(
    "--member", "members", multiple=True, metavar="NAME", callback=split_names, help=_MEMBER,
    shell_complete=completion.registered_principals,
)  # fmt: skip
@click.option(
    "--no-member", "no_members", multiple=True, metavar="NAME", callback=split_names,
    help="A principal to be taken out. Repeatable.", shell_complete=completion.registered_principals,
)  # fmt: skip
@grant_options
@revoke_option
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def update_group(name: str, as_json: bool, **options: Any) -> None:
    """Change who is in a group, and what it is granted. Running servers see it with the next call."""
    changes = _changes(options)
    if not any((changes.members, changes.no_members, changes.grants.grants, changes.grants.revoked)) and (
        changes.claim is None
    ):
        raise click.UsageError("nothing to change; see --help")

    async def act() -> GroupUpdate:
        async with app_of(settings_of()) as app:
            return await app.people.groups.update(operator(), name, changes)

    update = run(act())
    details = change_details(update)
    if as_json:
        print_json(_after(update) | {"changed": details})
    else:
        for each in details:
            click.echo(safe(f"{name}: {each['field']} {each['from']} → {each['to']}"))
        if not details:
            click.echo(f"{name}: nothing changed, it is so already")
    warn_of_nothing(update.selectors_of_nothing)


@click.command("remove-group", epilog="Example: orgserver remove-group emea --yes")
@click.argument("name", shell_complete=completion.groups)
@click.option("--yes", is_flag=True, help="Do not ask.")
def remove_group(name: str, yes: bool) -> None:
    """Remove a group: its members lose what it is granted, and stay."""

    async def act() -> None:
        async with app_of(settings_of()) as app:
            record = await app.people.groups.one(name)
            if not yes:
                question = f"Remove the group {name} ({len(record.every_member)} members, {len(record.grants)} grants)?"
                agree(question, undone=f"{name} was not removed")
            await app.people.groups.remove(operator(), name)

    run(act())
    click.echo(f"{name}: removed")


def _changes(options: dict[str, Any]) -> GroupChanges:
    from orgserver.services.people.requests import GroupChanges  # noqa: PLC0415  # a shell that completes waits not

    claim, no_claim = options["claim"], options.get("no_claim")
    if claim is not None and no_claim:
        raise click.UsageError("--claim and --no-claim at once")
    if claim == "":
        raise click.UsageError("--claim: give a value")
    members, no_members = options["members"], options.get("no_members") or ()
    both = set(members) & set(no_members)
    if both:
        raise click.UsageError(f"--member and --no-member at once for {min(both)}")
    return GroupChanges("" if no_claim else claim, members, no_members, read_grant_changes(options))


def _after(update: GroupUpdate) -> dict[str, Any]:
    assert update.after is not None  # noqa: S101  # it was added or changed
    return group_details(update.after)


def _print_grants(details: dict[str, Any]) -> None:
    for line in grant_lines(details):
        click.echo(safe(f"  {line}"))
