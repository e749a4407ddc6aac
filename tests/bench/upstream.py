"""An org that always answers the same ten contacts, as quickly as Python can: what is measured is us, not it.

Plainly; with ``--packed`` with gzip and in chunks, as Salesforce does for whoever asks.
"""

import asyncio
import gzip
import json
import sys

ORG, USER = "00DSb0000000001MAA", "005Sb0000000001IAA"


def contact(number: int) -> dict[str, object]:
    identifier = f"003Sb00000{number:05d}IAA"
    return {
        "attributes": {"type": "Contact", "url": f"/services/data/v68.0/sobjects/Contact/{identifier}"},
        "Id": identifier,
        "Name": f"Person {number}",
        "Email": f"person{number}@example.com",
    }


def answers(origin: str, *, packed: bool) -> dict[str, bytes]:
    contacts = {"totalSize": 10, "done": True, "records": [contact(number) for number in range(10)]}
    organization = {
        "totalSize": 1,
        "done": True,
        "records": [{"Id": ORG, "Name": "Bench", "OrganizationType": "Developer Edition"}],
    }
    token = {
        "access_token": f"{ORG[:15]}!AQbench",
        "instance_url": origin,
        "id": f"{origin}/id/{ORG}/{USER}",
        "token_type": "Bearer",
    }
    user = {"user_id": USER, "organization_id": ORG, "preferred_username": "bench@example.com", "zoneinfo": "UTC"}
    bodies = {
        "query": contacts,
        "organization": organization,
        "token": token,
        "userinfo": user,
        "versions": [{"version": "68.0"}],
    }
    return {
        name: reply(json.dumps(body).encode(), packed=packed and name != "token")  # of those nobody asks to be packed
        for name, body in bodies.items()
    }


def reply(body: bytes, *, packed: bool) -> bytes:
    head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json;charset=UTF-8\r\n"
    if not packed:
        return head + b"Content-Length: %d\r\n\r\n" % len(body) + body
    body = gzip.compress(body)
    head += b"Content-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n\r\n"
    return head + b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body)


class Upstream(asyncio.Protocol):
    def __init__(self, known: dict[str, bytes]) -> None:
        self.known = known
        self.buffer = b""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # of TCP
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.buffer += data
        while b"\r\n\r\n" in self.buffer:
            head, _, rest = self.buffer.partition(b"\r\n\r\n")
            length = 0
            for line in head.split(b"\r\n"):
                if line.lower().startswith(b"content-length:"):
                    length = int(line.split(b":")[1])
            if len(rest) < length:
                return
            self.buffer = rest[length:]
            self.transport.write(self.known[route(head)])


def route(head: bytes) -> str:
    target = head.split(b" ", 2)[1]
    if b"/oauth2/token" in target:
        return "token"
    if b"/oauth2/userinfo" in target:
        return "userinfo"
    if target.rstrip(b"/") == b"/services/data":
        return "versions"
    return "organization" if b"Organization" in target else "query"


async def main() -> None:
    known: dict[str, bytes] = {}
    server = await asyncio.get_running_loop().create_server(lambda: Upstream(known), "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    known.update(answers(f"http://127.0.0.1:{port}", packed="--packed" in sys.argv))
    print(port, flush=True)
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)


if __name__ == "__main__":
    asyncio.run(main())
