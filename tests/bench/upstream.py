"""An org that answers as quickly as Python can, and always the same: what is measured is us, not it.

Plainly; with ``--packed`` with gzip and in chunks, as Salesforce does for whoever asks. A second org, at a port of its
own, takes ``--slow-ms`` for each answer. Prints both ports, and a third where the first org speaks TLS, with ``--tls``.
"""

import argparse
import asyncio
import gzip
import json
import re
import ssl
import sys
from pathlib import Path

ORG, USER = "00DSb0000000001MAA", "005Sb0000000001IAA"
SLOW_ORG = "00DSb0000000002MAA"
MOST = 200
"""Records of a page where the query names no limit, or a higher one."""
LOGIN = """<?xml version="1.0" encoding="UTF-8"?><soapenv:Envelope
xmlns:soapenv="http://schemas.xmlsoap.org/soap/envelope/" xmlns="urn:partner.soap.sforce.com"><soapenv:Body>
<loginResponse><result><serverUrl>{origin}/services/Soap/u/50.0/{org}</serverUrl><sessionId>{org}!AQbench</sessionId>
<userId>{user}</userId><userInfo><organizationId>{org}</organizationId></userInfo></result></loginResponse>
</soapenv:Body></soapenv:Envelope>"""
"""What a login with a password is answered with, for those who still do that."""
_LIMIT = re.compile(rb"LIMIT(?:\+|%20)(\d+)")


def contact(number: int) -> dict[str, object]:
    identifier = f"003Sb00000{number:05d}IAA"
    return {
        "attributes": {"type": "Contact", "url": f"/services/data/v68.0/sobjects/Contact/{identifier}"},
        "Id": identifier,
        "Name": f"Person {number}",
        "Email": f"person{number}@example.com",
    }


def page(count: int) -> dict[str, object]:
    return {"totalSize": count, "done": True, "records": [contact(number) for number in range(count)]}


def answers(origin: str, *, packed: bool, org: str = ORG) -> dict[str, bytes]:
    organization = {
        "totalSize": 1,
        "done": True,
        "records": [{"Id": org, "Name": "Bench", "OrganizationType": "Developer Edition"}],
    }
    token = {
        "access_token": f"{org[:15]}!AQbench",
        "instance_url": origin,
        "id": f"{origin}/id/{org}/{USER}",
        "token_type": "Bearer",
    }
    user = {"user_id": USER, "organization_id": org, "preferred_username": "bench@example.com", "zoneinfo": "UTC"}
    bodies = {
        "query": page(10),
        "organization": organization,
        "token": token,
        "userinfo": user,
        "versions": [{"version": "68.0"}],
        "created": {"id": "003Sb0000000001IAA", "success": True, "errors": []},
    }
    login = LOGIN.format(origin=origin, org=org, user=USER).encode()
    return {
        name: reply(
            json.dumps(body).encode(),
            packed=packed and name != "token",  # of those nobody asks to be packed
            status=b"201 Created" if name == "created" else b"200 OK",
        )
        for name, body in bodies.items()
    } | {"login": reply(login, packed=False, kind=b"text/xml")}


def reply(body: bytes, *, packed: bool, status: bytes = b"200 OK", kind: bytes = b"application/json") -> bytes:
    head = b"HTTP/1.1 %b\r\nContent-Type: %b;charset=UTF-8\r\n" % (status, kind)
    if not packed:
        return head + b"Content-Length: %d\r\n\r\n" % len(body) + body
    body = gzip.compress(body)
    head += b"Content-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n\r\n"
    return head + b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body)


class Org:
    """What one org answers."""

    def __init__(self, *, packed: bool, org: str = ORG, seconds: float = 0) -> None:
        self.seconds = seconds
        self._packed, self._id = packed, org
        self._answers: dict[str, bytes] = {}
        self._pages: dict[int, bytes] = {}

    async def serve(self, tls: ssl.SSLContext | None = None) -> int:
        """Listen; the port."""
        server = await asyncio.get_running_loop().create_server(lambda: Upstream(self), "127.0.0.1", 0, ssl=tls)
        port: int = server.sockets[0].getsockname()[1]
        origin = f"{'https' if tls else 'http'}://127.0.0.1:{port}"
        self._answers = answers(origin, packed=self._packed, org=self._id)
        return port

    def answer(self, head: bytes) -> bytes:
        """The whole answer to a request with this head."""
        name = route(head)
        if name != "query":
            return self._answers[name]
        limit = _LIMIT.search(head)
        count = min(int(limit[1]), MOST) if limit else MOST
        if count not in self._pages:
            self._pages[count] = reply(json.dumps(page(count)).encode(), packed=self._packed)
        return self._pages[count]


class Upstream(asyncio.Protocol):
    """One connection to an org."""

    def __init__(self, org: Org) -> None:
        self.org = org
        self.buffer = b""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # of TCP
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.buffer += data
        while (end := request_end(self.buffer)) is not None:
            head, self.buffer = self.buffer[: self.buffer.index(b"\r\n\r\n")], self.buffer[end:]
            if self.org.seconds:
                asyncio.get_running_loop().call_later(self.org.seconds, self.transport.write, self.org.answer(head))
            else:
                self.transport.write(self.org.answer(head))


def request_end(buffer: bytes) -> int | None:
    """Where the first request ends; None while some of it is not here yet."""
    head, end, _ = buffer.partition(b"\r\n\r\n")
    if not end:
        return None
    headers, begin = head.lower(), len(head) + 4
    if b"\r\ntransfer-encoding: chunked" in headers:
        last = buffer.find(b"0\r\n\r\n", begin)
        return last + 5 if last >= 0 else None
    length = int(headers.partition(b"\r\ncontent-length:")[2].partition(b"\r\n")[0] or 0)
    return begin + length if len(buffer) >= begin + length else None


def route(head: bytes) -> str:
    method, target, _ = head.split(b" ", 2)
    if b"/oauth2/token" in target:
        return "token"
    if b"/oauth2/userinfo" in target:
        return "userinfo"
    if b"/services/Soap/" in target:
        return "login"
    if target.rstrip(b"/") == b"/services/data":
        return "versions"
    if method == b"POST" and b"/sobjects/" in target:
        return "created"
    return "organization" if b"Organization" in target else "query"


async def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.upstream", description=__doc__)
    parser.add_argument("--packed", action="store_true")
    parser.add_argument("--slow-ms", type=float, default=200)
    parser.add_argument("--tls", type=Path, metavar="FOLDER", help="where server.pem and server.key are")
    options = parser.parse_args()
    fast = await Org(packed=options.packed).serve()
    slow = await Org(packed=options.packed, org=SLOW_ORG, seconds=options.slow_ms / 1_000).serve()
    ports = [fast, slow]
    if options.tls:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(options.tls / "server.pem", options.tls / "server.key")
        ports.append(await Org(packed=options.packed).serve(context))
    print(*ports, flush=True)
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)


if __name__ == "__main__":
    asyncio.run(main())
