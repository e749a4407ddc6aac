"""What a server refuses is told by its code: its own words hold the values of statements, and those are nobody's."""

import traceback

import pytest
from sqlalchemy import text

from orgserver.model.errors import StoreBusy, StoreError
from orgserver.store.database import Database
from orgserver.store.engines import server_errors
from orgserver.store.engines.address import ServerAddress
from orgserver.store.transaction import Transaction

CANARY = "canary"
STATEMENTS = [
    pytest.param(f"SELECT CAST('{CANARY}' AS integer)", "does not take what was to be written", "22P02", id="value"),
    pytest.param(
        "INSERT INTO writers VALUES ('canary', 'x', 1), ('canary', 'x', 1)", "writers_pkey", "23505", id="key"
    ),
    pytest.param("SELECT 1 FROM canary", "lacks a table", "", id="no-table"),
    pytest.param(f"SELECT {CANARY}", "failed", "42703", id="no-column"),
]


@pytest.fixture
async def database(address: ServerAddress) -> Database:
    return await Database.open(address)


@pytest.mark.parametrize(("statement", "words", "code"), STATEMENTS)
async def test_no_value_is_in_what_is_told(database: Database, statement: str, words: str, code: str) -> None:
    for attempt in (_write,) if statement.startswith("INSERT") else (_write, _read, _scan):
        with pytest.raises(StoreError) as raised:
            await attempt(database, statement)
        told = "".join(traceback.format_exception(raised.value)) + str(raised.value.hint)
        assert CANARY not in told.replace(statement, "")
        assert words in str(raised.value)
        assert code in str(raised.value)
    assert await database.write(lambda tx: tx.now) > 0  # nobody else is concerned
    await database.close()


async def _write(database: Database, statement: str) -> None:
    def change(tx: Transaction) -> None:
        tx.connection.execute(text(statement))

    await database.write(change)


async def _read(database: Database, statement: str) -> None:
    async with database.reading() as connection:
        await connection.execute(text(statement))


async def _scan(database: Database, statement: str) -> None:
    await database.scan(lambda connection: connection.execute(text(statement)))


class _Refused(Exception):
    def __init__(self, sqlstate: str | None) -> None:
        super().__init__(CANARY)
        self.sqlstate = sqlstate


@pytest.mark.parametrize(
    "code", ["08006", "57P01", "57P03", "53100", "53300", "42501", "3F000", "55P03", "40P01", "XX000", None]
)
def test_every_code_has_one_line(code: str | None) -> None:
    error = server_errors.explain(_Refused(code), "postgresql://ada@host/main")

    assert CANARY not in f"{error} {error.hint}"
    assert isinstance(error, StoreBusy) is (code in ("55P03", "40P01"))
    assert server_errors.concerns_all(_Refused(code))
    assert server_errors.is_lost(_Refused(code)) is (code in ("08006", "57P01", "57P03", None))
    assert server_errors.is_final(_Refused(code)) is (code in ("42501", "3F000"))
