"""What every request must show before anything of it is read: whom it was sent to, and from where."""

from __future__ import annotations

from dataclasses import dataclass

from starlette.types import Scope

from orgserver.serving.http.options import HttpOptions
from orgserver.serving.http.replies import Reply, make_error_reply

_LOOPBACK = ("127.0.0.1", "localhost", "[::1]")


@dataclass(frozen=True, slots=True)
class Admitted:
    """A request that may come in."""

    source: str
    """The address that it came from."""
    scheme: str = "http"
    """That its client speaks."""
    host: str = ""
    """With its port, as its client names it."""

    @property
    def url(self) -> str:
        """The server's, as its client names it."""
        return f"{self.scheme}://{self.host}"


class Door:
    """Compares the host and origin that a request names, exactly, with those that are allowed."""

    def __init__(self, options: HttpOptions) -> None:
        hosts = {options.host, *_LOOPBACK} if options.host in ("127.0.0.1", "::1", "localhost") else {options.host}
        self._hosts = frozenset(f"{host}:{options.port}".encode() for host in hosts)
        self._origins = frozenset(b"http://" + host for host in self._hosts)

    def admit(self, scope: Scope) -> Admitted | Reply:
        """Let a request in, or say why not."""
        hosts = [value for name, value in scope["headers"] if name == b"host"]
        if len(hosts) != 1 or hosts[0].lower() not in self._hosts:
            return make_error_reply(421, "this host is not served here")
        origins = [value for name, value in scope["headers"] if name == b"origin"]
        if any(origin not in self._origins for origin in origins):
            return make_error_reply(403, "requests from this origin are not allowed")
        client = scope.get("client")
        return Admitted(client[0] if client else "", "http", hosts[0].decode("latin-1"))
