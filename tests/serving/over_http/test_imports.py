"""What serves over HTTP alone costs a server on standard input and output nothing."""

import asyncio
import os
import sys
from pathlib import Path

ONLY_OVER_HTTP = (
    "prometheus_client",
    "orgserver.telemetry.prometheus",
    "orgserver.serving.http",
    "orgserver.servers.http",
    "orgserver.oauth",
    "jwt",
)
ONLY_FOR_SIGN_IN = (
    "authlib",
    "joserfc",
    "jinja2",
    "orgserver.servers.signin",
    "orgserver.serving.http.people",
    "orgserver.serving.http.me.",
    "orgserver.store.signin.requests",
    "orgserver.store.signin.sessions",
)


async def test_a_server_on_standard_input_and_output_imports_nothing_of_http(tmp_path: Path) -> None:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-X", "importtime", "-m", "orgserver", "serve",
        stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.PIPE,
        env=os.environ | {"ORGSERVER_HOME": str(tmp_path / "home")},
    )  # fmt: skip
    _, told = await process.communicate()
    imported = {line.rpartition("|")[2].strip() for line in told.decode().splitlines()}

    assert process.returncode == 0
    assert "orgserver.serving.stdio" in imported
    assert not {name for name in imported if name.startswith(ONLY_OVER_HTTP + ONLY_FOR_SIGN_IN)}


async def test_a_server_over_http_without_sign_in_imports_nothing_of_it() -> None:
    code = "import sys, orgserver.cli.serving.serve, orgserver.servers.http; print('\\n'.join(sys.modules))"
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", code, stdout=asyncio.subprocess.PIPE)
    listed, _ = await process.communicate()
    imported = set(listed.decode().splitlines())

    assert process.returncode == 0
    assert "orgserver.serving.http.app" in imported
    assert not {name for name in imported if name.startswith(ONLY_FOR_SIGN_IN)}
