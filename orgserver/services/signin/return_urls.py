"""Where a person's browser takes an answer to its client."""

from __future__ import annotations

from urllib.parse import urlencode


def make_return_url(issuer: str, redirect_uri: str, state: str | None, answer: dict[str, str]) -> str:
    """Where a browser takes an answer to its client; whatever it says, it says who says it (RFC 9207 §2).

    What the client has put into its URI stays there as it is (RFC 6749 §3.1.2).
    """
    values = answer | ({"state": state} if state is not None else {}) | {"iss": issuer}
    before, mark, query = redirect_uri.partition("?")
    return f"{before}?{query}{'&' if mark and query else ''}{urlencode(values)}"
