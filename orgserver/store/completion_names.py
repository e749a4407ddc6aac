"""Names in a store, read from outside by whoever completes a command line: nothing is made, migrated or written.

Only SQLite itself is imported, for a person waits between two keys.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from orgserver.store.files import open_to_read

_NEWEST = 5_000
"""So many events at the end of the log are looked at, where nothing of an id has been typed."""
_MOST = 30
_LAST = "\x7f"
"""Beyond every character of an id."""
_PRINCIPALS = """
    WITH RECURSIVE each(name) AS (
        SELECT min(principal) FROM audit_entries
        UNION ALL
        SELECT (SELECT min(principal) FROM audit_entries WHERE principal > each.name) FROM each WHERE each.name NOT NULL
    )
    SELECT name FROM each WHERE name NOT NULL LIMIT 500
"""
"""From name to name along the index: the log may have millions of entries."""


def aliases(database: Path) -> list[tuple[str, str]]:
    """The alias and name of each registered org."""
    with open_to_read(database) as connection:
        return connection.execute("SELECT alias, name FROM orgs ORDER BY alias").fetchall()


def own_login_aliases(database: Path) -> list[tuple[str, str]]:
    """The alias and name of each org to which people log in themselves."""
    own = "SELECT org_id FROM policies WHERE identity != 'shared'"
    with open_to_read(database) as connection:
        return connection.execute(f"SELECT alias, name FROM orgs WHERE org_id IN ({own}) ORDER BY alias").fetchall()  # noqa: S608  # nobody's words


def principals(database: Path) -> list[str]:
    """Whoever is in the audit log, in lower case."""
    with open_to_read(database) as connection:
        return [name for (name,) in connection.execute(_PRINCIPALS)]


def registered_principals(database: Path) -> list[str]:
    """Principals that may be granted something."""
    with open_to_read(database) as connection:
        return [name for (name,) in connection.execute("SELECT name FROM principals ORDER BY name")]


def described_objects(database: Path) -> list[str]:
    """Objects of which some org has told the fields, in lower case."""
    with open_to_read(database) as connection:
        rows = connection.execute("SELECT DISTINCT object FROM describes WHERE object != '' ORDER BY object")
        return [name for (name,) in rows]


def groups(database: Path) -> list[str]:
    """Groups of principals."""
    with open_to_read(database) as connection:
        return [name for (name,) in connection.execute("SELECT name FROM groups ORDER BY name")]


def sessions(database: Path) -> list[tuple[str, str]]:
    """Sessions of sign-in that have not been ended, each with whose it is and from where."""
    query = (
        "SELECT id, principal || ' ' || coalesce(client_name, '/me') FROM signin_sessions "
        "WHERE redeemed_at IS NOT NULL AND ended_at IS NULL ORDER BY id DESC LIMIT 500"
    )
    with open_to_read(database) as connection:
        return connection.execute(query).fetchall()


def holds(database: Path) -> list[str]:
    """The names of the holds on the audit log."""
    with open_to_read(database) as connection:
        return [name for (name,) in connection.execute("SELECT name FROM audit_holds ORDER BY name")]


def entries(database: Path, beginning: str, actions: Sequence[str] = ()) -> list[tuple[str, str]]:
    """Ids of the newest audit entries that begin so, each with what it is of."""
    marks = ",".join("?" * len(actions))
    of = f" AND action IN ({marks})" if actions else ""
    some = "entry_id >= ? AND entry_id < ?" if beginning else "sequence > (SELECT max(sequence) FROM audit_events) - ?"
    span = (beginning, beginning + _LAST) if beginning else (_NEWEST,)
    query = (
        "SELECT entry_id, action, coalesce(object, ''), coalesce(org, '') FROM audit_events "  # noqa: S608  # marks
        f"WHERE kind = 'intent' AND {some}{of} ORDER BY {'entry_id' if beginning else 'sequence'} DESC LIMIT {_MOST}"
    )
    with open_to_read(database) as connection:
        return [(id_, " ".join(filter(None, words))) for id_, *words in connection.execute(query, (*span, *actions))]
