"""The world of these tests: at the end of each no secret stands in the store or in the log."""

import logging
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from tests.conftest import Clock

from .world import World


@pytest.fixture
async def world(opener: Callable[..., Any], clock: Clock, caplog: pytest.LogCaptureFixture) -> AsyncIterator[World]:
    caplog.set_level(logging.DEBUG)
    store = await opener(clock=clock)
    opened = World(store)
    await opened.prepare()
    yield opened
    await opened.close()
    records = [record for record in caplog.get_records("call") if not record.name.startswith("httpx2")]
    log = "\n".join(record.getMessage() for record in records)
    assert opened.find_canaries(log) == []
    await store.close()
