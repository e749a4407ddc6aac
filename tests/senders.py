"""What sends to orgs in tests: real connections, until a test puts a transport of httpx in their place."""

from collections.abc import Callable

import httpx

from orgserver.salesforce.connections import Senders
from orgserver.salesforce.http1.requests import Sender
from orgserver.salesforce.httpx_sender import HttpxSender


class HttpxSenders(Senders):
    """Opens connections as the product does, or asks a transport of httpx for everything."""

    def __init__(self, open_: Callable[[str], httpx.AsyncBaseTransport] | None = None) -> None:
        super().__init__()
        self.open = open_

    def open_org(self) -> Sender:
        return super().open_org() if self.open is None else HttpxSender(self._transport)

    def open_login_host(self) -> Sender:
        return super().open_login_host() if self.open is None else HttpxSender(self._transport)

    def _transport(self) -> httpx.AsyncBaseTransport:
        assert self.open is not None
        return self.open("")

    @staticmethod
    def open_real(_url: str) -> httpx.AsyncBaseTransport:
        """Real connections for a transport that hands some requests on."""
        return httpx.AsyncHTTPTransport(trust_env=False)
