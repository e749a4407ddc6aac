"""What ``audit undo`` would do, as people read it: one entry in full, a span as a table with what is skipped below."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

import click

from orgserver.cli.output import report, safe, tell
from orgserver.cli.tables import SHORT_ID, print_table

if TYPE_CHECKING:
    from orgserver.services.undo.preview import Undo

_ACTS = {"update": "write the old values back", "create": "create it again", "delete": "delete this record"}
_WORDS = {"update": "write back", "create": "create again", "delete": "delete"}
_DONE = {"update": "written back", "create": "created again", "delete": "deleted"}
_WIDTH, _CELL = 60, 36
_EXAMPLES = 3
_SCREEN = 20
_TITLES = ("time (UTC)", "principal", "org", "object", "record", "undo", "values", "id")
_SPARE = ("principal", "time (UTC)", "id")


def show(undos: Sequence[Undo], *, force: bool, span: bool, wide: bool) -> None:
    """Say what undoing would do; the one place where kept values are shown."""
    if not undos:
        tell("No change matches.")
    elif span:
        _table(undos, force=force, wide=wide)
    else:
        for each in undos:
            _whole(each, force=force)


def summary(undos: Sequence[Undo], *, force: bool) -> str:
    """How many changes would be undone, how, and how many would not."""
    possible = [each for each in undos if each.is_possible(force=force)]
    skipped = len(undos) - len(possible)
    how = f" ({_counted(each.how or 'update' for each in possible)})" if possible else ""
    tail = f", {skipped:,} skipped" if skipped else ""
    return f"Dry run: {len(possible):,} of {_changes(len(undos))} would be undone{how}{tail}. Nothing was changed."


def ended(undos: Sequence[Undo], successes: Sequence[Undo], tried: int) -> str:
    """How many changes were undone, and how."""
    skipped, failed = len(undos) - tried, tried - len(successes)
    how = f" ({_counted(each.how or 'update' for each in successes)})" if successes else ""
    tail = "".join(f", {number:,} {word}" for number, word in ((skipped, "skipped"), (failed, "failed")) if number)
    return f"{len(successes):,} of {_changes(len(undos))} undone{how}{tail}."


def named(each: Undo) -> str:
    """The record of an undo, and its org."""
    entry = each.entry
    return f"{entry.object} {', '.join(entry.record_ids[:1])} in {entry.org}"


def lines(undos: Sequence[Undo]) -> list[str]:
    """What is undone, a line each: deletions first, and as many as a screen has."""
    deletions_first = sorted(undos, key=lambda each: each.how != "delete")
    records = [f"{named(each)}: {_WORDS[each.how or 'update']}" for each in deletions_first[:_SCREEN]]
    return [*records, f"and {len(undos) - _SCREEN:,} more"] if len(undos) > _SCREEN else records


# -- one entry


def _whole(each: Undo, *, force: bool) -> None:
    from orgserver.services.undo.preview import NEW_ID  # noqa: PLC0415  # with what only an undo needs

    entry = each.entry
    click.echo(
        safe(f"{entry.action} of {named(each)}, {entry.time:%Y-%m-%d %H:%M:%S} UTC by {entry.principal} ({entry.id})")
    )
    deletes = each.how == "delete"
    for change in (one for one in each.changes if one.before != one.after and not deletes):
        click.echo(f"  {safe(change.field)}: {_value(change.before)} → {_value(change.after)}")
    if each.is_possible(force=force):
        note = f", {NEW_ID}" if each.how == "create" else ""
        what = f": {_values(each, 10 * _WIDTH)}" if deletes and each.changes else ""
        click.echo(f"  Undo would {_ACTS[each.how or 'update']}{note}{what}.{_acting(each)}")
    if each.problem:
        verdict = "is forced" if each.is_possible(force=force) else "cannot be undone"
        report(f"{entry.id} {verdict}: {each.problem}{_overrule(each, force=force)}")


def _acting(each: Undo) -> str:
    return f" It acts as {safe(each.acts_as)}, by your own login." if each.acts_as is not None else ""


def _overrule(each: Undo, *, force: bool) -> str:
    if not each.forceable:
        return ""
    return ", which --force overrules" if force else "; --force overrules it"


# -- a span


def _table(undos: Sequence[Undo], *, force: bool, wide: bool) -> None:
    possible = [each for each in undos if each.is_possible(force=force)]
    if possible:
        print_table(
            _TITLES,
            [
                (
                    f"{each.entry.time:%Y-%m-%d %H:%M:%S}",
                    each.entry.principal,
                    each.entry.org,
                    each.entry.object,
                    next(iter(each.entry.record_ids), None),
                    _WORDS[each.how or "update"],
                    _values(each, 10 * _WIDTH if wide else _CELL),
                    each.entry.id,
                )
                for each in possible
            ],
            spare=(*_SPARE, *_fewest_first(possible), "values"),
            ids=("id",),
            wide=wide,
        )
    _skipped([each for each in undos if not each.is_possible(force=force)], len(undos))


def _fewest_first(undos: Sequence[Undo]) -> list[str]:
    """Whether org or object is missed less: that of which there are fewer."""
    kinds = {"org": {each.entry.org for each in undos}, "object": {each.entry.object for each in undos}}
    return sorted(kinds, key=lambda title: len(kinds[title]))


def _skipped(skipped: Sequence[Undo], every: int) -> None:
    """Why changes are left alone: each reason once, the most frequent first."""
    if not skipped:
        return
    groups: dict[tuple[str, bool], list[Undo]] = {}
    for each in skipped:
        groups.setdefault((each.reason, each.forceable), []).append(each)
    click.echo(f"Skipped, {len(skipped):,} of {every:,}:")
    for (reason, forceable), group in sorted(groups.items(), key=lambda item: -len(item[1])):
        some = ", ".join(each.entry.id[:SHORT_ID] for each in group[:_EXAMPLES])
        more = ", …" if len(group) > _EXAMPLES else ""
        overrule = " (--force overrules it)" if forceable else ""
        click.echo(f"  {len(group):>5,}  {safe(reason)}{overrule} ({some}{more})")


def _values(each: Undo, width: int) -> str:
    """What would be written back, or what would go with the record."""
    if each.how == "update":
        changed = (one for one in each.changes if one.before != one.after)
        parts = [f"{one.field}: {_value(one.before)} → {_value(one.after)}" for one in changed]
    else:
        sides = ((one.field, one.before if each.how == "delete" else one.after) for one in each.changes)
        parts = [f"{field} {_value(value)}" for field, value in sides if value is not None]
    return cut(", ".join(parts), width)


def _value(value: object) -> str:
    return cut(safe("(empty)" if value is None else value), _WIDTH)


def cut(text: str, width: int) -> str:
    """A text of at most so many characters."""
    return text if len(text) <= width else f"{text[: width - 1]}…"


def _counted(hows: Iterable[str]) -> str:
    return ", ".join(f"{number:,} {_DONE[how]}" for how, number in Counter(hows).items())


def _changes(number: int) -> str:
    return "1 change" if number == 1 else f"{number:,} changes"
