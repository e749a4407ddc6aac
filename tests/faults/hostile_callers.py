"""Hostile callers: a generator of wrong hosts, paths, origins, tokens and bodies, and of hostile bytes.

None but those of ``bodies`` shows a key that is good in a way that is good, so that none but those may be answered.
"""

import base64
import json
from collections.abc import Callable

from .hostile_bytes import HostileBytes
from .http_requests import CALL, PUBLIC_PATHS, Hostile

_EVIL = ("evil.example", "127.0.0.1.evil.example", "localhost.evil.example", "169.254.169.254", "[::ffff:127.0.0.1]")


class HostileCallers(HostileBytes):
    """Makes requests of every kind."""

    @property
    def _kinds(self) -> list[Callable[[], Hostile]]:
        return [
            self.tokens, self.tokens, self.places, self.hosts, self.hosts, self.origins, self.paths, self.methods,
            self.framing, self.framing, self.chunks, self.heads, self.smuggled, self.bodies, self.bodies, self.noise,
            self.mutated, self.forwarded,
        ]  # fmt: skip

    def make(self) -> Hostile:
        """The next."""
        return self._chance.choice(self._kinds)()

    def tokens(self) -> Hostile:
        """Keys that are none."""
        key, place = self._key, self._chance.randrange(len(self._key))
        other = "x" if key[place] != "x" else "y"
        claims = json.dumps({"sub": "ada", "aud": "orgserver", "exp": 4_000_000_000})
        unsigned = ".".join(
            base64.urlsafe_b64encode(part.encode()).decode().rstrip("=") for part in ('{"alg":"none"}', claims)
        )
        value = self._pick(
            f"Bearer {key[:place]}{other}{key[place + 1:]}", f"Bearer {key[:-1]}", f"Bearer {key}x", f"Bearer {key[4:]}",
            f"Bearer {key.swapcase()}", f"Basic {key}", f"Bearer{key}", key, f"Bearer {key},{key}", f"Bearer {key} {key}",
            f"Bearer {unsigned}.", f"Bearer {unsigned}.x", "Bearer", "Bearer ", "Bearer null", "Bearer undefined",
            f"Bearer {self._line()}", f"Bearer osk_{self._line(60)}", f"Bearer {'a' * 9_000}", f'Bearer "{key}"',
            f"Bearer token={key}", f"Digest username={key}", f"Bearer {key}%00", f"bearer\t{key}\xa0",
        )  # fmt: skip
        headers = [("Authorization", value)]
        if self._chance.random() < 0.1:
            headers = [("Authorization", f"Bearer {key}"), ("Authorization", value)]
        return Hostile("tokens", [self._build(*headers)])

    def places(self) -> Hostile:
        """A key that is good where no key belongs."""
        key = self._key
        request = self._pick(
            self._build(("Cookie", f"Authorization=Bearer {key}; session={key}")),
            self._build(("X-Api-Key", key)),
            self._build(("Proxy-Authorization", f"Bearer {key}")),
            self._build(("X-Forwarded-User", "ada"), ("X-Remote-User", "ada"), ("Remote-User", "ada")),
            self._build(("Authorization-", f"Bearer {key}")),
            self._build(target=f"/mcp?access_token={key}"),
            self._build(target=f"/mcp?Authorization=Bearer%20{key}"),
            self._build(body=json.dumps(CALL | {"access_token": key}).encode()),
            self._build(("Mcp-Session-Id", key)),
        )
        return Hostile("places", [request])

    def hosts(self) -> Hostile:
        """A key that is good, sent to another host."""
        host, port = self._host.rsplit(":", 1)
        wrong = self._pick(
            *_EVIL, *(f"{each}:{port}" for each in _EVIL), host, f"{host}:80", f"{host}:{port}:{port}", f"{host}:0{port}",
            f"{host}:{port}@evil.example", f"evil@{host}:{port}", f"{host}:evil.example", f"{self._host}, evil.example", "",
            f"http://{self._host}", f"{self._host}/", f"{self._host}#", f"127.1:{port}", f"2130706433:{port}",
            f"0x7f.1:{port}", f"localhost.:{port}", f"[0:0:0:0:0:0:0:1]:{port}", f"xn--{self._chance.random()}:{port}",
            f"l\xf6calhost:{port}", f"{self._line()}:{port}",
        )  # fmt: skip
        if wrong.strip().lower() == self._host:
            wrong = "evil.example"
        request = self._build(key=self._key, host=wrong)
        if self._chance.random() < 0.2:
            request = self._build(("Host", wrong), key=self._key)
        elif self._chance.random() < 0.1:
            request = request.replace(f"Host: {wrong}\r\n".encode("latin-1", "replace"), b"")
        return Hostile("hosts", [request])

    def origins(self) -> Hostile:
        """A key that is good, sent by a page of another origin."""
        wrong = self._pick(
            "null", "", "http://evil.example", f"https://{self._host}", f"http://{self._host}@evil.example",
            f"http://{self._host}/", f"http://{self._host}.evil.example", f"http://{self._host} http://evil.example", "*",
            f"HTTP://{self._host}", f"http://{self._host.rsplit(':', 1)[0]}", f"file://{self._host}", self._line(),
        )  # fmt: skip
        method = self._pick("POST", "OPTIONS", "GET")
        return Hostile("origins", [self._build(("Origin", wrong), key=self._key, method=method)])

    def paths(self) -> Hostile:
        """A key that is good, and a path that is nearly one of ours."""
        target = self._pick(
            "//mcp", "/mcp/", "/MCP", "/mcp//", "/%6dcp", "/mcp%2f", "/mcp%00", "/./mcp", "/../mcp", "/x/../mcp", "/mcp/..;/",
            "/mcp;a=b", "/mcp.json", "/mcp/../healthz", "/metrics/../mcp", "/mcp%3f", "/mcp\\", f"http://{self._host}/mcp",
            "http://evil.example/mcp", "//evil.example/mcp", "*", "mcp", "", "/mcp#x", "?", "/me", "/connect/acme", "/admin",
            "/.well-known/../mcp", "/.env", "/etc/passwd", "/..%2f..%2fetc/passwd", f"/{self._line()}", "/" + "a" * 9_000,
        )  # fmt: skip
        if target.split("?")[0] == "/mcp":
            target = "/mcp/"
        return Hostile("paths", [self._build(key=self._key, target=target, method=self._pick("POST", "GET"))])

    def methods(self) -> Hostile:
        """Methods without a key, and those that MCP has not with one."""
        method = self._pick(
            "GET", "HEAD", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT", "PROPFIND", "PRI", "QUERY", "SOURCE",
            "post", "POSTX", "P\xd6ST", "\x00POST", "M-SEARCH", "", "GET /mcp HTTP/1.1\r\nX:",
        )  # fmt: skip
        target = self._pick("/mcp", *PUBLIC_PATHS, "/metrics")
        key = self._key if target == "/mcp" and method in ("GET", "PUT", "DELETE", "TRACE", "CONNECT") else None
        request = self._build(method=method, target=target, key=key)
        if method == "CONNECT":
            request = request.replace(b"/mcp", b"127.0.0.1:22", 1)
        return Hostile("methods", [request])

    def bodies(self) -> Hostile:
        """A key that is good, and a body that is a bomb, no JSON, or no message."""
        value = self._pick(
            b"", b"null", b"[]", b"[" * 100_000, b"[" * 500 + b"]" * 500, b'{"a":' * 50_000, b"{" * 1_000, b"\xff\xfe{\x00}\x00",
            b"[" + b"0," * 400_000 + b"0]", b'{"id":1e999}', b'{"jsonrpc":"2.0","id":NaN,"method":"ping"}', b'"\\ud800"',
            b'{"jsonrpc":"2.0","id":' + b"9" * 5_000 + b',"method":"ping"}', b'{"__proto__":{"a":1}}', b"\x1f\x8b\x08\x00",
            json.dumps([CALL] * 50).encode(), json.dumps(CALL | {"id": {"a": 1}}).encode(), json.dumps(CALL | {"jsonrpc": 2}).encode(),
            json.dumps(CALL | {"method": self._text()}).encode(), json.dumps(CALL | {"params": self._text()}).encode(),
            json.dumps(CALL | {"params": {"name": self._text(), "arguments": {"org": self._text()}}}).encode(),
            json.dumps(CALL | {"params": {"name": "salesforce_query", "arguments": {"org": "acme", "soql": self._text(200)}}}).encode(),
            json.dumps(CALL | {"params": {"name": "salesforce_get_contact", "arguments": {"org": self._pick("globex", "../acme", "acme\x00"), "contact_id": self._text()}}}).encode(),
            b'{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"salesforce_list_contacts","arguments":' + b'{"a":' * 300 + b"1" + b"}" * 300 + b"}}",
            json.dumps({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": 1}}).encode(),
        )  # fmt: skip
        odd = self._pick(
            (), (), (), (("Content-Encoding", "gzip"),), (("Mcp-Session-Id", self._line()),), (("Last-Event-ID", "1"),),
            (("Mcp-Method", self._line()), ("Mcp-Name", self._line())),
        )  # fmt: skip
        return Hostile("bodies", [self._build(*odd, key=self._key, body=value)], may_be_answered=True)

    def forwarded(self) -> Hostile:
        """Without a key, what only a proxy may say."""
        headers = self._pick(
            [("X-Forwarded-For", "127.0.0.1"), ("X-Forwarded-Proto", "https")], [("X-Forwarded-Host", "evil.example")],
            [("Forwarded", "for=127.0.0.1;host=evil.example;proto=https")], [("Forwarded", self._line())],
            [("X-Real-IP", "127.0.0.1"), ("X-Original-URL", "/healthz"), ("X-Rewrite-URL", "/healthz")],
            [("X-HTTP-Method-Override", "GET")], [("X-Forwarded-For", self._line(200))],
        )  # fmt: skip
        return Hostile("forwarded", [self._build(*headers)])
