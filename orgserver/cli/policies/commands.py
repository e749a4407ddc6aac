"""``orgserver policy``: show an org's limits, compare them with a file, try what they would say to a call."""

from __future__ import annotations

import json
import sys
from typing import Any

import click

from orgserver.cli import completion
from orgserver.cli.main import Group
from orgserver.cli.output import Failure, print_facts, print_json, report, safe, tell
from orgserver.cli.policies.files import read_file
from orgserver.cli.policies.limit_texts import change_lines, limit_lines
from orgserver.cli.policies.unknown_names import warn_of_unknown
from orgserver.cli.process import app_to_read, run, settings_of
from orgserver.model.access.policies import Policy, option
from orgserver.model.errors import OrgserverError

_TROUBLE = 2
_MAX_ARGUMENTS = 4 * 1024 * 1024


@click.group(
    "policy",
    cls=Group,
    epilog="Examples:\n\n  orgserver policy show acme --yaml > acme.yaml\n\n  orgserver policy diff acme acme.yaml\n\n"
    "  orgserver policy test acme --soql 'SELECT Email FROM Contact'",
)
def policy() -> None:
    """Show, compare and try the limits that bind everybody in an org."""


@policy.command(epilog="Examples:\n\n  orgserver policy show acme\n\n  orgserver policy show acme --yaml > acme.yaml")
@click.argument("alias", shell_complete=completion.aliases)
@click.option(
    "--principal",
    metavar="NAME",
    help="With the limits that are this principal's own.",
    shell_complete=completion.registered_principals,
)
@click.option("--yaml", "as_yaml", is_flag=True, help="Print what --policy FILE takes.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON, with the names that a file has.")
def show(alias: str, principal: str | None, as_yaml: bool, as_json: bool) -> None:
    """Show the limits of an org, whatever alias it is called by."""
    if as_yaml and as_json:
        raise click.UsageError("give either --yaml or --json")
    limits = run(_limits(alias, principal))
    if as_yaml:
        from orgserver.cli.policies import yaml_text  # noqa: PLC0415  # only who writes one waits for PyYAML

        click.echo(yaml_text.write(limits), nl=False)
    elif as_json:
        print_json(limits.facts())
    else:
        for line in limit_lines(limits):
            click.echo(safe(line))
        if limits == Policy():
            tell(
                f"{alias} has no limits: agents may do what its user may, and a person confirms more than 200 changes."
            )


@policy.command(epilog="Example: orgserver policy diff acme acme.yaml && echo as agreed")
@click.argument("alias", shell_complete=completion.aliases)
@click.argument("file", type=click.Path())
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def diff(alias: str, file: str, as_json: bool) -> None:
    """Say what `update-org ALIAS --policy FILE` would change.

    Exits as diff does: 0 when nothing is different, 1 when something is, 2 when they cannot be compared.
    """
    try:
        after = read_file(file)
        before = run(_compare(alias, after))
    except OrgserverError as error:
        report(str(error), error.hint)
        raise Failure(_TROUBLE) from None
    changes, loosened = before.changes(after), before.loosened_by(after)
    if as_json:
        rows = [{"limit": each.name, "from": each.before, "to": each.after} for each in changes]
        loosens = dict.fromkeys(each.name for each in changes if option(each.name) in loosened)
        print_json({"changes": rows, "loosens": list(loosens)})
    else:
        for line in change_lines(before, after):
            click.echo(safe(line))
        if loosened:
            tell(f"That loosens {', '.join(loosened)}: update-org asks a person at a terminal.")
    if changes:
        raise Failure


@policy.command(
    "test",
    epilog="Examples:\n\n  orgserver policy test acme --soql 'SELECT Id, Email FROM Contact'\n\n"
    "  orgserver policy test acme --principal ada --tool salesforce_delete_contact "
    """--arguments '{"contact_id": "003…"}'""",
)
@click.argument("alias", shell_complete=completion.aliases)
@click.option(
    "--principal",
    metavar="NAME",
    help="Whose call it would be. [default: this machine's user]",
    shell_complete=completion.registered_principals,
)
@click.option("--soql", metavar="TEXT", help="The query of salesforce_query.")
@click.option("--tool", metavar="NAME", help="Any tool.", shell_complete=completion.tools)
@click.option("--arguments", metavar="JSON", help="What the tool is given beside org; - for standard input.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def try_(
    alias: str, principal: str | None, soql: str | None, tool: str | None, arguments: str | None, as_json: bool
) -> None:
    """Say whether a call would be allowed, and why: which grant or limit decides, what would be left out or masked.

    The call is judged as one that is made, but not made, and leaves no entry. The org is asked for describes alone,
    where limits of objects or fields need them and they are not at hand.

    Exits 0 when it would be allowed, 1 when refused, 2 when that cannot be told.
    """
    if (soql is None) == (tool is None) or (soql is not None and arguments is not None):
        raise click.UsageError("give either --soql TEXT or --tool NAME with --arguments JSON")
    call_arguments = {"soql": soql} if soql is not None else _arguments(arguments or "{}", alias)
    from orgserver.cli.policies import verdict_texts  # noqa: PLC0415  # the tools' imports
    from orgserver.cli.policies.trial import Verdict, try_call  # noqa: PLC0415  # as above

    async def act() -> Verdict:
        async with app_to_read(settings_of()) as app:
            return await try_call(app, alias, principal, tool or "salesforce_query", call_arguments)

    try:
        verdict = run(act())
    except OrgserverError as error:
        report(str(error), error.hint)
        raise Failure(_TROUBLE) from None
    if as_json:
        print_json(verdict_texts.facts_of(verdict))
    else:
        word = "allowed" if verdict.decision.allowed else "refused"
        print_facts(verdict_texts.lines_of(verdict), f"{word}: {verdict.tool} in {alias} by {verdict.principal}")
    if not verdict.decision.allowed:
        raise Failure


def _arguments(text: str, alias: str) -> dict[str, Any]:
    """A tool's arguments, which need not name the org."""
    try:
        arguments = json.loads(sys.stdin.read(_MAX_ARGUMENTS) if text == "-" else text)
    except (ValueError, RecursionError):
        raise click.UsageError("--arguments is not JSON") from None
    if not isinstance(arguments, dict):
        raise click.UsageError("--arguments is a JSON object, by the names of the tool's arguments")
    if arguments.get("org", alias) != alias:
        raise click.UsageError(f"--arguments name another org than {alias}")
    return arguments


async def _compare(alias: str, after: Policy) -> Policy:
    """The limits that an org has, with a warning of what it has not and others name."""
    async with app_to_read(settings_of()) as app:
        org = await app.registry.one(alias)
        await warn_of_unknown(app, org, after)
        return org.policy


async def _limits(alias: str, principal: str | None) -> Policy:
    """What limits everybody in an org, or one principal in it."""
    async with app_to_read(settings_of()) as app:
        org = await app.registry.one(alias)
        own = (await app.people.principals.one(principal)).limits if principal is not None else Policy()
        return org.policy.limited_by(own)
