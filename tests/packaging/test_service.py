"""The unit of systemd starts what there is, as nobody special, and lets it write its home alone."""

import click

from orgserver.cli.main import cli
from tests.packaging.command_line import read_command_line
from tests.packaging.published import PACKAGING
from tests.packaging.service import UNIT, read_unit

SERVICE = {name: values[-1] for name, values in read_unit()["Service"].items()}


def test_it_starts_serve_over_http_behind_a_proxy() -> None:
    (example,) = [line for line in UNIT.read_text("utf-8").splitlines() if "SERVE_OPTIONS=" in line]
    words = example.partition("SERVE_OPTIONS=")[2].split()

    assert SERVICE["ExecStart"].split()[1:] == ["serve", "$SERVE_OPTIONS"]
    assert "serve" in cli.list_commands(click.Context(cli))
    options = read_command_line(["serve", *words])
    assert (options.host, options.public_url) == ("127.0.0.1", "https://mcp.example.com")
    assert [str(network) for network in options.trusted_proxies] == ["127.0.0.1/32"]


def test_its_account_is_made_and_owns_the_home() -> None:
    (line,) = [
        line
        for line in (PACKAGING / "systemd" / "orgserver.sysusers").read_text("utf-8").splitlines()
        if not line.startswith("#")
    ]
    home = f"/var/lib/{SERVICE['StateDirectory']}"

    assert line.split()[:2] == ["u", SERVICE["User"]]
    assert home in line
    assert f"ORGSERVER_HOME={home}" in SERVICE["Environment"].split()
    assert SERVICE["StateDirectoryMode"] == "0700"


def test_it_gains_nothing_and_writes_its_home_alone() -> None:
    assert SERVICE["User"] != "root"
    assert SERVICE["CapabilityBoundingSet"] == SERVICE["AmbientCapabilities"] == ""
    assert SERVICE["ProtectSystem"] == "strict"
    assert "ReadWritePaths" not in SERVICE
    yes = {"NoNewPrivileges", "ProtectHome", "PrivateTmp", "PrivateDevices", "PrivateUsers", "MemoryDenyWriteExecute"}
    assert {name for name in yes if SERVICE[name] != "yes"} == set()
    assert read_unit()["Service"]["SystemCallFilter"] == ["@system-service", "~@privileged @resources"]


def test_whoever_holds_the_store_can_still_be_named() -> None:
    """``/proc/locks`` says who; a service that sees processes alone does not have it."""
    assert SERVICE.get("ProcSubset", "all") == "all"


def test_it_has_time_to_answer_what_is_under_way() -> None:
    from orgserver.serving.shutdown import DRAIN_SECONDS, GIVEN_UP_SECONDS

    assert float(SERVICE["TimeoutStopSec"]) > DRAIN_SECONDS + GIVEN_UP_SECONDS
    assert SERVICE["KillMode"] == "mixed"
