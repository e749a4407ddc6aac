"""Edits of policies: what options take away, add and set, and what the log says of it."""

from typing import Any

import pytest
from hypothesis import given

from orgserver.model.access.policies import Policy, read_object_rule
from orgserver.model.access.policy_edits import PolicyEdit
from tests.model.access.test_policies import POLICIES


def rules(*texts: str) -> tuple[Any, ...]:
    return tuple(map(read_object_rule, texts))


@given(POLICIES, POLICIES)
def test_replacing_gives_exactly_the_other_policy(before: Policy, after: Policy) -> None:
    assert PolicyEdit.replacing(after).apply(before) == after


@given(POLICIES)
def test_no_edit_changes_nothing(policy: Policy) -> None:
    edit = PolicyEdit()
    assert not edit
    assert edit.apply(policy) == policy


@given(POLICIES, POLICIES)
def test_what_joins_leaves_again(policy: Policy, other: Policy) -> None:
    added = PolicyEdit(added={"hide_fields": other.hide_fields}).apply(policy)
    removed = PolicyEdit(removed={"hide_fields": other.hide_fields}).apply(added)

    assert {*added.hide_fields} == {*policy.hide_fields, *other.hide_fields}
    assert {*removed.hide_fields} == {*policy.hide_fields} - {*other.hide_fields}


@given(POLICIES, POLICIES)
def test_denials_and_hidden_fields_that_join_loosen_nothing(policy: Policy, other: Policy) -> None:
    names = ("deny_objects", "hide_fields", "mask_fields")
    edit = PolicyEdit(added={name: getattr(other, name) for name in names})
    assert policy.loosened_by(edit.apply(policy)) == ()


@given(POLICIES, POLICIES)
def test_changes_are_none_only_between_equal_policies(before: Policy, after: Policy) -> None:
    assert bool(before.changes(after)) is (before != after)


@pytest.mark.parametrize(
    ("before", "edit", "after"),
    [
        ({}, PolicyEdit(added={"allow_objects": rules("Contact")}), {"allow_objects": ["Contact"]}),
        (
            {"allow_objects": ["Account", "contact"]},
            PolicyEdit(added={"allow_objects": rules("Contact:read", "Contact:create")}),
            {"allow_objects": ["Account", "Contact:read,create"]},
        ),
        (
            {"deny_objects": ["Contact:delete"]},
            PolicyEdit(added={"deny_objects": rules("Contact:create")}),
            {"deny_objects": ["Contact:create,delete"]},
        ),
        (
            {"allow_objects": ["Contact", "Account"]},
            PolicyEdit(removed={"allow_objects": rules("CONTACT:delete", "Account")}),
            {"allow_objects": ["Contact:read,create,update"]},
        ),
        (
            {"allow_objects": ["Contact"]},
            PolicyEdit(removed={"allow_objects": rules("Contact")}),
            {"allow_objects": []},
        ),
        ({"allow_objects": ["Contact"]}, PolicyEdit({"allow_objects": None}), {}),
        (
            {"hide_fields": ["Contact.Email", "Contact.Phone"]},
            PolicyEdit({"hide_fields": ()}, added={"hide_fields": ("Contact.Fax",)}),
            {"hide_fields": ["Contact.Fax"]},
        ),
        ({"mask_fields": ["Contact.Email"]}, PolicyEdit(removed={"mask_fields": ("contact.EMAIL",)}), {}),
        ({"row_limit": 5, "read_only": True}, PolicyEdit({"row_limit": None}), {"read_only": True}),
    ],
)
def test_edits(before: dict[str, Any], edit: PolicyEdit, after: dict[str, Any]) -> None:
    assert edit.apply(Policy.read(before)) == Policy.read(after)


def test_what_is_to_leave_and_is_not_there_is_named() -> None:
    edit = PolicyEdit(removed={"hide_fields": ("Contact.Email", "Contact.Fax"), "allow_objects": rules("Lead")})
    policy = Policy.read({"hide_fields": ["contact.email"]})
    assert edit.absent_from(policy) == {"hide_fields": ("Contact.Fax",), "allow_objects": ("Lead",)}


def test_the_log_says_what_a_limit_was_and_what_it_became() -> None:
    before = Policy.read(
        {"read_only": True, "row_limit": 50, "hide_fields": ["Contact.Email"], "deny_objects": ["Lead:delete"]}
    )
    after = Policy.read(
        {"keep_values": True, "row_limit": 20, "hide_fields": ["Contact.Fax"], "deny_objects": ["Lead"],
         "allow_objects": [], "hours": ["Mon-Fri 08:00-18:00 UTC"]}
    )  # fmt: skip

    assert before.changed_to(after) == (
        "no_read_only",
        "keep_values",
        "allow_objects:none->nothing",
        "deny_objects:Lead:delete->Lead",
        "hide_fields:Contact.Email->none",
        "hide_fields:none->Contact.Fax",
        "row_limit:50->20",
        "hours:none->Mon-Fri 08:00-18:00 UTC",
    )
