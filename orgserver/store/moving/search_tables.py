"""The search tables of a copy: made from its events by its own database, as they are wherever a log is searched.

They are not copied, for what an older log's names hold comes out of JSON differently: SQLite ends a text at a NUL, and
PostgreSQL has none, nor half of a surrogate pair.
"""

from __future__ import annotations

from sqlalchemy import delete, insert, text
from sqlalchemy.exc import DBAPIError, IntegrityError

from orgserver.store import tables
from orgserver.store.audit import index
from orgserver.store.moving.places import Place
from orgserver.store.moving.rows import SEARCH_TABLES, Contents, Step, copied_tables, copy_table
from orgserver.store.sql.canonical import is_unreadable

_ANALYZE = text("ANALYZE audit_events, audit_entries, audit_touched")
"""A server that knows nothing of new tables reads all of them for each page."""


def copy_tables(source: Place, target: Place, step: Step) -> dict[str, Contents]:
    """Copy every table that is copied, and make the others; what was copied, by the table's name."""
    contents = {table.name: copy_table(source, target, table, step) for table in copied_tables()}
    if not _rebuild(target, step):
        for table in SEARCH_TABLES:
            copy_table(source, target, table, step)
    return contents


def _rebuild(target: Place, step: Step) -> bool:
    """Make them anew, a page at a time; False where events were edited so that they cannot be read."""
    with target.changing() as connection:
        for table in SEARCH_TABLES:
            connection.execute(delete(table))
        connection.execute(insert(tables.audit_indexed).values(id=1, sequence=0))
    is_more = True
    while is_more:
        with target.using() as connection:
            connection.rollback()
            try:
                with connection.begin():
                    upto, is_more = index.take_page(connection, index.PAGE)
                    if target.is_server and upto <= index.PAGE:
                        connection.execute(_ANALYZE)
            except DBAPIError as error:
                if not (is_unreadable(error) or isinstance(error, IntegrityError)):
                    raise
                return False
        step(tables.audit_entries.name, upto)
    return True
