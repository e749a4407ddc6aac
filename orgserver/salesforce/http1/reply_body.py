"""A reply's body as it is handed on: unpacked as it comes, and bounded in what comes and in what comes out.

The content codings (RFC 9110, 8.4.1): we ask for ``gzip`` alone, and read what a server or a proxy between may send
all the same: ``x-gzip``, ``deflate`` (zlib's form, which RFC 9110 means, and the bare one that many send),
``identity``, several of them on one another, in one header or in several. Anything else cannot be read.

- gzip may have several members (RFC 1952, 2.2). What follows the last one is ignored, as gzip(1) does: a member
  carries its own length and checksum, so nothing of the reply is missing.
- A body of no bytes at all is empty however it is said to be packed: 204, 304 and answers to HEAD are so.
"""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import Generator, Iterator
from functools import lru_cache
from typing import Final

from orgserver.salesforce.http1.failures import ReplyLost
from orgserver.salesforce.http1.requests import Grow

MAX_BODY: Final = 32 * 1024 * 1024
"""The largest reply we read, in bytes, compressed or not."""
PIECE: Final = 256 * 1024
"""The most that comes out at once, in bytes; of what is larger in all, each part is unpacked in a thread."""
JOINED_INLINE: Final = 1024 * 1024
"""Bytes that are put together on the event loop; for more, 10 ms at most, others would wait."""
MAX_CODINGS: Final = 3
MAX_MEMBERS: Final = 1_000
"""How many gzip members a body may have: an empty one costs 20 bytes to send, and far more to read."""
_CODINGS: Final = {"gzip": "gzip", "x-gzip": "gzip", "deflate": "deflate"}
_GZIP_MAGIC: Final = b"\x1f\x8b"
_GZIP_BITS: Final = 16 + zlib.MAX_WBITS
_SMALL: Final = 64 * 1024
"""What comes of a body that is unpacked in one step, in bytes at most."""


def unpack_small(content_encoding: str | None, data: bytes) -> bytes | None:
    """A whole body that is small, as nearly all are; None where it takes more than one step, or cannot be read."""
    if not content_encoding:
        return data if len(data) <= _SMALL else None
    if content_encoding != "gzip" or len(data) > _SMALL:
        return None
    stream = zlib.decompressobj(_GZIP_BITS)
    try:
        content = stream.decompress(data, _SMALL)
    except zlib.error:
        return None
    return content if stream.eof and not stream.unused_data else None


class ReplyBody:
    """What has come of one body, unpacked."""

    def __init__(self, content_encoding: str | None, grow: Grow | None) -> None:
        """Begin; ``content_encoding`` has its headers' values in their order. ReplyLost for a coding not known."""
        self._grow = grow
        self._parts: list[bytes] = []
        self._received = self._size = 0
        self._unpacker = _Unpacker(content_encoding, MAX_BODY) if content_encoding else None

    async def add(self, data: bytes) -> None:
        """Unpack the next bytes; waits until there is room for what comes out.

        Raises ReplyLost for what cannot be read, and for more than may come.
        """
        self._received += len(data)
        if self._received > MAX_BODY:
            raise too_large()
        if self._unpacker is None:
            await self._keep(data)
            return
        parts = self._unpacker.unpack(data)
        while (part := await self._next(parts)) is not None:
            await self._keep(part)

    async def _next(self, parts: Iterator[bytes]) -> bytes | None:
        """The next part; in a thread once there are many: a few bytes may unpack to very many."""
        if self._size < PIECE:
            return next(parts, None)
        return await asyncio.get_running_loop().run_in_executor(None, next, parts, None)

    async def content(self) -> bytes:
        """The whole body; ReplyLost if it ends before what was packed into it does."""
        if self._unpacker is not None:
            self._unpacker.finish()
        if len(self._parts) == 1:
            return self._parts[0]
        parts, self._parts = self._parts, []
        if self._size <= JOINED_INLINE:
            return b"".join(parts)
        return await asyncio.to_thread(_join, parts)

    async def _keep(self, part: bytes) -> None:
        self._size += len(part)
        self._parts.append(part)
        if self._grow is not None:
            await self._grow(self._size)


def _join(parts: list[bytes]) -> bytes:
    content = b"".join(parts)
    while parts:
        parts.pop()  # one by one: to give all of them back at once takes as long as to put them together
    return content


def too_large() -> ReplyLost:
    """The failure of a reply larger than anything Salesforce sends."""
    return ReplyLost(f"the answer is larger than {MAX_BODY >> 20} MiB")


class _Unpacker:
    """Unpacks one body, part by part."""

    def __init__(self, content_encoding: str, limit: int) -> None:
        """``limit`` bounds what each coding unpacks to, in bytes; ReplyLost for a coding that is not known."""
        self._layers = [_Layer(name, limit) for name in reversed(_codings(content_encoding))]

    def unpack(self, data: bytes) -> Iterator[bytes]:
        """What comes out of the next bytes, in parts of at most PIECE bytes, or as they are if nothing packed them.

        Raises ReplyLost; who hands the bytes over bounds what comes in.
        """
        return self._layers[0].unpack(data) if len(self._layers) == 1 else self._through(0, data)

    def finish(self) -> None:
        """Be told that the body has ended; raises ReplyLost if it should not have."""
        if any(layer.unfinished for layer in self._layers):
            raise ReplyLost("the answer was cut off")

    def _through(self, layer: int, data: bytes) -> Iterator[bytes]:
        if layer == len(self._layers):
            yield data
            return
        for part in self._layers[layer].unpack(data):
            yield from self._through(layer + 1, part)


class _Layer:
    """One coding: the gzip members or the deflate stream under way."""

    def __init__(self, coding: str, limit: int) -> None:
        self._gzip = coding == "gzip"
        self._room = limit
        self._members = 0
        self._stream: zlib._Decompress | None = None
        self._start = b""
        """The first byte of a stream, until its second tells what it is."""
        self._over = False

    @property
    def unfinished(self) -> bool:
        """Whether something has begun and not ended."""
        return self._stream is not None or (bool(self._start) and (not self._members or _GZIP_MAGIC[:1] == self._start))

    def unpack(self, data: bytes) -> Iterator[bytes]:
        data = self._start + data
        self._start = b""
        while data and not self._over:
            if self._stream is None and not self._begins(data):
                return
            data = yield from self._inflated(data)

    def _begins(self, data: bytes) -> bool:
        """Begin the stream that these bytes are the start of; false if there is none, or not yet."""
        if len(data) < len(_GZIP_MAGIC):
            self._start = data
            return False
        if self._members and not (self._gzip and data.startswith(_GZIP_MAGIC)):
            self._over = True
            return False
        self._members += 1
        if self._members > MAX_MEMBERS:
            raise ReplyLost("the answer is packed in too many parts")
        self._stream = zlib.decompressobj(_GZIP_BITS if self._gzip else _deflate_bits(data))
        return True

    def _inflated(self, data: bytes) -> Generator[bytes, None, bytes]:
        """Yield what comes out; return the bytes behind the stream's end."""
        stream = self._stream
        assert stream is not None  # noqa: S101  # _begins has made it
        while True:
            try:
                part = stream.decompress(data, PIECE)
            except zlib.error as error:
                raise ReplyLost("the answer's compression is damaged") from error
            self._room -= len(part)
            if self._room < 0:
                raise too_large()
            if part:
                yield part
            if stream.eof:
                self._stream = None
                return stream.unused_data
            data = stream.unconsumed_tail
            if not data and len(part) < PIECE:  # a full part may have more behind it, in zlib's own memory
                return b""


@lru_cache(maxsize=16)
def _codings(content_encoding: str) -> tuple[str, ...]:
    """The codings, in the order in which they were applied."""
    names = [name.strip().lower() for name in content_encoding.split(",")]
    codings = [name for name in names if name not in ("", "identity")]
    if len(codings) > MAX_CODINGS or not _CODINGS.keys() >= set(codings):
        raise ReplyLost("the answer is packed in a way that was not asked for")
    return tuple(_CODINGS[name] for name in codings)


def _deflate_bits(data: bytes) -> int:
    """Whether zlib's header (RFC 1950, 2.2) comes first, as RFC 9110 has it, or the bare stream, as many servers do."""
    zlib_header = data[0] & 0x0F == zlib.DEFLATED and int.from_bytes(data[:2], "big") % 31 == 0
    return zlib.MAX_WBITS if zlib_header else -zlib.MAX_WBITS
