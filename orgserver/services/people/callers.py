"""Which principal a server on standard input and output may be started for."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from orgserver.model.access.principals import LOCAL, Principal
from orgserver.model.access.standing import Standing
from orgserver.model.errors import PeopleError
from orgserver.services.people import names


def find_caller(standings: Mapping[str, Standing], name: str, now: datetime) -> Principal:
    """The principal of a name; PeopleError for one that is unknown or disabled, or whose grants have all ended."""
    if name.startswith(LOCAL):
        raise PeopleError(
            f"{name} is no principal: names that begin with {LOCAL} are those of this machine's own users",
            hint="without --principal the server is yours, with every org",
        )
    standing = names.find("principal", name, standings)
    if not standing.enabled:
        raise PeopleError(f"{name} is disabled", hint=f"orgserver update-principal {name} --enable lets it call again")
    ends = [grant.until for grant in standing.grants if grant.until is not None]
    if ends and len(ends) == len(standing.grants) and now >= max(ends):
        raise PeopleError(
            f"the last grant of {name} ended at {max(ends):%Y-%m-%d %H:%M} UTC",
            hint=f"orgserver show-principal {name} shows them",
        )
    return Principal(name)
