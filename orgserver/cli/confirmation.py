"""Questions that a command asks before it does something: plain ones, which ``--yes`` answers, and guarded ones.

A guarded question stands before what loosens a limit, destroys, or lets an agent do what it may not do by itself.
Only a person at a terminal answers it, with a one-time code where one is set up; ``unattended = "allow"`` in
``config.toml`` lets automation pass where nobody is there, never an approval.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import click

from orgserver.cli.output import Failure, report, tell
from orgserver.cli.process import interruptible, operator
from orgserver.cli.terminal import NoTerminal, Terminal, controlling_terminal
from orgserver.model.errors import ConfigError, OperatorError
from orgserver.model.orgs import Caller

if TYPE_CHECKING:
    from orgserver.app import App

TYPED, CODE, UNATTENDED = "typed", "code", "unattended"
"""How a yes was given, as the label of its audit entry says it."""
_CONFIG = 'unattended = "allow" in config.toml'


def agree(question: str, *, undone: str, hint: str = "add --yes") -> None:
    """Ask; Failure after a no, ConfigError where nobody is there to answer. ``undone`` says what was not done."""
    if not is_somebody_here():
        raise nobody(undone, hint)
    with interruptible():  # left to the event loop, Ctrl-C would wait for an answer
        yes = click.confirm(question, err=True)
    if not yes:
        report(undone)
        raise Failure


async def agree_guarded(
    app: App, command: str, question: str, *, undone: str, yes: bool = False, printed: Sequence[str] = ()
) -> Caller:
    """Ask a guarded question; the operator, labelled with how the yes was given. Errors are those of ``agree``.

    ``yes`` is the command's ``--yes``: it answers only where ``config.toml`` lets automation pass. ``printed`` are the
    lines on standard output that the question speaks of: who is asked sees them also where that goes elsewhere.
    """
    allowed = app.settings.unattended == "allow"
    if allowed and yes:
        return _unattended()
    try:
        with controlling_terminal() as terminal:
            for line in () if terminal.gets_stdout else printed:
                terminal.show(line)
            return await ask_person(app, terminal, command, question, undone=undone)
    except NoTerminal:
        if allowed:
            return _unattended()
        answered = "--yes does not answer it" if yes else "it has no silent form"
        hint = f"a person confirms this at a terminal, and {answered}; for automation: {_CONFIG}"
        raise nobody(undone, hint) from None


async def ask_person(app: App, terminal: Terminal, command: str, question: str, *, undone: str) -> Caller:
    """Ask at a terminal, for the one-time code where one is set up."""
    from orgserver.services.calls.one_time_codes import refuse_if_closed  # noqa: PLC0415  # the store's imports

    codes = app.one_time_codes()
    state = await codes.state()
    if state is None:
        if terminal.ask(f"{question} [y/N]").lower() not in ("y", "yes"):
            report(undone)
            raise Failure
        return _label(TYPED)
    refuse_if_closed(state)
    answer = terminal.ask(f"{question} One-time code (Enter: no):")
    if answer.lower() in ("", "n", "no"):
        report(undone)
        raise Failure
    try:
        await codes.spend(_label(CODE), answer, command)
    except OperatorError as error:
        raise type(error)(f"{undone}: {error}", hint=error.hint) from None
    return _label(CODE)


def is_somebody_here() -> bool:
    """Tell whether plain questions can be answered: standard input is a terminal."""
    return sys.stdin is not None and sys.stdin.isatty()


def nobody(undone: str, hint: str, also: str = "") -> ConfigError:
    """The refusal where nobody is there to answer; ``also`` ends its sentence."""
    return ConfigError(f"{undone}: nobody is here to confirm it{also}", hint=hint)


def _unattended() -> Caller:
    tell(f"Nobody was asked: {_CONFIG}.")
    return _label(UNATTENDED)


def _label(how: str) -> Caller:
    return replace(operator(), label=how)
