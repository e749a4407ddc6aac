"""Ways to a server over HTTP: straight, with TLS of its own, and through nginx and Caddy as ``packaging/proxies`` has them."""

from __future__ import annotations

import asyncio
import os
import shutil
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from orgserver.sandbox import tls

ROOT = Path(__file__).parents[3]
PROXIES = ROOT / "packaging" / "proxies"
_BEGIN_SECONDS = 30
_LOG = "server.log"


@dataclass(frozen=True, slots=True)
class Door:
    """Where clients reach the server."""

    name: str
    url: str
    """Without a path."""
    log: Path
    """Where the server's log goes."""
    ca_file: Path | None = None
    """The authority that its certificate is of, where it has one."""

    @property
    def environment(self) -> dict[str, str]:
        """What makes Node, and Codex, trust it."""
        if self.ca_file is None:
            return {}
        return {"NODE_EXTRA_CA_CERTS": str(self.ca_file), "SSL_CERT_FILE": str(self.ca_file)}


def find_free_port() -> int:
    """A port that nobody listens on just now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@asynccontextmanager
async def server(home: Path, folder: Path, *options: str) -> AsyncIterator[int]:
    """``orgserver serve --http`` with further options; its port."""
    port = find_free_port()
    command = [sys.executable, "-m", "orgserver", "serve", "--http", f"127.0.0.1:{port}", "--toolset", "all", *options]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("ORGSERVER_")}
    async with _process(command, folder / _LOG, environment | {"ORGSERVER_HOME": str(home)}, port):
        yield port


@asynccontextmanager
async def straight(home: Path, folder: Path) -> AsyncIterator[Door]:
    """No proxy, on loopback."""
    async with server(home, folder) as port:
        yield Door("straight", f"http://127.0.0.1:{port}", folder / _LOG)


@asynccontextmanager
async def with_own_tls(home: Path, folder: Path) -> AsyncIterator[Door]:
    """No proxy; the server has the certificate."""
    files = tls.certificates(folder)
    own = ("--tls-cert", str(files.certificate_file), "--tls-key", str(files.key_file))
    async with server(home, folder, *own) as port:
        yield Door("tls", f"https://localhost:{port}", folder / _LOG, files.ca_file)


def _behind(port: int) -> tuple[str, ...]:
    """What the server must know of a proxy on this machine."""
    return ("--public-url", f"https://localhost:{port}", "--trust-proxy", "127.0.0.1")


@asynccontextmanager
async def through_nginx(home: Path, folder: Path) -> AsyncIterator[Door]:
    """nginx with a certificate of an authority of our own."""
    port = find_free_port()
    files = tls.certificates(folder)
    async with server(home, folder, *_behind(port)) as upstream:
        site = (
            (PROXIES / "nginx.conf")
            .read_text("utf-8")
            .replace("server 127.0.0.1:8080 ", f"server 127.0.0.1:{upstream} ")
            .replace("listen 443 ssl;", f"listen 127.0.0.1:{port} ssl;")
            .replace("server_name mcp.example.com;", "server_name localhost;")
            .replace("/etc/ssl/mcp.example.com.pem", str(files.certificate_file))
            .replace("/etc/ssl/private/mcp.example.com.key", str(files.key_file))
        )
        kinds = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
        places = "".join(f"{kind}_temp_path {folder / kind};" for kind in kinds)
        user = "user root;" if os.geteuid() == 0 else ""
        main = folder / "nginx.conf"
        main.write_text(
            f"{user} daemon off; worker_processes 1; pid {folder / 'nginx.pid'}; error_log {folder / 'error.log'};"
            f"events {{}} http {{ access_log off; {places} {site} }}",
            "utf-8",
        )
        command = ["nginx", "-e", str(folder / "error.log"), "-p", str(folder), "-c", str(main)]
        async with _process(command, folder / "nginx.log", dict(os.environ), port):
            yield Door("nginx", f"https://localhost:{port}", folder / _LOG, files.ca_file)


@asynccontextmanager
async def through_caddy(home: Path, folder: Path) -> AsyncIterator[Door]:
    """Caddy, which makes the certificate of this machine's own name by itself."""
    port = find_free_port()
    options = "{\n admin off\n skip_install_trust\n auto_https disable_redirects\n}\n"
    config = folder / "Caddyfile"
    config.write_text(options + (PROXIES / "Caddyfile").read_text("utf-8"), "utf-8")
    async with server(home, folder, *_behind(port)) as upstream:
        environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(folder),
            "XDG_DATA_HOME": str(folder / "data"),
            "MCP_SITE": f"localhost:{port}",
            "MCP_UPSTREAM": f"127.0.0.1:{upstream}",
        }
        command = ["caddy", "run", "--adapter", "caddyfile", "--config", str(config)]
        async with _process(command, folder / "caddy.log", environment, port):
            ca_file = folder / "data" / "caddy" / "pki" / "authorities" / "local" / "root.crt"
            yield Door("caddy", f"https://localhost:{port}", folder / _LOG, ca_file)


DOORS = {"straight": straight, "tls": with_own_tls, "nginx": through_nginx, "caddy": through_caddy}


def is_there(name: str) -> bool:
    """Whether the program that a door needs is installed."""
    return name not in ("nginx", "caddy") or shutil.which(name) is not None


@asynccontextmanager
async def _process(command: list[str], log: Path, environment: dict[str, str], port: int) -> AsyncIterator[None]:
    """A process that listens on a port, until the block ends."""
    with log.open("wb") as output:
        process = await asyncio.create_subprocess_exec(
            *command, env=environment, stdin=asyncio.subprocess.DEVNULL, stdout=output, stderr=output
        )
    try:
        async with asyncio.timeout(_BEGIN_SECONDS):
            while not await _listens(port):
                assert process.returncode is None, f"{command[0]} ended: {log.read_text('utf-8', 'replace')}"
                await asyncio.sleep(0.05)
        yield
    finally:
        if process.returncode is None:
            process.terminate()
        await process.wait()


async def _listens(port: int) -> bool:
    try:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
    except OSError:
        return False
    writer.close()
    return True
