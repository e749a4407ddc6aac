"""`orgserver serve` in a process that is forked from one which has imported all of it: it starts in a part of the time.

A server that is killed again and again would spend its life on imports. All else is its own: it opens the store, reads
its settings and takes its lines as one that an operator started.
"""

import os
import sys
from multiprocessing.connection import Connection

import aiosqlite  # noqa: F401  # this and more are what a server imports after its start
import asyncpg  # type: ignore[import-untyped]  # noqa: F401
import sqlalchemy.dialects.postgresql.asyncpg
import uvloop  # noqa: F401

import orgserver.app
import orgserver.cli.serving.serve
import orgserver.cli.serving.start
import orgserver.servers.stdio
import orgserver.serving.stdio
import orgserver.serving.tool_calls
import orgserver.tools.toolsets  # noqa: F401
from orgserver.cli.main import cli


def serve(lines_in: Connection, lines_out: Connection, environment: dict[str, str]) -> None:
    """Serve on these two, until the input ends."""
    os.environ.clear()
    os.environ.update(environment)
    os.dup2(lines_in.fileno(), 0)
    os.dup2(lines_out.fileno(), 1)
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
    sys.stdin, sys.stdout, sys.stderr = open(0), open(1, "w"), open(2, "w")  # noqa: SIM115  # for good
    lines_in.close()
    lines_out.close()
    cli(["serve"], prog_name="orgserver")
