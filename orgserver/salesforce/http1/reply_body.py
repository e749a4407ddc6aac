"""A reply's body as it is handed on: unpacked as it comes, and bounded in what comes and in what comes out."""

from __future__ import annotations

import asyncio
from typing import Final

from orgserver.salesforce import content_coding
from orgserver.salesforce.http1.failures import ReplyLost
from orgserver.salesforce.http1.requests import Grow

MAX_BODY: Final = 32 * 1024 * 1024
"""The largest reply we read, in bytes, compressed or not."""


class ReplyBody:
    """What has come of one body, unpacked."""

    def __init__(self, content_encoding: str | None, grow: Grow | None) -> None:
        self._grow = grow
        self._parts: list[bytes] = []
        self._size = 0
        try:
            self._unpacker = content_coding.Unpacker((content_encoding,), MAX_BODY) if content_encoding else None
        except content_coding.Unreadable as error:
            raise ReplyLost(str(error)) from None

    async def add(self, data: bytes) -> None:
        """Unpack the next bytes; waits until there is room for what comes out.

        Raises ReplyLost for what cannot be read, and for more than may come.
        """
        if self._unpacker is None:
            await self._keep(data)
            return
        try:
            for part in self._unpacker.unpack(data):
                await self._keep(part)
                if len(part) == content_coding.PIECE:
                    await asyncio.sleep(0)  # a few bytes may unpack to very many: other orgs go on meanwhile
        except content_coding.Unreadable as error:
            raise ReplyLost(str(error)) from None
        except content_coding.TooLarge:
            raise too_large() from None

    def content(self) -> bytes:
        """The whole body; ReplyLost if it ends before what was packed into it does."""
        try:
            if self._unpacker is not None:
                self._unpacker.finish()
        except content_coding.CutOff:
            raise ReplyLost("the answer was cut off") from None
        return self._parts[0] if len(self._parts) == 1 else b"".join(self._parts)

    async def _keep(self, part: bytes) -> None:
        self._size += len(part)
        self._parts.append(part)
        if self._grow is not None:
            await self._grow(self._size)


def too_large() -> ReplyLost:
    """The failure of a reply larger than anything Salesforce sends."""
    return ReplyLost(f"the answer is larger than {MAX_BODY >> 20} MiB")
