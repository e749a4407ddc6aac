"""Names of principals and groups: which are free, and what to say of one that nobody has."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TypeVar

from orgserver.model.access.api_keys import PREFIX
from orgserver.model.access.principals import read_principal_name
from orgserver.model.errors import PeopleError
from orgserver.model.names import nearest
from orgserver.store.people import changes
from orgserver.store.people.changes import Holder
from orgserver.store.transaction import Transaction

T = TypeVar("T")


def find(holder: Holder, name: str, records: Mapping[str, T]) -> T:
    """The principal or group of a name; PeopleError where nobody has it."""
    if name not in records:
        raise unknown(holder, name, records)
    return records[name]


def refuse_taken_in(tx: Transaction, name: str) -> None:
    """PeopleError for a name that is none, or that a principal or a group has, in whatever case."""
    _refuse_key(name)
    try:
        read_principal_name(name)
    except ValueError as error:
        raise PeopleError(str(error)) from None
    taken = changes.taken_name_in(tx, name)
    if taken is not None:
        holder, as_written = taken
        raise PeopleError(
            f"there is a {holder} {as_written} already", hint="principals and groups share their names, in any case"
        )


def unknown(holder: Holder, name: str, names: Iterable[str]) -> PeopleError:
    """The error for a name that no principal or group has."""
    _refuse_key(name)
    near = nearest(name, names)
    meant = f"did you mean {near}? " if near else ""
    return PeopleError(f"there is no {holder} {name}", hint=f"{meant}orgserver list-{holder}s shows those that are")


def unknown_in(tx: Transaction, holder: Holder, name: str) -> PeopleError:
    """The same, which says so where a group was named for a principal, or the other way round."""
    taken = changes.taken_name_in(tx, name)
    if taken is not None and taken[0] != holder and taken[1] == name:
        return PeopleError(f"{name} is a {taken[0]}, not a {holder}", hint=f"orgserver update-{taken[0]} changes it")
    return unknown(holder, name, changes.names_in(tx, holder))


def _refuse_key(name: str) -> None:
    """PeopleError for the text of a key in place of a name: it is not repeated, and goes into no entry."""
    if name.startswith(PREFIX):
        raise PeopleError("this is the text of an API key, not a name", hint="it was shown, so do revoke it")
