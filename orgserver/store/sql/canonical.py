r"""What the canonical bytes of audit events say, asked in SQL.

They are one flat JSON object in UTF-8 without white space, and a quote inside a text is escaped: so ``"name":`` stands
in them exactly where that key is. PostgreSQL reads no JSON that holds ``\\u0000`` or half a surrogate pair, whichever
key is asked for: there, only the value itself is cut out.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from sqlalchemy import Boolean, ColumnElement, Dialect, LargeBinary, Text, literal
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import FunctionElement
from sqlalchemy.types import TypeDecorator

from orgserver.store.sql.statements import SERVER, SQLITE

_UNREADABLE = frozenset({"22P02", "22021", "22P05", "22023"})
"""PostgreSQL's codes for a text that is no JSON, no UTF-8, or JSON of another form."""


class _RecordIds(dict[str, str]):
    """By the alias of a table with canonical bytes: what gives a row ``ids.value`` for each record they name."""

    def __init__(self, sql: str) -> None:
        super().__init__()
        self._sql = sql

    def __missing__(self, alias: str) -> str:
        return self._sql.format(alias)


RECORD_IDS: Mapping[str, Mapping[str, str]] = {
    SQLITE: _RecordIds("json_each(CAST({}.canonical AS TEXT), '$.record_ids') AS ids"),
    SERVER: _RecordIds(
        "json_array_elements_text(CAST(regexp_replace(substring(convert_from({}.canonical, 'UTF8') FROM "
        r"""'"record_ids":(\[(?:"(?:[^"\\]|\\.)*",?)*\])'), """
        r"""'(?<!\\)((?:\\\\)*)\\u(0000|[dD][89a-fA-F][0-9a-fA-F]{{2}})', '\1\\ufffd', 'g') AS json)) AS ids(value)"""
    ),
}
"""By dialect. an id of an older log may hold what no text of PostgreSQL does: it is replaced, as in ``values``."""


def is_unreadable(error: DBAPIError) -> bool:
    """Whether a statement failed because canonical bytes are not what we wrote: somebody edited them."""
    code = getattr(error.orig, "sqlstate", None)
    return code in _UNREADABLE if code is not None else "malformed JSON" in str(error.orig)


class _SpelledText(TypeDecorator[str]):
    """A text, which PostgreSQL gives as JSON spells it."""

    impl = Text
    cache_ok = True

    def process_result_value(self, value: str | None, dialect: Dialect) -> str | None:
        """The text itself."""
        return value if value is None or dialect.name == SQLITE else str(json.loads(value))


class _Value(FunctionElement[str]):
    """The text that a key has; NULL where it is not there."""

    type = _SpelledText()
    inherit_cache = True


class _Holds(FunctionElement[bool]):
    """Whether some bytes stand in canonical bytes."""

    type = Boolean()
    inherit_cache = True


def text_of(canonical: ColumnElement[bytes], key: str) -> ColumnElement[str]:
    """What canonical bytes say under a key of theirs, which is ours and needs no escaping."""
    return _Value(canonical, literal(key, Text))


def text_within(canonical: ColumnElement[bytes], outer: str, key: str) -> ColumnElement[str]:
    """What an object under a key of theirs says under a key of its own, which no other has."""
    return _Value(canonical, literal(key, Text), literal(f"{outer}.{key}", Text))


def holds(canonical: ColumnElement[bytes], piece: str) -> ColumnElement[bool]:
    """Whether a piece of text stands in canonical bytes, in capitals or not where its letters are ASCII."""
    return _Holds(canonical, literal(piece.encode("utf-8", "backslashreplace"), LargeBinary))


@compiles(_Value, SQLITE)
def _value_in_file(element: _Value, compiler: SQLCompiler, **kw: Any) -> str:
    canonical, *keys = (compiler.process(each, **kw) for each in element.clauses)
    key = keys[-1]
    written = f"CAST({canonical} AS TEXT)"
    return f"CASE WHEN json_valid({written}) THEN json_extract({written}, '$.' || {key}) END"


@compiles(_Value, SERVER)
def _value_on_server(element: _Value, compiler: SQLCompiler, **kw: Any) -> str:
    # a server refuses a parameter that stands nowhere, so the way from the top, which a file needs, is left out
    canonical, key = (compiler.process(each, **kw) for each in list(element.clauses)[:2])
    pattern = f"""'"' || {key} || '":("(?:[^"\\\\]|\\\\.)*")'"""
    return f"substring(convert_from({canonical}, 'UTF8') FROM {pattern})"


@compiles(_Holds, SQLITE)
def _holds_in_file(element: _Holds, compiler: SQLCompiler, **kw: Any) -> str:
    canonical, piece = (compiler.process(each, **kw) for each in element.clauses)
    return f"(instr(lower(CAST({canonical} AS TEXT)), lower(CAST({piece} AS TEXT))) > 0)"


@compiles(_Holds, SERVER)
def _holds_on_server(element: _Holds, compiler: SQLCompiler, **kw: Any) -> str:
    canonical, piece = (compiler.process(each, **kw) for each in element.clauses)
    whole, part = (f"lower(encode({each}, 'escape'))" for each in (canonical, piece))  # which is ASCII
    return f"(strpos({whole}, {part}) > 0)"
