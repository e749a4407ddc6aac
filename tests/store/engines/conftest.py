"""Addresses of databases on the run's PostgreSQL server."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import make_url

from orgserver.store.engines.address import ServerAddress
from tests.store_server import StoreServer


@pytest.fixture
def address(store_server: StoreServer, store_database: str, tmp_path: Path) -> ServerAddress:
    """A store that holds nothing yet."""
    return ServerAddress(make_url(store_server.url(store_database)), tmp_path / "home" / "postgresql-1")


@pytest.fixture
def empty_database(store_server: StoreServer) -> Iterator[str]:
    """A database without a table."""
    name = store_server.database()
    yield name
    store_server.drop(name)
