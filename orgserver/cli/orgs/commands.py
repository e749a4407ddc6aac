"""The commands about registered orgs."""

from __future__ import annotations

import asyncio
from datetime import datetime
from typing import TYPE_CHECKING, Any

import click

from orgserver.cli import completion
from orgserver.cli.confirmation import agree, agree_guarded
from orgserver.cli.orgs.org_details import (
    ago,
    details_of,
    has_news,
    lines_of,
    lines_of_use,
    tell_of_clients,
    use_of,
    warn_of_idleness,
    warn_of_move,
)
from orgserver.cli.output import Failure, plain, print_facts, print_json, safe, tell, warn
from orgserver.cli.policies.limit_texts import brief
from orgserver.cli.process import app_of, app_to_read, operator, run, settings_of
from orgserver.cli.tables import print_table, wide_option
from orgserver.config import Settings
from orgserver.model.orgs import Caller, Org, OrgState

if TYPE_CHECKING:
    from orgserver.app import App

_AT_ONCE = 16
_MOST_NOTES = 20
_COLUMNS = (
    "org", "org id", "name", "kind", "state", "user", "instance", "limits", "tags", "auth", "identity",
    "own logins", "last refresh",
    "token dies",
)  # fmt: skip
_NO_ORGS = "No org is registered yet. Add one with: orgserver add-org ALIAS"


@click.command(
    "list-orgs",
    epilog="Examples:\n\n  orgserver list-orgs --match emea\n\n  orgserver list-orgs --problems || notify-send orgs",
)
@click.option("--match", metavar="TEXT", help="Only orgs whose alias, name or a tag holds this text.")
@click.option("--problems", is_flag=True, help="Only orgs that need somebody; exits 1 when there are any.")
@click.option("--connections", is_flag=True, help="Count people's own logins to each org, and their states.")
@wide_option
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def list_orgs(match: str | None, problems: bool, connections: bool, wide: bool, as_json: bool) -> None:
    """List the registered orgs, their states and when each token was last refreshed."""
    from orgserver.services.orgs import visible_orgs  # noqa: PLC0415  # a shell that completes waits for none of it

    async def act() -> tuple[list[Org], dict[str, dict[str, int]] | None]:
        async with app_to_read(settings_of()) as app:
            return await app.registry.all(), await _count_connections(app) if connections else None

    every, counts = run(act())
    orgs = [org for org in every if visible_orgs.matches(org, match)]
    orgs = [org for org in orgs if visible_orgs.needs_somebody(org)] if problems else orgs
    if as_json:
        print_json([details_of(org) | _connections_of(org, counts) for org in orgs])
    elif orgs:
        _print_orgs(orgs, counts, wide=wide)
    else:
        tell(_none_listed(every, match, problems=problems))
    if problems and orgs:
        raise Failure


def _none_listed(every: list[Org], match: str | None, *, problems: bool) -> str:
    if not every:
        return _NO_ORGS
    which = f" matching {match}" if match else ""
    return f"No org{which} has a problem." if problems else f"No org{which} is registered."


async def _count_connections(app: App) -> dict[str, dict[str, int]]:
    from orgserver.services.connections.operator import overview  # noqa: PLC0415  # as above

    return overview.count_states(await overview.read_all(app.store))


def _connections_of(org: Org, counts: dict[str, dict[str, int]] | None) -> dict[str, dict[str, int]]:
    """How many own logins of each state an org has; nothing where nobody asked."""
    return {"connections": counts.get(org.alias, {})} if counts is not None else {}


def _own_logins(org: Org, counts: dict[str, dict[str, int]] | None) -> str | None:
    """The same as a cell: ``none`` where people have logins of their own, and nobody has given one."""
    nothing = "none" if counts is not None and org.identity != "shared" else None
    return plain(_connections_of(org, counts).get("connections")) or nothing


def _print_orgs(orgs: list[Org], counts: dict[str, dict[str, int]] | None, *, wide: bool) -> None:
    from orgserver.services.orgs import keepalive  # noqa: PLC0415  # as above

    print_table(
        _COLUMNS,
        [
            (
                org.alias,
                org.org_id,
                org.name,
                org.kind,
                org.visible_state.value,
                org.user.username if org.user else None,
                org.instance_url.partition("://")[2],
                brief(org.policy) or None,
                " ".join(org.tags),
                org.auth,
                org.identity if org.identity != "shared" else None,
                _own_logins(org, counts),
                ago(org.refreshed_at),
                _day(keepalive.dies_at(org)),
            )
            for org in orgs
        ],
        spare=(
            "instance",
            "org id",
            "tags",
            "limits",
            "auth",
            "token dies",
            "last refresh",
            "identity",
            "kind",
            "user",
            "name",
        ),
        paged=True,
        wide=wide,
    )
    noted = [org for org in orgs if has_news(org)]
    for org in noted[:_MOST_NOTES]:
        if org.problem is not None:
            tell(f"{org.alias}: {org.problem.code} since {org.problem.since:%Y-%m-%d %H:%M} UTC. {org.problem.hint}")
        warn_of_move(org)
        warn_of_idleness(org)
    if len(noted) > _MOST_NOTES:
        warn(f"{len(noted) - _MOST_NOTES} more orgs have problems or idle tokens: list-orgs --json tells of each")


@click.command("show-org", epilog="Example: orgserver show-org acme")
@click.argument("alias", shell_complete=completion.aliases)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def show_org(alias: str, as_json: bool) -> None:
    """Show all that is known of one org, but its secrets."""

    async def act() -> tuple[Org, dict[str, int], dict[str, dict[str, int]] | None]:
        async with app_to_read(settings_of()) as app:
            org = await app.registry.one(alias)
            counts = await _count_connections(app) if org.identity != "shared" else None
            return org, await app.registry.calls_today(org), counts

    org, calls, counts = run(act())
    connections = _connections_of(org, counts)
    if as_json:
        print_json(details_of(org) | connections | use_of(org, calls))
    else:
        print_facts(lines_of(org) | connections | lines_of_use(org, calls))
        warn_of_move(org)
        warn_of_idleness(org)


@click.command(
    "check-org",
    epilog="Examples:\n\n  orgserver check-org acme globex\n\n  orgserver check-org acme --try-token",
)
@click.argument("aliases", nargs=-1, metavar="[ALIAS]...", shell_complete=completion.aliases)
@wide_option
@click.option("--try-token", is_flag=True, help="Send an org's refresh token although it is in doubt.")
@click.option("--yes", is_flag=True, help="Do not ask before that.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def check_org(aliases: tuple[str, ...], try_token: bool, yes: bool, wide: bool, as_json: bool) -> None:
    """Ask orgs (all of them, if none is named) whether their credentials work. Exits 1 if one does not."""
    if try_token and len(aliases) != 1:
        raise click.UsageError("--try-token takes the alias of one org")
    settings = settings_of()
    if try_token:
        _agree_to_try(run(_one(settings, aliases[0])), yes=yes)
    checks = run(_check(settings, aliases, try_token=try_token))
    if as_json:
        print_json(checks)
    else:
        _print_checks(checks, wide=wide)
    if not all(check["ok"] for check in checks):
        raise Failure


async def _check(settings: Settings, aliases: tuple[str, ...], *, try_token: bool) -> list[dict[str, Any]]:
    async with app_to_read(settings) as app:
        names = aliases or tuple(org.alias for org in await app.registry.all())
        for alias in names:
            await app.registry.one(alias)
        turns = asyncio.Semaphore(_AT_ONCE)

        async def check(alias: str) -> dict[str, Any]:
            async with turns:
                return _facts_of(await app.registry.check(alias, try_token=try_token))

        return await asyncio.gather(*map(check, dict.fromkeys(names)))


def _print_checks(checks: list[dict[str, Any]], *, wide: bool) -> None:
    if not checks:
        tell(_NO_ORGS)
        return
    print_table(
        ("", "org", "state", "user", "answer"),
        [("✓" if e["ok"] else "✗", e["alias"], e["state"], e["username"], e["error"] or "works") for e in checks],
        spare=("user",),
        wide=wide,
    )
    for check in checks:
        if check["hint"]:
            tell(f"{check['alias']}: {check['hint']}")


@click.command("remove-org", epilog="Example: orgserver remove-org acme --yes")
@click.argument("alias", shell_complete=completion.aliases)
@click.option("--keep-token", is_flag=True, help="Do not revoke the refresh token at Salesforce.")
@click.option("--yes", is_flag=True, help="Do not ask, where the org has no limits.")
def remove_org(alias: str, keep_token: bool, yes: bool) -> None:
    """Remove an org: revoke its token at Salesforce and destroy its secrets here. Its audit entries stay.

    An org with limits (--read-only and its like) is removed by a person at a terminal alone.
    """
    settings = settings_of()

    async def act() -> tuple[Org, bool]:
        async with app_of(settings) as app:
            org = await app.registry.one(alias)
            caller = await _permission(app, org, yes=yes)
            return org, await app.registry.remove(caller, alias, keep_token=keep_token)

    org, revoked = run(act())
    click.echo(f"{alias}: removed{', its token was revoked at Salesforce' if revoked else ''}")
    if not revoked and not keep_token and org.holds_refresh_token:
        warn("Salesforce did not know its token any more, so nothing was revoked there")
    tell_of_clients(alias)


async def _one(settings: Settings, alias: str) -> Org:
    async with app_to_read(settings) as app:
        return await app.registry.one(alias)


def _agree_to_try(org: Org, *, yes: bool) -> None:
    """Ask before a refresh token is sent that another store may use, or that may be spent."""
    if not org.holds_refresh_token or (org.state is OrgState.READY and not org.refresh_suspended):
        return
    warn(
        f"Salesforce revokes the login of {org.alias}, in every store that uses it, if its refresh token here is not "
        "the newest one"
    )
    if not yes:
        question = f"Send the refresh token of {org.alias} ({safe(org.name)}, {org.org_id})?"
        agree(question, undone=f"the token of {org.alias} was not tried")


def _day(time: datetime | None) -> str | None:
    return f"{time:%Y-%m-%d}" if time else None


async def _permission(app: App, org: Org, *, yes: bool) -> Caller:
    """Ask before an org is removed; whoever does it."""
    question, undone = f"Remove {org.alias} ({safe(org.name)}, {org.org_id})?", f"{org.alias} was not removed"
    if org.policy.limits:
        limited = f"{org.alias} is limited: {', '.join(org.policy.limits)}. {question}"
        return await agree_guarded(app, "remove-org", limited, undone=undone, yes=yes)
    if not yes:
        agree(question, undone=undone)
    return operator()


def _facts_of(check: Any) -> dict[str, Any]:
    from orgserver.services.orgs import visible_orgs  # noqa: PLC0415  # as above

    error = check.error
    return {
        "alias": check.org.alias,
        "ok": error is None,
        "state": check.org.visible_state.value,
        "username": check.username,
        "code": error.code if error else None,
        "error": str(error) if error else None,
        "hint": error.hint if error else None,
        "problem": visible_orgs.problem(check.org),
    }
