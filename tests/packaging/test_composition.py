"""The compose file keeps its specification, shows nobody but the proxy, and has its key from a file."""

import re

import pytest

from orgserver.config import Settings
from orgserver.serving.http.connections.places import ConnectionLimits
from tests.packaging.command_line import read_command_line
from tests.packaging.composition import FILE, read_services
from tests.packaging.published import PACKAGING

TEXT = FILE.read_text("utf-8")
SERVICES = read_services(TEXT)
ORGSERVER, CADDY = SERVICES["orgserver"], SERVICES["caddy"]


@pytest.mark.parametrize(
    ("right", "wrong"),
    [
        ("cap_drop:", "cap_dropp:"),
        ("      - master_key\n", "      - another\n"),
        ("      inside:\n", "      outside:\n"),
    ],
    ids=["no such word", "no such secret", "no such network"],
)
def test_a_file_that_compose_would_refuse_is_refused_here(right: str, wrong: str) -> None:
    """The hostile twin: the specification is read, not only the file."""
    assert right in TEXT
    with pytest.raises(ValueError, match=r"\w"):
        read_services(TEXT.replace(right, wrong))


def test_the_server_runs_behind_the_proxy_and_believes_it_alone() -> None:
    words = [re.sub(r"\$\{MCP_SITE.*?\}", "mcp.example.com", word) for word in ORGSERVER["command"]]
    options = read_command_line(words)

    assert (options.host, options.port) == ("0.0.0.0", int(CADDY["environment"]["MCP_UPSTREAM"].partition(":")[2]))
    assert options.public_url == "https://mcp.example.com"
    assert [str(network) for network in options.trusted_proxies] == [
        f"{CADDY['networks']['inside']['ipv4_address']}/32"
    ]
    assert "ports" not in ORGSERVER


def test_the_server_is_hardened_and_its_key_stands_in_a_file() -> None:
    variables = {name.removeprefix("ORGSERVER_").lower() for name in ORGSERVER["environment"]}

    assert variables <= set(Settings.model_fields)
    assert ORGSERVER["environment"]["ORGSERVER_MASTER_KEY_COMMAND"] == "cat /run/secrets/master_key"
    assert ORGSERVER["read_only"] is True
    assert ORGSERVER["cap_drop"] == ["ALL"]
    assert ORGSERVER["security_opt"] == ["no-new-privileges:true"]


def test_the_proxies_replace_what_a_client_says_of_its_way() -> None:
    caddy, nginx = ((PACKAGING / "proxies" / name).read_text("utf-8") for name in ("Caddyfile", "nginx.conf"))

    assert "header_up -Forwarded" in caddy
    assert not re.search(r"^\s*(flush_interval|trusted_proxies)", caddy, re.MULTILINE)
    for line in ('Forwarded ""', "X-Forwarded-For $remote_addr", "X-Forwarded-Proto $scheme", "Host $http_host"):
        assert f"proxy_set_header {line};" in nginx
    assert "proxy_buffering off;" in nginx
    assert "proxy_next_upstream off;" in nginx


def test_the_proxies_give_up_an_idle_connection_before_the_server_does() -> None:
    texts = [(PACKAGING / "proxies" / name).read_text("utf-8") for name in ("Caddyfile", "nginx.conf")]
    seconds = [
        int(each) for text in texts for each in re.findall(r"^\s*keepalive(?:_timeout)? (\d+)s", text, re.MULTILINE)
    ]

    assert len(seconds) == 2
    assert max(seconds) < ConnectionLimits().idle_seconds
