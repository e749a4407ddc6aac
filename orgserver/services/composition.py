"""Makes the services that tools use: the operations of each subject, and the executor that runs them."""

from __future__ import annotations

from dataclasses import dataclass

from orgserver.services.bulk.operation import Bulk
from orgserver.services.calls.access import Access
from orgserver.services.calls.confirmation import Notify
from orgserver.services.calls.first_logins import Mappings
from orgserver.services.describe.names import CachedNames
from orgserver.services.describe.operations import DescribeOperations
from orgserver.services.executor import Executor
from orgserver.services.fleet.fan_out import Fleet
from orgserver.services.observer import Observer
from orgserver.services.orgs.visible_orgs import VisibleOrgs
from orgserver.services.queries.operations import QueryOperations
from orgserver.services.records.default_fields import DefaultFields
from orgserver.services.records.preparation import Preparation
from orgserver.services.records.reading import ReadOperations
from orgserver.services.records.writing import WriteOperations
from orgserver.store.session import Store


@dataclass(frozen=True, slots=True)
class Services:
    """The operations by subject; each is run by ``executor.run``."""

    executor: Executor
    reading: ReadOperations
    writing: WriteOperations
    queries: QueryOperations
    bulk: Bulk
    describe: DescribeOperations
    fleet: Fleet
    visible_orgs: VisibleOrgs
    names: CachedNames


def make_services(
    store: Store,
    access: Access,
    call_timeout: float,
    observer: Observer | None = None,
    notify: Notify | None = None,
    mappings: Mappings | None = None,
) -> Services:
    """Compose them over a store and what reaches its orgs."""
    executor = Executor(store, access, call_timeout=call_timeout, observer=observer, notify=notify, mappings=mappings)
    schemas, cursor_key = executor.schemas, store.cursors
    default_fields, preparation = DefaultFields(), Preparation(schemas)
    queries = QueryOperations(cursor_key, schemas, default_fields)
    return Services(
        executor,
        ReadOperations(default_fields),
        WriteOperations(preparation, default_fields),
        queries,
        Bulk(store, executor.authorization, preparation, call_timeout=call_timeout),
        DescribeOperations(schemas, cursor_key),
        Fleet(executor, queries, access),
        VisibleOrgs(access, executor.log, cursor_key, str(store.database.address)),
        CachedNames(access, schemas),
    )
