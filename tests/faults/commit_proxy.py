"""Stands between a store's writer and its server, and takes COMMITs or their replies out of the line.

It knows the line's messages (https://www.postgresql.org/docs/current/protocol-message-formats.html): a byte of kind,
four of length. A COMMIT is a simple query. Each fault but silence ends the connection on both sides.
"""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Literal

Loss = Literal["request", "reply", "late", "silence"]
"""``request``: the COMMIT never arrives. ``reply``: it is done, and nobody hears of it. ``late``: it is still on its way
when its sender has heard that the line is gone. ``silence``: it is done, and the line stays open without a word."""
LOSSES: tuple[Loss, ...] = ("request", "reply", "late")
LATE_SECONDS = 0.15


class CommitProxy:
    """One listener; ``left`` says how many COMMITs are still to be lost."""

    def __init__(self, port: int, chance: random.Random, share: float) -> None:
        self.port = 0
        self.target = port
        """Where the server is."""
        self.lost: Counter[str] = Counter()
        self.losses: tuple[Loss, ...] = LOSSES
        self.left = 0
        self.closes = False
        """With the next loss nobody gets through any more."""
        self.is_closed = False
        """Nobody gets through: connections are refused by closing them."""
        self._chance = chance
        self._share = share
        self._lines: set[asyncio.Task[None]] = set()

    def cut(self) -> None:
        """End every connection."""
        for line in self._lines:
            line.cancel()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Carry one connection."""
        task = asyncio.current_task()
        assert task is not None
        self._lines.add(task)
        try:
            if not self.is_closed:
                await self._carry(reader, writer)
        except (OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass
        finally:
            self._lines.discard(task)
            writer.close()

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        from_server, to_server = await asyncio.open_connection("127.0.0.1", self.target)
        back = asyncio.create_task(_pump(from_server, writer))
        try:
            to_server.write(await _read_start(reader))
            while True:
                message = await _read_message(reader)
                loss = self._loss_of(message)
                if loss is not None:
                    back.cancel()
                    await asyncio.gather(back, return_exceptions=True)
                    await _lose(loss, message, writer, from_server, to_server)
                    return
                to_server.write(message)
                await to_server.drain()
        finally:
            back.cancel()
            to_server.close()

    def _loss_of(self, message: bytes) -> Loss | None:
        if not message.startswith(b"Q") or not message[5:].upper().startswith(b"COMMIT"):
            return None
        if not self.left or self._chance.random() >= self._share:
            return None
        self.left -= 1
        loss = self._chance.choice(self.losses)
        self.lost[loss] += 1
        self.is_closed = self.closes
        return loss


async def _lose(
    loss: Loss,
    message: bytes,
    writer: asyncio.StreamWriter,
    from_server: asyncio.StreamReader,
    to_server: asyncio.StreamWriter,
) -> None:
    if loss == "request":
        return
    if loss == "late":
        writer.close()
        await asyncio.sleep(LATE_SECONDS)
    to_server.write(message)
    with suppress(asyncio.IncompleteReadError):
        while not (await _read_message(from_server)).startswith(b"Z"):  # ready for the next: it is done
            pass
    if loss == "silence":
        await asyncio.Event().wait()


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while data := await reader.read(1 << 16):
            writer.write(data)
            await writer.drain()
    except OSError:
        pass
    writer.close()


async def _read_start(reader: asyncio.StreamReader) -> bytes:
    length = await reader.readexactly(4)
    return length + await reader.readexactly(int.from_bytes(length) - 4)


async def _read_message(reader: asyncio.StreamReader) -> bytes:
    head = await reader.readexactly(5)
    return head + await reader.readexactly(int.from_bytes(head[1:]) - 4)


@asynccontextmanager
async def commit_proxy(port: int, *, seed: int, share: float = 0.3) -> AsyncIterator[CommitProxy]:
    """A proxy in front of the server at a port; of so many COMMITs a share is lost, while any are to be."""
    proxy = CommitProxy(port, random.Random(seed), share)
    listener = await asyncio.start_server(proxy.serve, "127.0.0.1", 0)
    proxy.port = listener.sockets[0].getsockname()[1]
    try:
        yield proxy
    finally:
        listener.close()
        proxy.cut()
