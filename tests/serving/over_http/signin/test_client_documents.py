"""Client ID metadata documents (the draft of that name, MCP 2026-07-28): read once, within bounds, from public hosts."""

import asyncio
import html
import json
import socket
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

import pytest

from orgserver.model.access.people import OAuthClient
from orgserver.oauth import addresses as addresses_of_hosts
from orgserver.oauth import documents
from orgserver.oauth.documents import DocumentFetcher
from orgserver.sandbox.tls import Certificates, certificates
from orgserver.services.signin.clients import registry as signin_clients
from orgserver.services.signin.clients.registry import ClientRefusal, Clients
from orgserver.services.signin.options import SignInOptions
from orgserver.store.session import Store
from orgserver.store.signin import clients as stored_clients
from tests.conftest import Clock
from tests.salesforce.test_hosts import BAD

from .world import World

PUBLIC, LOCAL = "https://orgs.example.com", "http://127.0.0.1:8000"
PATH = "/oauth/client.json"
HOSTILE = sorted({url + path for url in BAD for path in ("", PATH, "/latest/meta-data/")})
Write = Callable[[asyncio.StreamWriter], Awaitable[None]]


@dataclass
class Web:
    """A host with TLS on this machine that answers as a test says, and counts how often it was asked."""

    port: int = 0
    heads: list[bytes] = field(default_factory=list)
    headers: str = ""
    status: str = "200 OK"
    body: bytes | None = None
    """None: the document of a good client."""
    more: dict[str, Any] = field(default_factory=dict)
    write: Write | None = None

    @property
    def url(self) -> str:
        return f"https://localhost:{self.port}{PATH}"

    def document(self) -> dict[str, Any]:
        uris = [f"https://localhost:{self.port}/cb", "http://localhost/cb"]
        document = {"client_id": self.url, "client_name": "An agent", "redirect_uris": uris, **self.more}
        return {name: value for name, value in document.items() if value is not ...}

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.heads.append(await reader.readuntil(b"\r\n\r\n"))
        try:
            if self.write is not None:
                await self.write(writer)
            else:
                body = json.dumps(self.document()).encode() if self.body is None else self.body
                writer.write(make_head(self.status, self.headers, len(body)) + body)
                await writer.drain()
        except ConnectionError:
            pass
        finally:
            writer.close()


def make_head(status: str, headers: str, length: int) -> bytes:
    head = f"HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n{headers}\r\n"
    return head.encode()


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return certificates(tmp_path_factory.mktemp("pair"))


@pytest.fixture
async def web(pair: Certificates) -> AsyncIterator[Web]:
    web = Web()
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(pair.certificate_file, pair.key_file)
    server = await asyncio.start_server(web.answer, "127.0.0.1", 0, ssl=context)
    web.port = server.sockets[0].getsockname()[1]
    yield web
    server.close()


@pytest.fixture
async def store(opener: Callable[..., Any], clock: Clock) -> AsyncIterator[Store]:
    opened = await opener(clock=clock)
    yield opened
    await opened.close()


@pytest.fixture
async def clients(store: Store, pair: Certificates) -> AsyncIterator[Clients]:
    """Those of a server that is on this machine itself."""
    opened = make_clients(store, LOCAL, pair)
    yield opened
    await opened.close()


@pytest.fixture
def places(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Where sockets were connected to."""
    opened: list[Any] = []
    connect = socket.socket.connect

    def connect_noted(self: socket.socket, address: Any) -> None:
        opened.append(address)
        connect(self, address)

    monkeypatch.setattr(socket.socket, "connect", connect_noted)
    return opened


def make_clients(store: Store, url: str, pair: Certificates | None = None) -> Clients:
    options = SignInOptions(url, "https://idp.example.com", "orgserver")
    trust = str(pair.ca_file) if pair is not None else None
    return Clients(store, options, DocumentFetcher(lambda: ssl.create_default_context(cafile=trust)))


def resolve_to(monkeypatch: pytest.MonkeyPatch, *addresses: str) -> None:
    monkeypatch.setattr(addresses_of_hosts, "resolve", lambda _host, _port: list(addresses))


async def reason_of(clients: Clients, client_id: str) -> str:
    refusal = await clients.find(client_id)
    assert isinstance(refusal, ClientRefusal) and refusal.code == "CLIENT_DOCUMENT"
    assert await find_stored(clients._store, client_id) is None
    return refusal.reason


async def find_stored(store: Store, client_id: str) -> OAuthClient | None:
    async with store.database.reading() as connection:
        stored = await stored_clients.find(connection, client_id)
    return stored.client if stored is not None else None


async def test_a_description_is_read_once_and_by_nothing_that_says_who_we_are(clients: Clients, web: Web) -> None:
    found = await asyncio.gather(*(clients.find(web.url) for _ in range(10)))
    again = await clients.find(web.url)

    uris = (f"https://localhost:{web.port}/cb", "http://localhost/cb")
    assert {*found, again} == {OAuthClient(web.url, "document", "An agent", uris)}
    (head,) = web.heads
    assert head.startswith(f"GET {PATH} HTTP/1.1\r\n".encode())
    assert not any(name in head.lower() for name in (b"cookie", b"authorization", b"referer", b"origin"))
    assert b"accept-encoding: identity" in head.lower()


# The draft, §4.4: as the answer's own headers say, within bounds of ours.
@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ("", 3_600),
        ("Cache-Control: max-age=1800\r\n", 1_800),
        ("Cache-Control: public, max-age=1800\r\nAge: 600\r\n", 1_200),
        ("Cache-Control: max-age=1\r\n", 300),
        ("Cache-Control: no-store\r\n", 300),
        ("Cache-Control: max-age=31536000\r\n", 86_400),
        ("Cache-Control: max-age=99999999999999999999\r\n", 3_600),
        ("Cache-Control: max-age=-1\r\n", 3_600),
    ],
)
async def test_it_is_read_again_when_it_is_no_longer_fresh(
    clients: Clients, web: Web, clock: Clock, headers: str, seconds: int
) -> None:
    web.headers = headers
    await clients.find(web.url)
    clock.advance(seconds - 5)
    await clients.find(web.url)
    assert len(web.heads) == 1

    clock.advance(10)
    web.more = {"client_name": "Another name"}
    client = await clients.find(web.url)
    assert len(web.heads) == 2 and isinstance(client, OAuthClient) and client.name == "Another name"


async def test_a_description_that_cannot_be_read_any_more_is_none_however_good_it_was(
    store: Store, clients: Clients, web: Web, clock: Clock
) -> None:
    client = await clients.find(web.url)
    clock.advance(3_605)
    web.status = "503 Service Unavailable"

    refusal = await clients.find(web.url)
    assert refusal == ClientRefusal("CLIENT_DOCUMENT", f"{web.url} was answered by HTTP status 503")
    assert await find_stored(store, web.url) == client  # for whom a session of it lives
    web.status = "200 OK"
    assert await clients.find(web.url) == client  # what fails is never kept
    assert len(web.heads) == 3


# The draft, §4 and §4.1; MCP 2026-07-28: MUST be the URL exactly.
@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"client_id": "https://claude.ai/oauth/client.json"}, "client_id is not the URL"),
        ({"client_id": ...}, "client_id is not the URL"),
        ({"client_secret": "s3cret"}, "a secret"),
        ({"token_endpoint_auth_method": "client_secret_basic"}, "only public clients"),
        ({"token_endpoint_auth_method": "private_key_jwt"}, "only public clients"),
        ({"client_name": ...}, "client_name is missing"),
        ({"redirect_uris": ...}, "no place to go back to"),
        ({"redirect_uris": ["cursor://anysphere.cursor-mcp/oauth"]}, "begins with https://"),
        ({"redirect_uris": ["https://x.example/../cb"]}, "no steps . and .."),
        ({"grant_types": ["client_credentials"]}, "does not hold authorization_code"),
    ],
)
async def test_what_is_not_the_description_of_a_client_for_us_is_none(
    clients: Clients, web: Web, more: dict[str, Any], words: str
) -> None:
    web.more = more

    assert words in await reason_of(clients, web.url)


# The draft, §4: 200 and nothing else, no redirect is followed, few bytes.
@pytest.mark.parametrize(
    ("status", "headers", "words"),
    [
        *((f"{status} Elsewhere", "Location: /other.json\r\n", "a redirect") for status in (301, 302, 303, 307, 308)),
        ("302 Elsewhere", "Location: http://169.254.169.254/latest/meta-data\r\n", "a redirect"),
        ("404 Not Found", "", "nothing is at"),
        ("201 Created", "", "HTTP status 201"),
        ("206 Partial Content", "", "HTTP status 206"),
        ("500 Internal Server Error", "", "HTTP status 500"),
        ("200 OK", "Content-Encoding: gzip\r\n", "packed"),
    ],
)
async def test_only_a_plain_answer_is_read(
    clients: Clients, web: Web, places: list[Any], status: str, headers: str, words: str
) -> None:
    web.status, web.headers = status, headers

    assert words in await reason_of(clients, web.url)
    assert len(web.heads) == 1 and {place[1] for place in places} == {web.port}


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b" " * (16 * 1024 + 1), "more than 16 KiB"),
        (b"<html></html>", "holds no JSON"),
        (b"[]", "holds no JSON object"),
        (b"\xff", "holds no JSON"),
        (b'{"client_id": "a", "client_id": "b"}', "holds no JSON"),
        (b"[" * 5_000, "holds no JSON"),
        (b"", "holds no JSON"),
    ],
)
async def test_only_a_small_json_object_is_read(clients: Clients, web: Web, body: bytes, words: str) -> None:
    web.body = body

    assert words in await reason_of(clients, web.url)


async def drip(writer: asyncio.StreamWriter) -> None:
    writer.write(make_head("200 OK", "", 10_000))
    for _ in range(100):
        writer.write(b" ")
        await writer.drain()
        await asyncio.sleep(0.05)


async def say_nothing(_writer: asyncio.StreamWriter) -> None:
    await asyncio.sleep(1)


async def send_without_end(writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
    for _ in range(1_000):
        writer.write(b"1000\r\n" + b" " * 4096 + b"\r\n")
        await writer.drain()


async def cut(writer: asyncio.StreamWriter) -> None:
    writer.write(make_head("200 OK", "", 10_000) + b"{")


@pytest.mark.parametrize("write", [drip, say_nothing])
async def test_a_host_that_takes_its_time_is_not_waited_for(
    clients: Clients, web: Web, monkeypatch: pytest.MonkeyPatch, write: Write
) -> None:
    monkeypatch.setattr(documents, "SECONDS", 0.4)
    web.write = write

    assert "no answer in" in await reason_of(clients, web.url)


@pytest.mark.parametrize(
    ("write", "words"), [(send_without_end, "more than 16 KiB"), (cut, "no connection, or no valid answer")]
)
async def test_a_host_that_sends_too_much_or_too_little_describes_nobody(
    clients: Clients, web: Web, write: Write, words: str
) -> None:
    web.write = write

    assert words in await reason_of(clients, web.url)


async def test_a_host_must_show_who_it_is(store: Store, web: Web) -> None:
    clients = make_clients(store, LOCAL)  # which trusts the system's authorities, not the test's

    assert "ConnectError" in await reason_of(clients, web.url)
    assert web.heads == []


async def test_only_so_many_descriptions_are_read_at_once(
    clients: Clients, web: Web, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(signin_clients, "MOST_READINGS", 2)
    asked, may_end = asyncio.Semaphore(0), asyncio.Event()

    async def wait(_writer: asyncio.StreamWriter) -> None:
        asked.release()
        await may_end.wait()

    web.write = wait
    first = [asyncio.create_task(clients.find(f"{web.url}?{number}")) for number in range(2)]
    for _ in first:
        await asked.acquire()
    assert await reason_of(clients, web.url) == "too many descriptions are being read"
    may_end.set()
    assert all(isinstance(each, ClientRefusal) for each in await asyncio.gather(*first))
    web.write = None
    assert isinstance(await clients.find(web.url), OAuthClient)
    assert len(web.heads) == 3


async def test_one_address_does_not_keep_the_descriptions_of_others_from_being_read(
    clients: Clients, web: Web, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(signin_clients, "MOST_OF_SOURCE", 2)
    asked, may_end = asyncio.Semaphore(0), asyncio.Event()

    async def wait(_writer: asyncio.StreamWriter) -> None:
        asked.release()
        await may_end.wait()

    web.write = wait
    slow = [asyncio.create_task(clients.find(f"{web.url}?{number}", "192.0.2.1")) for number in range(2)]
    for _ in slow:
        await asked.acquire()
    refusal = await clients.find(f"{web.url}?2", "192.0.2.1")
    assert isinstance(refusal, ClientRefusal) and refusal.reason == "too many descriptions are being read"
    web.write = None
    assert isinstance(await clients.find(web.url, "192.0.2.2"), OAuthClient)
    may_end.set()
    await asyncio.gather(*slow)
    assert isinstance(await clients.find(f"{web.url}?2", "192.0.2.1"), ClientRefusal)
    assert len(web.heads) == 4, "its turn has come"


async def test_what_is_being_read_ends_with_the_server(store: Store, web: Web, pair: Certificates) -> None:
    clients, asked = make_clients(store, LOCAL, pair), asyncio.Event()

    async def wait(_writer: asyncio.StreamWriter) -> None:
        asked.set()
        await asyncio.sleep(1)

    web.write = wait
    finding = asyncio.create_task(clients.find(web.url))
    await asked.wait()
    await clients.close()
    with pytest.raises(asyncio.CancelledError):
        await finding


# RFC 9700 and the draft, §6: an id leads to no host that only this machine or its network sees.
async def test_no_hostile_url_opens_a_socket(store: Store, places: list[Any], monkeypatch: pytest.MonkeyPatch) -> None:
    resolve_to(monkeypatch, "127.0.0.1")
    clients = make_clients(store, PUBLIC)

    refusals = {url: await clients.find(url) for url in HOSTILE}
    assert places == []
    assert all(isinstance(refusal, ClientRefusal) for refusal in refusals.values()) and len(refusals) >= 750


@pytest.mark.parametrize(
    "addresses",
    [
        ("127.0.0.1",), ("10.1.2.3",), ("172.16.0.1",), ("192.168.0.1",), ("169.254.169.254",), ("100.64.0.1",),
        ("0.0.0.0",), ("224.0.0.1",), ("::1",), ("fe80::1%eth0",), ("fd00::1",), ("::ffff:10.0.0.1",), ("ff02::1",),
        ("192.0.2.1",), ("93.184.215.14", "10.0.0.1"), (), ("::10.0.0.1",), ("fec0::1",), ("64:ff9b::169.254.169.254",),
        ("64:ff9b:1::10.0.0.1",), ("2002:a00:1::1",), ("::ffff:0:10.0.0.1",),
    ],
)  # fmt: skip
async def test_a_name_that_is_at_home_here_opens_no_socket(
    store: Store, places: list[Any], monkeypatch: pytest.MonkeyPatch, addresses: tuple[str, ...]
) -> None:
    resolve_to(monkeypatch, *addresses)

    reason = await reason_of(make_clients(store, PUBLIC), "https://app.example.com/client.json")
    assert reason == "app.example.com has no address, or one that only this network can reach"
    assert places == []


@pytest.mark.parametrize("error", [socket.gaierror(socket.EAI_NONAME, "no such host"), UnicodeError("label too long")])
async def test_a_name_that_is_nowhere_is_told_like_one_of_this_network(
    store: Store, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def resolve(_host: str, _port: int) -> list[str]:
        raise error

    monkeypatch.setattr(addresses_of_hosts, "resolve", resolve)

    reason = await reason_of(make_clients(store, PUBLIC), "https://app.example.com/client.json")
    assert reason == "app.example.com has no address, or one that only this network can reach"


async def test_this_machine_is_read_from_only_by_a_server_that_is_on_it(
    store: Store, pair: Certificates, web: Web
) -> None:
    assert await reason_of(make_clients(store, PUBLIC, pair), web.url) == "a client's id does not name this machine"
    assert web.heads == []
    assert isinstance(await make_clients(store, LOCAL, pair).find(web.url), OAuthClient)


@pytest.mark.parametrize("client_id", ["", "unknown", "http://localhost/client.json", "ftp://x.example/c", "x" * 513])
async def test_an_id_that_is_no_url_is_of_a_registered_client_or_of_none(clients: Clients, client_id: str) -> None:
    refusal = await clients.find(client_id)

    assert isinstance(refusal, ClientRefusal) and refusal.code == "UNKNOWN_CLIENT"


@pytest.mark.parametrize(
    ("client_id", "reason"),
    [
        ("https://169.254.169.254/latest/meta-data/", "the URL's host is an address, not a name"),
        ("https://localhost/client.json", "a client's id does not name this machine"),
        ("https://app.example.com:22/client.json", "a client's id names no port"),
        ("https://app.example.com/c", "app.example.com has no address, or one that only this network can reach"),
    ],
)
async def test_people_read_why_and_it_is_on_record(
    world: World, places: list[Any], monkeypatch: pytest.MonkeyPatch, client_id: str, reason: str
) -> None:
    resolve_to(monkeypatch, "10.0.0.1")

    reply = await world.authorize(client_id=client_id)
    assert (reply.status_code, "location" in reply.headers) == (400, False)
    assert "description cannot be read" in html.unescape(reply.text) and reason in html.unescape(reply.text)
    (entry,) = await world.entries()
    assert (entry.error_code, entry.decision) == ("CLIENT_DOCUMENT", "auth:client-document")
    assert {f"client:{client_id}", f"reason:{reason}"} <= set(entry.fields)
    assert places == []
