"""A server or a database that cannot be used is refused in one clear line, and nothing is half done."""

import asyncio
import socket
import ssl
import traceback
from dataclasses import replace
from pathlib import Path

import pytest

from orgserver.model.errors import StoreError
from orgserver.sandbox.tls import certificates
from orgserver.services.doctor import server as doctor
from orgserver.store import server_facts
from orgserver.store.database import Database
from orgserver.store.engines import open_engine, server_checks
from orgserver.store.engines.address import ServerAddress
from orgserver.store.session import open_store
from orgserver.tls import build_tls_context
from orgserver.vault.keys import Key
from orgserver.vault.ring import Vault
from tests.services.audit.shipping.logs import write
from tests.store.engines.pooler import before, drop_parameters, invent_key, refusing_parameters
from tests.store_server import PASSWORD_USER, StoreServer

PASSWORD = "canary-p@ss"
_TABLES = "SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace ORDER BY 1"

STATEMENTS = [
    pytest.param("CREATE TABLE public.customers (id int)", "is the database of another program", id="another-program"),
    pytest.param("CREATE TABLE public.alembic_version (version_num text)", "of another program", id="another-alembic"),
]
STATEMENTS_ON_STORE = [
    pytest.param("UPDATE alembic_version SET version_num = '9999'", "was written by a newer orgserver", id="newer"),
    pytest.param("DROP TABLE store CASCADE", "is half migrated: not all of its tables are there", id="half"),
    pytest.param("DELETE FROM alembic_version", "is half migrated", id="no-version"),
    pytest.param('ALTER DATABASE "{}" SET default_transaction_read_only = on', "is read-only", id="read-only"),
]


async def refusal(address: ServerAddress) -> str:
    with pytest.raises(StoreError) as raised:
        await Database.open(address)
    assert "\n" not in str(raised.value)
    told = "".join(traceback.format_exception(raised.value)) + str(raised.value.hint) + repr(raised.value)
    assert PASSWORD not in told
    return str(raised.value)


async def opens(address: ServerAddress) -> None:
    await (await Database.open(address)).close()


def at(address: ServerAddress, **parts: object) -> ServerAddress:
    return replace(address, url=address.url.set(**parts))  # type: ignore[arg-type]


@pytest.mark.parametrize(("statement", "message"), STATEMENTS)
async def test_a_database_of_others_is_left_alone(
    store_server: StoreServer, empty_database: str, address: ServerAddress, statement: str, message: str
) -> None:
    store_server.ask(empty_database, statement)
    tables = store_server.ask(empty_database, _TABLES)

    assert message in await refusal(at(address, database=empty_database))

    assert store_server.ask(empty_database, _TABLES) == tables
    assert not list(address.beside.parent.iterdir())


@pytest.mark.parametrize(("statement", "message"), STATEMENTS_ON_STORE)
async def test_a_store_that_cannot_be_used_says_so(
    store_server: StoreServer, store_database: str, address: ServerAddress, statement: str, message: str
) -> None:
    store_server.ask(store_database, statement.format(store_database))

    assert message in await refusal(address)


async def test_an_older_schema_waits_for_migrate(
    store_server: StoreServer, store_database: str, address: ServerAddress
) -> None:
    store_server.ask(store_database, "UPDATE alembic_version SET version_num = '0001'")

    with pytest.raises(StoreError, match=r"has schema 0001; \d+ is needed") as raised:
        await Database.open(address, migrate=False)

    assert raised.value.hint == "run: orgserver migrate"


async def test_two_that_make_the_tables_at_the_same_time_make_them_once(
    address: ServerAddress, empty_database: str
) -> None:
    empty = at(address, database=empty_database)

    for each in await asyncio.gather(Database.open(empty), Database.open(empty)):
        await each.close()


async def test_a_server_that_is_away_or_knows_us_not(address: ServerAddress) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        away = at(address, port=closed.getsockname()[1])
        assert "does not answer" in await refusal(away)
    assert "has no such database" in await refusal(at(address, database="nowhere"))
    assert "refuses this user" in await refusal(at(address, username="nobody-there"))


async def test_a_wrong_password_is_refused_and_the_right_one_asked_for_again(
    store_server: StoreServer, store_database: str, address: ServerAddress, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_role = f"DO $$ BEGIN CREATE ROLE {PASSWORD_USER} LOGIN; EXCEPTION WHEN duplicate_object THEN NULL; END $$"
    store_server.ask(store_database, make_role)
    store_server.ask(store_database, f"ALTER ROLE {PASSWORD_USER} PASSWORD 'right'")
    store_server.ask(store_database, f"GRANT ALL ON ALL TABLES IN SCHEMA public TO {PASSWORD_USER}")
    monkeypatch.setenv("PGPASSWORD", "right")  # which is not ours to use
    passwords = iter([PASSWORD, "right", "right"])
    careful = replace(at(address, username=PASSWORD_USER), find_password=lambda: next(passwords))

    assert "refuses the password" in await refusal(careful)
    await opens(careful)
    assert "refuses the password" in await refusal(replace(careful, find_password=None))


async def test_smaller_rights_than_an_owner_s_are_enough_to_serve_and_are_named_where_they_lack(
    store_server: StoreServer, store_database: str, address: ServerAddress, ring: Key
) -> None:
    make_role = "DO $$ BEGIN CREATE ROLE limited LOGIN; EXCEPTION WHEN duplicate_object THEN NULL; END $$"
    grants = "GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO limited"
    limited = at(address, username="limited")
    for statement in (make_role, "REVOKE ALL ON ALL TABLES IN SCHEMA public FROM limited"):
        store_server.ask(store_database, statement)
    with pytest.raises(StoreError, match="does not let this user do it") as raised:
        await Database.open(limited)
    assert "SELECT, INSERT, UPDATE, DELETE" in str(raised.value.hint)

    for statement in (grants, "GRANT USAGE ON ALL SEQUENCES IN SCHEMA public TO limited"):
        store_server.ask(store_database, statement)
    store = await open_store(limited, lambda _create: Vault([ring]))
    await write(store, 1)
    await store.close()


async def test_a_pooler_that_keeps_no_session_is_refused(store_server: StoreServer, address: ServerAddress) -> None:
    async with before(store_server.port, startup=drop_parameters, answers=invent_key) as port:
        assert "behind a pooler that does not keep a session" in await refusal(at(address, port=port))
    async with refusing_parameters() as port:
        assert "behind a pooler" in await refusal(at(address, port=port))
    async with before(store_server.port, answers=invent_key) as port:  # it keeps sessions, with their settings
        await opens(at(address, port=port))


async def test_a_way_without_tls_or_to_an_unknown_certificate_is_not_gone(
    store_server: StoreServer, address: ServerAddress, tmp_path: Path
) -> None:
    made = certificates(tmp_path)
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    tls.load_cert_chain(made.certificate_file, made.key_file)
    trusting, strange = (replace(address, tls=build_tls_context(file)) for file in (made.ca_file, None))

    assert "takes no TLS" in await refusal(trusting)
    async with before(store_server.port, tls=tls) as port:
        assert "the certificate of the store's server" in await refusal(at(strange, port=port))
        await opens(at(trusting, port=port))


async def test_a_pool_that_changes_the_session_between_two_statements_keeps_none() -> None:
    class Pool:
        """Each question is another session's."""

        def get_server_pid(self) -> int:
            return 7

        async def fetchval(self, sql: str, *_: object) -> object:
            return None if "pg_locks" in sql else ""

    assert not await server_checks._keeps_session(Pool())


async def test_without_the_driver_it_is_named(address: ServerAddress, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(open_engine, "find_spec", lambda _name: None)

    with pytest.raises(StoreError, match="needs asyncpg") as raised:
        await Database.open(address)

    assert raised.value.hint == "pip install 'orgserver[postgres]'"


def test_a_database_without_tables_is_no_store_yet(
    address: ServerAddress, empty_database: str, store_server: StoreServer
) -> None:
    assert server_facts.has_tables(address)
    assert not server_facts.has_tables(at(address, database=empty_database))
    assert server_facts.has_tables(at(address, database="nowhere"))  # opening it says why not
    assert store_server.ask(empty_database, _TABLES) == []


async def test_what_could_swallow_or_change_writes_is_told_by_doctor(
    address: ServerAddress, store_server: StoreServer, store_database: str
) -> None:
    before = await server_facts.read_facts(address)
    for statement in (
        "CREATE FUNCTION swallow() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END'",
        "CREATE TRIGGER quiet BEFORE INSERT ON audit_events FOR EACH ROW EXECUTE FUNCTION swallow()",
        "CREATE RULE nothing AS ON DELETE TO orgs DO INSTEAD NOTHING",
        "CREATE POLICY partly ON principals USING (false)",
        "ALTER TABLE principals ENABLE ROW LEVEL SECURITY",
        "CREATE TRIGGER off BEFORE INSERT ON orgs FOR EACH ROW EXECUTE FUNCTION swallow()",
        "ALTER TABLE orgs DISABLE TRIGGER off",
    ):
        await asyncio.to_thread(store_server.ask, store_database, statement)
    facts = await server_facts.read_facts(address)
    finding = doctor.interference(facts.interference)

    assert (before.interference, doctor.interference(before.interference).level) == ((), "ok")
    assert facts.interference == (
        "trigger quiet on audit_events",
        "rule nothing on orgs",
        "policy partly on principals",
    )
    assert finding.level == "warning"
    assert "trigger quiet on audit_events" in finding.text


def test_of_many_triggers_some_are_named() -> None:
    finding = doctor.interference([f"trigger t{number} on orgs" for number in range(9)])

    assert "t4 on orgs and 4 more" in finding.text
