"""Policies: read from and to plain values, joined, compared."""

from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orgserver.model.access.hours import Hours
from orgserver.model.access.policies import OBJECT_ACTIONS, Policy

OBJECTS = st.sampled_from(["Contact", "Account", "Event", "Invoice__c"])
RULES = st.builds(
    lambda name, actions: f"{name}:{','.join(actions)}",
    OBJECTS,
    st.lists(st.sampled_from(OBJECT_ACTIONS), min_size=1, unique=True),
)
FIELDS = st.builds(lambda name, field: f"{name}.{field}", OBJECTS, st.sampled_from(["Email", "Phone", "SSN__c"]))
NUMBERS = st.none() | st.integers(0, 500)
POLICIES = st.builds(
    Policy.read,
    st.fixed_dictionaries(
        {
            "read_only": st.booleans(),
            "confirm_deletes": st.booleans(),
            "keep_values": st.booleans(),
            "allow_objects": st.none() | st.lists(RULES, max_size=4),
            "deny_objects": st.lists(RULES, max_size=4),
            "hide_fields": st.lists(FIELDS, max_size=4),
            "mask_fields": st.lists(FIELDS, max_size=4),
            "row_limit": NUMBERS,
            "confirm_above": NUMBERS,
            "api_budget": NUMBERS,
            "hours": st.lists(
                st.sampled_from(["Mon-Fri 08:00-18:00 Europe/Berlin", "Sat 10:00-24:00 UTC"]), max_size=2
            ),
        }
    ),
)


@given(POLICIES)
def test_a_policy_is_what_its_plain_values_say(policy: Policy) -> None:
    assert Policy.read(policy.facts()) == policy


@given(POLICIES, POLICIES)
def test_two_policies_together_loosen_neither(one: Policy, other: Policy) -> None:
    both = one.strictest(other)
    assert one.loosened_by(both) == other.loosened_by(both) == ()
    assert both.strictest(one).loosened_by(both) == both.loosened_by(both.strictest(one)) == ()


@pytest.mark.parametrize(
    ("before", "after", "loosened"),
    [
        ({"read_only": True}, {}, ("read-only",)),
        ({"allow_objects": ["Contact"]}, {"allow_objects": ["Contact", "Account"]}, ("allow-object",)),
        ({"allow_objects": ["contact"]}, {"allow_objects": ["Contact:read"]}, ()),
        ({"allow_objects": []}, {"allow_objects": ["Contact"]}, ("allow-object",)),
        ({"deny_objects": ["Contact"]}, {"deny_objects": ["Contact:read"]}, ("deny-object",)),
        ({"hide_fields": ["Contact.Email"]}, {"mask_fields": ["Contact.Email"]}, ("hide-field",)),
        ({"row_limit": 10}, {"row_limit": 20}, ("row-limit",)),
        ({}, {"confirm_above": 300}, ("confirm-above",)),
        ({}, {"confirm_above": 20}, ()),
        ({"confirm_above": 20}, {}, ("confirm-above",)),
        ({"api_budget": 5}, {}, ("api-budget",)),
        ({"hours": ["Mon-Sun 00:00-24:00 UTC"]}, {"hours": ["Mon-Fri 09:00-17:00 UTC"]}, ()),
        ({"hours": ["Mon-Fri 09:00-17:00 UTC"]}, {"hours": ["Mon-Sat 09:00-17:00 UTC"]}, ("hours",)),
        ({"hours": ["Mon-Fri 09:00-17:00 UTC"]}, {"hours": ["Mon 09:00-17:00 Europe/Berlin"]}, ("hours",)),
        ({"hours": ["Mon-Fri 09:00-17:00 UTC"]}, {"hours": ["Mon 09:00-10:00, Tue 16:59-17:00 UTC"]}, ()),
        ({"hours": ["Mon-Fri 09:00-17:00 UTC"]}, {"hours": ["Mon 09:00-10:00, Tue 16:59-17:01 UTC"]}, ("hours",)),
        ({"hours": ["Mon-Fri 09:00-17:00 UTC"]}, {}, ("hours",)),
    ],
)
def test_loosening_is_noticed(before: dict[str, Any], after: dict[str, Any], loosened: tuple[str, ...]) -> None:
    assert Policy.read(before).loosened_by(Policy.read(after)) == loosened


@pytest.mark.parametrize(
    ("facts", "message"),
    [
        ({"colour": 1}, "colour is no limit"),
        ({"read_only": "yes"}, "read_only is true or false"),
        ({"row_limit": -1}, "whole number"),
        ({"row_limit": True}, "whole number"),
        ({"allow_objects": "Contact"}, "list of texts"),
        ({"allow_objects": ["Contact:run"]}, "run is no action"),
        ({"allow_objects": ["Con tact"]}, "named by letters"),
        ({"hide_fields": ["Email"]}, "with its object"),
        ({"hours": "always"}, "hours look like"),
        ({"hours": "Mon-Fri 08:00-18:00 Mars/Base"}, "no time zone"),
        ({"hours": "Mon-Xyz 08:00-18:00 UTC"}, "xyz|Xyz is no day"),
        ({"hours": "Mon 18:00-08:00 UTC"}, "ends before it begins"),
        ({"hours": "Mon 25:00-26:00 UTC"}, "no time of day"),
    ],
)
def test_what_is_no_policy_is_refused(facts: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Policy.read(facts)


@pytest.mark.parametrize(
    ("text", "instant", "within"),
    [
        ("Mon-Fri 08:00-18:00 Europe/Berlin", datetime(2026, 7, 6, 6, 0, tzinfo=UTC), True),
        ("Mon-Fri 08:00-18:00 Europe/Berlin", datetime(2026, 7, 6, 5, 59, tzinfo=UTC), False),
        ("Mon-Fri 08:00-18:00 Europe/Berlin", datetime(2026, 1, 5, 6, 0, tzinfo=UTC), False),
        ("Mon-Fri 08:00-18:00 Europe/Berlin", datetime(2026, 7, 6, 16, 0, tzinfo=UTC), False),
        ("Sat,Sun 00:00-24:00 UTC", datetime(2026, 7, 5, 23, 59, tzinfo=UTC), True),
        ("Fri-Mon 00:00-24:00 UTC", datetime(2026, 7, 8, 12, 0, tzinfo=UTC), False),
        ("Fri-Mon 00:00-24:00 UTC", datetime(2026, 7, 6, 12, 0, tzinfo=UTC), True),
    ],
)
def test_hours_hold_by_the_clock_of_their_zone(text: str, instant: datetime, *, within: bool) -> None:
    assert Hours.read(text).hold(instant) is within


def test_a_principals_own_limits_only_take_away() -> None:
    org = Policy.read({"confirm_above": 300, "row_limit": 50})
    assert org.limited_by(Policy()) == org
    assert org.limited_by(Policy.read({"row_limit": 100, "read_only": True})) == Policy.read(
        {"confirm_above": 300, "row_limit": 50, "read_only": True}
    )
    assert org.limited_by(Policy.read({"confirm_above": 5})).confirm_above == 5
