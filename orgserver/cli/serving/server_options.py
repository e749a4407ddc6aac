"""The options that say what a server offers: ``serve`` takes them, and ``connect`` writes them into a client's file."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import click

from orgserver.cli import completion
from orgserver.model import names

F = TypeVar("F", bound=Callable[..., Any])
Complete = Callable[[click.Context, click.Parameter, str], completion.Items]

LISTS = {"org": "orgs", "toolset": "toolsets", "tool": "tools", "exclude-tool": "exclude_tools"}
"""The options that take several names, and the settings they stand for."""
_TOOLSETS = "contacts, appointments, query, orgs, metadata (these by default), records, bulk, fleet or all."


def offer_options(command: F) -> F:
    """Add the options; each list may be repeated or take commas."""
    command = _list("exclude-tool", "NAME", "Leave this tool out.", completion.tools)(command)
    only = "Offer this tool; without --toolset, exactly those that are named."
    command = _list("tool", "NAME", only, completion.tools)(command)
    command = _list("toolset", "NAME", _TOOLSETS, completion.toolsets)(command)
    command = click.option("--read-only", is_flag=True, help="Offer no tool that changes anything.")(command)
    return _list("org", "ALIAS", "Offer only these orgs.", completion.aliases, _aliases)(command)


def settings_of_offer(options: Mapping[str, Any]) -> dict[str, Any]:
    """What the options set over environment and file.

    Toolsets and tools are one choice: whoever names either on the command line means nothing of the environment's.
    """
    settings = {name: options[name] for name in LISTS.values() if options[name]}
    if "toolsets" in settings or "tools" in settings:
        settings = {"toolsets": (), "tools": ()} | settings
    return settings | ({"read_only": True} if options["read_only"] else {})


def arguments_of_offer(options: Mapping[str, Any]) -> list[str]:
    """The same options as ``serve`` takes them, each name by itself."""
    words = [word for option, name in LISTS.items() for each in options[name] for word in (f"--{option}", each)]
    return words + (["--read-only"] if options["read_only"] else [])


def _list(
    option: str, metavar: str, words: str, complete: Complete, read: Callable[..., tuple[str, ...]] | None = None
) -> Callable[[F], F]:
    return click.option(
        f"--{option}",
        LISTS[option],
        multiple=True,
        metavar=metavar,
        help=words,
        callback=read or _split,
        shell_complete=complete,
    )


def _split(_ctx: click.Context, _param: click.Parameter, texts: tuple[str, ...]) -> tuple[str, ...]:
    """Every name once. A text without any would mean "all" where somebody wanted to narrow: it is refused."""
    if not all(names.split_list(text) for text in texts):
        raise click.BadParameter("it names nothing")
    return names.split_list(",".join(texts))


def _aliases(ctx: click.Context, param: click.Parameter, texts: tuple[str, ...]) -> tuple[str, ...]:
    try:
        return tuple(names.alias(name) for name in _split(ctx, param, texts))
    except ValueError as error:
        raise click.BadParameter(str(error)) from None
