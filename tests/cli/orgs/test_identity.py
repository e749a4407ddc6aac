"""Whose login an org is used with: set by options, bound to the org's id, and loosened only by a person."""

import sys
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from orgserver.sandbox.org import SandboxOrg
from tests.cli.shells import Shell

KEY = rsa.generate_private_key(public_exponent=65_537, key_size=2_048)
PEM = KEY.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


async def identities(shell: Shell) -> dict[str, tuple[str, str | None]]:
    orgs = (await shell("list-orgs", "--json")).json
    return {org["org"]: (org["identity"], org["username_from"]) for org in orgs}


async def test_an_identity_is_given_with_the_org_or_later_and_binds_its_other_aliases(
    shell: Shell, acme: SandboxOrg
) -> None:
    added = await shell.add(acme)
    own = await shell("update-org", "acme", "--identity", "own", "--json")
    again = await shell("update-org", "acme", "--identity", "own")

    assert added.code == 0, added.err
    assert own.code == 0, own.err
    assert own.json["changed"] == [{"field": "identity", "from": "shared", "to": "own"}]
    assert "acme themselves: its app at Salesforce needs the callback URL/connect/callback" in own.err
    assert "http://localhost:1717/OauthRedirect" in own.err
    assert "nothing changed" in again.out
    assert "callback" not in again.err
    assert await identities(shell) == {"acme": ("own", None)}
    (entry,) = [each for each in (await shell("audit", "list", "--json")).json if each["action"] == "policy"]
    assert (entry["fields"], entry["tool"], entry["org"]) == (["identity:shared->own"], "update-org", "acme")


async def test_going_back_to_the_login_that_all_share_asks_a_person(shell: Shell, acme: SandboxOrg) -> None:
    await shell.add(acme, "--identity", "own")

    refused = await shell("update-org", "acme", "--identity", "own-or-shared")
    shell.let_run_unattended()
    allowed = await shell("update-org", "acme", "--identity", "shared")

    assert refused.code == 1
    assert "acme was not changed: nobody is here to confirm it" in refused.err
    assert allowed.code == 0, allowed.err
    assert "acme: identity own → shared" in allowed.out
    entries = (await shell("audit", "list", "--json")).json
    assert [(each["fields"], each["label"]) for each in entries if each["action"] == "policy"] == [
        (["identity:own->shared"], "unattended"),
        (["identity:shared->own"], None),
    ]


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (("--username-from", "principal"), "goes with an own login"),
        (("--identity", "own", "--username-from", "principal"), "logs in by refresh-token"),
        (("--username-from", "map"), "takes a file"),
        (("--username-from", "nobody"), "principal, claim:NAME or map FILE"),
    ],
)
async def test_what_does_not_go_together_is_refused_and_changes_nothing(
    shell: Shell, acme: SandboxOrg, words: tuple[str, ...], reason: str
) -> None:
    await shell.add(acme)

    refused = await shell("update-org", "acme", *words)

    assert refused.code != 0
    assert reason in refused.err
    assert await identities(shell) == {"acme": ("shared", None)}


def key_of(org: SandboxOrg, folder: Path) -> str:
    org.answers.jwt_public_key = KEY.public_key()
    file = folder / "key.pem"
    file.touch(0o600)
    file.write_bytes(PEM)
    return str(file)


@pytest.mark.skipif(sys.platform == "win32", reason="a key file's mode is POSIX's")
async def test_one_key_logs_each_principal_in_as_the_user_of_a_file(
    shell: Shell, acme: SandboxOrg, tmp_path: Path
) -> None:
    users = tmp_path / "users.yaml"
    users.write_text("ada: Ada@acme.example\nbob: bob@acme.example\n")
    host = acme.url.partition("://")[2]
    login = ("--auth", "jwt", "--login-url", acme.url, "--trust-host", host, "--client-id", acme.client_id)
    key = ("--username", acme.username, "--jwt-key-file", key_of(acme, tmp_path))

    lacking = await shell("add-org", "acme", *login, *key, "--identity", "own")
    created = await shell(
        "add-org", "acme", *login, *key, "--identity", "own", "--username-from", "principal",
        ORGSERVER_SIGNIN_NEW="create",
    )  # fmt: skip
    added = await shell("add-org", "acme", *login, *key, "--identity", "own", "--username-from", "map", str(users))
    users.write_text("ada: ada@acme.example\nbob: ADA@acme.example\n")
    twice = await shell("update-org", "acme", "--username-from", "map", str(users))
    users.write_text("ada: ada@acme.example\nboby: bob@acme.example\n")
    await shell("add-principal", "ada", "--no-key")
    changed = await shell("update-org", "acme", "--username-from", "map", str(users))
    claim = await shell("update-org", "acme", "--username-from", "claim:email")

    assert "which user a principal is must be said" in lacking.err
    assert "exclude each other" in created.err
    assert added.code == 0, added.err
    assert "own, username from map" in added.out
    assert "users.yaml, line 2: bob and ada cannot be the same Salesforce user" in twice.err
    assert "acme: the map of usernames names 2 now" in changed.out
    assert "the map names boby, and no principal is called so" in changed.err
    assert claim.code == 0, claim.err
    assert await identities(shell) == {"acme": ("own", "claim:email")}
    policies = [each for each in (await shell("audit", "list", "--json")).json if each["action"] == "policy"]
    assert policies[-1]["fields"] == [
        "identity:shared->own", "username_from:none->map", "username:ada", "username:bob"
    ]  # fmt: skip


async def test_files_say_whose_login_is_used_and_their_export_changes_nothing(
    shell: Shell, acme: SandboxOrg, tmp_path: Path
) -> None:
    host = acme.url.partition("://")[2]
    await shell(
        "add-org", "acme", "--auth", "jwt", "--login-url", acme.url, "--trust-host", host,
        "--client-id", acme.client_id, "--username", acme.username, "--jwt-key-file", key_of(acme, tmp_path),
    )  # fmt: skip
    file, exported = tmp_path / "fleet.yaml", tmp_path / "exported.yaml"
    file.write_text("orgs:\n  acme:\n    identity: own\n    username_from:\n      map: {ada: Ada@acme.example}\n")

    applied = await shell("apply", str(file))
    exported.write_text((await shell("export-config")).out)
    same = await shell("apply", str(exported), "--plan", "--exit-code")
    file.write_text("orgs:\n  acme: {identity: shared}\n")
    plan = await shell("apply", str(file), "--plan")
    refused = await shell("apply", str(file))
    file.write_text("orgs:\n  acme: {identity: own, username_from: {map: {ada: x}}}\n")
    wrong = await shell("apply", str(file), "--plan")

    assert applied.code == 0, applied.err
    assert "    identity: shared → own\n    username_from: none → map\n    usernames: a map of 1" in applied.out
    assert "identity: own\n    username_from:\n      map:\n        ada: ada@acme.example" in exported.read_text()
    assert same.code == 0, same.out
    assert "identity: own → shared" in plan.out
    assert "1 of it loosens" in plan.err
    assert "nobody is here to confirm it" in refused.err
    assert "line 2: acme: username_from: ada: a Salesforce username looks like an address" in wrong.err
    assert await identities(shell) == {"acme": ("own", "map")}
