"""The master key in the system's keyring, from the first command to a rotation, in processes of their own."""

import json
from pathlib import Path

import pytest

from orgserver.sandbox.org import SandboxOrg
from orgserver.vault.ring import read_ring
from tests.cli.shells import Shell


@pytest.fixture
def entries(shell: Shell, tmp_path: Path) -> Path:
    """The file of a keyring that the library's own variable names."""
    file = tmp_path / "keyring.json"
    shell.env |= {
        "ORGSERVER_MASTER_KEY_COMMAND": "keyring",
        "PYTHON_KEYRING_BACKEND": "keyring_in_file.Keyring",
        "PYTHONPATH": str(Path(__file__).parent),
        "KEYRING_FILE": str(file),
    }
    return file


def ring(shell: Shell, entries: Path) -> list[str]:
    (text,) = json.loads(entries.read_text()).values()
    assert not any(key in printed for key in text.split(",") for printed in shell.printed)
    return [key.id.hex() for key in read_ring(text, "test")]


async def test_the_keyring_gets_the_key_of_a_new_store_and_of_a_rotation(
    shell: Shell, acme: SandboxOrg, entries: Path
) -> None:
    added = await shell.add(acme)
    (first,) = ring(shell, entries)

    rotated = await shell("rotate-key", "--reseal", "--json")
    findings = {each["name"]: each for each in (await shell("doctor", "--offline", "--json")).json}
    checked = await shell("check-org", "acme")

    name = f"the system's keyring (orgserver, {shell.home.resolve()})"
    second, kept = ring(shell, entries)
    assert (added.code, checked.code) == (0, 0), added.err + checked.err
    assert list(json.loads(entries.read_text())) == [f"orgserver {shell.home.resolve()}"]
    assert not (shell.home / "master.key").exists()
    assert (rotated.json["key"], kept, rotated.json["source"]) == (second, first, name)
    assert rotated.json["values_per_key"] == {second: 5, first: 0}
    assert findings["master key"]["text"] == f"from {name}, by ORGSERVER_MASTER_KEY_COMMAND=keyring"
    assert findings["key's place"]["level"] == "ok"


async def test_a_store_whose_entry_is_gone_gets_no_new_one(shell: Shell, entries: Path) -> None:
    """One friendly twin: the same store works again once its entry is back."""
    await shell("migrate")
    before = entries.read_text()
    entries.write_text("{}")

    refused = await shell("list-orgs")

    assert (refused.code, refused.out, len(refused.lines)) == (1, "", 2)
    assert "there is no master key in the system's keyring" in refused.lines[0]
    assert f"keyring set orgserver {shell.home.resolve()}" in refused.lines[1]
    assert entries.read_text() == "{}"
    entries.write_text(before)
    assert (await shell("list-orgs")).code == 0


async def test_a_store_with_a_key_file_says_how_its_key_moves_into_the_keyring(shell: Shell, entries: Path) -> None:
    del shell.env["ORGSERVER_MASTER_KEY_COMMAND"]
    await shell("migrate")
    shell.env["ORGSERVER_MASTER_KEY_COMMAND"] = "keyring"

    refused = await shell("list-orgs")
    key = (shell.home / "master.key").read_text().strip()
    entries.write_text(json.dumps({f"orgserver {shell.home.resolve()}": key}))  # what the hint's command does
    (shell.home / "master.key").unlink()

    assert refused.code == 1
    assert f"< {shell.home / 'master.key'}" in refused.lines[1]
    assert (await shell("list-orgs")).code == 0
