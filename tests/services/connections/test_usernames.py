"""Which Salesforce user a principal is: only what an administrator or a verified claim says is believed."""

import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orgserver.model.access.logins import UsernameFrom
from orgserver.model.access.principals import Principal
from orgserver.model.errors import ConfigError
from orgserver.services.connections.usernames import (
    Unmapped,
    find_username,
    is_username,
    refuse_open_sign_in,
)
from tests.services.connections.steps import org_with

ALICE = "alice@acme.example"
BY_NAME, BY_MAP = UsernameFrom("principal"), UsernameFrom("map")


def named(username_from: UsernameFrom, principal: Principal, *, is_registered: bool = True, mapped: str | None = None):
    return find_username(username_from, principal, is_registered=is_registered, mapped=mapped)


def test_a_name_that_an_administrator_gave_is_a_username_and_one_of_sign_in_is_none() -> None:
    assert named(BY_NAME, Principal("Alice@Acme.example")) == ALICE
    assert isinstance(named(BY_NAME, Principal(ALICE), is_registered=False), Unmapped)
    assert isinstance(named(BY_NAME, Principal("person-abc@acme.example")), Unmapped)
    assert isinstance(named(BY_NAME, Principal("alice")), Unmapped)


def test_a_claim_is_believed_where_the_token_of_this_call_has_it() -> None:
    by_claim = UsernameFrom("claim", "sf_username")

    assert named(by_claim, Principal("a", {"sf_username": ALICE})) == ALICE
    assert isinstance(named(by_claim, Principal("a", {"email": ALICE})), Unmapped)
    assert isinstance(named(by_claim, Principal(ALICE)), Unmapped)
    assert isinstance(named(by_claim, Principal("a", {"sf_username": "alice"})), Unmapped)


def test_a_map_says_it_of_whom_it_names_and_of_nobody_else() -> None:
    assert named(BY_MAP, Principal("local:alice"), is_registered=False, mapped=ALICE) == ALICE
    assert isinstance(named(BY_MAP, Principal(ALICE, {"email": ALICE})), Unmapped)


@pytest.mark.parametrize(
    "text",
    ["", "alice", "@acme.example", "alice@", "alice@acme", "a b@acme.example", "a@b@acme.example", f"{'a' * 70}@acme.example",
     "alice@acme.example\n", "alice\u202e@acme.example", "аlice@acme.example", "alice@.example", "alice@acme..example"],
)  # fmt: skip
def test_what_has_not_the_form_of_a_username_is_none(text: str) -> None:
    assert not is_username(text)


@given(
    st.text(string.ascii_letters + string.digits + "._+'-", min_size=1, max_size=30),
    st.lists(st.text(string.ascii_letters + string.digits + "-", min_size=1, max_size=10), min_size=2, max_size=4),
)
def test_what_has_that_form_is_one(name: str, domain: list[str]) -> None:
    assert is_username(f"{name}@{'.'.join(domain)}")


@pytest.mark.parametrize(
    ("kind", "new", "is_refused"),
    [
        ("principal", "create", True),
        ("claim", "create", True),
        ("map", "create", False),
        ("principal", "refuse", False),
    ],
)
def test_sign_in_that_makes_principals_and_a_free_mapping_are_never_together(
    kind: str, new: str, is_refused: bool
) -> None:
    org = org_with(UsernameFrom(kind, "email" if kind == "claim" else None))  # type: ignore[arg-type]
    if not is_refused:
        refuse_open_sign_in([org], new)
        return
    with pytest.raises(ConfigError, match=r"acme.*must not be together"):
        refuse_open_sign_in([org], new)
