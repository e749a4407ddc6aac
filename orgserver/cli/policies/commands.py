"""``orgserver policy``: show an org's limits, compare them with a file."""

from __future__ import annotations

import click

from orgserver.cli import completion
from orgserver.cli.main import Group
from orgserver.cli.output import Failure, print_json, report, safe, tell
from orgserver.cli.policies.files import read_file
from orgserver.cli.policies.limit_texts import change_lines, limit_lines
from orgserver.cli.process import app_to_read, run, settings_of
from orgserver.model.access.policies import Policy, option
from orgserver.model.errors import OrgserverError
from orgserver.model.orgs import Org

_TROUBLE = 2


@click.group(
    "policy",
    cls=Group,
    epilog="Examples:\n\n  orgserver policy show acme --yaml > acme.yaml\n\n  orgserver policy diff acme acme.yaml",
)
def policy() -> None:
    """Show, compare and try the limits that bind everybody in an org."""


@policy.command(epilog="Examples:\n\n  orgserver policy show acme\n\n  orgserver policy show acme --yaml > acme.yaml")
@click.argument("alias", shell_complete=completion.aliases)
@click.option("--yaml", "as_yaml", is_flag=True, help="Print what --policy FILE takes.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON, with the names that a file has.")
def show(alias: str, as_yaml: bool, as_json: bool) -> None:
    """Show the limits of an org, whatever alias it is called by."""
    if as_yaml and as_json:
        raise click.UsageError("give either --yaml or --json")
    limits = run(_org(alias)).policy
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
        before = run(_org(alias)).policy
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


async def _org(alias: str) -> Org:
    async with app_to_read(settings_of()) as app:
        return await app.registry.one(alias)
