"""What a call touches, once relationships are followed and fields are known with those of which they tell."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from orgserver.model.access.acts import UNKNOWN, ObjectUse, PathUse
from orgserver.services.policies.uses import MissingSchemas, resolve
from tests.services.policies.pretend_schemas import schema


def shown(*paths: str, sobject: str = "Contact", **more: object) -> PathUse:
    return PathUse(sobject, "read", shown=frozenset(paths), **more)  # type: ignore[arg-type]  # as each test names it


def touched(*uses: PathUse, mode: str = "shown") -> set[str]:
    return {f"{use.object}.{name}" for use in resolve(uses, schema) for name in getattr(use, mode)}


def test_plain_fields_are_those_of_the_object_in_the_orgs_spelling() -> None:
    assert resolve([shown("email", "ID")], schema) == (ObjectUse("Contact", "read", frozenset({"Email", "Id"})),)


def test_a_path_is_the_field_of_the_parent_and_chooses_by_the_reference() -> None:
    uses = resolve([shown("Account.Phone")], schema)
    assert ObjectUse("Account", "read", frozenset({"Phone"})) in uses
    hop = ObjectUse("Contact", "read", compared=frozenset({"AccountId"}), via="Contact.Account.Phone")
    assert hop in uses


@pytest.mark.parametrize(
    ("path", "others"),
    [
        ("Name", {"Contact.FirstName", "Contact.LastName", "Contact.Salutation"}),
        ("LastName", {"Contact.Name"}),
        ("MailingStreet", {"Contact.MailingAddress"}),
        ("MailingAddress", {"Contact.MailingStreet", "Contact.MailingLatitude"}),
        ("Score__c", {"Contact.Email"}),
        ("Indirect__c", {"Contact.Score__c", "Contact.Email"}),
        ("AccountPhone__c", {"Account.Phone", "Contact.AccountId"}),
        ("Mine__c", {"User.Email"}),
        ("Bonus__c", {"Contact.Salary__c", "Rates__c.Bonus__c"}),
        ("Total__c", {f"Contact.{UNKNOWN}", f"Case.{UNKNOWN}"}),
        ("LoopA__c", {"Contact.LoopB__c", "Contact.Fax"}),
        ("OwnerMail__c", {"User.Email"}),
        ("Lost__c", {f"{UNKNOWN}.Gone__r.Email"}),
        ("Account.PersonEmail", {"Contact.Email"}),
        ("Account.Tier__pc", {"Contact.Tier__c"}),
    ],
)
def test_a_field_comes_with_those_of_which_it_tells(path: str, others: set[str]) -> None:
    assert others <= touched(shown(path))


def test_texts_and_comments_of_a_formula_are_no_fields() -> None:
    assert not {"Contact.Phone", "Contact.Fax"} & touched(shown("Score__c"))
    assert "Contact.Title" not in touched(shown("Indirect__c"))


def test_a_parent_of_several_kinds_is_each_of_them_and_needs_no_describe() -> None:
    uses = resolve([shown("What.Name", sobject="Event")], schema)
    parents = {use.object for use in uses if not use.is_certain}
    assert {"Account", "Opportunity", "Case"} <= parents
    assert "Contact.FirstName" in touched(shown("Who.Name", sobject="Event"))


def test_fields_is_every_field_of_its_group() -> None:
    use = resolve([PathUse("Contact", "read", groups=frozenset({"custom"}))], schema)[0]
    assert (
        use.grouped
        == use.shown
        == frozenset(each.name for each in schema("Contact").fields if each.name.endswith("__c"))
    )  # type: ignore[union-attr]  # the sandbox has it


def test_children_are_their_own_object_chosen_by_their_reference() -> None:
    use = PathUse("Account", "read", children=("Contacts",), shown=frozenset({"Email"}))
    assert "Contact.Email" in touched(use)
    assert "Contact.AccountId" in touched(use, mode="compared")


@pytest.mark.parametrize("use", [shown("Acount.Name"), shown("Id", sobject="Account", children=("Contracts__r",))])
def test_a_path_through_what_the_org_has_not_is_unknown(use: PathUse) -> None:
    assert UNKNOWN in {each.object for each in resolve([use], schema)}


def test_a_path_may_begin_with_the_object_or_its_alias_and_is_read_as_a_relationship_too() -> None:
    assert touched(shown("c.Email", alias="c")) == {"Contact.Email"}
    assert touched(shown("Contact.Email")) == {"Contact.Email"}
    both = touched(shown("Account.Phone", alias="Account"))
    assert {"Contact.Phone", "Account.Phone"} <= both


def test_the_describes_that_lack_are_named_together() -> None:
    with pytest.raises(MissingSchemas) as missing:
        resolve([shown("Email", sobject="Gone__c"), shown("Name", sobject="Away__c")], schema)
    assert missing.value.names == ("Away__c", "Gone__c")


def test_what_names_no_fields_needs_no_describe() -> None:
    deletion = PathUse("Gone__c", "delete")
    assert resolve([deletion], schema) == (ObjectUse("Gone__c", "delete"),)


def test_behind_a_change_other_objects_are_only_read() -> None:
    uses = resolve([PathUse("Contact", "create", written=frozenset({"LastName", "Account.Name"}))], schema)
    assert {(use.object, use.action) for use in uses} == {("Contact", "create"), ("Account", "read")}


def test_a_field_that_the_orgs_user_is_not_told_of_is_no_less_in_a_formula() -> None:
    """A formula shows it all the same: field-level security is not asked behind it."""
    assert schema("Contact").field("Salary__c") is None  # type: ignore[union-attr]  # the sandbox has it
    assert "Contact.Salary__c" in touched(shown("Bonus__c"))


def test_what_is_shown_and_not_described_is_named_and_what_is_written_is_not() -> None:
    use = resolve([replace(shown("New__c", "Email"), written=frozenset({"Other__c"}))], schema)[0]
    assert use.undescribed == {"New__c"}
