"""Who sends a request: the principal of its bearer token, asked anew at each request."""

from __future__ import annotations

from dataclasses import dataclass

from orgserver.model.access.principals import Permission, Principal
from orgserver.model.secret import Secret
from orgserver.services.people.keys import ApiKeys, KeyRefusal
from orgserver.serving.http.replies import Reply, make_error_reply

_SCHEME = b"bearer"


@dataclass(frozen=True, slots=True)
class Authenticated:
    """Whose request it is, and by what."""

    principal: Principal
    key_id: str | None = None
    """The API key that it came with, if it did."""
    scopes: frozenset[Permission] | None = None
    """What its token is narrowed to; None: nothing but the grants limits it."""


class Authenticator:
    """Finds the principal of a request."""

    def __init__(self, api_keys: ApiKeys) -> None:
        self._api_keys = api_keys

    async def authenticate(self, authorization: list[bytes], source: str) -> Authenticated | Reply:
        """Whose request it is, by its ``Authorization`` headers; or the 401 that says what is missing.

        ``source`` is the address that it came from.
        """
        del source
        token = _read_bearer(authorization)
        if token is None:
            return _challenge("a bearer token is needed: an API key of orgserver")
        owner = await self._api_keys.check(token)
        if isinstance(owner, KeyRefusal):
            return _challenge("this key opens nothing here", error=b', error="invalid_token"')
        return Authenticated(owner.principal, owner.key_id)


def _read_bearer(authorization: list[bytes]) -> Secret | None:
    """The token of the one header that there may be."""
    if len(authorization) != 1:
        return None
    scheme, _, token = authorization[0].partition(b" ")
    token = token.strip(b" ")
    if scheme.lower() != _SCHEME or not token or not token.isascii():
        return None
    return Secret(token.decode("ascii"))


def _challenge(message: str, error: bytes = b"") -> Reply:
    value = b'Bearer realm="orgserver"' + error
    return make_error_reply(401, message, headers=((b"www-authenticate", value),))
