"""Looks up the addresses of hosts, each name in a thread of its own: one that is not answered holds up no other.

The event loop's own look-ups share a few threads, and nothing can stop one that waits for a name server.
"""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Sequence

from aiohappyeyeballs import AddrInfoType

Addresses = Sequence[AddrInfoType]


class AddressLookup:
    """The look-ups under way: whoever asks for one of them waits for its answer, so each host has one at most."""

    def __init__(self) -> None:
        self._under_way: dict[tuple[str, int], asyncio.Future[Addresses]] = {}

    async def find(self, host: str, port: int) -> Addresses:
        """The addresses of a host; OSError where there are none. A caller that stops waiting stops nobody else."""
        try:
            return socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST)
        except OSError:  # a name
            pass
        lookup = self._under_way.get((host, port))
        if lookup is None:
            lookup = self._begin(host, port)
        return await asyncio.shield(lookup)

    def _begin(self, host: str, port: int) -> asyncio.Future[Addresses]:
        loop = asyncio.get_running_loop()
        lookup: asyncio.Future[Addresses] = loop.create_future()
        self._under_way[host, port] = lookup

        def end(addresses: Addresses | None, error: Exception | None) -> None:
            self._under_way.pop((host, port), None)
            if lookup.done():
                return
            if addresses is not None:
                lookup.set_result(addresses)
            else:
                lookup.set_exception(error or OSError("no answer"))
                lookup.exception()  # whoever asked may be gone

        def look_up() -> None:
            addresses: Addresses | None = None
            failure: Exception | None = None
            try:
                addresses = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
            except Exception as error:  # noqa: BLE001  # it belongs to whoever asked
                failure = error
            try:
                loop.call_soon_threadsafe(end, addresses, failure)
            except RuntimeError:
                return  # the loop is closed: nobody waits any more

        threading.Thread(target=look_up, name="orgserver-address", daemon=True).start()
        return lookup
