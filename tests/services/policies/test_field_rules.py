"""Which of the things that a call touches its policy forbids."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from orgserver.model.access.acts import PathUse
from orgserver.model.access.policies import Policy, read_object_rule
from orgserver.services.policies.field_rules import Refusal, first_refusal, limits_fields
from orgserver.services.policies.uses import resolve
from tests.services.policies.pretend_schemas import schema

HIDE = Policy(hide_fields=("Contact.Email",))
MASK = Policy(mask_fields=("Contact.Email",))
DENY = Policy(deny_objects=(read_object_rule("Account"),))


def judge(policy: Policy, *uses: PathUse) -> Refusal | None:
    return first_refusal(policy, resolve(uses, schema))


def use(sobject: str = "Contact", **what: set[str]) -> PathUse:
    return PathUse(sobject, "read", **{name: frozenset(names) for name, names in what.items()})  # type: ignore[arg-type]  # sets alone


@pytest.mark.parametrize("mode", ["shown", "compared", "written"])
@pytest.mark.parametrize("path", ["Email", "EMAIL", "Score__c", "Indirect__c", "LoopA__c"])
def test_a_hidden_field_is_refused_however_it_is_touched(mode: str, path: str) -> None:
    policy = Policy(hide_fields=("contact.email", "Contact.Fax"))
    refusal = judge(policy, PathUse("Contact", "read", **{mode: frozenset({path})}))  # type: ignore[arg-type]  # a mode
    assert refusal is not None
    assert refusal.code == "FIELD_NOT_ALLOWED"
    assert refusal.rule.startswith("policy:hide-field ")


def test_a_field_that_tells_of_a_hidden_one_is_refused_by_its_own_name_alone() -> None:
    refusal = judge(HIDE, use(shown={"Indirect__c"}))
    assert refusal is not None
    assert "Indirect__c" in refusal.message
    assert "Email" not in f"{refusal.message} {refusal.hint} {refusal.argument}"


def test_a_masked_field_is_shown_and_never_compared() -> None:
    assert judge(MASK, use(shown={"Email"})) is None
    refusal = judge(MASK, use(compared={"Email"}))
    assert refusal is not None
    assert refusal.rule == "policy:mask-field Contact.Email"


@pytest.mark.parametrize("action", ["read", "create", "update", "delete"])
def test_a_denied_object_is_refused_in_each_action_and_no_other(action: str) -> None:
    policy = Policy(deny_objects=(read_object_rule("contact:delete"),))
    refusal = judge(policy, PathUse("Contact", action))  # type: ignore[arg-type]  # one of the four
    assert (refusal is not None) is (action == "delete")


def test_nothing_but_what_is_allowed() -> None:
    policy = Policy(allow_objects=(read_object_rule("Contact:read"),))
    assert judge(policy, use(shown={"Email"})) is None
    for other in (use("Account", shown={"Name"}), use(shown={"Account.Name"}), PathUse("Contact", "update")):
        refusal = judge(policy, other)
        assert refusal is not None
        assert (refusal.rule, refusal.code) == ("policy:allow-object", "OBJECT_NOT_ALLOWED")


@pytest.mark.parametrize(("path", "passes"), [("What.Id", True), ("What.Type", True), ("What.Name", False)])
def test_of_a_parent_that_may_be_denied_only_id_and_type_pass(path: str, passes: bool) -> None:
    assert (judge(DENY, use("Event", shown={path})) is None) is passes


@pytest.mark.parametrize("hidden", ["Contact.FirstName", "Contact.Name", "Lead.LastName", "Lead.Name"])
def test_the_name_of_a_parent_of_several_kinds_is_hidden_with_its_parts(hidden: str) -> None:
    assert judge(Policy(hide_fields=(hidden,)), use("Event", shown={"Who.Name"})) is not None
    assert judge(Policy(hide_fields=(hidden,)), use("Event", shown={"Who.Id", "WhoId", "Subject"})) is None


def test_fields_that_covers_a_hidden_field_is_answered_with_the_others() -> None:
    refusal = judge(HIDE, PathUse("Contact", "read", groups=frozenset({"all"})))
    assert refusal is not None
    assert refusal.hint is not None
    names = set(refusal.hint.partition(": ")[2].split(", "))
    assert {"Id", "LastName", "Harmless__c"} <= names
    assert not {"Email", "Score__c", "Indirect__c"} & names
    assert judge(MASK, PathUse("Contact", "read", groups=frozenset({"standard"}))) is None


def test_a_search_compares_the_name_alone() -> None:
    search = PathUse("Contact", "read", shown=frozenset({"Id"}), searched=True)
    assert judge(HIDE, search) is None
    for policy in (Policy(hide_fields=("Contact.LastName",)), Policy(mask_fields=("Contact.Name",))):
        assert judge(policy, search) is not None


def test_an_object_that_nobody_named_is_no_reason_to_refuse() -> None:
    assert judge(DENY, PathUse("Account", "read", shown=frozenset({"Name"}), optional=True)) is None


def test_an_account_that_is_a_person_is_limited_as_a_contact_and_no_contact() -> None:
    person = use("Account", shown={"PersonEmail"})
    assert judge(HIDE, person) is not None
    assert judge(Policy(deny_objects=(read_object_rule("Contact"),)), person) is None


def test_a_case_shows_nothing_of_contacts_that_may_not_be_read() -> None:
    policy = Policy(deny_objects=(read_object_rule("Contact:read"),))
    assert judge(policy, use("Case", shown={"ContactEmail"})) is not None
    assert judge(policy, use("Case", shown={"ContactId", "SuppliedEmail"})) is None
    assert limits_fields(policy, "Case")
    assert not limits_fields(policy, "Lead")


def test_a_reference_that_is_hidden_leads_nowhere() -> None:
    policy = Policy(hide_fields=("Contact.AccountId",))
    assert judge(policy, use(shown={"Account.Name"})) is not None
    assert judge(policy, PathUse("Account", "read", children=("Contacts",), shown=frozenset({"Id"}))) is not None


def test_id_always_passes() -> None:
    assert judge(Policy(hide_fields=("Contact.Id",)), use(shown={"Id"}, compared={"Id"})) is None


NAMES = st.sampled_from(
    [
        "Email",
        "Phone",
        "Name",
        "LastName",
        "MailingCity",
        "MailingAddress",
        "Score__c",
        "Indirect__c",
        "AccountId",
        "Account.Phone",
        "AccountPhone__c",
        "Owner.Email",
        "ReportsTo.Email",
        "Account.Owner.Name",
        "Title",
        "Total__c",
    ]
)
POLICIES = st.builds(
    Policy,
    hide_fields=st.lists(
        st.sampled_from(["Contact.Email", "contact.phone", "Contact.LastName", "Account.Phone", "User.Email"])
        | st.sampled_from(["Contact.MailingAddress", "Contact.MailingCity", "User.LastName", "Contact.AccountId"]),
        max_size=3,
        unique_by=str.casefold,
    ).map(tuple),
    mask_fields=st.lists(st.sampled_from(["Contact.Email", "Account.Phone", "Contact.Title"]), max_size=2).map(tuple),
)
USES = st.builds(
    lambda shown, compared: PathUse("Contact", "read", shown=frozenset(shown), compared=frozenset(compared)),
    st.sets(NAMES, max_size=3),
    st.sets(NAMES, max_size=3),
)


@given(POLICIES, POLICIES, USES)
def test_a_stricter_policy_refuses_whatever_either_refuses(one: Policy, other: Policy, use: PathUse) -> None:
    both = judge(one.strictest(other), use)
    either = [refusal for policy in (one, other) if (refusal := judge(policy, use)) is not None]
    assert (both is not None) or not either


@given(POLICIES, USES)
def test_what_may_be_compared_may_be_shown_and_more_uses_are_never_more_allowed(policy: Policy, use: PathUse) -> None:
    shown = replace(use, shown=use.shown | use.compared, compared=frozenset())
    if judge(policy, use) is None:
        assert judge(policy, shown) is None
    for name in use.shown | use.compared:
        mode = {"compared": frozenset({name})} if name in use.compared else {"shown": frozenset({name})}
        if judge(policy, PathUse("Contact", "read", **mode)) is not None:  # type: ignore[arg-type]  # a mode
            assert judge(policy, use) is not None


@given(POLICIES, USES)
def test_a_refusal_names_what_the_agent_named_and_nothing_behind_it(policy: Policy, use: PathUse) -> None:
    refusal = judge(policy, use)
    if refusal is not None:
        ways = {f"contact.{path}".lower() for path in use.shown | use.compared}
        ends = {path.rpartition(".")[2].lower() for path in use.shown | use.compared}
        assert refusal.argument is not None
        named = refusal.argument.lower()
        assert named in ways or named.rpartition(".")[2] in ends
