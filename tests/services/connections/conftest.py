"""Two people's own logins to one pretend org."""

import pytest

from orgserver.app import App
from orgserver.model.orgs import Caller, Connection
from orgserver.sandbox.org import SandboxOrg
from orgserver.services.people.requests import GroupChanges, PrincipalChanges
from tests.own_logins import connect, set_identity
from tests.services.connections.ends import granting


@pytest.fixture
async def ada(app: App, acme: SandboxOrg, caller: Caller) -> Connection:
    """Her login to acme; bob has one, too, and what he may do comes by the same ways twice."""
    people = app.people
    await people.principals.add(caller, "ada", PrincipalChanges())
    await people.principals.add(caller, "bob", PrincipalChanges(grants=granting("*:read")))
    await people.groups.add(caller, "ops", GroupChanges(members=("ada", "bob"), grants=granting("acme:read")))
    await set_identity(app, "acme", "own")
    await connect(app, acme, "bob")
    return await connect(app, acme, "ada")
