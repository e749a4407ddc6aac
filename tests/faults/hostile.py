"""An org whose replies are as large or as dear as they can be, for `tests.faults.bodies`: `python -m tests.faults.hostile`.

The query says what comes: ``SELECT Id FROM Contact WHERE Name = 'empty lists'``. What is not in ``BODIES`` is answered
as any org would. It packs nothing unless the body says so. What is in ``WAYS`` is not a matter of bodies.
"""

import asyncio
import gzip
import json
import sys
from collections.abc import Callable
from functools import cache
from typing import Any
from urllib.parse import unquote_plus

from tests.bench.upstream import answers, route

MIB = 1 << 20
MOST = 32 * MIB
EMOJI = "\U0001f600"
_HEAD, _TAIL = b'{"totalSize":1,"done":true,"records":[', b"]}"


def _filled(value: bytes, size: int) -> bytes:
    """A page whose records are this value, over and over."""
    count = (size - len(_HEAD) - len(_TAIL)) // (len(value) + 1)
    return _HEAD + b",".join([value] * count) + _TAIL


def _long(letters: str, size: int) -> bytes:
    """A page with one record that has one long text."""
    text = letters * ((size - 200) // len(letters.encode()))
    return _HEAD + b'{"Id":"003Sb0000000001IAA","Description":"' + text.encode() + b'"}' + _TAIL


def _names(count: int) -> bytes:
    return _HEAD + b"{" + b",".join(b'"Field_%d__c":0' % number for number in range(count)) + b"}" + _TAIL


def _page(records: list[dict[str, Any]]) -> bytes:
    return json.dumps({"totalSize": len(records), "done": True, "records": records}, ensure_ascii=False).encode()


def _record(number: int, **fields: Any) -> dict[str, Any]:
    url = f"/services/data/v68.0/sobjects/Contact/003Sb00000{number:05d}IAA"
    return {"attributes": {"type": "Contact", "url": url}, "Id": f"003Sb00000{number:05d}IAA"} | fields


def _wide() -> bytes:
    return _page([_record(n, **{f"Field_{f}__c": f"value {f} of {n}" for f in range(100)}) for n in range(2_000)])


def _texts() -> bytes:
    text = "Lorem ipsum, dolor: sit amet. " * 480 + EMOJI
    return _page([_record(number, Description=text) for number in range(2_000)])


def _describe() -> bytes:
    values = [
        {"active": True, "defaultValue": False, "label": f"Value {n}", "validFor": None, "value": f"Value {n}"}
        for n in range(100)
    ]
    flags = dict.fromkeys(("createable", "updateable", "filterable", "sortable", "nillable", "groupable"), True)
    other = dict.fromkeys((f"{word}{end}" for word in "abcdefghij" for end in ("One", "Two", "Three")), None)
    fields = [
        {"name": f"Field_{n}__c", "label": f"Field {n}", "type": "picklist", "length": 255, "picklistValues": values}
        | flags
        | other
        for n in range(800)
    ]
    return json.dumps({"name": "Account", "label": "Account", "queryable": True, "fields": fields}).encode()


def _objects() -> bytes:
    flags = dict.fromkeys(
        (f"{word}able" for word in ("create", "update", "delet", "query", "search", "replicate")), True
    )
    other = dict.fromkeys((f"{word}{end}" for word in "abcde" for end in ("One", "Two", "Three", "Four")), False)
    urls = ("rowTemplate", "describe", "sobject", "layouts", "approvalLayouts")
    return json.dumps(
        {
            "sobjects": [
                {
                    "name": f"Thing_{number}__c",
                    "label": f"Thing {number}",
                    "urls": {url: f"/services/data/v68.0/sobjects/Thing_{number}__c/{url}" for url in urls},
                }
                | flags
                | other
                for number in range(5_000)
            ]
        }
    ).encode()


HOSTILE: dict[str, Callable[[], bytes]] = {
    "empty lists, 5 MiB": lambda: _filled(b"[]", 5 * MIB),
    "empty lists": lambda: _filled(b"[]", MOST),
    "as many empty lists as pass": lambda: _filled(b"[]", 2_900_000),
    "empty records": lambda: _filled(b"{}", MOST),
    "as many tiny records as pass": lambda: _filled(b'{"a":0}', 2_900_000),
    "a million records": lambda: _filled(b'{"Id":"003Sb0000000001IAA"}', 27 * 1_000_000),
    "lists in lists": lambda: (
        _HEAD + b"[" * 60 + b"0" + b"]" * 60 + b"," + b"[" * (MOST // 2 - 200) + b"]" * (MOST // 2 - 200) + _TAIL
    ),
    "digits": lambda: _filled(b"1" * 4_000, MOST),
    "one number": lambda: _filled(b"9" * (MOST - 100), MOST),
    "one text": lambda: _long("x", MOST),
    "one text of 20 MiB": lambda: _long("x", 20 * MIB),
    "one text with an emoji": lambda: _long("x" * (30 * MIB) + EMOJI, 30 * MIB + 210),
    "as long a text with an emoji as passes": lambda: _long("x" * (8 * MIB - 1) + EMOJI, 8 * MIB + 210),
    "escapes": lambda: _long("\\u0000", MOST),
    "many names": lambda: _names(1_400_000),
    "blanks": lambda: _HEAD + b" " * (MOST - 100) + _TAIL,
    "packed blanks": lambda: _HEAD + b" " * (MOST - 100) + _TAIL,
    "packed bomb": lambda: b" " * (256 * MIB),
}
HONEST: dict[str, Callable[[], bytes]] = {
    "2,000 records of 100 fields": _wide,
    "2,000 records of 14 KB": _texts,
    "800 fields of 100 values": _describe,
    "5,000 objects": _objects,
}
BODIES = HOSTILE | HONEST
WAYS = ("hang", "drip", "flood")
"""No answer at all; a byte of one now and then; one that does not end."""
_DRIP_SECONDS, _DRIP_BYTES = 0.2, 100_000
_FLOOD_BYTES, _FLOOD_PIECE = 1 << 40, bytes(256 * 1024)


@cache
def body(kind: str) -> bytes:
    """The bytes of a reply's body."""
    made = BODIES[kind]()
    return gzip.compress(made, 6) if kind.startswith("packed") else made


class Hostile(asyncio.Protocol):
    """One connection."""

    def __init__(self, usual: dict[str, bytes]) -> None:
        self._usual = usual
        self._buffer = b""
        self._writable, self._floods = True, False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # of TCP
        self._transport = transport

    def pause_writing(self) -> None:
        self._writable = False

    def resume_writing(self) -> None:
        self._writable = True
        if self._floods:
            asyncio.get_running_loop().call_soon(self._flood)

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        while b"\r\n\r\n" in self._buffer:
            head, _, rest = self._buffer.partition(b"\r\n\r\n")
            lengths = [int(line[15:]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length:")]
            if len(rest) < sum(lengths):
                return
            self._buffer = rest[sum(lengths) :]
            self._answer(head)

    def _answer(self, head: bytes) -> None:
        kind = _asked(unquote_plus(head.split(b" ", 2)[1].decode()))
        if kind is None:
            self._transport.write(self._usual[route(head)])
            return
        if kind in WAYS:
            self._misbehave(kind)
            return
        content = body(kind)
        packed = "Content-Encoding: gzip\r\n" if kind.startswith("packed") else ""
        lines = f"HTTP/1.1 200 OK\r\nContent-Type: application/json;charset=UTF-8\r\n{packed}"
        self._transport.write(f"{lines}Content-Length: {len(content)}\r\n\r\n".encode() + content)

    def _misbehave(self, way: str) -> None:
        length = {"drip": _DRIP_BYTES, "flood": _FLOOD_BYTES}.get(way)
        if length is None:
            return
        lines = "HTTP/1.1 200 OK\r\nContent-Type: application/json;charset=UTF-8\r\n"
        self._transport.write(f"{lines}Content-Length: {length}\r\n\r\n".encode())
        if way == "drip":
            self._drip()
        else:
            self._floods = True
            self._flood()

    def _drip(self) -> None:
        if not self._transport.is_closing():
            self._transport.write(b"[")
            asyncio.get_running_loop().call_later(_DRIP_SECONDS, self._drip)

    def _flood(self) -> None:
        if self._writable and not self._transport.is_closing():
            self._transport.write(_FLOOD_PIECE)
            asyncio.get_running_loop().call_soon(self._flood)


def _asked(target: str) -> str | None:
    if target.endswith("/describe"):
        return "800 fields of 100 values"
    if target.endswith("/sobjects"):
        return "5,000 objects"
    kind = target.partition("Name = '")[2].partition("'")[0]
    return kind if kind in BODIES or kind in WAYS else None


async def main() -> None:
    usual: dict[str, bytes] = {}
    server = await asyncio.get_running_loop().create_server(lambda: Hostile(usual), "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    usual.update(answers(f"http://127.0.0.1:{port}", packed=False))
    print(port, flush=True)
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)


if __name__ == "__main__":
    asyncio.run(main())
