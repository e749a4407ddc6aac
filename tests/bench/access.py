"""The access report over many principals, orgs and entries: `python -m tests.bench.access`. Prints figures only.

The entries are those of `tests.bench.writer`; every principal has own grants and those of two groups, on aliases, globs,
tags and everything.
"""

import argparse
import asyncio
import json
import resource
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from orgserver.cli.audit.pages import access_page
from orgserver.services.audit.access_report import Question, report_access
from orgserver.services.audit.last_uses import read_last_uses
from orgserver.store.catalog_version import changed_in
from orgserver.store.session import Store
from orgserver.store.transaction import Transaction
from tests.bench.stores import add_orgs, open_store
from tests.bench.writer import START, filled, tell

GROUPS = 20
LOCAL = "local:bench"
_EARLIER = START - 1_000_000_000_000


async def grant(store: Store, principals: int) -> None:
    """Principals with what they may do, beside orgs that are called as the entries call them."""

    def change(tx: Transaction) -> None:
        db: Any = tx.connection.connection.driver_connection
        db.execute("UPDATE orgs SET created_at = ?, alias = 'org-' || CAST(substr(alias, 5) AS INTEGER)", (_EARLIER,))
        db.execute("""UPDATE orgs SET tags = '["eu"]' WHERE alias LIKE '%7'""")
        rows = db.execute("SELECT row_id, alias FROM orgs ORDER BY row_id").fetchall()
        names = [f"principal-{number}" for number in range(principals)]
        db.executemany(
            "INSERT INTO principals VALUES (?, 'person', ?, '[]', '{}', ?)",
            [(name, number % 17 != 3, _EARLIER) for number, name in enumerate(names)],
        )
        db.executemany("INSERT INTO groups VALUES (?, NULL, ?)", [(f"team-{n}", _EARLIER) for n in range(GROUPS)])
        db.executemany(
            "INSERT INTO group_members VALUES (?, ?)",
            [(f"team-{(n + far) % GROUPS}", name) for n, name in enumerate(names) for far in (0, 7)],
        )
        own = [
            (name, None, selector, row_id)
            for number, name in enumerate(names)
            for selector, row_id in (
                (rows[number % len(rows)][1], rows[number % len(rows)][0]), (f"org-{number % 100}*", None), ("tag:eu", None),
            )
        ]  # fmt: skip
        shared = [(None, f"team-{n}", selector, None) for n in range(GROUPS) for selector in ("*", f"org-{n}?*")]
        db.executemany(
            f"""INSERT INTO grants VALUES (?, ?, ?, ?, ?, '["read", "write"]', NULL, {_EARLIER}, '{LOCAL}')""",
            [(f"grant-{n}", *each) for n, each in enumerate((*own, *shared))],
        )
        changed_in(tx)

    await store.database.write(change)


async def reporting(store: Store) -> None:
    """How long each report takes, and how large it is."""
    now = datetime.now(UTC)
    for name, question in (
        ("all", Question()),
        ("one org", Question(org="org-7")),
        ("one principal", Question(principal="principal-7")),
        ("unused for 30 days", Question(unused_days=30)),
    ):
        began = time.perf_counter()
        report = await report_access(store, question, LOCAL, now)
        took = time.perf_counter() - began
        tell(f"access-report, {name}: {len(report.access) + len(report.without_effect):,} lines", f"{took:.2f} s")
        if name == "all":
            began = time.perf_counter()
            size = sum(len(part) for part in access_page.parts(report, LOCAL))
            tell(f"its page: {size / 1e6:.1f} MB", f"{time.perf_counter() - began:.2f} s")
            began = time.perf_counter()
            size = sum(len(json.dumps(line.as_json(now))) for line in report.access)
            tell(f"its JSON: {size / 1e6:.1f} MB", f"{time.perf_counter() - began:.2f} s")
    async with store.database.reading() as connection:
        orgs = [*(await store.orgs.catalog(connection)).by_alias.values()]
    began = time.perf_counter()
    uses = await store.database.scan(lambda connection: read_last_uses(connection, orgs))
    tell(f"last use of {sum(map(len, uses.values())):,} pairs", f"{time.perf_counter() - began:.2f} s")


async def measure(home: Path, entries: int, orgs: int, principals: int) -> None:
    await filled(home, entries)
    await add_orgs(home, orgs)
    async with open_store(home) as store:
        await grant(store, principals)
        tell("principals, orgs, entries", f"{principals:,}, {orgs:,}, {entries:,}")
        await reporting(store)
    tell("memory at most", f"{resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:.0f} MB")


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.access", description=__doc__)
    parser.add_argument("--entries", type=int, default=1_000_000)
    parser.add_argument("--orgs", type=int, default=10_000)
    parser.add_argument("--principals", type=int, default=1_000)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(measure(Path(folder), options.entries, options.orgs, options.principals))


if __name__ == "__main__":
    main()
