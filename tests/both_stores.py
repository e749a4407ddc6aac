"""Tests over both stores: those of a module marked ``both_stores`` run on SQLite and on PostgreSQL.

A test that asks for ``store_file`` works on SQLite's own file, and runs there alone.
"""

from __future__ import annotations

import re
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

from sqlalchemy import make_url

from orgserver.store.engines.address import FileAddress, ServerAddress, StoreAddress
from tests.store_server import StoreServer

FILE, SERVER = KINDS = ("sqlite", "postgresql")
_ZEROS = re.compile(r"zeroblob\((\d+)\)")
_BYTES_REPLACED = re.compile(r"replace\(canonical, ('[^']+'), ('[^']+')\)")


class FilePlace:
    """Where a test's store is, in a file: what somebody who has it can do to it."""

    def __init__(self, file: Path) -> None:
        self.address: StoreAddress = FileAddress(file)
        self.settings: dict[str, object] = {}
        """By which the program finds it."""
        self._file = file
        self._kept = file.with_name("kept.db")

    def edit(self, statements: str) -> None:
        """Change it past the program."""
        with closing(sqlite3.connect(self._file)) as connection, connection:
            connection.executescript(statements)

    def keep(self) -> None:
        """Keep it as it is; nobody may have it open."""
        shutil.copyfile(self._file, self._kept)

    def put_back(self) -> None:
        """Put back what was kept."""
        shutil.copyfile(self._kept, self._file)


class ServerPlace:
    """The same, on a server."""

    def __init__(self, server: StoreServer, database: str, beside: Path) -> None:
        url = make_url(server.url(database)).set(drivername="postgresql+asyncpg")
        self.address: StoreAddress = ServerAddress(url, beside)
        self.settings: dict[str, object] = {"database_url": server.url(database)}
        self.kept: str | None = None
        self._server = server
        self._database = database

    def edit(self, statements: str) -> None:
        """Change it past the program, by statements that are written for SQLite."""
        statements = _ZEROS.sub(r"decode(repeat('00', \1), 'hex')", statements)
        text = r"convert_to(replace(convert_from(canonical, 'UTF8'), \1, \2), 'UTF8')"
        for statement in _BYTES_REPLACED.sub(text, statements).split(";"):
            self._server.ask(self._database, statement)

    def keep(self) -> None:
        """Keep it as it is; nobody may have it open."""
        self.kept = self._server.database(self._database)

    def put_back(self) -> None:
        """Put back what was kept."""
        self._server.drop(self._database)
        self._server.ask("postgres", f'CREATE DATABASE "{self._database}" TEMPLATE "{self.kept}"')


StorePlace = FilePlace | ServerPlace
