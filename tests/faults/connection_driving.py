"""Processes that call with people's own logins, and do other things with them, as they are told."""

from __future__ import annotations

import asyncio
import itertools
import json
import os
from contextlib import suppress
from pathlib import Path
from typing import Any

from . import connection_process
from .forking import STDIN, STDOUT, ForkedProcess, fork_program
from .store_places import StorePlace

Reply = dict[str, Any]


class Gone(Exception):
    """The process was killed."""


class Process:
    """A process that does what it is told; many things at once."""

    def __init__(self, process: ForkedProcess) -> None:
        self._process = process
        self._waiting: dict[int, asyncio.Future[Reply]] = {}
        self._about: dict[int, tuple[str, str]] = {}
        self._ids = itertools.count()
        self._is_gone = False
        self._reading: asyncio.Task[None] | None = None

    @classmethod
    async def start(cls, home: Path, place: StorePlace) -> Process:
        """One that has the store open."""
        environment = os.environ | {"ORGSERVER_HOME": str(home), "ORGSERVER_LOG_LEVEL": "error"} | place.environment
        run = connection_process.run
        process = cls(await fork_program((), environment, STDIN, STDOUT, limit=1 << 20, run=run))
        assert process._process.stdout is not None
        assert json.loads(await process._process.stdout.readline()) == {"kind": "ready"}
        process._reading = asyncio.create_task(process._read())
        return process

    async def _read(self) -> None:
        assert self._process.stdout is not None
        with suppress(ConnectionError):
            while line := await self._process.stdout.readline():
                with suppress(json.JSONDecodeError):  # it was killed while it wrote
                    reply = json.loads(line)
                    del self._about[reply["id"]]
                    self._waiting.pop(reply.pop("id")).set_result(reply)
        self._is_gone = True
        for future in self._waiting.values():
            future.set_exception(Gone())

    async def __call__(self, do: str, **facts: Any) -> Reply:
        if self._is_gone or self._process.stdin is None:
            raise Gone
        id_ = next(self._ids)
        future = self._waiting[id_] = asyncio.get_running_loop().create_future()
        self._about[id_] = facts.get("principal", ""), facts["org"]
        self._process.stdin.write(json.dumps({"id": id_, "do": do, **facts}).encode() + b"\n")
        return await future

    @property
    def under_way(self) -> set[tuple[str, str]]:
        """Whose logins to which orgs it is busy with."""
        return set(self._about.values())

    async def end(self, *, kill: bool) -> None:
        """Let it end, or kill it."""
        if kill:
            self._process.kill()
        elif self._process.stdin is not None:
            self._process.stdin.close()
        await self._process.wait()
        if self._reading is not None:
            await self._reading
