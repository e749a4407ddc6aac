"""People with grants at a site."""

import pytest

from orgserver.app import App
from tests.people import add_principal
from tests.serving.over_http.me.site import Site


@pytest.fixture
async def site(app: App) -> Site:
    await add_principal(app, "ada", "acme:read,write,delete")
    return Site(app)
