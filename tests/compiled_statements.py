"""SQL that all engines of a test process share: compiling a statement anew for each test's store takes most of opening it."""

from typing import Any

from sqlalchemy.engine import Engine
from sqlalchemy.util import LRUCache

Key = tuple[Any, ...]


class CompiledStatements(LRUCache[Key, Any]):
    """By what a statement is and the kind of its dialect: an engine's own cache goes by the dialect it has."""

    def get(self, key: Key, default: Any = None) -> Any:
        return super().get(_by_kind(key), default)

    def __setitem__(self, key: Key, compiled: Any) -> None:
        super().__setitem__(_by_kind(key), compiled)


def _by_kind(key: Key) -> Key:
    dialect, *statement = key
    return (type(dialect), *statement)


def share() -> None:
    """From now on every engine of this process has these."""
    statements = CompiledStatements(2_000)
    begin = Engine.__init__

    def begin_with_them(engine: Engine, *args: Any, **options: Any) -> None:
        begin(engine, *args, **options)
        engine._compiled_cache = statements

    replacement: Any = begin_with_them
    Engine.__init__ = replacement
