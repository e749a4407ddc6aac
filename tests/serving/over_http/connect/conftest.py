"""The world of these tests."""

from collections.abc import AsyncIterator

import pytest

from orgserver.app import App
from orgserver.sandbox.org import SandboxOrg
from tests.conftest import OpenApp
from tests.serving.over_http.connect.world import World, open_world


@pytest.fixture
async def world(app: App, open_again: OpenApp, acme: SandboxOrg) -> AsyncIterator[World]:
    async with open_world(app, open_again, acme) as opened:
        yield opened
