"""The commands about principals. A new API key is printed once, alone on standard output."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from orgserver.cli import completion
from orgserver.cli.confirmation import agree, agree_guarded
from orgserver.cli.output import print_facts, print_json, safe, tell
from orgserver.cli.people import details
from orgserver.cli.people.options import grant_options, parse_end, read_grant_changes, revoke_option, split_names
from orgserver.cli.policies.limit_texts import limit_lines, loosening_lines
from orgserver.cli.policies.options import changed_policy_options, policy_options, read_edit
from orgserver.cli.process import app_of, app_to_read, operator, run, settings_of
from orgserver.cli.tables import print_table, wide_option
from orgserver.model.access.policies import Policy
from orgserver.model.text import count_of

if TYPE_CHECKING:
    from orgserver.app import App
    from orgserver.model.orgs import Caller
    from orgserver.services.people.principals import PrincipalUpdate
    from orgserver.services.people.requests import PrincipalChanges
    from orgserver.store.people.records import GroupRecord

_ROLES = ("auditor", "admin")
_KIND = click.option(
    "--kind", type=click.Choice(("person", "service")), help="Who it is: a person (unless said), or a service."
)
_GROUP = click.option(
    "--group", "groups", multiple=True, metavar="NAME", callback=split_names,
    help="A group to be in, with its grants. Repeatable.", shell_complete=completion.groups,
)  # fmt: skip
_ROLE = click.option(
    "--role", "roles", multiple=True, type=click.Choice(_ROLES),
    help="auditor: reads the audit log, sees no data. admin: administers. Repeatable.",
)  # fmt: skip
_SUBJECT = click.option(
    "--subject", "subjects", multiple=True, nargs=2, metavar="ISSUER SUBJECT",
    help="Who it is for an identity provider: the URL of the issuer, and its subject there. Repeatable.",
)  # fmt: skip
_KEY_UNTIL = click.option(
    "--key-until", metavar="DATE", callback=parse_end, help="When the new API key ends, in the forms of --until."
)


@click.command(
    "add-principal",
    epilog="Examples:\n\n  orgserver add-principal ada --grant acme:read,write --grant tag:eu:read --until 90d\n\n"
    "  orgserver add-principal nightly --kind service --group emea --key-until 90d > key.txt",
)
@click.argument("name")
@_KIND
@_GROUP
@grant_options
@_ROLE
@_SUBJECT
@_KEY_UNTIL
@policy_options
@click.option("--no-key", is_flag=True, help="Make no API key now.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON, the key in it.")
def add_principal(name: str, as_json: bool, no_key: bool, **options: Any) -> None:
    """Add a principal: who may call over a network, or by serve --principal. It sees the orgs it is granted, no other.

    Its API key is printed once, alone on standard output; only a digest of it is kept. Limits (--read-only and its
    like) are its own: they bind it in every org, beside those of the org.
    """
    if no_key and options["key_until"]:
        raise click.UsageError("--key-until and --no-key at once")
    changes = _changes(options, new_key=not no_key)

    async def act() -> tuple[PrincipalUpdate, dict[str, GroupRecord]]:
        async with app_of(settings_of()) as app:
            update = await app.people.principals.add(operator(), name, changes)
            return update, {group.name: group for group in await app.people.groups.all()}

    update, groups = run(act())
    if as_json:
        print_json(_after(update, groups) | _key_facts(update))
    else:
        tell(f"{name}: added", *(f"  {line}" for line in details.grant_lines(_after(update, groups))))
        if not _after(update, groups)["grants"]:
            tell(f"It has no grant yet, so it sees no org: orgserver update-principal {name} --grant ALIAS:read")
        _show_key(update)
    details.warn_of_nothing(update.selectors_of_nothing)


@click.command("list-principals", epilog="Example: orgserver list-principals --json")
@wide_option
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def list_principals(wide: bool, as_json: bool) -> None:
    """List the principals, what they are granted, and when their keys were last used."""

    async def act() -> list[dict[str, Any]]:
        async with app_to_read(settings_of()) as app:
            groups = {group.name: group for group in await app.people.groups.all()}
            names, records = await app.sessions().names(), await app.people.principals.all()
            return [details.principal_details(each, groups) | {"person": names.get(each.name)} for each in records]

    every = run(act())
    if as_json:
        print_json(every)
    elif every:
        print_table(
            ("principal", "person", "kind", "state", "roles", "groups", "grants", "keys", "last use"),
            list(map(_row, every)),
            spare=("roles", "kind", "last use", "keys", "person"),
            wide=wide,
        )
    else:
        tell("There is no principal yet. Add one with: orgserver add-principal NAME")


def _row(each: dict[str, Any]) -> tuple[object, ...]:
    active = [key for key in each["keys"] if key["state"] == "active"]
    last_use = max((key["last_used_at"] for key in each["keys"] if key["last_used_at"]), default=None)
    return (
        each["name"],
        each["person"] or next((subject["subject"] for subject in each["subjects"]), None),
        each["kind"],
        "enabled" if each["enabled"] else "disabled",
        ", ".join(each["roles"]),
        details.names_and_by_claim(each["groups"], each["claim_groups"]),
        "; ".join(details.grant_lines(each)),
        len(active) or None,
        details.readable_time(last_use) if last_use else None,
    )


@click.command("show-principal", epilog="Example: orgserver show-principal ada")
@click.argument("name", shell_complete=completion.registered_principals)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def show_principal(name: str, as_json: bool) -> None:
    """Show all that is known of a principal: grants, its groups' too, and its keys, but not their text."""

    async def act() -> dict[str, Any]:
        async with app_to_read(settings_of()) as app:
            groups = {group.name: group for group in await app.people.groups.all()}
            person = (await app.sessions().names()).get(name)
            return details.principal_details(await app.people.principals.one(name), groups) | {"person": person}

    facts = run(act())
    if as_json:
        print_json(facts)
        return
    lists = {"grants": map(details.grant_line, facts["grants"]), "keys": map(details.key_line, facts["keys"])}
    subjects = [f"{each['subject']} of {each['issuer']}" for each in facts["subjects"]]
    words: dict[str, object] = {"subjects": subjects, "limits": limit_lines(Policy.read(facts["limits"]))}
    words["groups"] = details.names_and_by_claim(facts["groups"], facts.pop("claim_groups"))
    print_facts({name: value for name, value in facts.items() if name not in lists} | words)
    for heading, lines in lists.items():
        click.echo(heading)
        for line in lines:
            click.echo(safe(f"  {line}"))


@click.command(
    "update-principal",
    epilog="Examples:\n\n  orgserver update-principal ada --grant globex:read --revoke 'emea-*'\n\n"
    "  orgserver update-principal nightly --new-key --key-until 90d > key.txt (then --revoke-key the old one)",
)
@click.argument("name", shell_complete=completion.registered_principals)
@click.option("--disable/--enable", default=None, help="Let it do nothing, or what it is granted again.")
@_KIND
@_GROUP
@click.option(
    "--no-group", "no_groups", multiple=True, metavar="NAME", callback=split_names,
    help="A group to be in no longer. Repeatable.", shell_complete=completion.groups,
)  # fmt: skip
@grant_options
@revoke_option
@_ROLE
@click.option("--no-role", "no_roles", multiple=True, type=click.Choice(_ROLES), help="A role to have no longer.")
@_SUBJECT
@click.option(
    "--no-subject", "no_subjects", multiple=True, nargs=2, metavar="ISSUER SUBJECT",
    help="Who it is no longer for an identity provider.",
)  # fmt: skip
@click.option("--new-key", is_flag=True, help="Make one more API key; the others stay until they end or are revoked.")
@_KEY_UNTIL
@click.option(
    "--revoke-key", "revoked_keys", multiple=True, metavar="ID", help="End a key now, by its id or its beginning."
)
@changed_policy_options
@click.option("--json", "as_json", is_flag=True, help="Print JSON, a new key in it.")
def update_principal(name: str, as_json: bool, new_key: bool, **options: Any) -> None:
    """Change what a principal may do, or its API keys. Running servers see it with the next call.

    A new key is printed once, alone on standard output; what else was changed is said on standard error then. Limits
    are its own; taking one away needs a person at a terminal, as it does for an org.
    """
    if options["key_until"] and not new_key:
        raise click.UsageError("--key-until is the end of the key that --new-key makes")
    changes = _changes(options, new_key=new_key)
    if changes == _changes({}, new_key=False):
        raise click.UsageError("nothing to change; see --help")

    async def act() -> tuple[PrincipalUpdate, dict[str, GroupRecord]]:
        async with app_of(settings_of()) as app:
            caller, seen = await _permission(app, name, changes)
            update = await app.people.principals.update(caller, name, changes, seen=seen)
            return update, {group.name: group for group in await app.people.groups.all()}

    update, groups = run(act())
    if as_json:
        print_json(_after(update, groups) | _what_changed(update) | _key_facts(update))
    else:
        lines = [f"{name}: {each['field']} {each['from']} → {each['to']}" for each in details.change_details(update)]
        lines += [f"{name}: session {each} has ended" for each in update.ended_sessions]
        for line in lines or [f"{name}: nothing changed, it is so already"]:
            click.echo(safe(line), err=update.key is not None)
        _show_key(update)
    details.warn_of_nothing(update.selectors_of_nothing)


@click.command("remove-principal", epilog="Example: orgserver remove-principal ada --yes")
@click.argument("name", shell_complete=completion.registered_principals)
@click.option("--yes", is_flag=True, help="Do not ask.")
def remove_principal(name: str, yes: bool) -> None:
    """Remove a principal with its grants and API keys. Its audit entries stay."""

    async def act() -> None:
        async with app_of(settings_of()) as app:
            record = await app.people.principals.one(name)
            if not yes:
                holdings = f"{count_of(len(record.grants), 'grant')}, {count_of(len(record.keys), 'key')}"
                question = f"Remove {name} ({holdings})?"
                agree(question, undone=f"{name} was not removed")
            await app.people.principals.remove(operator(), name)

    run(act())
    click.echo(f"{name}: removed")


def _changes(options: dict[str, Any], *, new_key: bool) -> PrincipalChanges:
    from orgserver.model.access.principals import Subject  # noqa: PLC0415  # a shell that completes waits for none of it
    from orgserver.services.people.requests import KeyChanges, PrincipalChanges  # noqa: PLC0415  # as above

    for name in ("group", "role", "subject"):
        both = set(options.get(f"{name}s") or ()) & set(options.get(f"no_{name}s") or ())
        if both:
            raise click.UsageError(f"--{name} and --no-{name} at once for {min(both)}")
    disable = options.get("disable")
    subjects, no_subjects = (
        tuple(Subject(*pair) for pair in options.get(name) or ()) for name in ("subjects", "no_subjects")
    )
    return PrincipalChanges(
        kind=options.get("kind"),
        enabled=None if disable is None else not disable,
        roles=tuple(options.get("roles") or ()),
        no_roles=tuple(options.get("no_roles") or ()),
        groups=options.get("groups") or (),
        no_groups=options.get("no_groups") or (),
        subjects=subjects,
        no_subjects=no_subjects,
        limits=read_edit(options),
        grants=read_grant_changes(options),
        keys=KeyChanges(new_key, options.get("key_until"), tuple(options.get("revoked_keys") or ())),
    )


async def _permission(app: App, name: str, changes: PrincipalChanges) -> tuple[Caller, Policy | None]:
    """Ask a person before a limit is taken away or widened: who does it, and the limits that were judged."""
    if not changes.limits:
        return operator(), None
    before = (await app.people.principals.one(name)).limits
    after = changes.limits.apply(before)
    if not before.loosened_by(after):
        return operator(), before
    question = f"Loosen the limits of {name}: {'; '.join(loosening_lines(before, after))}?"
    caller = await agree_guarded(app, "update-principal", question, undone=f"{name} was not changed")
    return caller, before


def _after(update: PrincipalUpdate, groups: dict[str, GroupRecord]) -> dict[str, Any]:
    assert update.after is not None  # noqa: S101  # it was added or changed
    return details.principal_details(update.after, groups)


def _what_changed(update: PrincipalUpdate) -> dict[str, Any]:
    return {"changed": details.change_details(update), "ended_sessions": list(update.ended_sessions)}


def _key_facts(update: PrincipalUpdate) -> dict[str, str]:
    return {"key": update.key.text.reveal(), "key_id": update.key.id} if update.key is not None else {}


def _show_key(update: PrincipalUpdate) -> None:
    """Print a new key: the one time that anybody can read it."""
    if update.key is not None:
        tell(f"API key {update.key.id}, shown this once:")
        click.echo(update.key.text.reveal())
