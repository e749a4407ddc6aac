"""What an org's identity goes with, whichever alias of it is changed or logged in to anew."""

from dataclasses import replace

import pytest

from orgserver.app import App
from orgserver.model.access.logins import UsernameFrom
from orgserver.model.access.policies import Policy
from orgserver.model.errors import EnrolmentError
from orgserver.model.orgs import AuthKind, Caller
from orgserver.sandbox.org import SandboxOrg
from orgserver.services.orgs.identities import IdentityChange
from tests.services.calls.test_policies import registration
from tests.services.connections.steps import let_key_log_in


async def let_log_in_by(app: App, alias: str, auth: AuthKind) -> None:
    """As if an org had been registered with another kind of app."""
    org = await app.registry.one(alias)
    await app.store.database.write(
        lambda tx: app.store.orgs.change_in(tx, org.row_id, lambda old: replace(old, auth=auth))
    )


async def test_an_identity_goes_with_every_alias_of_its_org(app: App, acme: SandboxOrg, caller: Caller) -> None:
    await app.enrolment.add(caller, registration(acme, "acme-jobs", Policy()))
    await let_log_in_by(app, "acme-jobs", "client-credentials")
    own = IdentityChange("own", seen="shared")

    with pytest.raises(EnrolmentError, match="acme-jobs is the same org as acme, and its identity binds both") as error:
        await app.registry.update(caller, "acme", identity=own)
    before = (await app.registry.one("acme")).identity
    await let_log_in_by(app, "acme-jobs", "web")
    after = await app.registry.update(caller, "acme", identity=own)

    assert "acme-jobs" in (error.value.hint or "")
    assert (before, after.identity) == ("shared", "own")


async def test_another_login_fits_the_identity_that_an_org_has(app: App, acme: SandboxOrg, caller: Caller) -> None:
    await let_key_log_in(app, acme, UsernameFrom("map"), {})
    given = replace(registration(acme, "acme", Policy()), replace=True)
    asked = len(acme.requests)

    with pytest.raises(EnrolmentError, match="known with identity own, with usernames from map") as error:
        await app.enrolment.add(caller, given)
    assert "--identity" in (error.value.hint or "")
    assert len(acme.requests) == asked, "a token that is refused for that is not spent"

    added = await app.enrolment.add(caller, replace(given, identity=IdentityChange("own", seen="own")))
    assert (added.org.identity, added.org.username_from, added.org.auth) == ("own", None, "refresh-token")
