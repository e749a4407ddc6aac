"""Commands that hold others: listed with whole summaries, the nearest name for one that is misspelled."""

from __future__ import annotations

import re

import click
from click.shell_completion import CompletionItem

from orgserver.model import names

_FIRST_SENTENCE = re.compile(r"(.*?\.)(?=\s|$)", re.DOTALL)


class Group(click.Group):
    """A group whose help cuts no summary short."""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command; wrong usage names the nearest one."""
        if args and not args[0].startswith("-") and self.get_command(ctx, args[0]) is None:
            raise self.unknown(ctx, args[0])
        return super().resolve_command(ctx, args)

    def unknown(self, ctx: click.Context, name: str) -> click.UsageError:
        """The error for a name that is no command here."""
        near = names.nearest(name, self.list_commands(ctx))
        whole = f"{ctx.command_path} {near}"
        return click.UsageError(
            f"there is no command {name!r}" + (f"; did you mean {whole.partition(' ')[2]}?" if near else ""), ctx
        )

    def summaries(self, ctx: click.Context) -> list[tuple[str, str]]:
        """Each command's name and the first sentence of its help."""
        commands = ((name, self.get_command(ctx, name)) for name in self.list_commands(ctx))
        return [(name, _summary(command)) for name, command in commands if command is not None and not command.hidden]

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the commands."""
        with formatter.section("Commands"):
            formatter.write_dl(self.summaries(ctx))

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """Complete a command's name."""
        items = [CompletionItem(name, help=words) for name, words in self.summaries(ctx) if name.startswith(incomplete)]
        return items + click.Command.shell_complete(self, ctx, incomplete)


def _summary(command: click.Command) -> str:
    text = " ".join((command.help or "").split("\n\n")[0].split())
    first = _FIRST_SENTENCE.match(text)
    return first[1] if first else text
