"""What a principal's grants allow in an org, against the plainest reading of them."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from fnmatch import fnmatchcase

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orgserver.model.access.policies import Policy
from orgserver.model.access.principals import PERMISSIONS, Grant, Selector
from orgserver.model.access.standing import _MOST_ORGS, Standing
from orgserver.model.names import Alias, RowId

NOW = datetime(2026, 11, 29, tzinfo=UTC)


@dataclass(frozen=True)
class SomeOrg:
    row_id: RowId
    alias: Alias
    tags: tuple[str, ...] = ()
    policy: Policy = field(default_factory=Policy)


ALIASES = ("emea-1", "emea-2", "apac-1", "acme")
ORGS = [SomeOrg(RowId(f"row-{n}"), Alias(alias), ("vip", "live")[: n % 3]) for n, alias in enumerate(ALIASES)]
SELECTORS = ("*", "emea-*", "*-1", "acm?", "[ea]*", "tag:vip", "tag:live", "tag:none", *ALIASES)


def grant(selector: str, *permissions: str, row: str | None = None, until: datetime | None = None) -> Grant:
    row_id = RowId(row) if row is not None else None
    return Grant(f"{selector}-{row}", "ada", Selector(selector), frozenset(permissions), NOW, row_id, until)  # type: ignore[arg-type]


def selects(each: Grant, org: SomeOrg) -> bool:
    text = each.selector.text
    if text.startswith("tag:"):
        return text.removeprefix("tag:") in org.tags
    if any(letter in text for letter in "*?["):
        return fnmatchcase(org.alias, text)
    return each.row_id == org.row_id


grants = st.lists(
    st.builds(
        grant,
        st.sampled_from(SELECTORS),
        *[st.sampled_from(PERMISSIONS)] * 2,
        row=st.sampled_from([None, *(org.row_id for org in ORGS)]),
        until=st.sampled_from([None, NOW, NOW + timedelta(seconds=1), NOW - timedelta(days=1)]),
    ),
    max_size=6,
)


@given(grants, st.booleans())
def test_grants_add_up_in_the_orgs_they_select_until_they_end(each: list[Grant], enabled: bool):
    standing = Standing("ada", "person", enabled, grants=tuple(each))
    for org in [*ORGS, *ORGS]:  # the second time from what is remembered
        counting = [g for g in each if enabled and selects(g, org) and (g.until is None or g.until > NOW)]
        assert standing.permissions_in(org, NOW) == frozenset().union(*(g.permissions for g in counting))
        assert sorted(standing.grants_in(org, NOW), key=id) == sorted(counting, key=id)


@given(grants, st.booleans())
def test_orgs_are_selected_in_which_anything_is_permitted(each: list[Grant], enabled: bool):
    standing = Standing("ada", "person", enabled, grants=tuple(each))
    assert standing.select_orgs(iter(ORGS), NOW) == [org for org in ORGS if standing.permissions_in(org, NOW)]


def test_a_grant_on_an_alias_follows_its_org_and_not_the_name():
    standing = Standing("ada", "person", grants=(grant("acme", "read", row="row-3"),))
    assert standing.permissions_in(ORGS[3], NOW) == {"read"}
    assert standing.permissions_in(replace(ORGS[3], alias=Alias("renamed")), NOW) == {"read"}
    assert standing.permissions_in(replace(ORGS[3], row_id=RowId("row-of-another")), NOW) == frozenset()


def test_an_alias_without_an_org_selects_nothing():
    assert Standing("ada", "person", grants=(grant("acme", "read"),)).permissions_in(ORGS[3], NOW) == frozenset()


def test_what_is_remembered_of_an_org_ends_with_its_name_and_tags():
    standing = Standing("ada", "person", grants=(grant("emea-*", "read"), grant("tag:vip", "write")))
    assert standing.permissions_in(ORGS[1], NOW) == {"read", "write"}
    assert standing.permissions_in(replace(ORGS[1], alias=Alias("apac-9")), NOW) == {"write"}
    assert standing.permissions_in(replace(ORGS[1], tags=()), NOW) == {"read"}


def test_a_grant_ends_by_the_clock_though_its_org_is_remembered():
    end = NOW + timedelta(seconds=1)
    standing = Standing("ada", "person", grants=(grant("*", "read"), grant("acme", "delete", row="row-3", until=end)))
    assert standing.permissions_in(ORGS[3], NOW) == {"read", "delete"}
    assert standing.permissions_in(ORGS[3], end) == {"read"}
    assert [each.selector.text for each in standing.grants_in(ORGS[3], end)] == ["*"]


def test_only_so_many_orgs_are_remembered():
    standing = Standing("ada", "person", grants=(grant("*", "read"),))
    orgs = [SomeOrg(RowId(f"row-{n}"), Alias(f"org-{n}")) for n in range(3 * _MOST_ORGS)]
    assert all(standing.permissions_in(org, NOW) == {"read"} for org in orgs)
    assert 0 < len(standing._reaches) <= _MOST_ORGS


@pytest.mark.parametrize("limits", [Policy(), Policy(read_only=True), Policy(row_limit=5)])
def test_its_own_limits_bind_it_in_every_org(limits: Policy):
    org = replace(ORGS[0], policy=Policy(row_limit=10, hide_fields=("Contact.Email",)))
    standing = Standing("ada", "person", limits=limits, grants=(grant("*", "read"),))
    for _ in range(2):
        assert standing.policy_in(org) == org.policy.limited_by(limits)
    assert standing.policy_in(replace(org, policy=Policy())) == Policy().limited_by(limits)


def test_standings_are_equal_by_what_the_store_says():
    one, other = (Standing("ada", "person", grants=(grant("*", "read"),)) for _ in range(2))
    one.permissions_in(ORGS[0], NOW)
    assert one == other
    assert hash(one) == hash(other)
    assert "reach" not in repr(one)
