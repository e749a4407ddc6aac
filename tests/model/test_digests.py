"""Digests stay as they were: the store holds them, and cursors are bound to them."""

from __future__ import annotations

from datetime import date
from types import MappingProxyType

import pytest

from orgserver.model.digests import digest_arguments, digest_text


@pytest.mark.parametrize(
    ("arguments", "digest"),
    [
        (
            {"tool": "query", "b": "\ud800é", "n": [1, 2.5, None, True]},
            "392b773382dfc9124209bd9f57cda89fb1205d2f96a48ef08c2116e2edf4d94d",
        ),
        ({"since": date(2026, 1, 2)}, "b1293760894ebce442654363d02cfddc2263c36fbae2a02cd00c9b45fb440258"),
        (
            [
                "Contact",
                "update",
                [MappingProxyType({"LastName": "Ü", "Id": "003"})],
                None,
                None,
                None,
                False,
            ],
            "6d11773192b474b6dba73e94980dbc2d36acc01781765c0e5d0e728ad8d390ab",
        ),
    ],
)
def test_arguments_have_the_digest_that_they_had(arguments: dict[str, object], digest: str) -> None:
    assert digest_arguments(arguments).hex() == digest


def test_the_order_of_names_does_not_count_and_every_value_does() -> None:
    assert digest_arguments({"a": 1, "b": 2}) == digest_arguments({"b": 2, "a": 1})
    assert digest_arguments({"a": 1}) != digest_arguments({"a": "1"})


def test_a_token_has_the_digest_that_it_had() -> None:
    assert digest_text("5Aep861").hex() == "eff0dd6e77f892a3a47feee2cdb037d911e4cb0fe6337589129ed2af7bdadd32"
