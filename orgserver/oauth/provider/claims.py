"""Reads who somebody is from the provider's claims."""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping
from typing import Any

from orgserver.model.access.people import Person
from orgserver.model.access.principals import Subject
from orgserver.model.text import clean_word, replace_unsafe

logger = logging.getLogger("orgserver.oauth")

MAX_NAME = 200
_MAX_EMAIL = 320
MAX_GROUPS = 1_000
_MAX_GROUP = 256
_HALF = re.compile("[\ud800-\udfff]")
"""Of a surrogate pair: no text that can be stored."""
_TRUE = (True, "true")
_ADDRESS = ("email", "email_verified", "xms_edov")
"""An address, and what says whose it is: of no use apart."""
_DOMAIN_OWNED = (True, "true", 1, "1")
"""Entra's optional claim xms_edov: the address is of a domain that the company has shown to be its own."""


def read_person(claims: Mapping[str, Any], groups_claim: str | None) -> Person:
    """A person by the claims of an id token that was checked, and of userinfo; without the groups' claim: in none."""
    email = claims.get("email")
    is_address = isinstance(email, str) and _is_address(email)
    auth_time = claims.get("auth_time")
    return Person(
        Subject(claims["iss"], claims["sub"]),
        _read_name(claims),
        email if is_address else None,
        is_address and _is_verified(claims),
        _read_groups(claims, groups_claim) if groups_claim is not None else (),
        int(auth_time) if auth_time is not None else None,
    )


def add_userinfo(claims: Mapping[str, Any], userinfo: Mapping[str, Any]) -> dict[str, Any]:
    """The claims of an id token, with what userinfo says beyond them.

    An address is verified by whichever of the two has named it, and not where the other says that it is not; when
    somebody signed in, the id token alone says.
    """
    address = claims.get("email")
    is_same = address is not None and userinfo.get("email") == address
    more = {
        name: value
        for name, value in userinfo.items()
        if name != "auth_time" and (address is None or is_same or name not in _ADDRESS)
    }
    own = {
        name: value
        for name, value in claims.items()
        if address is not None or name not in _ADDRESS or (name == "email_verified" and not _is_one_of(value, _TRUE))
    }
    return more | own


def _is_address(text: str) -> bool:
    return len(text) <= _MAX_EMAIL and "@" in text[1:-1] and replace_unsafe(text) == text


def says_groups(claims: Mapping[str, Any], groups_claim: str) -> bool:
    """Whether claims say which groups somebody is in, or that these are too many to be said."""
    return groups_claim in claims or _is_elsewhere(claims, groups_claim)


def _read_name(claims: Mapping[str, Any]) -> str:
    """What to call somebody; these claims are theirs to choose, and nobody is found by them."""
    for name in ("name", "preferred_username", "email", "sub"):
        text = clean_word(claims.get(name), MAX_NAME)
        if text:
            return text
    return "?"


def _is_verified(claims: Mapping[str, Any]) -> bool:
    """Whether the address is somebody's own. A provider that says that it is not verified is believed."""
    if "email_verified" in claims:
        return _is_one_of(claims["email_verified"], _TRUE)
    return _is_one_of(claims.get("xms_edov"), _DOMAIN_OWNED)


def _is_one_of(value: object, values: tuple[object, ...]) -> bool:
    """Equal and of the same kind: 1 is not True."""
    return any(type(value) is type(each) and value == each for each in values)


def _read_groups(claims: Mapping[str, Any], groups_claim: str) -> tuple[str, ...]:
    """Values of the claim; none where it is not there, or has more than can be said."""
    if _is_elsewhere(claims, groups_claim):
        logger.warning("the identity provider does not say somebody's groups: they are in too many for an id token")
        return ()
    values = claims.get(groups_claim)
    values = [values] if isinstance(values, str) else values
    if values is None:
        logger.warning("the identity provider does not say somebody's groups: the claim is not there")
        return ()
    if not isinstance(values, list) or len(values) > MAX_GROUPS:
        logger.warning("the identity provider's claim of groups is no list of at most %s texts", MAX_GROUPS)
        return ()
    texts = [each for each in values if isinstance(each, str) and 0 < len(each) <= _MAX_GROUP]
    return tuple(each for each in dict.fromkeys(texts) if not _HALF.search(each))


def _is_elsewhere(claims: Mapping[str, Any], groups_claim: str) -> bool:
    """Whether the claim is only said to be somewhere else (OpenID Connect Core §5.6.2), as Entra has it above 200."""
    names = claims.get("_claim_names")
    return groups_claim not in claims and isinstance(names, dict) and groups_claim in names
