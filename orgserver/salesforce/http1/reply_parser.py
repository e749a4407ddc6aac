"""Reads the replies that come on one connection, one after another: httptools parses, this bounds and judges."""

from __future__ import annotations

from typing import Final

import httptools

from orgserver.salesforce.http1.failures import ReplyLost

MAX_LINE: Final = 16 * 1024
"""The longest header, its name and value, in bytes."""
MAX_HEAD: Final = 64 * 1024
"""How many bytes may come in a row without one of the body: heads, interim replies, chunk sizes, trailers."""
MAX_HEADERS: Final = 128
MAX_INTERIM: Final = 10
"""How many replies of status 1xx may come before the one that counts."""
_FINAL, _NO_CONTENT, _NOT_MODIFIED = 200, 204, 304
_NO_HTTP: Final = "the answer is no valid HTTP"


class ReplyParser:
    """The reply under way: its head once that is complete, and the part of its body that nobody has taken yet."""

    __slots__ = (
        "_bodiless",
        "_count",
        "_headless",
        "_interim",
        "_parser",
        "_parts",
        "_until_close",
        "complete",
        "headers",
        "pending",
        "received",
        "reusable",
        "status",
    )

    def __init__(self) -> None:
        self._parser = httptools.HttpResponseParser(self)
        self._bodiless = False
        self.complete = True
        """Whether the whole reply is here; true also before the first is expected."""
        self.reusable = True
        """Whether what comes next on this connection can only be the next reply."""
        self._reset()

    def expect(self, *, bodiless: bool) -> None:
        """Get ready for the reply to the next request; ``bodiless``: one to HEAD, which says a length and has none."""
        self._bodiless = bodiless
        self._interim = 0
        self.complete = self.reusable = False
        self._reset()

    def _reset(self) -> None:
        self.status = 0
        self.headers: dict[str, str] = {}
        """By names in lower case; the values of one that comes again are joined by commas."""
        self.received = 0
        """Bytes of the body so far, as they came."""
        self.pending = 0
        """Those of them that nobody has taken yet."""
        self._until_close = False
        """Whether only the end of the connection ends the body."""
        self._parts: list[bytes] = []
        self._count = 0
        self._headless = 0

    def feed(self, data: bytes) -> str | None:
        """Read what came; the reason why it is no reply that can be read, None if it may be."""
        self._headless += len(data)
        was_complete = self.complete
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            return "the answer changes to another protocol"
        except httptools.HttpParserError as error:
            self.reusable = False
            if was_complete:
                return None
            self.complete = False  # what came with its end belongs to nothing, so perhaps that was not its end
            refusal = error.__context__
            return str(refusal) if isinstance(refusal, ReplyLost) else _NO_HTTP
        if self.complete:
            if self._bodiless:
                self._parser = httptools.HttpResponseParser(self)  # the old one still waits for a body
        elif self._headless > MAX_HEAD:
            return "the answer's head has no end"
        return None

    def end(self, *, whole: bool) -> bool:
        """Be told that the other side sends nothing more; whether that completes the reply.

        ``whole``: a body that only the end of the connection ends has come to its end.
        """
        self.reusable = False
        if self._until_close and whole:
            self.complete = True
        return self.complete

    def take(self) -> bytes:
        """The part of the body that has come since this was last asked."""
        parts, self._parts = self._parts, []
        self.pending = 0
        return parts[0] if len(parts) == 1 else b"".join(parts)

    # -- called by httptools

    def on_message_begin(self) -> None:
        """A status line begins."""
        if self.complete:
            self.reusable = False

    def on_header(self, name: bytes, value: bytes) -> None:
        """A header is complete, or a trailer, which nobody reads."""
        if self.complete or self.status:
            return
        headers = self.headers
        self._count += 1
        if len(name) + len(value) > MAX_LINE or self._count > MAX_HEADERS:
            raise ReplyLost("the answer's head is too large")
        key = name.decode("ascii").lower()
        text = _decode(value)
        headers[key] = f"{headers[key]}, {text}" if key in headers else text

    def on_headers_complete(self) -> None:
        """The head is complete: judge how the body is framed."""
        if self.complete:
            return
        parser = self._parser
        status = parser.get_status_code()
        if status < _FINAL:
            self._skip_interim(status)
            return
        version = parser.get_http_version()
        if version not in {"1.1", "1.0"}:
            raise ReplyLost(_NO_HTTP)
        self.status = status
        coding = self.headers.get("transfer-encoding")
        if coding is not None and (coding.lower() != "chunked" or version == "1.0"):
            raise ReplyLost("the answer is sent in a way that was not asked for")
        if self._bodiless:
            self._finish()
        elif status not in {_NO_CONTENT, _NOT_MODIFIED}:
            self._until_close = coding is None and "content-length" not in self.headers

    def on_body(self, part: bytes) -> None:
        """Some of the body came."""
        if self.complete:
            self.reusable = False
            if self._bodiless:  # not another reply's body: the parser does not know that this one has none
                raise ReplyLost(_NO_HTTP)
            return
        self._headless = 0
        self._parts.append(part)
        self.pending += len(part)
        self.received += len(part)

    def on_message_complete(self) -> None:
        """The reply, or an interim one, is whole."""
        if not self.complete and self.status:
            self._finish()

    def _finish(self) -> None:
        self.complete = True
        self.reusable = self._parser.should_keep_alive()

    def _skip_interim(self, status: int) -> None:
        self._interim += 1
        framed = "transfer-encoding" in self.headers or "content-length" in self.headers
        if status < 100 or framed or self._interim > MAX_INTERIM:  # noqa: PLR2004  # no status is below
            raise ReplyLost(_NO_HTTP)
        self.headers = {}


def _decode(value: bytes) -> str:
    value = value.rstrip(b" \t")
    try:
        return value.decode("utf-8")
    except UnicodeDecodeError:
        return value.decode("latin-1")
