"""One client's connection: what may come over it, and how long it may take.

uvicorn's protocol on httptools, held to RFC 9112 where that lets a server be lenient: what two parsers could read in
two ways is refused, and the connection closed.
"""

from __future__ import annotations

import asyncio
from enum import Enum
from itertools import chain
from typing import Any

import httptools
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from orgserver.serving.http.connections.cycle import Cycle, make_scope, read_target, render_refusal
from orgserver.serving.http.connections.joined_writes import JoinedWrites
from orgserver.serving.http.connections.places import Connections
from orgserver.serving.http.replies import Reply, make_text_reply

METHODS = frozenset({b"GET", b"HEAD", b"POST", b"PUT", b"PATCH", b"DELETE", b"OPTIONS"})
_FRAMING = frozenset({b"content-length", b"expect", b"transfer-encoding", b"upgrade"})
_VERSIONS = frozenset({"1.0", "1.1"})
_BAD = make_text_reply(400, "this is no request, or one of more than one meaning")
_TARGET = make_text_reply(400, "a request names a path, beginning with /")
_UPGRADE = make_text_reply(400, "no other protocol than HTTP/1 is spoken here")
_METHOD = make_text_reply(405, "this method is not served here", ((b"allow", b"GET, POST"),))
_SLOW = make_text_reply(408, "the request did not come in time")
_BODY = make_text_reply(413, "the body is larger than this server reads")
_LONG_TARGET = make_text_reply(414, "the path is longer than this server reads")
_CROWD = make_text_reply(429, "too many connections are open")
_HEAD = make_text_reply(431, "the headers are more than this server reads")


class Phase(Enum):
    """What a connection waits for."""

    IDLE = "idle"
    HEAD = "head"
    BODY = "body"
    ANSWER = "answer"
    CLOSE = "close"


class _Refusal(Exception):
    """What was parsed is refused with a reply."""

    def __init__(self, reply: Reply) -> None:
        super().__init__(reply.status)
        self.reply = reply


class Connection(HttpToolsProtocol):
    """One client's."""

    def __init__(self, connections: Connections, **of_uvicorn: Any) -> None:
        super().__init__(**of_uvicorn)
        self._connections = connections
        self._limits = connections.limits
        self._phase = Phase.IDLE
        self._deadline: float | None = None
        self._unread_deadline: float | None = None
        self._head_bytes = self._body_bytes = self._wire_bytes = 0
        self._target: dict[str, Any] = {"raw_path": b"", "query_string": b""}

    @property
    def source(self) -> str:
        """The address that it comes from."""
        return self.client[0] if self.client else ""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn has it
        """Take it, where its source has a place left."""
        super().connection_made(transport)
        self._writes = JoinedWrites(transport, self.loop)
        self._scope_of_connection = make_scope(self.server, self.client, self.scheme)
        self._enter(Phase.IDLE, self._limits.head_seconds)
        if self._connections.enter(self):
            return
        if self._connections.can_explain:
            self._refuse(_CROWD)
        else:
            self._enter(Phase.CLOSE, None)
            self.transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        """Free its place."""
        self._connections.leave(self)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Parse what came; what is refused is answered, and the end."""
        if self._phase is Phase.CLOSE:
            self._discard(data)
            return
        if self._phase is Phase.IDLE:
            self._enter(Phase.HEAD, self._limits.head_seconds)
        if self._phase is Phase.HEAD:
            self._head_bytes += len(data)
        else:
            self._wire_bytes += len(data)
        try:
            self._check_body_bytes()  # before the parser makes something else of it
            self.parser.feed_data(data)
            self._check_bytes()
        except _Refusal as refusal:
            self._refuse(refusal.reply)
        except httptools.HttpParserUpgrade:
            self._refuse(_UPGRADE)
        except httptools.HttpParserError as error:
            cause = error.__context__
            self._refuse(cause.reply if isinstance(cause, _Refusal) else _BAD)

    def _check_bytes(self) -> None:
        """What the parser holds back or skips, as an endless header or chunk extension, is bounded too."""
        if self._phase is Phase.HEAD and self._head_bytes > self._limits.head_bytes:
            raise _Refusal(_HEAD)
        self._check_body_bytes()

    def _check_body_bytes(self) -> None:
        if self._phase is Phase.BODY and self._wire_bytes > 2 * self._limits.body_bytes + self._limits.head_bytes:
            raise _Refusal(_BODY)

    def on_message_begin(self) -> None:
        """Begin a request."""
        if self._is_answering():
            raise _Refusal(_BAD)  # who sends more before it has its answer gets that one, and then the end
        self.url, self.headers, self.expect_100_continue = b"", [], False
        if self._phase is not Phase.HEAD:  # which it is since its first byte
            self._enter(Phase.HEAD, self._limits.head_seconds)
        self._body_bytes = self._wire_bytes = 0

    def on_url(self, url: bytes) -> None:
        """Take a part of its target."""
        super().on_url(url)
        if len(self.url) > self._limits.target_bytes:
            raise _Refusal(_LONG_TARGET)

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take a header, without the blanks behind its value."""
        if self._phase is not Phase.HEAD:
            raise _Refusal(_BAD)  # a trailer would come to stand among the headers
        name, value = name.lower(), value.rstrip(b" \t")
        if name in _FRAMING:
            self._check_framing(name, value)
        self.headers.append((name, value))

    def _check_framing(self, name: bytes, value: bytes) -> None:
        if name == b"upgrade":
            raise _Refusal(_UPGRADE)
        if name == b"expect":
            self.expect_100_continue = value.lower() == b"100-continue"
        elif name == b"content-length":
            if int(value) > self._limits.body_bytes:
                raise _Refusal(_BODY)
        elif value.lower() != b"chunked" or self.parser.get_http_version() == "1.0":
            raise _Refusal(_BAD)

    def on_headers_complete(self) -> None:
        """Hand the request to the app, whose body may still come."""
        limits = self._limits
        if len(self.headers) > limits.headers or sum(map(len, chain.from_iterable(self.headers))) > limits.head_bytes:
            raise _Refusal(_HEAD)
        version, method = self.parser.get_http_version(), self.parser.get_method()
        self._check_head(version, method)
        self._head_bytes = 0
        self._enter(Phase.BODY, limits.body_seconds)
        self.cycle = Cycle(
            scope=self._make_scope(version, method),  # type: ignore[arg-type]  # it has them all
            transport=self._writes,  # type: ignore[arg-type]  # what it uses of one
            flow=self.flow,
            logger=self.logger,
            access_logger=self.access_logger,
            access_log=False,
            default_headers=self.server_state.default_headers,
            message_event=asyncio.Event(),
            expect_100_continue=self.expect_100_continue,
            keep_alive=version != "1.0" and self.parser.should_keep_alive(),
            on_response=self.on_response_complete,
        )
        self._start_asgi_task(self.cycle, self.app)

    def _check_head(self, version: str, method: bytes) -> None:
        if version not in _VERSIONS:
            raise _Refusal(_UPGRADE)
        if method not in METHODS:
            raise _Refusal(_METHOD)
        if not self.url.startswith(b"/") or b"#" in self.url:
            raise _Refusal(_TARGET)

    def _make_scope(self, version: str, method: bytes) -> dict[str, Any]:
        if self.url != self._target["raw_path"] or self._target["query_string"]:  # others than the last request's
            self._target = read_target(self.url)
        return {
            **self._scope_of_connection,
            **self._target,
            "http_version": version,
            "method": method.decode("ascii"),
            "headers": self.headers,
            "state": {},
        }

    def on_body(self, body: bytes) -> None:
        """Take a part of the body."""
        self._body_bytes += len(body)
        if self._body_bytes > self._limits.body_bytes:
            raise _Refusal(_BODY)
        super().on_body(body)

    def on_message_complete(self) -> None:
        """Wait for the answer."""
        super().on_message_complete()
        if self._is_answering():
            self._enter(Phase.ANSWER, None)
        else:
            self._rest()

    def on_response_complete(self) -> None:
        """Wait for the next request; uvicorn would forget how long, once a byte of it has come."""
        self._writes.flush()
        self.server_state.total_requests += 1
        if self.transport.is_closing():
            return
        self.flow.resume_reading()
        if self._phase is Phase.ANSWER:
            self._rest()

    def pause_writing(self) -> None:
        """Wait for the client to read, but not for ever."""
        super().pause_writing()
        self._unread_deadline = self.loop.time() + self._limits.unread_seconds

    def resume_writing(self) -> None:
        """Go on."""
        super().resume_writing()
        self._unread_deadline = None

    def end_if_late(self, now: float) -> None:
        """Refuse or close what has taken too long."""
        if self._unread_deadline is not None and now > self._unread_deadline:
            self.transport.abort()
            return
        if self.transport.is_closing() and self._phase is not Phase.CLOSE:
            self._enter(Phase.CLOSE, self._limits.linger_seconds)
        if self._deadline is None or now <= self._deadline:
            return
        if self._phase is Phase.BODY and self.flow.read_paused:  # it is not the client who is slow
            self._deadline = now + self._limits.body_seconds
        elif self._phase is Phase.CLOSE:
            self.transport.abort()
        elif self._phase is Phase.IDLE:
            self.transport.close()
        else:
            self._refuse(_SLOW)

    def _enter(self, phase: Phase, seconds: float | None) -> None:
        self._phase = phase
        self._deadline = None if seconds is None else self.loop.time() + seconds

    def _rest(self) -> None:
        self._head_bytes = 0
        self._enter(Phase.IDLE, self._limits.idle_seconds)

    def _is_answering(self) -> bool:
        """Whether the app has a request whose answer is not sent yet."""
        return self.cycle is not None and not self.cycle.response_complete

    def _refuse(self, reply: Reply) -> None:
        """Say why, where no answer is under way that it could be taken for, and close."""
        is_in_body = self._phase is Phase.BODY
        self._enter(Phase.CLOSE, self._limits.linger_seconds)
        if self.transport.is_closing():
            return
        if self._is_answering():
            if not is_in_body:  # the answer of the request before it is sent first, and closes
                self.cycle.keep_alive, self._deadline = False, None
                return
            self.cycle.disconnected = True
            self.cycle.message_event.set()
        if not is_in_body or not self.cycle.response_started:
            self.transport.write(render_refusal(reply, self.server_state.default_headers))
            self._connections.on_refusal(self.source, reply.status)
        if self.transport.can_write_eof():
            self.transport.write_eof()

    def _discard(self, data: bytes) -> None:
        """Take what a refused client still sends: a reset would take the reply from it before it has read it."""
        self._wire_bytes += len(data)
        if self._wire_bytes > self._limits.linger_bytes:
            self.transport.abort()
