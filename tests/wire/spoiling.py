"""An org whose replies are spoilt on their way: everything above the transport is real."""

import json
from random import Random

import httpx

from tests.senders import HttpxSenders
from tests.wire.mutations import encoded, mutated


class Spoiler:
    """Hands real replies on, with something wrong in each while ``chance`` is there."""

    def __init__(self) -> None:
        self.chance: Random | None = None

    def transport(self, _url: str) -> httpx.AsyncBaseTransport:
        return _Spoilt(self, HttpxSenders.open_real(""))

    def spoil(self, response: httpx.Response) -> httpx.Response:
        chance = self.chance
        if chance is None or chance.random() < 0.1:
            return again(response)
        headers = {name: value for name, value in response.headers.items() if name != "content-encoding"}
        content = response.content
        if "json" in response.headers.get("content-type", ""):
            content = encoded(mutated(json.loads(content), chance))
        elif content:
            content = chance.choice((content[: len(content) // 2], content + b'"', b"\xff" + content, content * 2))
        if chance.random() < 0.2:
            headers |= chance.choice(HEADERS)
        status = chance.choice((400, 401, 404, 500, 503, 300, 200)) if chance.random() < 0.1 else response.status_code
        raw = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in headers.items()]
        return httpx.Response(status, headers=raw, content=content)


OF_THE_WIRE = {"content-encoding", "content-length", "transfer-encoding"}
HEADERS = (
    {"Date": "Fri, 31 Dec 9999 23:59:59 -2359"},
    {"Date": "yesterday"},
    {"Retry-After": "\xb2"},
    {"Retry-After": "-1"},
    {"Retry-After": "9" * 400},
    {"Sforce-Limit-Info": "api-usage=" + "9" * 400 + "/0"},
    {"Sforce-Limit-Info": "api-usage=1/0"},
    {"Content-Type": "text/html"},
    {"Last-Modified": "\u00ff" * 50},
    {"X-Request-Id": "\u009b2J" * 90},
)


def again(response: httpx.Response) -> httpx.Response:
    """A response that was read, for somebody else to read."""
    headers = [(name, value) for name, value in response.headers.items() if name not in OF_THE_WIRE]
    return httpx.Response(response.status_code, headers=headers, content=response.content)


class _Spoilt(httpx.AsyncBaseTransport):
    def __init__(self, spoiler: Spoiler, inner: httpx.AsyncBaseTransport) -> None:
        self._spoiler = spoiler
        self._inner = inner

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        response = await self._inner.handle_async_request(request)
        await response.aread()
        return self._spoiler.spoil(response)

    async def aclose(self) -> None:
        await self._inner.aclose()
