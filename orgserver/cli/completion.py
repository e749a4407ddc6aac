"""What a shell offers when a person presses Tab: names from the store, without opening it or any secret in it."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any

import click
from click.shell_completion import BashComplete, CompletionItem, add_completion_class, split_arg_string

from orgserver.model.text import clean_text

TOOLSETS = ("contacts", "appointments", "query", "orgs", "metadata", "records", "bulk", "fleet", "all")
VARIABLE = "_ORGSERVER_COMPLETE"
"""Set where a shell asks."""
_UNDOABLE = ("create", "update", "delete", "upsert")
_HELP = 60
_USUAL_OBJECTS = ("Account", "Case", "Contact", "Event", "Lead", "Opportunity", "Task")
_BREAKS = re.compile(r"[:=]+")

Items = list[CompletionItem]


def prepare() -> None:
    """Have bash's words read as they were typed."""
    add_completion_class(_Bash, "bash")


def aliases(_ctx: click.Context, _param: click.Parameter, incomplete: str) -> Items:
    """Registered orgs; of several with commas between them, the last."""
    from orgserver.store import completion_names  # noqa: PLC0415  # only for a shell that asks

    head, comma, last = incomplete.rpartition(",")
    matches = [(alias, name) for alias, name in _look_up(completion_names.aliases) if alias.startswith(last)]
    return [CompletionItem(f"{head}{comma}{alias}", help=_words(name)) for alias, name in matches]


def own_login_aliases(_ctx: click.Context, _param: click.Parameter, incomplete: str) -> Items:
    """Registered orgs to which people log in themselves."""
    from orgserver.store import completion_names  # noqa: PLC0415  # as above

    rows = _look_up(completion_names.own_login_aliases)
    return [CompletionItem(alias, help=_words(name)) for alias, name in rows if alias.startswith(incomplete)]


def toolsets(_ctx: click.Context, _param: click.Parameter, incomplete: str) -> Items:
    """Toolsets, in the same way."""
    head, comma, last = incomplete.rpartition(",")
    return [CompletionItem(f"{head}{comma}{name}") for name in TOOLSETS if name.startswith(last)]


def tools(_ctx: click.Context, _param: click.Parameter, incomplete: str) -> Items:
    """Tools, in the same way."""
    from orgserver.tools.toolsets import EVERY  # noqa: PLC0415  # the SDK is slow to import

    head, comma, last = incomplete.rpartition(",")
    return [CompletionItem(f"{head}{comma}{name}") for name in EVERY if name.startswith(last)]


def entries(_ctx: click.Context, _param: click.Parameter, incomplete: str) -> Items:
    """Audit entries, the newest first."""
    return _entries(incomplete)


def changes(_ctx: click.Context, _param: click.Parameter, incomplete: str) -> Items:
    """Audit entries that can be undone, as far as their action says."""
    return _entries(incomplete, _UNDOABLE)


def principals(_ctx: click.Context, _param: click.Parameter, incomplete: str) -> Items:
    """Whoever is in the audit log."""
    from orgserver.store import completion_names  # noqa: PLC0415  # as above

    return [
        CompletionItem(name) for name in _look_up(completion_names.principals) if name.startswith(incomplete.lower())
    ]


def registered_principals(_ctx: click.Context, _param: click.Parameter, incomplete: str) -> Items:
    """Principals that were added; of several with commas between them, the last."""
    from orgserver.store import completion_names  # noqa: PLC0415  # as above

    return _last_of_list(completion_names.registered_principals, incomplete)


def policy_objects(_ctx: click.Context, _param: click.Parameter, incomplete: str) -> Items:
    """Objects of a policy's rule: usual ones, and those that were described; behind the colon, the actions on it."""
    from orgserver.model.access.policies import OBJECT_ACTIONS  # noqa: PLC0415  # as above
    from orgserver.store import completion_names  # noqa: PLC0415  # as above

    sobject, colon, actions = incomplete.partition(":")
    if colon:
        head, comma, last = actions.rpartition(",")
        rest = [each for each in OBJECT_ACTIONS if each.startswith(last) and each not in head.split(",")]
        return [CompletionItem(f"{sobject}:{head}{comma}{each}") for each in rest]
    usual = {name.lower(): name for name in _USUAL_OBJECTS}
    every = dict.fromkeys([*usual, *_look_up(completion_names.described_objects)])
    return [CompletionItem(usual.get(name, name)) for name in every if name.startswith(incomplete.lower())]


def groups(_ctx: click.Context, _param: click.Parameter, incomplete: str) -> Items:
    """Groups, in the same way."""
    from orgserver.store import completion_names  # noqa: PLC0415  # as above

    return _last_of_list(completion_names.groups, incomplete)


def selectors(ctx: click.Context, param: click.Parameter, incomplete: str) -> Items:
    """What grants are on: aliases, and the other forms a selector has."""
    forms = [CompletionItem(form) for form in ("*", "tag:") if incomplete and form.startswith(incomplete)]
    return aliases(ctx, param, incomplete) + forms


def sessions(_ctx: click.Context, _param: click.Parameter, incomplete: str) -> Items:
    """Sessions of sign-in that have not been ended, the newest first."""
    from orgserver.store import completion_names  # noqa: PLC0415  # as above

    rows = _look_up(completion_names.sessions)
    return [CompletionItem(id_, help=_words(of)) for id_, of in rows if id_.startswith(incomplete.lower())]


def holds(_ctx: click.Context, _param: click.Parameter, incomplete: str) -> Items:
    """Holds on the audit log."""
    from orgserver.store import completion_names  # noqa: PLC0415  # as above

    return [CompletionItem(name) for name in _look_up(completion_names.holds) if name.startswith(incomplete)]


def commands(ctx: click.Context, _param: click.Parameter, incomplete: str) -> Items:
    """Commands, those within the ones that were typed."""
    command: click.Command | None = ctx.find_root().command
    context = ctx.find_root()
    for word in ctx.params.get("words") or ():
        command = command.get_command(context, word) if isinstance(command, click.Group) else None
    if not isinstance(command, click.Group):
        return []
    return [CompletionItem(name) for name in command.list_commands(context) if name.startswith(incomplete)]


def _last_of_list(look: Callable[[Path], list[str]], incomplete: str) -> Items:
    head, comma, last = incomplete.rpartition(",")
    return [CompletionItem(f"{head}{comma}{name}") for name in _look_up(look) if name.startswith(last)]


def _entries(incomplete: str, actions: tuple[str, ...] = ()) -> Items:
    from orgserver.store import completion_names  # noqa: PLC0415  # as above

    rows = _look_up(lambda file: completion_names.entries(file, incomplete.lower(), actions))
    return [CompletionItem(id_, help=_words(what)) for id_, what in rows]


def _look_up(look: Callable[[Path], Iterable[Any]]) -> list[Any]:
    """What a look at the store gives; nothing where there is none, or none that may be read just now.

    A server is not asked: a person waits between two keys.
    """
    import sqlite3  # noqa: PLC0415  # as above

    from orgserver.config import read_settings  # noqa: PLC0415  # as above
    from orgserver.model.errors import OrgserverError  # noqa: PLC0415  # as above

    secrets = ("ORGSERVER_MASTER_KEY", "ORGSERVER_DATABASE_PASSWORD")
    environment = {name: value for name, value in os.environ.items() if name not in secrets}
    with suppress(OrgserverError, sqlite3.Error, OSError, ValueError):
        return list(look(read_settings(environ=environment).database_file))
    return []


def _words(text: str) -> str:
    return clean_text(text, _HELP)


class _Bash(BashComplete):
    """Bash breaks words at ``:`` and ``=``, and replaces only what stands behind the last of them."""

    name = "bash"

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._before = ""

    def get_completion_args(self) -> tuple[list[str], str]:
        """The words as they were typed, and the last of them, which is not whole."""
        place = int(os.environ["COMP_CWORD"])
        pieces = split_arg_string(os.environ["COMP_WORDS"])[: place + 1]
        pieces += [""] * (place + 1 - len(pieces))
        words: list[str] = []
        broken = False
        for piece in pieces:
            breaks = bool(_BREAKS.fullmatch(piece))
            if words and (breaks or broken):
                words[-1] += piece
            else:
                words.append(piece)
            broken = breaks
        incomplete = words[-1]
        value = incomplete.partition("=")[2] if incomplete.startswith("-") else incomplete
        if pieces[-1] != incomplete and ":" in value:
            self._before = value[: value.rindex(":") + 1]
        return words[1:-1], incomplete

    def format_completion(self, item: CompletionItem) -> str:
        """One that may be taken, in the form of click's script."""
        return f"{item.type},{str(item.value).removeprefix(self._before)}"
