"""The headers of a request to ``/mcp``: what it says of its body, and what it takes in answer."""

from __future__ import annotations

from dataclasses import dataclass

from mcp.shared.inbound import MCP_PROTOCOL_VERSION_HEADER
from starlette.types import Scope

from orgserver.serving.clients import is_handshake_version
from orgserver.serving.elicitation.url_sessions import HEADER
from orgserver.serving.http.replies import JSON, Reply, make_error_reply

_EVENTS = b"text/event-stream"
_USUAL_ACCEPT = b"application/json, text/event-stream"
_VERSION = MCP_PROTOCOL_VERSION_HEADER.encode()
_SESSION = HEADER.encode()
_ALLOW = ((b"allow", b"POST"),)


@dataclass(slots=True)
class Headers:
    """What stands at the head of a request."""

    values: dict[bytes, bytes]
    """By their names in lower case; of one that stands there twice, the first."""
    has_duplicates: bool
    takes_events: bool
    """Whether the answer may be a stream of events."""
    version: str | None
    """Of the protocol, where it is said."""

    @property
    def is_modern(self) -> bool:
        """Whether that is one without a handshake: 2026-07-28 or later."""
        return not is_handshake_version(self.version)

    @property
    def session_id(self) -> str | None:
        """Which a client was given that opens addresses, and brings with each request."""
        value = self.values.get(_SESSION)
        return value.decode("latin-1") if value is not None else None

    @property
    def length(self) -> int:
        """How long the body is said to be; 0 where it is not said."""
        length = self.values.get(b"content-length", b"")
        return int(length) if length.isdigit() else 0


def read_headers(scope: Scope) -> Headers | Reply:
    """Read the headers; or say why no message of MCP can come with them."""
    if scope["method"] != "POST":
        return make_error_reply(405, "messages are posted here", headers=_ALLOW)
    raw = scope["headers"]
    values = dict(reversed(raw))
    media_type = values.get(b"content-type", b"").partition(b";")[0].strip().lower()
    if media_type != JSON:
        return make_error_reply(415, "the content type of a message is application/json")
    takes_json, takes_events = _read_accept(values.get(b"accept", b""))
    if not takes_json:
        return make_error_reply(406, "a client accepts application/json, and text/event-stream for progress")
    version = values.get(_VERSION)
    return Headers(
        values, len(values) != len(raw), takes_events, version.decode("latin-1") if version is not None else None
    )


def _read_accept(accept: bytes) -> tuple[bool, bool]:
    """Whether JSON and a stream of events are taken, wildcards counted in."""
    if accept == _USUAL_ACCEPT:
        return True, True
    types = {each.partition(b";")[0].strip().lower() for each in accept.split(b",")}
    takes_all = b"*/*" in types
    return (
        takes_all or JSON in types or b"application/*" in types,
        takes_all or _EVENTS in types or b"text/*" in types,
    )
