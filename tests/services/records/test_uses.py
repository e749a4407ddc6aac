"""What a change touches: the fields it writes, those by which records are found, and keys of parents."""

from orgserver.model.access.acts import PathUse
from orgserver.services.records.uses import preview_uses, read_uses, write_uses


def test_a_read_without_fields_takes_whatever_may_be_seen() -> None:
    assert read_uses("Contact", None) == (PathUse("Contact", "read", every_field=True),)
    assert read_uses("Contact", ["Email"]) == (PathUse("Contact", "read", shown=frozenset({"Email"})),)


def test_a_change_writes_its_fields_and_compares_the_keys_of_parents() -> None:
    values = {"LastName": "x", "Account": {"Ext__c": "1"}, "Boss__c": {"Key__c": 2}, "AccountId": {"Ext__c": "3"}}
    (use,) = write_uses("Contact", ("update",), [values, {"Fax": "1"}], ("LastModifiedDate",))

    assert use.written == {"LastName", "Fax"}
    assert use.compared == {"LastModifiedDate", "Account.Ext__c", "Boss__r.Key__c"}


def test_a_parent_whose_object_is_said_is_looked_up_there_alone() -> None:
    own, parent = write_uses("Event", ("create",), [{"Who": {"type": "Lead", "Ext__c": "1"}}])

    assert own.compared == {"Who.Id"}
    assert parent == PathUse("Lead", "read", compared=frozenset({"Ext__c"}))


def test_emptying_a_relationship_writes_its_lookup() -> None:
    (use,) = write_uses("Contact", ("update",), [{"Boss__r": None, "Account": None}])

    assert {"Boss__c", "AccountId"} <= use.written


def test_an_upsert_creates_and_updates_and_a_preview_shows_what_it_would_write() -> None:
    uses = write_uses("Contact", ("create", "update"), [{"Ext__c": "1", "Fax": "2"}], ("Ext__c",))

    assert [use.action for use in uses] == ["create", "update"]
    assert all(use.compared == {"Ext__c"} for use in uses)
    assert preview_uses(uses)[-1] == PathUse("Contact", "read", shown=frozenset({"Ext__c", "Fax"}))
