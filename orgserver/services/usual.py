"""The fields that are told when none are named; some of them only where the org has them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

from orgserver.model.errors import Rejected
from orgserver.model.names import SObjectName
from orgserver.salesforce import standard
from orgserver.services import values
from orgserver.services.access import Connection

T = TypeVar("T")


class UsualFields:
    """Asks with the fields that not every org has, and remembers which orgs lack them."""

    def __init__(self) -> None:
        self._lacking: set[tuple[str, SObjectName]] = set()

    async def ask(
        self,
        connection: Connection,
        sobject: SObjectName,
        given: Sequence[str] | None,
        send: Callable[[tuple[str, ...]], Awaitable[T]],
    ) -> T:
        """Ask for the given fields or the usual ones: once more without the doubtful ones if the org refuses them."""
        fields, doubtful = values.field_names(given, sobject), standard.DOUBTFUL_FIELDS.get(sobject, ())
        key = (connection.org.row_id, sobject)
        if given is not None or not doubtful or key in self._lacking:
            return await send(fields)
        try:
            return await send((*fields, *doubtful))
        except Rejected as error:
            if error.code != "INVALID_FIELD":
                raise
        result = await send(fields)
        self._lacking.add(key)
        return result
