"""Hostile bytes: framing that two parsers could read in two ways, requests within requests, noise, and what never ends."""

import json

from .http_requests import CALL, Builder, Hostile


class HostileBytes(Builder):
    """Makes them; none of them may be answered, whatever key it shows."""

    def framing(self) -> Hostile:
        """A key that is good, and a head that two parsers could read in two ways."""
        good = self._build(key=self._key)
        body = good.split(b"\r\n\r\n", 1)[1]
        unsized = self._build(key=self._key, length=False)
        line = self._pick(
            f"Content-Length: {len(body)}\r\nTransfer-Encoding: chunked", f"Content-Length: {len(body)}\r\nContent-Length: 0",
            f"Content-Length: {len(body)}, {len(body)}", f"Content-Length: +{len(body)}", f"Content-Length: 0x{len(body):x}",
            f"Content-Length: -{len(body)}", f"Content-Length: {len(body)}\r\n 0", f"Content-Length : {len(body)}",
            f"Content-Length:\x0b{len(body)}", f"Content-Length: {'9' * 30}", "Transfer-Encoding: gzip, chunked",
            "Transfer-Encoding: chunked, identity", "Transfer-Encoding: x", "Transfer-Encoding: \x0bchunked",
            "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked", "Transfer-Encoding\x00: chunked",
            f"X: y\r\n folded\r\nContent-Length: {len(body)}", f"X: y\nContent-Length: {len(body)}",
            f"X: y\rContent-Length: {len(body)}", f"X\x00: y\r\nContent-Length: {len(body)}",
            f": y\r\nContent-Length: {len(body)}", f"X y\r\nContent-Length: {len(body)}",
            f"Upgrade: h2c\r\nConnection: Upgrade, HTTP2-Settings\r\nHTTP2-Settings: AAMA\r\nContent-Length: {len(body)}",
            f"Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\nContent-Length: {len(body)}",
        )  # fmt: skip
        request = unsized.replace(b"\r\n\r\n", b"\r\n" + line.encode("latin-1") + b"\r\n\r\n", 1)
        if self._chance.random() < 0.15:
            request = self._pick(
                good.replace(b"\r\n", b"\n"), good.replace(b"\r\n", b"\r"), good.replace(b"HTTP/1.1", b"HTTP/2.0"),
                good.replace(b"HTTP/1.1", b"HTTP/1.2"), good.replace(b" HTTP/1.1", b""), b" " + good,
                good.replace(b"HTTP/1.1\r\n", b"HTTP/1.1\r\n "), good.replace(b"HTTP/1.1", b"HTTP/1.1 "),
                good.replace(b"\r\nHost", b"\r\r\nHost"),
            )  # fmt: skip
        return Hostile("framing", [request], is_whole=False)

    def chunks(self) -> Hostile:
        """A key that is good, and chunks that are none."""
        head = self._build(("Transfer-Encoding", "chunked"), key=self._key, body=b"", length=False)
        body = json.dumps(CALL).encode()
        size = f"{len(body):x}".encode()
        end = b"\r\n0\r\n\r\n"
        chunks = self._pick(
            size + b"\n" + body + end, size + b" \r\n" + body + end, b"-" + size + b"\r\n" + body + end,
            b"0x" + size + b"\r\n" + body + end, size + b"\r\n" + body + b"x" + end, size + b"\r\n" + body + b"\n0\r\n\r\n",
            b"f" * 17 + b"\r\n" + body + end, size + b";a\nb\r\n" + body + end, b"\r\n" + body + end,
            size + b"\r\n" + body + b"\r\n0\r\nAuthorization: Bearer x\r\n\r\n", size + b'; a="\r\n"\r\n' + body + end,
            size + b";" + b"a" * 3_000_000, b"fffff\r\n" + b" " * 1_048_575 + b"\r\nfffff\r\n" + b" " * 1_000_000,
        ) if self._chance.random() < 0.97 else b"1\r\n{\r\n" * 10  # fmt: skip
        return Hostile("chunks", [head, chunks], is_whole=False)

    def heads(self) -> Hostile:
        """Heads and bodies that are too large, or lie about it."""
        request = self._pick(
            self._build(("X", "a" * 20_000), key=self._key),
            self._build(*[("X", "a")] * 200, key=self._key),
            self._build(key=self._key, target="/mcp?" + "a" * 20_000),
            self._build(("Content-Length", str(1 << 21)), key=self._key, body=b"{}", length=False),
            self._build(("Content-Length", str(1 << 62)), key=self._key, body=b"{}", length=False),
            self._build(
                ("Expect", "100-continue"), ("Content-Length", "9000000"), key=self._key, body=b"", length=False
            ),
            b"POST /mcp HTTP/1.1\r\n" + b"X: y\r\n" * 5_000,
            b"A" * 300_000,
        )
        return Hostile("heads", [request], is_whole=False)

    def smuggled(self) -> Hostile:
        """A request without a key around, or before, one that has it: the second is of somebody else."""
        inner = self._build(key=self._key, body=json.dumps(CALL).encode())
        outer = self._pick(
            self._build(("Transfer-Encoding", "chunked"), body=b"0\r\n\r\n" + inner),
            self._build(("Content-Length", "5"), ("Transfer-Encoding", "chunked"), body=b"0\r\n\r\n" + inner, length=False),
            self._build(("Transfer-Encoding", "chunked"), ("Content-Length", "4"), body=b"1\r\nZ\r\n0\r\n\r\n" + inner, length=False),
            self._build(("Transfer-Encoding", " chunked"), ("Transfer-Encoding", "x"), body=b"0\r\n\r\n" + inner),
            self._build(("Transfer-Encoding", "xchunked"), body=b"0\r\n\r\n" + inner),
            self._build(("Connection", "Upgrade"), ("Upgrade", "websocket"), body=b"") + inner,
            self._build(("Content-Length", "0\r\n 10"), body=inner, length=False),
            self._build(("X", "a\r\n\r\n" + inner.decode("latin-1")), body=b"", length=False),
            self._build(("Trailer", "Authorization"), ("Transfer-Encoding", "chunked"), length=False, body=b"1\r\n{\r\n0\r\nAuthorization: Bearer " + self._key.encode() + b"\r\n\r\n"),
        )  # fmt: skip
        return Hostile("smuggled", [outer], is_whole=False)

    def noise(self) -> Hostile:
        """Bytes."""
        data = self._pick(
            self._chance.randbytes(self._chance.randrange(1, 2_000)), b"\x16\x03\x01" + self._chance.randbytes(200),
            b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", b"\x00" * 2_000, b"\r\n" * 500, self._text(500).encode(),
            b"GET", b"GET /mcp", b"GET /mcp HTTP/1.1\r\nHost:", b"EHLO evil.example\r\n", b"*1\r\n$4\r\nPING\r\n",
        )  # fmt: skip
        return Hostile("noise", [data], is_whole=False)

    def mutated(self) -> Hostile:
        """A request without a key, some of whose bytes are others, in pieces."""
        data = bytearray(self._build())
        for _ in range(self._chance.randrange(1, 6)):
            place = self._chance.randrange(len(data))
            end = place + self._pick(0, 1, self._chance.randrange(1, 20))
            data[place:end] = self._chance.randbytes(self._pick(0, 1, 1))
            if not data:
                data += b"x"
        cut = self._chance.randrange(len(data) + 1)
        return Hostile("mutated", [bytes(data[:cut]), bytes(data[cut:])], is_whole=False)

    def slow(self) -> Hostile:
        """A request that never comes whole; what comes last is refused."""
        return self._pick(
            Hostile("slow", [b"GET /mcp HTTP/1.1\r\n"], pause=0.5),
            Hostile("slow", [bytes([byte]) for byte in self._build()], pause=0.5),
            Hostile("slow", [self._build(("Content-Length", "500"), key=self._key, body=b"{", length=False)] + [b" "] * 100, pause=0.5),
            Hostile("slow", [self._build(("Transfer-Encoding", "chunked"), key=self._key, body=b"", length=False)] + [b"1\r\n \r\n"] * 100, pause=0.5),
            Hostile("slow", [b""], pause=0.5),
        )  # fmt: skip
