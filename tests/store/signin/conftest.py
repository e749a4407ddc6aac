"""The world of these tests."""

from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from .world import Clock, World


@pytest.fixture
async def world(opener: Callable[..., Any]) -> AsyncIterator[World]:
    clock = Clock()
    opened = World(await opener(clock=clock), clock)
    yield opened
    await opened.close()
