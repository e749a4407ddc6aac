"""The world of these tests."""

from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from orgserver.store import migration
from tests.new_stores import Schema

from .world import Clock, World


@pytest.fixture(autouse=True)
def _quick_new_stores(monkeypatch: pytest.MonkeyPatch, schema: Schema) -> None:
    """The migrations have tests of their own."""
    monkeypatch.setattr(migration, "upgrade", schema.upgrade)


@pytest.fixture
async def world(opener: Callable[..., Any]) -> AsyncIterator[World]:
    clock = Clock()
    opened = World(await opener(clock=clock), clock)
    yield opened
    await opened.close()
