"""Histories and other objects that hold what another object's records hold are guarded as those records are."""

from __future__ import annotations

import pytest

from orgserver.model.access.acts import PathUse
from orgserver.model.access.policies import Policy, read_object_rule
from orgserver.model.schema import FieldInfo, Schema
from orgserver.services.policies.field_rules import Refusal, first_refusal
from orgserver.services.policies.uses import resolve

HIDE = Policy(hide_fields=("Contact.Email", "Thing__c.Secret__c"))
DENY = Policy(deny_objects=(read_object_rule("Contact"), read_object_rule("Event")))
_NAMES = (
    "Id",
    "Type",
    "Field",
    "FieldName",
    "OldValue",
    "NewValue",
    "Name",
    "Email",
    "Title",
    "Subject",
    "CreatedDate",
)


def schema(name: str) -> Schema:
    fields = tuple(FieldInfo(each, each, "string") for each in _NAMES)
    return Schema(name, name, None, False, False, False, True, False, fields)


def judge(policy: Policy, sobject: str, *names: str) -> Refusal | None:
    return first_refusal(policy, resolve([PathUse(sobject, "read", shown=frozenset(names))], schema))


@pytest.mark.parametrize("sobject", ["ContactHistory", "Thing__History", "contacthistory", "FeedTrackedChange"])
@pytest.mark.parametrize("name", ["OldValue", "NewValue"])
def test_what_a_field_was_and_became_is_hidden_with_it(sobject: str, name: str) -> None:
    assert judge(HIDE, sobject, name) is not None
    assert judge(HIDE, sobject, "Id", "CreatedDate") is None


def test_a_history_of_other_records_is_told() -> None:
    assert judge(HIDE, "AccountHistory", "OldValue", "NewValue", "Field") is None
    assert judge(DENY, "LoginHistory", "Id", "CreatedDate") is None


@pytest.mark.parametrize("names", [("Id",), ("CreatedDate",), ("NewValue",)])
def test_the_history_of_a_denied_object_is_denied(names: tuple[str, ...]) -> None:
    assert judge(DENY, "ContactHistory", *names) is not None
    assert judge(Policy(allow_objects=(read_object_rule("ContactHistory"),)), "ContactHistory", *names) is not None


def test_what_may_be_of_any_object_shows_what_no_object_hides() -> None:
    assert judge(HIDE, "RecentlyViewed", "Id", "Type", "Name", "Title") is None
    assert judge(HIDE, "RecentlyViewed", "Email") is not None
    assert judge(Policy(hide_fields=("Lead.LastName",)), "RecentlyViewed", "Name") is not None
    assert judge(DENY, "RecentlyViewed", "Id", "Type") is None
    assert judge(DENY, "RecentlyViewed", "Name") is not None
    assert judge(Policy(allow_objects=(read_object_rule("RecentlyViewed"),)), "RecentlyViewed", "Name") is not None


def test_members_of_campaigns_and_activities_are_copies() -> None:
    assert judge(HIDE, "CampaignMember", "Email") is not None
    assert judge(HIDE, "CampaignMember", "Title", "CreatedDate") is None
    assert judge(DENY, "OpenActivity", "Subject") is not None
    assert judge(DENY, "OpenActivity", "Id", "CreatedDate") is None
