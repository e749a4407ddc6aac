"""The options that set limits, of an org and of a principal alike, and the policy or change of one that they make."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import click

from orgserver.cli import completion
from orgserver.cli.output import warn
from orgserver.cli.policies.files import read_file
from orgserver.cli.policies.limit_texts import contradictions
from orgserver.model.access.hours import Hours
from orgserver.model.access.policies import SWITCHES, Policy, option, read_object_rule, read_policy_field
from orgserver.model.access.policy_edits import PolicyEdit

F = TypeVar("F", bound=Callable[..., Any])
EVERY = "*"
"""What a ``--no-…`` of a list means that names no item."""
_SWITCH_TEXTS = {
    "read_only": "Refuse every change.",
    "confirm_deletes": "Let a person confirm every delete: at the client, or by `orgserver approve`.",
    "keep_values": "Keep, sealed, what changes replace, so that `audit undo` can restore it.",
}
_RULE = "NAME[:read,create,update,delete]"
_FIELD = "Object.Field"
_LISTS = {
    "allow_objects": (_RULE, "Let agents touch this object, and none that is not named so."),
    "deny_objects": (_RULE, "Keep agents from this object, or from these actions on it."),
    "hide_fields": (_FIELD, "Never show this field, compare by it, write it or tell of it."),
    "mask_fields": (_FIELD, "Show only a part of this field (a…@e….com), and never compare by it."),
}
_NUMBERS = {
    "row_limit": "The most records that one query gives, over all its pages.",
    "confirm_above": "A person confirms a change of more records than this. [default: 200]",
    "api_budget": "The most API calls a day (UTC) that agents use.",
}
_HOURS = "Agents work only then: 'Mon-Fri 08:00-18:00, Sat 10:00-14:00 Europe/Berlin'; of several, all must hold."
_READERS: Mapping[str, Callable[[str], Any]] = {
    "allow_objects": read_object_rule,
    "deny_objects": read_object_rule,
    "hide_fields": read_policy_field,
    "mask_fields": read_policy_field,
    "hours": Hours.read,
}


def policy_options(command: F) -> F:
    """The options of what has no limits yet."""
    plain = [*map(_switch, SWITCHES), *map(_list, _LISTS), *map(_number, _NUMBERS), _hours, _file]
    for declare in reversed(plain):
        command = declare(command)
    return command


def changed_policy_options(command: F) -> F:
    """The options of what has limits already, each with a ``--no-…`` form that takes one away."""
    plain = [*map(_no_list, _LISTS), *map(_no_value, (*_NUMBERS, "hours"))]
    for declare in reversed(plain):
        command = declare(command)
    return policy_options(command)


def read_policy(options: Mapping[str, Any]) -> Policy:
    """The policy that ``policy_options`` name, with a warning for what contradicts."""
    edit = read_edit(options)
    policy = edit.apply(Policy())
    warn_of_contradictions(edit, Policy(), policy)
    return policy


def warn_of_contradictions(edit: PolicyEdit, before: Policy, after: Policy) -> None:
    """Say which rules contradict others now; of a whole policy, its file has said it."""
    old = contradictions(before)
    for each in contradictions(after) if not edit.is_whole else ():
        if each not in old:
            warn(each[-1])


def read_edit(options: Mapping[str, Any]) -> PolicyEdit:
    """The change that ``changed_policy_options`` name; wrong usage is one line."""
    if options.get("policy_file"):
        return _read_file(options)
    values: dict[str, Any] = {name: options[name] for name in SWITCHES if options.get(name) is not None}
    removed, added = {}, {}
    for name in _LISTS:
        added[name] = _read_items(name, options.get(name) or ())
        denials = options.get(f"no_{name}") or ()
        if EVERY in denials:
            values[name] = None if name == "allow_objects" else ()
        removed[name] = _read_items(name, [text for text in denials if text != EVERY], no="no-")
        _refuse_both(name, added[name], removed[name])
    for name in (*_NUMBERS, "hours"):
        values |= _read_value(name, options)
    return PolicyEdit(values, _without_empty(removed), _without_empty(added))


def _read_file(options: Mapping[str, Any]) -> PolicyEdit:
    limits = (*SWITCHES, *_LISTS, *_NUMBERS, "hours")
    stray = [option(name) for name in limits if options.get(name) not in (None, ())]
    stray += [f"no-{option(name)}" for name in limits if options.get(f"no_{name}")]
    if stray:
        raise click.UsageError(f"--policy holds every limit, so --{stray[0]} belongs into its file")
    return PolicyEdit.replacing(read_file(options["policy_file"]))


def _read_value(name: str, options: Mapping[str, Any]) -> dict[str, Any]:
    """A limit that is one value, if it is set or taken away."""
    value, is_gone = options.get(name) or None if name == "hours" else options.get(name), options.get(f"no_{name}")
    if value is not None and is_gone:
        raise click.UsageError(f"--{option(name)} and --no-{option(name)} at once")
    if name == "hours" and (value is not None or is_gone):
        return {name: _read_items(name, value or ())}
    return {name: value} if value is not None or is_gone else {}


def _read_items(name: str, texts: Any, no: str = "") -> tuple[Any, ...]:
    try:
        return tuple(map(_READERS[name], texts))
    except ValueError as error:
        raise click.UsageError(f"--{no}{option(name)}: {error}") from None


def _refuse_both(name: str, added: tuple[Any, ...], removed: tuple[Any, ...]) -> None:
    both = {str(each).casefold() for each in added} & {str(each).casefold() for each in removed}
    if both:
        word = next(str(each) for each in added if str(each).casefold() in both)
        raise click.UsageError(f"--{option(name)} and --no-{option(name)} at once for {word}")


def _without_empty(lists: dict[str, tuple[Any, ...]]) -> dict[str, tuple[Any, ...]]:
    return {name: items for name, items in lists.items() if items}


def _switch(name: str) -> Callable[[F], F]:
    word = option(name)
    return click.option(f"--{word}/--no-{word}", default=None, help=_SWITCH_TEXTS[name])


def _list(name: str) -> Callable[[F], F]:
    metavar, text = _LISTS[name]
    offered = completion.policy_objects if metavar == _RULE else None
    help_text = f"{text} Repeatable."
    return click.option(
        f"--{option(name)}", name, multiple=True, metavar=metavar, help=help_text, shell_complete=offered
    )


def _no_list(name: str) -> Callable[[F], F]:
    metavar, _ = _LISTS[name]
    return click.option(
        f"--no-{option(name)}",
        f"no_{name}",
        multiple=True,
        is_flag=False,
        flag_value=EVERY,
        metavar=f"[{metavar.partition('[')[0]}]",
        help=f"Take one away from what --{option(name)} named, or all of it.",
    )


def _number(name: str) -> Callable[[F], F]:
    return click.option(f"--{option(name)}", name, type=click.IntRange(min=0), metavar="N", help=_NUMBERS[name])


def _hours(command: F) -> F:
    return click.option("--hours", multiple=True, metavar="'DAYS FROM-TO ZONE'", help=_HOURS)(command)


def _file(command: F) -> F:
    text = "Every limit, out of a YAML file; - for standard input."
    return click.option("--policy", "policy_file", metavar="FILE", type=click.Path(), help=text)(command)


def _no_value(name: str) -> Callable[[F], F]:
    text = "Take this limit away, to the usual 200." if name == "confirm_above" else "Take this limit away."
    return click.option(f"--no-{option(name)}", f"no_{name}", is_flag=True, help=text)
