"""What the command line says of itself, and what it refuses before anything is opened."""

import subprocess
import sys

import click
import pytest
from click.testing import CliRunner

import orgserver
from orgserver.cli.main import cli
from orgserver.tools.toolsets import TOOLSETS

CONTRACT = [
    "demo", "sandbox", "add-org", "list-orgs", "show-org", "check-org", "update-org", "remove-org", "policy", "import-orgs", "apply", "export-config",
    "serve", "connect", "disconnect", "open", "refresh-idle", "add-principal", "list-principals", "show-principal",
    "update-principal", "remove-principal", "add-group", "list-groups", "update-group", "remove-group",
    "list-sessions", "revoke-session", "connect-org", "connections", "disconnect-org", "approvals", "approve", "access-report", "audit", "backup", "restore", "store", "rotate-key", "doctor", "migrate",
]  # fmt: skip


def every_command() -> list[str]:
    context = click.Context(cli)
    found = []
    for name in cli.list_commands(context):
        command = cli.get_command(context, name)
        found.append(name)
        if isinstance(command, click.Group):
            found += [f"{name} {inner}" for inner in command.commands]
    return found


def test_the_commands_are_those_of_the_contract() -> None:
    assert cli.list_commands(click.Context(cli)) == CONTRACT


@pytest.mark.parametrize("command", every_command())
def test_the_help_of_each_command_has_an_example(command: str) -> None:
    shown = CliRunner().invoke(cli, [*command.split(), "--help"])

    assert shown.exit_code == 0
    assert "Example" in shown.output
    assert f"orgserver {command}" in " ".join(shown.output.split())


def test_the_help_says_how_shells_complete() -> None:
    assert "_ORGSERVER_COMPLETE=bash_source" in CliRunner().invoke(cli, ["--help"]).output


@pytest.mark.parametrize("option", ["--version", "-V"])
def test_the_version_is_told(option: str) -> None:
    assert orgserver.__version__ in CliRunner().invoke(cli, [option]).output


@pytest.mark.parametrize("command", [*every_command(), ""])
def test_help_shows_what_the_option_shows(command: str) -> None:
    shown = CliRunner().invoke(cli, ["help", *command.split()], prog_name="orgserver")

    assert shown.output == CliRunner().invoke(cli, [*command.split(), "--help"], prog_name="orgserver").output


@pytest.mark.parametrize("command", [*every_command(), ""])
def test_no_line_of_help_is_cut_short(command: str) -> None:
    words = [*command.split(), "--help"]

    lines = CliRunner().invoke(cli, words, env={"COLUMNS": "80"}, prog_name="orgserver").output.splitlines()

    assert [
        line for line in lines if line.endswith(("...", "…")) and "orgserver" not in line and "3MVG" not in line
    ] == []


@pytest.mark.parametrize(
    ("words", "meant"),
    [
        ("lst-orgs", "; did you mean list-orgs?"),
        ("serv", "; did you mean serve?"),
        ("audit lst", "; did you mean audit list?"),
        ("help audit undoo", "; did you mean audit undo?"),
        ("help migrat", "; did you mean migrate?"),
        ("xyzzy", "\n"),
        ("help show-org acme", "\n"),
    ],
)
def test_a_misspelled_command_names_the_nearest(words: str, meant: str) -> None:
    refused = CliRunner().invoke(cli, words.split())

    assert refused.exit_code == 2
    assert refused.stderr.startswith(f"orgserver: error: there is no command {words.rsplit(maxsplit=1)[-1]!r}{meant}")


@pytest.mark.parametrize(
    "words", ["serve --oauth-issuer x", "serve --oauth-audience x", "serve --tls-cert x", "serve --allow-host x"]
)
def test_what_means_nothing_on_standard_input_and_output_is_refused_in_one_line(words: str) -> None:
    refused = CliRunner().invoke(cli, words.split())

    assert refused.exit_code == 1
    assert refused.stdout == ""
    assert refused.stderr.startswith("orgserver: error: --")
    assert "is for a server on HTTP" in refused.stderr


@pytest.mark.parametrize(
    "words",
    [
        "nope", "add-org", "add-org Bad", "add-org acme --api-version x", "update-org acme",
        "sandbox --port 70000", "sandbox --orgs 0", "audit list --since yesterday", "audit list --record-id x",
        "audit list --limit 0", "audit list --since 1d --until 2d", "audit export --format events --org acme",
        "audit export --format parquet --output x.parquet.gz", "audit export --format parquet --follow",
        "serve --org Bad", "add-org acme --env-file x --credentials-stdin", "list-orgs --nope",
        "add-org acme --sfdx-url-stdin --from-sf-cli x", "add-org acme --sfdx-url-stdin --auth web",
        "add-org acme --auth web --jwt-key-file x", "add-org acme --auth web --audience https://x",
        "add-org acme --auth client-credentials --audience https://x", "update-org acme --audience https://x",
        "add-org acme --auth client-credentials --username x",
        "add-org acme --auth jwt --callback-url http://localhost:1/x", "add-org acme --auth password",
        "update-org acme --client-id x", "update-org acme --callback-url http://localhost:1/x",
        "add-org acme --allow-object Contact:fly", "add-org acme --deny-object Con.tact", "add-org acme --hide-field Email",
        "add-org acme --mask-field Contact.Owner.Name", "add-org acme --row-limit -1", "add-org acme --api-budget x",
        "add-org acme --hours always", "update-org acme --hide-field Contact.Email --no-hide-field contact.email",
        "update-org acme --row-limit 5 --no-row-limit", "update-org acme --no-hide-field Email",
        "import-orgs --csv x --allow-object Contact:", "add-org acme --no-row-limit",
        "update-org acme --auth web --api-version x", "check-org --try-token", "check-org acme globex --try-token",
    ],
)  # fmt: skip
def test_wrong_usage_is_one_line_and_2(words: str) -> None:
    refused = CliRunner().invoke(cli, words.split())

    assert refused.exit_code == 2
    assert refused.stdout == ""
    assert refused.stderr.startswith("orgserver: error: ")
    assert len(refused.stderr.splitlines()) <= 2


def test_serving_imports_nothing_that_only_other_commands_need() -> None:
    script = (
        "import sys; sys.argv = ['orgserver', 'serve', '--toolset', 'nope']\n"
        "from orgserver.__main__ import main\n"
        "try: main()\n"
        "except SystemExit: pass\n"
        "print(sorted(m for m in sys.modules if m in {'rich', 'alembic', 'dotenv', 'orgserver.sandbox', "
        "'orgserver.cli.serving.demo', 'orgserver.cli.orgs.commands', 'orgserver.cli.audit.commands', 'orgserver.serving.server'}))"
    )

    done = subprocess.run([sys.executable, "-c", "import orgserver.cli.store.migrate"], check=False)
    subprocess.run([sys.executable, "-m", "orgserver", "migrate"], check=True, capture_output=True)
    shown = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)

    assert done.returncode == 0
    assert shown.stdout == "['orgserver.serving.server']\n"


def test_the_help_of_serve_names_every_toolset() -> None:
    told = CliRunner().invoke(cli, ["serve", "--help"]).output

    assert all(name in told for name in (*TOOLSETS, "all"))
