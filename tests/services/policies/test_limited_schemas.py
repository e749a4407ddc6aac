"""A describe that is limited is that of an org whose user may see no more."""

from dataclasses import replace

from orgserver.model.access.policies import Policy, read_object_rule
from orgserver.model.schema import ObjectInfo, ObjectList, Schema
from orgserver.services.policies.field_limits import FieldLimits
from orgserver.services.policies.limited_schemas import limit_objects, limit_schema

from .pretend_schemas import schema


def limited(sobject: str, **facts: object) -> Schema:
    whole = schema(sobject)
    assert whole is not None
    return limit_schema(FieldLimits.of(Policy.read(facts)), whole, schema)


def test_without_limits_it_is_the_same_object() -> None:
    whole = schema("Contact")

    assert whole is not None
    assert limit_schema(FieldLimits.of(Policy(read_only=True)), whole, schema) is whole


def test_a_hidden_field_is_not_there_nor_what_tells_of_it() -> None:
    contact = limited("Contact", hide_fields=["Contact.Email", "Contact.FirstName"])
    whole = schema("Contact")

    assert whole is not None
    gone = {each.name for each in whole.fields} - {each.name for each in contact.fields}
    assert {"Email", "FirstName", "Name", "Score__c", "Indirect__c"} <= gone
    assert not gone & {"Id", "LastName", "Phone", "Harmless__c", "AccountId", "AccountPhone__c"}
    assert contact.field("LastName") == replace(whole.field("LastName"), compound=None)  # type: ignore[type-var]
    assert not contact.nearest("Emial") or "Email" not in contact.nearest("Emial")


def test_a_child_relationship_by_a_hidden_lookup_is_not_told() -> None:
    account = limited("Account", hide_fields=["Contact.AccountId"])

    assert account.child("Contacts") is None
    assert limited("Account", hide_fields=["Contact.Email"]).child("Contacts") is not None
    assert limited("Contact", hide_fields=["Contact.AccountId"]).reference("Account") is None


def test_a_masked_field_is_neither_filtered_nor_written() -> None:
    email = limited("Contact", mask_fields=["Contact.Email"]).field("Email")

    assert email is not None
    assert not (email.filterable or email.sortable or email.createable or email.updateable)


def test_denied_objects_are_no_targets_and_not_in_the_list() -> None:
    contact = limited("Contact", deny_objects=["Account"])
    account_id = contact.field("AccountId")

    assert account_id is not None
    assert account_id.reference_to == ()
    assert contact.reference("Account") is None
    objects = ObjectList(tuple(ObjectInfo(name, name) for name in ("Account", "Contact", "Lead")))
    limits = FieldLimits.of(Policy(deny_objects=(read_object_rule("account"), read_object_rule("Lead:read,delete"))))
    assert [each.name for each in limit_objects(limits, objects).objects] == ["Contact", "Lead"]


def test_actions_that_are_denied_are_not_offered() -> None:
    contact = limited("Contact", deny_objects=["Contact:delete,create"])

    assert (contact.createable, contact.updateable, contact.deletable) == (False, True, False)
