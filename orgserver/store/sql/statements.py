"""Statements that SQLite and PostgreSQL say differently: one text, in which words stand for what each calls it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING

from sqlalchemy import BigInteger, Connection, Table, TextClause, bindparam, text

if TYPE_CHECKING:
    from sqlalchemy.dialects.postgresql import Insert as ServerInsert
    from sqlalchemy.dialects.sqlite import Insert as FileInsert

SQLITE, SERVER = "sqlite", "postgresql"
"""As SQLAlchemy calls the two stores."""
_NAMES = re.compile(r"(?<!:):(\w+)")
Words = Mapping[str, str | Mapping[str, str]]
"""What stands for a word; for one that stands for more, each of its meanings by name."""


class PortableText:
    """A statement of plain SQL whose values are whole numbers, for either store."""

    def __init__(self, sql: str, words: Mapping[str, Words]) -> None:
        self.names = frozenset(_NAMES.findall(sql))
        """Of its values."""
        self._sql = sql
        self._words = words
        self._made: dict[str, TextClause] = {}

    def on(self, connection: Connection) -> TextClause:
        """The statement as the store of a connection understands it."""
        name = connection.dialect.name
        made = self._made.get(name)
        if made is None:
            sql = self._sql.format_map(self._words[name])
            numbers = (bindparam(each, type_=BigInteger()) for each in self.names)
            made = self._made[name] = text(sql).bindparams(*numbers)
        return made


def insert_into(dialect: str, table: Table) -> FileInsert | ServerInsert:
    """An insertion that can go on where the row is there already, which SQL itself does not know."""
    if dialect == SQLITE:
        from sqlalchemy.dialects.sqlite import insert as insert_into_file  # noqa: PLC0415  # one of the two is used

        return insert_into_file(table)
    from sqlalchemy.dialects.postgresql import insert as insert_into_server  # noqa: PLC0415  # as above

    return insert_into_server(table)
