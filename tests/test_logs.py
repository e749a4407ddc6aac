"""What reaches standard error through the log."""

import io
import json
import logging
import os
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from orgserver.config import Settings
from orgserver.logs import start_logging
from orgserver.model.text import escape_json, escape_text

TOKENS = [
    "00DSb0000000001!AQabc.DEF_ghi",
    "5Aep861TSESvWeug_xvFHRBTTbf_YrTWgEyjBJrdThXHR",
    "Bearer abcdef0123456789",
    "force://PlatformCLI::5Aepsecret@acme.my.salesforce.com",
    "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2lnbmF0dXJl",
    "osk_3Jx9mPq7Rt2Vw8Yz",
    "ost_3Jx9mPq7Rt2Vw8Yz",
    "osr_3Jx9mPq7Rt2Vw8Yz",
    "osc_3Jx9mPq7Rt2Vw8Yz",
    "/signin/callback?code=0.AXoA-b_c.d~e%2F",
    "https://app.example.com/cb?iss=x&state=af0ifjsldkj",
]
Log = Callable[..., io.StringIO]


@pytest.fixture
def log(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Log]:
    """Starts logging into a buffer; what the test changed is put back."""
    root = logging.getLogger()
    before = root.handlers[:], root.level, logging.getLogger("orgserver").level

    def start(*, quiet: bool = False, in_batches: bool = False, **settings: str) -> io.StringIO:
        out = io.StringIO()
        monkeypatch.setattr("sys.stderr", out)
        start_logging(Settings(home=tmp_path, **settings), quiet=quiet, in_batches=in_batches)  # type: ignore[arg-type]
        return out

    yield start
    root.handlers[:] = before[0]
    root.setLevel(before[1])
    logging.getLogger("orgserver").setLevel(before[2])
    logging.captureWarnings(capture=False)


@pytest.mark.parametrize("form", ["console", "json"])
@pytest.mark.parametrize("token", TOKENS)
def test_what_looks_like_a_token_is_masked(log: Log, token: str, form: str) -> None:
    out = log(log_format=form)

    logging.getLogger("orgserver.x").warning("sent %s", token, extra={"org": token})

    assert token not in out.getvalue()
    assert token[-12:] not in out.getvalue()
    if form == "json":
        assert json.loads(out.getvalue())["level"] == "warning"


def test_codes_that_are_no_secrets_can_be_read(log: Log) -> None:
    out = log()

    logging.getLogger("orgserver.x").info("McpError(code=-32602, status_code=503) state=ok")

    assert "McpError(code=-32602, status_code=503) state=ok" in out.getvalue()


def test_a_text_cannot_pretend_to_be_a_line_of_its_own(log: Log) -> None:
    out = log()

    logging.getLogger("orgserver.x").info("call", extra={"org": "acme\n12:00:00 info forged\x1b[2J\u202e"})

    assert len(out.getvalue().splitlines()) == 1
    assert "\x1b" not in out.getvalue()
    assert r"acme\n12:00:00" in out.getvalue()


def test_json_lines_hold_what_callers_attach(log: Log) -> None:
    out = log(log_format="json")

    logging.getLogger("orgserver.x").info("call", extra={"org": "acme", "tool": "t", "request": "7", "ms": 1.5})

    told = json.loads(out.getvalue())
    assert told | {"org": "acme", "tool": "t", "request": "7", "ms": 1.5, "message": "call"} == told


def test_other_libraries_stay_at_warning_however_loud_we_are(log: Log) -> None:
    out = log(log_level="debug")

    for name in ("httpx", "httpcore.http11", "sqlalchemy.engine", "mcp.server", "asyncio"):
        logging.getLogger(name).info("Authorization: secret")
    logging.getLogger("orgserver.x").debug("ours")

    assert "secret" not in out.getvalue()
    assert "ours" in out.getvalue()


def test_commands_log_only_errors_unless_a_level_was_chosen(log: Log) -> None:
    quiet = log(quiet=True)
    logging.getLogger("orgserver.x").warning("hushed")
    chosen = log(quiet=True, log_level="info")
    logging.getLogger("orgserver.x").info("asked for")

    assert quiet.getvalue() == ""
    assert "asked for" in chosen.getvalue()


def test_escaping_leaves_ordinary_text_and_json_alone() -> None:
    assert escape_text("Zoë O'Shea, 東京 ✓") == "Zoë O'Shea, 東京 ✓"
    assert escape_text("a\x00\x9b\u200f\ud800") == r"a\x00\x9b\u200f\ud800"
    shown = escape_json(json.dumps({"a": "x\u202e\x9b\U000e0041", "b": [1]}, ensure_ascii=False, indent=2))
    assert json.loads(shown) == {"a": "x\u202e\x9b\U000e0041", "b": [1]}
    assert "\u202e" not in shown


def test_lines_in_batches_come_all_and_in_order_and_a_warning_at_once(log: Log) -> None:
    out = log(in_batches=True)
    logger = logging.getLogger("orgserver.x")

    def write(thread: int) -> None:
        for number in range(500):
            logger.info("%d %d", thread, number)

    threads = [threading.Thread(target=write, args=(each,)) for each in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    logger.warning("now")

    lines = [line.split(": ")[1] for line in out.getvalue().splitlines()]
    assert lines[-1] == "now"
    for each in range(4):
        assert [line for line in lines if line.startswith(f"{each} ")] == [f"{each} {n}" for n in range(500)]


def test_a_line_in_a_batch_comes_without_another(log: Log) -> None:
    out = log(in_batches=True)
    logging.getLogger("orgserver.x").info("alone")

    assert out.getvalue() == ""
    until = time.monotonic() + 5
    while not out.getvalue() and time.monotonic() < until:
        time.sleep(0.01)
    assert out.getvalue().endswith("alone\n")


def test_nobody_who_logs_waits_for_a_reader(log: Log, monkeypatch: pytest.MonkeyPatch) -> None:
    log(in_batches=True)
    ends = os.pipe()
    with os.fdopen(ends[0]) as reader, os.fdopen(ends[1], "w") as writer, monkeypatch.context() as patch:
        patch.setattr(logging.getLogger().handlers[0], "stream", writer)
        began = time.monotonic()
        for _ in range(1_000):
            logging.getLogger("orgserver.x").info("%s", "x" * 1_000)  # more than a pipe holds

        assert time.monotonic() - began < 2
        assert sum(len(reader.readline()) > 1_000 for _ in range(1_000)) == 1_000


def test_what_a_client_chose_is_no_other_field(log) -> None:
    out = log()
    logging.getLogger("orgserver.access").info(
        "request", extra={"request": 'a status=200 principal="root"', "path": "/a b\nc", "principal": "ada"}
    )

    (line,) = out.getvalue().splitlines()
    assert line.endswith(
        r'orgserver.access: request request="a status=200 principal=\"root\"" path="/a b\nc" principal=ada'
    )
