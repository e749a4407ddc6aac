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
    place: Any = property(lambda _engine: statements, lambda _engine, _own: None)
    Engine._compiled_cache = place  # what takes the place of __init__ would hide its options from create_engine
