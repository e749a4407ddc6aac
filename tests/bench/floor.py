"""What no server can do without: two durable rows in bare ``sqlite3``, one exchange with the org, and the pipes.

A server that does just that for each call, with the product's pragmas, lock file and statements in plain ``sqlite3``,
one blocking socket, and no JSON: ``floor.py PARTS STORE PORT``; parts are ``rows`` and ``exchange``, or neither: an echo.
"""

import fcntl
import os
import socket
import sqlite3
import sys
from collections.abc import Callable
from pathlib import Path

HEAD = b'{"jsonrpc":"2.0","id":'
REQUEST = (
    b"GET /services/data/v68.0/query?q=SELECT+Id%2C+Name%2C+Email+FROM+Contact+LIMIT+11 HTTP/1.1\r\n"
    b"Host: 127.0.0.1\r\nAuthorization: Bearer x\r\nAccept: application/json\r\nAccept-Encoding: gzip\r\n\r\n"
)
INTENT, OUTCOME = b"i" * 430, b"o" * 260
"""As long as the canonical bytes of a list's events."""
PRAGMAS = (
    "journal_mode = WAL",
    "synchronous = FULL",
    "foreign_keys = ON",
    "trusted_schema = OFF",
    "secure_delete = ON",
)
_READ = """SELECT audit_head.sequence, audit_head.hash, audit_head.sealed, store.catalog_version
    FROM audit_head JOIN store ON audit_head.id = store.id"""
_ADD = """INSERT INTO audit_events (sequence, entry_id, kind, time, principal, org, tool, action, object, outcome,
    canonical, hash, mac) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"""
_MOVE = "UPDATE audit_head SET sequence = ?, hash = ?, sealed = ?"
_PEND = "INSERT INTO audit_pending (entry_id, process_id, deadline) VALUES (?, ?, ?)"
_END_PENDING = "DELETE FROM audit_pending WHERE entry_id = ?"


class Rows:
    """Intent and outcome, each in a transaction of its own under the lock file."""

    def __init__(self, store: Path) -> None:
        self._lock = os.open(store.with_name(store.name + ".lock"), os.O_RDWR | os.O_CREAT, 0o600)
        self._db = sqlite3.connect(store, isolation_level=None, cached_statements=256)
        for pragma in PRAGMAS:
            self._db.execute(f"PRAGMA {pragma}").fetchall()
        self._number = 0

    def intend(self) -> None:
        """The first row."""
        self._number += 1
        entry = f"floor-{os.getpid():08}-{self._number:022}"

        def add() -> None:
            self._append(entry, "intent", ("local:bench", "bench", "tool", "list", "Contact", None), INTENT)
            self._db.execute(_PEND, (entry, "floor", 1 << 60))

        self._commit(add)

    def conclude(self) -> None:
        """The second row."""
        entry = f"floor-{os.getpid():08}-{self._number:022}"

        def add() -> None:
            self._db.execute(_END_PENDING, (entry,))
            self._append(entry, "outcome", (None, None, None, None, None, "succeeded"), OUTCOME)

        self._commit(add)

    def _commit(self, change: Callable[[], None]) -> None:
        fcntl.flock(self._lock, fcntl.LOCK_EX)
        self._db.execute("BEGIN IMMEDIATE")
        change()
        self._db.execute("COMMIT")
        fcntl.flock(self._lock, fcntl.LOCK_UN)

    def _append(self, entry: str, kind: str, words: tuple[str | None, ...], canonical: bytes) -> None:
        ((sequence, hash_, sealed, _version),) = self._db.execute(_READ).fetchall()
        self._db.execute(_ADD, (sequence + 1, entry, kind, 1_790_000_000_000_000, *words, canonical, hash_, hash_))
        self._db.execute(_MOVE, (sequence + 1, hash_, sealed))


class Exchange:
    """One request and its whole answer, on a connection that stays."""

    def __init__(self, port: int) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port))
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def send(self) -> None:
        self._socket.sendall(REQUEST)
        answer = self._socket.recv(1 << 16)
        while not is_whole(answer):
            answer += self._socket.recv(1 << 16)


def is_whole(answer: bytes) -> bool:
    head, end, body = answer.partition(b"\r\n\r\n")
    if b"Transfer-Encoding: chunked" in head:
        return body.endswith(b"0\r\n\r\n")
    return bool(end) and len(body) >= int(head.partition(b"Content-Length: ")[2].partition(b"\r\n")[0])


def serve(parts: str, store: Path, port: int) -> None:
    """Answer each line that has an id, after what is done for a call."""
    rows = Rows(store) if "rows" in parts else None
    exchange = Exchange(port) if "exchange" in parts else None
    for line in sys.stdin.buffer:
        if not line.startswith(HEAD):
            continue
        if b'"tools/call"' in line:
            if rows:
                rows.intend()
            if exchange:
                exchange.send()
            if rows:
                rows.conclude()
        number = line[len(HEAD) :].partition(b",")[0]
        os.write(1, HEAD + number + b',"result":{"content":[{"type":"text","text":"x"}]}}\n')


if __name__ == "__main__":
    serve(sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]))
