"""Policies as YAML: what is written is read again as the same, and each fault is one line with its place."""

import pytest
from hypothesis import given, settings

from orgserver.cli.policies import yaml_text
from orgserver.model.access.policies import Policy
from orgserver.model.errors import ConfigError
from tests.model.access.test_policies import POLICIES


def read(text: str) -> Policy:
    return yaml_text.read(text.encode(), "acme.yaml").policy


@settings(deadline=None)
@given(POLICIES)
def test_a_policy_written_and_read_again_is_the_same(policy: Policy) -> None:
    assert read(yaml_text.write(policy)) == policy


def test_names_have_dashes_or_underscores_and_values_the_usual_forms() -> None:
    text = """\
# what agents may do in the sales org
read_only: no
confirm-deletes: true
allow-objects:
- Contact:read,create
- Account
deny-objects: ["Lead:create,update"]
hide-fields: [Contact.Email, Contact.Email]
row-limit: 500
hours: Mon-Fri 08:00-18:00 Europe/Berlin
"""
    assert read(text).facts() == {
        "confirm_deletes": True,
        "allow_objects": ["Account", "Contact:read,create"],
        "deny_objects": ["Lead:create,update"],
        "hide_fields": ["Contact.Email"],
        "row_limit": 500,
        "hours": ["Mon-Fri 08:00-18:00 Europe/Berlin"],
    }
    assert read("\ufeffrow-limit: 0\r\n").row_limit == 0
    assert read("{}") == Policy()
    assert read("allow-objects: []").allow_objects == ()


FAULTS = [
    ("", 1, "it says nothing; a policy without limits is {}"),
    ("# only a remark\n", 1, "it says nothing"),
    ("- read-only\n", 1, "a policy is limits with their values"),
    ("read-only", 1, "a policy is limits with their values"),
    ("read-only: true\nhide-field: [Contact.Email]", 2, "hide-field is no limit; did you mean hide-fields?"),
    ("row_limits: 5", 1, "row_limits is no limit; did you mean row-limit?"),
    ("xyzzy: 5", 1, "xyzzy is no limit; there are read-only, confirm-deletes"),
    ("[a]: 5", 1, "this is no limit"),
    ("row-limit: 5\n\nrow_limit: 6", 3, "row-limit is there already, in line 1"),
    ("read-only: 'yes'", 1, "read-only is true or false"),
    ("read-only: 1", 1, "read-only is true or false"),
    ("read-only:", 1, "read-only has no value; leave the line out"),
    ("allow-objects: ~", 1, "allow-objects has no value"),
    ("row-limit: -1", 1, "row-limit is a whole number from 0"),
    ("row-limit: '5'", 1, "row-limit is a whole number from 0"),
    ("row-limit: 010", 1, "row-limit is a whole number from 0"),
    ("row-limit: 1:30", 1, "row-limit is a whole number from 0"),
    ("row-limit: 0x10", 1, "row-limit is a whole number from 0"),
    ("row-limit: 99999999999999999999", 1, "row-limit is a whole number from 0"),
    ("api-budget: 1e3", 1, "api-budget is a whole number from 0"),
    ("confirm-above: [1]", 1, "confirm-above is a whole number from 0"),
    ("hide-fields: Contact.Email", 1, "hide-fields is a list, each item on a line of its own behind a dash"),
    ("hide-fields:\n- Contact.Email\n- Email", 3, "hide-fields: a field is named with its object"),
    ("hide-fields:\n- Contact.Owner.Name", 2, "hide-fields: a field is named with its object"),
    ("allow-objects:\n- Contact: read", 2, "each item of allow-objects is a text; write Contact:read,create without"),
    ("allow-objects: [Contact:read,create]", 1, "create is an action; in brackets write 'Contact:read,create' in quotes"),
    ("deny-objects:\n- Contact:fly", 2, "deny-objects: fly is no action"),
    ("deny-objects:\n-", 2, "deny-objects: an object is named by letters"),
    ("hours: always", 1, "hours: hours look like"),
    ("hours:\n- Mon-Fri 08:00-18:00 Europe/Atlantis", 2, "hours: Europe/Atlantis is no time zone"),
    ("read-only: true\n  x: [", 2, "not YAML: mapping values are not allowed here"),
    ("a: [\n\n", 3, "not YAML:"),
    ("read-only: tru\x00e", 1, "not YAML: "),
    ("hide-fields: &a [Contact.Email]\nmask-fields: *a", 1, "anchors and aliases are not taken"),
    ("read-only: !!python/object/apply:os.system [id]", 1, "tags are not taken"),
    ("read-only: !!bool true", 1, "tags are not taken"),
    ("read-only: true\n---\nread-only: false", 2, "not YAML: "),
    ("hours: " + "[" * 100_000, 1, "lists within lists are no policy"),
    ("#" * 200_000, 1, "a policy has at most 128 KiB"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "line", "reason"), FAULTS)
def test_a_fault_is_one_line_with_its_place(text: str, line: int, reason: str) -> None:
    with pytest.raises(ConfigError) as refused:
        read(text)
    assert str(refused.value).startswith(f"acme.yaml, line {line}: {reason}")
    assert "\n" not in str(refused.value)


def test_bytes_that_are_no_text_are_a_fault_of_their_line() -> None:
    with pytest.raises(ConfigError, match=r"^acme.yaml, line 2: not UTF-8$"):
        yaml_text.read(b"read-only: true\n\xff", "acme.yaml")
