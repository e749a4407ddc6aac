"""``--policy FILE``, ``policy show`` and ``policy diff``, as people run them."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from orgserver.cli.main import cli
from orgserver.sandbox.org import SandboxOrg
from tests.cli.policies.test_options import EVERYTHING, FACTS, policy_of
from tests.cli.shells import Shell


async def test_what_show_prints_is_what_a_file_takes(
    shell: Shell, acme: SandboxOrg, globex: SandboxOrg, tmp_path: Path
) -> None:
    await shell.add(acme, *EVERYTHING)
    file = tmp_path / "acme.yaml"

    shown = await shell("policy", "show", "acme", "--yaml")
    file.write_text(shown.out)
    same = await shell("policy", "diff", "acme", str(file))
    added = await shell.add(globex, "--policy", str(file))
    as_json = await shell("policy", "show", "globex", "--json")
    as_lines = await shell("policy", "show", "globex")

    assert (same.code, same.out) == (0, "")
    assert added.code == 0, added.err
    assert as_json.json == FACTS
    assert as_lines.out.splitlines()[:5] == [
        "read-only", "confirm-deletes", "keep-values", "allow-object Account", "allow-object Contact:read,create",
    ]  # fmt: skip


async def test_a_file_holds_every_limit_and_what_it_loosens_needs_a_person(
    shell: Shell, acme: SandboxOrg, tmp_path: Path
) -> None:
    await shell.add(acme, "--hide-field", "Contact.Email", "--row-limit", "50")
    file = tmp_path / "acme.yaml"
    file.write_text("row-limit: 20\nread-only: true\n")

    different = await shell("policy", "diff", "acme", str(file))
    as_json = await shell("policy", "diff", "acme", "-", "--json", stdin=file.read_text())
    refused = await shell("update-org", "acme", "--policy", str(file))
    assert await policy_of(shell) == {"hide_fields": ["Contact.Email"], "row_limit": 50}
    async with shell.at_terminal("update-org", "acme", "--policy", str(file)) as terminal:
        question = await terminal.answer("[y/N]", "y")
        assert await terminal.end() == 0

    assert different.code == 1
    assert different.out.splitlines() == ["read-only no → yes", "hide-field Contact.Email → none", "row-limit 50 → 20"]
    assert different.err == "That loosens hide-field: update-org asks a person at a terminal.\n"
    assert as_json.json == {
        "changes": [
            {"limit": "read_only", "from": None, "to": "yes"},
            {"limit": "hide_fields", "from": "Contact.Email", "to": None},
            {"limit": "row_limit", "from": "50", "to": "20"},
        ],
        "loosens": ["hide_fields"],
    }
    assert refused.code == 1
    assert "nobody is here to confirm it" in refused.err
    assert ": hide-field Contact.Email → none? [y/N]" in question
    assert await policy_of(shell) == {"read_only": True, "row_limit": 20}


async def test_contradictions_are_said_and_forbidding_wins(shell: Shell, acme: SandboxOrg, tmp_path: Path) -> None:
    file = tmp_path / "acme.yaml"
    file.write_text(
        "allow-objects:\n- Contact:read,delete\n- Lead\n- Account\ndeny-objects:\n- lead\n- Contact:delete\n"
        "- Account:delete\nhide-fields: [Contact.Email]\nmask-fields:\n- Contact.Phone\n- contact.email\n"
    )

    added = await shell.add(acme, "--policy", str(file))
    updated = await shell("update-org", "acme", "--hide-field", "Contact.Phone")

    warnings = [line for line in added.lines if "both" in line]
    assert warnings == [
        "orgserver: warning: acme.yaml, line 2: Contact:delete is both allowed and denied: it is denied",
        "orgserver: warning: acme.yaml, line 3: Lead is both allowed and denied: it is denied",
        "orgserver: warning: acme.yaml, line 12: Contact.email is both hidden and masked: it is hidden",
    ]
    assert [line for line in updated.lines if "both" in line] == [
        "orgserver: warning: Contact.Phone is both hidden and masked: it is hidden"
    ]


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        ("add-org acme --policy FILE --row-limit 5", 2, "--policy holds every limit, so --row-limit belongs into its file"),
        ("update-org acme --policy FILE --no-hide-field", 2, "--policy holds every limit, so --no-hide-field belongs"),
        ("import-orgs --csv x --policy nowhere.yaml", 1, "nowhere.yaml: no such file or directory"),
        ("add-org acme --policy .", 1, ".: is a directory"),
        ("add-org acme --policy FILE", 1, "bad.yaml, line 2: colour is no limit"),
        ("policy diff acme FILE", 2, "bad.yaml, line 2: colour is no limit"),
        ("policy diff acme", 2, "Missing argument 'FILE'."),
        ("policy show acme --yaml --json", 2, "give either --yaml or --json"),
        ("policy shwo acme", 2, "there is no command 'shwo'; did you mean policy show?"),
    ],
)  # fmt: skip
def test_bad_input_is_one_line(words: str, code: int, message: str, tmp_path: Path) -> None:
    bad = tmp_path / "bad.yaml"
    bad.write_text("read-only: true\ncolour: red\n")

    refused = CliRunner().invoke(
        cli, [str(bad) if word == "FILE" else word for word in words.split()], env={"ORGSERVER_HOME": str(tmp_path)}
    )

    assert refused.exit_code == code, refused.output
    assert refused.stderr.startswith(f"orgserver: error: {message}")
    assert refused.stdout == ""
    assert len(refused.stderr.splitlines()) <= 2


async def test_no_limits_are_said_in_words(shell: Shell, acme: SandboxOrg) -> None:
    await shell.add(acme)

    shown, as_yaml = await shell("policy", "show", "acme"), await shell("policy", "show", "acme", "--yaml")

    assert (shown.out, as_yaml.out) == ("", "{}\n")
    assert shown.err.startswith("acme has no limits: ")
    assert json.loads((await shell("policy", "show", "acme", "--json")).out) == {}


async def test_a_principals_own_limits_are_shown_with_those_of_the_org(shell: Shell, acme: SandboxOrg) -> None:
    await shell.add(acme, "--row-limit", "500", "--hide-field", "Contact.Email", "--hide-field", "Contact.Fax")
    await shell("add-principal", "ada", "--grant", "acme:read", "--row-limit", "50")

    both = await shell("policy", "show", "acme", "--principal", "ada")
    unknown = await shell("policy", "show", "acme", "--principal", "adda")
    listed = await shell("list-orgs", "--wide")

    assert both.out.splitlines() == ["hide-field Contact.Email", "hide-field Contact.Fax", "row-limit 50"]
    assert unknown.code == 1
    assert "adda" in unknown.lines[0]
    assert "hide-field ×2, row-limit 500" in listed.out
