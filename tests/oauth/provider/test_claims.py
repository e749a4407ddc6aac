"""Who somebody is by the claims of Entra, Google, Okta, Keycloak and of a provider that lies."""

from typing import Any

import pytest

from orgserver.oauth.provider.claims import MAX_GROUPS, MAX_NAME, read_person

BASE = {"iss": "https://idp.example.com", "sub": "s"}


@pytest.mark.parametrize(
    ("claims", "is_verified"),
    [
        ({"email_verified": True}, True),
        ({"email_verified": "true"}, True),  # Cognito says it as a text
        ({"email_verified": False}, False),
        ({"email_verified": "false"}, False),
        ({"email_verified": 1}, False),
        ({"email_verified": None}, False),
        ({}, False),  # Entra: an address is what an administrator wrote
        ({"xms_edov": True}, True),
        ({"xms_edov": 1}, True),
        ({"xms_edov": "1"}, True),
        ({"xms_edov": "true"}, True),
        ({"xms_edov": False}, False),
        ({"xms_edov": "0"}, False),
        ({"xms_edov": True, "email_verified": False}, False),
    ],
)
def test_an_address_is_somebodys_own_where_the_provider_says_so(claims: dict[str, Any], is_verified: bool) -> None:
    person = read_person(BASE | {"email": "ada@example.com"} | claims, None)

    assert (person.email, person.is_email_verified) == ("ada@example.com", is_verified)


@pytest.mark.parametrize(
    "email", [None, 7, "", "ada", "@example.com", "ada@", "a" * 320 + "@x", "a\n@x", "\ud800@x", ["a@x"]]
)
def test_what_is_no_address_is_none_however_verified(email: Any) -> None:
    person = read_person(BASE | {"email": email, "email_verified": True}, None)

    assert (person.email, person.is_email_verified) == (None, False)


@pytest.mark.parametrize(
    ("claims", "groups"),
    [
        ({"groups": ["a", "b", "a"]}, ("a", "b")),
        ({"groups": "a"}, ("a",)),
        ({"groups": []}, ()),
        ({}, ()),
        ({"groups": None}, ()),
        ({"groups": {"a": 1}}, ()),
        ({"groups": ["a", 7, None, "", "x" * 257, "\ud800", "A"]}, ("a", "A")),
        ({"groups": [str(number) for number in range(MAX_GROUPS + 1)]}, ()),
        # Entra above 200 groups
        ({"_claim_names": {"groups": "src1"}, "_claim_sources": {"src1": {"endpoint": "https://graph.example"}}}, ()),
    ],
)
def test_groups_are_the_texts_of_one_claim(claims: dict[str, Any], groups: tuple[str, ...]) -> None:
    assert read_person(BASE | claims, "groups").groups == groups
    assert read_person(BASE | claims, None).groups == ()


def test_a_claim_of_groups_may_have_any_name() -> None:
    assert read_person(BASE | {"https://example.com/roles": ["x"]}, "https://example.com/roles").groups == ("x",)


@pytest.mark.parametrize(
    ("claims", "name"),
    [
        ({"name": "Ada Lovelace", "preferred_username": "ada"}, "Ada Lovelace"),
        ({"preferred_username": "ada"}, "ada"),
        ({"name": "", "email": "ada@example.com"}, "ada@example.com"),
        ({"name": ["Ada"]}, "s"),
        ({"name": "\u202eadA\x1b[2J"}, "adA"),
        ({"name": "\ud800"}, "s"),
    ],
)
def test_a_name_is_shown_without_harm(claims: dict[str, Any], name: str) -> None:
    assert read_person(BASE | claims, None).name == name


def test_a_long_name_is_cut() -> None:
    assert len(read_person(BASE | {"name": "x" * 5_000}, None).name) == MAX_NAME
