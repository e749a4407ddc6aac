"""``orgserver audit undo`` and ``erase``: put back what an agent changed, and forget what was kept for that."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from typing import TYPE_CHECKING, Any

import click

from orgserver.cli import completion
from orgserver.cli.audit import filters, undo_table
from orgserver.cli.audit.filters import parse_time
from orgserver.cli.confirmation import agree, agree_guarded
from orgserver.cli.output import Failure, print_json, report, tell
from orgserver.cli.process import app_of, operator, run, settings_of
from orgserver.cli.tables import wide_option
from orgserver.model.audit import EntryFilter
from orgserver.model.errors import CallError, OperatorError
from orgserver.model.orgs import Caller
from orgserver.model.text import count_of

if TYPE_CHECKING:
    from orgserver.app import App
    from orgserver.model.names import RecordId
    from orgserver.services.undo.preview import Undo
    from orgserver.services.undo.restorer import Restorer

_DONE = {"update": "has its old values again", "create": "was created again", "delete": "was deleted"}


@click.command(
    "undo",
    epilog="Examples:\n\n  orgserver audit undo 0197b2f0-… --dry-run\n\n"
    "  orgserver audit undo --since 2h --principal local:agent --org acme",
)
@click.argument("entry_id", metavar="[ID]", required=False, shell_complete=completion.changes)
@click.option("--request", "request_id", metavar="ID", help="Every change of one request.")
@click.option("--since", callback=parse_time, metavar="TIME", help="Every change from then on: ISO 8601, or 7d, 12h.")
@click.option("--until", callback=parse_time, metavar="TIME", help="Only before then.")
@click.option("--principal", metavar="NAME", help="Only by this principal.", shell_complete=completion.principals)
@click.option(
    "--org", metavar="ALIAS", help="Only in this org, as it was called then.", shell_complete=completion.aliases
)
@click.option("--force", is_flag=True, help="Also where somebody changed the record since.")
@click.option("--dry-run", is_flag=True, help="Only show what would happen.")
@click.option("--yes", is_flag=True, help="Do not ask, where nothing is deleted that a person must confirm.")
@wide_option
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def undo(
    entry_id: str | None,
    request_id: str | None,
    force: bool,
    dry_run: bool,
    yes: bool,
    wide: bool,
    as_json: bool,
    **criteria: Any,
) -> None:
    """Put back what one entry changed, or a whole span of them, the newest first.

    An update gets its old values back, a created record is deleted, a deleted one is created again, with a new id.
    What was changed since is left alone. Needs values that were kept (update-org ALIAS --keep-values).
    """
    entries = EntryFilter(**criteria)
    _check(entry_id, request_id, entries)
    if as_json and not (yes or dry_run):
        raise click.UsageError("--json does not ask: add --yes or --dry-run")

    async def act() -> bool:
        async with app_of(settings_of()) as app:
            restorer = app.restorer()
            if entry_id is not None:
                undos = [await restorer.preview_entry(operator(), entry_id)]
            else:
                undos = await restorer.preview_span(operator(), await filters.resolve(app, entries), request_id)
            if not yes:  # with it, what policy denies is tried: a denial is on record
                undos = [each.with_policy_problem() for each in undos]
            if not as_json:
                undo_table.show(undos, force=force, span=entry_id is None, wide=wide)
            possible = [each for each in undos if each.is_possible(force=force)]
            record_ids: dict[str, str] = {}
            if dry_run:
                _sum_up(undo_table.summary(undos, force=force) if undos else None, as_json=as_json)
            elif possible:
                caller = await _permission(app, possible, yes=yes)
                record_ids = await _do(restorer, caller, possible, force=force, single=entry_id is not None)
                gone = [each for each in possible if each.entry.id in record_ids]
                _sum_up(undo_table.ended(undos, gone, len(possible)) if entry_id is None else None, as_json=as_json)
            if as_json:
                print_json([_as_json(each, record_ids, force=force) for each in undos])
            return len(possible if dry_run else record_ids) == len(undos)

    if not run(act()):
        raise Failure


def _check(entry_id: str | None, request_id: str | None, entries: EntryFilter) -> None:
    if entry_id is not None and (request_id or entries != EntryFilter()):
        raise click.UsageError("give the ID of an entry, or a span, not both")
    if entry_id is None and not request_id and not (entries.since and entries.principal):
        raise click.UsageError("give the ID of an entry, --request, or --since with --principal")
    if entries.since and entries.until and entries.until <= entries.since:
        raise click.UsageError("--until is not after --since")


def _sum_up(words: str | None, *, as_json: bool) -> None:
    if words is not None and not as_json:
        tell(words)


async def _permission(app: App, undos: list[Undo], *, yes: bool) -> Caller:
    """Ask before anything is undone; whoever does it."""
    question, undone = f"Undo {'it' if len(undos) == 1 else f'these {len(undos):,}'}?", "nothing was undone"
    deletes = sum(each.needs_confirmation for each in undos)
    if deletes:
        noun = "record" if deletes == 1 else "records"
        question = f"{question} It deletes {deletes:,} {noun}, where a person confirms every delete."
        lines = undo_table.lines(undos)
        return await agree_guarded(app, "audit undo", question, undone=undone, yes=yes, printed=lines)
    if not yes:
        agree(question, undone=undone, hint="add --yes, or --dry-run")
    return operator()


async def _do(restorer: Restorer, caller: Caller, undos: list[Undo], *, force: bool, single: bool) -> dict[str, str]:
    """Undo, each by itself; what fails is said, and what stands on the same record is not tried after it."""
    record_ids: dict[str, str] = {}
    moved: dict[str, RecordId] = {}
    failed: set[str] = set()
    for each in undos:
        record_id = each.restore.record_id if each.restore is not None else ""
        if record_id in failed:
            report(f"{undo_table.named(each)} was not tried: a later change of the same record could not be undone")
            continue
        try:
            record_ids[each.entry.id] = now = await restorer.restore(caller, each, force=force, moved=moved)
        except (CallError, OperatorError) as error:
            failed.add(record_id)
            may = "may have been undone" if isinstance(error, CallError) and error.outcome == "unknown" else "stays"
            report(f"{undo_table.named(each)} {may}: {error}", error.hint)
            continue
        also = f" as {now}" if each.how == "create" else ""
        if single or also:  # a new id is told in any case
            tell(f"Undone: {undo_table.named(each)} {_DONE[each.how or 'update']}{also}.")
    return record_ids


def _as_json(each: Undo, record_ids: dict[str, str], *, force: bool) -> dict[str, Any]:
    return {
        "id": each.entry.id,
        "org": each.entry.org,
        "object": each.entry.object,
        "record_id": each.entry.record_ids[0] if each.entry.record_ids else None,
        "action": each.entry.action,
        "undo": each.how,
        "changes": [{"field": one.field, "from": one.before, "to": one.after} for one in each.changes],
        "possible": each.is_possible(force=force),
        "problem": each.problem,
        "done": each.entry.id in record_ids,
        "new_record_id": record_ids.get(each.entry.id) if each.how == "create" else None,
    } | ({"acts_as": each.acts_as} if each.acts_as is not None else {})


@click.command("erase", epilog="Example: orgserver audit erase --record-id 003xx000004TmiQAAS")
@click.option("--record-id", "--record", cls=filters.OneName, metavar="ID", help="What was kept of this record.")
@click.option("--org", metavar="ALIAS", help="What was kept of this org.", shell_complete=completion.aliases)
@click.option("--before", callback=parse_time, metavar="TIME", help="What was kept before then: ISO 8601, or 400d.")
@click.option(
    "--principal",
    metavar="NAME",
    help="What was kept of changes by this principal.",
    shell_complete=completion.principals,
)
@click.option("--yes", is_flag=True, help="Do not ask, where config.toml lets commands run unattended.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def erase(
    record_id: str | None, org: str | None, before: datetime | None, principal: str | None, yes: bool, as_json: bool
) -> None:
    """Erase kept field values for good, for a privacy request or by age. Entries stay, and the log still verifies.

    With several options, only what they all mean. A person at a terminal must agree.
    """
    if not any((record_id, org, before, principal)):
        raise click.UsageError("give --record-id, --org, --before or --principal")
    record_id = filters.record_id(record_id)

    async def act() -> int:
        from orgserver.services.undo import erasure  # noqa: PLC0415
        from orgserver.store.audit.snapshots import SnapshotFilter  # noqa: PLC0415

        async with app_of(settings_of()) as app:
            which = await erasure.which_org(app.access, operator(), org) if org is not None else SnapshotFilter()
            filters.warn_of_alias(org, (await app.access.catalog()).by_alias)
            record = await filters.whole_record(app, record_id)
            which = replace(which, record_id=record, before=before, principal=principal)
            count = await erasure.erasable(app.store, which)
            if not count:
                return 0
            question = f"Erase the kept values of {_entries(count)}? They cannot be undone afterwards."
            caller = await agree_guarded(app, "audit erase", question, undone="nothing was erased", yes=yes)
            return await erasure.erase(app.store, caller, which, org)

    erased = run(act())
    if as_json:
        print_json({"erased": erased})
        return
    tell(f"Erased: the kept values of {_entries(erased)}." if erased else "No kept values match.")


def _entries(count: int) -> str:
    return count_of(count, "entry")
