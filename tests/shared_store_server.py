"""The PostgreSQL server of a test run: made when the first test asks for it, shared by all workers, gone at the end."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from tests.store_server import StoreServer

FOLDER = "STORE_SERVER_OF_TESTS"
"""The variable that tells workers where the shared server is, or is to be."""
_MEMORY = Path("/dev/shm")  # where a commit waits for no disk
_ROOM_BYTES = 1 << 30


def reserve() -> Callable[[], None]:
    """Have a place for the run's server; called by whoever starts the workers. What ends the server, if there is one."""
    roomy = _MEMORY.is_dir() and shutil.disk_usage(_MEMORY).free >= _ROOM_BYTES
    folder = Path(tempfile.mkdtemp(prefix="orgserver-postgresql-", dir=_MEMORY if roomy else None))
    folder.chmod(0o711)  # its user may pass, and nobody may look
    os.environ[FOLDER] = str(folder)

    def release() -> None:
        state = _read_state(folder)
        if state is not None:
            StoreServer(**state).remove()
        shutil.rmtree(folder)

    return release


def find(prepare: Callable[[StoreServer], str]) -> StoreServer:
    """The run's server, started by the first who asks; ``prepare`` makes its template database."""
    folder = Path(os.environ[FOLDER])
    with _alone(folder):
        state = _read_state(folder)
        if state is not None:
            return StoreServer(**state)
        (folder / "server").mkdir(mode=0o755)
        server = StoreServer.make(folder / "server")
        _write_state(folder, server)  # from now on it is stopped at the end, whatever comes
        server.template = prepare(server)
        _write_state(folder, server)
        return server


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    with (folder / "lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _read_state(folder: Path) -> dict[str, Any] | None:
    with suppress(FileNotFoundError):
        state: dict[str, Any] = json.loads((folder / "state.json").read_text("utf-8"))
        return state | {name: Path(state[name]) for name in ("folder", "programs")}
    return None


def _write_state(folder: Path, server: StoreServer) -> None:
    names = {"folder": str(server.folder), "programs": str(server.programs)}
    state = {"port": server.port, "pid": server.pid, "template": server.template} | names
    (folder / "state.json").write_text(json.dumps(state), "utf-8")
