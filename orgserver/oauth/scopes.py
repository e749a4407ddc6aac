"""The scopes of this server that a token has. None implies another."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from orgserver.model.access.principals import PERMISSIONS, Permission
from orgserver.model.access.scopes import scope_of

_BY_SCOPE: dict[str, Permission] = {scope_of(permission): permission for permission in PERMISSIONS}


def read_scopes(claims: Mapping[str, Any]) -> frozenset[Permission]:
    """The permissions that a token's scopes stand for; a scope of another server stands for none.

    ``scope`` is a text (RFC 9068); ``scp`` a list or a text (Okta, Entra). A client's own token of Entra has neither:
    what its administrator has allowed it is in ``roles``.
    """
    names = {"scope", "scp"} & claims.keys() or {"roles"}
    words = {word for name in names for word in _words(claims.get(name))}
    return frozenset(_BY_SCOPE[word] for word in words if word in _BY_SCOPE)


def _words(value: object) -> Iterable[str]:
    if isinstance(value, str):
        return value.split(" ")
    return [each for each in value if isinstance(each, str)] if isinstance(value, list) else ()
