"""``orgserver connect-org``: a principal's own login to an org, given in a browser at this machine."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from orgserver.cli import completion
from orgserver.cli.confirmation import agree, agree_guarded, is_somebody_here, nobody
from orgserver.cli.connections.refusal_texts import error_of
from orgserver.cli.output import Failure, print_json, safe, tell, warn
from orgserver.cli.process import app_of, local_principal, operator, run, settings_of
from orgserver.cli.terminal import NoTerminal, controlling_terminal
from orgserver.config import Settings
from orgserver.model.errors import EnrolmentError
from orgserver.model.orgs import Connection, Org

if TYPE_CHECKING:
    from orgserver.app import App
    from orgserver.services.connections.operator.logins import BegunLogin, CommandLogins
    from orgserver.services.connections.storing import Answered

_COMMAND = "connect-org"


@click.command(
    _COMMAND,
    epilog="Examples:\n\n  orgserver connect-org acme\n\n"
    "  orgserver connect-org acme --principal ada (ada logs in here, and you see to it)",
)
@click.argument("alias", shell_complete=completion.own_login_aliases)
@click.option(
    "--principal",
    metavar="NAME",
    help="Whose login it becomes. [default: yours, as this machine's user]",
    shell_complete=completion.registered_principals,
)
@click.option("--replace", "replaces", is_flag=True, help="Let another Salesforce user follow the one before.")
@click.option("--callback-url", metavar="URL", help="[default: http://localhost:1717/OauthRedirect]")
@click.option("--yes", is_flag=True, help="Do not ask whether your own login is to be stored.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def connect_org(
    alias: str, principal: str | None, replaces: bool, callback_url: str | None, yes: bool, as_json: bool
) -> None:
    """Log in to an org as yourself, where it is used so (update-org --identity own).

    A browser opens, or the address is printed. Then the Salesforce user is shown, and nothing is stored before you say
    yes. Calls of that principal use this login from then on, and nobody else's do.
    """
    settings = settings_of()
    whose = principal or local_principal()
    connection = run(_connect(settings, alias, whose, callback_url, replaces=replaces, yes=yes))
    if as_json:
        print_json({"org": alias, "principal": whose, "username": connection.username, "state": connection.state.value})
    else:
        click.echo(safe(f"{alias}: {connection.username} is the login of {whose} now"))


async def _connect(
    settings: Settings, alias: str, principal: str, callback_url: str | None, *, replaces: bool, yes: bool
) -> Connection:
    from orgserver.services.connections.operator.logins import CommandLogins  # noqa: PLC0415  # as below
    from orgserver.services.connections.refusals import Refusal, RefusalKind  # noqa: PLC0415  # as below

    async with app_of(settings) as app:
        org = await app.registry.one(alias)
        is_own = principal == local_principal()
        if not is_own:
            await app.people.principals.one(principal)
        if org.identity == "shared":
            raise error_of(Refusal(RefusalKind.SHARED), org, principal, is_own=is_own)
        _require_somebody(app, org, is_own=is_own, yes=yes)
        logins = CommandLogins(app.store, app.access, callback_url)
        answered = await _log_in(logins, org, principal, is_own=is_own, replaces=replaces)
        await _agree_to_store(app, logins, answered, principal, is_own=is_own, yes=yes)
        kept = await logins.keep(answered)
        if not isinstance(kept, Connection):
            raise error_of(kept, org, principal, is_own=is_own)
        return kept


def _require_somebody(app: App, org: Org, *, is_own: bool, yes: bool) -> None:
    """ConfigError before anybody logs in, where nobody could say yes afterwards."""
    undone = f"nobody was connected to {org.alias}"
    if is_own and not yes and not is_somebody_here():
        raise nobody(undone, "add --yes")
    if is_own or app.settings.unattended == "allow":
        return
    try:
        with controlling_terminal():
            return
    except NoTerminal:
        hint = 'a person confirms somebody else\'s login at a terminal; for automation: unattended = "allow"'
        raise nobody(undone, hint) from None


async def _log_in(logins: CommandLogins, org: Org, principal: str, *, is_own: bool, replaces: bool) -> Answered:
    """Have somebody log in; EnrolmentError says why nothing comes of it."""
    from orgserver.cli.login.browser import sign_in  # noqa: PLC0415  # a shell that completes waits for none of it
    from orgserver.services.connections.operator.logins import BegunLogin  # noqa: PLC0415  # as above
    from orgserver.services.connections.storing import Answered  # noqa: PLC0415  # as above

    begun = await logins.begin(operator(), org, principal, replace=replaces)
    if not isinstance(begun, BegunLogin):
        raise error_of(begun, org, principal, is_own=is_own)
    try:
        code = await sign_in(begun.login)
    except EnrolmentError as error:
        await _give_up(logins, begun, error)
        raise
    answered = await logins.answer(begun, code)
    if not isinstance(answered, Answered):
        raise error_of(answered, org, principal, is_own=is_own)
    return answered


async def _give_up(logins: CommandLogins, begun: BegunLogin, error: EnrolmentError) -> None:
    if error.outcome == "rejected":  # else nobody answered, and the login ends by itself
        await logins.give_up(begun, is_denied=error.code == "access_denied")


async def _agree_to_store(
    app: App, logins: CommandLogins, answered: Answered, principal: str, *, is_own: bool, yes: bool
) -> None:
    """Ask whether this user is to be this principal's; after a no, and after Ctrl-C, nothing of it is kept."""
    user, org = answered.user, answered.org
    before = answered.before
    place = f", in place of {before}" if before not in (None, user.username) else ""
    words = f"{user.username} in {org.alias} ({org.name}, {org.org_id}) becomes the login of {principal}{place}"
    if answered.ends_oldest:
        warn(f"{user.username} has five logins by this app: with this one, Salesforce ends the oldest")
    undone = f"{principal} was not connected to {org.alias}"
    try:
        if not is_own:
            await agree_guarded(app, _COMMAND, f"{words}. Store it?", undone=undone, yes=yes)
        elif not yes:
            agree(safe(f"{words}. Store it?"), undone=undone)
        else:
            tell(f"{words}.")
    except BaseException as error:
        await logins.discard(answered)
        if not isinstance(error, Failure):
            tell("The login was given back to Salesforce.")
        raise
