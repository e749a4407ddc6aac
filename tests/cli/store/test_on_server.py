"""Every command on a store that lies on a PostgreSQL server; the password is nowhere."""

import asyncio
import json
from pathlib import Path

import pytest

from orgserver.sandbox.org import SandboxOrg
from tests.cli.serving.test_serve import connected, told
from tests.cli.shells import Shell
from tests.people import add_principal_at
from tests.store_server import PASSWORD_USER, StoreServer

PASSWORD = "canary p@ss/w?rd"


@pytest.fixture
def on_server(shell: Shell, store_server: StoreServer, store_database: str, secrets: set[str]) -> Shell:
    shell.env["ORGSERVER_DATABASE_URL"] = store_server.url(store_database)
    secrets.add(PASSWORD)
    return shell


async def test_from_migrate_to_audit_verify(
    on_server: Shell, acme: SandboxOrg, store_server: StoreServer, store_database: str, tmp_path: Path
) -> None:
    await add_principal_at(on_server.home, "unused")  # a store in the home's own file, which is left alone
    migrated = await on_server("migrate")
    added = await on_server.add(acme)
    key = await on_server("add-principal", "agent-7", "--grant", "*:read,write")
    async with connected(on_server, "--principal", "agent-7") as client:
        made = told(
            await client.call_tool("salesforce_create_contact", {"org": "acme", "data": {"LastName": "Lovelace"}})
        )
    exported = await on_server("audit", "export", "--tool", "salesforce_create_contact")
    listed = await on_server("list-orgs", "--json")
    people = await on_server("list-principals", "--json")
    rotated = await on_server("rotate-key")
    verified = await on_server("audit", "verify", "--json")
    examined = await on_server("doctor", "--offline", "--json")
    backed_up = await on_server("backup", str(tmp_path / "copy.db"))

    assert migrated.out.startswith(f"postgresql://postgres@127.0.0.1:{store_server.port}/{store_database} has schema ")
    assert [ran.code for ran in (added, key, rotated, verified, listed, people)] == [0] * 6
    (entry,) = map(json.loads, exported.out.splitlines())
    assert entry["record_ids"] == [made["id"]]
    assert [org["alias"] for org in listed.json] == ["acme"]
    assert [each["name"] for each in people.json] == ["agent-7"]
    findings = {each["name"]: each["level"] for each in examined.json}
    assert findings.keys() >= {
        "server",
        "way to it",
        "commits",
        "server's clock",
        "schema",
        "triggers",
        "audit log",
        "org acme",
    }
    assert "problem" not in findings.values()
    assert backed_up.code == 0, backed_up.err
    assert (tmp_path / "copy.db").exists()


@pytest.mark.parametrize("way", ["URL", "PASSWORD", "FILE", "COMMAND"])
async def test_a_password_comes_from_the_environment_a_file_or_a_program(
    on_server: Shell, store_server: StoreServer, store_database: str, way: str
) -> None:
    on_server.home.mkdir(mode=0o700)
    file = on_server.home.parent / "password"
    file.touch(mode=0o600)
    file.write_text(f"{PASSWORD}\n")
    url = store_server.url(store_database, PASSWORD_USER)
    settings = {
        "URL": {"DATABASE_URL": url.replace("@", ":canary%20p%40ss%2Fw%3Frd@")},
        "PASSWORD": {"DATABASE_PASSWORD": PASSWORD},
        "FILE": {"DATABASE_PASSWORD_FILE": str(file)},
        "COMMAND": {"DATABASE_PASSWORD_COMMAND": f"cat '{file}'"},
    }[way]
    give_password(store_server, store_database)
    on_server.env |= {"ORGSERVER_DATABASE_URL": url} | {f"ORGSERVER_{name}": value for name, value in settings.items()}

    ran = await on_server("list-orgs")

    assert ran.code == 0, ran.err
    await asyncio.to_thread(file.unlink)


def give_password(server: StoreServer, database: str) -> None:
    for statement in (
        f"DO $$ BEGIN CREATE ROLE {PASSWORD_USER} LOGIN; EXCEPTION WHEN duplicate_object THEN NULL; END $$",
        f"ALTER ROLE {PASSWORD_USER} PASSWORD '{PASSWORD}'",
        f"GRANT ALL ON ALL TABLES IN SCHEMA public TO {PASSWORD_USER}",
    ):
        server.ask(database, statement)
