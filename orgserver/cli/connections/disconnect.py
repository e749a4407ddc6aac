"""``orgserver disconnect-org``: the end of a login of one's own."""

from __future__ import annotations

import click

from orgserver.cli import completion
from orgserver.cli.confirmation import agree, agree_guarded
from orgserver.cli.output import safe
from orgserver.cli.process import app_of, local_principal, operator, run, settings_of
from orgserver.config import Settings
from orgserver.model.errors import EnrolmentError
from orgserver.model.orgs import Connection, Org

_COMMAND = "disconnect-org"


@click.command(
    _COMMAND,
    epilog="Examples:\n\n  orgserver disconnect-org acme\n\n  orgserver disconnect-org acme --principal ada --forget",
)
@click.argument("alias", shell_complete=completion.own_login_aliases)
@click.option(
    "--principal",
    metavar="NAME",
    help="Whose login ends. [default: yours, as this machine's user]",
    shell_complete=completion.registered_principals,
)
@click.option("--forget", "forgets", is_flag=True, help="Forget, too, which Salesforce user it was.")
@click.option("--yes", is_flag=True, help="Do not ask.")
def disconnect_org(alias: str, principal: str | None, forgets: bool, yes: bool) -> None:
    """End a login of your own, or of a principal: here at once, and at Salesforce as soon as it can be told.

    Which Salesforce user it was stays on record: the next login is to be of the same one, and never falls back to the
    login that all share. --forget takes that away, too.
    """
    whose = principal or local_principal()
    run(_disconnect(settings_of(), alias, whose, forgets=forgets, yes=yes))
    click.echo(safe(f"{alias}: the login of {whose} is {'forgotten' if forgets else 'ended'}"))


async def _disconnect(settings: Settings, alias: str, principal: str, *, forgets: bool, yes: bool) -> None:
    from orgserver.services.connections.operator.logins import CommandLogins  # noqa: PLC0415  # a shell that completes waits not

    async with app_of(settings) as app:
        org = await app.registry.one(alias)
        logins = CommandLogins(app.store, app.access)
        connection = await logins.find(org, principal)
        if connection is None:
            raise EnrolmentError(
                f"{principal} has no login to {org.alias}", hint=f"orgserver connections --org {org.alias} shows them"
            )
        question, undone = _question(org, connection, forgets=forgets), f"the login of {principal} was not ended"
        caller = operator()
        if forgets and org.identity == "own-or-shared":
            shared = f"{question} Calls of {principal} use the login that all share from then on."
            caller = await agree_guarded(app, _COMMAND, shared, undone=undone, yes=yes)
        elif not yes:
            agree(question, undone=undone)
        await logins.end(caller, org, principal, forget=forgets)


def _question(org: Org, connection: Connection, *, forgets: bool) -> str:
    verb = "End and forget" if forgets else "End"
    return safe(f"{verb} the login of {connection.principal} to {org.alias}, {connection.username}?")
