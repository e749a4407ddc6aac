"""A store as an operator and an agent leave it: the orgs it is of, how it is made, and what is read from it."""

from __future__ import annotations

import json
import shutil
import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from dataclasses import replace
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_public_key,
)

import orgserver
from orgserver.app import open_app
from orgserver.config import read_settings
from orgserver.model.names import RowId, new_id
from orgserver.model.orgs import Credential
from orgserver.model.secret import Secret
from orgserver.sandbox.org import SandboxOrg
from orgserver.sandbox.server import Sandbox
from orgserver.sandbox.state import schema
from tests.own_logins import connect, set_identity, user_of
from tests.snapshots import files
from tests.snapshots.calls import ABSENT, agent
from tests.snapshots.shell import Shell

FOLDER = Path(__file__).parent
STORED = ("orgserver.db", "orgserver.db.checkpoints", "master.key")
PUBLIC_KEY, ADDRESSES, RECORDED = "jwt-public-key.pem", "addresses.json", "recorded"
ADA = {"org": "acme", "data": {"FirstName": "Ada", "LastName": "Byron"}, "idempotency_key": "ada-1"}
LATER = "Lovelace"
PERSON = "ada"
"""Who has a login of their own to acme, in stores that know of such."""
_FAR_FUTURE = 4_102_444_800_000_000
"""2100, in microseconds: a request for approval that waits until then."""


def folders() -> list[Path]:
    """Every store that is kept here."""
    return sorted(path for path in FOLDER.iterdir() if (path / STORED[0]).exists())


@asynccontextmanager
async def started() -> AsyncIterator[Sandbox]:
    """Two orgs that are the same in every run: their secrets are words."""
    async with Sandbox.start(2, rotation=False) as sandbox:
        for org in sandbox.orgs:
            org.client_id = org.logins.seeded.client_id = f"3MVG9-invented-client-of-{org.alias}"
            org.client_secret = f"invented-client-secret-of-{org.alias}"
            org.refresh_token = f"5Aep-invented-refresh-token-of-{org.alias}"
        ada = user_of(sandbox.orgs[0], PERSON)
        family = sandbox.orgs[0].logins.begin(sandbox.orgs[0].client_id, "refresh_token api web", ada.id)
        family.refresh_token = f"5Aep-invented-refresh-token-of-{PERSON}"
        yield sandbox


async def make(folder: Path, work: Path) -> None:
    """Make a store with the commands and tools of today, and record what is read from it."""
    async with started() as sandbox:
        acme, globex = sandbox.orgs
        shell = Shell(work, sandbox.orgs)
        await _add_orgs(shell, acme, globex)
        await _connect(shell, acme)
        await _work(shell)
        await shell.run("", "audit hold case-17 --org acme")
        await shell.run("", "audit export --format events")  # which signs a checkpoint
        _keep(folder, shell.home, globex, {shell.values[org.alias]: org.alias for org in sandbox.orgs})
    await record(folder, work / "copy")


async def record(folder: Path, work: Path) -> list[str]:
    """Write down anew what is read from a copy of a store; the store stays as it is. What was done, in words."""
    async with started() as sandbox:
        return files.renew(folder / RECORDED, await read(folder, work, sandbox))


async def _add_orgs(shell: Shell, acme: SandboxOrg, globex: SandboxOrg) -> None:
    key = rsa.generate_private_key(65537, 2048)
    globex.answers.jwt_public_key = key.public_key()
    assertion = {name: globex.credentials()[name] for name in ("client_id", "login_url", "trust_hosts")} | {
        "username": globex.username,
        "private_key": key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode(),
    }
    for result in (
        await shell.run(
            "", "add-org acme --credentials-stdin --keep-values --tag eu --tag pilot", json.dumps(acme.credentials())
        ),
        await shell.run("", "add-org globex --auth jwt --credentials-stdin --confirm-deletes", json.dumps(assertion)),
    ):
        assert result.exit_code == 0, result.stderr


async def _connect(shell: Shell, acme: SandboxOrg) -> None:
    """Let an org be used with a person's own login; who has none goes on with the one that all share."""
    async with open_app(read_settings({"home": shell.home}, {})) as app:
        await set_identity(app, "acme", "own-or-shared")
        connection = replace(await connect(app, acme, PERSON), id=RowId(new_id()))
        credential = Credential(acme.client_id, None, Secret(f"5Aep-invented-refresh-token-of-{PERSON}"))
        await app.store.database.write(lambda tx: app.store.orgs.connections.add_in(tx, connection, credential, None))


async def _work(shell: Shell) -> None:
    async with agent(shell) as its:
        created = await its.call("salesforce_create_contact", **ADA)
        await its.call("salesforce_create_contact", **ADA)
        await its.call(
            "salesforce_update_contact", org="acme", contact_id=created["id"], data={"LastName": LATER, "Phone": "1"}
        )
        other = await its.call("salesforce_create_contact", org="acme", data={"LastName": "Menabrea"})
        await its.call("salesforce_delete_contact", org="acme", contact_id=other["id"])
        await its.call("salesforce_describe_object", org="acme", object="Contact")
        people = [{"LastName": f"Number {number}"} for number in range(3)]
        await its.call("salesforce_change_records", org="acme", object="Contact", action="create", records=people)
        await its.call("salesforce_create_contact", org="acne", data={"LastName": "X"})
        await its.call("salesforce_get_contact", org="acme", contact_id=ABSENT)
        found = await its.call("salesforce_query", org="globex", soql="SELECT Id FROM Contact LIMIT 1")
        await its.call("salesforce_delete_contact", org="globex", contact_id=found["records"][0]["Id"])


def _keep(folder: Path, home: Path, globex: SandboxOrg, addresses: dict[str, str]) -> None:
    folder.mkdir()
    for name in STORED:
        shutil.copyfile(home / name, folder / name)
    key = globex.answers.jwt_public_key
    assert key is not None
    (folder / PUBLIC_KEY).write_bytes(key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
    (folder / ADDRESSES).write_text(json.dumps(addresses, indent=2) + "\n")


async def read(folder: Path, work: Path, sandbox: Sandbox) -> dict[str, str]:
    """Open a copy of a store, and use it: what is printed, by the names of files."""
    acme, _ = sandbox.orgs
    shell = open_copy(folder, work, sandbox)
    texts = {}
    for name, line in (
        ("list-orgs.json", "list-orgs --json"),
        ("audit-list.json", "audit list --json --limit 1000"),
        ("audit-verify.txt", "audit verify"),
        ("audit-holds.json", "audit hold --list --json"),
        ("approvals.json", "approvals --json"),
        ("audit-export.jsonl", "audit export --principal local:agent"),
        ("audit-export.csv", "audit export --principal local:agent --format csv"),
        ("audit-export-ocsf.jsonl", "audit export --principal local:agent --format ocsf"),
        ("audit-export-events.jsonl", "audit export --format events"),
        ("audit-public-key.txt", "audit public-key"),
        ("check-org.json", "check-org --json"),
    ):
        texts[name] = await _printed(shell, line)
    own = await _use_own_login(shell)
    if own is not None:
        texts["own-login.json"] = own
    entries = json.loads(texts["audit-list.json"])
    # What the commands here have added since is another in each run.
    last = max(entry["outcome_sequence"] for entry in entries)
    events = texts["audit-export-events.jsonl"].splitlines(keepends=True)
    texts["audit-export-events.jsonl"] = "".join(events[:last])
    (update,) = [entry for entry in entries if entry["action"] == "update"]
    values = {"FirstName": "Ada", "LastName": LATER, "Phone": "1"}
    acme.records.add(schema.load("Contact"), values, update["record_ids"][0])
    texts["audit-undo.json"] = await _printed(shell, f"audit undo {update['id']} --dry-run --json")
    return texts


async def _use_own_login(shell: Shell) -> str | None:
    """Who a person is at Salesforce, as their own login, refreshed, says it; None where the store has none."""
    async with open_app(read_settings({"home": shell.home}, {})) as app:
        snapshot = await app.access.reload()
        org = snapshot.by_alias["acme"]
        connection = snapshot.connections.get((org.row_id, PERSON))
        if connection is None:
            return None
        await app.access.tokens.current(org.with_connection(connection))
        user = {"id": connection.user.id, "username": connection.user.username} if connection.user else None
        return json.dumps({"principal": PERSON, "identity": org.identity, "user": user}, indent=2) + "\n"


def open_copy(folder: Path, work: Path, sandbox: Sandbox) -> Shell:
    """A shell over a copy, whose orgs live where this sandbox's do."""
    shell = Shell(work, sandbox.orgs)
    shell.home.mkdir(mode=0o700, parents=True)
    for name in STORED:
        shutil.copyfile(folder / name, shell.home / name)
        (shell.home / name).chmod(0o600)
    addresses = json.loads((folder / ADDRESSES).read_text())
    key = load_pem_public_key((folder / PUBLIC_KEY).read_bytes())
    assert isinstance(key, rsa.RSAPublicKey)
    sandbox.orgs[1].answers.jwt_public_key = key
    with closing(sqlite3.connect(shell.home / STORED[0])) as database, database:
        for address, alias in addresses.items():
            here = (address, shell.values[alias])
            database.execute(
                "UPDATE orgs SET login_url = replace(login_url, ?1, ?2), instance_url = replace(instance_url, ?1, ?2),"
                " trusted_hosts = replace(trusted_hosts, ?1, ?2)",
                here,
            )
            database.execute("UPDATE access_tokens SET instance_url = replace(instance_url, ?1, ?2)", here)
            database.execute("UPDATE credentials SET audience = replace(audience, ?1, ?2)", here)
        for table in ("approvals", "idempotency"):
            database.execute(f"UPDATE {table} SET expires_at = ?", (_FAR_FUTURE,))
    return shell


async def _printed(shell: Shell, line: str) -> str:
    """What a line prints, with the orgs by their names and without the version of today."""
    result = await shell.run("", line)
    text = result.stdout
    for alias in ("acme", "globex"):
        text = text.replace(shell.values[alias], f"<{alias}>")
    text = text.replace(f'"version":"{orgserver.__version__}"', '"version":"<version>"')
    return text + "".join(f"! {error}\n" for error in result.stderr.splitlines())
