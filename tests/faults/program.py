"""`orgserver` in a process that is forked from one which has imported all of it: a server starts in a part of the time.

A server that is killed again and again would spend its life on imports. All else is its own: it opens the store, reads
its settings and takes its requests as one that an operator started.
"""

import os
import sys
from collections.abc import Mapping, Sequence
from multiprocessing.connection import Connection

# What a server imports, at its start and later.
import aiosqlite  # noqa: F401
import asyncpg  # type: ignore[import-untyped]  # noqa: F401
import sqlalchemy.dialects.postgresql.asyncpg  # noqa: F401
import uvloop  # noqa: F401

import orgserver.app
import orgserver.cli.serving.serve
import orgserver.cli.serving.start
import orgserver.servers.http
import orgserver.servers.stdio
import orgserver.serving.stdio
import orgserver.serving.tool_calls
import orgserver.tools.toolsets  # noqa: F401
from orgserver.cli.main import cli

STANDARD = range(3)
ERRORS = "FAULTS_ERRORS_FILE"
"""In the environment: the file that what it says on standard error is added to."""


def run(arguments: Sequence[str], pipes: Mapping[int, Connection], environment: Mapping[str, str]) -> None:
    """Run a command to its end, with pipes in the place of its input, output and errors; nothing where there is none."""
    take_place(pipes, environment)
    cli(list(arguments), prog_name="orgserver")


def take_place(pipes: Mapping[int, Connection], environment: Mapping[str, str]) -> None:
    """Let this process have these pipes and this environment, as one that was started with them."""
    os.environ.clear()
    os.environ.update(environment)
    nothing = os.open(os.devnull, os.O_RDWR)
    for number in STANDARD:
        os.dup2(pipes[number].fileno() if number in pipes else nothing, number)
    if ERRORS in environment:
        os.dup2(os.open(environment[ERRORS], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600), 2)
    for end in pipes.values():
        end.close()
    sys.stdin, sys.stdout, sys.stderr = open(0), open(1, "w"), open(2, "w", buffering=1)  # noqa: SIM115  # for good
