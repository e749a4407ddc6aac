"""``orgserver import-orgs``: register many orgs at once, from the ``sf`` command or a CSV file."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import click

from orgserver.cli.login.sf_cli import agree
from orgserver.cli.orgs.csv_rows import COLUMNS
from orgserver.cli.orgs.enrolment import known_limits, permission_to_limit, same_limits
from orgserver.cli.orgs.import_sources import STDIN, Common, from_csv, from_sf, place_of
from orgserver.cli.output import Failure, print_json, safe, tell, warn
from orgserver.cli.policies.options import policy_options, read_policy
from orgserver.cli.policies.unknown_names import warn_of_unknown
from orgserver.cli.process import app_of, run, settings_of
from orgserver.cli.tables import print_table, wide_option
from orgserver.config import Settings
from orgserver.model.errors import ConfigError, OperatorError
from orgserver.model.text import count_of
from orgserver.salesforce import hosts
from orgserver.services.orgs.import_plan import Candidate, Fate, ImportResult, PlannedOrg

if TYPE_CHECKING:
    from orgserver.app import App
    from orgserver.model.orgs import Caller

_DONE = {"import-orgs": "imported", "apply": "enrolled"}


@click.command(
    "import-orgs",
    epilog="Examples:\n\n  orgserver import-orgs --from-sf-cli\n\n  orgserver import-orgs --csv clients.csv --yes\n\n"
    f"Columns of the CSV file: {', '.join(COLUMNS)}. The first two are always needed.",
)
@click.option("--from-sf-cli", is_flag=True, help="Every org that the sf command is logged in to.")
@click.option("--csv", "file", metavar="FILE", help="Every row of a CSV file; - for standard input.")
@click.option(
    "--trust-host", multiple=True, metavar="HOST[:PORT]", help="Allow a host outside Salesforce's own domains."
)
@click.option("--tag", "tags", multiple=True, metavar="NAME", help="A word to find the orgs by.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@policy_options
@wide_option
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def import_orgs(file: str | None, from_sf_cli: bool, yes: bool, wide: bool, as_json: bool, **options: Any) -> None:
    """Register many orgs at once: shows what it will do, asks, and says of each org when it is done.

    Run again, it goes on with what is missing. Exits 1 if an org could not be imported.
    """
    if from_sf_cli == (file is not None):
        raise click.UsageError("give either --from-sf-cli or --csv FILE")
    common = _common(options)
    settings = settings_of()
    place = place_of(file)
    candidates = run(from_sf(common)) if file is None else from_csv(file, common)
    plan = run(_make_plan(settings, candidates))
    _show_plan(plan, place, wide=wide, as_json=as_json)
    new = sum(each.fate is Fate.NEW for each in plan)
    results: list[ImportResult] = []
    if new and not yes:
        _ask(plan, f"Import {count_of(new, 'org')}?", place, here=file != STDIN, as_json=as_json)
    if new:
        results = run(_carry_out(settings, plan, as_json=as_json))
    if as_json:
        _print_all(plan, results)
    _sum_up(plan, results)
    _warn_of_copies(results, place, is_file=file not in (None, STDIN))
    if sum(each.enrolled is not None for each in results) < sum(each.fate is not Fate.REGISTERED for each in plan):
        raise Failure


def _common(options: dict[str, Any]) -> Common:
    try:
        trusted = tuple(hosts.check_host(host) for host in options["trust_host"])
    except ValueError as error:
        raise ConfigError(f"--trust-host: {error}") from None
    return Common(trusted, tuple(options["tags"]), read_policy(options))


async def _make_plan(settings: Settings, candidates: Sequence[Candidate]) -> list[PlannedOrg]:
    async with app_of(settings) as app:
        return await app.org_import.plan(candidates)


async def _carry_out(settings: Settings, plan: Sequence[PlannedOrg], *, as_json: bool) -> list[ImportResult]:
    def say(result: ImportResult) -> None:
        click.echo(safe(result_line(result)), err=as_json)

    async with app_of(settings) as app:
        new = [each.candidate.policy for each in plan if each.fate is Fate.NEW]
        caller = await permission_to_limit(app, "import-orgs", new, "nothing was imported")
        results = await register_patiently(app, caller, plan, say, "import-orgs")
        for result in results:
            if result.enrolled is not None:
                await warn_of_unknown(app, result.enrolled.org, result.planned.candidate.policy)
        return results


async def register_patiently(
    app: App, caller: Caller, plan: Sequence[PlannedOrg], say: Callable[[ImportResult], None], command: str
) -> list[ImportResult]:
    """Register what is new in a plan. Ctrl-C stops it once no answer is under way that could be lost."""
    task = asyncio.ensure_future(app.org_import.carry_out(caller, plan, say, command))
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        tell("Stopping, once no answer of Salesforce is under way that could be lost. Ctrl-C again gives up.")
        task.cancel()
        await asyncio.wait({task})
        tell(f"What was {_DONE[command]} stays. The same command again goes on with what is missing.")
        raise


def _ask(plan: Sequence[PlannedOrg], question: str, place: str, *, here: bool, as_json: bool) -> None:
    try:
        agree(question, place, undone="nothing was imported", here=here)
    except (Failure, OperatorError):
        if as_json:
            _print_all(plan, [])
        raise


# -- what is printed


def _show_plan(plan: Sequence[PlannedOrg], place: str, *, wide: bool, as_json: bool) -> None:
    if not plan:
        tell(f"There is no org in {place}.")
    elif as_json:
        for each in plan:
            tell(f"{each.alias}: {_what(each)}")
    else:
        print_table(
            ("alias", "user", "instance", "what will happen"),
            [(each.alias, each.candidate.username, _host(each.candidate.url), _what(each)) for each in plan],
            spare=("instance", "user"),
            wide=wide,
        )


def _what(planned: PlannedOrg) -> str:
    if planned.fate is Fate.REFUSED:
        return f"cannot be imported: {planned.note}"
    fate = "new" if planned.fate is Fate.NEW else "already registered"
    notes = [planned.note] if planned.note else []
    if planned.tightened:
        notes.append(same_limits(planned.tightened, planned.candidate.policy))
    return f"{fate} ({'; '.join(notes)})" if notes else fate


def result_line(result: ImportResult, done: str = "imported") -> str:
    """What became of an org, for a person."""
    alias = result.planned.alias
    if result.enrolled is None:
        failure = f"{alias}: not {done}: {_reason(result)}"
        return f"{failure}; {result.error.hint}" if result.error is not None and result.error.hint else failure
    org = result.enrolled.org
    line = f"{alias}: {done}: {org.name}, {org.org_id}"
    if result.enrolled.also_known_as:
        line += f", which is also {', '.join(result.enrolled.also_known_as)}"
    if result.enrolled.known_limits:
        line += f"; {known_limits(result.enrolled)}"
    if result.enrolled.tightened:
        line += f"; {same_limits(result.enrolled.tightened, org.policy)}"
    return f"{line}, gone on from an earlier run" if result.enrolled.resumed else line


def _reason(result: ImportResult) -> str:
    return str(result.error).removeprefix(f"{result.planned.alias} was not registered: ")


def _print_all(plan: Sequence[PlannedOrg], results: Sequence[ImportResult]) -> None:
    by_source = {each.planned.candidate.source: each for each in results}
    print_json([_facts_of(each, by_source.get(each.candidate.source)) for each in plan])


def _facts_of(planned: PlannedOrg, result: ImportResult | None) -> dict[str, Any]:
    enrolled = result.enrolled if result else None
    error = result.error if result else None
    org = enrolled.org if enrolled else None
    return {
        "alias": planned.alias,
        "source": planned.candidate.source,
        "username": org.user.username if org and org.user else planned.candidate.username,
        "org_id": org.org_id if org else planned.candidate.org_id,
        "instance_url": org.instance_url if org else planned.candidate.url,
        "plan": planned.fate.value,
        "note": planned.note or None,
        "imported": None if result is None else enrolled is not None,
        "rotated": enrolled.rotated if enrolled else None,
        "also_known_as": list(enrolled.also_known_as) if enrolled else [],
        "tightened": list(enrolled.tightened if enrolled else planned.tightened),
        "error": str(error) if error else None,
        "hint": error.hint if error else None,
    }


def _sum_up(plan: Sequence[PlannedOrg], results: Sequence[ImportResult]) -> None:
    failed = sum(each.error is not None for each in results)
    counts = {
        "imported": len(results) - failed,
        "already registered": sum(each.fate is Fate.REGISTERED for each in plan),
        "failed": failed,
        "cannot be imported": sum(each.fate is Fate.REFUSED for each in plan),
    }
    tell(", ".join(f"{count} {words}" for words, count in counts.items() if count) or "Nothing to import.")


def _warn_of_copies(results: Sequence[ImportResult], place: str, *, is_file: bool) -> None:
    rotated = sum(each.enrolled is not None and each.enrolled.rotated for each in results)
    if rotated:
        remedy = "Delete it." if is_file else "Remove them there."
        if place == place_of(None):
            remedy = "There, forget each with sf org logout --target-org NAME, or log in anew with sf org login web."
        warn(
            f"refresh token rotation is on in {count_of(rotated, 'org')}: the copies in {place} are dead now, and "
            f"using one would revoke ours. {remedy}"
        )
    elif is_file and any(each.enrolled for each in results):
        warn(f"{place} holds secrets that still work; delete it once everything is imported")


def _host(url: str | None) -> str | None:
    return url.partition("://")[2] if url else None
