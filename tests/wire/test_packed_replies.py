"""Whatever packs a reply on its way, and however it is cut into chunks and segments: the transport that ships reads the same."""

import asyncio
import gzip
import json
import tracemalloc
import zlib
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from orgserver.model.errors import CallError, Unanswered
from orgserver.model.orgs import OrgHosts
from orgserver.model.secret import Secret
from orgserver.salesforce.client import SalesforceClient
from orgserver.salesforce.exchange import Trace
from orgserver.salesforce.http1.reply_body import MAX_BODY
from orgserver.salesforce.protocol.messages import Request
from tests.wire import upstream as acts
from tests.wire.upstream import Form, Upstream

QUERY = "/services/data/v60.0/query"
READ = Request("GET", QUERY)
SHEET = Request("GET", "/services/data/v60.0/jobs/query/750/results", accept="text/csv")
WRITE = Request("POST", "/services/data/v60.0/sobjects/Contact", body={"LastName": "Once"})
MEBIBYTE = 1 << 20


async def at_once(_seconds: float) -> None:
    """A pause that tests need not wait for."""


@asynccontextmanager
async def answering(*acts_: acts.Act) -> AsyncIterator[tuple[SalesforceClient, Upstream]]:
    """A client, and a host that does these with its requests, then again the last."""
    async with Upstream.start() as host:
        host.then(*acts_[:-1])
        host.usual = acts_[-1]
        client = SalesforceClient(pause=at_once)
        try:
            yield client, host
        finally:
            await client.aclose()


async def outcome(client: SalesforceClient, host: Upstream, request: Request, trace: Trace | None = None) -> object:
    """What became of a request, in a form that can be compared."""
    where = OrgHosts("row", f"http://{host.address}", f"http://{host.address}", (host.address,))
    deadline = asyncio.get_running_loop().time() + 30
    try:
        reply = await client.send(where, Secret("00Dx!y"), request, deadline=deadline, trace=trace or Trace())
    except CallError as error:
        return type(error), error.code, str(error), error.outcome
    described = {name: value for name, value in reply.headers.items() if name in ("content-type", "x-marker")}
    assert not reply.headers.keys() & {"content-encoding", "transfer-encoding"}
    return reply.status, reply.body, described


# -- any body, any packing, any framing, any header case


def deflated(content: bytes, bits: int) -> bytes:
    packer = zlib.compressobj(6, zlib.DEFLATED, bits)
    return packer.compress(content) + packer.flush()


def members(content: bytes) -> bytes:
    """Three gzip members, the middle one of nothing."""
    half = len(content) // 2
    return gzip.compress(content[:half]) + gzip.compress(b"") + gzip.compress(content[half:])


def stored(content: bytes) -> bytes:
    return gzip.compress(content, 0)


PACKINGS = {
    "": lambda content: content,
    "identity": lambda content: content,
    "gzip": gzip.compress,
    "gzip, stored": stored,
    "gzip, members": members,
    "gzip, garbage behind": lambda content: gzip.compress(content) + b"\r\n\0garbage",
    "gzip, zeros behind": lambda content: gzip.compress(content) + bytes(512),
    "x-gzip": gzip.compress,
    "deflate": zlib.compress,
    "deflate, bare": lambda content: deflated(content, -zlib.MAX_WBITS),
}


@dataclass(frozen=True)
class Wire:
    """One way for a reply to travel."""

    packings: list[str]
    """In the order in which they are applied."""
    framing: str
    joined: bool
    """Whether several codings stand in one header."""
    cases: int
    """Bits that say which letters of header names and codings are large."""
    chunks: list[int] = field(default_factory=list)
    segments: list[int] = field(default_factory=list)

    def whole(self, status: int, kind: str, content: bytes) -> bytes:
        for packing in self.packings:
            content = PACKINGS[packing](content)
        lines = [("Content-Type", kind), ("X-Marker", "Kept"), *self._codings()]
        if self.framing == "length":
            lines.append(("Content-Length", str(len(content))))
        elif self.framing == "chunks":
            lines.append(("Transfer-Encoding", "chunked"))
            content = b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in (*pieces(content, self.chunks), b""))
        else:
            lines.append(("Connection", "close"))
        head = [f"HTTP/1.1 {status} Whatever", *(f"{self._mixed(name)}: {value}" for name, value in lines)]
        return "\r\n".join(head).encode() + b"\r\n\r\n" + content

    def _codings(self) -> list[tuple[str, str]]:
        names = [self._mixed(name) for packing in self.packings if (name := packing.partition(",")[0])]
        if self.joined:
            return [("Content-Encoding", " ,\t".join(names))] if names else []
        return [("Content-Encoding", name) for name in names]

    def _mixed(self, text: str) -> str:
        return "".join(c.upper() if self.cases >> (at % 16) & 1 else c.lower() for at, c in enumerate(text))


def pieces(content: bytes, sizes: list[int]) -> Iterator[bytes]:
    """The content in pieces of these sizes, and the rest."""
    for size in sizes:
        if piece := content[:size]:
            yield piece
        content = content[size:]
    if content:
        yield content


def segmented(content: bytes, sizes: list[int], *, keep: bool) -> acts.Act:
    """Write these bytes, one segment after the other."""

    async def act(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter, _form: Form) -> bool:
        for piece in pieces(content, sizes):
            writer.write(piece)
            await writer.drain()
            await asyncio.sleep(0)
        return keep

    return act


sizes = st.lists(st.integers(1, 40), max_size=12)
wires = st.builds(
    Wire,
    packings=st.lists(st.sampled_from(sorted(PACKINGS)), max_size=3),
    framing=st.sampled_from(["length", "chunks", "close"]),
    joined=st.booleans(),
    cases=st.integers(0, (1 << 16) - 1),
    chunks=sizes,
    segments=sizes,
)
texts = st.text(max_size=40)
values = st.recursive(
    st.none() | st.booleans() | st.integers(-(1 << 53), 1 << 53) | texts,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4),
    max_leaves=12,
)
refusals = st.builds(
    lambda code, message: [{"errorCode": code, "message": message}],
    st.sampled_from(["MALFORMED_QUERY", "INVALID_FIELD", "NOT_FOUND", "UNABLE_TO_LOCK_ROW"]),
    st.text(st.characters(min_codepoint=32, max_codepoint=0x2FF), max_size=60),
)
replies = st.one_of(
    st.tuples(st.just(200), st.just("application/json;charset=UTF-8"), values.map(lambda v: json.dumps(v).encode())),
    st.tuples(st.just(200), st.just("text/csv; charset=UTF-8"), st.binary(min_size=1, max_size=400)),
    st.tuples(
        st.sampled_from([400, 404, 503]), st.just("application/json"), refusals.map(lambda v: json.dumps(v).encode())
    ),
    st.tuples(st.sampled_from([503, 500]), st.just("text/html"), st.just(b"<html>Down for maintenance</html>")),
)


@settings(deadline=None, max_examples=300, suppress_health_check=[HealthCheck.too_slow])
@given(reply=replies, wire=wires, write=st.booleans())
@example(
    reply=(200, "application/json", b'{"id": 1}'), wire=Wire(["gzip"], "chunks", True, 0xAAAA, [1] * 60), write=True
)
@example(reply=(200, "application/json", b"1"), wire=Wire(["gzip", "gzip"], "length", False, 0), write=False)
def test_any_packing_chunking_and_header_case_give_the_same_reply(
    reply: tuple[int, str, bytes], wire: Wire, write: bool
) -> None:
    status, kind, content = reply
    request = SHEET if kind.startswith("text/csv") else WRITE if write else READ
    plain = Wire([], "length", True, 0).whole(status, kind, content)
    keep = wire.framing != "close"

    async def both() -> tuple[object, object, object]:
        async with answering(acts.raw(plain)) as (client, host):
            expected = await outcome(client, host, request)
        async with answering(segmented(wire.whole(status, kind, content), wire.segments, keep=keep)) as (client, host):
            first, second = [await outcome(client, host, request) for _ in range(2)]
            assert len(set(host.carriers)) == (1 if keep else len(host.requests))
        return expected, first, second

    expected, first, second = asyncio.run(both())

    assert first == expected
    assert second == expected


@pytest.mark.parametrize("size", [1, 2, 1_000, 65_536, MEBIBYTE, MEBIBYTE + 1, 5 * MEBIBYTE, MAX_BODY])
@pytest.mark.parametrize("plain", [False, True], ids=["packed", "plain"])
async def test_a_body_of_any_size_up_to_the_largest_is_read(size: int, plain: bool) -> None:
    content = (b"0123456789abcdef" * (size // 16 + 1))[:size]
    act = acts.written(lambda form: Form(plain, form.asks_for_gzip).reply(content, 200, "text/csv"))

    async with answering(act) as (client, host):
        assert await outcome(client, host, SHEET) == (200, content, {"content-type": "text/csv"})


@pytest.mark.parametrize("plain", [False, True], ids=["packed", "plain"])
async def test_a_body_of_one_byte_more_than_the_largest_is_refused(plain: bool) -> None:
    content = b"x" * (MAX_BODY + 1)
    act = acts.written(lambda form: Form(plain, form.asks_for_gzip).reply(content, 200, "text/csv"))

    async with answering(act) as (client, host):
        assert (await outcome(client, host, SHEET))[0] is Unanswered  # type: ignore[index]


# -- nothing packed is nothing


@pytest.mark.parametrize("coding", ["gzip", "deflate", "GZIP", "identity"])
@pytest.mark.parametrize(
    ("status", "framing"),
    [
        (204, {}),
        (204, {"Content_Length": "0"}),
        (304, {}),
        (304, {"Content_Length": "512"}),
        (200, {"Content_Length": "0"}),
        (201, {"Content_Length": "0"}),
    ],
)
async def test_a_packed_nothing_is_nothing_and_the_connection_lives(
    status: int, framing: dict[str, str], coding: str
) -> None:
    request = Request(READ.method, READ.path, headers=(("If-Modified-Since", "Sat, 28 Nov 2026 14:00:00 GMT"),))
    nothing = acts.head(status, Content_Encoding=coding, **framing)

    async with answering(acts.raw(nothing)) as (client, host):
        for _ in range(3):
            assert (await outcome(client, host, request))[:2] == (status, None)  # type: ignore[index]
        assert host.carriers == [1, 1, 1]


@pytest.mark.parametrize("coding", ["gzip", "deflate"])
async def test_an_answer_to_head_says_how_its_body_would_be_packed_and_has_none(coding: str) -> None:
    said = acts.head(200, Content_Type=acts.JSON, Content_Encoding=coding, Content_Length="300")

    async with answering(acts.raw(said)) as (client, host):
        for _ in range(2):
            assert (await outcome(client, host, Request("HEAD", QUERY)))[:2] == (200, None)  # type: ignore[index]
        assert host.carriers == [1, 1]


async def test_chunks_of_nothing_are_a_packed_nothing() -> None:
    nothing = acts.head(200, Content_Encoding="gzip", Transfer_Encoding="chunked") + acts.chunked(b"")

    async with answering(acts.raw(nothing)) as (client, host):
        assert (await outcome(client, host, READ))[:2] == (200, None)  # type: ignore[index]


# -- what is packed and cannot be read was sent all the same

CONTENT = json.dumps({"id": "003Sb0000000002AAA", "success": True, "errors": []}).encode()
PACKED = gzip.compress(CONTENT)


def said(coding: str, content: bytes, *, keep: bool = True) -> acts.Act:
    framing = {"Content_Length": str(len(content))} if keep else {"Connection": "close"}
    return acts.raw(acts.head(201, Content_Type=acts.JSON, Content_Encoding=coding, **framing) + content, keep=keep)


BROKEN = {
    "cut off": said("gzip", PACKED[:-12], keep=False),
    "without its checksum": said("gzip", PACKED[:-8], keep=False),
    "one byte short": said("gzip", PACKED[:-1], keep=False),
    "one byte": said("gzip", PACKED[:1], keep=False),
    "cut off, with a length that is true": said("gzip", PACKED[:20]),
    "cut off in its second member": said("gzip", PACKED + PACKED[:9], keep=False),
    "cut off before its second member says what it is": said("gzip", PACKED + PACKED[:1], keep=False),
    "checksum wrong": said("gzip", PACKED[:-8] + bytes(8)),
    "flipped": said("gzip", PACKED[:12] + bytes([PACKED[12] ^ 0xFF]) + PACKED[13:]),
    "not packed at all": said("gzip", CONTENT),
    "packed once, said twice": said("gzip, gzip", PACKED),
    "deflate, cut off": said("deflate", zlib.compress(CONTENT)[:-1], keep=False),
    "deflate, not packed": said("deflate", CONTENT),
    "brotli": said("br", CONTENT),
    "zstd on gzip": said("gzip, zstd", PACKED),
    "four codings": said("gzip, gzip, gzip, gzip", PACKED),
    "too many members": said("gzip", gzip.compress(b"") * 2_000 + PACKED),
}


@pytest.mark.parametrize("kind", BROKEN)
async def test_a_write_whose_packed_answer_cannot_be_read_is_unknown_and_was_sent_once(kind: str) -> None:
    trace = Trace()

    async with answering(BROKEN[kind]) as (client, host):
        result = await outcome(client, host, WRITE, trace)

        assert result[0] is Unanswered  # type: ignore[index]
        assert result[3] == "unknown"  # type: ignore[index]
        assert len(host.requests) == 1
    assert (trace.sent, trace.attempts) == (True, 1)


@pytest.mark.parametrize("kind", BROKEN)
async def test_a_read_whose_packed_answer_cannot_be_read_is_asked_again_and_answered(kind: str) -> None:
    async with answering(BROKEN[kind], said("gzip", PACKED)) as (client, host):
        assert (await outcome(client, host, READ))[:2] == (201, json.loads(CONTENT))  # type: ignore[index]
        assert len(host.requests) == 2


@pytest.mark.parametrize("kind", ["cut off", "one byte short", "one byte"])
async def test_chunks_that_end_too_soon_are_a_lost_answer(kind: str) -> None:
    content = {"cut off": PACKED[:-12], "one byte short": PACKED[:-1], "one byte": PACKED[:1]}[kind]
    head = acts.head(201, Content_Type=acts.JSON, Content_Encoding="gzip", Transfer_Encoding="chunked")
    unfinished = acts.raw(head + acts.chunked(content).removesuffix(b"0\r\n\r\n"), keep=False)
    ended = acts.raw(head + acts.chunked(content))

    for act in (unfinished, ended):
        async with answering(act) as (client, host):
            assert (await outcome(client, host, WRITE))[0] is Unanswered  # type: ignore[index]
            assert len(host.requests) == 1


def nameless(size: int) -> bytes:
    """The head of a gzip member, with a file's name so long: it is read, and nothing comes out."""
    return b"\x1f\x8b\x08\x08" + bytes(6) + b"n" * size


BOMBS = {
    "a bomb": ("gzip", gzip.compress(bytes(200 * MEBIBYTE))),
    "a bomb in a bomb": ("gzip, gzip", gzip.compress(gzip.compress(bytes(200 * MEBIBYTE)))),
    "a deflated bomb": ("deflate", zlib.compress(bytes(200 * MEBIBYTE))),
    "nothing, at great length": ("gzip, gzip", gzip.compress(nameless(200 * MEBIBYTE))),
    "members of nothing": ("gzip, gzip", gzip.compress(gzip.compress(b"") * 1_000_000)),
}


@pytest.mark.parametrize("kind", BOMBS)
async def test_a_few_bytes_that_unpack_to_very_many_cost_little(kind: str) -> None:
    coding, content = BOMBS[kind]
    assert len(content) < MEBIBYTE
    loop = asyncio.get_running_loop()

    async with answering(said(coding, content)) as (client, host):
        tracemalloc.start()
        try:
            before = loop.time()
            result = await outcome(client, host, WRITE)
            took = loop.time() - before
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()

    assert result[0] is Unanswered  # type: ignore[index]
    assert ("too many parts" if kind == "members of nothing" else "larger than 32 MiB") in result[2]  # type: ignore[index]
    assert peak < 2 * MAX_BODY
    assert took < 5


# -- the login host


@pytest.mark.parametrize("coding", ["", "gzip", "x-gzip", "deflate"])
async def test_a_token_answer_is_read_though_the_login_host_packs_what_nobody_asked_it_to_pack(coding: str) -> None:
    told = {"access_token": "00Dx!new", "refresh_token": "5Aep-new", "token_type": "Bearer"}
    wire = Wire([coding], "chunks", True, 0x5555, [1, 2, 3])

    async with answering(acts.raw(wire.whole(200, "application/json;charset=UTF-8", json.dumps(told).encode()))) as (
        client,
        host,
    ):
        where = OrgHosts("row", f"http://{host.address}", f"http://{host.address}", (host.address,))
        assert (await client.request_token(where, {"grant_type": "refresh_token"}))[:2] == (200, told)


async def test_a_token_refusal_is_read_when_it_is_packed() -> None:
    told = {"error": "invalid_grant", "error_description": "expired access/refresh token"}
    wire = Wire(["gzip"], "chunks", True, 0)

    async with answering(acts.raw(wire.whole(400, "application/json", json.dumps(told).encode()))) as (client, host):
        where = OrgHosts("row", f"http://{host.address}", f"http://{host.address}", (host.address,))
        assert (await client.request_token(where, {"grant_type": "refresh_token"}))[:2] == (400, told)


async def test_a_token_answer_that_is_packed_and_cut_off_is_lost() -> None:
    async with answering(BROKEN["one byte short"]) as (client, host):
        where = OrgHosts("row", f"http://{host.address}", f"http://{host.address}", (host.address,))
        with pytest.raises(Unanswered):
            await client.request_token(where, {"grant_type": "refresh_token"})
        assert len(host.requests) == 1
