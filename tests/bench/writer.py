"""The writer of the audit log alone, and what reads after it: `python -m tests.bench.writer`. Prints figures only.

A call is both of its rows, intent and outcome, each durable before the caller goes on. Nothing of MCP or HTTP is in it.
"""

import argparse
import asyncio
import json
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import closing
from pathlib import Path
from typing import Any

from orgserver.model.audit import Action, Completion, EntryFilter, Intent, Outcome
from orgserver.model.names import new_id
from orgserver.services.audit.log_reader import AuditLogReader
from orgserver.store.session import Store
from orgserver.store.transaction import to_datetime
from tests.bench.stores import add_entries, open_store

FAR = 1 << 60
CALLERS = 64
PROCESSES = 4
START = 1_790_000_000_000_000
"""Microseconds: when the made-up entries begin; one in each second."""

_NUMBERS = "WITH RECURSIVE n(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n WHERE n < :count)"
_ID = "printf('%08x-0000-7000-8000-%012x', n, n)"
_RECORD = "printf('003Sb%010dAAA', n % 100000)"
_TIME = "strftime('%Y-%m-%dT%H:%M:%S.000000Z', :start / 1000000 + n, 'unixepoch')"
_WORDS = {
    "principal": "'principal-' || (n % 50)",
    "org": "'org-' || (n % 200)",
    "tool": "'tool-' || (n % 20)",
    "action": "CASE n % 3 WHEN 0 THEN 'create' WHEN 1 THEN 'read' ELSE 'update' END",
    "object": "'Object' || (n % 10)",
}
_OUTCOME = (
    "CASE WHEN n % 1000 = 0 THEN 'unknown' WHEN n % 20 = 0 THEN 'denied' WHEN n % 10 = 0 THEN 'rejected' "
    "ELSE 'succeeded' END"
)
_RULE = "CASE WHEN n % 250000 = 20 THEN 'policy:hours' ELSE 'policy:hide-field Object' || (n % 10) || '.Email' END"
_DECISION = f"CASE WHEN {_OUTCOME} = 'denied' THEN '\"decision\":\"' || {_RULE} || '\",' ELSE '' END"
_SAID = " || ".join(f"',\"{name}\":\"' || {value} || '\"'" for name, value in _WORDS.items())
FILL = (
    f"""{_NUMBERS} INSERT INTO audit_events
    SELECT 2 * n - 1, {_ID}, 'intent', :start + n * 1000000, {", ".join(_WORDS.values())}, NULL,
        CAST('{{"fields":["LastName"],"id":"' || {_ID} || '","kind":"intent","process":"p","record_ids":["' || {_RECORD}
        || '"],"time":"' || {_TIME} || '","transport":"stdio"' || {_SAID} || ',"v":1}}' AS BLOB),
        randomblob(32), randomblob(32)
    FROM n UNION ALL
    SELECT 2 * n, {_ID}, 'outcome', :start + n * 1000000, NULL, NULL, NULL, NULL, NULL, {_OUTCOME},
        CAST('{{' || {_DECISION} || '"duration_us":1,"id":"' || {_ID} || '","kind":"outcome","outcome":"' || {_OUTCOME}
        || '","time":"' || {_TIME} || '","v":1}}' AS BLOB), randomblob(32), randomblob(32)
    FROM n ORDER BY 1""",
    f"""{_NUMBERS} INSERT INTO audit_entries (sequence, entry_id, outcome_sequence, time, {", ".join(_WORDS)}, outcome)
    SELECT 2 * n - 1, {_ID}, 2 * n, :start + n * 1000000, {", ".join(map("lower({})".format, _WORDS.values()))}, {_OUTCOME}
    FROM n""",
    f"{_NUMBERS} INSERT INTO audit_touched SELECT {_RECORD}, 2 * n - 1 FROM n ORDER BY 1, 2",
    "UPDATE audit_indexed SET sequence = 2 * :count",
)
FILTERS = {
    "nothing": EntryFilter(),
    "principal": EntryFilter(principal="principal-7"),
    "org": EntryFilter(org="org-7"),
    "tool": EntryFilter(tool="tool-7"),
    "action": EntryFilter(action="create"),
    "object": EntryFilter(object="Object7"),
    "outcome": EntryFilter(outcome="unknown"),
    "decision, one in twenty": EntryFilter(decision="policy:hide-field"),
    "decision, four of a million": EntryFilter(decision="policy:hours"),
    "a decision that is not there": EntryFilter(decision="principal:"),
    "org and decision": EntryFilter(org="org-20", decision="policy:"),
    "record id": EntryFilter(record_id="003Sb0000000007AAA"),
    "since, the later half": EntryFilter(since=to_datetime(START + 500_000 * 1_000_000)),
    "until, the earlier half": EntryFilter(until=to_datetime(START + 500_000 * 1_000_000)),
    "until, the first of all": EntryFilter(until=to_datetime(START + 1_000 * 1_000_000)),
    "org and outcome": EntryFilter(org="org-7", outcome="unknown"),
    "org and object": EntryFilter(org="org-7", object="object7"),
    "principal and action": EntryFilter(principal="principal-7", action="update"),
    "an org that is not there": EntryFilter(org="nobody"),
}


async def call(store: Store) -> float:
    """One call; how many seconds its two rows took."""
    one = Intent(
        new_id(), "local:bench", "stdio", Action.CREATE, org="acme", object="Contact", fields=("LastName", "Email")
    )
    began = time.perf_counter()
    await store.audit.begin(one, deadline=FAR, catalog_version=1)
    await store.audit.finish(one.id, Completion(Outcome.SUCCEEDED, record_ids=("003Sb0000000001AAA",)))
    return time.perf_counter() - began


async def calls(store: Store, callers: int, seconds: float) -> tuple[list[float], float]:
    """So many callers, one call after the other, for so long; how long each took, and all together."""
    took: list[float] = []
    began = time.perf_counter()

    async def caller() -> None:
        while time.perf_counter() - began < seconds:
            took.append(await call(store))

    await asyncio.gather(*(caller() for _ in range(callers)))
    return took, time.perf_counter() - began


async def in_processes(home: Path, seconds: float) -> tuple[list[float], float]:
    """Four processes on one store, with their share of the callers each."""
    workers = [
        await asyncio.create_subprocess_exec(
            sys.executable, "-m", "tests.bench.writer", "--worker", str(home), "--seconds", str(seconds),
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, limit=1 << 26,
        )
        for _ in range(PROCESSES)
    ]  # fmt: skip
    for worker in workers:
        assert worker.stdout is not None
        await worker.stdout.readline()
    replies = await asyncio.gather(*(worker.communicate(b"go\n") for worker in workers))
    found = [json.loads(out) for out, _ in replies]
    return [each for one in found for each in one["took"]], max(one["seconds"] for one in found)


async def work(home: Path, seconds: float) -> None:
    async with open_store(home) as store:
        await call(store)
        print("ready", flush=True)
        await asyncio.to_thread(sys.stdin.readline)
        took, together = await calls(store, CALLERS // PROCESSES, seconds)
    print(json.dumps({"took": took, "seconds": together}))


async def filled(home: Path, count: int) -> None:
    """A store of so many entries, made in SQL: they read well, and their hashes are noise."""
    async with open_store(home) as store:
        file = store.database.file
    with closing(sqlite3.connect(file)) as db:
        db.execute("PRAGMA journal_mode = OFF")
        db.execute("PRAGMA synchronous = OFF")
        db.execute("PRAGMA cache_size = -200000")
        indexes = db.execute(
            "SELECT name, sql FROM sqlite_master WHERE type = 'index' AND sql IS NOT NULL AND tbl_name LIKE 'audit_e%'"
        ).fetchall()
        for name, _ in indexes:
            db.execute(f"DROP INDEX {name}")
        for statement in FILL:
            given = {"count": count, "start": START}
            db.execute(statement, {name: value for name, value in given.items() if f":{name}" in statement})
        for _, sql in indexes:
            db.execute(sql)
        db.commit()
        db.execute("PRAGMA journal_mode = WAL")
    async with open_store(home) as store:
        await move_head(store, 2 * count)


async def move_head(store: Store, sequence: int) -> None:
    """Let the chain end with an event that was written past the writer."""

    def move(db: Any) -> None:
        (last,) = db.execute("SELECT hash FROM audit_events WHERE sequence = ?", (sequence,)).fetchone()
        sealed = store.audit.seal_head(sequence, last)
        db.execute("UPDATE audit_head SET sequence = ?, hash = ?, sealed = ?", (sequence, last, sealed))

    await store.database.write(lambda tx: move(tx.connection.connection.driver_connection))


def tell(name: str, figure: str) -> None:
    print(f"{name:<58} {figure}", flush=True)


def at(took: list[float], share: float) -> str:
    return f"{sorted(took)[min(int(len(took) * share), len(took) - 1)] * 1_000:.2f} ms"


async def writing(home: Path, seconds: float) -> None:
    async with open_store(home) as store:
        await calls(store, 1, 0.5)
        took, _ = await calls(store, 1, seconds)
        tell("one caller: both rows, p50", at(took, 0.5))
        took, together = await calls(store, CALLERS, seconds)
        tell(f"one process, {CALLERS} callers", f"{len(took) / together:,.0f} calls/s")
        tell(f"one process, {CALLERS} callers: p50, p99", f"{at(took, 0.5)}, {at(took, 0.99)}")
    took, together = await in_processes(home, seconds)
    tell(f"{PROCESSES} processes, {CALLERS} callers", f"{len(took) / together:,.0f} calls/s")
    tell(
        f"{PROCESSES} processes, {CALLERS} callers: p50, p99, worst",
        f"{at(took, 0.5)}, {at(took, 0.99)}, {at(took, 1)}",
    )


async def verifying(home: Path, entries: int) -> None:
    await add_entries(home, entries)
    async with open_store(home) as store:
        began = time.perf_counter()
        found = await AuditLogReader(store).verify()
        tell(
            f"audit verify over {found.entries:,} entries",
            f"{found.entries / (time.perf_counter() - began):,.0f} entries/s",
        )
        assert found.problem is None, found


async def growing(folder: Path, entries: int, seconds: float) -> None:
    """What a call costs in a large store, and how soon its entries are found."""
    await filled(folder / "little", 10_000)
    began = time.perf_counter()
    await filled(folder / "large", entries)
    print(f"({entries:,} entries made in {time.perf_counter() - began:.0f} s)", file=sys.stderr)
    async with open_store(folder / "little") as little, open_store(folder / "large") as large:
        costs: dict[Store, list[float]] = {little: [], large: []}
        for _ in range(5):
            for store, each in costs.items():
                took, together = await calls(store, CALLERS, seconds / 3)
                each.append(together / len(took))
        ratio = statistics.median(costs[large]) / statistics.median(costs[little])
        tell(f"cost of a call at {entries:,} entries against 10,000", f"x {ratio:.2f}")
        audit_log = AuditLogReader(large)
        await audit_log.newest(EntryFilter(), 1)  # brings the search tables up to date
        for name, wanted in FILTERS.items():
            took = []
            for _ in range(7):
                began = time.perf_counter()
                found = await audit_log.newest(wanted, 50)
                took.append(time.perf_counter() - began)
            tell(f"audit list by {name} ({len(found)} found): p50, worst", f"{at(took, 0.5)}, {at(took, 1)}")


async def measure(folder: Path, entries: int, chained_entries: int, seconds: float) -> None:
    await writing(folder / "writing", seconds)
    await verifying(folder / "verifying", chained_entries)
    await growing(folder, entries, seconds)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.writer", description=__doc__)
    parser.add_argument("--worker", type=Path, help=argparse.SUPPRESS)
    parser.add_argument(
        "--store", choices=("sqlite", "postgresql"), default="sqlite", help="on a server: appending alone"
    )
    parser.add_argument("--disk", type=Path, help="where a server's data lies (default: in memory)")
    parser.add_argument("--entries", type=int, default=1_000_000, help="of the large store (default 1,000,000)")
    parser.add_argument("--chained", type=int, default=200_000, help="entries to verify (default 200,000)")
    parser.add_argument("--seconds", type=float, default=3.0, help="of each load (default 3)")
    options = parser.parse_args()
    if options.worker is not None:
        asyncio.run(work(options.worker, options.seconds))
        return
    with tempfile.TemporaryDirectory() as folder:
        if options.store == "postgresql":
            from tests.bench import server_writer  # which needs this module

            asyncio.run(server_writer.measure(Path(folder), options.seconds, options.disk))
            return
        asyncio.run(measure(Path(folder), options.entries, options.chained, options.seconds))


if __name__ == "__main__":
    main()
