"""What a command says: to a person on standard error, and its answer, of which nothing can drive a terminal."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from typing import Any

import click

from orgserver.model.text import escape_json, escape_text


class Failure(Exception):
    """A command that has said what went wrong and ends with this exit code."""

    def __init__(self, code: int = 1) -> None:
        super().__init__(code)
        self.code = code


def report(message: str, hint: str | None = None) -> None:
    """Say on standard error what failed, and what to do."""
    click.echo(f"{_red('orgserver: error:')} {safe(message)}", err=True)
    if hint:
        click.echo(f"orgserver: hint: {safe(hint)}", err=True)


def warn(message: str) -> None:
    """Say on standard error what a person should know although the command succeeds."""
    click.echo(f"orgserver: warning: {safe(message)}", err=True)


def tell(*messages: str) -> None:
    """Say something to a person, on standard error, each on a line."""
    for message in messages:
        click.echo(safe(message), err=True)


def safe(text: object) -> str:
    """A text from elsewhere, with everything escaped that could drive a terminal."""
    return escape_text(str(text))


def print_json(value: Any) -> None:
    """Print data for machines."""
    click.echo(escape_json(json.dumps(value, ensure_ascii=False, indent=2)))


def print_json_line(value: Any) -> None:
    """Print one line of data for machines, at once."""
    click.echo(escape_json(json.dumps(value, ensure_ascii=False, separators=(",", ":"))))


def print_facts(facts: Mapping[str, object], heading: str | None = None) -> None:
    """Print what is known of one thing, a line each."""
    if heading is not None:
        click.echo(safe(heading))
    for line in fact_lines(facts):
        click.echo(line)


def fact_lines(facts: Mapping[str, object]) -> list[str]:
    """What is known of one thing, a line each."""
    width = max(map(len, facts))
    return [f"{name.replace('_', ' '):<{width}}  {safe(plain(value))}".rstrip() for name, value in facts.items()]


def plain(value: object) -> str:
    """A value in words: yes and no, and lists with commas; empty where there is none."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, Mapping):
        return ", ".join(f"{name.replace('_', ' ')} {inner}" for name, inner in value.items())
    return ", ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)


def _red(text: str) -> str:
    return text if os.environ.get("NO_COLOR") else click.style(text, fg="red", bold=True)
