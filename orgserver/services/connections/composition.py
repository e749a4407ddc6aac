"""People's own logins over one store, put together from their parts."""

from __future__ import annotations

from dataclasses import dataclass

from orgserver.services.calls.access import Access
from orgserver.services.connections.authorization import Authorization
from orgserver.services.connections.callbacks import Callbacks
from orgserver.services.connections.checks import Checks
from orgserver.services.connections.entries import Refusals
from orgserver.services.connections.links import ConnectLinks
from orgserver.services.connections.proofs import Proofs
from orgserver.services.connections.storing import Storing
from orgserver.services.observer import Observer
from orgserver.services.people.composition import People
from orgserver.store.session import Store


@dataclass(frozen=True, slots=True)
class BrowserConnections:
    """Everything that people need to give a login in a browser."""

    links: ConnectLinks
    checks: Checks
    proofs: Proofs
    authorization: Authorization
    callbacks: Callbacks
    storing: Storing
    refusals: Refusals


def make_browser_connections(
    store: Store, access: Access, people: People, links: ConnectLinks, observer: Observer | None = None
) -> BrowserConnections:
    """Make it; ``links`` lead to this server, and ``observer`` is told what comes of logins."""
    checks = Checks(store, access)
    storing = Storing(store, access, checks, observer)
    return BrowserConnections(
        links,
        checks,
        Proofs(store, people.api_keys),
        Authorization(store, checks, links),
        Callbacks(store, access.client, checks, links.callback_url, storing),
        storing,
        Refusals(store, people.auth_failures),
    )
