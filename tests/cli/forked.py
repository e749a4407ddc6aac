"""Commands that begin quickly: copies of a process that has imported the product and run the migrations once.

Each is a process of its own, with its own environment, folder and standard streams; only its imports are not its own,
and a store it makes gets its tables at once, as those of a test's own process do.
"""

import array
import asyncio
import atexit
import gc
import importlib
import json
import os
import pkgutil
import resource
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from typing import Any

from sqlalchemy import create_engine

from orgserver.store import migration
from tests.new_stores import Schema

LIMITS = (resource.RLIMIT_CORE, resource.RLIMIT_FSIZE, resource.RLIMIT_NOFILE, resource.RLIMIT_AS)
AT_BIRTH = ("PYTHON", "LC_", "LANG", "TZ", "MALLOC", "LD_")
"""Beginnings of the names of variables that act while Python starts."""
ROOMS = ("orgserver.cli", "orgserver.services", "orgserver.store")
IMPORTS = ("orgserver.app", "ctypes", "concurrent.futures.thread", "httpx", "rich.table")
EXTRAS = ("orgserver.cli.serving.demo", "orgserver.services.audit.parquet")
"""They bring libraries along that most commands do without."""


class Template:
    """The process that is copied, and what it was born with."""

    def __init__(self) -> None:
        self._socket, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-c", f"from {__name__} import wait_to_be_copied as wait; wait({theirs.fileno()})"],
                pass_fds=[theirs.fileno()], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
            )  # fmt: skip
        self._variables = _at_birth(dict(os.environ))

    def fits(self, environment: dict[str, str]) -> bool:
        """Whether a copy is what a process started now would be."""
        return _at_birth(environment) == self._variables

    async def run(self, args: tuple[str, ...], environment: dict[str, str], stdin: bytes) -> tuple[int, bytes, bytes]:
        """Run a command to its end: its exit code, and what it printed."""
        with tempfile.TemporaryFile() as input_file, tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
            input_file.write(stdin)
            input_file.seek(0)
            answers, status = os.pipe()
            files = array.array("i", [input_file.fileno(), out.fileno(), err.fileno(), status])
            order = json.dumps([list(args), environment, os.getcwd(), _limits()]).encode()
            with open(answers) as answer:
                try:
                    self._socket.sendmsg([order], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, files)])
                finally:
                    os.close(status)
                pid, code = await _read(answer)
            assert pid, "a command did not end"
            out.seek(0)
            err.seek(0)
            return code, out.read(), err.read()

    def close(self) -> None:
        self._socket.close()
        self._process.wait()


async def _read(answer: Any) -> tuple[int, int]:
    """What the keeper of a copy says: the copy's process id, then its exit code."""
    pid = int(await asyncio.to_thread(answer.readline) or 0)
    try:
        async with asyncio.timeout(30):
            return pid, int(await asyncio.to_thread(answer.readline))
    except BaseException:
        if pid:
            os.kill(pid, signal.SIGKILL)
        raise


def _limits() -> list[tuple[int, int]]:
    return [resource.getrlimit(limit) for limit in LIMITS]


def _at_birth(environment: dict[str, str]) -> dict[str, str]:
    return {name: value for name, value in environment.items() if name.startswith(AT_BIRTH)}


def wait_to_be_copied(descriptor: int) -> None:
    """Import the product, then copy this process for each order; a copy leaves this function as the program."""
    sys.modules["httpx._main"] = None  # type: ignore[assignment]  # as the program does before its imports
    _prepare()
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    with socket.socket(fileno=descriptor) as orders:
        while True:
            order, files, *_ = socket.recv_fds(orders, 1 << 20, 4)
            if not order:
                return
            if os.fork() == 0:
                break
            for file in files:
                os.close(file)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    *streams, status = files
    if (copy := os.fork()) != 0:
        os.write(status, f"{copy}\n".encode())
        code = os.waitstatus_to_exitcode(os.waitpid(copy, 0)[1])
        os.write(status, f"{code}\n".encode())
        os._exit(0)
    os.close(status)
    _become(json.loads(order), streams)


def _prepare() -> None:
    for name in (*IMPORTS, *_modules()):
        importlib.import_module(name)
    schema, engine = Schema(), create_engine("sqlite://")
    with engine.connect() as connection:
        schema.upgrade(connection)
    engine.dispose()
    migration.upgrade = schema.upgrade
    gc.collect()
    gc.freeze()  # a copy need not look through what it shares


def _modules() -> list[str]:
    """Those of the rooms that commands live in and lean on."""
    found = []
    for room in ROOMS:
        paths = importlib.import_module(room).__path__
        found += [module.name for module in pkgutil.walk_packages(paths, f"{room}.")]
    return [name for name in found if name not in EXTRAS]


def _become(order: Any, streams: list[int]) -> None:
    args, environment, folder, limits = order
    for limit, (soft, hard) in zip(LIMITS, limits, strict=True):  # a command in the test's process may have lowered one
        resource.setrlimit(limit, (soft, hard))
    for number, stream in enumerate(streams):
        os.dup2(stream, number)
        os.close(stream)
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(folder)
    sys.argv = ["orgserver", *args]
    from orgserver.__main__ import main

    try:
        main()
    except SystemExit as end:
        if isinstance(end.code, int):
            _end(end.code)
        raise
    _end(0)


def _end(code: int) -> None:
    """End as Python does, but for taking modules to pieces: that would copy all memory that is shared."""
    threading._shutdown()  # type: ignore[attr-defined]  # what the interpreter calls at its end
    atexit._run_exitfuncs()
    gc.collect()  # what the command left behind complains now, if at all
    try:
        sys.stdout.flush()
        sys.stderr.flush()
    except OSError:
        return
    os._exit(code)
