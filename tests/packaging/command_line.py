"""A command line of ``serve --http`` in a packaged file, read as the command reads it."""

from __future__ import annotations

from pathlib import Path

import click

from orgserver.cli.serving.http_options import read_http_options
from orgserver.cli.serving.serve import serve
from orgserver.config import read_settings
from orgserver.serving.http.options import HttpOptions


def read_command_line(words: list[str], **settings: str) -> HttpOptions:
    """What the server would be told, beside its settings; ConfigError or click's own for words that it would refuse."""
    assert words[0] == "serve"
    command = click.Command("serve", params=[each for each in serve.params if isinstance(each, click.Option)])
    return read_http_options(
        command.make_context("serve", words[1:]).params, read_settings({"home": Path("/nowhere")} | settings, {})
    )
