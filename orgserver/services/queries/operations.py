"""What lists and queries will do in one org: their text, their page, and the cursor that goes on."""

from __future__ import annotations

import time
from collections.abc import Awaitable
from datetime import UTC, datetime, timedelta
from typing import Any

from msgspec import structs

from orgserver.model.access.policies import Policy
from orgserver.model.audit import Action, Completion, Outcome
from orgserver.model.errors import InvalidArgument
from orgserver.model.names import SObjectName
from orgserver.model.names import sobject as sobject_name
from orgserver.model.orgs import Caller, Org
from orgserver.model.results import Page
from orgserver.model.schema import Schema
from orgserver.salesforce import soql as soql_text
from orgserver.services.calls import preflight
from orgserver.services.calls.access import OrgSession
from orgserver.services.calls.plan import Call, Operation, Plan
from orgserver.services.describe.schemas import Schemas
from orgserver.services.queries import filter_values, paging, record_count, subquery_rows
from orgserver.services.queries import list_query as listings
from orgserver.services.queries.list_query import Listing
from orgserver.services.queries.paging import Piece, Source
from orgserver.services.queries.query_text import MAX_SOQL, check_soql
from orgserver.services.records import appointments, field_values
from orgserver.services.records.default_fields import DefaultFields
from orgserver.services.records.reading import record_shape
from orgserver.services.results import cursors
from orgserver.services.results.cursors import Position
from orgserver.vault.keys import Key

_ID = 18
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class QueryOperations:
    """Makes plans of lists and queries. Every method raises InvalidArgument naming the argument that is wrong."""

    def __init__(self, cursor_key: Key, schemas: Schemas, default_fields: DefaultFields) -> None:
        self._cursor_key = cursor_key
        self._schemas = schemas
        self._default_fields = default_fields

    def list(self, listing: Listing) -> Operation[Page]:
        """List records of one object."""
        return Operation(Action.LIST, lambda call, org: self._plan_list(call.caller, org, listing))

    def query(
        self,
        soql: str,
        *,
        limit: int = 50,
        cursor: str | None = None,
        include_deleted: bool = False,
        count: bool = False,
        seconds: float | None = None,
    ) -> Operation[Page]:
        """Run a SOQL query, in so many seconds if less than a call may take."""

        def plan(call: Call, org: Org) -> Plan[Page]:
            return self._plan_query(call.caller, org, soql, limit, cursor, include_deleted=include_deleted, count=count)

        return Operation(Action.QUERY, plan, seconds=seconds)

    def _plan_list(self, caller: Caller, org: Org, listing: Listing) -> Plan[Page]:
        """List records of one object."""
        arguments = {"tool": "list"} | listing.arguments()
        position = self._position(caller, org, listing.cursor, arguments)
        zone = appointments.user_zone(org)
        shape, added = (
            record_shape(org, listing.sobject, listing.fields),
            appointments.added_bytes(listing.sobject, zone),
        )
        asked_at = position.asked_at or time.time_ns() // 1_000_000
        now = _EPOCH + timedelta(milliseconds=asked_at)
        names = field_values.read_field_names(listing.fields, listing.sobject)
        named = names if listing.fields is not None else None
        query = listings.build(listing, names, now=now, zone=zone)  # its arguments are checked before anything is sent
        if len(query.ordered) > MAX_SOQL:
            raise InvalidArgument(
                f"filter makes a query of more than the {MAX_SOQL:,} characters that Salesforce takes",
                fields=["filter"],
                hint="ask for some of the values at a time",
            )

        async def send(session: OrgSession) -> Page:
            ordered = _in_order(listing, session.policy, position)
            converted = ordered if not listing.filter else await self._convert_filter(session, caller, ordered)

            def source(fields: tuple[str, ...]) -> Source:
                if position.soql is not None:
                    return Source(position.soql, is_ours=True, shape=shape, added=added)
                is_same = converted is listing and fields == names
                rows = query if is_same else listings.build(converted, fields, now=now, zone=zone)
                return Source(rows.ordered, rows, is_ours=True, shape=shape, added=added)

            def read(fields: tuple[str, ...]) -> Awaitable[Piece]:
                return paging.fetch(session, source(fields), limit=listing.limit, position=position)

            def read_default() -> Awaitable[Piece]:
                return self._default_fields.ask(session, listing.sobject, named, read)

            if not listing.count:
                piece = await read_default()
            else:
                piece = await record_count.with_total(
                    session, source(names), read_default, limit=listing.limit, position=position
                )
            if piece.rest is not None and listing.depends_on_time:
                piece = structs.replace(piece, rest=structs.replace(piece.rest, asked_at=asked_at))
            if piece.rest is not None and ordered is not listing:
                piece = structs.replace(piece, rest=structs.replace(piece.rest, order=ordered.order_by))
            return self._page(caller, org, piece, arguments)

        return Plan(
            "read",
            send,
            _page_ending,
            fields=listing.field_names(names),
            preflight=listings.check_listing(listing),
            uses=listings.path_uses(listing),
        )

    def _plan_query(
        self,
        caller: Caller,
        org: Org,
        text: str,
        limit: int,
        cursor: str | None,
        *,
        include_deleted: bool,
        count: bool = False,
    ) -> Plan[Page]:
        """Run a query that the agent wrote; Salesforce judges it, but it may have no side effects."""
        redacted = check_soql(text)
        query = soql_text.understood(text)
        object_name, paths = soql_text.summary_of(text, query)
        source = Source(
            text,
            soql_text.row_query(query, text) if query is not None else None,
            grouped=query is not None and bool(query.group),
            include_deleted=include_deleted,
        )
        arguments = {"tool": "query", "soql": text, "limit": limit, "include_deleted": include_deleted}
        position = self._position(caller, org, cursor, arguments)

        async def send(session: OrgSession) -> Page:
            async def read() -> Piece:
                return await paging.fetch(session, source, limit=limit, position=position)

            if not count:
                piece = await read()
            else:
                piece = await record_count.with_total(session, source, read, limit=limit, position=position)
            return self._page(caller, org, piece, arguments)

        return Plan(
            "read",
            send,
            _page_ending,
            fields=paths,
            soql=redacted,
            object=_object(object_name),
            preflight=preflight.check_query(_object(object_name), paths) if soql_text.is_plain(text) else None,
            uses=soql_text.path_uses(query) if query is not None else (),
            understood=query is not None,
        )

    def _position(self, caller: Caller, org: Org, cursor: str | None, arguments: dict[str, Any]) -> Position:
        if cursor is None:
            return cursors.BEGINNING
        return cursors.read(
            self._cursor_key, cursor, org=org.login_owner, principal=caller.principal.name, arguments=arguments
        )

    def _page(self, caller: Caller, org: Org, piece: Piece, arguments: dict[str, Any]) -> Page:
        following = None
        if piece.rest is not None:
            following = cursors.write(
                self._cursor_key, piece.rest, org=org.login_owner, principal=caller.principal.name, arguments=arguments
            )
        warnings = piece.warnings if piece.is_flat else (*piece.warnings, *subquery_rows.warnings(piece.records))
        return Page(piece.records, piece.total_size, following, warnings, is_limited=piece.is_limited)

    async def _convert_filter(self, session: OrgSession, caller: Caller, listing: Listing) -> Listing:
        """Read the filter's values by their fields' types: those that not every org has are asked for."""

        async def describe(sobject: SObjectName) -> Schema:
            return await self._schemas.schema(session, caller, sobject)

        return structs.replace(
            listing, filter=await filter_values.convert_filter(listing.filter or {}, listing.sobject, describe)
        )


def _in_order(listing: Listing, policy: Policy, position: Position) -> Listing:
    """The list in the order that its limits leave, which is the one of its pages before."""
    if position.order is not None:
        return structs.replace(listing, order_by=position.order)
    ordered = listings.limit_order(listing, policy)
    if ordered is not listing and not position.begins:
        raise InvalidArgument(
            "the order of these pages may not be used any more", fields=["cursor"], hint="start again without a cursor"
        )
    return ordered


def _page_ending(page: Page) -> Completion:
    record_ids = [str(record["Id"])[:_ID] for record in page.records if record.get("Id")]
    return Completion(Outcome.SUCCEEDED, row_count=len(page.records), record_ids=tuple(record_ids))


def _object(name: str | None) -> SObjectName | None:
    try:
        return sobject_name(name) if name else None
    except ValueError:
        return None
