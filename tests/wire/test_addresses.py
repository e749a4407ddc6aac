"""Names that are not answered: one look-up for each, which nobody else waits for."""

import asyncio
import socket
import threading
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from orgserver.salesforce import httpx_sender
from orgserver.salesforce.http1.addresses import AddressLookup
from orgserver.salesforce.http1.failures import NeverSent
from orgserver.salesforce.http1.requests import HttpRequest, parse_origin
from orgserver.salesforce.httpx_sender import HttpxSender

FOUND: list[Any] = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("192.0.2.7", 443))]


class Names:
    """A name server that answers what begins with ``quick`` at once, and the rest when it is told to."""

    def __init__(self) -> None:
        self.names: list[str] = []
        self.answer = threading.Event()

    def look_up(self, host: str, port: int, **options: int) -> list[Any]:
        if options.get("flags"):
            raise socket.gaierror(socket.EAI_NONAME, "a name")
        self.names.append(host)
        if not host.startswith("quick"):
            self.answer.wait(10)
        if host.startswith("nowhere"):
            raise socket.gaierror(socket.EAI_NONAME, "no such host")
        return FOUND


@pytest.fixture
def names(monkeypatch: pytest.MonkeyPatch) -> Iterator[Names]:
    made = Names()
    monkeypatch.setattr(socket, "getaddrinfo", made.look_up)
    yield made
    made.answer.set()


async def test_names_that_are_not_answered_hold_up_no_other_and_are_asked_for_once_each(names: Names) -> None:
    lookup = AddressLookup()
    waiting = [asyncio.ensure_future(lookup.find(f"dead{number % 20}.example", 443)) for number in range(200)]
    await asyncio.sleep(0)

    async with asyncio.timeout(5):
        assert await lookup.find("quick.example", 443) == FOUND
    assert not any(task.done() for task in waiting)

    names.answer.set()
    assert await asyncio.gather(*waiting) == [FOUND] * 200
    assert sorted(names.names) == sorted({f"dead{number}.example" for number in range(20)} | {"quick.example"})


async def test_who_stops_waiting_takes_the_answer_from_nobody(names: Names) -> None:
    lookup = AddressLookup()
    leaving, staying = [asyncio.ensure_future(lookup.find("dead.example", 443)) for _ in range(2)]
    await asyncio.sleep(0)
    leaving.cancel()
    await asyncio.wait([leaving])
    names.answer.set()

    assert await staying == FOUND


async def test_a_name_that_is_none_is_an_error_for_everybody_and_asked_for_anew(names: Names) -> None:
    lookup = AddressLookup()
    names.answer.set()
    for _ in range(2):
        with pytest.raises(socket.gaierror):
            await lookup.find("nowhere.example", 443)

    assert names.names == ["nowhere.example"] * 2


async def test_an_address_needs_no_name_server() -> None:
    (found,) = await AddressLookup().find("127.0.0.1", 8080)

    assert found[4] == ("127.0.0.1", 8080)


async def test_a_login_host_whose_name_is_not_answered_is_not_handed_on(
    names: Names, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(httpx_sender, "CONNECT_SECONDS", 0.1)
    transport = httpx.MockTransport(lambda _request: httpx.Response(200, content=b"{}"))
    sender = HttpxSender(lambda: transport, AddressLookup())

    def request(host: str) -> HttpRequest:
        return HttpRequest("GET", parse_origin(f"https://{host}"), "/", b"\r\n", b"")

    assert (await sender.send(request("quick.example"), seconds=5)).status == 200
    with pytest.raises(NeverSent, match="no connection in time"):
        await sender.send(request("dead.example"), seconds=5)
    names.answer.set()
    with pytest.raises(NeverSent, match="its name could not be looked up"):
        await sender.send(request("nowhere.example"), seconds=5)
    assert names.names == ["quick.example", "dead.example", "nowhere.example"]
