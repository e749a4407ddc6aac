"""Principals for tests, as ``add-principal`` adds them."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Any

from orgserver.app import App, open_app
from orgserver.config import read_settings
from orgserver.model.access.policies import Policy
from orgserver.model.access.policy_edits import PolicyEdit
from orgserver.model.access.principals import Principal
from orgserver.model.orgs import Caller
from orgserver.services.people.requests import GrantChanges, PrincipalChanges, read_grants

OPERATOR = Caller(Principal("local:operator"), "cli")


def principal_changes(
    *grants: str, until: datetime | None = None, limits: Policy | None = None, **more: Any
) -> PrincipalChanges:
    """What a principal gets: grants as ``acme:read,write``, and its own limits."""
    edit = PolicyEdit.replacing(limits) if limits is not None else PolicyEdit()
    granted = GrantChanges(read_grants(grants), until)
    return PrincipalChanges(grants=granted, limits=edit, **more)


async def add_principal(app: App, name: str, *grants: str, **more: Any) -> Caller:
    """Add a principal; the caller that it is on standard input and output."""
    await app.people.principals.add(OPERATOR, name, principal_changes(*grants, **more))
    return Caller(Principal(name), "stdio")


async def change_principal(app: App, name: str, *grants: str, **more: Any) -> None:
    """Change a principal."""
    await app.people.principals.update(OPERATOR, name, principal_changes(*grants, **more))


async def add_principal_at(home: Path, name: str, *grants: str, **more: Any) -> None:
    """Add a principal to the store of a home that others may have open."""
    async with open_app(read_settings({"home": home}, {})) as app:
        await add_principal(app, name, *grants, **more)
