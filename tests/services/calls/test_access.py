"""An alias is resolved by one look-up, and only to an org that the caller may use."""

from collections.abc import Iterator, Mapping

import pytest

from orgserver.app import App
from orgserver.model.access.principals import Principal
from orgserver.model.errors import UnknownOrg
from orgserver.model.names import Alias
from orgserver.model.orgs import Caller, Org, Scope
from orgserver.services.calls.access import Access
from orgserver.store.orgs.catalog import OrgSnapshot
from tests.people import add_principal


class LookUpOnly(Mapping[str, Org]):
    """Orgs that can be looked up, and not gone through."""

    def __init__(self, orgs: Mapping[str, Org]) -> None:
        self._orgs = orgs

    def __getitem__(self, alias: str) -> Org:
        return self._orgs[alias]

    def __iter__(self) -> Iterator[str]:
        raise AssertionError("the orgs were gone through")

    def __len__(self) -> int:
        return len(self._orgs)


async def access_by_look_up(app: App, only: frozenset[Alias] | None) -> Access:
    """Access whose orgs were read already."""
    access = Access(app.store, app.access.client, Scope(only))
    catalog = await access.reload()
    access._catalog = OrgSnapshot(catalog.version, LookUpOnly(catalog.by_alias))
    return access


@pytest.mark.parametrize("only", [None, frozenset({Alias("acme")})])
async def test_an_alias_is_looked_up_without_going_through_the_orgs(
    app: App, caller: Caller, only: frozenset[Alias] | None
) -> None:
    access = await access_by_look_up(app, only)
    org, version = await access.org(caller, "acme")
    assert org.alias == "acme"
    assert version == (await access.catalog()).version


async def test_an_org_without_a_grant_is_no_org(app: App, caller: Caller) -> None:
    access = await access_by_look_up(app, frozenset({Alias("acme")}))
    with pytest.raises(UnknownOrg) as hidden:
        await access.org(caller, "globex")
    with pytest.raises(UnknownOrg) as missing:
        await access.org(caller, "nobody")
    assert hidden.value.as_json(None) == missing.value.as_json(None)


async def test_a_list_has_the_orgs_with_a_grant_alone(app: App, caller: Caller) -> None:
    access = Access(app.store, app.access.client, Scope(frozenset({Alias("globex")})))
    assert [org.alias for org in await access.visible(caller)] == ["globex"]


@pytest.mark.parametrize("only", [None, frozenset({Alias("globex")}), frozenset({Alias("acme"), Alias("globex")})])
async def test_a_list_has_what_the_look_up_of_each_alias_finds(app: App, only: frozenset[Alias] | None) -> None:
    access = Access(app.store, app.access.client, Scope(only))
    for name, grants in (("ada", ("acme:read",)), ("bob", ("glo*:write", "tag:none:read")), ("cyd", ("*:delete",))):
        caller = await add_principal(app, name, *grants)
        found = [await access.current_org(caller, alias) for alias in ("acme", "globex", "nobody")]
        assert await access.visible(caller) == [org for org in found if org is not None]
    stranger = Caller(Principal("nobody"), "stdio")
    assert await access.visible(stranger) == []
    assert await access.current_org(stranger, "acme") is None
