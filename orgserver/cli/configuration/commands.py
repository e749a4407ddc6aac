"""``orgserver apply`` and ``orgserver export-config``: orgs, groups and principals as files that git can keep."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import click

from orgserver.cli.configuration import texts
from orgserver.cli.configuration.conversion import convert
from orgserver.cli.configuration.documents import SCHEMA_ID
from orgserver.cli.configuration.files import read_files, source_of
from orgserver.cli.configuration.secrets import read_registration
from orgserver.cli.configuration.texts import Change
from orgserver.cli.configuration.writing import write
from orgserver.cli.confirmation import agree_guarded
from orgserver.cli.orgs.identity_options import refuse_created_people
from orgserver.cli.orgs.import_orgs import register_patiently, result_line
from orgserver.cli.output import Failure, print_json, safe, tell, warn
from orgserver.cli.policies.limit_texts import contradictions
from orgserver.cli.policies.unknown_names import warn_of_unknown
from orgserver.cli.process import app_of, app_to_read, operator, run, settings_of
from orgserver.config import Settings
from orgserver.model.errors import ConfigError
from orgserver.model.names import Alias
from orgserver.services.configuration.declarations import Configuration, OrgDeclaration
from orgserver.services.configuration.reconciler import MOST_AT_ONCE, Origin
from orgserver.services.configuration.steps import COMMAND, OrgStep, Plan
from orgserver.services.orgs.import_plan import Candidate, Fate, ImportResult, PlannedOrg
from orgserver.services.orgs.registration import Registration
from orgserver.store.processes.lock_holders import Patience

if TYPE_CHECKING:
    from orgserver.app import App
    from orgserver.model.orgs import Caller

_DIFFERENT = 3
_COMMIT = re.compile(r"[0-9A-Za-z][0-9A-Za-z._/-]{0,63}")
_UNDONE = "nothing was changed"
_LONG_SECONDS = 600
_MOST_QUESTIONS = 6
_MOST_DESCRIBED = 20
"""Of so many orgs it is looked up whether they have what their policies name."""


@dataclass(frozen=True, slots=True)
class _Work:
    """What is to be applied."""

    configuration: Configuration
    prune: bool
    commit: str | None

    def origin(self, caller: Caller) -> Origin:
        return Origin(caller, self.configuration.source, self.commit)


@click.command(
    COMMAND,
    epilog="Examples:\n\n  orgserver apply fleet.yaml --plan\n\n"
    "  orgserver apply fleet/ --prune --commit $(git rev-parse HEAD)\n\n"
    "  orgserver apply fleet/ --plan --exit-code || echo the store differs",
)
@click.argument("files", metavar="FILE|FOLDER", type=click.Path())
@click.option("--plan", "plan_only", is_flag=True, help="Show what would be done, and do nothing.")
@click.option("--exit-code", is_flag=True, help="With --plan: exit 3 when anything would be done.")
@click.option(
    "--prune", is_flag=True,
    help="Remove groups, principals, grants, members and tags that no file has; disable such orgs.",
)  # fmt: skip
@click.option("--allow-commands", is_flag=True, help="Run the programs that command: names for secrets.")
@click.option("--commit", metavar="SHA", help="The commit of the files, for the audit log.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def apply(
    files: str, plan_only: bool, exit_code: bool, prune: bool, allow_commands: bool, commit: str | None, as_json: bool
) -> None:
    """Make orgs, groups, principals and policies as files of YAML say, or show the difference.

    The files are checked whole before anything is changed, and the changes are made together or not at all (more than
    250: one after another, so that calls get their turn). What they do not say stays as it is, unless --prune. What
    loosens a limit asks a person at a terminal. An org that is not registered is enrolled: only then are its secrets
    read, from where the file says (env:NAME, file:PATH, command:PROGRAM), and a refresh token that rotates is spent
    there.
    """
    if exit_code and not plan_only:
        raise click.UsageError("--exit-code goes with --plan")
    if commit is not None and not _COMMIT.fullmatch(commit):
        raise click.UsageError("--commit is the name of a commit: letters, digits and . _ / -")
    work = _Work(convert(source_of(files), read_files(files)), prune, commit)
    settings = settings_of()
    for declaration in work.configuration.orgs.values():
        if declaration.username_from is not None:
            refuse_created_people(settings, declaration.username_from)
    plan, changes = run(_make_plan(settings, work, plan_only=plan_only))
    _show(plan, changes, prune=prune, as_json=as_json)
    if plan_only:
        if not allow_commands:
            tell(*texts.command_remarks(plan))
        if exit_code and not plan.is_empty:
            raise Failure(_DIFFERENT)
    elif not plan.is_empty:
        candidates = [
            _candidate(
                each.declaration, read_registration(each.declaration, settings, allow_commands=allow_commands), work
            )
            for each in plan.enrolments
            if each.problem is None
        ]
        _say_what_was_done(plan, run(_carry_out(settings, work, plan, changes, candidates)))


@click.command("export-config", epilog="Example: orgserver export-config > fleet.yaml")
def export_config() -> None:
    """Print every org, group and principal as YAML that `apply` takes, without secrets and API keys."""

    async def act() -> str:
        async with app_to_read(settings_of()) as app:
            return write(await app.reconciler.inventory(), SCHEMA_ID)

    click.echo(run(act()), nl=False)


async def _make_plan(settings: Settings, work: _Work, *, plan_only: bool) -> tuple[Plan, list[Change]]:
    """The plan, and what its rehearsal says of it."""
    async with (app_to_read if plan_only else app_of)(settings) as app:
        plan = await app.reconciler.plan(work.configuration, prune=work.prune)
        results = await app.reconciler.rehearse(work.origin(operator()), plan)
        return plan, texts.changes_of(plan, results)


def _show(plan: Plan, changes: Sequence[Change], *, prune: bool, as_json: bool) -> None:
    if as_json:
        print_json({"changes": [each.facts() for each in changes], "not_in_files": list(plan.surplus)})
    else:
        for line in texts.lines_of(changes):
            click.echo(safe(line))
    for name, before, after in [(step.name, *step.policies) for step in plan.steps if step.policies is not None]:
        for each in contradictions(after):
            if each not in contradictions(before):
                warn(f"{name}: {each[-1]}")
    tell(*texts.remarks(plan, prune=prune), texts.summary(plan, changes))


def _candidate(declaration: OrgDeclaration, registration: Registration, work: _Work) -> Candidate:
    async def prepare(alias: Alias) -> Registration:
        return replace(registration, alias=alias)

    return Candidate(
        source=registration.source,
        place=str(declaration.place),
        name=declaration.alias,
        prepare=prepare,
        username=registration.username,
        url=registration.instance_url or registration.login_url,
        token=registration.refresh_token,
        client_id=None if registration.refresh_token else registration.client_id,
        policy=registration.policy,
        label=work.origin(operator()).label_at(declaration.place),
    )


async def _carry_out(
    settings: Settings, work: _Work, plan: Plan, changes: Sequence[Change], candidates: Sequence[Candidate]
) -> list[ImportResult]:
    async with app_of(settings) as app:
        new = await app.org_import.plan(candidates)
        for each in new:
            _refuse(each)
        origin = work.origin(await _permission(app, changes))
        _be_patient(app, plan)
        plan = await app.reconciler.carry_out(origin, work.configuration, plan, prune=work.prune)
        results = await register_patiently(app, origin.caller, new, _say, COMMAND) if new else []
        here = {each.enrolled.org.alias for each in results if each.enrolled is not None}
        await app.reconciler.grant_later(origin, [step for alias, step in plan.later if alias in here])
        await _warn_of_unknown(app, plan, results)
        return results


def _be_patient(app: App, plan: Plan) -> None:
    """Wait for transactions of our own that are long."""
    if len(plan.steps) > MOST_AT_ONCE:
        app.store.database.wait_as(Patience(_LONG_SECONDS, tell=tell))


def _refuse(planned: PlannedOrg) -> None:
    """ConfigError for an org that cannot be registered beside the others."""
    place, name = planned.candidate.place, planned.candidate.name
    if planned.fate is Fate.REFUSED:
        raise ConfigError(f"{place}: {name} cannot be enrolled: {planned.note}")
    if planned.fate is Fate.REGISTERED:
        raise ConfigError(
            f"{place}: the credential of {name} is registered already, as {planned.alias}",
            hint=f"if that is its new name: orgserver update-org {planned.alias} --rename {name}",
        )


async def _permission(app: App, changes: Sequence[Change]) -> Caller:
    """Ask a person for what loosens; who does it."""
    loosening = texts.loosening_texts(changes)
    if not loosening:
        return operator()
    shown = "; ".join(loosening[:_MOST_QUESTIONS])
    more = f"; and {len(loosening) - _MOST_QUESTIONS} more" if len(loosening) > _MOST_QUESTIONS else ""
    lines = tuple(texts.lines_of(changes))
    return await agree_guarded(app, COMMAND, f"Loosen {shown}{more}?", undone=_UNDONE, printed=lines)


def _say(result: ImportResult) -> None:
    click.echo(safe(result_line(result, "enrolled")), err=True)


async def _warn_of_unknown(app: App, plan: Plan, results: Sequence[ImportResult]) -> None:
    orgs = [(each.enrolled.org, each.enrolled.org.policy, None) for each in results if each.enrolled is not None]
    policies = [(each.org, *each.policies) for each in plan.steps if isinstance(each, OrgStep) and each.policies]
    every = [*orgs, *((org, after, before) for org, before, after in policies)]
    for org, after, before in every[:_MOST_DESCRIBED]:
        await warn_of_unknown(app, org, after, before)


def _say_what_was_done(plan: Plan, results: Sequence[ImportResult]) -> None:
    problems = [each for each in plan.enrolments if each.problem is not None]
    failed = len(problems) + sum(each.enrolled is None for each in results)
    rotated = [each.planned.alias for each in results if each.enrolled is not None and each.enrolled.rotated]
    if rotated:
        warn(
            f"refresh token rotation is on in {', '.join(rotated)}: the copies that the files name are dead now, and "
            "using one would revoke ours. Remove them there; apply does not read them again."
        )
    for each in problems:
        warn(f"{each.declaration.alias} was not enrolled: {each.problem}")
    if failed:
        tell(f"{failed} of {len(plan.enrolments)} orgs not enrolled; all else is done. The same command again goes on.")
        raise Failure
    tell("Done.")
