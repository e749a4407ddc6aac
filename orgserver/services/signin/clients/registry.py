"""Which client an id is of: one that registered here, or one that is described at the URL that the id is.

A description is read once and kept for as long as its server says; one that cannot be read any more is none, however
good it was. What fails is never kept.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from orgserver.model.access.people import OAuthClient
from orgserver.model.audit import Action
from orgserver.model.hosts import is_loopback
from orgserver.oauth.clients.metadata import MAX_BYTES, read_name, read_redirect_uris
from orgserver.oauth.clients.metadata_documents import PREFIX, read_client
from orgserver.oauth.clients.redirect_uris import host_of
from orgserver.oauth.documents import DocumentFetcher
from orgserver.oauth.refusals import IssuerUnavailable
from orgserver.oauth.urls import CheckedUrl, check_client_id
from orgserver.services.people.auth_failures import NOBODY
from orgserver.services.signin.clients.rates import RegistrationRates
from orgserver.services.signin.entries import record_in
from orgserver.services.signin.options import SignInOptions
from orgserver.store.session import Store
from orgserver.store.signin import clients
from orgserver.store.signin.clients import StoredClient
from orgserver.store.transaction import Transaction

FRESH_SECONDS = 3_600
"""For which a description is good whose server does not say."""
LEAST_FRESH_SECONDS, MOST_FRESH_SECONDS = 300, 86_400
MOST_READINGS = 16
"""Descriptions that are read at once."""
MOST_OF_SOURCE = 4
"""Of these for requests from one address: slow hosts that it names must not keep everybody else's from being read."""
LONGEST_ID = 512
FULL_SECONDS = 600.0
"""After which a client may try again where no other makes room: for as long as a person may think."""
_SECOND_US = 1_000_000


@dataclass(frozen=True, slots=True)
class ClientRefusal:
    """Why an id is no client's."""

    code: str
    """``UNKNOWN_CLIENT``, or ``CLIENT_DOCUMENT`` where a description cannot be read or used."""
    reason: str
    """One short clause."""


@dataclass(frozen=True, slots=True)
class RegistrationRefusal:
    """Why a client that may register itself is not registered now."""

    error: str
    description: str
    seconds: float
    """In how many it may come again."""


def _refuse_registration(text: str, seconds: float) -> RegistrationRefusal:
    return RegistrationRefusal("temporarily_unavailable", text, seconds)


class Clients:
    """Finds them, and registers those that may."""

    def __init__(self, store: Store, options: SignInOptions, fetcher: DocumentFetcher) -> None:
        self._store = store
        self._fetcher = fetcher
        self._may_be_loopback = is_loopback(urlsplit(options.url).hostname or "")
        self._readings: dict[str, asyncio.Task[OAuthClient | ClientRefusal]] = {}
        self._sources: Counter[str] = Counter()
        self._rates = RegistrationRates()

    async def find(self, client_id: str, source: str = "") -> OAuthClient | ClientRefusal:
        """The client of an id, whose description is read where that is due; or why there is none.

        ``source`` is the address that asks.
        """
        if len(client_id) > LONGEST_ID:
            return ClientRefusal("UNKNOWN_CLIENT", "no client's id is so long")
        if not client_id.startswith(PREFIX):
            stored = await self._find_stored(client_id)
            unknown = ClientRefusal("UNKNOWN_CLIENT", "no client of this id is registered")
            return stored.client if stored is not None else unknown
        try:
            url = check_client_id(client_id, may_be_loopback=self._may_be_loopback)
        except ValueError as error:
            return ClientRefusal("CLIENT_DOCUMENT", str(error))
        return await self._find_fresh(client_id) or await self._read_once(url, source)

    async def register(self, metadata: Mapping[str, Any], source: str) -> OAuthClient | RegistrationRefusal:
        """Register a client with what was checked, under the id that it was given."""
        seconds = self._rates.admit(source)
        if seconds is not None:
            return _refuse_registration("too many clients were registered from this address", seconds)
        redirect_uris = read_redirect_uris(dict(metadata))
        name = read_name(dict(metadata), redirect_uris)
        client = OAuthClient(metadata["client_id"], "registered", name, redirect_uris)

        def register(tx: Transaction) -> bool:
            is_registered = clients.register_in(tx, client, metadata)
            if is_registered:
                facts = {"name": client.name, "redirect-host": host_of(redirect_uris[0]), "source": source}
                record_in(
                    tx, self._store.audit, NOBODY, Action.ENROL, "register-client",
                    object_name=client.client_id, facts=facts,
                )  # fmt: skip
            return is_registered

        if await self._store.database.write(register):
            return client
        return _refuse_registration("too many clients are registered that people are just asked about", FULL_SECONDS)

    async def close(self) -> None:
        """End what is under way."""
        readings = list(self._readings.values())
        for reading in readings:
            reading.cancel()
        await asyncio.gather(*readings, return_exceptions=True)

    async def _find_stored(self, client_id: str) -> StoredClient | None:
        async with self._store.database.reading() as connection:
            return await clients.find(connection, client_id)

    async def _find_fresh(self, client_id: str) -> OAuthClient | None:
        """A client whose description need not be read again yet."""
        stored = await self._find_stored(client_id)
        is_fresh = stored is not None and (stored.fresh_until or 0) > self._store.database.clock()
        return stored.client if stored is not None and is_fresh else None

    async def _read_once(self, url: CheckedUrl, source: str) -> OAuthClient | ClientRefusal:
        """Read a description, once for all who want it at a time."""
        reading = self._readings.get(url.text)
        if reading is None:
            if len(self._readings) >= MOST_READINGS or self._sources[source] >= MOST_OF_SOURCE:
                return ClientRefusal("CLIENT_DOCUMENT", "too many descriptions are being read")
            reading = self._readings[url.text] = asyncio.create_task(self._read(url))
            self._sources[source] += 1
            reading.add_done_callback(lambda _: self._end_reading(url, source))
        return await asyncio.shield(reading)

    def _end_reading(self, url: CheckedUrl, source: str) -> None:
        del self._readings[url.text]
        self._sources[source] -= 1
        self._sources += Counter()  # only those are remembered for whom something is being read

    async def _read(self, url: CheckedUrl) -> OAuthClient | ClientRefusal:
        client = await self._find_fresh(url.text)  # whoever looked before us may have read it meanwhile
        if client is not None:
            return client
        try:
            document = await self._fetcher.fetch_document(url, must_be_public=not url.is_loopback, max_bytes=MAX_BYTES)
            if document is None:
                return ClientRefusal("CLIENT_DOCUMENT", f"nothing is at {url.text}")
            client, metadata = read_client(document.object, url)
        except IssuerUnavailable as error:
            return ClientRefusal("CLIENT_DOCUMENT", error.reason)
        except ValueError as error:
            return ClientRefusal("CLIENT_DOCUMENT", str(error))
        seconds = FRESH_SECONDS if document.fresh_seconds is None else document.fresh_seconds
        fresh_us = int(min(max(seconds, LEAST_FRESH_SECONDS), MOST_FRESH_SECONDS)) * _SECOND_US
        await self._store.database.write(lambda tx: clients.save_document_in(tx, client, metadata, tx.now + fresh_us))
        return client
