"""Every option that the README and the pages of docs show is one of its command."""

import re
from collections.abc import Iterator

import click

from orgserver.cli.main import cli
from tests.docs.pages import MANUAL, find_code

COMMAND = re.compile(r"(?:^(?:[A-Z_]+=\S+\s+)*|/bin/|[|;&] |-- )orgserver ([^#|;\n]+)", re.MULTILINE)
OPTION = re.compile(r"(?<!\S)--[a-z][a-z-]*")


def test_every_option_that_is_shown_is_one() -> None:
    shown = [words for code in find_code(MANUAL) for words in COMMAND.findall(_in_whole_lines(code))]
    pairs = [(words, option) for words in shown for option in OPTION.findall(words)]

    assert len(pairs) > 100
    assert [pair for pair in pairs if pair[1] not in {"--help", *_options(pair[0])}] == []


def _in_whole_lines(code: str) -> str:
    return code.replace("\\\n", "")


def _options(words: str) -> Iterator[str]:
    command: click.Command | None = cli
    context = click.Context(cli)
    for word in words.split():
        if not isinstance(command, click.Group):
            break
        command = command.get_command(context, word)
    for parameter in command.params if command else ():
        yield from (*parameter.opts, *parameter.secondary_opts)
