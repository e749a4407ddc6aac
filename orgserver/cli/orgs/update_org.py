"""``orgserver update-org``: rename, limit or disable an org, or log in to it again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import click

from orgserver.cli import completion
from orgserver.cli.confirmation import agree_guarded
from orgserver.cli.orgs import enrolment, org_details
from orgserver.cli.orgs.credential_options import api_version_of, credential_options, read_registration
from orgserver.cli.orgs.identity_options import IdentityCommand, identity_options, read_identity
from orgserver.cli.orgs.org_details import details_of
from orgserver.cli.output import plain, print_json, safe, tell, warn
from orgserver.cli.policies.limit_texts import change_lines, loosening_lines
from orgserver.cli.policies.options import changed_policy_options, read_edit, warn_of_contradictions
from orgserver.cli.policies.unknown_names import warn_of_unknown
from orgserver.cli.process import app_of, local_principal, operator, run, settings_of
from orgserver.config import Settings
from orgserver.model import names
from orgserver.model.access.policies import Policy, option
from orgserver.model.access.policy_edits import PolicyEdit
from orgserver.model.orgs import Caller, Credential, Org
from orgserver.services.orgs.identities import IdentityChange, loosens

if TYPE_CHECKING:
    from orgserver.app import App
    from orgserver.services.orgs.enrolment import Enrolled

_NEED_AUTH = (
    "login_url", "test_org", "instance_url", "client_id", "api_version", "username", "jwt_key_file", "audience",
    "callback_url", "env_file", "credentials_stdin", "sfdx_url_stdin", "from_sf_cli", "trust_host",
)  # fmt: skip


@click.command(
    "update-org",
    cls=IdentityCommand,
    epilog="Examples:\n\n  orgserver update-org acme --rename acme-eu --read-only\n\n"
    "  orgserver update-org acme --auth web (logs in again, to the same org)\n\n"
    "  orgserver update-org acme --identity own (each principal logs in: orgserver connect-org acme)",
)
@click.argument("alias", shell_complete=completion.aliases)
@click.option("--rename", metavar="NEW", help="A new alias; everything else stays.")
@click.option("--disable/--enable", default=None, help="Refuse every call, or take them again.")
@click.option("--tag", "tags", multiple=True, metavar="NAME", help="Words to find the org by, instead of those it has.")
@click.option("--no-tags", is_flag=True, help="Take all tags away.")
@credential_options
@identity_options
@changed_policy_options
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def update_org(alias: str, as_json: bool, **options: Any) -> None:
    """Rename, enable, disable or limit an org, or log in to it again. Running servers see it at once.

    Limits and the identity bind the org by whatever alias, also after it was removed and added again. Taking a limit
    away (--no-…), or going back from own logins to the shared one, needs a person at a terminal, with a one-time code
    where one is set up (orgserver approvals setup).

    With --auth the org gets a new credential, which must be of the same org; what is not given again stays as it is,
    and the old refresh token is revoked at Salesforce where that cannot touch the new one.
    """
    changes = _changes(options)
    stray = next((name for name in _NEED_AUTH if options[name]), None)
    if stray and not options["auth"]:
        raise click.UsageError(f"--{stray.replace('_', '-')} changes the credential, so it needs --auth")
    identifies = options["identity"] or options["username_from"]
    if not changes and not options["auth"] and not identifies:
        raise click.UsageError("nothing to change; see --help")
    api_version_of(options)
    settings = settings_of()
    caller, policy, identity = run(_permission(settings, alias, changes.get("policy"), options))
    if identity is not None and not options["auth"]:
        changes["identity"] = identity
    enrolled = _log_in_again(settings, alias, options, identity) if options["auth"] else None
    before, after, twins = run(_change(settings, caller, alias, changes, policy)) if changes else (None, None, ())
    if enrolled is not None:
        enrolment.show(replace(enrolled, org=after or enrolled.org), as_json=as_json)
    if after is not None and before is not None and (enrolled is None or not as_json):
        _show(before, after, twins, identity, as_json=as_json)
    if after is not None and before is not None and after.alias != before.alias:
        org_details.tell_of_clients(before.alias)
    if after is not None and before is not None and after.identity != before.identity:
        org_details.tell_of_callbacks(after)
    if changes.get("policy") and twins:
        tell(enrolment.same_limits(twins))


def _show(
    before: Org, after: Org, twins: Sequence[names.Alias], identity: IdentityChange | None, *, as_json: bool
) -> None:
    """Say what is another than it was, old and new; or that nothing is."""
    changes = org_details.changes(before, after)
    if as_json:
        print_json(details_of(after) | {"also_known_as": list(twins), "changed": changes})
        return
    for change in org_details.own_changes(before, after):
        name = change["field"]
        click.echo(f"{after.alias}: {name} {plain(change['from']) or 'none'} → {plain(change['to']) or 'none'}")
    for line in change_lines(before.policy, after.policy):
        click.echo(safe(f"{after.alias}: {line}"))
    usernames = identity.usernames if identity is not None else None
    if usernames is not None:
        click.echo(f"{after.alias}: the map of usernames names {len(usernames)} now")
    elif not changes:
        now = ", ".join((after.visible_state.value, *after.policy.limits))
        click.echo(f"{after.alias}: nothing changed, it is so already ({now})")


def _changes(options: dict[str, Any]) -> dict[str, Any]:
    """What is to be changed beside the credential."""
    try:
        rename = names.alias(options["rename"]) if options["rename"] else None
    except ValueError as error:
        raise click.UsageError(str(error)) from None
    changes = {
        "rename": rename,
        "enabled": None if options["disable"] is None else not options["disable"],
        "policy": read_edit(options) or None,
        "tags": () if options["no_tags"] else (tuple(options["tags"]) or None),
    }
    return {name: value for name, value in changes.items() if value is not None}


async def _permission(
    settings: Settings, alias: str, edit: PolicyEdit | None, options: dict[str, Any]
) -> tuple[Caller, Policy | None, IdentityChange | None]:
    """Ask a person before a limit is taken away or widened, or more people act as one user.

    Who changes the org, the limits that were judged, and whose login its calls are to use.
    """
    if edit is None and not any(options[name] for name in ("identity", "username_from", "auth")):
        return operator(), None, None
    async with app_of(settings) as app:
        org = await app.registry.one(alias)
        identity = read_identity(options, settings, org)
        questions = _identity_questions(org, identity, options)
        policy = org.policy if edit is not None else None
        if edit is not None:
            questions += _limit_questions(org, edit)
        if not questions:
            return operator(), policy, identity
        also = "".join(f", {twin}" for twin in await app.registry.twins(org))
        question = f"Loosen the limits of {org.alias}{also} ({org.name}, {org.org_id}): {'; '.join(questions)}?"
        caller = await agree_guarded(app, "update-org", question, undone=f"{org.alias} was not changed")
        return caller, policy, identity


def _identity_questions(org: Org, change: IdentityChange | None, options: dict[str, Any]) -> list[str]:
    """What a person is asked of whose login is used; what does not go together is refused before."""
    if change is None:
        return []
    after, _ = change.apply(org, options["auth"])
    return [f"identity {org.identity} → {after}"] if loosens(org.identity, after) else []


def _limit_questions(org: Org, edit: PolicyEdit) -> list[str]:
    """The same of limits."""
    for name, items in edit.absent_from(org.policy).items():
        warn(f"{org.alias}: {option(name)} does not name {', '.join(items)}, so nothing is taken away there")
    after = edit.apply(org.policy)
    warn_of_contradictions(edit, org.policy, after)
    return loosening_lines(org.policy, after) if org.policy.loosened_by(after) else []


async def _change(
    settings: Settings, caller: Caller, alias: str, changes: dict[str, Any], policy: Policy | None
) -> tuple[Org, Org, tuple[names.Alias, ...]]:
    """The org as it was, as it is, and its other aliases."""
    async with app_of(settings) as app:
        before = await app.registry.one(alias)
        org = await app.registry.update(caller, alias, seen=policy, **changes)
        if "policy" in changes:
            await warn_of_unknown(app, org, org.policy, before.policy)
        if "identity" in changes:
            await _warn_of_strangers(app, org, changes["identity"])
        return before, org, await app.registry.twins(org)


async def _warn_of_strangers(app: App, org: Org, change: IdentityChange) -> None:
    """Say whom a map of usernames names that nobody here is: a name that was mistyped, or is still to be added."""
    known = {each.name for each in await app.people.principals.all()} if change.usernames else set()
    strangers = sorted(set(change.usernames or ()) - known - {local_principal()})
    if strangers:
        warn(f"{org.alias}: the map names {', '.join(strangers)}, and no principal is called so (list-principals)")


def _log_in_again(settings: Settings, alias: str, options: dict[str, Any], identity: IdentityChange | None) -> Enrolled:
    org, stored = run(_stored(settings, alias))
    registration = read_registration(options, org.alias, policy=Policy(), org=org, stored=stored)
    return run(enrolment.enrol(settings, replace(registration, identity=identity)))


async def _stored(settings: Settings, alias: str) -> tuple[Org, Credential | None]:
    async with app_of(settings) as app:
        return await app.registry.credential(alias)
