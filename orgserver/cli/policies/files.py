"""``--policy FILE``: the policy that a file holds, and what a person should know of it."""

from __future__ import annotations

import sys
from pathlib import Path

from orgserver.cli.output import warn
from orgserver.cli.policies.limit_texts import contradictions
from orgserver.model.access.policies import Policy
from orgserver.model.errors import ConfigError

_STDIN = "-"


def read_file(file: str) -> Policy:
    """The policy of a file, with a warning for rules that contradict; ConfigError is one line with the fault's line."""
    from orgserver.cli.policies import yaml_text  # noqa: PLC0415  # only who has such a file waits for PyYAML

    place = "standard input" if file == _STDIN else Path(file).name
    text = yaml_text.read(_read(file, yaml_text.MAX_BYTES + 1), place)
    for name, item, words in contradictions(text.policy):
        warn(f"{place}, line {text.line_of(name, item)}: {words}")
    return text.policy


def _read(file: str, size: int) -> bytes:
    if file == _STDIN:
        return sys.stdin.buffer.read(size)
    try:
        with Path(file).open("rb") as reader:
            return reader.read(size)
    except OSError as error:
        reason = (error.strerror or type(error).__name__).lower()
        raise ConfigError(f"{file}: {reason}", hint="give the path of a YAML file, or - for standard input") from None
    except ValueError:  # a NUL in its name
        raise ConfigError("--policy: that is no file name") from None
