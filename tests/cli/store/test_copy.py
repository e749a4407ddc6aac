"""``store copy``, and copies of a store on a server, as people run them."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from orgserver.sandbox.org import SandboxOrg
from tests.cli.shells import Shell
from tests.store_server import PASSWORD_USER, StoreServer


@pytest.fixture
def databases(store_server: StoreServer) -> Iterator[list[str]]:
    """The names of empty databases."""
    names = [store_server.database() for _ in range(3)]
    yield names
    for name in names:
        store_server.drop(name)


async def test_a_store_moves_when_its_server_has_stopped(
    shell: Shell, acme: SandboxOrg, store_server: StoreServer, databases: list[str], tmp_path: Path
) -> None:
    url = store_server.url(databases[0])
    await shell.add(acme)
    server = await shell.start("serve")
    assert server.stdin is not None
    assert server.stdout is not None
    server.stdin.write(
        b'{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"salesforce_list_orgs","arguments":{}}}\n'
    )
    await server.stdout.readline()  # it has the store open

    used = await shell("store", "copy", "--to", url)
    await shell.end(server)
    told = await shell("store", "copy", "--to", url.replace("@", ":secret@"))
    moved = await shell("store", "copy", "--to", url)
    again = await shell("store", "copy", "--to", url, "--json")
    here = await shell("list-orgs")
    there = await shell("list-orgs", "--json", ORGSERVER_DATABASE_URL=url)
    verified = await shell("audit", "verify", ORGSERVER_DATABASE_URL=url)
    back = await shell("store", "copy", "--to", f"sqlite+aiosqlite:///{tmp_path}/back.db", ORGSERVER_DATABASE_URL=url)
    left = await shell("list-orgs", ORGSERVER_DATABASE_URL=url)

    assert used.lines[0] == f"orgserver: error: the store {shell.home}/orgserver.db is in use by process {server.pid}"
    assert (used.code, told.code, "give --password-file" in told.err) == (1, 2, True)
    assert moved.code == 0, moved.err
    assert moved.out.startswith(f"{url}: 1 org, ")
    assert f"Set ORGSERVER_DATABASE_URL={url} for every server and command" in moved.err
    assert (again.json["to"], again.json["orgs"]) == (url, 1)
    assert here.lines[0].endswith(f"was moved to {url}, and is not used here any more")
    assert [org["alias"] for org in there.json] == ["acme"]
    assert verified.code == 0, verified.err
    assert back.code == 0, back.err
    assert left.lines[0].endswith(f"was moved to sqlite+aiosqlite:///{tmp_path}/back.db, and is not used here any more")


async def test_a_store_on_a_server_is_backed_up_and_restored_by_our_file_and_by_the_servers_own_tools(
    shell: Shell, acme: SandboxOrg, store_server: StoreServer, databases: list[str], tmp_path: Path
) -> None:
    first, second, third = ({"ORGSERVER_DATABASE_URL": store_server.url(name)} for name in databases)
    file, dump, elsewhere = tmp_path / "copy.db", store_server.folder / f"{databases[0]}.dump", tmp_path / "elsewhere"
    shell.env |= first
    await shell.add(acme)

    backed_up = await shell("backup", str(file), **first)
    put_in = await shell("restore", str(file), **second)
    occupied = await shell("restore", str(file), **second)
    own_file = f"sqlite+aiosqlite:///{elsewhere}/orgserver.db"
    in_file = await shell("restore", str(file), "--json", ORGSERVER_DATABASE_URL=own_file)
    await asyncio.to_thread(store_server.run, "pg_dump", "-Fc", "-f", str(dump), store_server.url(databases[0]))
    await asyncio.to_thread(
        store_server.run, "pg_restore", "-1", "--exit-on-error", "-d", store_server.url(databases[2]), str(dump)
    )
    marked = await shell("restore", "--mark", **third)
    orgs = [(await shell("list-orgs", "--json", **each)).json[0] for each in (first, second, third)]
    verified = [(await shell("audit", "verify", **each)).code for each in (first, second, third)]

    assert [ran.code for ran in (backed_up, put_in, in_file, marked)] == [0] * 4, put_in.err + marked.err
    assert backed_up.out.startswith(f"{file}: 1 org, ")
    assert "Held back" in put_in.err
    assert "Held back" in marked.err
    assert marked.out.endswith("marked as a copy\n")
    assert occupied.lines[0].endswith("already, and it is left as it is")
    assert in_file.json["orgs"] == [{"alias": "acme", "state": "in_doubt", "held": True}]
    assert [org["state"] for org in orgs] == ["ready", "in_doubt", "in_doubt"]
    assert verified == [0, 0, 0]


async def test_the_targets_password_comes_from_a_file_or_a_program_and_is_shown_nowhere(
    shell: Shell, acme: SandboxOrg, store_server: StoreServer, databases: list[str], secrets: set[str]
) -> None:
    password = "canary p@ss/w?rd"
    secrets.add(password)
    for statement in (
        f"DO $$ BEGIN CREATE ROLE {PASSWORD_USER} LOGIN; EXCEPTION WHEN duplicate_object THEN NULL; END $$",
        f"ALTER ROLE {PASSWORD_USER} PASSWORD '{password}'",
        f"GRANT ALL ON SCHEMA public TO {PASSWORD_USER}",
    ):
        await asyncio.to_thread(store_server.ask, databases[0], statement)
    url = store_server.url(databases[0], PASSWORD_USER)
    await shell.add(acme)
    right, wrong = (shell.home.parent / name for name in ("right", "wrong"))
    for file, text in ((right, password), (wrong, "another")):
        file.touch(mode=0o600)
        file.write_text(text)

    refused = await shell("store", "copy", "--to", url, "--password-file", str(wrong))
    moved = await shell("store", "copy", "--to", url, "--password-file", str(right))
    again = await shell("store", "copy", "--to", url, "--password-command", f"cat '{right}'")
    right.unlink()

    assert refused.code == 1
    assert "refuses the password" in refused.lines[0]
    assert moved.code == 0, moved.err
    assert again.code == 0, again.err
