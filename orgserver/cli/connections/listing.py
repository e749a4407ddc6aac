"""``orgserver connections``: people's own logins, what state they are in, and an administrator's word on new ones."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

import click

from orgserver.cli import completion
from orgserver.cli.confirmation import agree
from orgserver.cli.orgs.org_details import ago
from orgserver.cli.output import Failure, print_json, safe, tell
from orgserver.cli.process import app_of, app_to_read, operator, run, settings_of
from orgserver.cli.tables import print_table, wide_option
from orgserver.config import Settings
from orgserver.model.errors import EnrolmentError

if TYPE_CHECKING:
    from orgserver.app import App
    from orgserver.services.connections.operator.overview import OwnConnection

_TITLES = (
    "org", "principal", "Salesforce user", "kind", "state", "since", "last refresh", "token dies", "approvals", "cause",
)  # fmt: skip
_SPARE = ("approvals", "kind", "token dies", "since", "last refresh", "cause")


@click.command(
    "connections",
    epilog="Examples:\n\n  orgserver connections --org acme\n\n"
    "  orgserver connections --problems || notify-send logins\n\n"
    "  orgserver connections --confirm acme ada bob (their first use of --username-from waits for this)",
)
@click.argument("principals", nargs=-1, metavar="[PRINCIPAL]...", shell_complete=completion.registered_principals)
@click.option("--org", "alias", metavar="ALIAS", help="Only of this org.", shell_complete=completion.own_login_aliases)
@click.option("--principal", metavar="NAME", help="Only of this one.", shell_complete=completion.registered_principals)
@click.option("--problems", is_flag=True, help="Only those that need somebody; exits 1 when there are any.")
@click.option(
    "--confirm", "confirm", metavar="ORG", help="Let the logins of these principals be used, which wait for that.",
    shell_complete=completion.own_login_aliases,
)  # fmt: skip
@click.option(
    "--confirm-all", metavar="ORG", help="The same of all that wait in an org.",
    shell_complete=completion.own_login_aliases,
)  # fmt: skip
@click.option("--yes", is_flag=True, help="Do not ask before that.")
@wide_option
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def connections(
    principals: tuple[str, ...],
    alias: str | None,
    principal: str | None,
    problems: bool,
    confirm: str | None,
    confirm_all: str | None,
    yes: bool,
    wide: bool,
    as_json: bool,
) -> None:
    """List people's own logins to orgs, or let those be used that wait for an administrator's word."""
    _check_words(principals, confirm, confirm_all)
    settings = settings_of()
    if confirm or confirm_all:
        confirmed = run(_confirm(settings, confirm or confirm_all or "", principals, yes=yes))
        if as_json:
            print_json(list(map(details_of, confirmed)))
        for each in () if as_json else confirmed:
            click.echo(safe(f"{each.org.alias}: {each.connection.principal} is {each.connection.username}"))
        return
    every = run(_read(settings, alias, principal))
    every = [each for each in every if each.needs_somebody] if problems else every
    if as_json:
        print_json(list(map(details_of, every)))
    elif every:
        print_table(_TITLES, list(map(_row, every)), spare=_SPARE, paged=True, wide=wide)
        _tell_of_waiting(every)
    else:
        tell("No login has a problem." if problems else _nobody(alias, principal))
    if problems and every:
        raise Failure


def _nobody(alias: str | None, principal: str | None) -> str:
    place = f" to {alias}" if alias is not None else ""
    return f"{principal} has no login of their own{place}." if principal else f"Nobody has a login of their own{place}."


def _check_words(principals: Sequence[str], confirm: str | None, confirm_all: str | None) -> None:
    if confirm and confirm_all:
        raise click.UsageError("--confirm and --confirm-all exclude each other")
    if confirm and not principals:
        raise click.UsageError("--confirm takes an org and principals: --confirm acme ada bob")
    if principals and not confirm:
        raise click.UsageError("principals go with --confirm ORG; to list one's logins: --principal NAME")


async def _read(settings: Settings, alias: str | None, principal: str | None) -> list[OwnConnection]:
    async with app_to_read(settings) as app:
        if alias is not None:
            await app.registry.one(alias)
        return await _select(app, alias, principal)


async def _select(app: App, alias: str | None, principal: str | None = None) -> list[OwnConnection]:
    from orgserver.services.connections.operator import overview  # noqa: PLC0415  # a shell that completes waits for none of it

    every = await overview.read_all(app.store)
    return [
        each for each in every if alias in (None, each.org.alias) and principal in (None, each.connection.principal)
    ]


async def _confirm(settings: Settings, alias: str, principals: Sequence[str], *, yes: bool) -> list[OwnConnection]:
    async with app_of(settings) as app:
        org = await app.registry.one(alias)
        there = {each.connection.principal: each for each in await _select(app, alias) if each.is_confirmable}
        absent = [name for name in principals if name not in there]
        if absent:
            raise EnrolmentError(
                f"{', '.join(absent)}: no login to {alias} waits for anybody",
                hint=f"orgserver connections --org {alias} shows those that do",
            )
        chosen = [there[name] for name in principals] or [each for each in there.values() if each.is_waiting]
        if not chosen:
            tell(f"No login to {alias} waits for anybody.")
            return []
        if not yes:
            agree(_question(alias, chosen), undone="nothing was confirmed")
        for each in chosen:
            connection = each.connection
            await app.mappings.confirm(operator(), org, connection.principal, connection.username)
        await app.access.reload()
        names = [each.connection.principal for each in chosen]
        return [each for each in await _select(app, alias) if each.connection.principal in names]


def _question(alias: str, chosen: Sequence[OwnConnection]) -> str:
    pairs = ", ".join(f"{each.connection.principal} as {each.connection.username}" for each in chosen)
    return safe(f"Log in to {alias} with its key: {pairs}?")


def details_of(each: OwnConnection) -> dict[str, Any]:
    """Everything about a login that is no secret."""
    connection, user = each.connection, each.connection.user
    problem = connection.problem
    return {
        "org": each.org.alias,
        "org_id": each.org.org_id,
        "principal": connection.principal,
        "identity": each.org.identity,
        "kind": connection.kind,
        "username": connection.username,
        "user": {"id": user.id, "username": user.username, "time_zone": user.time_zone} if user else None,
        "state": connection.state.value,
        "waiting": each.is_waiting,
        "ended": each.is_ended,
        "cause": connection.cause,
        "problem": {"code": problem.code, "since": _iso(problem.since), "hint": problem.hint} if problem else None,
        "held": connection.refresh_suspended,
        "approvals": each.approvals,
        "created_at": _iso(connection.created_at),
        "confirmed_at": _iso(connection.confirmed_at),
        "refreshed_at": _iso(connection.refreshed_at),
        "token_dies_at": _iso(each.dies_at),
    }


def _row(each: OwnConnection) -> tuple[object, ...]:
    connection, dies_at = each.connection, each.dies_at
    return (
        each.org.alias,
        connection.principal,
        connection.username,
        connection.kind,
        each.standing,
        f"{connection.created_at:%Y-%m-%d}",
        ago(connection.refreshed_at),
        f"{dies_at:%Y-%m-%d}" if dies_at else None,
        f"{each.approvals}/5" if each.approvals else None,
        connection.cause or (connection.problem.code if connection.problem else None),
    )


def _tell_of_waiting(every: Sequence[OwnConnection]) -> None:
    for alias in dict.fromkeys(each.org.alias for each in every if each.is_waiting):
        names = " ".join(each.connection.principal for each in every if each.org.alias == alias and each.is_waiting)
        tell(f"To let them be used that wait: orgserver connections --confirm {alias} {names}")


def _iso(time: datetime | None) -> str | None:
    return time.isoformat(timespec="seconds") if time else None
