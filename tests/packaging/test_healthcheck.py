"""What the container asks its server: over HTTP whether it answers, on standard input and output whether the store opens."""

import asyncio
import runpy
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from orgserver.app import App
from orgserver.sandbox.tls import certificates
from tests.packaging.published import PACKAGING
from tests.serving.over_http.served import serving

check = runpy.run_path(str(PACKAGING / "healthcheck.py"))["check"]


@pytest.mark.parametrize("form", ["--http {}", "--http={}", "--read-only --http={} --label x"])
async def test_a_server_over_http_is_healthy_while_it_answers(
    app: App, form: str, capfd: pytest.CaptureFixture[str]
) -> None:
    async with serving(app) as served:
        words = ["orgserver", "serve", *form.format(urlsplit(served.url).netloc).split()]
        everywhere = [word.replace("127.0.0.1", "0.0.0.0") for word in words]
        assert [await asyncio.to_thread(check, each) for each in (words, everywhere)] == [0, 0]
    assert await asyncio.to_thread(check, words) == 1
    assert "/healthz: " in capfd.readouterr().out


async def test_a_server_that_speaks_tls_is_asked_so_whatever_its_certificate_names(app: App, tmp_path: Path) -> None:
    files = certificates(tmp_path)
    async with serving(app, tls_cert=files.certificate_file, tls_key=files.key_file) as served:
        address = urlsplit(served.url).netloc
        words = ["orgserver", "serve", "--tls-cert", str(files.certificate_file), f"--http={address}"]
        assert await asyncio.to_thread(check, words) == 0
        assert await asyncio.to_thread(check, [words[0], words[1], words[-1]]) == 1


def test_a_server_on_standard_input_and_output_is_healthy_while_its_store_opens(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    commands = tmp_path / "bin"
    commands.mkdir()
    program = commands / "orgserver"
    monkeypatch.setenv("PATH", str(commands))
    for code in (0, 1):
        program.write_text(f"#!/bin/sh\n[ \"$*\" = 'list-orgs --json' ] && exit {code}\nexit 7\n")
        program.chmod(0o755)
        assert check(["orgserver", "serve", "--read-only"]) == code
