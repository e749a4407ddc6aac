"""The commands about registered orgs."""

from __future__ import annotations

import asyncio
import sys
from datetime import UTC, datetime
from typing import Any

import click

from orgserver.cli.policy import changed_policy_options, policy_of
from orgserver.cli.support import (
    Failure,
    app_of,
    operator,
    print_facts,
    print_json,
    print_table,
    report,
    run,
    safe,
    settings_of,
    tell,
    warn,
)
from orgserver.model import names
from orgserver.model.errors import ConfigError
from orgserver.model.orgs import Org
from orgserver.services import directory, keepalive

_AT_ONCE = 16
_NO_ORGS = "No org is registered yet. Add one with: orgserver add-org ALIAS"


def told_of(org: Org) -> dict[str, Any]:
    """Everything about an org that is no secret."""
    return {
        "alias": org.alias,
        "org": org.alias,
        "org_id": org.org_id,
        "name": org.name,
        "kind": org.kind,
        "edition": org.edition,
        "state": directory.state(org).value,
        "cause": org.cause,
        "problem": directory.problem(org),
        "user": {"id": org.user.id, "username": org.user.username, "time_zone": org.user.time_zone}
        if org.user
        else None,
        "login_url": org.login_url,
        "instance_url": org.instance_url,
        "trust_hosts": list(org.trusted_hosts),
        "api_version": org.api_version,
        "auth": "refresh-token",
        "read_only": org.policy.read_only,
        "confirm_deletes": org.policy.confirm_deletes,
        "tags": list(org.tags),
        "source": org.source,
        "created_at": _iso(org.created_at),
        "refreshed_at": _iso(org.refreshed_at),
        "token_dies_at": _iso(keepalive.dies_at(org)),
    }


@click.command("list-orgs", epilog="Example: orgserver list-orgs --json")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def list_orgs(as_json: bool) -> None:
    """List the registered orgs, their states and when each token was last refreshed."""

    async def act() -> list[Org]:
        async with app_of(settings_of()) as app:
            return await app.enrolment.all()

    orgs = run(act())
    if as_json:
        print_json([told_of(org) for org in orgs])
        return
    if not orgs:
        tell(_NO_ORGS)
        return
    print_table(
        ("org", "org id", "name", "kind", "state", "user", "instance", "limits", "tags", "last refresh"),
        [
            (
                org.alias,
                org.org_id,
                org.name,
                org.kind,
                directory.state(org).value,
                org.user.username if org.user else None,
                org.instance_url.partition("://")[2],
                "read-only" if org.policy.read_only else None,
                " ".join(org.tags),
                _ago(org.refreshed_at),
            )
            for org in orgs
        ],
        spare=("instance", "org id", "tags", "limits", "last refresh", "kind"),
    )
    for org in orgs:
        if org.problem is not None:
            tell(f"{org.alias}: {org.problem.code} since {org.problem.since:%Y-%m-%d %H:%M} UTC. {org.problem.hint}")
        end = keepalive.dies_at(org)
        if end is not None and end - datetime.now(UTC) <= keepalive.LIFE - keepalive.WARN_FROM:
            warn(
                f"{org.alias}: its refresh token dies on {end:%Y-%m-%d} unless it is used; run: orgserver refresh-idle"
            )


@click.command("show-org", epilog="Example: orgserver show-org acme")
@click.argument("alias")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def show_org(alias: str, as_json: bool) -> None:
    """Show all that is known of one org, but its secrets."""

    async def act() -> Org:
        async with app_of(settings_of()) as app:
            return await app.enrolment.one(alias)

    told = told_of(run(act()))
    if as_json:
        print_json(told)
        return
    print_facts(told)


@click.command("check-org", epilog="Example: orgserver check-org acme globex")
@click.argument("aliases", nargs=-1, metavar="[ALIAS]...")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def check_org(aliases: tuple[str, ...], as_json: bool) -> None:
    """Ask orgs (all of them, if none is named) whether their credentials work. Exits 1 if one does not."""

    async def act() -> list[dict[str, Any]]:
        async with app_of(settings_of()) as app:
            wanted = aliases or tuple(org.alias for org in await app.enrolment.all())
            for alias in wanted:
                await app.enrolment.one(alias)
            turns = asyncio.Semaphore(_AT_ONCE)

            async def check(alias: str) -> dict[str, Any]:
                async with turns:
                    return _checked(await app.enrolment.check(alias))

            return await asyncio.gather(*map(check, dict.fromkeys(wanted)))

    found = run(act())
    if as_json:
        print_json(found)
    elif not found:
        tell(_NO_ORGS)
    else:
        print_table(
            ("", "org", "state", "user", "answer"),
            [("✓" if e["ok"] else "✗", e["alias"], e["state"], e["username"], e["error"] or "works") for e in found],
        )
        for each in found:
            if each["hint"]:
                tell(f"{each['alias']}: {each['hint']}")
    if not all(each["ok"] for each in found):
        raise Failure


@click.command("update-org", epilog="Example: orgserver update-org acme --rename acme-eu --read-only")
@click.argument("alias")
@click.option("--rename", metavar="NEW", help="A new alias; everything else stays.")
@click.option("--disable/--enable", default=None, help="Refuse every call, or take them again.")
@click.option("--tag", "tags", multiple=True, metavar="NAME", help="Words to find the org by, instead of those it has.")
@click.option("--no-tags", is_flag=True, help="Take all tags away.")
@click.option("--auth", hidden=True)
@changed_policy_options
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def update_org(alias: str, as_json: bool, **options: Any) -> None:
    """Rename, enable, disable or limit an org. Running servers see it at once."""
    if options["auth"]:
        report("--auth is not in this version yet", f"use: orgserver add-org {alias} --replace")
        raise Failure
    policy = policy_of(options)
    tags = () if options["no_tags"] else (tuple(options["tags"]) or None)
    if not (options["rename"] or policy or tags is not None or options["disable"] is not None):
        raise click.UsageError("nothing to change; see --help")
    try:
        rename = names.alias(options["rename"]) if options["rename"] else None
    except ValueError as error:
        raise click.UsageError(str(error)) from None

    async def act() -> Org:
        async with app_of(settings_of()) as app:
            enabled = None if options["disable"] is None else not options["disable"]
            return await app.enrolment.update(
                operator(), alias, rename=rename, enabled=enabled, policy=policy, tags=tags
            )

    org = run(act())
    if as_json:
        print_json(told_of(org))
    else:
        click.echo(f"{org.alias}: {directory.state(org).value}{', read-only' if org.policy.read_only else ''}")


@click.command("remove-org", epilog="Example: orgserver remove-org acme --yes")
@click.argument("alias")
@click.option("--keep-token", is_flag=True, help="Do not revoke the refresh token at Salesforce.")
@click.option("--yes", is_flag=True, help="Do not ask.")
def remove_org(alias: str, keep_token: bool, yes: bool) -> None:
    """Remove an org: revoke its token at Salesforce and destroy its secrets here. Its audit entries stay."""

    async def find() -> Org:
        async with app_of(settings_of()) as app:
            return await app.enrolment.one(alias)

    async def act() -> bool:
        async with app_of(settings_of()) as app:
            return await app.enrolment.remove(operator(), alias, keep_token=keep_token)

    org = run(find())
    if not yes:
        _ask(org)
    revoked = run(act())
    click.echo(f"{alias}: removed{', its token was revoked at Salesforce' if revoked else ''}")
    if not revoked and not keep_token:
        warn("Salesforce did not know its token any more, so nothing was revoked there")


def _ask(org: Org) -> None:
    if not sys.stdin.isatty():
        raise ConfigError(f"{org.alias} was not removed: nobody is here to confirm it", hint="add --yes")
    if not click.confirm(f"Remove {org.alias} ({safe(org.name)}, {org.org_id})?", err=True):
        report(f"{org.alias} was not removed")
        raise Failure


def _checked(checked: Any) -> dict[str, Any]:
    error = checked.error
    return {
        "alias": checked.org.alias,
        "ok": error is None,
        "state": directory.state(checked.org).value,
        "username": checked.username,
        "code": error.code if error else None,
        "error": str(error) if error else None,
        "hint": error.hint if error else None,
        "problem": directory.problem(checked.org),
    }


def _iso(time: datetime | None) -> str | None:
    return time.isoformat(timespec="seconds") if time else None


def _ago(time: datetime | None) -> str:
    if time is None:
        return "never"
    minutes = int((datetime.now(UTC) - time).total_seconds() // 60)
    if minutes < 1:
        return "just now"
    if minutes < 120:  # noqa: PLR2004  # two hours
        return f"{minutes} min ago"
    return f"{minutes // 60} h ago" if minutes < 48 * 60 else f"{minutes // 1_440} days ago"
