"""Bytes that a host may answer with, and what becomes of the exchange and of its connection."""

import gzip
from dataclasses import dataclass

from tests.wire.upstream import chunked, head

OK = b'{"ok":true}'
LENGTH = str(len(OK))


@dataclass(frozen=True)
class Case:
    """One answer to a GET (or another method), and what must come of it."""

    content: bytes
    status: int | None = 200
    """None: the answer is lost."""
    body: bytes = OK
    reused: bool = True
    """Whether the next request may go on the same connection."""
    keep: bool = True
    """Whether the host leaves the connection open."""
    method: str = "GET"


def lost(content: bytes, *, keep: bool = True, method: str = "GET") -> Case:
    return Case(content, None, b"", False, keep, method)


def framed(*lines: str, version: str = "HTTP/1.1", status: str = "200 OK") -> bytes:
    return "\r\n".join([f"{version} {status}", *lines, "", ""]).encode("latin-1")


PLAIN = head(200, Content_Length=LENGTH) + OK
CHUNKED = head(200, Transfer_Encoding="chunked") + chunked(OK, 4)
SECOND = head(200, Content_Length="2") + b"no"

CASES: dict[str, Case] = {
    # framing that is as it should be
    "a length": Case(PLAIN),
    "chunks": Case(CHUNKED),
    "until the end": Case(head(200) + OK, reused=False, keep=False),
    "nothing until the end": Case(head(200), body=b"", reused=False, keep=False),
    "no content": Case(head(204), 204, b""),
    "no content, with a length of nothing": Case(head(204, Content_Length="0"), 204, b""),
    "not modified, with the length of what was not sent": Case(head(304, Content_Length="512"), 304, b""),
    "not modified, said to be in chunks": Case(head(304, Transfer_Encoding="chunked"), 304, b""),
    "a length of nothing": Case(head(200, Content_Length="0"), 200, b""),
    "HEAD with a length": Case(head(200, Content_Length="512"), 200, b"", method="HEAD"),
    "HEAD with chunks": Case(head(200, Transfer_Encoding="chunked"), 200, b"", method="HEAD"),
    "HEAD without a framing": Case(head(200), 200, b"", reused=False, method="HEAD"),
    "chunks with extensions and trailers": Case(
        head(200, Transfer_Encoding="chunked") + b'b;a="b";c\r\n' + OK + b"\r\n0\r\nX-Trailer: 1\r\nStatus: 500\r\n\r\n"
    ),
    "chunk sizes in both cases and with zeros before": Case(
        head(200, Transfer_Encoding="Chunked") + b"0000B\r\n" + OK + b"\r\n000\r\n\r\n"
    ),
    "a reason in another alphabet": Case(
        b"HTTP/1.1 200 \xc3\x96K\xff\r\nContent-Length: " + LENGTH.encode() + b"\r\n\r\n" + OK
    ),
    "no reason": Case(framed(f"Content-Length: {LENGTH}", status="200") + OK),
    "spaces around values": Case(framed(f"Content-Length: \t {LENGTH} \t") + OK),
    "empty lines before": Case(b"\r\n\r\n" + PLAIN),
    "an upgrade that is offered only": Case(
        framed("Upgrade: h2c", "Connection: upgrade", f"Content-Length: {LENGTH}") + OK
    ),
    "a status that nobody knows": Case(head(799, Content_Length=LENGTH) + OK, 799),
    "packed": Case(head(200, Content_Encoding="gzip", Transfer_Encoding="chunked") + chunked(gzip.compress(OK), 5)),
    # interim replies
    "go on, then the answer": Case(head(100) + PLAIN),
    "early hints, twice, then the answer": Case(framed("Link: </a>", status="103 Early Hints") * 2 + CHUNKED),
    "go on, and nothing more": lost(head(100), keep=False),
    "eleven interim answers": lost(head(102) * 11 + PLAIN),
    "an interim answer with a body": lost(head(103, Content_Length="3") + b"abc" + PLAIN),
    "another protocol": lost(framed("Upgrade: h2c", "Connection: upgrade", status="101 Switching Protocols") + b"\0\0"),
    # the connection's end
    "a last one": Case(head(200, Content_Length=LENGTH, Connection="close") + OK, reused=False),
    "a last one, and bytes behind it": lost(head(200, Content_Length=LENGTH, Connection="close") + OK + SECOND),
    "HTTP/1.0": Case(framed(f"Content-Length: {LENGTH}", version="HTTP/1.0") + OK, reused=False),
    "HTTP/1.0 that stays": Case(framed("Connection: keep-alive", f"Content-Length: {LENGTH}", version="HTTP/1.0") + OK),
    # bytes that belong to nothing
    "a second answer": Case(PLAIN + SECOND, reused=False),
    "the beginning of a second answer": Case(PLAIN + b"HT", reused=False),
    "garbage behind": lost(PLAIN + b"\0garbage"),
    "garbage behind chunks": lost(CHUNKED + b"\0garbage"),
    "a body behind no content": lost(head(204, Content_Length="2") + b"no"),
    "a body behind not modified": lost(head(304, Content_Length="2") + b"no"),
    "a body behind HEAD": lost(PLAIN, method="HEAD"),
    "more than the length": lost(head(200, Content_Length="2") + OK),
    # cut off
    "nothing": lost(b"", keep=False),
    "half a status line": lost(b"HTTP/1.1 20", keep=False),
    "half a head": lost(b"HTTP/1.1 200 OK\r\nContent-Le", keep=False),
    "a head alone": lost(head(200, Content_Length=LENGTH), keep=False),
    "less than the length": lost(head(200, Content_Length="12") + OK, keep=False),
    "half a chunk": lost(head(200, Transfer_Encoding="chunked") + b"b\r\n{", keep=False),
    "no last chunk": lost(head(200, Transfer_Encoding="chunked") + b"b\r\n" + OK + b"\r\n", keep=False),
    "half a last chunk": lost(head(200, Transfer_Encoding="chunked") + b"b\r\n" + OK + b"\r\n0\r\n", keep=False),
    # two readings of one reply
    "a length and chunks": lost(framed(f"Content-Length: {LENGTH}", "Transfer-Encoding: chunked") + chunked(OK)),
    "chunks and a length": lost(framed("Transfer-Encoding: chunked", f"Content-Length: {LENGTH}") + chunked(OK)),
    "two lengths": lost(framed("Content-Length: 2", f"Content-Length: {LENGTH}") + OK),
    "one length twice": lost(framed(*[f"Content-Length: {LENGTH}"] * 2) + OK),
    "one length twice in one header": lost(framed(f"Content-Length: {LENGTH}, {LENGTH}") + OK),
    "a length with a sign": lost(framed(f"Content-Length: +{LENGTH}") + OK),
    "a negative length": lost(framed("Content-Length: -1") + OK),
    "a length that is none": lost(framed("Content-Length: abc") + OK),
    "an empty length": lost(framed("Content-Length:") + OK),
    "a length beyond all numbers": lost(framed("Content-Length: 99999999999999999999999") + OK),
    "packed on its way": lost(framed("Transfer-Encoding: gzip, chunked") + chunked(gzip.compress(OK))),
    "chunks, then packed": lost(framed("Transfer-Encoding: chunked, gzip") + chunked(OK), keep=False),
    "chunks twice": lost(framed(*["Transfer-Encoding: chunked"] * 2) + chunked(OK)),
    "an unknown way": lost(framed("Transfer-Encoding: xchunked") + OK, keep=False),
    "identity as a way": lost(framed("Transfer-Encoding: identity") + OK, keep=False),
    "chunks of HTTP/1.0": lost(framed("Transfer-Encoding: chunked", version="HTTP/1.0") + chunked(OK)),
    # what is no HTTP
    "another protocol's greeting": lost(b"220 mail.example.com ESMTP\r\n\r\n"),
    "a request": lost(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"),
    "HTTP/2": lost(framed(f"Content-Length: {LENGTH}", version="HTTP/2.0") + OK),
    "HTTP/0.9": lost(framed(f"Content-Length: {LENGTH}", version="HTTP/0.9") + OK),
    "HTTP/1.2": lost(framed(f"Content-Length: {LENGTH}", version="HTTP/1.2") + OK),
    "a status of two digits": lost(framed(f"Content-Length: {LENGTH}", status="20 OK") + OK),
    "a status below all": lost(framed(f"Content-Length: {LENGTH}", status="099 OK") + OK),
    "a status of four digits": lost(framed(f"Content-Length: {LENGTH}", status="2000 OK") + OK),
    "lines that end in LF alone": lost(PLAIN.replace(b"\r\n", b"\n")),
    "a header that goes on in the next line": lost(framed("X-A: b", " c", f"Content-Length: {LENGTH}") + OK),
    "a space before the colon": lost(framed("X-A : b", f"Content-Length: {LENGTH}") + OK),
    "a header without a name": lost(framed(": b", f"Content-Length: {LENGTH}") + OK),
    "a header without a colon": lost(framed("X-A", f"Content-Length: {LENGTH}") + OK),
    "NUL in a header": lost(framed("X-A: b\0c", f"Content-Length: {LENGTH}") + OK),
    "CR alone in a header": lost(framed("X-A: b\rX-B: c", f"Content-Length: {LENGTH}") + OK),
    "a chunk size that is none": lost(head(200, Transfer_Encoding="chunked") + b"0xb\r\n" + OK + b"\r\n0\r\n\r\n"),
    "a chunk size beyond all numbers": lost(head(200, Transfer_Encoding="chunked") + b"f" * 17 + b"\r\n" + OK),
    "a chunk that is longer than its size": lost(
        head(200, Transfer_Encoding="chunked") + b"2\r\n" + OK + b"\r\n0\r\n\r\n"
    ),
    "chunk lines that end in LF alone": lost(head(200, Transfer_Encoding="chunked") + b"b\n" + OK + b"\n0\n\n"),
    # without bounds
    "a header of 16 KiB": lost(framed("X-A: " + "a" * 16_384, f"Content-Length: {LENGTH}") + OK),
    "a name of 16 KiB": lost(framed("X" * 16_384 + ": a", f"Content-Length: {LENGTH}") + OK),
    "a header just below that": Case(framed("X-A: " + "a" * 16_000, f"Content-Length: {LENGTH}") + OK),
    "129 headers": lost(framed(*["X-A: b"] * 128, f"Content-Length: {LENGTH}") + OK),
    "128 headers": Case(framed(*["X-A: b"] * 127, f"Content-Length: {LENGTH}") + OK),
    "a status line without an end": lost(b"HTTP/1.1 200 " + b"O" * 300_000),
    "a head without an end": lost(b"HTTP/1.1 200 OK\r\n" + b"X-A: " + b"a" * 300_000),
    "a trailer without an end": lost(CHUNKED.removesuffix(b"\r\n") + b"X-A: " + b"a" * 600_000),
    "a chunk's extension without an end": lost(head(200, Transfer_Encoding="chunked") + b"b;" + b"a" * 300_000),
}
