"""Parameters of a request: of its URL, or of the form in its body. Nothing is read twice, guessed or repaired."""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import parse_qsl

from starlette.types import Receive, Scope

from orgserver.services.signin.parameters import BadParameters, Parameters, read_parameters

MOST_BYTES = 64 * 1024
"""Of a body."""
MOST_FIELDS = 64
FORM = "application/x-www-form-urlencoded"


class UnreadableBody(Exception):
    """A body that is not looked at any further."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status = status
        """415 for another content type, 413 for one that is too long."""
        self.text = text


class ClientGone(Exception):
    """Whoever asked left before all was said."""


def read_query(scope: Scope, names: frozenset[str] | None = None) -> Parameters:
    """The parameters of a URL; BadParameters says what is wrong with them. Others than ``names`` are not looked at."""
    return _read(scope["query_string"], names)


async def read_form(scope: Scope, receive: Receive) -> Parameters:
    """Those of a form; UnreadableBody where it is none, BadParameters as above."""
    if find_content_type(scope) != FORM:
        raise UnreadableBody(415, f"the body must be {FORM}")
    return _read(await read_bytes(scope, receive))


async def read_bytes(scope: Scope, receive: Receive, most: int = MOST_BYTES) -> bytes:
    """A body; UnreadableBody for one that is too long, of which the rest is not read."""
    too_long = UnreadableBody(413, f"a body has at most {most:,} bytes")
    length = read_headers(scope).get(b"content-length", b"")
    if length.isdigit() and int(length) > most:
        raise too_long
    body, has_more = b"", True
    while has_more:
        message = await receive()
        if message["type"] != "http.request":
            raise ClientGone
        body += message.get("body", b"")
        if len(body) > most:
            raise too_long
        has_more = message.get("more_body", False)
    return body


def find_content_type(scope: Scope) -> str:
    """What a body says it is, without what follows a semicolon."""
    return read_headers(scope).get(b"content-type", b"").partition(b";")[0].strip().lower().decode("latin-1")


def read_headers(scope: Scope) -> Mapping[bytes, bytes]:
    """Headers by name; one that comes twice is a list, which is no value of any that is asked for here."""
    headers: dict[bytes, bytes] = {}
    for name, value in scope["headers"]:
        headers[name] = value if name not in headers else headers[name] + b", " + value
    return headers


def _read(text: bytes, names: frozenset[str] | None = None) -> Parameters:
    errors = "strict" if names is None else "replace"  # what is replaced is no character of a parameter that counts
    try:
        pairs = parse_qsl(
            text.decode("ascii"), keep_blank_values=True, encoding="utf-8", errors=errors, max_num_fields=MOST_FIELDS
        )
    except UnicodeDecodeError:
        raise BadParameters("parameters are UTF-8, percent-encoded") from None
    except ValueError:
        raise BadParameters(f"there are more than {MOST_FIELDS} parameters") from None
    return read_parameters(pairs if names is None else [pair for pair in pairs if pair[0] in names])
