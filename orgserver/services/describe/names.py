"""Names of objects and fields that are in memory or the store, for completion while a person types."""

from __future__ import annotations

from collections.abc import Sequence

from orgserver.model.orgs import CLOSED_STATES, Caller, Org
from orgserver.services.calls.access import Access
from orgserver.services.describe.schemas import Schemas
from orgserver.services.policies.field_limits import FieldLimits
from orgserver.services.policies.limited_schemas import limit_objects, limit_schema


class CachedNames:
    """The objects and fields that describes told lately, of orgs that the caller may use and that take calls."""

    def __init__(self, access: Access, schemas: Schemas) -> None:
        self._access = access
        self._schemas = schemas

    async def objects(self, caller: Caller, alias: str) -> Sequence[str]:
        """The objects of an org; none if nothing is known, or the org is not the caller's."""
        org = await self._org(caller, alias)
        if org is None:
            return ()
        await self._schemas.recall(org)
        objects = self._schemas.memory.names(org)
        if objects is None:
            return ()
        return [each.name for each in limit_objects(FieldLimits.of(self._access.policy(caller, org)), objects).objects]

    async def fields(self, caller: Caller, alias: str, sobject: str) -> Sequence[str]:
        """The fields of an object; none if nothing is known, or the org is not the caller's."""
        org = await self._org(caller, alias)
        if org is None:
            return ()
        await self._schemas.recall(org, sobject)
        schema = self._schemas.memory.cached(org, sobject)
        limits = FieldLimits.of(self._access.policy(caller, org))
        if schema is None or not limits.may_read(schema.name):
            return ()
        return [each.name for each in limit_schema(limits, schema, self._schemas.lookup(org)).fields]

    async def _org(self, caller: Caller, alias: str) -> Org | None:
        org = await self._access.current_org(caller, alias)
        if org is None or "read" not in self._access.permissions(caller, org):
            return None
        return org if org.enabled and org.state not in CLOSED_STATES else None
