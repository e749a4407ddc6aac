"""The rows of a table are told apart by what they hold, not by the order in which a database gives them."""

from itertools import permutations

import pytest
from sqlalchemy import Column, Integer, MetaData, Table, Text, create_engine, insert

from orgserver.store.moving.rows import Contents, read_contents

TABLE = Table("names", MetaData(), Column("name", Text, primary_key=True), Column("number", Integer))


def contents_of(names: dict[str, int], *, is_for_server: bool = False) -> Contents:
    with create_engine("sqlite://").connect() as connection:
        TABLE.create(connection)
        connection.execute(insert(TABLE), [{"name": name, "number": number} for name, number in names.items()])
        return read_contents(connection, TABLE, is_for_server=is_for_server)


@pytest.mark.parametrize("order", [*permutations((("a\0b", 1), ("a!", 2), ("b", 3)), 3)])
def test_keys_that_are_ordered_otherwise_once_they_are_replaced_are_the_same_rows(
    order: tuple[tuple[str, int], ...],
) -> None:
    assert contents_of(dict(order), is_for_server=True) == contents_of({"a!": 2, "a\ufffdb": 1, "b": 3})


@pytest.mark.parametrize("names", [{"a": 1, "b": 2, "c": 1}, {"a": 2, "b": 1}, {"a": 1}, {"a": 1, "c": 2}])
def test_other_rows_are_other_contents(names: dict[str, int]) -> None:
    assert contents_of(names) != contents_of({"a": 1, "b": 2})
