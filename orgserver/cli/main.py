"""The commands, each imported only when it is used; groups are listed with whole summaries, and misspellings mended."""

from __future__ import annotations

import importlib
import io
import os
import re
import sys
import traceback
from typing import Any

import click
from click.shell_completion import CompletionItem

import orgserver
from orgserver.cli import completion
from orgserver.cli.output import Failure, report
from orgserver.model import names
from orgserver.model.errors import OrgserverError

INTERRUPTED = 130
_COMMANDS = {
    "demo": ("orgserver.cli.serving.demo", "See it work: a sandbox with two orgs, a real MCP client, the audit log."),
    "sandbox": ("orgserver.cli.serving.sandbox", "Serve pretend Salesforce orgs on this machine."),
    "add-org": ("orgserver.cli.orgs.enrolment", "Register a Salesforce org."),
    "list-orgs": ("orgserver.cli.orgs.commands", "List the registered orgs."),
    "show-org": ("orgserver.cli.orgs.commands", "Show all that is known of one org."),
    "check-org": ("orgserver.cli.orgs.commands", "Ask orgs whether their credentials work."),
    "update-org": ("orgserver.cli.orgs.update_org", "Rename, enable, disable or limit an org, or log in to it again."),
    "remove-org": ("orgserver.cli.orgs.commands", "Remove an org and destroy its secrets."),
    "policy": ("orgserver.cli.policies.commands", "Show, compare and try the limits of an org."),
    "import-orgs": ("orgserver.cli.orgs.import_orgs", "Register many orgs at once."),
    "apply": ("orgserver.cli.configuration.commands", "Make orgs, groups and principals as files of YAML say."),
    "export-config": ("orgserver.cli.configuration.commands", "Print all of them as YAML that apply takes."),
    "serve": ("orgserver.cli.serving.serve", "Serve MCP on standard input and output, or over HTTP."),
    "connect": ("orgserver.cli.clients.connect", "Have an MCP client start orgserver: write its configuration."),
    "disconnect": ("orgserver.cli.clients.connect", "Take orgserver out of a client's configuration."),
    "open": ("orgserver.cli.orgs.open_org", "Open an org, or a record in it, in the browser."),
    "refresh-idle": ("orgserver.cli.orgs.refresh_idle", "Keep the tokens of idle orgs alive, for cron."),
    "add-principal": ("orgserver.cli.people.principals", "Add a principal: who may call, and with what grants."),
    "list-principals": ("orgserver.cli.people.principals", "List the principals and what they are granted."),
    "show-principal": ("orgserver.cli.people.principals", "Show all that is known of a principal."),
    "update-principal": ("orgserver.cli.people.principals", "Change what a principal may do, or its API keys."),
    "remove-principal": ("orgserver.cli.people.principals", "Remove a principal with its grants and API keys."),
    "add-group": ("orgserver.cli.people.groups", "Add a group: principals that share grants."),
    "list-groups": ("orgserver.cli.people.groups", "List the groups, their members and what they are granted."),
    "update-group": ("orgserver.cli.people.groups", "Change who is in a group, and what it is granted."),
    "remove-group": ("orgserver.cli.people.groups", "Remove a group; its members stay."),
    "list-sessions": ("orgserver.cli.people.sessions", "List who is signed in, from which client."),
    "revoke-session": ("orgserver.cli.people.sessions", "End sessions: their clients may do nothing any more."),
    "connect-org": ("orgserver.cli.connections.connect", "Log in to an org as yourself."),
    "connections": ("orgserver.cli.connections.listing", "List people's own logins to orgs, and confirm new ones."),
    "disconnect-org": ("orgserver.cli.connections.disconnect", "End a login of your own to an org."),
    "approvals": ("orgserver.cli.serving.approvals", "List what agents asked for and a person must allow."),
    "approve": ("orgserver.cli.serving.approvals", "Let one call of an agent pass, once."),
    "access-report": ("orgserver.cli.audit.access", "Show who may do what where, and when they last did."),
    "audit": ("orgserver.cli.audit.commands", "Read, export and verify the audit log."),
    "backup": ("orgserver.cli.store.backup", "Copy the store while servers use it."),
    "restore": ("orgserver.cli.store.backup", "Put a backup in as the store."),
    "store": ("orgserver.cli.store.copy", "Move the store to another database."),
    "rotate-key": ("orgserver.cli.store.rotate_key", "Give the store a new master key, while servers run."),
    "doctor": ("orgserver.cli.store.doctor", "Check everything a support person would ask for."),
    "migrate": ("orgserver.cli.store.migrate", "Bring the store to the newest schema."),
}
_COMPLETION = (
    'Completion: eval "$(_ORGSERVER_COMPLETE=bash_source orgserver)" in ~/.bashrc '
    "(zsh_source for zsh, fish_source for fish)."
)


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


class LazyGroup(Group):
    """Finds commands by name without importing the others."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The names, in the order people meet them."""
        del ctx
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import one command."""
        del ctx
        if cmd_name == "help":
            return help_
        if cmd_name not in _COMMANDS:
            return None
        module = importlib.import_module(_COMMANDS[cmd_name][0])
        command: click.Command = getattr(module, cmd_name.replace("-", "_"))
        return command

    def summaries(self, ctx: click.Context) -> list[tuple[str, str]]:
        """What each command does, without importing any."""
        del ctx
        summaries = [(name, words) for name, (_, words) in _COMMANDS.items()]
        return [*summaries, ("help", "Show what a command does, and its options.")]

    def main(self, *args: Any, **extra: Any) -> Any:
        """Run, and turn every failure into one line and an exit code."""
        for stream in (sys.stdout, sys.stderr):
            if isinstance(stream, io.TextIOWrapper):
                stream.reconfigure(errors="backslashreplace")  # a terminal without UTF-8 is no reason to fail
        if completion.VARIABLE in os.environ:
            completion.prepare()
        try:
            return super().main(*args, **(extra | {"standalone_mode": False}))
        except KeyboardInterrupt:
            code = _report_interruption()
        except Exception as error:  # noqa: BLE001  # the outermost place
            code = _explain(error)
        sys.exit(code)


def _summary(command: click.Command) -> str:
    text = " ".join((command.help or "").split("\n\n")[0].split())
    first = _FIRST_SENTENCE.match(text)
    return first[1] if first else text


def _explain(error: Exception) -> int:
    """Say in one line what failed, and give the exit code."""
    while isinstance(error, ExceptionGroup) and len(error.exceptions) == 1:
        error = error.exceptions[0]  # a task group wraps even what its own body raised
    if isinstance(error, click.exceptions.Abort):
        return _report_interruption()
    if isinstance(error, click.exceptions.NoArgsIsHelpError):
        error.show()
        return error.exit_code
    if isinstance(error, click.ClickException):
        context = getattr(error, "ctx", None)
        report(error.format_message(), f"see: {context.command_path} --help" if context is not None else None)
        return error.exit_code
    if isinstance(error, Failure):
        return error.code
    if isinstance(error, OrgserverError):
        report(str(error), error.hint)
    elif isinstance(error, OSError) and error.strerror:
        where = f"{error.filename}: " if error.filename else "the output cannot be written: "
        report(where + error.strerror.lower())
    else:
        again = "run it again as: orgserver --debug COMMAND …, and report it"
        report(f"something unforeseen went wrong ({type(error).__name__})", again)
    if "--debug" in sys.argv:
        traceback.print_exception(error)
    return 1


def _report_interruption() -> int:
    report("interrupted")
    return INTERRUPTED


@click.group(
    cls=LazyGroup,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog=f"Example: orgserver demo\n\nHelp with one: orgserver help COMMAND\n\n{_COMPLETION}",
)
@click.version_option(orgserver.__version__, "-V", "--version", prog_name="orgserver")
@click.option("--debug", is_flag=True, help="Show a traceback when something fails.")
@click.pass_context
def cli(ctx: click.Context, debug: bool) -> None:
    """Let AI agents work in many Salesforce orgs at once, safely."""
    del debug
    if os.environ.get("NO_COLOR"):
        ctx.color = False


@click.command("help", epilog="Example: orgserver help audit undo")
@click.argument("words", metavar="[COMMAND]...", nargs=-1, shell_complete=completion.commands)
@click.pass_context
def help_(ctx: click.Context, words: tuple[str, ...]) -> None:
    """Show what a command does, and its options."""
    context = ctx.find_root()
    for word in words:
        command = context.command
        inner = command.get_command(context, word) if isinstance(command, click.Group) else None
        if inner is None:
            group = command if isinstance(command, Group) else cli
            raise group.unknown(context, word)
        context = click.Context(inner, info_name=word, parent=context)
    click.echo(context.get_help())
