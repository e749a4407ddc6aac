"""What reaches standard error through the log."""

import io
import json
import logging
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
]
Log = Callable[..., io.StringIO]


@pytest.fixture
def log(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Log]:
    """Starts logging into a buffer; what the test changed is put back."""
    root = logging.getLogger()
    before = root.handlers[:], root.level, logging.getLogger("orgserver").level

    def start(*, quiet: bool = False, **settings: str) -> io.StringIO:
        out = io.StringIO()
        monkeypatch.setattr("sys.stderr", out)
        start_logging(Settings(home=tmp_path, **settings), quiet=quiet)  # type: ignore[arg-type]
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
