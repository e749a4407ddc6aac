"""Looks up the addresses of hosts that strangers name, each name in a thread of its own: a slow one holds up nothing.

The event loop's own look-ups share a few threads with all other work, and nothing can stop one that waits for a name
server: whoever has names that are never answered could hold them all.
"""

from __future__ import annotations

import asyncio
import socket
import threading


def resolve(host: str, port: int) -> list[str]:
    """The addresses of a host; OSError or UnicodeError where there are none."""
    return [str(sockaddr[0]) for *_, sockaddr in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)]


async def find_addresses(host: str, port: int) -> list[str]:
    """The same, for as long as somebody waits for it."""
    loop = asyncio.get_running_loop()
    lookup: asyncio.Future[list[str]] = loop.create_future()

    def end(addresses: list[str], failure: Exception | None) -> None:
        if lookup.done():  # nobody waits any more
            return
        if failure is not None:
            lookup.set_exception(failure)
        else:
            lookup.set_result(addresses)

    def look_up() -> None:
        addresses: list[str] = []
        failure: Exception | None = None
        try:
            addresses = resolve(host, port)
        except Exception as error:  # noqa: BLE001  # it belongs to whoever asked
            failure = error
        try:
            loop.call_soon_threadsafe(end, addresses, failure)
        except RuntimeError:
            return  # the loop is closed

    threading.Thread(target=look_up, name="orgserver-address", daemon=True).start()
    return await lookup
