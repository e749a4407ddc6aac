"""How things are called: aliases, org ids, record ids, object and field names, and their checks."""

from __future__ import annotations

import re
import time
from collections.abc import Iterable
from typing import NewType

from orgserver.model.randomness import take_random_bytes

Alias = NewType("Alias", str)
"""What people and agents call an org: ``[a-z0-9][a-z0-9_-]{0,62}``."""

OrgId = NewType("OrgId", str)
"""What Salesforce calls an org: 18 characters beginning ``00D``."""

RecordId = NewType("RecordId", str)
"""A record's id in its 18-character form."""

RowId = NewType("RowId", str)
"""The id of our own row for an org; it stays when the alias is renamed."""

SObjectName = NewType("SObjectName", str)
"""The API name of a Salesforce object, such as ``Contact``."""

CONTACT = SObjectName("Contact")
EVENT = SObjectName("Event")

KEY_PREFIX = {CONTACT: "003", EVENT: "00U"}
"""The first three characters of every id of an object (Salesforce: "Standard Field Record ID Prefix Decoder")."""
MAX_FIELDS = 800
"""Salesforce allows 800 custom fields an object and fewer standard ones."""

_USUAL = {name.lower(): name for name in (CONTACT, EVENT)}
_ALIAS = re.compile(r"[a-z0-9][a-z0-9_-]{0,62}")
_ID = re.compile(r"[0-9A-Za-z]{15}(?:[0-9A-Za-z]{3})?")
_SOBJECT = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,79}")
_FIELD = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,79}")
_PATH = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,79}(?:\.[A-Za-z][A-Za-z0-9_]{0,79}){0,5}")
_API_VERSION = re.compile(r"v?(\d{2,3})\.0")
_ALIKE = 0.6
_CHECKSUM = "ABCDEFGHIJKLMNOPQRSTUVWXYZ012345"
_LOW_BITS = (1 << 62) - 1
_RANDOM_BYTES, _SPARE_BITS = 10, 6

_FIRST_SURROGATE, _LAST_SURROGATE = "\ud800", "\udfff"


def alias(text: str) -> Alias:
    """Read an alias; ValueError says what one looks like."""
    if not _ALIAS.fullmatch(text):
        raise ValueError("an alias is 1 to 63 of a-z, 0-9, _ and -, beginning with a letter or digit")
    return Alias(text)


def to_18(identifier: str) -> str:
    """Give the 18-character form of a 15-character id (Salesforce Help 000385585)."""
    suffix = ""
    for start in (0, 5, 10):
        group = identifier[start : start + 5]
        suffix += _CHECKSUM[sum(1 << i for i, letter in enumerate(group) if "A" <= letter <= "Z")]
    return identifier[:15] + suffix


def record_id(text: str, prefix: str | None = None) -> RecordId:
    """Read a record id of 15 or 18 characters, checksum and key prefix included; ValueError says what is wrong."""
    if not _ID.fullmatch(text):
        raise ValueError("a record id is 15 or 18 letters and digits")
    full = to_18(text)
    if text[15:] and full[15:] != text[15:].upper():
        raise ValueError("its last three characters do not fit the first fifteen; was it copied in another case?")
    if prefix is not None and not full.startswith(prefix):
        raise ValueError(f"ids of this object begin with {prefix}")
    return RecordId(full)


def org_id(text: str) -> OrgId:
    """Read an org id."""
    return OrgId(record_id(text, "00D"))


def sobject(text: str) -> SObjectName:
    """Read an object's API name; those we know come back in their own case, for Salesforce takes any."""
    if not _SOBJECT.fullmatch(text):
        raise ValueError("an object is named by letters, digits and _, such as Contact or Invoice__c")
    return _USUAL.get(text.lower(), SObjectName(text))


def is_field(text: str) -> bool:
    """Tell whether this is the form of a field's API name."""
    return _FIELD.fullmatch(text) is not None


def is_field_path(text: str) -> bool:
    """Tell whether this is a field's API name, or a path of relationships to one (``Account.Owner.Name``)."""
    return _PATH.fullmatch(text) is not None


def api_version(text: str) -> str:
    """Read an API version, with or without its ``v``, into the form ``v66.0``."""
    match = _API_VERSION.fullmatch(text)
    if not match:
        raise ValueError("an API version looks like v66.0")
    return f"v{match[1]}.0"


def api_versions(texts: Iterable[str]) -> list[str]:
    """Read API versions, each once, oldest first."""
    return sorted({api_version(text) for text in texts}, key=lambda version: (len(version), version))


def new_id() -> str:
    """Make a UUIDv7 (RFC 9562 §5.7): sortable by its millisecond of birth."""
    random = int.from_bytes(take_random_bytes(_RANDOM_BYTES), "big") >> _SPARE_BITS
    value = (time.time_ns() // 1_000_000) << 80 | 0x7 << 76 | (random >> 62) << 64 | 0b10 << 62 | random & _LOW_BITS
    text = f"{value:032x}"
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


def split_list(text: str) -> tuple[str, ...]:
    """Read names that commas separate, each once and in their order; blanks around them and empty ones do not count."""
    return tuple(dict.fromkeys(name for part in text.split(",") if (name := part.strip())))


def encodable(text: str) -> bool:
    """Whether a text can be written as UTF-8: JSON may hold half a pair of surrogates, which nothing can."""
    return not any(_FIRST_SURROGATE <= letter <= _LAST_SURROGATE for letter in text)


def nearest(text: str, known: Iterable[str]) -> str | None:
    """The name that was probably meant; None if none is alike."""
    from difflib import get_close_matches  # noqa: PLC0415  # only where something is misspelled

    return next(iter(get_close_matches(text, sorted(known), n=1, cutoff=_ALIKE)), None)
