"""An app with the tests' own refreshing of tokens: with hardly a pause, and over any store."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace

from orgserver.app import App
from orgserver.services.calls.access import Access
from orgserver.services.tokens.refresh_outcomes import Pauses
from orgserver.store.session import Store

PAUSES = Pauses(lost=(0.0, 0.01), unsaved=(0.01, 0.01))


@asynccontextmanager
async def with_tokens(app: App, store: Store | None = None) -> AsyncIterator[App]:
    """The app with its access made anew over a store, its own unless another is given."""
    store = store or app.store
    lease_seconds = app.settings.lease_seconds
    access = Access(store, app.access.client, app.access.scope, lease_seconds=lease_seconds, pauses=PAUSES)
    other = replace(app, store=store, access=access)
    try:
        yield other
    finally:
        await other.close()
        await access.tokens.close()
