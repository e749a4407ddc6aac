"""What a refused call may learn of its own org: from memory, from the store, and, once a minute, from the org."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import replace

from orgserver.model.errors import CallError
from orgserver.model.orgs import Caller
from orgserver.model.schema import ObjectList, Schema
from orgserver.salesforce.exchange import Trace
from orgserver.services.calls.access import OrgSession
from orgserver.services.describe.schemas import ALL, Metadata

SECONDS = 5.0
"""How long a refusal may wait for its hint."""
logger = logging.getLogger("orgserver.metadata")


class Looking:
    """Implements what hints look at, for one call."""

    def __init__(self, metadata: Metadata, caller: Caller, session: OrgSession) -> None:
        self._metadata = metadata
        self._caller = caller
        self._session = session

    async def recall(self, sobject: str = ALL) -> None:
        """Take what the store knows into memory."""
        await self._metadata.recall(self._session.org, sobject)

    def cached(self, sobject: str) -> Schema | None:
        """An object's schema."""
        return self._metadata.cached(self._session.org, sobject)

    def names(self) -> ObjectList | None:
        """The org's objects."""
        return self._metadata.names(self._session.org)

    async def ask(self, sobject: str) -> None:
        """Ask the org, within the call that was refused: its entry counts the exchange, and tells of its own answer."""
        trace = self._session.trace
        beside = replace(self._session, trace=Trace())
        try:
            async with asyncio.timeout(SECONDS):
                await self._metadata.ask_again(beside, self._caller, sobject)
        except (CallError, TimeoutError) as error:
            logger.debug("a hint found nothing: %s", type(error).__name__)
        finally:
            trace.api_calls += beside.trace.api_calls
            trace.attempts += beside.trace.attempts
