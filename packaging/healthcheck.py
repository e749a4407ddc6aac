"""Whether the container is healthy: over HTTP its server answers, on standard input and output the store opens."""

from __future__ import annotations

import ssl
import subprocess
import sys
import urllib.request
from pathlib import Path

_SECONDS = 5
_STORE_SECONDS = 35
_EVERYWHERE = {"0.0.0.0": "127.0.0.1", "[::]": "[::1]"}  # noqa: S104  # compared with, not listened on


def main() -> int:
    """0 for healthy; the command line of the container's first process says where the server listens."""
    return check([word.decode() for word in Path("/proc/1/cmdline").read_bytes().split(b"\0")])


def check(words: list[str]) -> int:
    """0 where the server with this command line is healthy."""
    address = _option(words, "--http")
    if address is None:
        # not `doctor`, which also fails for an org that needs a login: no new start mends that, and the others work
        command = ["orgserver", "list-orgs", "--json"]
        return subprocess.run(command, stdout=subprocess.DEVNULL, timeout=_STORE_SECONDS, check=False).returncode  # noqa: S603  # ours
    return _ask(address, encrypted=_option(words, "--tls-cert") is not None)


def _option(words: list[str], name: str) -> str | None:
    """The value of an option, which follows it or its ``=``."""
    for index, word in enumerate(words):
        if word == name:
            return words[index + 1]
        if word.startswith(f"{name}="):
            return word.partition("=")[2]
    return None


def _ask(address: str, *, encrypted: bool) -> int:
    host, _, port = address.rpartition(":")
    context = ssl.create_default_context()
    context.check_hostname = False  # it asks itself, by an address that no certificate has
    context.verify_mode = ssl.CERT_NONE
    url = f"{'https' if encrypted else 'http'}://{_EVERYWHERE.get(host, host)}:{port}/healthz"
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=context))
    try:
        opener.open(url, timeout=_SECONDS).close()
    except OSError as error:  # a refusal is one, too
        print(f"{url}: {error}")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
